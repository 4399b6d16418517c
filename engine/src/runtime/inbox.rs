//! Everything that can wake a shard, on one page.

use super::progress::Update;
use super::workers::FromWorker;
use crate::activation::Commission;
use crate::context::ForeignWake;
use crate::error::{RunError, TriggerError};
use futures_channel::oneshot;
use rejoin_machine::{Command, OpNo, Outcome, Participation, Payload, RunId};
use rejoin_store::Failure;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where an answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What can come to a shard.
pub(crate) enum Input {
    /// Somebody triggers a run.
    Trigger { id: RunId, commission: Box<Commission>, reply: Reply<(), TriggerError> },
    /// Somebody asks something of a run.
    Command { run: RunId, command: Command, reply: Reply<(), RunError> },
    /// Somebody who acts for a run calls something.
    Participate { run: RunId, call: Box<Participation>, reply: Reply<(), RunError> },
    /// Somebody who acts for a run says how far it is.
    Say { run: RunId, progress: Payload, reply: Reply<(), RunError> },
    /// Somebody asks how far a run is, or waits for more than it has said so far.
    Progress { run: RunId, after: Option<u64>, reply: Reply<Vec<Update>, RunError> },
    /// Somebody waits for the end of a run.
    Await { run: RunId, reply: Reply<Outcome, RunError> },
    /// Somebody wants a tree that has ended to be forgotten.
    Delete { run: RunId, reply: Reply<(), RunError> },
    /// An execution of a step has ended; `None`: because it was stopped.
    StepDone(StepDone),
    /// A handler was woken by something that is not the engine's.
    Woken { run: RunId },
    /// A worker asks, or says, something.
    Worker(FromWorker),
    /// Stop: with patience, after the steps that are being executed.
    Stop { patient: bool, reply: oneshot::Sender<()> },
}

/// An execution of a step that has ended.
#[cfg_attr(feature = "testkit", derive(Clone))]
pub(crate) struct StepDone {
    pub(crate) run: RunId,
    pub(crate) incarnation: u32,
    pub(crate) op: OpNo,
    pub(crate) attempt: u32,
    /// Which execution it was, of all.
    pub(crate) serial: u64,
    /// In which round it was dispatched.
    pub(crate) round: u64,
    pub(crate) result: Option<Result<Payload, crate::Failure>>,
}

/// The queue in front of a shard. Inputs are taken all at once, and the shard is woken only if it sleeps.
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    bound: usize,
}

#[derive(Default)]
struct State {
    inputs: Vec<Input>,
    asleep: bool,
    closed: Option<Closed>,
}

/// The shard has stopped: because it was asked to, or because its store failed.
#[derive(Clone)]
pub(crate) struct Closed(pub(crate) Option<Failure>);

/// Why an input was not taken.
pub(crate) enum Refused {
    /// There are as many as the inbox holds.
    Full,
    /// The shard has stopped.
    Closed(Closed),
}

impl Inbox {
    /// An inbox that takes `bound` requests. Results of steps are always taken: they are bounded by the steps.
    pub(crate) fn new(bound: usize) -> Arc<Inbox> {
        Arc::new(Inbox { state: Mutex::default(), arrived: Condvar::new(), bound })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request from outside.
    pub(crate) fn request(&self, input: Input) -> Result<(), Refused> {
        let state = self.state();
        if let Some(closed) = &state.closed {
            return Err(Refused::Closed(closed.clone()));
        }
        if state.inputs.len() >= self.bound {
            return Err(Refused::Full);
        }
        self.put(state, input);
        Ok(())
    }

    /// Something that must not be lost.
    pub(crate) fn push(&self, input: Input) {
        let state = self.state();
        if state.closed.is_none() {
            self.put(state, input);
        }
    }

    fn put(&self, mut state: MutexGuard<'_, State>, input: Input) {
        state.inputs.push(input);
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Takes everything that is there.
    pub(crate) fn take(&self) -> Vec<Input> {
        std::mem::take(&mut self.state().inputs)
    }

    /// Sleeps until something is there, at most `timeout`; `false` if nothing came.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut state = self.state();
        if !state.inputs.is_empty() {
            return true;
        }
        state.asleep = true;
        let mut state = match timeout {
            None => {
                self.arrived.wait_while(state, |state| state.inputs.is_empty()).unwrap_or_else(PoisonError::into_inner)
            }
            Some(timeout) => {
                let waited = self.arrived.wait_timeout_while(state, timeout, |state| state.inputs.is_empty());
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.asleep = false;
        !state.inputs.is_empty()
    }

    /// Why it takes no more; `None` while it does.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// Takes no more; what is in it is dropped, and with it the replies.
    pub(crate) fn close(&self, failure: Option<Failure>) {
        let mut state = self.state();
        state.closed = Some(Closed(failure));
        let dropped = std::mem::take(&mut state.inputs);
        drop(state);
        drop(dropped);
    }
}

impl ForeignWake for Inbox {
    fn woken(&self, run: RunId) {
        self.push(Input::Woken { run });
    }
}
