//! From history to state: the machine alone, and the handler held against it.

use crate::activation::{Activation, ReplayError, Surroundings};
use crate::history::Entry;
use crate::registry::Registry;
use rejoin_machine::{CallKey, Event, FailureKind, Issue, Run, RunId};

/// The state that a history leads to. It begins with the run's first record, or with the one that begins an incarnation.
pub(crate) fn state(id: RunId, history: &[Entry]) -> Result<Activation, ReplayError> {
    let mut activation: Option<Activation> = None;
    for entry in history {
        for event in &entry.transition.events {
            match &mut activation {
                Some(activation) => activation.run.apply(event, entry.time).map_err(ReplayError::Illegal)?,
                None if begins(event) => {
                    activation =
                        Some(Activation::new(Run::begin(id, event, entry.time).map_err(ReplayError::Illegal)?));
                }
                // The end of the incarnation before.
                None => {}
            }
        }
    }
    let mut activation = activation.ok_or_else(|| ReplayError::Diverged("the history has no beginning".to_owned()))?;
    activation.records = history.last().map_or(0, |entry| entry.version);
    Ok(activation)
}

fn begins(event: &Event) -> bool {
    matches!(event, Event::Triggered(_) | Event::ContinuedAsNew(_))
}

/// Why a replay went no further, and before which event.
pub(crate) struct Stop {
    pub(crate) version: u64,
    pub(crate) index: usize,
    pub(crate) error: ReplayError,
}

/// The run with its handler, brought to the end of its history.
pub(crate) fn activate(id: RunId, history: &[Entry], around: &Surroundings) -> Result<Activation, ReplayError> {
    activate_to(id, history, around).map_err(|stop| stop.error)
}

/// As [`activate`], and says where it ended if it did early.
pub(crate) fn activate_to(id: RunId, history: &[Entry], around: &Surroundings) -> Result<Activation, Stop> {
    let mut activation: Option<Activation> = None;
    for entry in history {
        let stop = |index| move |error| Stop { version: entry.version, index, error };
        for (index, event) in entry.transition.events.iter().enumerate() {
            let place = Place { entry, index };
            match &mut activation {
                Some(activation) => activation.replay(event, &place, around).map_err(stop(index))?,
                None if begins(event) => {
                    let run = Run::begin(id, event, entry.time).map_err(ReplayError::Illegal).map_err(stop(index))?;
                    activation = Some(Activation::new(run));
                }
                None => {}
            }
        }
        if let Some(activation) = &mut activation {
            activation.end_record(entry, around).map_err(stop(entry.transition.events.len()))?;
        }
    }
    let mut activation = activation.ok_or_else(|| {
        let error = ReplayError::Diverged("the history has no beginning".to_owned());
        Stop { version: 0, index: 0, error }
    })?;
    activation.records = history.last().map_or(0, |entry| entry.version);
    activation.go_live();
    Ok(activation)
}

/// Why a run cannot be handled here.
pub(crate) fn unregistered(run: &Run, registry: &Registry) -> String {
    let target = &run.trigger().target;
    let known = match registry.newest(target, run.brief()) {
        Some(newest) => format!("version {} is not registered (the newest is {newest})", target.version),
        None => registry.unknown(&target.name).message().to_owned(),
    };
    format!("workflow {:?}: {known}; register it and start again", target.name)
}

/// Where in a history.
pub(crate) struct Place<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) index: usize,
}

impl Place<'_> {
    pub(crate) fn diverged(&self, expected: &str, found: &str) -> ReplayError {
        let (version, index) = (self.entry.version, self.index);
        ReplayError::Diverged(format!("at event {version}.{index} the history has {expected}, the handler {found}"))
    }
}

/// What an event says the handler asked for, in words; `None` if the handler did not ask for it.
#[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
pub(crate) fn asked(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepScheduled { op, name, .. } => format!("step {name:?} (operation {op})"),
        Event::ChildTriggered { op, target, .. } => format!("a call of {:?} (operation {op})", target.name),
        Event::ChildRefused { op, name, .. } => format!("a call of {name:?} (operation {op})"),
        Event::TimerSet { op, .. } => format!("a sleep (operation {op})"),
        Event::SignalAwaited { op, name, .. } => format!("a wait for signal {name:?} (operation {op})"),
        Event::Streamed { attempt: 0, .. } => "a piece of a stream".to_owned(),
        Event::ApprovalRequested { op, .. } | Event::ApprovalRefused { op, .. } => {
            format!("an approval (operation {op})")
        }
        Event::Said { .. } => "to say something".to_owned(),
        Event::PersonTold { op, .. } | Event::PersonNotTold { op, .. } => {
            format!("a message to a person (operation {op})")
        }
        Event::HandoffStarted { op, .. } | Event::HandoffRefused { op, .. } => format!("a handoff (operation {op})"),
        Event::UsageRecorded(_) => "usage to be noted".to_owned(),
        Event::Recalled { what, .. } | Event::RecallAwaited { what, .. } => what.clone(),
        Event::CallCancelled { op, .. } => format!("the call {op} cancelled"),
        Event::GroupFormed { op, name, .. } => format!("group {name:?} (operation {op})"),
        Event::OperationDropped { op } => format!("operation {op} dropped"),
        Event::PatchMarked { id } => format!("patch {id:?}"),
        Event::ContinuedAsNew(_) => "to continue as new".to_owned(),
        Event::Completed { .. } => "the end, with a value".to_owned(),
        Event::Failed { .. } => "the end, with a failure".to_owned(),
        Event::Triggered(_)
        | Event::Started
        | Event::TimedOut { .. }
        | Event::Cancelled { .. }
        | Event::StepCompleted { .. }
        | Event::StepAttemptFailed { .. }
        | Event::StepFailed { .. }
        | Event::ChildCompleted { .. }
        | Event::ChildFailed { .. }
        | Event::ChildTimedOut { .. }
        | Event::ChildCancelled { .. }
        | Event::ResultIgnored { .. }
        | Event::CarriedChildEnded { .. }
        | Event::TimerFired { .. }
        | Event::SignalReceived { .. }
        | Event::SignalDelivered { .. }
        | Event::SignalTimedOut { .. }
        | Event::CancelRequested { .. }
        | Event::CancelDelivered { .. }
        | Event::Wedged { .. }
        | Event::Unwedged
        | Event::Briefed(_)
        | Event::AttemptTaken { .. }
        | Event::AttemptReturned { .. }
        | Event::ApprovalEscalated { .. }
        | Event::ApprovalDecided { .. }
        | Event::ApprovalExpired { .. }
        | Event::Paused { .. }
        | Event::Unpaused { .. }
        | Event::ParticipantCalled { .. }
        | Event::ParticipantRefused { .. }
        | Event::Conversation(_)
        | Event::Admitted { .. }
        | Event::HandoffEnded { .. }
        | Event::CallShielded { .. }
        | Event::Retries { .. }
        | Event::RecallDelivered { .. }
        | Event::CallInterrupted { .. }
        | Event::Streamed { .. } => return None,
    })
}

/// What the handler asks for, in the same words.
pub(crate) fn asks(issue: &Issue) -> String {
    match issue {
        Issue::Step { op, name, .. } => format!("step {name:?} (operation {op})"),
        Issue::Call { op, name, .. } => format!("a call of {name:?} (operation {op})"),
        Issue::Sleep { op, .. } => format!("a sleep (operation {op})"),
        Issue::Await { op, name, .. } => format!("a wait for signal {name:?} (operation {op})"),
        Issue::Emit { .. } => "a piece of a stream".to_owned(),
        Issue::Ask { op, .. } => format!("an approval (operation {op})"),
        Issue::Say { .. } => "to say something".to_owned(),
        Issue::Tell { op, .. } => format!("a message to a person (operation {op})"),
        Issue::HandOff { op, .. } => format!("a handoff (operation {op})"),
        Issue::Use(_) => "usage to be noted".to_owned(),
        Issue::CancelCall { op, .. } => format!("the call {op} cancelled"),
        Issue::Group { op, name, .. } => format!("group {name:?} (operation {op})"),
        Issue::Drop { op } => format!("operation {op} dropped"),
        Issue::Patch { id } => format!("patch {id:?}"),
        Issue::ContinueAsNew { .. } => "to continue as new".to_owned(),
        Issue::Return(Ok(_)) => "the end, with a value".to_owned(),
        Issue::Return(Err(failure)) => format!("the end, with a failure ({})", failure.message),
    }
}

/// A digest of what a child is to be given, if one is asked for.
pub(crate) fn input_digest(issue: &Issue) -> Option<u64> {
    match issue {
        Issue::Call { input, .. } => Some(input.digest()),
        _ => None,
    }
}

/// Whether the handler asks for what the event says it asked for. Options may change between versions of the code; what
/// an operation is, its name and what a child is given may not.
pub(crate) fn fits(issue: &Issue, event: &Event) -> bool {
    match (issue, event) {
        (Issue::Step { op, name, .. }, Event::StepScheduled { op: was, name: named, .. }) => op == was && name == named,
        (
            Issue::Call { op, name, input, mode, key, .. },
            Event::ChildTriggered { op: was, target, input_digest, mode: moded, key: keyed, .. },
        ) => {
            let same_key = match keyed {
                CallKey::Named(named) => key.as_ref() == Some(named),
                CallKey::Numbered { .. } => key.is_none(),
            };
            op == was && *name == target.name && input.digest() == *input_digest && mode == moded && same_key
        }
        (Issue::Call { op, name, .. }, Event::ChildRefused { op: was, name: named, .. }) => op == was && name == named,
        (Issue::Sleep { op, .. }, Event::TimerSet { op: was, .. }) => op == was,
        (Issue::Await { op, name, .. }, Event::SignalAwaited { op: was, name: named, .. }) => {
            op == was && name == named
        }
        (Issue::Emit { chunk }, Event::Streamed { chunk: was, .. }) => chunk == was,
        (Issue::Ask { op, .. }, Event::ApprovalRequested { op: was, .. } | Event::ApprovalRefused { op: was, .. }) => {
            op == was
        }
        (Issue::Say { content }, Event::Said { content: was }) => content == was,
        (Issue::Tell { op, notice }, Event::PersonTold { op: was, notice: told }) => {
            op == was && notice.as_ref().is_ok_and(|notice| *notice == **told)
        }
        (Issue::Tell { op, .. }, Event::PersonNotTold { op: was, .. })
        | (Issue::HandOff { op, .. }, Event::HandoffStarted { op: was, .. } | Event::HandoffRefused { op: was, .. }) => {
            op == was
        }
        (Issue::Use(usage), Event::UsageRecorded(was)) => usage == was,
        (issue, Event::Recalled { what, .. }) => asks(issue) == *what,
        (issue, Event::RecallAwaited { what, input, .. }) => asks(issue) == *what && input_digest(issue) == *input,
        (Issue::CancelCall { op, .. }, Event::CallCancelled { op: was, .. }) => op == was,
        (Issue::Group { op, name, members, .. }, Event::GroupFormed { op: was, name: named, members: these, .. }) => {
            op == was && name == named && members == these
        }
        (Issue::Drop { op }, Event::OperationDropped { op: was }) => op == was,
        (Issue::Patch { id }, Event::PatchMarked { id: was }) => id == was,
        (Issue::ContinueAsNew { .. }, Event::ContinuedAsNew(_)) => true,
        (Issue::Return(Ok(output)), Event::Completed { output: was }) => output == was,
        (Issue::Return(Err(_)), Event::Failed { .. }) => true,
        // A limit ended the run in place of what the handler asked for.
        (_, Event::Failed { failure }) => failure.kind == FailureKind::Limit,
        _ => false,
    }
}
