//! What a run does in a conversation: it waits for its turn, speaks, is interrupted, hands over to a person.

use crate::brief::{Kind, Role, Thread};
use crate::call::OnTimeout;
use crate::cancel::Cause;
use crate::command::{Command, Notice};
use crate::conversation::{self, MESSAGE, Message, Sort, Speaker};
use crate::decide::end_child;
use crate::effect::Effect;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::human::Handoff;
use crate::id::{OpNo, Payload};
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Outcome, Run, Status};
use crate::time::Timestamp;
use crate::trigger::{Origin, Trigger};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

impl Run {
    /// The conversation that it is a part of, as of the turn that it has.
    pub fn thread(&self) -> Option<Thread> {
        let thread = self.brief.thread.clone()?;
        Some(Thread { messages: self.admitted.unwrap_or(thread.messages), ..thread })
    }

    /// Whether it is a turn that has not been admitted.
    pub fn awaits_turn(&self) -> bool {
        let is_turn = self.brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
        is_turn && self.admitted.is_none() && self.incarnation == 0 && matches!(self.status, Status::Created)
    }

    /// Whether somebody else says when it begins, or it never does.
    pub fn waits_to_begin(&self) -> bool {
        self.is_queued() || self.awaits_turn() || self.brief.kind == Kind::Document
    }

    pub(crate) fn admit(&self, messages: u64, start: bool) -> Decision {
        self.check_alive()?;
        if !self.awaits_turn() {
            return Err(Rejection::Stale);
        }
        let mut events = vec![Event::Admitted { messages }];
        if start && self.brief.queue.is_none() && !self.is_held() {
            events.push(Event::Started);
        }
        Ok(events)
    }

    /// A message interrupts it: it ends, or goes on with the calls that outlast that.
    pub(crate) fn interrupt(&self, now: Timestamp, limits: &Limits) -> Decision {
        self.check_alive()?;
        if !self.shielded.iter().any(|op| self.ops.contains_key(op)) {
            let (by, reason) = ("the conversation".to_string(), "a message interrupted the turn".to_string());
            return self.request_cancel(Cause::Request, by, reason, None, now, limits);
        }
        let ends = |(op, pending): (&OpNo, &Op)| match pending {
            Op::Call { cancelled: None, .. } if !self.shielded.contains(op) => Some(Event::CallInterrupted { op: *op }),
            _ => None,
        };
        let events: Vec<Event> = self.ops.iter().filter_map(ends).collect();
        if events.is_empty() || self.holds_answers() { Err(Rejection::Stale) } else { Ok(events) }
    }

    pub(crate) fn say(&self, content: Payload, limits: &Limits) -> Decision {
        self.check_active()?;
        Rejection::check_size("a message", content.len(), limits.payload_bytes)?;
        self.speaks().ok_or(Rejection::NoConversation)?;
        Ok(vec![Event::Said { content }])
    }

    pub(crate) fn tell(&self, op: OpNo, notice: Result<Notice, Failure>, limits: &Limits) -> Decision {
        self.check_new_operation(op, limits)?;
        let fits = |notice: Notice| {
            let size = Rejection::check_size("a message", notice.content.len(), limits.payload_bytes);
            let name = Rejection::check_size("a name, key or label", notice.key.len(), limits.name_bytes);
            size.and(name).map(|()| notice).map_err(|rejection| refused(&rejection))
        };
        Ok(vec![match notice.and_then(fits) {
            Ok(notice) => Event::PersonTold { op, notice: Box::new(notice) },
            Err(failure) => Event::PersonNotTold { op, failure },
        }])
    }

    pub(crate) fn hand_off(&self, op: OpNo, handoff: Result<Handoff, Failure>, limits: &Limits) -> Decision {
        self.check_new_operation(op, limits)?;
        let fits = |handoff: Handoff| {
            let size = handoff.shown.len() + handoff.ending.as_ref().map_or(0, Payload::len);
            let fits = Rejection::check_size("a message", size, limits.payload_bytes);
            let speaks = self.speaks().map(drop).ok_or(Rejection::NoConversation);
            fits.and(speaks).map(|()| handoff).map_err(|rejection| refused(&rejection))
        };
        let for_good = handoff.as_ref().is_ok_and(|handoff| handoff.for_good);
        Ok(vec![match handoff.and_then(fits) {
            // Nobody would be told of a refusal: the flow ends with it.
            Err(_) if for_good => return Err(Rejection::NoHandoff),
            Ok(handoff) => Event::HandoffStarted { op, handoff: Box::new(handoff) },
            Err(failure) => Event::HandoffRefused { op, failure },
        }])
    }

    pub(crate) fn end_handoff(&self, op: OpNo, by: alloc::string::String, note: Option<Payload>) -> Decision {
        self.check_alive()?;
        match self.ops.get(&op) {
            Some(Op::Handoff { .. }) if !self.holds_answers() => Ok(vec![Event::HandoffEnded { op, by, note }]),
            Some(_) | None => Err(Rejection::Stale),
        }
    }

    pub(crate) fn add_handoff(&mut self, op: OpNo, handoff: &Handoff, time: Timestamp) -> bool {
        if handoff.for_good {
            self.handed_off = true;
            return self.number(op);
        }
        self.open(op, Op::Handoff { handoff: Box::new(handoff.clone()), since: time })
    }

    /// Whether it was handed over to a person, and ends with that.
    pub fn is_handed_off(&self) -> bool {
        self.handed_off
    }

    /// How a handler's value ends the run: one that was handed over for good has none.
    pub(crate) fn outcome_of(&self, output: &Payload) -> Outcome {
        if self.handed_off { Outcome::HandedOff(handed_off()) } else { Outcome::Completed(output.clone()) }
    }

    /// The conversation, where what the run says is seen in it.
    fn speaks(&self) -> Option<&Thread> {
        self.brief.thread.as_ref().filter(|thread| thread.role != Role::Reads)
    }

    /// What an event of the run means for its conversation.
    pub(crate) fn told(&self, event: &Event) -> Vec<Effect> {
        if let Event::PersonTold { notice, .. } = event {
            return self.notice(notice);
        }
        let Some(thread) = self.speaks() else { return Vec::new() };
        let name = || self.trigger.target.name.clone();
        let message = |sort, content: &Payload| {
            let (speaker, content) = (Speaker::Agent(name()), Ok(content.clone()));
            Message { speaker, sort, content, run: Some(self.id), id: None }
        };
        let end = |result| conversation::Command::End { run: self.id, agent: name(), result };
        // Whoever called one that only speaks is told of its failure, and says what there is to say.
        let failed = |failure: &Failure| end(thread.role.is_turn().then(|| Err(failure.clone())));
        let waits = |op: &OpNo| self.ops.get(op).is_some_and(Op::awaits_message);
        let command = match event {
            // One that was kept is taken at once.
            Event::SignalAwaited { name, .. }
                if name == MESSAGE && !self.signals.iter().any(|it| it.name == MESSAGE) =>
            {
                conversation::Command::Listen { run: self.id }
            }
            Event::SignalTimedOut { op } | Event::OperationDropped { op } if waits(op) => {
                conversation::Command::Ignore { run: self.id }
            }
            Event::Said { content } => conversation::Command::Add(message(Sort::Said, content)),
            Event::HandoffStarted { op, handoff } => conversation::Command::AskReview {
                run: self.id,
                op: (!handoff.for_good).then_some(*op),
                message: message(Sort::Handoff, &handoff.shown),
            },
            Event::HandoffEnded { op, .. } => match self.ops.get(op) {
                Some(Op::Handoff { handoff, .. }) => match &handoff.ending {
                    Some(ending) => conversation::Command::Add(message(Sort::HandoffEnd, ending)),
                    None => return Vec::new(),
                },
                _ => return Vec::new(),
            },
            Event::Completed { output } => {
                let silent = self.handed_off || output.bytes() == b"null";
                end((!silent).then(|| Ok(output.clone())))
            }
            Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => failed(failure),
            _ => return Vec::new(),
        };
        vec![thread.tell(command)]
    }

    /// What its conversation is told where all that it waits for is over at once: it takes no message any more.
    pub(crate) fn asks_no_more(&self) -> Vec<Effect> {
        let Some(thread) = self.speaks() else { return Vec::new() };
        let asks = self.ops.values().filter(|op| op.awaits_message());
        asks.map(|_| thread.tell(conversation::Command::Ignore { run: self.id })).collect()
    }

    /// A message to a person: the conversation is opened where it is not there.
    fn notice(&self, notice: &Notice) -> Vec<Effect> {
        let Notice { conversation, key, opening, content } = notice.clone();
        let seed = conversation.seed(self.trigger.seed);
        let origin = if self.brief.kind == Kind::Agent { Origin::Agent } else { Origin::Workflow };
        let trigger = Trigger::of_conversation(&self.trigger.project, &opening, Some(key), origin, seed);
        let speaker = Speaker::Agent(opening.agent.clone());
        let message = Message { speaker, sort: Sort::Said, content: Ok(content), run: Some(self.id), id: None };
        let command = Command::Conversation(Box::new(conversation::Command::Add(message)));
        vec![
            Effect::Open { conversation, trigger: Box::new(trigger), opening },
            Effect::Tell { to: conversation, command: Box::new(command) },
        ]
    }

    /// What a conversation's end means for its turns, and for those that wait for a person in it.
    pub(crate) fn dismiss_turns(&self) -> Vec<Effect> {
        self.end_turns().into_iter().map(|run| end_child(run, "its conversation has ended", None)).collect()
    }

    /// What an interruption means for a call.
    pub(crate) fn end_interrupted(&self, op: OpNo) -> Vec<Effect> {
        match self.ops.get(&op) {
            Some(Op::Call { child, on_timeout: OnTimeout::Cancel | OnTimeout::Detach, .. }) => {
                vec![end_child(*child, INTERRUPTED, None)]
            }
            _ => Vec::new(),
        }
    }
}

impl Thread {
    fn tell(&self, command: conversation::Command) -> Effect {
        Effect::Tell { to: self.conversation, command: Box::new(Command::Conversation(Box::new(command))) }
    }
}

/// Why a call ends that a message interrupts.
pub(crate) const INTERRUPTED: &str = "a message interrupted the turn";

/// The end of a run that was handed over to a person.
pub fn handed_off() -> Failure {
    Failure::new(FailureKind::HandedOff, "handed-off", "it was handed over to a person, and ended there")
}

fn refused(rejection: &Rejection) -> Failure {
    Failure::new(FailureKind::Refused, rejection.code(), rejection.to_string())
}
