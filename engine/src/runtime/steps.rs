//! Executing steps: apart from handlers, in bounded number, stopped when nobody wants the result any more.

use super::inbox::{Inbox, Input, StepDone};
use super::ports::Spawn;
use crate::context::{Attempt, Execute, Work};
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
    /// Those that wait, and beside them which of them still count: incarnation and attempt.
    waiting: VecDeque<Waiting>,
    wanted: BTreeMap<(RunId, OpNo), (u32, u32)>,
    /// How many were started: the number of the next one.
    serial: u64,
    running: usize,
    round: u64,
    /// How many of the last round have not returned.
    out: usize,
}

struct Execution {
    serial: u64,
    attempt: u32,
    /// Dropped to stop it.
    _stop: oneshot::Sender<()>,
}

struct Waiting {
    attempt: Attempt,
    body: Execute,
}

impl Steps {
    pub(crate) fn new(spawn: Arc<dyn Spawn>, inbox: Arc<Inbox>, bound: usize) -> Steps {
        Steps {
            spawn,
            inbox,
            bound,
            executing: BTreeMap::new(),
            waiting: VecDeque::new(),
            wanted: BTreeMap::new(),
            serial: 0,
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
        self.running + self.wanted.len()
    }

    /// Executes an attempt, unless it is being executed already.
    pub(crate) fn execute(&mut self, run: RunId, incarnation: u32, task: StepTask, body: Execute) {
        let attempt = Attempt { run, incarnation, op: task.op, number: task.attempt };
        let same = |execution: &Execution| execution.attempt == task.attempt;
        let key = (run, task.op);
        if self.executing.get(&key).is_some_and(same) || self.wanted.get(&key) == Some(&(incarnation, task.attempt)) {
            return;
        }
        if self.running >= self.bound {
            self.wanted.insert(key, (incarnation, task.attempt));
            self.waiting.push_back(Waiting { attempt, body });
        } else {
            self.start(attempt, body);
        }
    }

    fn start(&mut self, attempt: Attempt, body: Execute) {
        let (stop, stopped) = oneshot::channel();
        self.serial += 1;
        let serial = self.serial;
        let execution = Execution { serial, attempt: attempt.number, _stop: stop };
        self.executing.insert((attempt.run, attempt.op), execution);
        self.running += 1;
        self.out += 1;
        let (inbox, spawn, round) = (self.inbox.clone(), self.spawn.clone(), self.round);
        let of = attempt.clone();
        self.spawn.spawn(
            &of,
            Box::pin(async move {
                let Attempt { run, incarnation, op, number } = attempt;
                let result = or_stopped(perform(body, attempt, spawn), stopped).await;
                inbox.push(Input::StepDone(StepDone { run, incarnation, op, attempt: number, serial, round, result }));
            }),
        );
    }

    /// Nobody wants the result of this operation any more.
    pub(crate) fn stop(&mut self, run: RunId, op: OpNo) {
        self.executing.remove(&(run, op));
        self.wanted.remove(&(run, op));
    }

    /// Nobody wants anything of this run any more.
    pub(crate) fn stop_all(&mut self, run: RunId) {
        let of_run = (run, OpNo(0))..=(run, OpNo(u32::MAX));
        while let Some((key, _)) = self.executing.range(of_run.clone()).next() {
            let key = *key;
            self.executing.remove(&key);
        }
        self.begin_no_more(run);
    }

    /// Nothing that waits for a place gets one any more; what is being executed may end.
    pub(crate) fn begin_none(&mut self) {
        self.wanted.clear();
    }

    /// What waits for a place is not wanted any more; what is being executed may end.
    pub(crate) fn begin_no_more(&mut self, run: RunId) {
        let of_run = (run, OpNo(0))..=(run, OpNo(u32::MAX));
        while let Some((key, _)) = self.wanted.range(of_run.clone()).next() {
            let key = *key;
            self.wanted.remove(&key);
        }
    }

    /// An execution has returned; its place goes to the next. `false`: it had been stopped, and its result is nobody's. Numbers
    /// of operations and attempts begin again with each incarnation, so they do not tell one execution from another.
    pub(crate) fn returned(&mut self, done: &StepDone) -> bool {
        self.running -= 1;
        if done.round == self.round {
            self.out = self.out.saturating_sub(1);
        }
        let key = (done.run, done.op);
        let wanted = self.executing.get(&key).is_some_and(|execution| execution.serial == done.serial);
        if wanted {
            self.executing.remove(&key);
        }
        while self.running < self.bound
            && let Some(Waiting { attempt, body }) = self.waiting.pop_front()
        {
            let key = (attempt.run, attempt.op);
            if self.wanted.get(&key) == Some(&(attempt.incarnation, attempt.number)) {
                self.wanted.remove(&key);
                self.start(attempt, body);
            }
        }
        wanted
    }
}

/// Executes a step's body. A panic is a failure like any other.
async fn perform(body: Execute, attempt: Attempt, spawn: Arc<dyn Spawn>) -> Result<Payload, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Running;
    use rejoin_machine::Timestamp;

    /// Keeps tasks and executes none.
    struct Never;

    impl Spawn for Never {
        fn spawn(&self, _: &Attempt, _: Running) {}
        fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
    }

    const RUN: RunId = RunId([1; 16]);

    fn steps(bound: usize) -> Steps {
        Steps::new(Arc::new(Never), Inbox::new(10), bound)
    }

    fn execute(steps: &mut Steps, incarnation: u32, op: u32) {
        let task = StepTask { op: OpNo(op), attempt: 1, at: Timestamp(0), deadline: None };
        steps.execute(
            RUN,
            incarnation,
            task,
            Arc::new(|_| Work::Async(Box::pin(async { Ok(Payload::from(Vec::new())) }))),
        );
    }

    fn done(incarnation: u32, op: u32, serial: u64) -> StepDone {
        StepDone { run: RUN, incarnation, op: OpNo(op), attempt: 1, serial, round: 0, result: None }
    }

    #[test]
    fn inv_e8_an_execution_of_an_earlier_incarnation_does_not_stop_the_next_ones() {
        let mut steps = steps(10);
        execute(&mut steps, 0, 0);
        steps.stop_all(RUN);
        execute(&mut steps, 1, 0);
        assert!(!steps.returned(&done(0, 0, 1)), "nobody wants it");
        assert!(steps.returned(&done(1, 0, 2)), "it was not stopped by the one before");
        assert_eq!(steps.count(), 0);
    }

    #[test]
    fn what_is_stopped_while_it_waits_is_never_started() {
        let mut steps = steps(1);
        for op in 0..4 {
            execute(&mut steps, 0, op);
            execute(&mut steps, 0, op);
        }
        assert_eq!(steps.count(), 4);
        steps.stop(RUN, OpNo(1));
        assert!(steps.returned(&done(0, 0, 1)));
        assert!(steps.executing.contains_key(&(RUN, OpNo(2))));
        steps.stop_all(RUN);
        assert!(!steps.returned(&done(0, 2, 2)));
        assert_eq!(steps.count(), 0);
    }
}
