//! People: approvals, which one of several persons decides once, and pauses.
//!
//! ```text
//!   requested ──> (escalated ──>)* decided | expired
//! ```
//!
//! The first valid answer wins; whoever comes later is told who decided, and when.

use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::id::{OpNo, Payload};
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Due, Run, Status};
use crate::time::{Span, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A question to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What is asked.
    pub question: String,
    /// The answers that may be given; at least one.
    pub answers: Vec<String>,
    /// Who may answer; at least one.
    pub persons: Vec<String>,
    /// What proves that somebody was asked.
    pub token: [u8; 16],
    /// When it is too late.
    pub expires_at: Option<Timestamp>,
    /// Who may answer too, from when on.
    pub escalations: Vec<Escalation>,
}

/// Further persons, from some time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// From when on.
    pub at: Timestamp,
    /// Who.
    pub persons: Vec<String>,
}

/// A question as a handler asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub question: String,
    /// The answers that may be given.
    pub answers: Vec<String>,
    /// Who may answer.
    pub persons: Vec<String>,
    /// What proves that somebody was asked.
    pub token: [u8; 16],
    /// How long it may take.
    pub within: Option<Span>,
    /// Who may answer too, after how long.
    pub escalations: Vec<(Span, Vec<String>)>,
    /// Why it cannot be asked.
    pub trouble: Option<Failure>,
}

/// A person takes over a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// What is shown when it begins, as JSON.
    pub shown: Payload,
    /// What is shown when it ends, as JSON.
    pub ending: Option<Payload>,
    /// The automated flow ends here.
    pub for_good: bool,
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer.
    pub answer: String,
    /// Who gave it.
    pub by: String,
    /// What they said.
    pub comment: Option<String>,
}

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// As it was asked.
    pub approval: Approval,
    /// How many of its escalations have come.
    pub escalated: usize,
}

impl Pending {
    /// Whether this person may answer now.
    pub fn allows(&self, person: &str) -> bool {
        self.persons().any(|allowed| allowed == person)
    }

    /// Who may answer by now: those asked first, and those the question has gone to since.
    pub fn persons(&self) -> impl Iterator<Item = &String> {
        let further = self.approval.escalations.iter().take(self.escalated).flat_map(|escalation| &escalation.persons);
        self.approval.persons.iter().chain(further)
    }
}

impl Run {
    pub(crate) fn ask(&self, op: OpNo, ask: Ask, now: Timestamp, limits: &Limits) -> Decision {
        self.check_new_operation(op, limits)?;
        Rejection::check_size("a question", ask.question.len(), limits.payload_bytes)?;
        let names = ask.answers.iter().chain(&ask.persons).chain(ask.escalations.iter().flat_map(|(_, who)| who));
        for name in names {
            Rejection::check_size("a name, key or label", name.len(), limits.name_bytes)?;
        }
        let lacks = match () {
            () if ask.answers.is_empty() => Some("it offers no answer"),
            () if ask.persons.is_empty() => Some("it asks nobody"),
            () => None,
        };
        let senseless = |what| {
            Failure::new(FailureKind::Refused, "incomplete-approval", format!("the approval makes no sense: {what}"))
        };
        if let Some(failure) = ask.trouble.or(lacks.map(senseless)) {
            return Ok(vec![Event::ApprovalRefused { op, failure }]);
        }
        let mut escalations: Vec<Escalation> =
            ask.escalations.into_iter().map(|(after, persons)| Escalation { at: now.after(after), persons }).collect();
        escalations.sort_by_key(|escalation| escalation.at);
        let Ask { question, answers, persons, token, within, .. } = ask;
        let expires_at = within.map(|within| now.after(within));
        let approval = Approval { question, answers, persons, token, expires_at, escalations };
        Ok(vec![Event::ApprovalRequested { op, approval: Box::new(approval) }])
    }

    /// Somebody answers.
    pub(crate) fn decide_approval(&self, op: OpNo, token: [u8; 16], verdict: Verdict, limits: &Limits) -> Decision {
        let Some(Op::Approval(pending)) = self.ops.get(&op) else {
            return Err(match self.verdicts.get(&op) {
                Some((known, said, at)) if *known == token => {
                    Rejection::AlreadyDecided { answer: said.answer.clone(), by: said.by.clone(), at: *at }
                }
                Some(_) | None => Rejection::NoSuchApproval,
            });
        };
        if pending.approval.token != token {
            return Err(Rejection::NoSuchApproval);
        }
        self.check_alive()?;
        if self.holds_answers() {
            return Err(Rejection::AlreadyCancelling);
        }
        if !pending.allows(&verdict.by) {
            return Err(Rejection::NotAsked { person: verdict.by });
        }
        if !pending.approval.answers.contains(&verdict.answer) {
            let allowed = pending.approval.answers.clone();
            return Err(Rejection::UnknownAnswer { answer: verdict.answer, allowed });
        }
        let comment = verdict.comment.as_ref().map_or(0, String::len);
        Rejection::check_size("a comment", comment, limits.payload_bytes)?;
        Ok(vec![Event::ApprovalDecided { op, verdict: Box::new(verdict) }])
    }

    /// The next escalation, where one is due.
    pub(crate) fn escalate(&self, op: OpNo) -> Decision {
        Ok(vec![Event::ApprovalEscalated { op }])
    }

    pub(crate) fn add_approval(&mut self, op: OpNo, approval: &Approval) -> bool {
        self.due.extend(approval.expires_at.map(|at| (at, Due::Op(op))));
        self.due.extend(approval.escalations.first().map(|next| (next.at, Due::Escalate(op))));
        self.open(op, Op::Approval(Box::new(Pending { approval: approval.clone(), escalated: 0 })))
    }

    pub(crate) fn approval_escalated(&mut self, op: OpNo, time: Timestamp) -> bool {
        let Some(Op::Approval(pending)) = self.ops.get_mut(&op) else { return false };
        let Some(present) = pending.approval.escalations.get(pending.escalated) else { return false };
        if present.at > time {
            return false;
        }
        let at = present.at;
        pending.escalated += 1;
        let next = pending.approval.escalations.get(pending.escalated).map(|next| (next.at, Due::Escalate(op)));
        self.due.remove(&(at, Due::Escalate(op)));
        self.due.extend(next);
        true
    }

    pub(crate) fn approval_decided(&mut self, op: OpNo, verdict: &Verdict, time: Timestamp) -> bool {
        let Some(Op::Approval(pending)) = self.ops.get(&op) else { return false };
        self.verdicts.insert(op, (pending.approval.token, verdict.clone(), time));
        self.close(op).is_some()
    }

    pub(crate) fn approval_expired(&mut self, op: OpNo, time: Timestamp) -> bool {
        matches!(self.ops.get(&op), Some(Op::Approval(_))) && self.time_is_up(op, time) && self.close(op).is_some()
    }

    /// Somebody wants the run to stand still.
    pub(crate) fn pause(&self, by: String, reason: String) -> Decision {
        self.check_alive()?;
        if self.cancel().is_some() {
            return Err(Rejection::AlreadyCancelling);
        }
        if self.paused.is_some() {
            return Err(Rejection::Paused(""));
        }
        let cut = |text: String| text.chars().take(1024).collect::<String>();
        Ok(vec![Event::Paused { by: cut(by), reason: cut(reason) }])
    }

    /// Somebody wants it to go on.
    pub(crate) fn unpause(&self, by: String) -> Decision {
        self.check_alive()?;
        if self.paused.is_none() {
            return Err(Rejection::Paused("not "));
        }
        let mut events = vec![Event::Unpaused { by: by.chars().take(1024).collect() }];
        if matches!(self.status, Status::Created) && !self.waits_to_begin() && self.wedged.is_none() {
            events.push(Event::Started);
        }
        Ok(events)
    }

    /// Whether the handler is told nothing for now.
    pub fn is_held(&self) -> bool {
        self.wedged.is_some() || self.paused.is_some()
    }

    /// Who has paused it, and why.
    pub fn paused(&self) -> Option<(&str, &str)> {
        self.paused.as_ref().map(|(by, reason)| (by.as_str(), reason.as_str()))
    }
}
