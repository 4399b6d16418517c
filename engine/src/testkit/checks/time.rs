//! E9: nothing happens early, time does not go back, and what time brings comes in its order: none of it is forgotten.

use super::{Report, events};
use crate::history::Entry;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Event, OpNo, Span, Timestamp};
use std::collections::BTreeMap;

#[derive(Default)]
struct Clock {
    due: BTreeMap<OpNo, Timestamp>,
    deadline: Option<Timestamp>,
    grace: Option<Span>,
    cancelled: bool,
}

impl Clock {
    /// Time has brought an operation's end: it must have been due, and nothing else before it.
    fn passes(&mut self, op: OpNo, what: &str, entry: &Entry, report: &mut Report<'_>) {
        let record = entry.version;
        let Some(due) = self.due.remove(&op).filter(|due| *due <= entry.time) else {
            return report.say("E9", format_args!("record {record}: {what} before its time"));
        };
        let deadline = self.deadline.filter(|_| !self.cancelled);
        if deadline.is_some_and(|deadline| deadline < due) {
            report.say("E9", format_args!("record {record}: {what}, and the run's deadline was before that"));
        }
        if let Some((other, _)) = self.due.iter().find(|(_, other)| **other < due) {
            report.say("E9", format_args!("record {record}: {what}, and operation {other} was due before that"));
        }
    }
}

pub(super) fn check(history: &[Entry], report: &mut Report<'_>) {
    for pair in history.windows(2) {
        if pair[1].time < pair[0].time {
            report.say("E9", format_args!("record {} is earlier than the one before it", pair[1].version));
        }
    }
    let mut clock = Clock::default();
    for (entry, event) in events(history) {
        let record = entry.version;
        match event {
            Event::Triggered(trigger) => clock.deadline = trigger.deadline,
            Event::ContinuedAsNew(boundary) => {
                if boundary.trigger.deadline != clock.deadline {
                    report.say("E9", format_args!("record {record}: the next incarnation has another deadline"));
                }
                clock.due.clear();
            }
            Event::TimerSet { op, at } => drop(clock.due.insert(*op, *at)),
            Event::SignalAwaited { op, deadline, .. } | Event::ChildTriggered { op, deadline, .. } => {
                clock.due.extend(deadline.map(|deadline| (*op, deadline)));
            }
            Event::TimerFired { op } => clock.passes(*op, "a timer fired", entry, report),
            Event::SignalTimedOut { op } => clock.passes(*op, "a wait for a signal timed out", entry, report),
            Event::ChildTimedOut { op, ended: false, .. } => clock.passes(*op, "a call timed out", entry, report),
            Event::SignalDelivered { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::OperationDropped { op } => drop(clock.due.remove(op)),
            Event::CancelRequested { cause, grace, .. } => {
                (clock.grace, clock.cancelled) = (Some(*grace), true);
                if *cause == Cause::Deadline && clock.deadline.is_none_or(|deadline| entry.time < deadline) {
                    report.say("E9", format_args!("record {record}: the run's deadline passed before its time"));
                }
            }
            Event::CancelDelivered { until } => {
                clock.due.clear();
                let full = clock.grace.map(|grace| entry.time.after(grace));
                if full != Some(*until) {
                    report.say("E9", format_args!("record {record}: the grace is not as long as it was said"));
                }
            }
            _ => {}
        }
    }
}
