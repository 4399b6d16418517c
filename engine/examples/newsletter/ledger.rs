//! A line for each step that was executed: what a crash must not make twice with different keys.

use rejoin::Attempt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub fn new(path: &Path) -> Ledger {
        Ledger { path: path.to_owned() }
    }

    /// Appends `step, idempotency key`. One write, so that a line is there whole or not at all, whoever else writes.
    pub fn note(&self, step: &str, attempt: &Attempt) -> io::Result<()> {
        let line = format!("{step}, {}\n", attempt.idempotency_key());
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(line.as_bytes())
    }
}
