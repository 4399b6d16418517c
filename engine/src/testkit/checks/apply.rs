//! E1 and S3: records in order, which the machine can apply, and which say of the run's due time what the machine says.

use super::Report;
use crate::history::Entry;
use rejoin_machine::{Run, RunId};

pub(super) fn check(run: RunId, history: &[Entry], report: &mut Report<'_>) {
    for (place, entry) in (1..).zip(history) {
        if entry.version != place {
            report.say("S3", format_args!("record {} stands at place {place}", entry.version));
        }
    }
    let mut state: Option<Run> = None;
    for entry in history {
        for event in &entry.transition.events {
            let applied = match &mut state {
                Some(state) => state.apply(event, entry.time),
                None => Run::begin(run, event, entry.time).map(|begun| state = Some(begun)),
            };
            if let Err(error) = applied {
                return report.say("E1", format_args!("record {}: {error}", entry.version));
            }
        }
        let due = state.as_ref().and_then(|state| state.next_due(entry.time));
        if due != entry.transition.due {
            let noted = entry.transition.due;
            report.say("E1", format_args!("record {} notes due {noted:?}, the state says {due:?}", entry.version));
        }
    }
}
