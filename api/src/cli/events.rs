//! `rejoin events`: what happened to one run, event by event.

use super::Source;
use crate::error::Trouble;
use crate::history::{self, Fault};
use crate::log;
use crate::output::{Column, Console, Fit, Table, time};
use crate::wire::{EventView, Operations};
use clap::Args;
use rejoin::RunId;
use rejoin::history::Entry;
use rejoin_store::Record;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

const FIELDS: &str = "\
JSON: one object a line, oldest first:
  run       the run's id
  version   the number of the record, from 1: what happened together stands in one record
  index     the number of the event in its record, from 0; null for Resumed and Suspended, which are marks of the
            record, before and after its events
  time      when it happened
  name      what happened
  details   an object, by name:
    Triggered          workflow, version, project, origin, key, parent, parent_op, parent_incarnation, awaited, depth,
                       path, deadline, labels, input
    Completed          output
    Failed, TimedOut, Cancelled
                       FAILURE
    ContinuedAsNew     incarnation, children, signals (how many are carried over), input
    StepScheduled      op, step, max_attempts, timeout_ms, retry_initial_ms, retry_longest_ms, retry_growth_percent,
                       final_codes
    StepCompleted      op, step, attempt, output
    StepAttemptFailed  op, step, attempt, FAILURE, retry_at
    StepFailed         op, step, attempt, FAILURE
    ChildTriggered     op, workflow, version, child, call_key, mode, deadline, on_timeout, input_digest
    ChildRefused       op, workflow, FAILURE
    ChildCompleted     op, workflow, child, output
    ChildFailed, ChildCancelled
                       op, workflow, child, FAILURE
    ChildTimedOut      op, workflow, child, ended (whether the child has), FAILURE
    ResultIgnored      child
    CarriedChildEnded  child, and output or FAILURE
    TimerSet           op, at
    TimerFired         op
    SignalAwaited      op, signal, deadline
    SignalReceived     signal, id, payload
    SignalDelivered    op, signal, id
    SignalTimedOut     op, signal
    OperationDropped   op, and what it is
    PatchMarked        patch
    CancelRequested    cause, by, reason, grace_ms
    CancelDelivered    until
    Wedged             reason
    Suspended          due_at
  FAILURE is kind, code, message, retryable, failure_details. A field that has no value is left out. Inputs, outputs
  and payloads are the JSON that the program gave; one that is no JSON is shown as input_hex and so on.
Times are RFC 3339 in UTC. Fields and names may be added.";

/// Shows everything that happened to a run, in order.
///
/// Resumed and Suspended stand where the run went on, and where it came to rest with no step pending.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Events {
    #[command(flatten)]
    source: Source,
    /// The run's id, or enough of its beginning to tell it from all others.
    #[arg(value_name = "RUN")]
    run: Beginning,
}

const COLUMNS: [Column; 4] = [
    Column { title: "EVENT", fit: Fit::Whole },
    Column { title: "TIME", fit: Fit::Whole },
    Column { title: "NAME", fit: Fit::Whole },
    Column { title: "DETAILS", fit: Fit::Wraps },
];

impl Events {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut found = Found::default();
        log::read(&self.source.folder, |record| {
            if self.run.fits(RunId(record.stream.0)) {
                found.take(record);
            }
        })?;
        let Some(run) = found.only() else { return Err(self.not_one(&found)) };
        let views = views(run, &found.entries);
        if self.source.json {
            for view in &views {
                console.json(view)?;
            }
        } else {
            print(&views, console)?;
        }
        found.fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn not_one(&self, found: &Found) -> Trouble {
        let given = self.run.to_string();
        match found.runs.len() {
            0 => Trouble::UnknownRun { given, folder: self.source.folder.display().to_string() },
            count => Trouble::AmbiguousRun { given, examples: found.runs.iter().take(4).copied().collect(), count },
        }
    }
}

fn views(run: RunId, entries: &[Entry]) -> Vec<EventView> {
    let mut operations = Operations::default();
    entries.iter().flat_map(|entry| EventView::of(run, entry, &mut operations)).collect()
}

fn print(views: &[EventView], console: &mut Console) -> Result<(), Trouble> {
    let mut table = Table::new(&COLUMNS);
    for view in views {
        table.row([view.place(), time(view.at), view.name.to_owned(), view.details.to_string()]);
    }
    console.table(table)
}

/// What fits the beginning that was given.
#[derive(Default)]
struct Found {
    runs: BTreeSet<RunId>,
    /// The history of the only run.
    entries: Vec<Entry>,
    /// Where it cannot be read any further.
    fault: Option<Fault>,
}

impl Found {
    fn take(&mut self, record: &Record) {
        self.runs.insert(RunId(record.stream.0));
        if self.runs.len() > 1 {
            self.entries = Vec::new();
        } else if self.fault.is_none() {
            match history::decode(record) {
                Ok(entry) => self.entries.push(entry),
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    fn only(&self) -> Option<RunId> {
        self.runs.first().copied().filter(|_| self.runs.len() == 1)
    }
}

/// The beginning of a run's id, or all of it.
#[derive(Clone)]
struct Beginning {
    /// Four bits each.
    digits: Vec<u8>,
}

impl Beginning {
    fn fits(&self, run: RunId) -> bool {
        let digit = |place: usize| run.0[place / 2] >> (4 * (1 - place % 2)) & 0x0f;
        self.digits.iter().enumerate().all(|(place, wanted)| digit(place) == *wanted)
    }
}

impl FromStr for Beginning {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Beginning, &'static str> {
        const EXPECTED: &str = "a run is given by its id, or the beginning of it: up to 32 hexadecimal digits";
        let digits = text.chars().filter(|character| *character != '-').map(|character| character.to_digit(16));
        let digits: Option<Vec<u8>> = digits.map(|digit| digit.and_then(|digit| u8::try_from(digit).ok())).collect();
        digits.filter(|digits| (1..=32).contains(&digits.len())).map(|digits| Beginning { digits }).ok_or(EXPECTED)
    }
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, digit) in self.digits.iter().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{digit:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_fits_the_ids_that_begin_with_it() {
        let run = RunId([0x01, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let text = run.to_string();
        for end in 1..=text.len() {
            let beginning: Beginning = text[..end].to_uppercase().parse().unwrap();
            assert!(beginning.fits(run), "{}", &text[..end]);
        }
        for other in ["1", "02", "019abcdf", "019abcde-f001-0203-0405-060708090a0c"] {
            assert!(!other.parse::<Beginning>().unwrap().fits(run), "{other}");
        }
        assert_eq!(text.parse::<Beginning>().unwrap().to_string(), text);
    }

    #[test]
    fn what_cannot_begin_an_id_is_refused() {
        for bad in ["", "-", "xyz", "0 1", &"0".repeat(33)] {
            assert!(bad.parse::<Beginning>().is_err(), "{bad:?}");
        }
    }
}
