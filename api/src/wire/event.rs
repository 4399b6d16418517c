//! An event of a run.

use super::conversation::{of_turns, role_name};
use super::details::Details;
use super::operations::Operations;
use super::run::LabelView;
use crate::output::time;
use rejoin::history::Entry;
use rejoin::{Event, Payload, RunId, Timestamp};
use rejoin_machine::brief::{Brief, Kind};
use rejoin_machine::call::{GroupMode, Mode, OnTimeout};
use rejoin_machine::cancel::Cause;
use rejoin_machine::retry::Policy;
use rejoin_machine::{Boundary, CallKey, Failure, OpNo, Origin, Span, Trigger};
use serde::{Serialize, Serializer};

/// An event of a run, or the mark of a record that the run went on or came to rest.
#[derive(Serialize)]
pub(crate) struct EventView {
    #[serde(serialize_with = "as_text")]
    run: RunId,
    version: u64,
    index: Option<usize>,
    #[serde(rename = "time", serialize_with = "as_time")]
    pub(crate) at: Timestamp,
    pub(crate) name: &'static str,
    pub(crate) details: Details,
}

fn as_text<S: Serializer>(run: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(run)
}

fn as_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

impl EventView {
    /// Everything that a record says.
    pub(crate) fn of(run: RunId, entry: &Entry, operations: &mut Operations) -> Vec<EventView> {
        let Entry { version, time: at, transition } = entry;
        let view = |index, name, details| EventView { run, version: *version, index, at: *at, name, details };
        let mut views = Vec::new();
        if transition.resumed {
            views.push(view(None, "Resumed", Details::default()));
        }
        for (index, event) in transition.events.iter().enumerate() {
            views.push(view(Some(index), event.name(), details(event, operations)));
        }
        if transition.suspended {
            let details = Details::default().given(transition.due, |it, due| it.time("due_at", due));
            views.push(view(None, "Suspended", details));
        }
        views
    }

    /// Its place in the run: version.index.
    pub(crate) fn place(&self) -> String {
        match self.index {
            Some(index) => format!("{}.{index}", self.version),
            None => self.version.to_string(),
        }
    }
}

fn details(event: &Event, operations: &mut Operations) -> Details {
    let none = Details::default();
    match event {
        Event::Triggered(trigger) => triggered(trigger),
        Event::Started | Event::Unwedged => none,
        Event::Completed { output } => none.payload("output", output),
        Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => none.failure(failure),
        Event::ContinuedAsNew(boundary) => continued(boundary, operations),
        Event::StepScheduled { op, name, policy, timeout } => scheduled(*op, name, policy, *timeout, operations),
        Event::StepCompleted { op, output } | Event::ChildCompleted { op, output } => {
            operations.details(*op).payload("output", output)
        }
        Event::StepAttemptFailed { op, failure, retry_at } => {
            let details = operations.details(*op).failure(failure).time("retry_at", *retry_at);
            operations.again(*op);
            details
        }
        Event::StepFailed { op, failure }
        | Event::ChildFailed { op, failure }
        | Event::ChildCancelled { op, failure } => operations.details(*op).failure(failure),
        Event::ChildTimedOut { op, failure, ended } => operations.details(*op).flag("ended", *ended).failure(failure),
        Event::ChildTriggered { .. } => called(event, operations),
        Event::ChildRefused { op, name, failure } => none.op(*op).text("workflow", name).failure(failure),
        Event::ResultIgnored { child } => none.run("child", *child),
        Event::CarriedChildEnded { child, result } => ended(*child, result),
        Event::TimerSet { op, at } => {
            operations.timer(*op);
            none.op(*op).time("at", *at)
        }
        Event::SignalAwaited { op, name, deadline } => {
            operations.signal(*op, name);
            operations.details(*op).given(*deadline, |it, deadline| it.time("deadline", deadline))
        }
        Event::SignalReceived { id, name, payload } => {
            none.text("signal", name).aside(|it| it.hex("id", &id.0)).payload("payload", payload)
        }
        Event::SignalDelivered { op, id } => operations.details(*op).aside(|it| it.hex("id", &id.0)),
        Event::TimerFired { op } | Event::SignalTimedOut { op } | Event::OperationDropped { op } => {
            operations.details(*op)
        }
        Event::PatchMarked { id } => none.text("patch", id),
        Event::CancelRequested { cause, by, reason, grace } => {
            none.text("cause", cause_name(*cause)).text("by", by).text("reason", reason).span("grace_ms", *grace)
        }
        Event::CancelDelivered { until } => none.time("until", *until),
        Event::Wedged { reason } => none.text("reason", reason),
        Event::Briefed(brief) => briefed(brief),
        other => of_others(other, operations),
    }
}

/// Groups, workers and people.
fn of_others(event: &Event, operations: &mut Operations) -> Details {
    let none = Details::default();
    match event {
        Event::CallCancelled { op, reason } => operations.details(*op).text("reason", reason),
        Event::GroupFormed { op, name, mode, members } => {
            let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
            none.op(*op).text("group", name).text("mode", mode_of(*mode)).json("items", &names)
        }
        Event::AttemptTaken { op, attempt, worker } => {
            operations.details(*op).number("attempt", *attempt).text("worker", worker)
        }
        Event::AttemptReturned { op, attempt } => operations.details(*op).number("attempt", *attempt),
        Event::ApprovalRequested { op, approval } => none
            .op(*op)
            .text("question", &approval.question)
            .json("answers", &approval.answers)
            .json("persons", &approval.persons)
            .given(approval.expires_at, |it, at| it.time("expires_at", at)),
        Event::ApprovalDecided { op, verdict } => none
            .op(*op)
            .text("answer", &verdict.answer)
            .text("by", &verdict.by)
            .given(verdict.comment.as_ref(), |it, comment| it.text("comment", comment)),
        Event::ApprovalRefused { op, failure } => none.op(*op).failure(failure),
        Event::ApprovalEscalated { op } | Event::ApprovalExpired { op } => none.op(*op),
        Event::Paused { by, reason } => none.text("by", by).text("reason", reason),
        Event::Unpaused { by } => none.text("by", by),
        Event::ParticipantCalled { target, child, key, deadline, .. } => none
            .text("workflow", &target.name)
            .number("version", target.version)
            .run("child", *child)
            .text("call_key", key)
            .given(*deadline, |it, deadline| it.time("deadline", deadline)),
        Event::ParticipantRefused { key, name, failure } => {
            none.text("workflow", name).text("call_key", key).failure(failure)
        }
        Event::Streamed { attempt, chunk } => none.number("attempt", *attempt).payload("chunk", chunk),
        other => of_turns(other, operations),
    }
}

fn triggered(trigger: &Trigger) -> Details {
    let Trigger { project, target, input, origin, key, parent, depth, path, deadline, labels, seed: _ } = trigger;
    Details::default()
        .text("workflow", &target.name)
        .number("version", target.version)
        .shown_if(project != "default", |it| it.text("project", project))
        .text("origin", origin_name(*origin))
        .given(key.as_ref(), |it, key| it.text("key", key))
        .given(*parent, |it, parent| {
            it.run("parent", parent.run)
                .number("parent_op", parent.op.0)
                .aside(|it| it.number("parent_incarnation", parent.incarnation))
                .shown_if(!parent.awaited, |it| it.flag("awaited", parent.awaited))
        })
        .shown_if(*depth > 0, |it| it.number("depth", *depth))
        .aside(|it| it.json("path", path))
        .given(*deadline, |it, deadline| it.time("deadline", deadline))
        .shown_if(!labels.is_empty(), |it| it.json("labels", &LabelView::all(labels)))
        .payload("input", input)
}

/// What is worth to be said of what a run was given: what it was not given is left out.
fn briefed(brief: &Brief) -> Details {
    let names = |pairs: &[(String, Payload)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    Details::default()
        .shown_if(brief.kind != Kind::Workflow, |it| it.text("kind", kind_name(brief.kind)))
        .given(brief.job.as_ref(), |it, job| it.text("job", job))
        .given(brief.queue.as_ref(), |it, queue| it.text("queue", queue))
        .given(brief.message.as_ref(), |it, message| it.text("message", message))
        .shown_if(!brief.metadata.is_empty(), |it| it.json("metadata", &names(&brief.metadata)))
        .shown_if(!brief.visitor.is_empty(), |it| it.json("visitor", &names(&brief.visitor)))
        .shown_if(!brief.dropped.is_empty(), |it| it.json("dropped_arguments", &brief.dropped))
        .given(brief.only.as_ref(), |it, only| it.json("only", only))
        .shown_if(brief.triggers_nothing, |it| it.flag("triggers_nothing", brief.triggers_nothing))
        .shown_if(brief.subagent, |it| it.flag("subagent", brief.subagent))
        .shown_if(brief.protected, |it| it.flag("protected", brief.protected))
        .given(brief.user.as_ref(), |it, user| it.text("user", user))
        .shown_if(!brief.documents.is_empty(), |it| {
            it.json("documents", &brief.documents.iter().map(|document| document.name.as_str()).collect::<Vec<_>>())
        })
        .given(brief.thread.as_ref(), |it, thread| {
            it.run("conversation", thread.conversation).text("role", role_name(thread.role))
        })
        .given(brief.begin_by, |it, by| it.time("begin_by", by))
        .given(brief.work_limit, |it, limit| it.span("work_limit_ms", limit))
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Workflow => "workflow",
        Kind::Agent => "agent",
        Kind::Conversation => "conversation",
        Kind::Document => "document",
    }
}

fn continued(boundary: &Boundary, operations: &mut Operations) -> Details {
    operations.forget();
    Details::default()
        .number("incarnation", boundary.incarnation)
        .shown_if(!boundary.children.is_empty(), |it| it.number("children", boundary.children.len() as u64))
        .shown_if(!boundary.signals.is_empty(), |it| it.number("signals", boundary.signals.len() as u64))
        .payload("input", &boundary.trigger.input)
}

fn scheduled(op: OpNo, name: &str, policy: &Policy, timeout: Option<Span>, operations: &mut Operations) -> Details {
    operations.step(op, name);
    Details::default()
        .op(op)
        .text("step", name)
        .given(policy.max_attempts, |it, most| it.number("max_attempts", most))
        .given(timeout, |it, timeout| it.span("timeout_ms", timeout))
        .aside(|it| {
            it.span("retry_initial_ms", policy.initial)
                .span("retry_longest_ms", policy.longest)
                .number("retry_growth_percent", policy.growth_percent)
        })
        .shown_if(!policy.final_codes.is_empty(), |it| it.json("final_codes", &policy.final_codes))
}

/// The details of [`Event::ChildTriggered`].
fn called(event: &Event, operations: &mut Operations) -> Details {
    let Event::ChildTriggered { op, target, child, key, input_digest, mode, deadline, on_timeout } = event else {
        return Details::default();
    };
    operations.call(*op, &target.name, *child);
    let name = match key {
        CallKey::Named(name) => Some(name),
        CallKey::Numbered { .. } => None,
    };
    let (mode, on_timeout) = (mode_name(*mode), on_timeout_name(*on_timeout));
    Details::default()
        .op(*op)
        .text("workflow", &target.name)
        .number("version", target.version)
        .run("child", *child)
        .given(name, |it, name| it.text("call_key", name))
        .text("mode", mode)
        .given(*deadline, |it, deadline| it.time("deadline", deadline).text("on_timeout", on_timeout))
        .aside(|it| it.hex("input_digest", &input_digest.to_be_bytes()))
}

fn ended(child: RunId, result: &Result<Payload, Failure>) -> Details {
    let details = Details::default().run("child", child);
    match result {
        Ok(output) => details.payload("output", output),
        Err(failure) => details.failure(failure),
    }
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Api => "api",
        Origin::Cli => "cli",
        Origin::Workflow => "workflow",
        Origin::Agent => "agent",
        Origin::Message => "message",
        Origin::Fork => "fork",
    }
}

fn mode_of(mode: GroupMode) -> String {
    match mode {
        GroupMode::All => "all".to_owned(),
        GroupMode::Collect => "collect".to_owned(),
        GroupMode::First => "first".to_owned(),
        GroupMode::Quorum(of) => format!("quorum of {of}"),
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Wait => "wait",
        Mode::Detach => "detach",
    }
}

fn on_timeout_name(on_timeout: OnTimeout) -> &'static str {
    match on_timeout {
        OnTimeout::Cancel => "cancel",
        OnTimeout::Detach => "detach",
    }
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Request => "request",
        Cause::Deadline => "deadline",
        Cause::Parent => "parent",
        Cause::Tree => "tree",
    }
}
