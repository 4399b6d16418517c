//! Where cells stand in their rows: in the middle of what they are joined with, as far as their neighbours let them.

use super::{APART, MARGIN};

/// How often it is gone down and up again.
const SWEEPS: usize = 6;

/// The middle of each cell.
pub(super) fn place(rows: &[Vec<usize>], widths: &[f64], above: &[Vec<usize>], below: &[Vec<usize>]) -> Vec<f64> {
    let mut middles = vec![0.0; widths.len()];
    rows.iter().for_each(|row| settle(row, widths, &mut middles, |_| 0.0));
    for _ in 0..SWEEPS {
        for row in rows {
            let seen = middles.clone();
            settle(row, widths, &mut middles, |cell| mean(cell, above, &seen));
        }
        for row in rows.iter().rev() {
            let seen = middles.clone();
            settle(row, widths, &mut middles, |cell| mean(cell, below, &seen));
        }
    }
    let left = middles.iter().zip(widths).map(|(middle, width)| middle - width / 2.0).fold(f64::INFINITY, f64::min);
    middles.iter().map(|middle| middle - left + MARGIN).collect()
}

/// The middle of what a cell is joined with, or else where it is.
fn mean(cell: usize, joined: &[Vec<usize>], middles: &[f64]) -> f64 {
    match joined[cell].len() {
        0 => middles[cell],
        count => joined[cell].iter().map(|other| middles[*other]).sum::<f64>() / count as f64,
    }
}

/// Puts the cells of a row as near as can be to where they want to be: those that are in each other's way stand side by side,
/// around the middle of what they want together.
fn settle(row: &[usize], widths: &[f64], middles: &mut [f64], wanted: impl Fn(usize) -> f64) {
    // Each group begins somewhere, is of some width, and has what its cells want its beginning to be.
    let mut groups: Vec<(f64, f64, usize)> = Vec::new();
    for cell in row {
        let mut group = (wanted(*cell) - widths[*cell] / 2.0, widths[*cell] + APART, 1);
        while let Some(left) = groups.last().copied().filter(|left| left.0 + left.1 > group.0) {
            groups.pop();
            let (first, then) = (left.2 as f64, group.2 as f64);
            let start = (left.0 * first + (group.0 - left.1) * then) / (first + then);
            group = (start, left.1 + group.1, left.2 + group.2);
        }
        groups.push(group);
    }
    let mut cells = row.iter();
    for (start, _, count) in groups {
        let mut x = start;
        for cell in cells.by_ref().take(count) {
            middles[*cell] = x + widths[*cell] / 2.0;
            x += widths[*cell] + APART;
        }
    }
}
