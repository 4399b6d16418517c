//! `rejoin runs`: all runs of a log, as the engine would list them.

use super::Source;
use crate::error::Trouble;
use crate::history::{self, Fault};
use crate::log;
use crate::output::{Column, Console, Fit, Table, printable, shorten, time, tree};
use crate::wire::RunView;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rejoin::{RunId, RunRow, RunStatus};
use rejoin_store::Lsn;
use rejoin_store::journal::Seen;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

const FIELDS: &str = "\
A child stands below its parent, the oldest first; \"…\" before a workflow says that its parent is not listed.

JSON: one object a line, newest first:
  id, project, workflow, version
  status        created, queued, paused, running, suspended, cancelling, wedged, completed, failed, timed-out or
                cancelled
  parent        the run that triggered it, or null
  depth         how many triggers stand above it
  key           the idempotency key that it was triggered with, or null
  labels        [{name, value}]
  triggered_at, updated_at
  due_at        when something will be due, or null
  incarnation   how often it has continued as new
  records       how many records it has in the log
  trouble       why it failed, is wedged or cannot be read, or null
Times are RFC 3339 in UTC. Fields may be added.";

/// Lists runs, newest first.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Runs {
    #[command(flatten)]
    source: Source,
    /// Only runs in this status.
    #[arg(long, value_parser = status_parser())]
    status: Option<RunStatus>,
    /// Only runs of this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
}

fn status_parser() -> impl TypedValueParser<Value = RunStatus> {
    PossibleValuesParser::new(RunStatus::ALL.map(RunStatus::name)).try_map(|name| {
        RunStatus::ALL.into_iter().find(|status| status.name() == name).ok_or("there is no such status")
    })
}

const COLUMNS: [Column; 8] = [
    Column { title: "ID", fit: Fit::Whole },
    Column { title: "STATUS", fit: Fit::Whole },
    Column { title: "WORKFLOW", fit: Fit::Wraps },
    Column { title: "VERSION", fit: Fit::Spare },
    Column { title: "RECORDS", fit: Fit::Spare },
    Column { title: "TRIGGERED", fit: Fit::Spare },
    Column { title: "UPDATED", fit: Fit::Spare },
    Column { title: "TROUBLE", fit: Fit::Wraps },
];

impl Runs {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut listing = Listing::default();
        log::read(&self.source.folder, |record| listing.take(record))?;
        let Listing { runs, faults, .. } = listing;
        let mut runs: Vec<Listed> = runs.into_values().filter(|run| self.wants(&run.row)).collect();
        runs.sort_by_key(|run| Reverse((run.row.triggered_at, run.first)));
        if self.source.json {
            for Listed { id, row, .. } in &runs {
                console.json(&RunView::new(*id, row))?;
            }
        } else if runs.is_empty() {
            console.note("no such runs");
        } else {
            print(&runs, console)?;
        }
        for fault in faults {
            console.complain(&fault);
        }
        Ok(())
    }

    fn wants(&self, row: &RunRow) -> bool {
        self.status.is_none_or(|status| row.status == status)
            && match &self.workflow {
                Some(workflow) => row.workflow == *workflow,
                // Conversations and documents are no runs.
                None => !row.workflow.starts_with('$'),
            }
    }
}

/// All runs, as the records so far have made them.
#[derive(Default)]
pub(super) struct Listing {
    runs: HashMap<RunId, Listed>,
    /// The first record of each run that cannot be read; the run stands as it was before that.
    pub(super) faults: Vec<Fault>,
    faulty: HashSet<RunId>,
}

struct Listed {
    id: RunId,
    /// The place of its first record: no child can be older than its parent.
    first: Lsn,
    row: RunRow,
}

impl Listing {
    /// The rows of all runs, and of conversations.
    pub(super) fn rows(&self) -> impl Iterator<Item = (RunId, &RunRow)> {
        self.runs.values().map(|listed| (listed.id, &listed.row))
    }

    pub(super) fn take(&mut self, record: &Seen<'_>) {
        let id = RunId(record.stream.0);
        if self.faulty.contains(&id) {
            return;
        }
        let entry = match history::decode(record) {
            Ok(entry) => entry,
            Err(fault) => return self.give_up(fault),
        };
        let (first, before) = match self.runs.remove(&id) {
            Some(run) => (run.first, Some(run.row)),
            None => (record.lsn, None),
        };
        match RunRow::fold(before, &entry, record.lsn.0) {
            Some(row) => {
                self.runs.insert(id, Listed { id, first, row });
            }
            None => {
                let reason = "it should trigger the run, and does not".to_owned();
                self.give_up(Fault::impossible(record, None, reason));
            }
        }
    }

    fn give_up(&mut self, fault: Fault) {
        if let Some(run) = self.runs.get_mut(&fault.run) {
            run.row.trouble = Some(format!("unreadable from record {} on: {}", fault.version, fault.reason));
        }
        self.faulty.insert(fault.run);
        self.faults.push(fault);
    }
}

fn print(runs: &[Listed], console: &mut Console) -> Result<(), Trouble> {
    let places: HashMap<RunId, usize> = runs.iter().enumerate().map(|(place, run)| (run.id, place)).collect();
    let parent = |run: &Listed| {
        let place = places.get(&run.row.parent?).copied()?;
        (runs[place].first < run.first).then_some(place)
    };
    let parents: Vec<_> = runs.iter().map(parent).collect();
    let mut table = Table::new(&COLUMNS);
    for (place, branch) in tree::order(&parents) {
        let Listed { id, row, .. } = &runs[place];
        let orphan = if row.parent.is_some() && parents[place].is_none() { "… " } else { "" };
        table.row([
            id.to_string(),
            row.status.to_string(),
            format!("{branch}{orphan}{}", printable(&row.workflow)),
            row.version.to_string(),
            row.records.to_string(),
            time(row.triggered_at),
            time(row.updated_at),
            row.trouble.as_deref().map_or_else(|| "-".to_owned(), |trouble| printable(&shorten(trouble, 300))),
        ]);
    }
    console.table(table)
}
