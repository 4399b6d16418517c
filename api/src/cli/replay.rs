//! `rejoin replay`: one run event by event, with the state after each.

use super::Source;
use crate::error::Trouble;
use crate::find::{self, Beginning, Found};
use crate::output::{Column, Console, Fit, Table, time};
use crate::wire::StateView;
use clap::Args;
use rejoin::{Event, RunId, history::Entry};
use rejoin_machine::Run;

const FIELDS: &str = "\
JSON: one object a line, oldest first: an event and the state after it
  run       the run's id
  version   the number of the record, from 1
  index     the number of the event in its record, from 0
  time      when it happened
  name      what happened; `rejoin events` has its details
  state     the name of the run's state after it
  open      what its handler waits for then: [{op, kind, name, run, attempt, at, until}], with what applies; kind is
            step, child, timer or signal
  due_at    when something will be due, or null
Times are RFC 3339 in UTC. Fields may be added.";

/// Replays a run without its handler: event by event, with the state after each.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Replay {
    #[command(flatten)]
    source: Source,
    /// The run's id, or enough of its beginning to tell it from all others.
    #[arg(value_name = "RUN")]
    run: Beginning,
    /// Goes no further than this record: the last line is the state behind it.
    #[arg(long, value_name = "VERSION")]
    at: Option<u64>,
}

const COLUMNS: [Column; 6] = [
    Column { title: "EVENT", fit: Fit::Whole },
    Column { title: "TIME", fit: Fit::Spare },
    Column { title: "NAME", fit: Fit::Whole },
    Column { title: "STATE", fit: Fit::Whole },
    Column { title: "DUE", fit: Fit::Spare },
    Column { title: "OPEN", fit: Fit::Wraps },
];

impl Replay {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let Found { run: id, mut entries, fault } = find::history(&self.source.folder, &self.run)?;
        if let Some(at) = self.at {
            if !entries.iter().any(|entry| entry.version == at) {
                return Err(Trouble::NoRecord { run: id, at, last: entries.last().map_or(0, |entry| entry.version) });
            }
            entries.retain(|entry| entry.version <= at);
        }
        let (mut views, mut run, mut illegal) = (Vec::new(), None, None);
        'records: for entry in &entries {
            for (index, event) in entry.transition.events.iter().enumerate() {
                match after(id, run.take(), event, entry) {
                    Ok(next) => views.push(StateView::new(run.insert(next), entry, index, event)),
                    Err(reason) => {
                        illegal = Some(Trouble::Impossible { run: id, version: entry.version, index, reason });
                        break 'records;
                    }
                }
            }
        }
        if self.source.json {
            views.iter().try_for_each(|view| console.json(view))?;
        } else {
            let mut table = Table::new(&COLUMNS);
            for view in &views {
                let due = view.due_at.clone().unwrap_or_else(|| "-".to_owned());
                table.row([view.place(), time(view.at), view.name.to_owned(), view.state.to_owned(), due, view.open()]);
            }
            console.table(table)?;
        }
        let fault = fault.filter(|_| self.at.is_none()).map(Trouble::from);
        illegal.or(fault).map_or(Ok(()), Err)
    }
}

fn after(id: RunId, run: Option<Run>, event: &Event, entry: &Entry) -> Result<Run, String> {
    let applied = match run {
        Some(mut run) => run.apply(event, entry.time).map(|()| run),
        None => Run::begin(id, event, entry.time),
    };
    applied.map_err(|error| error.to_string())
}
