//! E6: a group that is settled lets none of its members work on unseen.

use super::Report;
use crate::history::Entry;
use rejoin_machine::call::GroupMode;
use rejoin_machine::{Event, FailureKind, OpNo};
use std::collections::BTreeMap;

/// How a call stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    /// It was asked to end.
    Hastened,
    Succeeded,
    Failed,
    /// That is an answer too.
    Cancelled,
}

#[derive(Default)]
struct Groups {
    calls: BTreeMap<OpNo, Call>,
    groups: BTreeMap<OpNo, (GroupMode, Vec<OpNo>)>,
    /// The handler is told nothing.
    held: bool,
}

pub(super) fn check(history: &[Entry], report: &mut Report<'_>) {
    let mut groups = Groups::default();
    for entry in history {
        entry.transition.events.iter().for_each(|event| groups.take(event));
        groups.settle(entry, report);
    }
}

impl Groups {
    fn take(&mut self, event: &Event) {
        match event {
            Event::ChildTriggered { op, .. } => drop(self.calls.insert(*op, Call::Open)),
            Event::GroupFormed { op, mode, members, .. } => {
                self.groups.insert(*op, (*mode, members.iter().map(|(_, op)| *op).collect()));
            }
            Event::ChildCompleted { op, .. } => self.end(*op, Call::Succeeded),
            Event::ChildCancelled { op, .. } => self.end(*op, Call::Cancelled),
            Event::ChildFailed { op, failure } if failure.kind == FailureKind::Cancelled => {
                self.end(*op, Call::Cancelled);
            }
            Event::ChildFailed { op, .. } | Event::ChildTimedOut { op, .. } | Event::ChildRefused { op, .. } => {
                self.end(*op, Call::Failed);
            }
            Event::CallCancelled { op, .. } | Event::OperationDropped { op } => {
                if let Some(call @ Call::Open) = self.calls.get_mut(op) {
                    *call = Call::Hastened;
                }
            }
            Event::Wedged { .. } | Event::Paused { .. } | Event::CancelRequested { .. } => self.held = true,
            Event::Unwedged | Event::Unpaused { .. } => self.held = false,
            Event::ContinuedAsNew(_) => *self = Groups::default(),
            event if event.is_terminal() => *self = Groups::default(),
            _ => {}
        }
    }

    fn end(&mut self, op: OpNo, how: Call) {
        self.calls.insert(op, how);
    }

    /// Looks at the groups that are settled by now; a handler that is told nothing cannot be blamed.
    fn settle(&mut self, entry: &Entry, report: &mut Report<'_>) {
        let calls = &self.calls;
        let count = |members: &[OpNo], how: Call| members.iter().filter(|op| calls.get(op) == Some(&how)).count();
        let is_settled = |mode: &GroupMode, members: &[OpNo]| match mode {
            GroupMode::All => count(members, Call::Failed) > 0,
            GroupMode::Collect => false,
            GroupMode::First => count(members, Call::Succeeded) > 0,
            GroupMode::Quorum(of) => count(members, Call::Succeeded) >= *of as usize,
        };
        let settled = self.groups.iter().filter(|(_, (mode, members))| is_settled(mode, members));
        let settled: Vec<OpNo> = settled.map(|(op, _)| *op).collect();
        for group in settled {
            let Some((_, members)) = self.groups.remove(&group) else { continue };
            let left = members.iter().find(|op| self.calls.get(op) == Some(&Call::Open));
            if let Some(member) = left.filter(|_| !self.held) {
                let record = entry.version;
                report
                    .say("E6", format_args!("record {record}: group {group} is settled, and member {member} works on"));
            }
        }
    }
}
