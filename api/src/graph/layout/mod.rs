//! Where boxes and lines are: boxes in rows, each below what leads to it, and the lines that lead back at the side.
//!
//! Rows of boxes and rows of labels take turns. A line that passes a row has a cell of its own in it, so it meets no box; between
//! rows it is free to lead aside.

mod order;
mod place;
mod rank;

/// How far things in a row are apart.
const APART: f64 = 28.0;
/// How high it is between two rows.
const BETWEEN: f64 = 24.0;
/// How far lines that lead back are apart.
const TRACK: f64 = 10.0;
/// How wide a line is that passes a row.
const PASSING: f64 = 12.0;
/// What is left free around everything.
const MARGIN: f64 = 24.0;
/// Farther to the right than anything is.
const FAR: f64 = 1e12;
/// What is left free at the corners of a box.
const CORNER: f64 = 14.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What is to be joined, and how large what stands on the line is.
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Option<Size>,
}

/// A line that is laid: its corners, and where its label stands. What leads neither straight down nor aside is bent.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) label: Option<Rect>,
}

pub(super) struct Layout {
    pub(super) size: Size,
    pub(super) boxes: Vec<Rect>,
    pub(super) ways: Vec<Way>,
}

/// Lays out boxes, of which the first is where it begins, and perhaps one stands below all others.
pub(super) fn layout(boxes: &[Size], lines: &[Line], last: Option<usize>) -> Layout {
    let ends: Vec<(usize, usize)> = lines.iter().map(|line| (line.from, line.to)).collect();
    let (back, ranks) = rank::ranks(boxes.len(), &ends, last);
    let mut grid = Grid::of(boxes, lines, &back, &ranks);
    order::order(&mut grid.rows, &grid.above, &grid.below);
    let widths: Vec<f64> = grid.cells.iter().map(|cell| cell.width).collect();
    grid.middles = place::place(&grid.rows, &widths, &grid.above, &grid.below);
    let loops = loops(lines, &back, &ranks);
    grid.set_heights(&loops);
    grid.laid(boxes, lines, &loops)
}

/// A line that leads back, with the row that it leaves and the one that it leads to.
struct Loop {
    line: usize,
    from: usize,
    to: usize,
}

/// Those that lead back, the shortest first: it is nearest to the boxes.
fn loops(lines: &[Line], back: &[bool], ranks: &[usize]) -> Vec<Loop> {
    let row = |of: usize| ranks[of] * 2;
    let mut loops: Vec<Loop> = (0..lines.len())
        .filter(|line| back[*line])
        .map(|line| Loop { line, from: row(lines[line].from), to: row(lines[line].to) })
        .collect();
    loops.sort_by_key(|it| (it.from - it.to, it.line));
    loops
}

/// Cells in rows. The first cells are the boxes, the others what passes or stands between them.
struct Grid {
    cells: Vec<Size>,
    row_of: Vec<usize>,
    rows: Vec<Vec<usize>>,
    /// The cells that lines join with a cell, in the row above and in the one below.
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Of each line that leads down, its cells from box to box.
    chains: Vec<Vec<usize>>,
    middles: Vec<f64>,
    /// From where to where rows go down.
    bands: Vec<(f64, f64)>,
}

impl Grid {
    fn of(boxes: &[Size], lines: &[Line], back: &[bool], ranks: &[usize]) -> Grid {
        let mut grid = Grid {
            cells: boxes.to_vec(),
            row_of: ranks.iter().map(|rank| rank * 2).collect(),
            rows: Vec::new(),
            above: vec![Vec::new(); boxes.len()],
            below: vec![Vec::new(); boxes.len()],
            chains: Vec::new(),
            middles: Vec::new(),
            bands: Vec::new(),
        };
        for (line, back) in lines.iter().zip(back) {
            let chain = if *back { Vec::new() } else { grid.chain(line) };
            grid.chains.push(chain);
        }
        let rows = grid.row_of.iter().max().map_or(0, |last| last + 1);
        grid.rows = vec![Vec::new(); rows];
        for (cell, row) in grid.row_of.iter().enumerate() {
            grid.rows[*row].push(cell);
        }
        grid
    }

    /// The cells of a line that leads down: its label is in the first row that it passes.
    fn chain(&mut self, line: &Line) -> Vec<usize> {
        let mut chain = vec![line.from];
        for row in self.row_of[line.from] + 1..self.row_of[line.to] {
            let passing = Size { width: PASSING, height: 0.0 };
            let label = line.label.filter(|_| chain.len() == 1);
            chain.push(self.cells.len());
            self.cells.push(label.unwrap_or(passing));
            self.row_of.push(row);
            self.above.push(Vec::new());
            self.below.push(Vec::new());
        }
        chain.push(line.to);
        for pair in chain.windows(2) {
            self.below[pair[0]].push(pair[1]);
            self.above[pair[1]].push(pair[0]);
        }
        chain
    }

    /// How far down each row is. Lines that lead back take room where they leave and where they come.
    fn set_heights(&mut self, loops: &[Loop]) {
        let mut y = MARGIN;
        for (number, row) in self.rows.iter().enumerate() {
            let coming = loops.iter().filter(|it| it.to == number).count();
            y += coming as f64 * TRACK;
            let height = row.iter().map(|cell| self.cells[*cell].height).fold(0.0, f64::max);
            self.bands.push((y, y + height));
            let leaving = loops.iter().filter(|it| it.from == number).count();
            y += height + BETWEEN + leaving as f64 * TRACK;
        }
    }

    fn rect(&self, cell: usize) -> Rect {
        let Size { width, height } = self.cells[cell];
        let (top, bottom) = self.bands[self.row_of[cell]];
        Rect {
            x: (self.middles[cell] - width / 2.0).round(),
            y: ((top + bottom - height) / 2.0).round(),
            width,
            height,
        }
    }

    fn laid(&self, boxes: &[Size], lines: &[Line], loops: &[Loop]) -> Layout {
        let rects: Vec<Rect> = (0..boxes.len()).map(|cell| self.rect(cell)).collect();
        let leaving = self.ports(&rects, lines, loops, false);
        let coming = self.ports(&rects, lines, loops, true);
        let mut ways: Vec<Way> = vec![Way::default(); lines.len()];
        for (line, chain) in self.chains.iter().enumerate().filter(|(_, chain)| !chain.is_empty()) {
            ways[line] = self.down(chain, lines[line].label.is_some(), leaving[line], coming[line], &rects);
        }
        let right = (0..self.cells.len()).map(|cell| self.rect(cell)).map(|it| it.x + it.width).fold(0.0, f64::max);
        let mut side = right + APART;
        for it in loops {
            let track = |same: &dyn Fn(&Loop) -> bool| {
                loops.iter().take_while(|other| other.line != it.line).filter(|other| same(other)).count() as f64
                    * TRACK
            };
            let below = self.bands[it.from].1 + TRACK + track(&|other| other.from == it.from);
            let above = self.bands[it.to].0 - TRACK - TRACK / 2.0 - track(&|other| other.to == it.to);
            let Line { from, to, label } = &lines[it.line];
            let (start, end) = (leaving[it.line], coming[it.line]);
            let points = vec![
                (start, rects[*from].y + rects[*from].height),
                (start, below),
                (side, below),
                (side, above),
                (end, above),
                (end, rects[*to].y),
            ];
            let (top, bottom) = self.bands[it.from];
            let beside = |size: &Size| Rect {
                x: side + 6.0,
                y: ((top + bottom - size.height) / 2.0).round(),
                width: size.width,
                height: size.height,
            };
            let label = label.as_ref().map(beside);
            side += label.map_or(0.0, |label| label.width + 6.0) + TRACK + 6.0;
            ways[it.line] = Way { points, label };
        }
        let height = self.bands.last().map_or(0.0, |band| band.1)
            + loops.iter().filter(|it| it.from + 1 == self.rows.len()).count() as f64 * TRACK;
        let size = Size { width: (side - APART + MARGIN).round(), height: (height + MARGIN).round() };
        Layout { size, boxes: rects, ways }
    }

    /// Where along its box each line leaves, or comes: in the order in which they lead aside, and those that lead back to the
    /// right of all others, the outermost first, so that they do not cross.
    fn ports(&self, rects: &[Rect], lines: &[Line], loops: &[Loop], coming: bool) -> Vec<f64> {
        let aside = |line: usize| match &self.chains[line][..] {
            [] => FAR - loops.iter().take_while(|it| it.line != line).count() as f64,
            chain if coming => self.middles[chain[chain.len() - 2]],
            chain => self.middles[chain[1]],
        };
        let mut ports = vec![0.0; lines.len()];
        for (number, rect) in rects.iter().enumerate() {
            let here = |line: &usize| if coming { lines[*line].to == number } else { lines[*line].from == number };
            let mut here: Vec<usize> = (0..lines.len()).filter(here).collect();
            here.sort_by(|a, b| aside(*a).total_cmp(&aside(*b)));
            let step = (rect.width - 2.0 * CORNER) / (here.len() as f64 + 1.0);
            for (place, line) in here.into_iter().enumerate() {
                ports[line] = (rect.x + CORNER + step * (place as f64 + 1.0)).round();
            }
        }
        ports
    }

    /// A line that leads down: through each row straight, and aside between them.
    fn down(&self, chain: &[usize], labelled: bool, leaving: f64, coming: f64, rects: &[Rect]) -> Way {
        let (first, last) = (chain[0], chain[chain.len() - 1]);
        let mut points = vec![(leaving, rects[first].y + rects[first].height)];
        points.push((leaving, self.bands[self.row_of[first]].1));
        for cell in &chain[1..chain.len() - 1] {
            let (top, bottom) = self.bands[self.row_of[*cell]];
            points.extend([top, bottom].map(|y| (self.middles[*cell].round(), y)));
        }
        points.push((coming, self.bands[self.row_of[last]].0));
        points.push((coming, rects[last].y));
        points.dedup();
        Way { points, label: labelled.then(|| self.rect(chain[1])) }
    }
}
