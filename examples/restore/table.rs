//! Tables for people.

use unicode_width::UnicodeWidthStr;

use crate::shown::shown;

/// The gap between two columns.
const GAP: &str = "  ";

/// A table: each row has one cell for each of the `N` columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    /// The column that is aligned to the right, since it holds numbers.
    right: usize,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&str; N], right: usize) -> Table<N> {
        let rows = vec![header.map(str::to_owned)];
        Table { rows, right }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(shown));
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(widths).enumerate();
            let cells = cells.map(|(at, (cell, width))| {
                let blank = " ".repeat(width - cell.width());
                match at == self.right {
                    true => blank + cell,
                    false => cell.clone() + &blank,
                }
            });
            let line = cells.collect::<Vec<_>>().join(GAP);
            line.trim_end().to_owned()
        })
    }
}
