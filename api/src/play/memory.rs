//! Which steps have been done, in a file beside the log: a process that comes after one that was killed goes on there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// How lines begin, and what they are.
const BEGUN: &str = "begun ";
const DONE: &str = "done";

/// See the head of this file.
pub(super) struct Memory {
    file: File,
    /// How many steps are surely done.
    done: usize,
    /// What is known of the next one, if it was begun: it may have been done.
    begun: Option<String>,
}

impl Memory {
    pub(super) fn open(path: &Path) -> io::Result<Memory> {
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let done = text.lines().filter(|line| *line == DONE).count();
        let begun = text.lines().last().and_then(|line| line.strip_prefix(BEGUN)).map(str::to_owned);
        Ok(Memory { file, done, begun })
    }

    /// Whether this step is done; it is not to be done again.
    pub(super) fn has(&self, step: usize) -> bool {
        step < self.done
    }

    /// What was noted where the next step was begun by another process.
    pub(super) fn begun(&self) -> Option<&str> {
        self.begun.as_deref()
    }

    /// To be called before a step is done, with what has to be known if that is not seen to its end.
    pub(super) fn begin(&mut self, what: &str) -> io::Result<()> {
        self.note(&format!("{BEGUN}{what}"))
    }

    /// To be called behind it.
    pub(super) fn end(&mut self) -> io::Result<()> {
        (self.done, self.begun) = (self.done + 1, None);
        self.note(DONE)
    }

    /// Written by one call, so that a process that is killed has written it or not.
    fn note(&mut self, what: &str) -> io::Result<()> {
        self.file.write_all(format!("{what}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let mut memory = Memory::open(&path).unwrap();
        assert_eq!((memory.has(0), memory.begun()), (false, None));
        memory.begin("").unwrap();
        memory.end().unwrap();
        assert_eq!((memory.has(0), memory.begun()), (true, None));
        memory.begin("a token").unwrap();
        let mut memory = Memory::open(&path).unwrap();
        assert_eq!((memory.has(0), memory.has(1), memory.begun()), (true, false, Some("a token")));
        memory.end().unwrap();
        let memory = Memory::open(&path).unwrap();
        assert_eq!((memory.has(1), memory.begun()), (true, None));
    }
}
