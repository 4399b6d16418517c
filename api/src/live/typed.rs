//! Lines that somebody types, as they come.

use std::io::{self, BufRead, Read};
use std::thread;
use tokio::sync::mpsc;

/// How long a line may be; what is longer is none.
const LONGEST: u64 = 64 << 10;

/// Lines of stdin.
pub(super) struct Typed(Option<mpsc::Receiver<String>>);

impl Typed {
    /// Nobody types.
    pub(super) fn nothing() -> Typed {
        Typed(None)
    }

    /// These lines.
    #[cfg(test)]
    pub(super) fn of(lines: mpsc::Receiver<String>) -> Typed {
        Typed(Some(lines))
    }

    /// Lines of stdin from now on. They are read by a thread that lives as long as the process: a read of stdin cannot be ended.
    pub(super) fn of_stdin() -> Typed {
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
        if let Some(lines) = &mut self.0 {
            if let Some(line) = lines.recv().await {
                return line;
            }
            self.0 = None;
        }
        std::future::pending().await
    }
}

fn read(lines: &mpsc::Sender<String>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        match (&mut input).take(LONGEST).read_until(b'\n', &mut line) {
            Ok(1..) if lines.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_ok() => {}
            _ => return,
        }
    }
}
