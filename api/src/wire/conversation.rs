//! What happens to a conversation, in words.

use super::details::Details;
use super::operations::Operations;
use rejoin::Event;
use rejoin_machine::Recollection;
use rejoin_machine::brief::Role;
use rejoin_machine::conversation::{Busy, Change, Message, Opening, Sort, Speaker};

/// What happened in a conversation, to it and to its turns.
pub(super) fn of_turns(event: &Event, operations: &mut Operations) -> Details {
    let none = Details::default();
    match event {
        Event::Conversation(change) => changed(change),
        Event::Admitted { messages } => none.number("messages", *messages),
        Event::Said { content } => none.payload("content", content),
        Event::PersonTold { op, notice } => none
            .op(*op)
            .run("conversation", notice.conversation)
            .text("agent", &notice.opening.agent)
            .given(notice.opening.user.as_ref(), |it, user| it.text("user", user))
            .payload("content", &notice.content),
        Event::PersonNotTold { op, failure } | Event::HandoffRefused { op, failure } => none.op(*op).failure(failure),
        Event::HandoffStarted { op, handoff } => {
            none.op(*op).payload("shown", &handoff.shown).shown_if(handoff.for_good, |it| it.flag("for_good", true))
        }
        Event::HandoffEnded { op, by, note } => {
            none.op(*op).text("by", by).given(note.as_ref(), |it, note| it.payload("note", note))
        }
        Event::CallShielded { op } | Event::CallInterrupted { op } => operations.details(*op),
        Event::UsageRecorded(usage) => none
            .number("input_tokens", usage.input_tokens)
            .number("output_tokens", usage.output_tokens)
            .number("cost_micros", usage.cost_micros),
        Event::RecallAwaited { op, what, .. } => none.op(*op).text("what", what),
        Event::Recalled { op, what, answer } => recalled(none.op(*op).text("what", what), answer),
        Event::RecallDelivered { op, answer } => recalled(none.op(*op), answer),
        Event::Retries { run, incarnation } => none.run("retried", *run).number("incarnation", *incarnation),
        // The rest has its words elsewhere.
        _ => none,
    }
}

fn recalled(details: Details, answer: &Recollection) -> Details {
    match answer {
        Recollection::Value(value) => details.payload("value", value),
        Recollection::Spawned(child) => details.run("child", *child),
        Recollection::Verdict(verdict) => details.text("answer", &verdict.answer),
        Recollection::Nothing => details,
        Recollection::Failed(failure) => details.failure(failure),
    }
}

/// What happened to a conversation.
fn changed(change: &Change) -> Details {
    let none = Details::default();
    match change {
        Change::Opened(Opening { agent, user, task, busy }) => none
            .text("agent", agent)
            .given(user.as_ref(), |it, user| it.text("user", user))
            .shown_if(*task, |it| it.flag("task", true))
            .shown_if(*busy != Busy::Queue, |it| it.text("busy", busy_name(*busy))),
        Change::Added(Message { speaker, sort, content, run, .. }) => {
            let details = none
                .text("speaker", speaker_name(speaker))
                .shown_if(*sort != Sort::Said, |it| it.text("sort", sort_name(*sort)))
                .given(*run, |it, run| it.run("run", run));
            match content {
                Ok(content) => details.payload("content", content),
                Err(failure) => details.failure(failure),
            }
        }
        Change::Joined { run, .. }
        | Change::Released { run }
        | Change::Ended { run }
        | Change::Interrupted { run }
        | Change::Listens { run }
        | Change::Ignores { run }
        | Change::ReviewAsked { run, .. } => none.run("run", *run),
        Change::Admitted { run, messages } => none.run("run", *run).number("messages", *messages),
        Change::AgentChanged { agent, run } => none.text("agent", agent).run("run", *run),
        Change::ReviewClaimed { by } => none.text("by", by),
        Change::ReviewEnded { by, note } => {
            none.text("by", by).given(note.as_ref(), |it, note| it.payload("note", note))
        }
    }
}

fn speaker_name(speaker: &Speaker) -> &str {
    match speaker {
        Speaker::Anonymous => "somebody",
        Speaker::User(name) | Speaker::Agent(name) | Speaker::Person(name) | Speaker::Workflow(name) => name,
    }
}

/// What a message is, as both the events and the messages of a conversation show it.
pub(crate) fn sort_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Said => "said",
        Sort::Reply => "reply",
        Sort::Task => "task",
        Sort::Handoff => "handoff",
        Sort::HandoffEnd => "handoff-end",
    }
}

fn busy_name(busy: Busy) -> &'static str {
    match busy {
        Busy::Queue => "queue",
        Busy::Reject => "reject",
        Busy::Interrupt => "interrupt",
        Busy::Coalesce => "coalesce",
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reads => "reads",
        Role::Speaks => "speaks",
        Role::Turn => "turn",
        Role::TakesOver => "takes-over",
    }
}
