//! A process, from its start to its end, and what it says in between.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a process may take that is to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process is to live.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// The library of its index.
    pub index: &'static str,
    /// For how long it keeps runs that have ended.
    pub keep: Option<Duration>,
}

/// A line, and when it was read.
pub struct Said {
    /// The line.
    pub line: String,
    /// When.
    pub at: Instant,
}

/// A process that lives.
pub struct Life {
    how: How,
    child: Child,
    reader: Option<JoinHandle<Vec<Said>>>,
}

impl Life {
    /// Starts a process.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn begin(how: How, command: &mut Command) -> Life {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the process starts");
        let reader = Some(listen(&mut child));
        Life { how, child, reader }
    }

    /// Whether it goes on.
    ///
    /// # Panics
    ///
    /// If that cannot be asked.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_none()
    }

    /// Ends it at once. What it said is for the client to look at.
    ///
    /// # Panics
    ///
    /// If it cannot be killed.
    pub fn kill(mut self) -> Dead {
        self.child.kill().expect("the process can be killed");
        self.bury()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it takes too long.
    pub fn end(mut self) -> Dead {
        let began = Instant::now();
        while self.is_alive() {
            if began.elapsed() > PATIENCE {
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.bury()
    }

    fn bury(mut self) -> Dead {
        let status = self.child.wait().expect("the process has ended");
        let died = Instant::now();
        let said = self.reader.take().map(|reader| reader.join().expect("the reader has ended"));
        Dead { how: self.how, status, died, said: said.unwrap_or_default() }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A test that fails leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub struct Dead {
    /// How it lived.
    pub how: How,
    /// How it ended.
    pub status: ExitStatus,
    /// When that was.
    pub died: Instant,
    /// Everything that it said.
    pub said: Vec<Said>,
}

/// Collects the whole lines that a process says.
fn listen(child: &mut Child) -> JoinHandle<Vec<Said>> {
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|length| length > 0) {
            if let Some(whole) = line.strip_suffix('\n') {
                lines.push(Said { line: whole.to_owned(), at: Instant::now() });
            }
            line.clear();
        }
        lines
    })
}
