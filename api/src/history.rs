//! Histories held against the machine: what is in the log must also be something that could have happened.

use foldhash::fast::RandomState;
use rejoin::codec::{self, CodecError};
use rejoin::history::Entry;
use rejoin::{Event, RunId, Timestamp};
use rejoin_machine::{IllegalEvent, Run, Status};
use rejoin_store::journal::Seen;
use std::collections::HashMap;
use thiserror::Error;

/// A record that is as it was written, and yet cannot be read or cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("run {run}, {} ({file}, byte {offset}): {reason}; {advice}", place(*.version, *.index))]
pub(crate) struct Fault {
    pub(crate) run: RunId,
    pub(crate) version: u64,
    /// The event within the record; `None` if it is about the whole record.
    pub(crate) index: Option<usize>,
    /// Where the record stands.
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) advice: &'static str,
}

/// What to do about a record that is whole and makes no sense.
const ASK: &str = "the record is as it was written: keep a copy of the folder and ask those who maintain rejoin";

impl Fault {
    /// A record, or an event of it, that the run's history makes impossible.
    pub(crate) fn impossible(seen: &Seen<'_>, index: Option<usize>, reason: String) -> Fault {
        let (run, version, file) = (RunId(seen.stream.0), seen.version.0, seen.file.to_owned());
        Fault { run, version, index, file, offset: seen.offset, reason, advice: ASK }
    }
}

fn place(version: u64, index: Option<usize>) -> String {
    match index {
        Some(index) => format!("event {version}.{index}"),
        None => format!("record {version}"),
    }
}

/// The record as what it says happened.
pub(crate) fn decode(seen: &Seen<'_>) -> Result<Entry, Fault> {
    let (version, time) = (seen.version.0, Timestamp(seen.time));
    match codec::decode(seen.format, seen.payload) {
        Ok(transition) => Ok(Entry { version, time, transition }),
        Err(error) => {
            let advice = match error {
                CodecError::UnknownFormat(_) => "read the folder with that one",
                CodecError::Malformed(_) => ASK,
            };
            Err(Fault { advice, ..Fault::impossible(seen, None, error.to_string()) })
        }
    }
}

/// Every run, as the records so far have made it.
#[derive(Default)]
pub(crate) struct Histories {
    runs: HashMap<RunId, Stand, RandomState>,
    /// The first fault of each run that has one, in log order.
    pub(crate) faults: Vec<Fault>,
}

enum Stand {
    /// Nothing has happened to it.
    New,
    Alive(Box<Run>),
    /// Nothing can happen to it any more, so the name of its end is all that is kept in memory.
    Ended(&'static str),
    /// It has a fault; what follows cannot be judged.
    Faulty,
}

impl Histories {
    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Applies a record to its run.
    pub(crate) fn take(&mut self, seen: &Seen<'_>, decoded: Result<&Entry, Fault>) {
        let id = RunId(seen.stream.0);
        let stand = self.runs.entry(id).or_insert(Stand::New);
        let before = std::mem::replace(stand, Stand::Faulty);
        let after = match (before, decoded) {
            (Stand::Faulty, _) => Ok(Stand::Faulty),
            (before, Ok(entry)) => {
                follow(before, id, entry).map_err(|(index, why)| Fault::impossible(seen, index, why))
            }
            (_, Err(fault)) => Err(fault),
        };
        match after {
            Ok(after) => *stand = after,
            Err(fault) => self.faults.push(fault),
        }
    }
}

/// A run after one more record; or the event that does not fit, and why.
fn follow(mut stand: Stand, id: RunId, entry: &Entry) -> Result<Stand, (Option<usize>, String)> {
    if let Stand::Alive(run) = &stand
        && entry.time < run.time()
    {
        return Err((None, "it is dated before the record ahead of it".to_owned()));
    }
    for (index, event) in entry.transition.events.iter().enumerate() {
        let illegal = |error: IllegalEvent| (Some(index), error.to_string());
        stand = match stand {
            Stand::New => begin(id, event, entry).map_err(illegal)?,
            Stand::Alive(mut run) => {
                run.apply(event, entry.time).map_err(illegal)?;
                rest(run)
            }
            Stand::Ended(state) => return Err(illegal(IllegalEvent { event: event.name(), state })),
            Stand::Faulty => Stand::Faulty,
        };
    }
    match stand {
        Stand::New => Err((None, "it should trigger the run, and has no event".to_owned())),
        stand => Ok(stand),
    }
}

fn begin(id: RunId, event: &Event, entry: &Entry) -> Result<Stand, IllegalEvent> {
    // The machine can begin at a later incarnation; a whole history cannot.
    if !matches!(event, Event::Triggered(_)) {
        return Err(IllegalEvent { event: event.name(), state: "not triggered" });
    }
    Run::begin(id, event, entry.time).map(|run| rest(Box::new(run)))
}

fn rest(run: Box<Run>) -> Stand {
    match run.status() {
        Status::Closed(_) => Stand::Ended(run.state_name()),
        Status::Created | Status::Running | Status::Cancelling(_) => Stand::Alive(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin::{Payload, Transition};
    use rejoin_machine::{Boundary, Origin, Target, Trigger};
    use rejoin_store::{GENESIS, Lsn, StreamId, Version};

    fn trigger() -> Trigger {
        Trigger {
            project: "default".into(),
            target: Target { name: "report".into(), version: 1 },
            input: Payload::from(Vec::new()),
            origin: Origin::Api,
            key: None,
            parent: None,
            depth: 0,
            path: Vec::new(),
            deadline: None,
            labels: Vec::new(),
            seed: 0,
        }
    }

    fn anew() -> Event {
        let trigger = trigger();
        let (children, signals, signals_seen) = (Vec::new(), Vec::new(), Vec::new());
        let triggered_at = Timestamp(1);
        Event::ContinuedAsNew(Box::new(Boundary {
            incarnation: 1,
            trigger,
            triggered_at,
            children,
            signals,
            signals_seen,
        }))
    }

    /// The first fault of a run with these records: time and events.
    #[track_caller]
    fn check(records: &[(i64, &[Event])], expected: Option<&str>) {
        let mut histories = Histories::default();
        for (version, (time, events)) in (1..).zip(records) {
            let transition = Transition { events: events.to_vec(), ..Transition::default() };
            let seen = Seen {
                lsn: Lsn(version),
                stream: StreamId([7; 16]),
                version: Version(version),
                time: *time,
                format: codec::TRANSITION,
                previous: Lsn(0),
                chain: GENESIS,
                payload: &codec::encode(&transition).unwrap(),
                file: "a file",
                offset: 0,
            };
            histories.take(&seen, decode(&seen).as_ref().map_err(Clone::clone));
        }
        let said = histories.faults.first().map(|fault| (place(fault.version, fault.index), &*fault.reason));
        let said = said.map(|(place, reason)| format!("{place}: {reason}"));
        assert_eq!(said.as_deref(), expected);
        assert!(histories.faults.len() <= 1, "one fault of a run is enough");
    }

    #[test]
    fn a_history_begins_with_its_trigger() {
        let triggered = Event::Triggered(Box::new(trigger()));
        check(&[(1, &[triggered.clone(), Event::Started, anew()]), (2, &[Event::Started])], None);
        check(&[(1, &[Event::Started])], Some("event 1.0: Started cannot happen to a run that is not triggered"));
        check(&[(1, &[anew()])], Some("event 1.0: ContinuedAsNew cannot happen to a run that is not triggered"));
        check(&[(1, &[]), (1, &[triggered])], Some("record 1: it should trigger the run, and has no event"));
    }

    #[test]
    fn time_does_not_go_back_and_faults_are_told_once() {
        let triggered = Event::Triggered(Box::new(trigger()));
        let back = "record 2: it is dated before the record ahead of it";
        check(&[(5, &[triggered]), (4, &[Event::Started]), (3, &[Event::Unwedged])], Some(back));
    }
}
