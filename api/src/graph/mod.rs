//! A workflow's definition as boxes and arrows: what is drawn ([`Picture`]), where ([`layout`]), and in which language.

mod contents;
mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;

pub(crate) use mermaid::mermaid;
pub(crate) use svg::svg;

/// What is drawn. The first box is where it begins.
pub(crate) struct Picture {
    /// The workflow's name.
    title: String,
    /// What it does, in words, if somebody said so.
    describe: Option<String>,
    boxes: Vec<Item>,
    arrows: Vec<Arrow>,
    /// The box where it ends, if it can.
    end: Option<usize>,
}

/// A box.
struct Item {
    shape: Shape,
    /// What stands in it; the first line is its name.
    lines: Vec<String>,
    /// What is told beside that: tasks, questions and conditions in full.
    hint: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Where it begins, and where it ends.
    Terminal,
    Stage,
    Node,
    /// One way of several is taken.
    Choice,
    /// People are waited for.
    Person,
    /// Another workflow, on the way of a route.
    Workflow,
    /// It fails there.
    Failure,
}

/// A route.
struct Arrow {
    from: usize,
    to: usize,
    label: Option<String>,
    /// What is gone if something has not succeeded.
    dashed: bool,
}

/// The longest line that is shown whole, in columns.
const LONGEST: usize = 40;

/// One line without anything that commands whoever shows it, or that XML does not have.
fn plain(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(allowed).collect()
}

/// The same, of a bounded width.
fn short(text: &str) -> String {
    let text = plain(text);
    if columns(&text) <= LONGEST {
        return text;
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += columns_of(*c);
        width < LONGEST
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// How many columns a text takes where all letters are of one width.
fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Scripts of the east, and pictures, are two columns wide.
fn columns_of(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115f | 0x231a..=0x23ff | 0x2600..=0x27bf | 0x2e80..=0xa4cf | 0xac00..=0xd7a3
        | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f000..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}
