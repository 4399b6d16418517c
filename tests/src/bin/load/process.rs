//! Processes of this same program, one for each measurement.

use crate::arguments::Part;
use crate::error::{Error, Result};
use crate::plan::Measurement;
use serde::de::DeserializeOwned;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a measurement may be silent.
const PATIENCE: Duration = Duration::from_secs(180);

/// A process under way. It is killed when this is dropped, so that none outlives the tool.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a process that measures one part in `folder`.
    pub fn start(part: Part, measurement: &Measurement, folder: &Path) -> Result<Process> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--one").arg(part.name()).arg("--folder").arg(folder);
        command.arg("--index").arg(measurement.index.name());
        command.arg("--in-flight").arg(measurement.in_flight.to_string());
        command.arg("--runs").arg(measurement.runs.to_string());
        command.arg("--added-us").arg(measurement.added_us.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (say, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || forward(stdout, &say));
        }
        Ok(Process { child, lines })
    }

    /// Waits for its figures.
    pub fn figures<T: DeserializeOwned>(&mut self) -> Result<T> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(serde_json::from_str(&line)?),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::Process(format!("HANG: no figures came within {} s", PATIENCE.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Process(format!("no figures came: {}; what it said stands above", self.child.wait()?)))
            }
        }
    }

    /// Waits for its figures, and for its end.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        let figures = self.figures()?;
        // It has printed its last line; what is left is to leave.
        let status = self.child.wait()?;
        if status.success() { Ok(figures) } else { Err(Error::Process(format!("it ended badly: {status}"))) }
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both say no more than that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stdout: ChildStdout, say: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
        if say.send(line).is_err() {
            break;
        }
    }
}
