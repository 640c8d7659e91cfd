//! Tables for people, and lines for programs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::every::median;
use crate::machine;

/// What one part has measured: for each line of its table the values of every round.
pub(crate) struct Sheet {
    part: &'static str,
    columns: Vec<Column>,
    rows: Vec<(String, BTreeMap<&'static str, Vec<f64>>)>,
    lines: File,
}

/// A column of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What is measured.
    pub(crate) name: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
}

impl Sheet {
    /// An empty one.
    pub(crate) fn new(part: &'static str, columns: &[Column]) -> Self {
        let path = directory().join(format!("{part}.jsonl"));
        let mut lines = File::create(&path).expect("target/bench can be written");
        writeln!(lines, "{}", json!({ "part": part, "machine": machine::told() }))
            .expect("a file takes lines");
        Self { part, columns: columns.to_vec(), rows: Vec::new(), lines }
    }

    /// Notes what one round gave for one line of the table.
    pub(crate) fn note(&mut self, row: &str, values: &[(&'static str, f64)]) {
        let mut told = json!({ "part": self.part, "row": row });
        for (name, value) in values {
            told[*name] = Value::from(*value);
        }
        writeln!(self.lines, "{told}").expect("a file takes lines");
        let place = self.rows.iter().position(|(known, _)| known == row).unwrap_or_else(|| {
            self.rows.push((row.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        for (name, value) in values {
            self.rows[place].1.entry(*name).or_default().push(*value);
        }
    }

    /// The median of what was noted; no number if that was nothing.
    pub(crate) fn median(&self, row: &str, column: &str) -> f64 {
        self.noted(row, column).map_or(f64::NAN, median)
    }

    /// One median as a multiple of another.
    pub(crate) fn ratio(&self, column: &str, row: &str, of: &str) -> f64 {
        self.median(row, column) / self.median(of, column)
    }

    fn noted(&self, row: &str, column: &str) -> Option<Vec<f64>> {
        let (_, values) = self.rows.iter().find(|(known, _)| known == row)?;
        values.get(column).cloned()
    }

    /// Prints the medians.
    pub(crate) fn print(&self) {
        let width = self.rows.iter().map(|(row, _)| row.chars().count()).max().unwrap_or_default();
        let head: String = self.columns.iter().map(|column| format!(" {:>16}", column.name)).collect();
        println!("\n{:<width$}{head}", self.part);
        for (row, _) in &self.rows {
            let cell = |column: &Column| match self.noted(row, column.name) {
                Some(values) => format!(" {:>16.digits$}", median(values), digits = column.digits),
                None => format!(" {:>16}", ""),
            };
            let cells: String = self.columns.iter().map(cell).collect();
            println!("{row:<width$}{cells}");
        }
    }
}

/// The line of a contestant's table for so many items.
pub(crate) fn row(name: &str, items: u32) -> String {
    format!("{name}, {items} in a POST")
}

/// Where Cargo builds.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the system knows where we are");
    program.ancestors().nth(3).expect("it is target/PROFILE/deps/road-HASH").to_owned()
}

fn directory() -> PathBuf {
    let directory = target().join("bench");
    fs::create_dir_all(&directory).expect("target can be written");
    directory
}
