//! What is asked of a run.

use crate::boundary::Recollection;
use crate::brief::Terms;
use crate::call::{GroupMode, Mode, OnTimeout};
use crate::cancel::Cause;
use crate::conversation::{self, Opening};
use crate::failure::Failure;
use crate::human::{Ask, Handoff, Verdict};
use crate::id::{OpNo, Payload, RunId, SignalId};
use crate::retry::Policy;
use crate::run::Outcome;
use crate::time::{Span, Timestamp};
use crate::trigger::Target;
use crate::usage::Usage;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is asked of a run, by the world or by its own handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call the handler.
    Start,
    /// An attempt of a step has ended.
    EndAttempt {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
        /// How.
        result: Result<Payload, Failure>,
        /// Chance for the pause before the next one.
        jitter: u32,
    },
    /// A worker takes an attempt of a step.
    TakeAttempt {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
        /// The worker.
        worker: String,
    },
    /// The worker gives it back.
    ReturnAttempt {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
        /// The worker.
        worker: String,
    },
    /// A child has ended.
    ResolveCall {
        /// The child.
        child: RunId,
        /// How.
        outcome: Outcome,
    },
    /// A signal comes.
    Signal {
        /// Its id.
        id: SignalId,
        /// Its name.
        name: String,
        /// Its content.
        payload: Payload,
    },
    /// End the run, children first, with room for compensation. With no grace: end it now.
    Cancel {
        /// What asks for it.
        cause: Cause,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// How long its handler may compensate; `None`: as the limits say.
        grace: Option<Span>,
    },
    /// A worker has a piece of its result.
    Stream {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
        /// The piece.
        chunk: Payload,
    },
    /// Somebody who acts for the run calls something.
    Participate(Box<Participation>),
    /// Somebody answers a question.
    Decide {
        /// The operation.
        op: OpNo,
        /// What proves that somebody was asked.
        token: [u8; 16],
        /// The answer.
        verdict: Verdict,
    },
    /// Make the run stand still.
    Pause {
        /// Who wants it.
        by: String,
        /// Why.
        reason: String,
    },
    /// Make it go on.
    Unpause {
        /// Who wants it.
        by: String,
    },
    /// Time has passed: do the earliest thing that is due.
    Wake {
        /// Chance for the pause before a next attempt.
        jitter: u32,
    },
    /// Handler and history do not agree.
    Wedge {
        /// Position, what was expected, what came.
        reason: String,
    },
    /// Handler and history agree again.
    Unwedge,
    /// Something is asked of a conversation.
    Conversation(Box<conversation::Command>),
    /// It is the run's turn.
    Admit {
        /// How many messages the conversation has.
        messages: u64,
        /// Whether its handler is called at once, where it stands in no queue.
        start: bool,
    },
    /// A message interrupts the run's turn.
    Interrupt,
    /// A person has given the run's conversation back.
    EndHandoff {
        /// The operation.
        op: OpNo,
        /// Who.
        by: String,
        /// What they say to the flow that goes on.
        note: Option<Payload>,
    },
    /// The handler asks for what the run that this one does again has asked for, and hears at once what that one has heard at
    /// once.
    Recall {
        /// The operation.
        op: OpNo,
        /// What it is.
        what: String,
        /// The answer.
        answer: Recollection,
    },
    /// The handler asks for what the run that this one does again has asked for. The answer follows, in its turn.
    AwaitRecall {
        /// The operation.
        op: OpNo,
        /// What it is.
        what: String,
        /// A digest of what a child would be given.
        input: Option<u64>,
    },
    /// An operation is answered as it was before.
    DeliverRecall {
        /// The operation.
        op: OpNo,
        /// The answer.
        answer: Recollection,
    },
    /// The handler asks for something.
    Issue(Issue),
}

/// A call by somebody who acts for a run from outside its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participation {
    /// What to start; `Err`: why it cannot be.
    pub target: Result<Target, Failure>,
    /// Its name, also where there is no such target.
    pub name: String,
    /// What is known of the target, and what it is given beside the input.
    pub terms: Terms,
    /// What tells the call from others: the same key finds the same child. A subagent's is made by
    /// [`CallKey::for_subagent`](crate::CallKey::for_subagent).
    pub key: String,
    /// How many subagents the run may have that are called in this way.
    pub subagents: u32,
    /// What it is given.
    pub input: Payload,
    /// How long it may take.
    pub timeout: Option<Span>,
}

/// A message to a person, who may answer in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The conversation; it is opened if it is not there.
    pub conversation: RunId,
    /// The key by which it is found again.
    pub key: String,
    /// How it begins.
    pub opening: Opening,
    /// What is written.
    pub content: Payload,
}

/// What a handler asks for. Operations bear the number that they got when they were called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issue {
    /// Execute a step.
    Step {
        /// The operation.
        op: OpNo,
        /// The step's name.
        name: String,
        /// When it is tried again.
        policy: Policy,
        /// How long one attempt may take.
        timeout: Option<Span>,
    },
    /// Start a child.
    Call {
        /// The operation.
        op: OpNo,
        /// What to start; `Err`: why it cannot be.
        target: Result<Target, Failure>,
        /// Its name, also where there is no such target.
        name: String,
        /// What is known of the target, and what it is given beside the input.
        terms: Box<Terms>,
        /// A key of the caller's.
        key: Option<String>,
        /// What it is given.
        input: Payload,
        /// Whether the caller waits.
        mode: Mode,
        /// How long.
        timeout: Option<Span>,
        /// What becomes of the child then.
        on_timeout: OnTimeout,
    },
    /// Sleep.
    Sleep {
        /// The operation.
        op: OpNo,
        /// Until when.
        until: Timestamp,
    },
    /// Wait for a signal.
    Await {
        /// The operation.
        op: OpNo,
        /// Its name.
        name: String,
        /// How long.
        timeout: Option<Span>,
    },
    /// Show a piece of the result.
    Emit {
        /// The piece.
        chunk: Payload,
    },
    /// Ask people.
    Ask {
        /// The operation.
        op: OpNo,
        /// What they are asked.
        ask: Box<Ask>,
    },
    /// Say something in the run's conversation.
    Say {
        /// What.
        content: Payload,
    },
    /// Write to a person.
    Tell {
        /// The operation.
        op: OpNo,
        /// To whom, and what; `Err`: why not.
        notice: Result<Notice, Failure>,
    },
    /// Have a person take over the run's conversation.
    HandOff {
        /// The operation.
        op: OpNo,
        /// What is shown, and how it ends; `Err`: why not.
        handoff: Result<Handoff, Failure>,
    },
    /// Note what something has cost.
    Use(Usage),
    /// A child is not wanted any more, but its end is waited for.
    CancelCall {
        /// The call.
        op: OpNo,
        /// Why.
        reason: String,
    },
    /// Calls belong together.
    Group {
        /// The operation.
        op: OpNo,
        /// What the group is called.
        name: String,
        /// How many of them it takes.
        mode: GroupMode,
        /// Their names and operations.
        members: Vec<(String, OpNo)>,
    },
    /// An operation is not wanted any more.
    Drop {
        /// The operation.
        op: OpNo,
    },
    /// Mark a patch.
    Patch {
        /// The patch.
        id: String,
    },
    /// The handler has ended.
    Return(Result<Payload, Failure>),
    /// The handler wants to begin anew.
    ContinueAsNew {
        /// With what.
        input: Payload,
        /// The seed of the next incarnation's random numbers.
        seed: u64,
    },
}
