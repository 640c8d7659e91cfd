//! The table of counts, as it is printed and kept.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

/// What one thing costs.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) instructions: u64,
}

pub(crate) fn print(lines: &[Line]) {
    println!("{:<56} {:>12}", "", "instructions");
    print!("{}", text(lines));
}

pub(crate) fn write(lines: &[Line]) {
    fs::write(file(), format!("{HEAD}{}", text(lines))).expect("the file can be written");
}

/// What was written down, by name.
pub(crate) fn read() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let line = |line: &str| {
        let (name, instructions) = line.trim_end().rsplit_once(' ')?;
        Some((name.trim_end().to_owned(), instructions.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}

/// A sentence for each case that is not as it was written down.
pub(crate) fn compare(lines: &[Line], kept: &BTreeMap<String, u64>) -> Vec<String> {
    let mut wrong: Vec<String> = lines.iter().filter_map(|line| difference(line, kept)).collect();
    let is_gone = |name: &&String| lines.iter().all(|line| line.name != **name);
    wrong.extend(kept.keys().filter(is_gone).map(|name| format!("{name}: written down, and not counted")));
    wrong
}

fn difference(Line { name, instructions }: &Line, kept: &BTreeMap<String, u64>) -> Option<String> {
    let Some(before) = kept.get(name) else { return Some(format!("{name}: not written down yet")) };
    let percent = (*instructions as f64 / *before as f64 - 1.0) * 100.0;
    (percent.abs() > PERCENT_MAX)
        .then(|| format!("{name}: {instructions} instructions instead of {before} ({percent:+.1} %)"))
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { name, instructions } in lines {
        writeln!(text, "{name:<56} {instructions:>12}").expect("a String takes every text");
    }
    text
}

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "instructions.txt"].iter().collect()
}

/// How much a count may differ, either way.
const PERCENT_MAX: f64 = 5.0;
const HEAD: &str = "\
# Instructions of the hot paths, for one item, message, head or request, as callgrind counts them on x86-64.
# Written by `cargo bench --bench hot -- --count --write`, held by CI within five percent.
";
