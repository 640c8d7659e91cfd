//! Captured messages as they are read, line by line, each with a bound.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use anyhow::{Context, bail};

use super::Item;
use crate::blocking::off_thread;

/// What stands between a file and its messages.
pub(in crate::cli) struct Lines {
    from: BufReader<Box<dyn Read + Send>>,
    number: u64,
}

impl Lines {
    /// A file, or standard input (`-`). A file is read through first, so that a broken line is known before anything is
    /// done with another one.
    pub(in crate::cli) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::of(io::stdin()));
        }
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        if file.metadata().with_context(cannot)?.is_file() {
            let mut lines = Self::of(file.try_clone().with_context(cannot)?);
            while lines.next().with_context(cannot)?.is_some() {}
            file.rewind().with_context(cannot)?;
        }
        Ok(Self::of(file))
    }

    fn of(from: impl Read + Send + 'static) -> Self {
        Self { from: BufReader::new(Box::new(from)), number: 0 }
    }

    /// As [`next`](Self::next), while somebody may want to stop: whoever types the lines may never come to an end.
    pub(in crate::cli) async fn read(mut self) -> anyhow::Result<(Self, Option<(u64, Item)>)> {
        off_thread(move || self.next().map(|next| (self, next))).await
    }

    /// The next message and the number of its line; empty lines hold none.
    fn next(&mut self) -> anyhow::Result<Option<(u64, Item)>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let bound = (&mut self.from).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
            let read = bound.with_context(|| format!("line {}", self.number))?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LINE_BYTES_MAX {
                bail!("line {} is longer than {} MiB", self.number, LINE_BYTES_MAX >> 20);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            // What stands there may be a secret: it is not quoted.
            let item = std::str::from_utf8(&line).ok().and_then(Item::read);
            let item = item.with_context(|| {
                format!(
                    "line {} is no captured message, as tail --json, spool export and quarantine export write them",
                    self.number
                )
            })?;
            return Ok(Some((self.number, item)));
        }
    }
}

/// An item of 4 MiB, the most that comes in by default, at six bytes for each of its own, and as much again.
const LINE_BYTES_MAX: u64 = 48 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINE: &str = r#"{"message_id":"m","routing_key":"k","type":null,"timestamp":null,"body":"{}"}"#;

    fn numbers(text: &'static str) -> anyhow::Result<Vec<u64>> {
        let mut lines = Lines::of(text.as_bytes());
        std::iter::from_fn(|| lines.next().map(|next| next.map(|(number, _)| number)).transpose()).collect()
    }

    #[test]
    fn lines_are_counted_and_empty_ones_hold_nothing() {
        let text: &str = format!("{LINE}\n\n \r\n{LINE}").leak();
        assert_eq!(numbers(text).expect("lines"), [1, 4]);
        assert_eq!(numbers("").expect("lines"), [0_u64; 0]);
    }

    #[test]
    fn a_broken_line_is_named_and_not_quoted() {
        let text: &str = format!("{LINE}\n{{\"clientState\":\"hunter2\"}}\n").leak();
        let error = format!("{:#}", numbers(text).expect_err("no line"));
        assert!(error.starts_with("line 2 is no captured message") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_line_without_end_is_not_kept_in_memory() {
        let mut lines = Lines::of(io::repeat(b'x'));
        let error = lines.next().expect_err("no line").to_string();
        assert_eq!(error, "line 1 is longer than 48 MiB");
    }

    #[test]
    fn a_file_is_read_through_before_its_first_line_is_given() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "{LINE}\n{LINE}\n").expect("written");
        let mut lines = Lines::open(file.path()).expect("good lines");
        assert_eq!(lines.next().expect("a line").map(|(number, _)| number), Some(1));
        assert_eq!(lines.next().expect("a line").map(|(number, _)| number), Some(2));
        assert!(lines.next().expect("the end").is_none());
        writeln!(file, "broken").expect("written");
        assert!(Lines::open(file.path()).is_err());
        assert!(Lines::open(Path::new("/nonexistent/file")).is_err());
    }
}
