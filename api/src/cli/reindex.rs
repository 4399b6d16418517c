//! `rejoin reindex`: makes the index of a stopped engine again from its log.

use crate::error::Trouble;
use crate::output::{Console, Meter};
use crate::wire::ReindexView;
use clap::{Args, ValueEnum};
use rejoin::Projection;
use rejoin_store::disk::{Disk, Folder};
use rejoin_store::index::{Backend, Fjall, Home, Sled};
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::{Log, OpenError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const FIELDS: &str = "\
JSON: one object:
  index         the library that keeps the index: sled or fjall
  runs          how many runs are in it
  milliseconds  how long that took
Fields may be added.";

/// How many entries are counted at a time.
const PAGE: usize = 4096;

/// Makes the index of a stopped engine again from its log.
///
/// Engines do that by themselves where they have to. This does it beforehand, for another library than before, or after
/// the log was put back from an older copy: the old index is removed first. As at any start, a torn end of a write that
/// was never acknowledged is cut off the log.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Reindex {
    /// The data folder; no engine may have it open.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The library that is to keep the index: the one that the engine is opened with.
    #[arg(long, value_name = "LIBRARY", default_value = "sled")]
    index: Library,
    /// Prints JSON, for programs; --help lists the fields.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Library {
    Sled,
    Fjall,
}

impl Reindex {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let backend: Arc<dyn Backend> = match self.index {
            Library::Sled => Arc::new(Sled),
            Library::Fjall => Arc::new(Fjall),
        };
        let index = backend.name();
        let begun = Instant::now();
        let disk = Folder::existing(&self.folder).map_err(|error| self.unreadable(&error))?;
        if !disk.list().map_err(|error| self.unreadable(&error))?.iter().any(|name| name == "MANIFEST") {
            return Err(Trouble::NoStore { folder: disk.name() });
        }
        let path = self.folder.join("index");
        remove(&disk, &path)?;
        let meter = Arc::new(Meter::new("of the log are in the index"));
        let report = meter.clone();
        let options = Options {
            upkeep: Upkeep::Inline,
            fold: Arc::new(Projection),
            index: Home::Folder { backend, path },
            progress: Some(Arc::new(move |progress| report.show(progress))),
            ..Options::default()
        };
        let journal = Journal::open(disk, options)?;
        meter.finish();
        if let Some(cut) = journal.cut() {
            console.note(format_args!(
                "{} bytes were cut off {} from byte {} on, of a write that was never acknowledged",
                cut.bytes, cut.file, cut.offset
            ));
        }
        let runs = count(&journal)?;
        // Closing is part of it: what is not closed is made again at the next start of the machine.
        drop(journal);
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.json {
            console.json(&ReindexView { index, runs, milliseconds })
        } else {
            console.line(format_args!("runs     {runs}"))?;
            console.line(format_args!("seconds  {}.{:03}", milliseconds / 1000, milliseconds % 1000))
        }
    }

    fn unreadable(&self, error: &io::Error) -> Trouble {
        Trouble::Folder { folder: self.folder.display().to_string(), reason: error.to_string() }
    }
}

/// Removes the old index, while nobody else can use it.
fn remove(disk: &Folder, path: &Path) -> Result<(), Trouble> {
    let _lock = match disk.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(OpenError::Locked { folder: disk.name() }.into()),
        Err(source) => return Err(OpenError::NotWritable { folder: disk.name(), source: Arc::new(source) }.into()),
    };
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Trouble::Index { path: path.display().to_string(), reason: error.to_string() })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn count(journal: &Journal) -> Result<u64, Trouble> {
    let mut runs = 0;
    let mut last = None;
    loop {
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = journal.scan(Projection::RUNS, (from, Bound::Unbounded), PAGE).map_err(OpenError::from)?;
        runs += page.len() as u64;
        match page.into_iter().last() {
            Some((key, _)) => last = Some(key),
            None => return Ok(runs),
        }
    }
}
