//! Lines that somebody types, as they come.

use std::io::{self, BufRead, Read};
use std::thread;
use tokio::sync::mpsc;

/// How much of a line is kept; the rest of a longer one is passed over.
const LONGEST: u64 = 4 << 20;

/// Lines of stdin.
pub(crate) struct Typed(Option<mpsc::Receiver<String>>);

impl Typed {
    /// Nobody types.
    pub(super) fn nothing() -> Typed {
        Typed(None)
    }

    /// These lines.
    #[cfg(test)]
    pub(crate) fn of(lines: mpsc::Receiver<String>) -> Typed {
        Typed(Some(lines))
    }

    /// Lines of stdin from now on. They are read by a thread that lives as long as the process: a read of stdin cannot be ended.
    pub(crate) fn of_stdin() -> Typed {
        let (lines, typed) = mpsc::channel(1);
        let started = thread::Builder::new().name("rejoin-stdin".to_owned()).spawn(move || read(&lines)).is_ok();
        Typed(Some(typed).filter(|_| started))
    }

    /// Whether somebody can type.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The next one; none comes where nobody types.
    pub(super) async fn next(&mut self) -> String {
        match self.line().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    /// The next one; `None` where nobody types, or not any more.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = self.0.as_mut()?.recv().await;
        if line.is_none() {
            self.0 = None;
        }
        line
    }
}

fn read(lines: &mpsc::Sender<String>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        match (&mut input).take(LONGEST).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        let whole = line.ends_with(b"\n") || (line.len() as u64) < LONGEST;
        let passed = whole || input.skip_until(b'\n').is_ok();
        if !passed || lines.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}
