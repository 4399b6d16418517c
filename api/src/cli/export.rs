//! `rejoin export`: histories as JSON Lines.

use crate::error::Trouble;
use crate::find::Beginning;
use crate::history::{self, Fault};
use crate::log;
use crate::output::Console;
use crate::wire::{EventView, Operations};
use clap::Args;
use rejoin::export::{Line, Writer};
use rejoin::{Event, RunId};
use rejoin_store::journal::Seen;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

const FIELDS: &str = "\
JSON: one object a line, in the order of the log. The first one is {\"rejoin\": \"export\", \"format\": 1}, the last one
{\"end\": true, \"records\": how many}, and each other line is a record:
  run      the run's id
  version  the number of the record in its run, from 1
  time     when it happened, in microseconds since 1970
  events   what happened, for reading: as `rejoin events --json` has it
  format   what the payload is encoded as
  chain    the run's link of the hash chain, up to and including this record
  payload  the exact bytes of the record, in hexadecimal digits
`rejoin import` reads everything but events.";

/// Writes histories as JSON Lines: byte by byte what the log has, and the same for reading.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Export {
    /// The data folder; no engine may have it open. Nothing in it is changed.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only the tree of this run: the run that it begins with, and everything below. A beginning of its id is enough.
    #[arg(value_name = "RUN")]
    run: Option<Beginning>,
    /// Changes nothing: an export is JSON in any case.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let wanted = self.run.as_ref().map(|run| tree(&self.folder, run)).transpose()?;
        let mut operations: HashMap<RunId, Operations> = HashMap::new();
        let mut faults = Vec::new();
        let mut writer = Writer::new(console.raw()).map_err(Trouble::Output)?;
        let mut written = Ok(());
        log::read(&self.folder, |seen| {
            let run = RunId(seen.stream.0);
            if written.is_ok() && wanted.as_ref().is_none_or(|wanted| wanted.contains(&run)) {
                let views = views(seen, &mut operations, &mut faults);
                written = writer.record(&line(seen), &views);
            }
        })?;
        written.and_then(|()| writer.finish().map(drop)).map_err(Trouble::Output)?;
        faults.iter().for_each(|fault| console.complain(fault));
        Ok(())
    }
}

fn line(seen: &Seen<'_>) -> Line {
    let Seen { stream, version, time, format, chain, payload, .. } = *seen;
    Line { run: RunId(stream.0), version: version.0, time, format, chain, payload: payload.to_vec() }
}

fn views(seen: &Seen<'_>, operations: &mut HashMap<RunId, Operations>, faults: &mut Vec<Fault>) -> Vec<EventView> {
    let run = RunId(seen.stream.0);
    match history::decode(seen) {
        Ok(entry) => {
            let views = EventView::of(run, &entry, operations.entry(run).or_default());
            if entry.transition.events.iter().any(Event::is_terminal) {
                operations.remove(&run);
            }
            views
        }
        // Its bytes are exported all the same.
        Err(fault) => {
            faults.push(fault);
            Vec::new()
        }
    }
}

/// The runs of the tree that a run belongs to.
fn tree(folder: &Path, beginning: &Beginning) -> Result<HashSet<RunId>, Trouble> {
    let mut parents: HashMap<RunId, Option<RunId>> = HashMap::new();
    let mut order = Vec::new();
    log::read(folder, |seen| {
        let run = RunId(seen.stream.0);
        if seen.version.0 > 1 {
            return;
        }
        let parent = history::decode(seen).ok().and_then(|entry| match entry.transition.events.first() {
            Some(Event::Triggered(trigger)) => trigger.parent.map(|parent| parent.run),
            _ => None,
        });
        parents.insert(run, parent);
        order.push(run);
    })?;
    let mut root = beginning.only(folder, parents.keys().copied())?;
    // A parent that is gone is none; and no run is above itself, whatever the log says.
    let mut above = HashSet::from([root]);
    while let Some(Some(parent)) = parents.get(&root)
        && parents.contains_key(parent)
        && above.insert(*parent)
    {
        root = *parent;
    }
    let mut tree = HashSet::from([root]);
    // Parents stand before their children in the log.
    for run in order {
        if parents.get(&run).copied().flatten().is_some_and(|parent| tree.contains(&parent)) {
            tree.insert(run);
        }
    }
    Ok(tree)
}
