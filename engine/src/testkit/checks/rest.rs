//! E5, E9: when nothing is left to be done, whoever has not ended waits for something that can still come.

use super::{Model, Report, conversations};
use crate::history::Entry;
use crate::testkit::trace::Seen;
use rejoin_machine::brief::Kind;
use rejoin_machine::call::Mode;
use rejoin_machine::{Event, OpNo, RunId, Timestamp};
use std::collections::BTreeMap;

pub(super) fn check(model: &Model, seen: &Seen, report: &mut Report<'_>) {
    let Seen::Rested { at, waiting } = seen else { return };
    if *waiting > 0 {
        report.say("E5", format_args!("nothing is left to be done, and {waiting} callers have no answer"));
    }
    for run in model.runs() {
        let Some(history) = model.history(run) else { continue };
        let entries: Vec<Entry> = history.cloned().collect();
        if conversations::opening(&entries).is_some() {
            if let Some(turn) = conversations::stuck(&entries) {
                report.say("E5", format_args!("turn {turn} waits in conversation {run}, and nobody works there"));
            }
            continue;
        }
        let mut waiting = Waiting::default();
        entries.iter().flat_map(|entry| &entry.transition.events).for_each(|event| waiting.take(event));
        if let Some((id, why)) = waiting.stuck(model, *at) {
            report.say(id, format_args!("run {run} {why}"));
        }
    }
}

enum Wait {
    Step,
    Child(RunId, Option<Timestamp>),
    Until(Timestamp),
    Signal,
}

/// What a run waits for, and what else must bring it on.
#[derive(Default)]
struct Waiting<'a> {
    waits: BTreeMap<OpNo, Wait>,
    started: bool,
    /// It begins when it is its turn: others know when that is.
    queued: bool,
    queue: bool,
    continued: bool,
    paused: bool,
    ended: bool,
    wedged: Option<&'a str>,
    deadline: Option<Timestamp>,
    /// It is being cancelled.
    cancelled: bool,
    /// Its handler knows, and has time until then.
    grace: Option<Timestamp>,
}

impl<'a> Waiting<'a> {
    fn take(&mut self, event: &'a Event) {
        match event {
            Event::Triggered(trigger) => self.deadline = trigger.deadline,
            Event::Briefed(brief) => {
                let is_turn = brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
                (self.queue, self.queued) = (brief.queue.is_some(), !self.continued);
                self.queued &= self.queue || is_turn || brief.kind == Kind::Document;
            }
            // From now on it stands in a queue, or begins.
            Event::Admitted { .. } => self.queued = self.queue,
            Event::Started => self.started = true,
            Event::ContinuedAsNew(_) => {
                self.waits.clear();
                (self.started, self.continued) = (false, true);
            }
            Event::CancelRequested { .. } => self.cancelled = true,
            Event::CancelDelivered { until } => {
                self.waits.clear();
                self.grace = Some(*until);
            }
            Event::Wedged { reason } => self.wedged = Some(reason),
            Event::Unwedged => self.wedged = None,
            Event::Paused { .. } => self.paused = true,
            Event::Unpaused { .. } => self.paused = false,
            event if event.is_terminal() => self.ended = true,
            operation => self.operation(operation),
        }
    }

    fn operation(&mut self, event: &Event) {
        let (op, wait) = match event {
            Event::StepScheduled { op, .. } => (op, Some(Wait::Step)),
            Event::ChildTriggered { op, child, mode: Mode::Wait, deadline, .. } => {
                (op, Some(Wait::Child(*child, *deadline)))
            }
            Event::TimerSet { op, at } => (op, Some(Wait::Until(*at))),
            Event::ApprovalRequested { op, approval } => {
                (op, Some(approval.expires_at.map_or(Wait::Signal, Wait::Until)))
            }
            Event::HandoffStarted { op, handoff } if !handoff.for_good => (op, Some(Wait::Signal)),
            Event::SignalAwaited { op, deadline, .. } => (op, Some(deadline.map_or(Wait::Signal, Wait::Until))),
            Event::StepCompleted { op, .. }
            | Event::StepFailed { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::TimerFired { op }
            | Event::SignalDelivered { op, .. }
            | Event::SignalTimedOut { op }
            | Event::ApprovalDecided { op, .. }
            | Event::ApprovalExpired { op }
            | Event::HandoffEnded { op, .. }
            | Event::OperationDropped { op } => (op, None),
            _ => return,
        };
        match wait {
            Some(wait) => drop(self.waits.insert(*op, wait)),
            None => drop(self.waits.remove(op)),
        }
    }

    /// Why the run will never go on, if nothing that it waits for can come.
    fn stuck(&self, model: &Model, now: Timestamp) -> Option<(&'static str, String)> {
        let passed = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
        let silent = self.cancelled && self.grace.is_none();
        let waits_for_step = self.waits.values().any(|wait| matches!(wait, Wait::Step));
        let waits_too_long = self.waits.values().any(|wait| matches!(wait, Wait::Child(_, until) if passed(*until)));
        let can_come = |wait: &Wait| match wait {
            Wait::Step => false,
            Wait::Child(child, _) => is_alive(model, *child),
            Wait::Until(at) => *at > now,
            Wait::Signal => true,
        };
        if let Some(reason) = self.wedged.filter(|_| !self.ended) {
            return Some(("E14", format!("is wedged, and its handler fits: {reason}")));
        }
        let (id, why) = match () {
            () if self.ended => return None,
            () if passed(self.deadline) && !self.cancelled => ("E9", "goes on beyond its deadline"),
            () if passed(self.grace) => ("E9", "goes on beyond its grace"),
            () if self.paused => return None,
            () if !self.started && self.queued => return None,
            () if !self.started && !self.cancelled => ("E5", "was triggered and never started"),
            () if waits_for_step && !silent => ("E5", "waits for a step that nobody executes"),
            () if waits_too_long && !silent => ("E9", "waits for a child longer than it wants"),
            () if self.waits.is_empty() => ("E5", "waits for nothing and has not ended"),
            () if self.waits.values().any(can_come) => return None,
            () => ("E5", "waits for what has come already"),
        };
        Some((id, why.to_owned()))
    }
}

fn is_alive(model: &Model, run: RunId) -> bool {
    let has_ended = |entry: &Entry| entry.transition.events.iter().any(Event::is_terminal);
    model.history(run).is_some_and(|mut history| !history.any(has_ended))
}
