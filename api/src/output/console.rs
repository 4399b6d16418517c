//! Standard output and standard error, and what the command ends with.

use super::Table;
use crate::error::Trouble;
use serde::Serialize;
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::process::ExitCode;

/// What shells expect of a command that was ended by SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Data goes out through it, and so does what is wrong.
pub(crate) struct Console {
    out: BufWriter<Stdout>,
    /// The reader of stdout has had enough (`| head`): no error, and nothing more is written.
    closed: bool,
    complained: bool,
    interrupted: bool,
}

impl Default for Console {
    fn default() -> Self {
        Console { out: BufWriter::new(io::stdout()), closed: false, complained: false, interrupted: false }
    }
}

impl Console {
    /// A line of data.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Trouble> {
        self.write(|out| writeln!(out, "{line}"))
    }

    /// A value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Trouble> {
        self.write(|out| {
            serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
            out.write_all(b"\n")
        })
    }

    /// Lets go what was written, for whoever waits for it.
    pub(crate) fn flush(&mut self) -> Result<(), Trouble> {
        self.write(|out| out.flush())
    }

    /// Standard output for what writes by itself.
    pub(crate) fn raw(&mut self) -> Raw<'_> {
        Raw(self)
    }

    /// A table, as wide as the terminal; as wide as it gets where stdout is none.
    pub(crate) fn table(&mut self, table: Table) -> Result<(), Trouble> {
        let rendered = table.render(comfy_table::Table::new().width());
        if !rendered.left_out.is_empty() {
            let left_out = rendered.left_out.join(", ");
            self.note(format_args!("no room for {left_out}; a wider terminal or --json shows more"));
        }
        rendered.lines.iter().try_for_each(|line| self.line(line))
    }

    /// Something to know that is no data and not wrong.
    pub(crate) fn note(&mut self, note: impl fmt::Display) {
        self.aside("note", &note);
    }

    /// Something is wrong; the exit status will say so too.
    pub(crate) fn complain(&mut self, trouble: &impl fmt::Display) {
        self.complained = true;
        self.aside("error", trouble);
    }

    /// Somebody has pressed Ctrl-C; the exit status will say so.
    pub(crate) fn interrupted(&mut self) {
        self.interrupted = true;
    }

    /// Writes what is left and tells how it went.
    pub(crate) fn finish(mut self) -> ExitCode {
        if let Err(trouble) = self.write(|_| Ok(())).and_then(|()| self.write(Write::flush)) {
            self.complain(&trouble);
        }
        match () {
            () if self.complained => ExitCode::FAILURE,
            () if self.interrupted => ExitCode::from(INTERRUPTED),
            () => ExitCode::SUCCESS,
        }
    }

    fn aside(&mut self, head: &str, what: &dyn fmt::Display) {
        // What was printed so far comes first; if it cannot be written, `finish` says so.
        let _ = self.out.flush();
        // With stderr gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{head}: {what}");
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) -> Result<(), Trouble> {
        if self.closed {
            return Ok(());
        }
        match write(&mut self.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.map_err(Trouble::Output),
        }
    }
}

/// See [`Console::raw`]. What a reader that has had enough does not take is dropped.
pub(crate) struct Raw<'a>(&'a mut Console);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.closed {
            return Ok(bytes.len());
        }
        match self.0.out.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.0.closed = true;
                Ok(bytes.len())
            }
            written => written.map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // The console does so at the end.
        Ok(())
    }
}
