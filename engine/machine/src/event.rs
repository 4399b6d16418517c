//! What happened.
//!
//! Events are stored for ever. New ones are added at the end of the enum, fields are never changed or removed:
//! their numbers and layout are the format of every log ever written, and golden histories hold us to it.

use crate::boundary::{Boundary, Recollection};
use crate::brief::Brief;
use crate::call::{GroupMode, Mode, OnTimeout};
use crate::cancel::Cause;
use crate::command::Notice;
use crate::conversation::Change;
use crate::failure::Failure;
use crate::human::{Approval, Handoff, Verdict};
use crate::id::{CallKey, OpNo, Payload, RunId, SignalId};
use crate::retry::Policy;
use crate::time::{Span, Timestamp};
use crate::trigger::{Target, Trigger};
use crate::usage::Usage;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What happened to a run. Each line says from which state it is possible and what follows; a run that compensates counts
/// as running, except that it cannot complete, fail or continue as new. `tests/table.golden` shows all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The run exists. Only as the first event; the run waits for its start.
    Triggered(Box<Trigger>),
    /// The handler is called. From created; the run is running.
    Started,
    /// The handler returned a value. From running; the run has ended.
    Completed {
        /// The value.
        output: Payload,
    },
    /// The handler returned or caused a failure. From running; the run has ended.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// The run's deadline passed, and its handler has ended or its grace ran out. The run has ended.
    TimedOut {
        /// What the handler said at the end, or that its time ran out.
        failure: Failure,
    },
    /// The run was cancelled, and its handler has ended or its grace ran out. The run has ended.
    Cancelled {
        /// What the handler said at the end, or who cancelled it and why.
        failure: Failure,
    },
    /// The handler begins anew under the same run id. From running; the next incarnation waits for its start.
    ContinuedAsNew(Box<Boundary>),

    /// A step is to be executed. From running.
    StepScheduled {
        /// The operation.
        op: OpNo,
        /// The step's name.
        name: String,
        /// When it is tried again.
        policy: Policy,
        /// How long one attempt may take.
        timeout: Option<Span>,
    },
    /// A step succeeded. While it is pending.
    StepCompleted {
        /// The operation.
        op: OpNo,
        /// Its result.
        output: Payload,
    },
    /// An attempt failed and another one follows. While the step is pending.
    StepAttemptFailed {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
        /// When the next attempt begins.
        retry_at: Timestamp,
    },
    /// A step failed for good. While it is pending.
    StepFailed {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
    },

    /// A child was started, in the same batch. From running.
    ChildTriggered {
        /// The operation.
        op: OpNo,
        /// What was started.
        target: Target,
        /// The child.
        child: RunId,
        /// What tells the call from others.
        key: CallKey,
        /// A digest of its input.
        input_digest: u64,
        /// Whether the caller waits.
        mode: Mode,
        /// When the caller stops waiting.
        deadline: Option<Timestamp>,
        /// What becomes of the child then.
        on_timeout: OnTimeout,
    },
    /// A call was refused before anything started. From running.
    ChildRefused {
        /// The operation.
        op: OpNo,
        /// What was to be started.
        name: String,
        /// Why not.
        failure: Failure,
    },
    /// A child succeeded. While its call is open.
    ChildCompleted {
        /// The operation.
        op: OpNo,
        /// The child's output.
        output: Payload,
    },
    /// A child failed. While its call is open.
    ChildFailed {
        /// The operation.
        op: OpNo,
        /// The child's failure.
        failure: Failure,
    },
    /// A child timed out, or the caller stopped waiting for it. While its call is open.
    ChildTimedOut {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
        /// Whether the child has ended.
        ended: bool,
    },
    /// A child was cancelled. While its call is open.
    ChildCancelled {
        /// The operation.
        op: OpNo,
        /// Who cancelled it and why.
        failure: Failure,
    },
    /// A child ended whose call was resolved before: the late result is kept on the child's log and changes nothing here.
    ResultIgnored {
        /// The child.
        child: RunId,
    },
    /// A child that an earlier incarnation waited for has ended; a call with the same key will find its result.
    CarriedChildEnded {
        /// The child.
        child: RunId,
        /// How it ended.
        result: Result<Payload, Failure>,
    },

    /// The handler sleeps. From running.
    TimerSet {
        /// The operation.
        op: OpNo,
        /// Until when.
        at: Timestamp,
    },
    /// The time has come. While the timer is pending.
    TimerFired {
        /// The operation.
        op: OpNo,
    },

    /// The handler waits for a signal. From running.
    SignalAwaited {
        /// The operation.
        op: OpNo,
        /// The signal's name.
        name: String,
        /// Until when.
        deadline: Option<Timestamp>,
    },
    /// A signal came. Until the run has ended.
    SignalReceived {
        /// Its id.
        id: SignalId,
        /// Its name.
        name: String,
        /// Its content.
        payload: Payload,
    },
    /// A signal was handed to an operation that waits for it.
    SignalDelivered {
        /// The operation.
        op: OpNo,
        /// The signal's id.
        id: SignalId,
    },
    /// No signal came in time. While the wait is pending.
    SignalTimedOut {
        /// The operation.
        op: OpNo,
    },

    /// The handler dropped an operation that was pending. From running.
    OperationDropped {
        /// The operation.
        op: OpNo,
    },
    /// The handler took the new way at this patch. From running.
    PatchMarked {
        /// The patch.
        id: String,
    },

    /// Somebody wants the run to end. Its children are cancelled first.
    CancelRequested {
        /// What asks for it.
        cause: Cause,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// How long the handler may compensate, once its children have ended.
        grace: Span,
    },
    /// The children have ended; everything that the handler waits for is cancelled. It may compensate until the grace ends.
    CancelDelivered {
        /// When it must have ended.
        until: Timestamp,
    },

    /// Handler and history do not agree. The run is parked; nothing is lost.
    Wedged {
        /// Position, what was expected, what came.
        reason: String,
    },
    /// The handler fits the history again; what came meanwhile is handed to it.
    Unwedged,

    /// What the run was given beside its input. Directly after its trigger, and after each event that begins an incarnation;
    /// where there is none, it was given nothing.
    Briefed(Box<Brief>),
    /// The handler wants a child to end, and waits for that. From running; without effect where its call was resolved before.
    CallCancelled {
        /// The operation.
        op: OpNo,
        /// Why.
        reason: String,
    },
    /// Calls were made together. From running.
    GroupFormed {
        /// The operation.
        op: OpNo,
        /// What the group is called.
        name: String,
        /// How many of them it takes.
        mode: GroupMode,
        /// Their names and operations.
        members: Vec<(String, OpNo)>,
    },
    /// A worker took an attempt of a step, and has it for as long as it is heard of. While the step is pending.
    AttemptTaken {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
        /// The worker.
        worker: String,
    },
    /// The worker gave the attempt back: it waits for another one. While a worker has it.
    AttemptReturned {
        /// The operation.
        op: OpNo,
        /// Which attempt, from 1.
        attempt: u32,
    },

    /// People are asked. From running.
    ApprovalRequested {
        /// The operation.
        op: OpNo,
        /// What they are asked.
        approval: Box<Approval>,
    },
    /// Nobody has answered, and further persons are asked. While the question is open.
    ApprovalEscalated {
        /// The operation.
        op: OpNo,
    },
    /// Somebody has answered. While the question is open.
    ApprovalDecided {
        /// The operation.
        op: OpNo,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// Nobody has answered in time. While the question is open.
    ApprovalExpired {
        /// The operation.
        op: OpNo,
    },

    /// Somebody made the run stand still: what comes is kept, and the handler is told nothing.
    Paused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The run goes on, and its handler is told what came meanwhile.
    Unpaused {
        /// Who wanted it.
        by: String,
    },

    /// A child was started for somebody who acts for the run from outside, in the same batch. From running. The same key finds
    /// it again, and its end is kept for whoever asks with that.
    ParticipantCalled {
        /// What was started.
        target: Target,
        /// The child.
        child: RunId,
        /// What tells the call from others.
        key: String,
        /// A digest of its input.
        input_digest: u64,
        /// When the child must have ended.
        deadline: Option<Timestamp>,
    },
    /// Such a call was refused before anything started. From running.
    ParticipantRefused {
        /// What would have told the call from others.
        key: String,
        /// What was to be started.
        name: String,
        /// Why not.
        failure: Failure,
    },

    /// A piece of the run's result, for readers who do not wait for the whole. While the run is under way; a piece of a later
    /// attempt means that they begin anew.
    Streamed {
        /// Which attempt it is of, from 1; 0: of the handler itself.
        attempt: u32,
        /// The piece.
        chunk: Payload,
    },
    /// A question makes no sense, and nobody is asked. From running.
    ApprovalRefused {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
    },

    /// Something happened to a conversation. To nothing that has a handler.
    Conversation(Box<Change>),
    /// The run may begin: it is its turn. Before it has begun.
    Admitted {
        /// How many messages the conversation has.
        messages: u64,
    },
    /// The handler said something in its conversation. From running.
    Said {
        /// What.
        content: Payload,
    },
    /// The handler wrote to a person, who may answer in a conversation. From running.
    PersonTold {
        /// The operation.
        op: OpNo,
        /// Whom, and what.
        notice: Box<Notice>,
    },
    /// A message to a person was refused. From running.
    PersonNotTold {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
    },
    /// A person is asked to take over the run's conversation. From running.
    HandoffStarted {
        /// The operation.
        op: OpNo,
        /// What is shown, and how it ends.
        handoff: Box<Handoff>,
    },
    /// The conversation cannot be handed over. From running.
    HandoffRefused {
        /// The operation.
        op: OpNo,
        /// Why.
        failure: Failure,
    },
    /// The person gave the conversation back. While the handoff is open.
    HandoffEnded {
        /// The operation.
        op: OpNo,
        /// Who.
        by: String,
        /// What they say to the flow that goes on.
        note: Option<Payload>,
    },
    /// A message that interrupts the run's turn does not end this call. Directly after its trigger.
    CallShielded {
        /// The operation.
        op: OpNo,
    },
    /// A message interrupts the run's turn, and ends this call. While it is open.
    CallInterrupted {
        /// The operation.
        op: OpNo,
    },
    /// What something of the run has cost. From running.
    UsageRecorded(Usage),
    /// An operation was answered at once, as in the run that this one does again; nothing was executed for it. From running.
    Recalled {
        /// The operation.
        op: OpNo,
        /// What it is: a step or a call, with its name, say.
        what: String,
        /// The answer.
        answer: Recollection,
    },
    /// The run does again what that one has done: what it asks for is answered as there, as long as it is the same. Before it
    /// begins.
    Retries {
        /// The other run, which has ended.
        run: RunId,
        /// Its last incarnation.
        incarnation: u32,
    },
    /// An operation will be answered as in the run that this one does again; nothing is executed for it. From running.
    RecallAwaited {
        /// The operation.
        op: OpNo,
        /// What it is: a step or a call, with its name, say.
        what: String,
        /// A digest of what a child would be given.
        input: Option<u64>,
    },
    /// An operation was answered as in the run that this one does again, when its turn came. While it is open.
    RecallDelivered {
        /// The operation.
        op: OpNo,
        /// The answer.
        answer: Recollection,
    },
}
