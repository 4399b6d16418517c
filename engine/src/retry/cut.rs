//! Where a run met the failure that it ended with.

use crate::context::EXPIRED;
use rejoin_machine::{Event, Failure, OpNo, Recollection};
use std::collections::BTreeSet;

/// Something that did not succeed.
struct Trouble<'a> {
    at: usize,
    op: OpNo,
    /// Nothing but time has passed, where there is none.
    failure: Option<&'a Failure>,
    /// Later nothing was under way any more, and the handler asked for something: it went on from this.
    passed: bool,
}

/// The place of the event from which on a run is done again: before it everything is as it was, failures included.
///
/// That is the failure that the run ended with; of several like it the first that the handler did not visibly go on from. Where
/// none is like it, the handler may have put the last one into its own words, unless it went on from that; and of a group that
/// failed, it is the first of its members that did. A run that failed by itself is done again from its end. What came after a
/// cancellation is done again in any case.
pub(super) fn cut(events: &[&Event]) -> usize {
    let end = events.iter().rev().find_map(|event| match event {
        Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => Some(failure),
        _ => None,
    });
    let troubles = troubles(events);
    let like = |trouble: &&Trouble<'_>| match (trouble.failure, end) {
        (Some(failure), Some(end)) => end.code == failure.code && end.message == failure.message,
        (None, Some(end)) => end.code == EXPIRED,
        (_, None) => false,
    };
    let same = || troubles.iter().filter(like);
    let last = || troubles.iter().rfind(|trouble| !trouble.passed);
    let met = same().find(|trouble| !trouble.passed).or_else(|| same().next()).or_else(last);
    let met = met.map(|met| first_of_its_group(events, &troubles, met));
    let cancelled = events.iter().position(|event| matches!(event, Event::CancelRequested { .. }));
    cancelled.into_iter().chain(met).min().unwrap_or(events.len())
}

fn first_of_its_group(events: &[&Event], troubles: &[Trouble<'_>], met: &Trouble<'_>) -> usize {
    let group = events.iter().find_map(|event| match event {
        Event::GroupFormed { members, .. } => Some(members).filter(|all| all.iter().any(|(_, op)| *op == met.op)),
        _ => None,
    });
    let first = group.and_then(|group| troubles.iter().find(|it| group.iter().any(|(_, op)| *op == it.op)));
    first.map_or(met.at, |first| first.at)
}

fn troubles<'a>(events: &[&'a Event]) -> Vec<Trouble<'a>> {
    let mut open = BTreeSet::new();
    let mut troubles: Vec<Trouble<'a>> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if open.is_empty() && crate::replay::asked(event).is_some() && !event.is_terminal() {
            troubles.iter_mut().rev().take_while(|trouble| !trouble.passed).for_each(|trouble| trouble.passed = true);
        }
        open.extend(opened(event));
        let settled = event.answer().and_then(|told| told.op());
        if let Some(op) = settled.or(dropped(event)) {
            open.remove(&op);
        }
        if let Some((op, failure)) = failed(event) {
            troubles.push(Trouble { at, op, failure, passed: false });
        }
    }
    troubles
}

/// The operation that has begun to wait.
fn opened(event: &Event) -> Option<OpNo> {
    match event {
        Event::StepScheduled { op, .. }
        | Event::ChildTriggered { op, .. }
        | Event::TimerSet { op, .. }
        | Event::SignalAwaited { op, .. }
        | Event::ApprovalRequested { op, .. }
        | Event::HandoffStarted { op, .. }
        | Event::RecallAwaited { op, .. } => Some(*op),
        _ => None,
    }
}

fn dropped(event: &Event) -> Option<OpNo> {
    match event {
        Event::OperationDropped { op } => Some(*op),
        _ => None,
    }
}

/// The operation that has not succeeded, if the event says so.
fn failed(event: &Event) -> Option<(OpNo, Option<&Failure>)> {
    match event {
        Event::StepFailed { op, failure }
        | Event::ChildFailed { op, failure }
        | Event::ChildTimedOut { op, failure, .. }
        | Event::ChildCancelled { op, failure }
        | Event::ChildRefused { op, failure, .. }
        | Event::ApprovalRefused { op, failure }
        | Event::PersonNotTold { op, failure }
        | Event::HandoffRefused { op, failure }
        | Event::Recalled { op, answer: Recollection::Failed(failure), .. }
        | Event::RecallDelivered { op, answer: Recollection::Failed(failure) } => Some((*op, Some(failure))),
        Event::ApprovalExpired { op } | Event::SignalTimedOut { op } => Some((*op, None)),
        Event::Recalled { op, answer: Recollection::Nothing, .. }
        | Event::RecallDelivered { op, answer: Recollection::Nothing } => Some((*op, None)),
        _ => None,
    }
}
