//! Tables: no lines, no colours; one line per row unless a terminal is too narrow.

use comfy_table::{ColumnConstraint, ContentArrangement, TableStyle, Width, presets};

/// The gap between two columns.
const GAP: u16 = 2;

/// How wide a column stays whose texts can be broken into lines, as long as others can be left out instead.
const READABLE: u16 = 24;

/// How narrow such a column may get; with less room, lines are left for the terminal to break.
const NARROWEST: u16 = 10;

/// A column of a table.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) fit: Fit,
}

/// What becomes of a column where there is not enough room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is never broken: somebody will copy from it.
    Whole,
    /// As long as it is shown it is never broken; the last of these goes first.
    Spare,
    /// Its texts are broken into lines.
    Wraps,
}

/// Rows of texts under titles.
pub(crate) struct Table {
    columns: &'static [Column],
    table: comfy_table::Table,
}

/// A table as lines.
pub(crate) struct Rendered {
    pub(crate) lines: Vec<String>,
    /// The titles of columns that there was no room for.
    pub(crate) left_out: Vec<&'static str>,
}

impl Table {
    pub(crate) fn new(columns: &'static [Column]) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(TableStyle::clone(&presets::NOTHING));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(columns.iter().map(|column| column.title));
        Table { columns, table }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells);
    }

    /// The table on a terminal of this width; `None`: no terminal, and no limit.
    pub(crate) fn render(mut self, width: Option<u16>) -> Rendered {
        let widths = self.table.column_max_content_widths();
        let (shown, room) = layout(self.columns, &widths, width);
        if let (Some(width), Room::Enough | Room::Tight) = (width, &room) {
            self.table.set_width(width);
        }
        for (place, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            let least = Width::Fixed(widths[place].min(READABLE) + GAP);
            match (shown[place], self.columns[place].fit, &room) {
                (false, ..) => column.set_constraint(ColumnConstraint::Hidden),
                (true, Fit::Whole | Fit::Spare, _) => column.set_constraint(ColumnConstraint::ContentWidth),
                (true, Fit::Wraps, Room::Enough) => column.set_constraint(ColumnConstraint::LowerBoundary(least)),
                (true, Fit::Wraps, Room::Tight | Room::TooLittle) => column,
            };
        }
        let lines = self.table.lines().map(|line| line.trim_end().to_owned()).collect();
        let left_out = self.columns.iter().zip(shown).filter(|(_, shown)| !shown);
        Rendered { lines, left_out: left_out.map(|(column, _)| column.title).collect() }
    }
}

/// How well the columns that are shown fit.
enum Room {
    /// Texts stay readable.
    Enough,
    /// Texts are broken as narrowly as it takes.
    Tight,
    /// They would be towers of letters.
    TooLittle,
}

/// Which columns are shown, and how well they fit.
fn layout(columns: &[Column], widths: &[u16], width: Option<u16>) -> (Vec<bool>, Room) {
    let room = width.map_or(u32::MAX, u32::from);
    let mut shown = vec![true; columns.len()];
    let needed = |shown: &[bool], narrowest: u16| -> u32 {
        let needed = |place: usize| match columns[place].fit {
            _ if !shown[place] => 0,
            Fit::Whole | Fit::Spare => u32::from(widths[place]) + u32::from(GAP),
            Fit::Wraps => u32::from(widths[place].min(narrowest) + GAP),
        };
        (0..columns.len()).map(needed).sum()
    };
    for (place, column) in columns.iter().enumerate().rev() {
        if column.fit == Fit::Spare && needed(&shown, READABLE) > room {
            shown[place] = false;
        }
    }
    let room = match () {
        () if needed(&shown, READABLE) <= room => Room::Enough,
        () if needed(&shown, NARROWEST) <= room => Room::Tight,
        () => Room::TooLittle,
    };
    (shown, room)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "ID", fit: Fit::Whole },
        Column { title: "AGE", fit: Fit::Spare },
        Column { title: "SIZE", fit: Fit::Spare },
        Column { title: "TEXT", fit: Fit::Wraps },
    ];

    fn render(width: Option<u16>) -> Rendered {
        let mut table = Table::new(&COLUMNS);
        table.row(["12345678".into(), "5".into(), "7".into(), "some words that do not fit into a line".into()]);
        table.render(width)
    }

    #[test]
    fn without_a_terminal_each_row_is_one_line() {
        let expected = ["ID        AGE  SIZE  TEXT", "12345678  5    7     some words that do not fit into a line"];
        assert_eq!(render(None).lines, expected);
        assert!(render(None).left_out.is_empty());
    }

    #[test]
    fn a_narrow_terminal_breaks_texts_and_leaves_spare_columns_out() {
        for width in 10..80 {
            let Rendered { lines, left_out } = render(Some(width));
            if width < 22 {
                assert_eq!((lines.len(), left_out.len()), (2, 2), "{width}: {lines:#?}");
                continue;
            }
            assert!(lines.iter().all(|line| line.len() <= usize::from(width)), "{width}: {lines:#?}");
            assert!(lines[1].starts_with("12345678"), "{width}: {lines:#?}");
            let expected: &[&str] = match width {
                ..41 => &["AGE", "SIZE"],
                41..47 => &["SIZE"],
                47.. => &[],
            };
            assert_eq!(left_out, expected, "{width}");
        }
    }
}
