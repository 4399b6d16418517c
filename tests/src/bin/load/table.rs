//! Columns that stand in line.

use std::fmt;

/// A table of text. Numbers stand to the right, some columns to the left.
pub struct Table {
    left: &'static [usize],
    lines: Vec<Line>,
}

enum Line {
    Cells(Vec<String>),
    Text(String),
}

impl Table {
    /// An empty one, with these columns to the left.
    pub fn new(left: &'static [usize]) -> Table {
        Table { left, lines: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(Line::Cells(cells.into_iter().collect()));
    }

    /// Adds a line across all columns.
    pub fn line(&mut self, text: String) {
        self.lines.push(Line::Text(text));
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for line in &self.lines {
            let Line::Cells(cells) = line else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.len());
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for line in &self.lines {
            let text = match line {
                Line::Text(text) => text.clone(),
                Line::Cells(cells) => {
                    let columns = cells.iter().zip(&widths).enumerate();
                    let padded = columns.map(|(column, (cell, width))| {
                        if self.left.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                    });
                    padded.collect::<Vec<_>>().join("  ")
                }
            };
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A number with about three digits that mean something.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}
