//! A picture that stays in its place on the terminal, with a prompt below it where one is open.
//!
//! The terminal echoes what is typed at the prompt by itself, so a frame that keeps the prompt must not touch its row: lines are
//! inserted or removed above it, and the cursor is put back to where it was. A frame is one write, and each of its lines
//! is overwritten and not cleared first, so nothing flickers. The cursor is hidden within a frame only: whenever the process
//! ends, the terminal is in order.

use super::line::columns;
use std::fmt::Write;

/// No cursor, and what is too long is cut, not wrapped; then as it was.
const BEGIN: &str = "\u{1b}[?25l\u{1b}[?7l";
const END: &str = "\u{1b}[?7h\u{1b}[?25h";

/// What stands on the terminal.
#[derive(Default)]
pub(crate) struct Screen {
    lines: Vec<String>,
    prompt: Option<String>,
    /// How many rows what was typed has moved the cursor down.
    typed: usize,
}

impl Screen {
    /// A line was typed on a terminal of this width, which has moved the cursor below it.
    pub(crate) fn entered(&mut self, line: &str, width: usize) {
        let prompt = self.prompt.take().unwrap_or_default();
        let taken = columns(&prompt) + columns(line.trim_end_matches(['\r', '\n']));
        self.typed += taken.div_ceil(width.max(1)).max(1);
    }

    /// The first so many lines stay where they are for good, and are no part of the picture any more.
    pub(crate) fn settle(&mut self, lines: usize) {
        self.lines.drain(..lines.min(self.lines.len()));
    }

    /// The terminal has another size, and has moved what stands on it: nothing can be kept.
    pub(crate) fn resized(&mut self) {
        self.prompt = None;
    }

    /// What changes the picture on the terminal to these lines and this prompt; `None` if it is that already.
    pub(crate) fn frame(&mut self, lines: Vec<String>, prompt: Option<&str>) -> Option<String> {
        if self.typed == 0 && lines == self.lines && prompt == self.prompt.as_deref() {
            return None;
        }
        let keeps = self.typed == 0 && prompt.is_some() && prompt == self.prompt.as_deref();
        let frame = if keeps { self.above_the_prompt(&lines) } else { self.anew(&lines, prompt) };
        (self.lines, self.prompt, self.typed) = (lines, prompt.map(str::to_owned), 0);
        Some(frame)
    }

    /// The picture and the prompt from the picture's first row on.
    fn anew(&self, lines: &[String], prompt: Option<&str>) -> String {
        let mut frame = format!("{BEGIN}\r");
        up(&mut frame, self.lines.len() + self.typed);
        write_lines(&mut frame, lines);
        frame.push_str("\u{1b}[J");
        frame.push_str(prompt.unwrap_or_default());
        frame + END
    }

    /// The picture alone; the prompt and what was typed there are moved with it.
    fn above_the_prompt(&self, lines: &[String]) -> String {
        let (before, after) = (self.lines.len(), lines.len());
        let (more, fewer) = (after.saturating_sub(before), before.saturating_sub(after));
        let mut frame = BEGIN.to_owned();
        // Makes sure that there are rows below; at the end of the screen all of it moves up.
        frame.push_str(&"\u{1b}D".repeat(more));
        up(&mut frame, more);
        frame.push_str("\u{1b}7\r");
        up(&mut frame, before);
        for (count, change) in [(more, 'L'), (fewer, 'M')] {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(frame, "\u{1b}[{count}{change}");
            }
        }
        write_lines(&mut frame, lines);
        frame.push_str("\u{1b}8");
        up(&mut frame, fewer);
        if more > 0 {
            let _ = write!(frame, "\u{1b}[{more}B");
        }
        frame + END
    }
}

fn up(frame: &mut String, rows: usize) {
    if rows > 0 {
        // Writing to a string cannot fail.
        let _ = write!(frame, "\u{1b}[{rows}A");
    }
}

fn write_lines(frame: &mut String, lines: &[String]) {
    for line in lines {
        frame.extend([line, "\u{1b}[K\r\n"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much of a terminal as frames use.
    struct Terminal {
        rows: Vec<String>,
        at: (usize, usize),
        saved: (usize, usize),
    }

    impl Terminal {
        fn new(height: usize) -> Terminal {
            Terminal { rows: vec![String::new(); height], at: (0, 0), saved: (0, 0) }
        }

        fn down(&mut self) {
            if self.at.0 + 1 == self.rows.len() {
                self.rows.remove(0);
                self.rows.push(String::new());
            } else {
                self.at.0 += 1;
            }
        }

        fn put(&mut self, character: char) {
            let (row, column) = self.at;
            let mut cells: Vec<char> = self.rows[row].chars().collect();
            cells.resize(cells.len().max(column + 1), ' ');
            cells[column] = character;
            self.rows[row] = cells.into_iter().collect();
            self.at.1 += 1;
        }

        fn command(&mut self, parameter: &str, command: char) {
            let (count, height) = (parameter.parse().unwrap_or(1), self.rows.len());
            match command {
                'A' => self.at.0 = self.at.0.saturating_sub(count),
                'B' => self.at.0 = (self.at.0 + count).min(height - 1),
                'K' => self.rows[self.at.0] = self.rows[self.at.0].chars().take(self.at.1).collect(),
                'J' => {
                    self.command("", 'K');
                    self.rows[self.at.0 + 1..].iter_mut().for_each(String::clear);
                }
                'L' => {
                    for _ in 0..count {
                        self.rows.pop();
                        self.rows.insert(self.at.0, String::new());
                    }
                }
                'M' => {
                    for _ in 0..count {
                        self.rows.remove(self.at.0);
                        self.rows.push(String::new());
                    }
                }
                'h' | 'l' => assert!(parameter.starts_with('?')),
                other => panic!("unknown command {other:?}"),
            }
        }

        fn take(&mut self, text: &str) {
            let mut text = text.chars();
            while let Some(character) = text.next() {
                match character {
                    '\r' => self.at.1 = 0,
                    '\n' => self.down(),
                    '\u{1b}' => match text.next() {
                        Some('D') => self.down(),
                        Some('7') => self.saved = self.at,
                        Some('8') => self.at = self.saved,
                        _ => {
                            let parameter: String =
                                text.clone().take_while(|character| !character.is_ascii_alphabetic()).collect();
                            let command = text.nth(parameter.len()).unwrap();
                            self.command(&parameter, command);
                        }
                    },
                    character => self.put(character),
                }
            }
        }

        fn shown(&self) -> String {
            self.rows.join("\n").trim_end().to_owned()
        }
    }

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_typed_stays_while_the_picture_grows_and_shrinks() {
        for height in [6, 7, 30] {
            let (mut screen, mut terminal) = (Screen::default(), Terminal::new(height));
            terminal.take("$ run\r\n");
            terminal.take(&screen.frame(lines("a b"), Some("> ")).unwrap());
            terminal.take("yes");
            for picture in ["a b c", "a b c d", "x", "x y z", "x y z", ""] {
                if let Some(frame) = screen.frame(lines(picture), Some("> ")) {
                    terminal.take(&frame);
                }
                let expected = lines(picture).into_iter().chain(["> yes".to_owned()]).collect::<Vec<_>>().join("\n");
                assert!(terminal.shown().ends_with(&expected), "{height}: {}", terminal.shown());
                assert_eq!(terminal.shown().matches("> ").count(), 1);
            }
            // The line is entered: the prompt goes away, and nothing of it stays.
            terminal.take("\r\n");
            screen.entered("yes\n", 80);
            terminal.take(&screen.frame(lines("a b"), None).unwrap());
            assert!(terminal.shown().ends_with("a\nb"), "{}", terminal.shown());
            assert!(!terminal.shown().contains('>'), "{}", terminal.shown());
        }
    }

    #[test]
    fn what_has_settled_scrolls_away_above_the_picture() {
        for height in [6, 7, 30] {
            let (mut screen, mut terminal) = (Screen::default(), Terminal::new(height));
            terminal.take(&screen.frame(lines("card"), Some("> ")).unwrap());
            terminal.take("he");
            for word in ["one", "two", "three", "four", "five", "six"] {
                let text = format!("{word} card");
                terminal.take(&screen.frame(lines(&text), Some("> ")).unwrap());
                screen.settle(1);
                assert!(terminal.shown().ends_with(&format!("{word}\ncard\n> he")), "{height}: {}", terminal.shown());
            }
            assert_eq!((terminal.shown().matches("card").count(), terminal.shown().matches("six").count()), (1, 1));
            assert!(screen.frame(lines("card"), Some("> ")).is_none());
        }
    }

    #[test]
    fn a_line_that_took_several_rows_goes_away_whole() {
        let (mut screen, mut terminal) = (Screen::default(), Terminal::new(9));
        terminal.take(&screen.frame(lines("card"), Some("> ")).unwrap());
        // Ten columns: the prompt and 20 characters take three rows.
        terminal.take("abcdefgh\r\nijklmnopqr\r\nst\r\n");
        screen.entered("abcdefghijklmnopqrst\n", 10);
        terminal.take(&screen.frame(lines("card"), Some("> ")).unwrap());
        assert_eq!(terminal.shown(), "card\n>");
    }

    #[test]
    fn a_picture_that_has_not_changed_is_not_drawn_again() {
        let mut screen = Screen::default();
        assert!(screen.frame(lines("a"), None).is_some());
        assert!(screen.frame(lines("a"), None).is_none());
        assert!(screen.frame(lines("a"), Some("> ")).is_some());
    }
}
