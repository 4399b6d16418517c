//! E2, E4, E15: a run's life, its suspensions, and what may happen once somebody wants it to end.

use super::Report;
use crate::history::Entry;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Event, OpNo};
use std::collections::BTreeMap;

/// What a pending operation waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Step,
    Call,
    Timer,
    Signal,
    Approval,
    Handoff,
    Recall,
}

#[derive(Default)]
struct Life {
    triggered: bool,
    started: bool,
    incarnation: u32,
    open: BTreeMap<OpNo, Kind>,
    next: u32,
    cancel: Option<Cause>,
    delivered: bool,
    wedged: bool,
    paused: bool,
    ended: bool,
    /// It is a conversation, which has no handler.
    talks: bool,
}

impl Life {
    fn is_silent(&self) -> bool {
        self.cancel.is_some() && !self.delivered
    }

    /// The handler rests, and no step is pending.
    fn rests(&self) -> bool {
        (self.started || self.cancel.is_some())
            && !self.talks
            && !self.ended
            && !self.open.values().any(|kind| *kind == Kind::Step)
    }

    /// What may not happen now, in words.
    fn refuses(&self, event: &Event) -> Option<&'static str> {
        let asks = opens(event).is_some()
            || matches!(
                event,
                Event::OperationDropped { .. }
                    | Event::PatchMarked { .. }
                    | Event::ContinuedAsNew(_)
                    | Event::Said { .. }
                    | Event::UsageRecorded(_)
            );
        let ends = matches!(event, Event::Completed { .. } | Event::Failed { .. }) && !self.talks;
        let deadline = self.cancel == Some(Cause::Deadline);
        match event {
            Event::Triggered(_) if self.triggered => Some("triggered twice"),
            Event::Triggered(_) => None,
            _ if !self.triggered => Some("not triggered"),
            _ if self.ended => Some("has ended"),
            Event::Started if self.started => Some("started twice"),
            Event::Started if self.cancel.is_some() || self.wedged || self.paused => Some("started while it may not"),
            Event::CancelRequested { .. } if self.cancel.is_some() => Some("cancelled twice"),
            Event::CancelDelivered { .. } if !self.started || !self.is_silent() => Some("no cancellation to deliver"),
            Event::CancelDelivered { .. } if self.open.values().any(|kind| *kind == Kind::Call) => {
                Some("told of its cancellation before its children had ended")
            }
            Event::TimedOut { .. } if !deadline => Some("timed out without its deadline having passed"),
            Event::Cancelled { .. } if self.cancel.is_none() || deadline => Some("cancelled, and nobody asked for it"),
            Event::Wedged { .. } if self.wedged => Some("wedged twice"),
            Event::Unwedged if !self.wedged => Some("not wedged"),
            Event::Paused { .. } if self.paused || self.cancel.is_some() => Some("paused, or to end"),
            Event::Unpaused { .. } if !self.paused => Some("not paused"),
            _ if (asks || ends) && !self.started => Some("its handler was not called"),
            _ if (asks || ends) && self.wedged => Some("its handler is wedged"),
            _ if (asks || ends) && self.paused => Some("paused"),
            _ if (asks || ends) && self.is_silent() => Some("being cancelled, and its handler does not know"),
            Event::ContinuedAsNew(_) if self.cancel.is_some() => Some("being cancelled"),
            _ if ends && self.cancel.is_some() => Some("being cancelled"),
            _ => None,
        }
    }

    fn operation(&mut self, event: &Event, record: u64, report: &mut Report<'_>) {
        if let Some((op, kind)) = opens(event) {
            if op.0 < self.next {
                report.say("E2", format_args!("record {record}: operation {op} is opened again"));
            }
            self.next = op.0 + 1;
            self.open.extend(kind.map(|kind| (op, kind)));
        }
        if let Some((op, kind)) = closes(event) {
            match self.open.remove(&op) {
                Some(opened) if opened == kind => {}
                _ => report
                    .say("E2", format_args!("record {record}: {} of operation {op}, which is not open", event.name())),
            }
        }
        if let Event::OperationDropped { op } = event {
            self.open.remove(op);
        }
    }

    fn take(&mut self, event: &Event, record: u64, report: &mut Report<'_>) {
        if let Some(why) = self.refuses(event) {
            let id = if self.cancel.is_some() && !self.ended { "E15" } else { "E2" };
            report.say(id, format_args!("record {record}: {} of a run that is {why}", event.name()));
        }
        self.operation(event, record, report);
        match event {
            Event::Triggered(_) => self.triggered = true,
            Event::Started => self.started = true,
            Event::Conversation(_) => self.talks = true,
            Event::ContinuedAsNew(boundary) => {
                if boundary.incarnation != self.incarnation + 1 {
                    report.say(
                        "E2",
                        format_args!(
                            "record {record}: incarnation {} after {}",
                            boundary.incarnation, self.incarnation
                        ),
                    );
                }
                *self = Life { triggered: true, incarnation: boundary.incarnation, ..Life::default() };
            }
            Event::CancelRequested { cause, .. } => self.cancel = Some(*cause),
            Event::CancelDelivered { .. } => {
                self.delivered = true;
                self.open.clear();
            }
            Event::Wedged { .. } => self.wedged = true,
            Event::Unwedged => self.wedged = false,
            Event::Paused { .. } => self.paused = true,
            Event::Unpaused { .. } => self.paused = false,
            event if event.is_terminal() => {
                self.ended = true;
                self.open.clear();
            }
            _ => {}
        }
    }
}

/// The operation that an event opens, and what it waits for; nothing if it is settled at once.
fn opens(event: &Event) -> Option<(OpNo, Option<Kind>)> {
    use rejoin_machine::call::Mode;
    match event {
        Event::StepScheduled { op, .. } => Some((*op, Some(Kind::Step))),
        Event::ChildTriggered { op, mode: Mode::Wait, .. } => Some((*op, Some(Kind::Call))),
        Event::ChildTriggered { op, mode: Mode::Detach, .. } | Event::ChildRefused { op, .. } => Some((*op, None)),
        Event::TimerSet { op, .. } => Some((*op, Some(Kind::Timer))),
        Event::SignalAwaited { op, .. } => Some((*op, Some(Kind::Signal))),
        Event::ApprovalRequested { op, .. } => Some((*op, Some(Kind::Approval))),
        Event::RecallAwaited { op, .. } => Some((*op, Some(Kind::Recall))),
        Event::HandoffStarted { op, handoff } => Some((*op, (!handoff.for_good).then_some(Kind::Handoff))),
        Event::GroupFormed { op, .. }
        | Event::ApprovalRefused { op, .. }
        | Event::PersonTold { op, .. }
        | Event::PersonNotTold { op, .. }
        | Event::HandoffRefused { op, .. }
        | Event::Recalled { op, .. } => Some((*op, None)),
        _ => None,
    }
}

/// The operation that an event resolves, and what that must have waited for.
fn closes(event: &Event) -> Option<(OpNo, Kind)> {
    match event {
        Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } => Some((*op, Kind::Step)),
        Event::ChildCompleted { op, .. }
        | Event::ChildFailed { op, .. }
        | Event::ChildTimedOut { op, .. }
        | Event::ChildCancelled { op, .. } => Some((*op, Kind::Call)),
        Event::TimerFired { op } => Some((*op, Kind::Timer)),
        Event::SignalDelivered { op, .. } | Event::SignalTimedOut { op } => Some((*op, Kind::Signal)),
        Event::ApprovalDecided { op, .. } | Event::ApprovalExpired { op } => Some((*op, Kind::Approval)),
        Event::HandoffEnded { op, .. } => Some((*op, Kind::Handoff)),
        Event::RecallDelivered { op, .. } => Some((*op, Kind::Recall)),
        _ => None,
    }
}

pub(super) fn check(history: &[Entry], report: &mut Report<'_>) {
    let mut life = Life::default();
    let mut suspended = false;
    for entry in history {
        let (rested, record) = (life.rests(), entry.version);
        let mut told = false;
        for event in &entry.transition.events {
            let silent = life.is_silent() && !matches!(event, Event::CancelDelivered { .. });
            // What a wedged handler would be told waits until it fits its history again, and of a paused one until it goes on.
            told |= event.answer().is_some() && !silent && !life.wedged && !life.paused;
            told |= matches!(event, Event::Unwedged | Event::Unpaused { .. }) || event.is_terminal();
            life.take(event, record, report);
        }
        let marked = &entry.transition;
        if marked.resumed && !std::mem::replace(&mut suspended, false) {
            report.say("E4", format_args!("record {record} resumes a run that is not suspended"));
        }
        if marked.suspended && std::mem::replace(&mut suspended, true) {
            report.say("E4", format_args!("record {record} suspends a run that is suspended"));
        }
        if marked.resumed && !rested {
            report.say("E4", format_args!("record {record} resumes a run whose steps are pending"));
        }
        if rested && told && !marked.resumed {
            report.say("E4", format_args!("record {record} tells the handler something and does not resume the run"));
        }
        if marked.resumed && !told {
            report.say("E4", format_args!("record {record} resumes the run without a cause"));
        }
        if suspended != life.rests() {
            let (is, says) = if suspended { ("works", "suspended") } else { ("rests", "not suspended") };
            report.say("E4", format_args!("after record {record} the run {is} and the log says {says}"));
            suspended = life.rests();
        }
    }
}
