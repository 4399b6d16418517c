//! The engine: what a program opens, and through which it triggers, signals, reads and follows runs.

mod builder;
mod conversation;
mod human;
mod participant;
mod read;
mod request;
mod stream;
mod worker;

pub use builder::Builder;
pub use conversation::{Conversation, ConversationFilter, ConversationInfo, ConversationPage, Open, Saying, Sent};
pub use human::{ApprovalToken, OpenApproval};
pub use participant::{Participant, ParticipantCall, RunToken};
pub use read::{Filter, Follow, Page, RunInfo, Wait};
pub use request::{CancelRequest, RunHandle, SignalRequest, TriggerRequest};
pub use stream::{StreamCursor, StreamItem, StreamReader};
pub use worker::{Task as WorkerTask, Worker};

use crate::agent::Job;
use crate::error::RunError;
use crate::registry::Registry;
use crate::runtime::{Closed, Inbox, Input, Ports, Refused, Settings, Sizes, Watchers};
use crate::workflow::Workflow;
use futures_channel::oneshot;
use rejoin_machine::RunId;
use rejoin_store::{Log, StreamId};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A running engine. Clones are the same engine; it stops when the last one is dropped, without waiting for steps.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ports: Ports,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) project: String,
    pub(crate) settings: Settings,
    /// What run tokens are signed with.
    pub(crate) secret: [u8; 32],
    pub(crate) sizes: Sizes,
    /// The shard's thread; none where somebody else drives it.
    pub(crate) shard: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// An engine over the data folder at `folder`, which is created if it is not there. Register workflows, then start it.
    pub fn open(folder: impl AsRef<Path>) -> Builder {
        Builder::new(folder.as_ref().to_owned())
    }

    pub(crate) fn new(shared: Shared) -> Engine {
        Engine { shared: Arc::new(shared) }
    }

    /// Triggers a run; await the result. With a key, the same trigger again finds the same run.
    pub fn trigger<I: Serialize, O>(&self, workflow: &Workflow<I, O>, input: I) -> TriggerRequest<O> {
        TriggerRequest::new(self.clone(), workflow.name(), None, &input)
    }

    /// Asks an agent to do a job; await the result. With a key, the same request again finds the same run.
    pub fn job<I: Serialize, O>(&self, job: &Job<I, O>, input: I) -> TriggerRequest<O> {
        TriggerRequest::new(self.clone(), job.agent(), job.name(), &input)
    }

    /// Asks an agent for a job whose types are not at hand.
    pub fn job_json(&self, agent: &str, job: Option<&str>, input: &Value) -> TriggerRequest<Value> {
        TriggerRequest::new(self.clone(), agent, job, input)
    }

    /// Triggers a run of a workflow whose types are not at hand.
    pub fn trigger_json(&self, workflow: &str, input: &Value) -> TriggerRequest<Value> {
        TriggerRequest::new(self.clone(), workflow, None, input)
    }

    /// The run that was triggered with this key, if one was.
    pub fn find<I, O>(&self, workflow: &Workflow<I, O>, key: &str) -> Option<RunHandle<O>> {
        let id = request::keyed_id(&self.shared.project, workflow.name(), None, key);
        let head = self.shared.log.head(StreamId(id.0));
        head.filter(|head| head.lsn <= self.shared.log.durable()).map(|_| self.run(id))
    }

    /// A run that exists already.
    pub fn run<O>(&self, id: RunId) -> RunHandle<O> {
        RunHandle::new(self.clone(), id)
    }

    /// Stops the engine: takes no more triggers, begins no more steps, waits for those that are being executed, within the patience
    /// of the settings, and seals the log. Runs go on when it is started again.
    pub async fn shutdown(&self) {
        let (reply, stopped) = oneshot::channel();
        self.shared.inbox.push(Input::Stop { patient: true, reply });
        // An error means that it has stopped already.
        let _ = stopped.await;
        self.shared.join();
    }

    async fn ask<T, E: From<Stopped>>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Input,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        match self.shared.inbox.request(make(reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| {
                let closed = self.shared.inbox.closed().unwrap_or(Closed(None));
                Err(Stopped::Closed(closed).into())
            }),
            Err(Refused::Closed(closed)) => Err(Stopped::Closed(closed).into()),
            Err(Refused::Full) => Err(Stopped::Overloaded(self.shared.settings.waiting_requests).into()),
        }
    }
}

/// Why a request was not taken.
enum Stopped {
    Closed(Closed),
    Overloaded(usize),
}

impl From<Stopped> for RunError {
    fn from(stopped: Stopped) -> RunError {
        match stopped {
            Stopped::Closed(Closed(None)) => RunError::Stopped,
            Stopped::Closed(Closed(Some(failure))) => RunError::Store(failure),
            Stopped::Overloaded(waiting) => RunError::Overloaded(waiting),
        }
    }
}

impl From<Stopped> for crate::TriggerError {
    fn from(stopped: Stopped) -> crate::TriggerError {
        match stopped {
            Stopped::Closed(Closed(None)) => crate::TriggerError::Stopped,
            Stopped::Closed(Closed(Some(failure))) => crate::TriggerError::Store(failure),
            Stopped::Overloaded(waiting) => crate::TriggerError::Overloaded(waiting),
        }
    }
}

impl Shared {
    fn join(&self) {
        let thread = self.shard.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread cannot wait for itself: the last engine may be dropped by a handler.
        if let Some(thread) = thread.filter(|shard| shard.thread().id() != thread::current().id()) {
            // A panic of the shard was printed by its own thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        self.inbox.push(Input::Stop { patient: false, reply });
        self.join();
    }
}
