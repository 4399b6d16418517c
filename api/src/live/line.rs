//! A line for people: pieces of text, each with a tint, cut to the terminal.
//!
//! Every text goes through [`Line::with`], which spells control characters out, so none reaches a terminal.

use crate::output::printable;

/// What a piece of text is, beside what it says: colour is never all that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Busy,
    Waiting,
}

impl Tint {
    /// The parameter of the escape sequence that selects it.
    fn code(self) -> Option<&'static str> {
        match self {
            Tint::Plain => None,
            Tint::Strong => Some("1"),
            Tint::Faint => Some("2"),
            Tint::Good => Some("32"),
            Tint::Bad => Some("31"),
            Tint::Busy => Some("36"),
            Tint::Waiting => Some("33"),
        }
    }
}

/// Pieces of text that stand on one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Vec<(Tint, String)>);

impl Line {
    /// Goes on with this text.
    pub(crate) fn with(mut self, tint: Tint, text: &str) -> Line {
        if !text.is_empty() {
            self.0.push((tint, printable(text)));
        }
        self
    }

    /// Goes on with another line's pieces.
    pub(crate) fn and(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// Filled with blanks up to this column.
    pub(super) fn pad(self, to: usize) -> Line {
        let blanks = " ".repeat(to.saturating_sub(self.width()));
        self.with(Tint::Plain, &blanks)
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// As text for a terminal, in so many columns at most.
    pub(crate) fn render(&self, width: usize, color: bool) -> String {
        let mut room = if self.width() <= width { usize::MAX } else { width.saturating_sub(1) };
        let (mut rendered, mut cut) = (String::new(), false);
        for (tint, text) in &self.0 {
            let fits = fitting(text, room);
            room = room.saturating_sub(columns(fits));
            match tint.code().filter(|_| color && !fits.trim().is_empty()) {
                Some(code) => rendered.extend(["\u{1b}[", code, "m", fits, "\u{1b}[0m"]),
                None => rendered.push_str(fits),
            }
            if fits.len() < text.len() {
                cut = true;
                break;
            }
        }
        if cut && width > 0 {
            rendered.push('…');
        }
        rendered.truncate(rendered.trim_end_matches(' ').len());
        rendered
    }
}

/// A text in lines of this width. Its own line breaks are kept, and a word that is too long is broken.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(2);
    let mut lines = Vec::new();
    for written in text.lines() {
        let (mut line, mut begun) = (String::new(), false);
        for word in printable(&written.replace('\t', "    ")).split(' ') {
            if begun && columns(&line) + 1 + columns(word) > width {
                lines.push(std::mem::take(&mut line));
            } else if begun {
                line.push(' ');
            }
            begun = true;
            line.push_str(word);
            while columns(&line) > width {
                let rest = line.split_off(fitting(&line, width).len());
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        lines.push(line);
    }
    lines
}

/// The beginning of a text that fits into so many columns.
fn fitting(text: &str, room: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, character)| {
        taken += column(*character);
        taken > room
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// How many columns a character takes on most terminals. One that is mistaken for narrower is cut by the terminal itself.
fn column(character: char) -> usize {
    match character {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out_whatever_the_text() {
        let line = Line::default().with(Tint::Bad, "a\u{1b}[2Jb\nc\u{9b}d");
        assert_eq!(line.render(80, false), "a\\u{1b}[2Jb\\nc\\u{9b}d");
        assert_eq!(line.render(80, true), "\u{1b}[31ma\\u{1b}[2Jb\\nc\\u{9b}d\u{1b}[0m");
    }

    #[test]
    fn texts_are_wrapped_and_words_that_are_too_long_are_broken() {
        assert_eq!(wrapped("aa bb\n\n  cc", 4), ["aa", "bb", "", "  cc"]);
        assert_eq!(wrapped("a abcdefghij k", 4), ["a", "abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("日本語", 1), ["日", "本", "語"]);
        assert_eq!(wrapped("a\u{1b}[2J", 80), ["a\\u{1b}[2J"]);
    }

    #[test]
    fn a_line_is_cut_to_the_columns_of_the_terminal() {
        let line = Line::default().with(Tint::Plain, "ab").with(Tint::Good, "日本語");
        assert_eq!(line.width(), 8);
        assert_eq!(line.render(8, false), "ab日本語");
        assert_eq!(line.render(7, false), "ab日本…");
        assert_eq!(line.render(6, false), "ab日…");
        assert_eq!(line.render(0, false), "");
        assert_eq!(line.render(7, true), "ab\u{1b}[32m日本\u{1b}[0m…");
    }
}
