//! Executing steps: apart from handlers, in bounded number, stopped when nobody wants the result any more.

use super::inbox::{Inbox, Input, StepDone};
use super::ports::Spawn;
use crate::context::{Attempt, Body, Work};
use crate::failure::{Failure, panic_message};
use futures_channel::oneshot;
use rejoin_machine::{OpNo, Payload, RunId, StepTask};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

/// Steps that are being executed, and those that wait for a place.
pub(crate) struct Steps {
    spawn: Arc<dyn Spawn>,
    inbox: Arc<Inbox>,
    /// The most that are executed at the same time.
    bound: usize,
    executing: BTreeMap<(RunId, OpNo), Execution>,
    waiting: VecDeque<Waiting>,
    running: usize,
    round: u64,
    /// How many of the last round have not returned.
    out: usize,
}

struct Execution {
    attempt: u32,
    /// Dropped to stop it.
    _stop: oneshot::Sender<()>,
}

struct Waiting {
    attempt: Attempt,
    body: Body,
}

impl Steps {
    pub(crate) fn new(spawn: Arc<dyn Spawn>, inbox: Arc<Inbox>, bound: usize) -> Steps {
        Steps {
            spawn,
            inbox,
            bound,
            executing: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: 0,
            round: 0,
            out: 0,
        }
    }

    /// The executions that are started from here on are those of one commit.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
        self.out = 0;
    }

    /// Whether executions of the last round have not returned.
    pub(crate) fn are_out(&self) -> bool {
        self.out > 0
    }

    /// How many are being executed or wait for a place.
    pub(crate) fn count(&self) -> usize {
        self.running + self.waiting.len()
    }

    /// Executes an attempt, unless it is being executed already.
    pub(crate) fn execute(&mut self, run: RunId, incarnation: u32, task: StepTask, body: Body) {
        let attempt = Attempt { run, incarnation, op: task.op, number: task.attempt };
        let same = |execution: &Execution| execution.attempt == task.attempt;
        if self.executing.get(&(run, task.op)).is_some_and(same)
            || self.waiting.iter().any(|waiting| waiting.attempt == attempt)
        {
            return;
        }
        if self.running >= self.bound {
            self.waiting.push_back(Waiting { attempt, body });
        } else {
            self.start(attempt, body);
        }
    }

    fn start(&mut self, attempt: Attempt, body: Body) {
        let (stop, stopped) = oneshot::channel();
        self.executing.insert((attempt.run, attempt.op), Execution { attempt: attempt.number, _stop: stop });
        self.running += 1;
        self.out += 1;
        let (inbox, spawn, round) = (self.inbox.clone(), self.spawn.clone(), self.round);
        self.spawn.spawn(Box::pin(async move {
            let Attempt { run, incarnation, op, number } = attempt;
            let result = or_stopped(perform(body, attempt, spawn), stopped).await;
            inbox.push(Input::StepDone(StepDone { run, incarnation, op, attempt: number, round, result }));
        }));
    }

    /// Nobody wants the result of this operation any more.
    pub(crate) fn stop(&mut self, run: RunId, op: OpNo) {
        self.executing.remove(&(run, op));
        self.waiting.retain(|waiting| (waiting.attempt.run, waiting.attempt.op) != (run, op));
    }

    /// Nobody wants anything of this run any more.
    pub(crate) fn stop_all(&mut self, run: RunId) {
        let first = (run, OpNo(0));
        while let Some((key, _)) = self.executing.range(first..=(run, OpNo(u32::MAX))).next() {
            let key = *key;
            self.executing.remove(&key);
        }
        self.waiting.retain(|waiting| waiting.attempt.run != run);
    }

    /// An execution has returned; its place goes to the next.
    pub(crate) fn returned(&mut self, done: &StepDone) {
        self.running -= 1;
        if done.round == self.round {
            self.out = self.out.saturating_sub(1);
        }
        let key = (done.run, done.op);
        if self.executing.get(&key).is_some_and(|execution| execution.attempt == done.attempt) {
            self.executing.remove(&key);
        }
        if self.running < self.bound
            && let Some(Waiting { attempt, body }) = self.waiting.pop_front()
        {
            self.start(attempt, body);
        }
    }
}

/// Executes a step's body. A panic is a failure like any other.
async fn perform(body: Body, attempt: Attempt, spawn: Arc<dyn Spawn>) -> Result<Payload, Failure> {
    let caught = |panic: Box<dyn std::any::Any + Send>| Err(Failure::panic(panic_message(&*panic)));
    let work = match catch_unwind(AssertUnwindSafe(|| body(attempt))) {
        Ok(work) => work,
        Err(panic) => return caught(panic),
    };
    match work {
        Work::Async(mut future) => {
            poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
                Ok(polled) => polled,
                Err(panic) => Poll::Ready(caught(panic)),
            })
            .await
        }
        Work::Blocking(work) => {
            let (sender, receiver) = oneshot::channel();
            spawn.spawn_blocking(Box::new(move || {
                let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(caught);
                // The receiver is gone if the step was stopped meanwhile.
                let _ = sender.send(result);
            }));
            receiver.await.unwrap_or_else(|_| Err(Failure::transient("the pool dropped the step")))
        }
    }
}

/// The future's output, or `None` as soon as the other side of `stopped` is dropped.
async fn or_stopped<T>(future: impl Future<Output = T>, mut stopped: oneshot::Receiver<()>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|task| {
        if std::pin::Pin::new(&mut stopped).poll(task).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(task).map(Some)
    })
    .await
}
