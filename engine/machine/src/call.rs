//! A call: the caller's side of a child run. Opened once, resolved exactly once.

use crate::boundary::Carried;
use crate::brief::{Brief, Terms};
use crate::command::Participation;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::id::{CallKey, OpNo, Payload, RunId};
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Due, Outcome, Run};
use crate::time::{Span, Timestamp};
use crate::trigger::{Origin, Parent, Target, Trigger};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Whether the caller waits for the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It does: the child's end is the call's result, and the caller's end cancels the child.
    Wait,
    /// It does not: the child lives on, and only a cancel of the whole tree ends it.
    Detach,
}

/// How many members a group takes to be settled. New modes are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupMode {
    /// All succeed, or the first failure settles it.
    All,
    /// All end, as they may.
    Collect,
    /// One succeeds.
    First,
    /// So many succeed.
    Quorum(u32),
}

/// What becomes of a child when its caller stops waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnTimeout {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It lives on, and its result is ignored.
    Detach,
}

/// What a run knows of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) key: CallKey,
    pub(crate) link: Link,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// An open call waits for it.
    Awaited(OpNo),
    /// Nobody waits: fire-and-forget, or its call was resolved by a timeout or drop.
    Loose,
    /// It has ended, and its key is used up.
    Ended,
    /// An earlier incarnation waited for it; a call with the same key takes over.
    Carried(Option<Result<Payload, Failure>>),
}

/// A call that the handler asks for.
pub(crate) struct NewCall {
    pub(crate) op: OpNo,
    pub(crate) target: Result<Target, Failure>,
    pub(crate) name: String,
    pub(crate) terms: Box<Terms>,
    pub(crate) key: Option<String>,
    pub(crate) input: Payload,
    pub(crate) mode: Mode,
    pub(crate) timeout: Option<Span>,
    pub(crate) on_timeout: OnTimeout,
}

impl Run {
    /// Opens a call: a child and its trigger, or a refusal that the handler is told of.
    pub(crate) fn open_call(&self, call: NewCall, now: Timestamp, limits: &Limits) -> Decision {
        self.check_new_operation(call.op, limits)?;
        // The log keeps the name of a refused call too.
        Rejection::check_size("a name", call.name.len(), limits.name_bytes)?;
        let NewCall { op, name, mode, on_timeout, .. } = &call;
        let refuse = |failure: Failure| Ok(vec![Event::ChildRefused { op: *op, name: name.clone(), failure }]);
        let target = match &call.target {
            Ok(target) => target.clone(),
            Err(failure) => return refuse(failure.clone()),
        };
        if let Err(rejection) = self.check_call(&call, now, limits) {
            return refuse(Failure::new(FailureKind::Refused, rejection.code(), format!("{rejection}")));
        }
        let key = match &call.key {
            Some(key) => CallKey::Named(key.clone()),
            None => CallKey::Numbered { incarnation: self.incarnation, op: *op },
        };
        let child = self.id.child(&key);
        let deadline = call.timeout.filter(|_| *mode == Mode::Wait).map(|timeout| now.after(timeout));
        let input_digest = call.input.digest();
        let (op, mode, on_timeout) = (*op, *mode, *on_timeout);
        let mut events =
            vec![Event::ChildTriggered { op, target, child, key, input_digest, mode, deadline, on_timeout }];
        if call.terms.given.outlasts && mode == Mode::Wait {
            events.push(Event::CallShielded { op });
        }
        if let (Mode::Wait, Some(Child { link: Link::Carried(Some(result)), .. })) = (mode, self.children.get(&child)) {
            events.push(match result.clone() {
                Ok(output) => Event::ChildCompleted { op, output },
                Err(failure) => Event::ChildFailed { op, failure },
            });
        }
        Ok(events)
    }

    fn check_call(&self, call: &NewCall, now: Timestamp, limits: &Limits) -> Result<(), Rejection> {
        Rejection::check_size("the input", call.input.len(), limits.payload_bytes)?;
        if let Some(key) = &call.key {
            Rejection::check_size("a call key", key.len(), limits.name_bytes)?;
            let child = self.id.child(&CallKey::Named(key.clone()));
            match self.children.get(&child) {
                None => {}
                // Nothing is started: an earlier incarnation did.
                Some(Child { link: Link::Carried(_), .. }) => return Ok(()),
                Some(Child { link: Link::Awaited(_) | Link::Loose | Link::Ended, .. }) => {
                    return Err(Rejection::DuplicateKey { key: key.clone(), child });
                }
            }
        }
        Rejection::check_count("children", self.children_started as usize, limits.children as usize)?;
        self.check_terms(&call.name, &call.terms, limits, now)
    }

    /// What a call that was opened starts: a child's trigger and brief. `None` where the child exists already. To be asked
    /// before the event is applied.
    pub fn child_of(&self, opened: &Event, input: Payload, terms: Terms, now: Timestamp) -> Option<(Trigger, Brief)> {
        let (op, target, child, awaited, limit) = match opened {
            Event::ChildTriggered { op, target, child, mode, .. } => (*op, target, child, *mode == Mode::Wait, None),
            Event::ParticipantCalled { target, child, deadline, .. } => (OpNo::END, target, child, true, *deadline),
            Event::Conversation(_) => return self.turn_of(opened, input, terms, now),
            _ => return None,
        };
        if self.children.contains_key(child) {
            return None;
        }
        let mut path = self.trigger.path.clone();
        path.push(target.name.clone());
        let trigger = Trigger {
            project: self.trigger.project.clone(),
            target: target.clone(),
            input,
            origin: Origin::Workflow,
            key: None,
            parent: Some(Parent { run: self.id, incarnation: self.incarnation, op, awaited }),
            depth: self.trigger.depth,
            path,
            // A parent's deadline bounds the children that it waits for.
            deadline: self.deadline().filter(|_| awaited).into_iter().chain(limit).min(),
            labels: self.trigger.labels.clone(),
            seed: child.seed(self.trigger.seed),
        };
        Some(self.commission(*child, trigger, terms, now))
    }

    /// Somebody who acts for the run calls something. What was called under the key before is found again.
    pub(crate) fn participate(&self, call: Participation, now: Timestamp, limits: &Limits) -> Decision {
        self.check_active()?;
        Rejection::check_count("events of history", self.history as usize, limits.history as usize)?;
        let Participation { target, name, terms, key, subagents, input, timeout } = call;
        for text in [&name, &key] {
            Rejection::check_size("a name, key or label", text.len(), limits.name_bytes)?;
        }
        let child = self.id.child(&CallKey::of_participant(&key));
        if self.children.contains_key(&child) {
            return Err(Rejection::CalledBefore { child });
        }
        let refuse =
            |failure: Failure| Ok(vec![Event::ParticipantRefused { key: key.clone(), name: name.clone(), failure }]);
        let target = match target {
            Ok(target) => target,
            Err(failure) => return refuse(failure),
        };
        let allowed = Rejection::check_size("the input", input.len(), limits.payload_bytes)
            .and_then(|()| Rejection::check_count("children", self.children_started as usize, limits.children as usize))
            .and_then(|()| self.check_terms(&name, &terms, limits, now))
            .and_then(|()| self.check_subagents(&terms, subagents));
        if let Err(rejection) = allowed {
            return refuse(Failure::new(FailureKind::Refused, rejection.code(), format!("{rejection}")));
        }
        let deadline = timeout.map(|timeout| now.after(timeout));
        Ok(vec![Event::ParticipantCalled { target, child, key, input_digest: input.digest(), deadline }])
    }

    fn check_subagents(&self, terms: &Terms, most: u32) -> Result<(), Rejection> {
        let begun = || self.children.values().filter(|child| child.key.is_of_participants_subagent()).count();
        if terms.given.subagent && begun() >= most as usize {
            return Err(Rejection::TooManySubagents { name: self.trigger.target.name.clone(), most });
        }
        Ok(())
    }

    pub(crate) fn add_participants_child(&mut self, child: RunId, key: &str) -> bool {
        self.children_started = self.children_started.saturating_add(1);
        self.refusal = None;
        let known = Child { key: CallKey::of_participant(key), link: Link::Carried(None) };
        self.children.insert(child, known).is_none()
    }

    /// A child's end is hastened, and waited for.
    pub(crate) fn cancel_call(&self, op: OpNo, reason: String, limits: &Limits) -> Decision {
        self.check_active()?;
        Rejection::check_size("a reason", reason.len(), limits.payload_bytes)?;
        if op < self.next_op { Ok(vec![Event::CallCancelled { op, reason }]) } else { Err(Rejection::Stale) }
    }

    pub(crate) fn form_group(
        &self,
        op: OpNo,
        name: String,
        mode: GroupMode,
        members: Vec<(String, OpNo)>,
        limits: &Limits,
    ) -> Decision {
        self.check_new_operation(op, limits)?;
        for name in members.iter().map(|(name, _)| name).chain([&name]) {
            Rejection::check_size("a name, key or label", name.len(), limits.name_bytes)?;
        }
        Ok(vec![Event::GroupFormed { op, name, mode, members }])
    }

    pub(crate) fn mark_cancelled(&mut self, op: OpNo, reason: &str) -> bool {
        if let Some(Op::Call { cancelled, .. }) = self.ops.get_mut(&op) {
            cancelled.get_or_insert_with(|| reason.into());
        }
        // A call may be resolved, and the handler not know it yet.
        op < self.next_op
    }

    /// A child has ended.
    pub(crate) fn resolve_call(&self, child: RunId, outcome: Outcome, now: Timestamp) -> Decision {
        self.check_alive()?;
        let known = self.children.get(&child).ok_or(Rejection::Stale)?;
        let event = match (&known.link, outcome) {
            (Link::Loose, _) => return Ok(vec![Event::ResultIgnored { child }]),
            (Link::Ended | Link::Carried(Some(_)), _) => return Err(Rejection::Stale),
            (Link::Carried(None), outcome) => Event::CarriedChildEnded { child, result: outcome.into_result() },
            (Link::Awaited(op), Outcome::Completed(output)) => Event::ChildCompleted { op: *op, output },
            (Link::Awaited(op), Outcome::Failed(failure) | Outcome::HandedOff(failure)) => {
                Event::ChildFailed { op: *op, failure }
            }
            (Link::Awaited(op), Outcome::TimedOut(failure)) => Event::ChildTimedOut { op: *op, failure, ended: true },
            (Link::Awaited(op), Outcome::Cancelled(failure)) => Event::ChildCancelled { op: *op, failure },
        };
        let mut events = vec![event];
        events.extend(self.deliver_after_last(child, now));
        Ok(events)
    }

    /// A caller stops waiting.
    pub(crate) fn call_timed_out(&self, op: OpNo) -> Decision {
        let message = "the child took longer than its caller waits";
        let failure = Failure::new(FailureKind::TimedOut, "call-timeout", message);
        Ok(vec![Event::ChildTimedOut { op, failure, ended: false }])
    }

    pub(crate) fn add_call(&mut self, op: OpNo, child: RunId, key: &CallKey, mode: Mode, wait: Wait) -> bool {
        let detached = match self.children.get(&child).map(|known| &known.link) {
            None => {
                self.children_started = self.children_started.saturating_add(1);
                Link::Loose
            }
            Some(Link::Carried(None)) => Link::Loose,
            Some(Link::Carried(Some(_))) => Link::Ended,
            Some(Link::Awaited(_) | Link::Loose | Link::Ended) => return false,
        };
        let link = match mode {
            Mode::Wait => {
                if let Some(deadline) = wait.deadline {
                    self.due.insert((deadline, Due::Op(op)));
                }
                let Wait { deadline, on_timeout } = wait;
                self.open(op, Op::Call { child, deadline, on_timeout, cancelled: None });
                Link::Awaited(op)
            }
            Mode::Detach => {
                self.number(op);
                detached
            }
        };
        self.children.insert(child, Child { key: key.clone(), link });
        true
    }

    /// The call is resolved; the child has ended, or goes on with nobody waiting.
    pub(crate) fn close_call(&mut self, op: OpNo, ended: bool) -> bool {
        let Some(Op::Call { child, .. }) = self.ops.get(&op) else { return false };
        let child = *child;
        self.close(op);
        if ended {
            return self.forget_child(child);
        }
        // It goes on, and nobody waits for it any more.
        self.children.get_mut(&child).map(|known| known.link = Link::Loose).is_some()
    }

    /// The child has ended. A named key is used up with it, so the child stays known by that.
    pub(crate) fn forget_child(&mut self, child: RunId) -> bool {
        match self.children.get_mut(&child) {
            Some(Child { key: CallKey::Numbered { .. }, .. }) => self.children.remove(&child).is_some(),
            Some(Child { key: CallKey::Named(_), link }) => {
                *link = Link::Ended;
                true
            }
            None => false,
        }
    }

    /// A result is kept for a call that may ask for it: only a named key comes again in a later incarnation.
    pub(crate) fn carried_child_ended(&mut self, child: RunId, result: &Result<Payload, Failure>) -> bool {
        match self.children.get_mut(&child) {
            Some(Child { link: link @ Link::Carried(None), key: CallKey::Named(_) }) => {
                *link = Link::Carried(Some(result.clone()));
                true
            }
            Some(Child { link: Link::Carried(None), key: CallKey::Numbered { .. } }) => self.forget_child(child),
            Some(Child { link: Link::Awaited(_) | Link::Loose | Link::Ended | Link::Carried(Some(_)), .. }) | None => {
                false
            }
        }
    }

    /// Children that open calls wait for.
    pub(crate) fn awaited_children(&self) -> impl Iterator<Item = RunId> + '_ {
        let awaited = |(child, known): (&RunId, &Child)| match known.link {
            Link::Awaited(_) | Link::Carried(None) => Some(*child),
            Link::Loose | Link::Ended | Link::Carried(Some(_)) => None,
        };
        self.children.iter().filter_map(awaited)
    }

    /// Every child that may be alive, awaited or not.
    pub(crate) fn live_children(&self) -> impl Iterator<Item = RunId> + '_ {
        let live = |(child, known): (&RunId, &Child)| match known.link {
            Link::Awaited(_) | Link::Loose | Link::Carried(None) => Some(*child),
            Link::Ended | Link::Carried(Some(_)) => None,
        };
        self.children.iter().filter_map(live)
    }

    /// Every child that may be alive, awaited or not, and those whose result an earlier incarnation did not ask for.
    pub fn children(&self) -> impl Iterator<Item = RunId> + '_ {
        self.children.iter().filter(|(_, known)| known.link != Link::Ended).map(|(child, _)| *child)
    }

    /// Children that go along into the next incarnation.
    pub(crate) fn carried_children(&self) -> Vec<Carried> {
        let carry = |(child, known): (&RunId, &Child)| {
            let (awaited, result) = match &known.link {
                Link::Awaited(_) => (true, None),
                // One that has ended goes along for its key.
                Link::Loose | Link::Ended => (false, None),
                Link::Carried(result) => (true, result.clone()),
            };
            Carried { child: *child, key: known.key.clone(), awaited, result }
        };
        self.children.iter().map(carry).collect()
    }
}

/// Until when a caller waits, and what follows.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) on_timeout: OnTimeout,
}
