//! The terminal: a tree that is drawn anew in place, or plain lines where stdout goes somewhere else.

use crate::tree::Tree;
use rejoin::history::Entry;
use rejoin::{RunId, Timestamp};
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

pub struct Screen {
    tree: Option<Tree>,
    is_terminal: bool,
    /// How many lines of the tree are on the screen, above the cursor.
    drawn: usize,
    /// What happened before this was done by a process that is gone.
    opened: Timestamp,
}

impl Screen {
    pub fn new() -> Screen {
        Screen { tree: None, is_terminal: io::stdout().is_terminal(), drawn: 0, opened: now() }
    }

    /// A line of its own, above the tree.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.redraw(&format!("{text}\n"))
    }

    /// Shows this run from here on.
    pub fn show(&mut self, root: RunId) {
        self.tree = Some(Tree::new(root));
    }

    pub fn has_ended(&self) -> bool {
        self.tree.as_ref().is_some_and(Tree::has_ended)
    }

    /// Something happened.
    pub fn event(&mut self, run: RunId, entry: &Entry) -> io::Result<()> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        let lines = tree.apply(run, entry);
        if self.is_terminal {
            return self.redraw("");
        }
        let earlier = if entry.time < self.opened { " (recorded earlier)" } else { "" };
        let lines: String = lines.iter().map(|line| format!("{line}{earlier}\n")).collect();
        io::stdout().write_all(lines.as_bytes())
    }

    /// Time has passed.
    pub fn tick(&mut self) -> io::Result<()> {
        if self.is_terminal { self.redraw("") } else { Ok(()) }
    }

    /// Replaces the tree by these lines and the tree as it is now, in one write.
    fn redraw(&mut self, lines: &str) -> io::Result<()> {
        let tree = self.tree.as_ref().filter(|_| self.is_terminal);
        let tree = tree.map(|tree| tree.draw(self.opened, now())).unwrap_or_default();
        let mut output = String::new();
        if self.drawn > 0 {
            // Up to the tree's first line, and clear everything from there on.
            output += &format!("\x1b[{}A\x1b[J", self.drawn);
        }
        output += lines;
        self.drawn = tree.len();
        if !tree.is_empty() {
            // Lines that are too long are cut by the terminal: a wrapped one would count as two.
            output += &format!("\x1b[?7l{}\n\x1b[?7h", tree.join("\n"));
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(output.as_bytes())?;
        stdout.flush()
    }
}

#[expect(clippy::disallowed_methods, reason = "what the screen shows is no workflow's business")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
