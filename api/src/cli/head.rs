//! `rejoin head`: what to keep elsewhere, so that a log that was cut or replaced shows.

use crate::error::Trouble;
use crate::heads;
use crate::output::Console;
use clap::Args;
use std::path::PathBuf;

const FIELDS: &str = "\
JSON: one object a line. The first is about the store:
  store    its id
  durable  the place of the last record in its log
  runs     how many runs follow
and each other line about a run, by id:
  run      its id
  version  how many records it has
  chain    its link of the hash chain: a digest of all of them
Fields may be added.";

/// Prints the heads of a log: JSON Lines, to be kept where who writes the folder cannot.
///
/// `rejoin verify DIR --head FILE` tells later whether everything that a head stands for is still there, unchanged.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Head {
    /// The data folder; no engine may have it open. Nothing in it is changed.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Changes nothing: heads are JSON in any case.
    #[arg(long)]
    json: bool,
}

impl Head {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let (store, runs) = heads::of(&self.folder)?;
        console.json(&store)?;
        runs.iter().try_for_each(|run| console.json(run))
    }
}
