//! Lines with columns, for people. Knows nothing of what is in them.

use unicode_width::UnicodeWidthStr;

use crate::shown::shown;

/// Between two columns.
const GAP: &str = "  ";

/// Rows of as many cells as there are columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    /// The column whose cells end at the same place: numbers.
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
