//! Tables for people: a head, then rows, in columns as wide as what stands in them.

use super::{check::Style, words};

/// A cell: foreign text is made fit for a terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// What a cell means for whoever looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
}

impl Tone {
    /// SGR parameters (ECMA-48).
    fn colour(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Odd => Some("33"),
            Self::Bad => Some("1;31"),
        }
    }
}

impl Cell {
    pub(super) fn new(text: &str, tone: Tone) -> Self {
        Self { text: words::plain(text), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(&text, Tone::Plain)
    }
}

/// Rows of cells, all as long as the head.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&'static str; N]) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// Nothing stands behind the last word of a line.
    pub(super) fn text(&self, style: Style) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].width());
            cells.chain([self.head[column].len()]).max().unwrap_or_default()
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let head = self.head.map(Cell::from);
        std::iter::once(&head).chain(&self.rows).map(|row| line(row, &widths, style)).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], style: Style) -> String {
    let mut line = String::new();
    let mut gap = 0;
    for (cell, width) in row.iter().zip(widths) {
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', gap));
            gap = 0;
            match (style, cell.tone.colour()) {
                (Style::Coloured, Some(colour)) => line += &format!("\x1b[{colour}m{}\x1b[0m", cell.text),
                (Style::Coloured, None) | (Style::Plain, Some(_) | None) => line += &cell.text,
            }
        }
        gap += width - cell.width() + BETWEEN;
    }
    line + "\n"
}

const BETWEEN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = Table::new(["name", "ends", "whose"]);
        table.row(["é".into(), Cell::new("in 2 d", Tone::Good), "".into()]);
        table.row(["sales\u{1b}".into(), "".into(), Cell::new("stranger", Tone::Bad)]);
        let plain = table.text(Style::Plain);
        assert_eq!(
            plain,
            "name         ends    whose\né            in 2 d\nsales\\u{1b}          stranger\n"
        );
        let coloured = table.text(Style::Coloured);
        assert!(
            coloured.contains("\x1b[32min 2 d\x1b[0m\n") && coloured.contains("\x1b[1;31mstranger\x1b[0m")
        );
        assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[1;31m", "").replace("\x1b[0m", ""), plain);
    }
}
