//! `rejoin signal`: what a run waits for, from another terminal.

use super::participant::{Asking, Trouble};
use crate::host::ADDRESS;
use crate::output::Console;
use crate::project;
use clap::Args;
use rejoin::{RunId, RunToken};
use rejoin_store::disk::{Disk, Folder};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
The run is one that `rejoin run`, `rejoin resume` or `rejoin chat` is at work with, in another terminal.
Exit status: 0 it has the signal, durably; 1 it could not be sent, and stderr says why; 2 the command was not understood.";

/// Sends a signal to a run that waits for it, or will.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Signal {
    /// The run.
    run: RunId,
    /// The name of the signal.
    name: String,
    /// What it says, as JSON; what is none is taken as text.
    #[arg(default_value = "null")]
    payload: String,
    /// The folder of the project.
    #[arg(long, value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// The folder that the log is kept in; .rejoin beside the project where nothing is said.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Signal {
    pub(crate) fn execute(self, mut console: Console) -> ExitCode {
        if let Err(trouble) = self.send() {
            console.complain(&trouble);
        }
        console.finish()
    }

    fn send(self) -> Result<(), Trouble> {
        let data = self.data.unwrap_or_else(|| project::folder(&self.project).join(".rejoin"));
        let nobody = |reason: String| Trouble::NobodyThere { folder: data.display().to_string(), reason };
        // An address that somebody left who was killed may be anybody's by now, and the token is for the engine alone.
        let at_rest = || Ok(Folder::existing(&data)?.lock_read()?.is_some());
        if at_rest().map_err(|error: std::io::Error| nobody(error.to_string()))? {
            return Err(nobody("no process has it open".to_owned()));
        }
        let known = || Ok((fs::read_to_string(data.join(ADDRESS))?, RunToken::of_folder(&data, self.run)?));
        let (address, token) = known().map_err(|error: std::io::Error| nobody(error.to_string()))?;
        let payload = serde_json::from_str(&self.payload).unwrap_or(Value::String(self.payload));
        let asked =
            Asking::at(&address, token.to_string(), "signal")?.ask(&json!({ "name": self.name, "payload": payload }));
        match asked {
            Err(Trouble::Unreachable { reason, .. }) => Err(nobody(reason)),
            asked => asked.map(drop),
        }
    }
}
