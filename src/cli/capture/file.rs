//! Where captured messages are written: to a file that nobody else can read and that is there only when it is whole, or to
//! standard output.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use tempfile::NamedTempFile;

#[derive(Args, Debug)]
pub(in crate::cli) struct Output {
    /// Write to this file, which nobody else can read, instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if there is one.
    #[arg(long, requires = "output")]
    force: bool,
}

/// What is being written.
pub(in crate::cli) struct Sink {
    out: BufWriter<Box<dyn Write>>,
    /// Under its name only when it is whole: a copy that broke off replaces no good one.
    file: Option<(NamedTempFile, PathBuf)>,
    force: bool,
}

impl Output {
    pub(in crate::cli) fn open(self) -> anyhow::Result<Sink> {
        let Self { output, force } = self;
        let Some(path) = output else {
            return Ok(Sink { out: BufWriter::new(Box::new(io::stdout())), file: None, force });
        };
        let file = fresh(&path, force)?;
        let out: Box<dyn Write> = Box::new(file.reopen()?);
        Ok(Sink { out: BufWriter::new(out), file: Some((file, path)), force })
    }
}

impl Sink {
    pub(in crate::cli) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Writes what is left; the file has its name from now on.
    pub(in crate::cli) fn keep(mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        let Some((file, path)) = self.file else { return Ok(()) };
        file.as_file().sync_all()?;
        let kept = if self.force { file.persist(&path) } else { file.persist_noclobber(&path) };
        kept.map_err(|error| error.error).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

fn fresh(path: &Path, force: bool) -> anyhow::Result<NamedTempFile> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.is_file() => anyhow::bail!("{} is no regular file", path.display()),
        Ok(_) if !force => anyhow::bail!("{} is there already: --force replaces it", path.display()),
        Ok(_) | Err(_) => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let file = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
    file.with_context(|| format!("cannot write beside {}", path.display()))
}
