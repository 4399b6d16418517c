//! A shard: the one owner of its runs. What comes in, what is owed, and to whom.

use super::batch::Batch;
use super::inbox::{Inbox, Input, Reply, StepDone};
use super::ports::Ports;
use super::progress::{Progress, Update};
use super::queues::{QueueName, Queues};
use super::recent::Recent;
use super::retention::Retention;
use super::sizes::Sizes;
use super::steps::Steps;
use super::timers::Timers;
use super::watch::{Busy, Watchers};
use super::workers::{Assignment, Held, Workers};
use super::{RunMap, Settings};
use crate::activation::{Activation, Commission, Surroundings};
use crate::context::{ANSWER, Body};
use crate::error::{RunError, TriggerError, WorkerError};
use crate::projection::RunRow;
use futures_channel::oneshot;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{
    Command, Effect, Outcome, Participation, Payload, Rejection, RunId, Span, Status, StepTask, Timestamp, Trigger,
};
use rejoin_store::{Failure, Log, Space, StreamId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long an index that has failed is left alone.
const WITHOUT_INDEX: Span = Span(10_000_000);

/// How long a full disk is left alone.
const AGAIN: Span = Span(500_000);

pub(crate) struct Shard {
    pub(super) log: Arc<dyn Log>,
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(crate) sizes: Sizes,
    pub(super) around: Surroundings,
    pub(super) runs: RunMap<Box<Active>>,
    /// Runs that only wait, longest first: what may be dropped from memory.
    parked: BTreeMap<u64, RunId>,
    stamp: u64,
    pub(super) timers: Timers,
    /// More runs are due than were woken.
    more_due: bool,
    pub(super) retention: Retention,
    pub(super) steps: Steps,
    pub(super) queues: Queues,
    pub(super) workers: Workers,
    pub(super) progress: Progress,
    /// What was put off to a batch of its own.
    pub(super) later: VecDeque<Work>,
    /// What the full disk had no room for, and when it is tried again.
    stalled: VecDeque<Work>,
    again_at: Timestamp,
    /// What is owed once everything sequenced is durable.
    pub(super) owed: Vec<Owed>,
    /// Runs with records that are not durable yet, each record's.
    pub(super) touched: Vec<RunId>,
    /// An empty batch, kept for its room.
    pub(super) scratch: Batch,
    waiters: RunMap<Vec<Reply<Outcome, RunError>>>,
    pub(super) recent: Recent,
    watchers: Arc<Watchers>,
    pub(super) busy: Arc<Busy>,
    pub(super) failed: Option<Failure>,
    stopping: Option<Vec<oneshot::Sender<()>>>,
}

/// A run in memory.
pub(super) struct Active {
    pub(super) activation: Activation,
    parked: Option<u64>,
}

/// Something to be done to one run.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Trigger(RunId, Box<Commission>),
    /// As a trigger, unless it is there.
    Open(RunId, Box<Commission>),
    Command(RunId, Command),
    /// A command that only the run's present incarnation is meant by.
    Of(u32, RunId, Command),
}

/// What is owed to the world once the commit is durable.
pub(super) enum Owed {
    Triggered(Reply<(), TriggerError>, Result<(), TriggerError>),
    Done(Reply<(), RunError>, Result<(), RunError>),
    Refused(Reply<Outcome, RunError>, RunError),
    Step(RunId, StepTask),
    Worker(Reply<(), WorkerError>, Result<(), WorkerError>),
    Assigned(QueueName, Held, Reply<Assignment, WorkerError>),
    Closed(RunId),
}

/// Why work could not be done.
#[derive(Debug)]
pub(super) enum Refusal {
    NotFound(RunId),
    Rejected(Rejection),
    /// A handler did what it may not do, or does not fit its history.
    Misuse {
        run: RunId,
        reason: String,
    },
    History {
        run: RunId,
        reason: String,
    },
    Store(Failure),
}

impl From<Refusal> for RunError {
    fn from(refusal: Refusal) -> RunError {
        match refusal {
            Refusal::NotFound(run) => RunError::NotFound(run),
            Refusal::Rejected(rejection) => RunError::Rejected(rejection),
            Refusal::Misuse { run, reason } | Refusal::History { run, reason } => RunError::History { run, reason },
            Refusal::Store(failure) => RunError::Store(failure),
        }
    }
}

impl Shard {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        ports: Ports,
        settings: Settings,
        around: Surroundings,
        inbox: Arc<Inbox>,
        watchers: Arc<Watchers>,
        busy: Arc<Busy>,
    ) -> Shard {
        let steps = Steps::new(ports.spawn.clone(), inbox, settings.concurrent_steps);
        let around = Surroundings { log: Some(log.clone()), ..around };
        let retention = Retention::new(settings.retention.clone());
        Shard {
            log,
            ports,
            settings,
            sizes: Sizes::default(),
            around,
            runs: RunMap::default(),
            parked: BTreeMap::new(),
            stamp: 0,
            timers: Timers::new(),
            more_due: false,
            retention,
            steps,
            queues: Queues::default(),
            workers: Workers::default(),
            progress: Progress::default(),
            later: VecDeque::new(),
            stalled: VecDeque::new(),
            again_at: Timestamp(i64::MAX),
            owed: Vec::new(),
            touched: Vec::new(),
            scratch: Batch::default(),
            waiters: RunMap::default(),
            recent: Recent::default(),
            watchers,
            busy,
            failed: None,
            stopping: None,
        }
    }

    /// Takes inputs and does what they ask, up to the point where it is sequenced. [`Shard::flush`] does the rest.
    pub(crate) fn accept(&mut self, inputs: Vec<Input>) {
        for input in inputs {
            match input {
                Input::Trigger { id, commission, reply } => self.trigger(id, commission, reply),
                Input::Command { run, command, reply } => self.command(run, command, reply),
                Input::Participate { run, call, reply } => self.participate(run, call, reply),
                Input::Say { run, progress, reply } => drop(reply.send(self.hear_progress(run, progress))),
                Input::Progress { run, after, reply } => self.tell_progress(run, after, reply),
                Input::Await { run, reply } => self.wait_for(run, reply),
                Input::Delete { run, reply } => self.delete_for(run, reply),
                Input::StepDone(done) => self.step_done(done),
                Input::Woken { run } => self.woken(run),
                Input::Worker(said) => self.hear(said),
                Input::Stop { patient, reply } => {
                    self.stopping.get_or_insert_default().push(reply);
                    self.steps.begin_none();
                    if !patient {
                        self.settings.shutdown_patience = Duration::ZERO;
                    }
                }
            }
        }
        self.work_off();
    }

    /// Wakes the runs whose time has come.
    pub(crate) fn fire(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let now = self.ports.clock.now();
        if self.again_at <= now {
            self.again_at = Timestamp(i64::MAX);
            self.later.append(&mut self.stalled);
            self.workers.settle_all();
            self.queues.go_on();
        }
        self.expire();
        self.more_due = true;
        for _ in 0..self.sizes.woken {
            let Some(run) = self.timers.take_due(now) else {
                self.more_due = false;
                break;
            };
            self.wake(run, now);
        }
        self.sweep();
        self.work_off();
    }

    /// Makes everything sequenced durable and performs what was owed to the world for it.
    /// Returns whether there was anything.
    pub(crate) fn flush(&mut self) -> bool {
        let any = !self.touched.is_empty() || !self.owed.is_empty();
        if any {
            match self.log.commit() {
                Ok(_) => self.perform(),
                Err(failure) => self.fail(failure),
            }
        }
        if self.failed.is_none()
            && let Err(failure) = self.pump()
        {
            self.without_index(failure);
        }
        if self.failed.is_none() {
            let now = self.ports.clock.now();
            match self.timers.refill(&*self.log, now, self.sizes.timers) {
                // What was beyond the window may be due already.
                Ok(()) => self.more_due |= self.timers.is_due(now),
                Err(failure @ Failure::Index(_)) => {
                    tracing::error!(%failure, "runs that are due in more than a minute are not woken until a restart makes the index again");
                    self.timers.wait_until(now.after(WITHOUT_INDEX));
                }
                Err(failure) => self.fail(failure),
            }
        }
        self.evict();
        any
    }

    /// Whether something is to be done before the next sleep.
    pub(crate) fn has_work(&self) -> bool {
        !self.later.is_empty() || !self.owed.is_empty() || self.more_due || self.has_jobs()
    }

    /// Whether jobs are about to begin, or to be given to workers.
    fn has_jobs(&self) -> bool {
        self.queues.has_starting() || self.workers.has_matched()
    }

    /// Whether it pays to wait for results before the next flush: something is to be flushed, and steps that were
    /// dispatched by the last one are about to return.
    pub(crate) fn gathers(&self) -> bool {
        !self.touched.is_empty() && self.steps.are_out()
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Timestamp {
        let expiry = self.workers.next_expiry().unwrap_or(Timestamp(i64::MAX));
        self.timers.next().min(self.again_at).min(self.retention.next).min(expiry)
    }

    /// When the first timer of all is due, near or far; `None` where none is set, or the store has failed.
    #[cfg(feature = "testkit")]
    pub(crate) fn earliest_timer(&self) -> Option<Timestamp> {
        let again = (self.again_at < Timestamp(i64::MAX)).then_some(self.again_at);
        let timer = self.timers.earliest(&*self.log);
        timer.into_iter().chain(again).chain(self.workers.next_expiry()).min().filter(|_| self.failed.is_none())
    }

    /// Whether it was asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some() || self.failed.is_some()
    }

    /// How many steps are being executed or wait for a place.
    pub(crate) fn executing(&self) -> usize {
        self.steps.count()
    }

    /// How long to wait for them.
    pub(crate) fn patience(&self) -> Duration {
        if self.failed.is_some() { Duration::ZERO } else { self.settings.shutdown_patience }
    }

    /// Seals the log and lets go of everything.
    pub(crate) fn close(&mut self) {
        self.flush();
        if let Err(failure) = self.log.seal() {
            tracing::error!(%failure, "failed to seal the log; nothing acknowledged is lost");
        }
        self.runs.clear();
        self.waiters.clear();
        self.workers = Workers::default();
        self.progress.clear();
        self.watchers.close();
        for reply in self.stopping.take().unwrap_or_default() {
            // Whoever asked may be gone.
            let _ = reply.send(());
        }
    }

    /// Seals the log, where it rests.
    pub(crate) fn seal(&mut self) {
        if self.failed.is_none()
            && let Err(failure) = self.log.seal()
        {
            self.fail(failure);
        }
    }

    fn trigger(&mut self, id: RunId, commission: Box<Commission>, reply: Reply<(), TriggerError>) {
        let result = self.try_trigger(id, commission);
        match result {
            Ok(()) => self.owed.push(Owed::Triggered(reply, Ok(()))),
            // A refusal may rest on what is not durable yet.
            Err(error) => self.owed.push(Owed::Triggered(reply, Err(error))),
        }
    }

    fn try_trigger(&mut self, id: RunId, commission: Box<Commission>) -> Result<(), TriggerError> {
        self.check_store().map_err(TriggerError::Store)?;
        if self.stopping.is_some() {
            return Err(TriggerError::Stopped);
        }
        let trigger = &commission.trigger;
        trigger.check(&self.settings.limits).map_err(TriggerError::Limit)?;
        if self.log.head(StreamId(id.0)).is_some() {
            return self.same_trigger(id, trigger);
        }
        if self.log.space() == Space::Reserve {
            return Err(TriggerError::DiskFull);
        }
        self.transact(Work::Trigger(id, commission)).map_err(|refusal| match refusal {
            Refusal::Store(failure) if failure.is_disk_full() => TriggerError::DiskFull,
            Refusal::Store(failure) => TriggerError::Store(failure),
            Refusal::Rejected(rejection) => TriggerError::Limit(rejection),
            Refusal::NotFound(_) | Refusal::Misuse { .. } | Refusal::History { .. } => TriggerError::Stopped,
        })
    }

    /// The run exists: the same trigger again is answered alike, another one under the same key is not.
    fn same_trigger(&self, id: RunId, trigger: &Trigger) -> Result<(), TriggerError> {
        let Some(digest) = self.first_digest(id)? else { return Ok(()) };
        if digest == trigger.input.digest() {
            return Ok(());
        }
        Err(TriggerError::KeyConflict { key: trigger.key.clone().unwrap_or_default(), run: id })
    }

    /// A digest of what the run was given first.
    fn first_digest(&self, id: RunId) -> Result<Option<u64>, Failure> {
        let known = self.runs.get(&id).map(|active| &active.activation.run);
        if let Some(run) = known.filter(|run| run.incarnation() == 0) {
            return Ok(Some(run.trigger().input.digest()));
        }
        let row = self.log.row(StreamId(id.0))?.and_then(|row| RunRow::decode(&row));
        Ok(row.map(|row| row.input_digest))
    }

    fn command(&mut self, run: RunId, command: Command, reply: Reply<(), RunError>) {
        let answers = matches!(&command, Command::Signal { name, .. } if name == ANSWER);
        let done = match self.check_request(run, &command) {
            Ok(()) => self.transact(Work::Command(run, command)).map_err(RunError::from),
            Err(error) => Err(error),
        };
        match done {
            Err(RunError::Rejected(Rejection::DuplicateSignal)) if answers => {
                self.owed.push(Owed::Done(reply, Err(RunError::Answered(run))));
            }
            // Sent before is as good as sent now.
            Ok(()) | Err(RunError::Rejected(Rejection::DuplicateSignal)) => self.owed.push(Owed::Done(reply, Ok(()))),
            // A refusal may rest on what is not durable yet.
            Err(error) => self.owed.push(Owed::Done(reply, Err(error))),
        }
    }

    /// A call in a run's name. What was called under the key before is found again, if it was given the same.
    fn participate(&mut self, run: RunId, call: Box<Participation>, reply: Reply<(), RunError>) {
        let (key, digest) = (call.key.clone(), call.input.digest());
        let done = match self.check_store() {
            Ok(()) => self.transact(Work::Command(run, Command::Participate(call))),
            Err(failure) => Err(Refusal::Store(failure)),
        };
        let result = match done {
            Ok(()) => {
                let refusal = self.runs.get(&run).and_then(|active| active.activation.run.refusal(&key));
                refusal.map_or(Ok(()), |refusal| Err(RunError::Failed(crate::Failure::from_stored(refusal.clone()))))
            }
            Err(Refusal::Rejected(Rejection::CalledBefore { child })) => match self.first_digest(child) {
                Ok(Some(known)) if known != digest => Err(Rejection::DuplicateKey { key, child }.into()),
                Ok(_) => Ok(()),
                Err(failure) => Err(RunError::Store(failure)),
            },
            Err(refusal) => Err(refusal.into()),
        };
        // A refusal may rest on what is not durable yet.
        self.owed.push(Owed::Done(reply, result));
    }

    /// What comes from outside: a run's owner may cancel it with its whole tree even where it is protected, others may not.
    fn check_request(&mut self, run: RunId, command: &Command) -> Result<(), RunError> {
        self.check_store()?;
        if let Command::Cancel { cause: Cause::Tree, .. } = command {
            let active = match self.take_active(run) {
                // One whose handler does not fit is wedged by the request, and cancelled.
                Err(Refusal::Misuse { .. }) => return Ok(()),
                active => active?,
            };
            let protected = active.activation.run.brief().protected && active.activation.outcome().is_none();
            if active.activation.outcome().is_none() {
                self.put_active(run, active);
            }
            if protected {
                return Err(RunError::Rejected(Rejection::Protected));
            }
        }
        Ok(())
    }

    /// Nobody hears of a run that has ended, or is not at work here.
    fn hear_progress(&mut self, run: RunId, value: Payload) -> Result<(), RunError> {
        if self.runs.contains_key(&run) {
            self.progress.push(run, value, self.ports.clock.now());
        }
        Ok(())
    }

    fn tell_progress(&mut self, run: RunId, after: Option<u64>, reply: Reply<Vec<Update>, RunError>) {
        let known = self.progress.since(run, after.unwrap_or(0));
        let ended = match self.recent.outcome(run) {
            Some(_) => Ok(true),
            None if self.runs.contains_key(&run) => Ok(false),
            None => self.durable_outcome(run).map(|outcome| outcome.is_some()),
        };
        match ended {
            Ok(false) if after.is_some() && known.is_empty() => self.progress.wait(run, reply),
            // Of a run that is not there nothing is known. Whoever asked may be gone.
            Ok(_) | Err(_) => drop(reply.send(Ok(known))),
        }
    }

    fn wait_for(&mut self, run: RunId, reply: Reply<Outcome, RunError>) {
        let outcome = match self.recent.outcome(run) {
            Some(outcome) => Ok(Some(outcome.clone())),
            None if self.runs.contains_key(&run) => Ok(None),
            None => self.durable_outcome(run),
        };
        match outcome {
            Ok(None) => {
                let waiters = self.waiters.entry(run).or_default();
                // Whoever gave up waiting must not pile up behind a run that lasts for months.
                waiters.retain(|waiter| !waiter.is_canceled());
                waiters.push(reply);
            }
            // Whoever asked may be gone.
            Ok(Some(outcome)) => drop(reply.send(Ok(outcome))),
            // A refusal may rest on what is not durable yet.
            Err(refusal) => self.owed.push(Owed::Refused(reply, refusal.into())),
        }
    }

    /// An attempt answers that has answered before: what it says means nothing unless the attempt is still the one that is
    /// waited for.
    #[cfg(feature = "testkit")]
    pub(crate) fn answer_again(&mut self, done: StepDone) {
        self.end_attempt(done);
    }

    fn step_done(&mut self, done: StepDone) {
        if self.steps.returned(&done) {
            self.end_attempt(done);
        }
    }

    fn end_attempt(&mut self, done: StepDone) {
        let StepDone { run, incarnation, op, attempt, result: Some(result), .. } = done else { return };
        if self.failed.is_some() {
            return;
        }
        let result = result.map_err(|failure| failure.to_stored());
        let command = Command::EndAttempt { op, attempt, result, jitter: self.ports.entropy.next() as u32 };
        self.try_later(Work::Of(incarnation, run, command));
    }

    fn woken(&mut self, run: RunId) {
        // A late wake of something that is no longer waited for is nothing to complain about.
        if !self.runs.contains_key(&run) {
            return;
        }
        let reason = "the handler was woken by something that did not come from its context; use ctx.step, ctx.sleep or \
                      ctx.signal instead, so that the wait is recorded";
        if let Err(refusal) = self.wedge(run, reason.to_owned()) {
            self.give_up(run, &refusal);
        }
    }

    /// Does everything that time has brought to a run.
    fn wake(&mut self, run: RunId, now: Timestamp) {
        for turn in 0.. {
            if turn == self.sizes.turns {
                // Others have their turn, and the log its commit.
                return self.timers.keep(run, Some(now));
            }
            let command = Command::Wake { jitter: self.ports.entropy.next() as u32 };
            match self.transact(Work::Command(run, command)) {
                Ok(()) => {}
                Err(Refusal::Rejected(_)) => break,
                Err(Refusal::Store(failure)) if failure.is_disk_full() => {
                    return self.timers.keep(run, Some(now.after(AGAIN)));
                }
                Err(refusal) => return self.give_up(run, &refusal),
            }
        }
        self.owe_steps(run, now);
        let due = self.runs.get(&run).map(|active| active.activation.run.next_due(now));
        if let Some(due) = due {
            self.timers.keep(run, due);
        }
    }

    /// The attempts that are due, and have not answered, are owed to the world.
    pub(super) fn owe_steps(&mut self, run: RunId, now: Timestamp) {
        let Some(active) = self.runs.get(&run) else { return };
        let due = active.activation.run.outstanding().filter_map(|effect| match effect {
            Effect::RunStep(task) if task.is_due(now) && !self.has_answered(run, task) => Some(Owed::Step(run, task)),
            Effect::RunStep(_)
            | Effect::Start
            | Effect::CancelChild { .. }
            | Effect::Tell { .. }
            | Effect::Open { .. } => None,
        });
        let due: Vec<Owed> = due.collect();
        self.owed.extend(due);
    }

    /// Whether the attempt has its result, which waits for room on the disk.
    fn has_answered(&self, run: RunId, task: StepTask) -> bool {
        let of = |command: &Command| matches!(command, Command::EndAttempt { op, attempt, .. } if (*op, *attempt) == (task.op, task.attempt));
        let waiting = self.stalled.iter().chain(&self.later);
        waiting.into_iter().any(|work| matches!(work, Work::Of(_, id, command) if *id == run && of(command)))
    }

    /// Does work that nobody waits for.
    fn try_later(&mut self, work: Work) {
        let run = match &work {
            Work::Trigger(run, _) | Work::Open(run, _) | Work::Command(run, _) | Work::Of(_, run, _) => *run,
        };
        if let Work::Command(run, Command::Unwedge) = work {
            return self.resume_or_stall(run, self.ports.clock.now());
        }
        match self.transact(work.clone()) {
            Ok(()) => {}
            Err(Refusal::Store(failure)) if failure.is_disk_full() => self.stall(work, &failure),
            // A result that came too late, a child that had ended already: it changes nothing.
            Err(Refusal::Rejected(rejection)) => tracing::debug!(%run, %rejection, "ignored"),
            Err(refusal) => self.give_up(run, &refusal),
        }
    }

    /// The disk is full: nothing is lost, and the work is done when there is room again.
    pub(super) fn stall(&mut self, work: Work, failure: &Failure) {
        if self.stalled.is_empty() {
            tracing::warn!(%failure, "runs wait for room on the disk");
        }
        self.stalled.push_back(work);
        self.again_at = self.ports.clock.now().after(AGAIN);
    }

    /// What a full disk has no room for is tried again in a moment.
    pub(super) fn wait_for_room(&mut self, failure: &Failure) {
        tracing::warn!(%failure, "jobs wait for room on the disk");
        self.again_at = self.ports.clock.now().after(AGAIN);
    }

    /// The index cannot be read: what only it knows waits.
    fn without_index(&mut self, failure: Failure) {
        match failure {
            Failure::Index(_) => {
                tracing::error!(%failure, "jobs that wait in queues are not begun until a restart makes the index again");
            }
            failure => self.fail(failure),
        }
    }

    pub(super) fn give_up(&mut self, run: RunId, refusal: &Refusal) {
        match refusal {
            Refusal::Store(failure) if !failure.is_disk_full() => self.fail(failure.clone()),
            _ => tracing::error!(%run, ?refusal, "the run cannot go on for now"),
        }
    }

    pub(super) fn work_off(&mut self) {
        // What these put off in turn waits for the next round: between rounds the log is committed.
        for _ in 0..self.later.len() {
            match self.later.pop_front() {
                Some(work) if self.failed.is_none() => self.try_later(work),
                Some(_) | None => return,
            }
        }
        self.begin_queued();
        self.assign();
    }

    /// The failure that stopped it, if one did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failed.clone()
    }

    pub(super) fn check_store(&self) -> Result<(), Failure> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Tells the world what became durable, and starts what was to wait for that.
    fn perform(&mut self) {
        self.steps.begin_round();
        for owed in std::mem::take(&mut self.owed) {
            match owed {
                // Whoever asked may be gone.
                Owed::Triggered(reply, result) => drop(reply.send(result)),
                Owed::Done(reply, result) => drop(reply.send(result)),
                Owed::Refused(reply, error) => drop(reply.send(Err(error))),
                Owed::Step(run, task) => self.execute(run, task),
                Owed::Worker(reply, result) => drop(reply.send(result)),
                Owed::Assigned(agent, held, reply) => self.assigned(agent, held, reply),
                Owed::Closed(run) => self.closed(run),
            }
        }
        self.watchers.committed(self.touched.drain(..));
    }

    fn execute(&mut self, run: RunId, task: StepTask) {
        if self.stopping.is_some() {
            // What is not begun now is whole when it begins after the next start.
            return;
        }
        if !self.runs.contains_key(&run) {
            match self.take_active(run) {
                Ok(active) => self.put_active(run, active),
                Err(Refusal::Misuse { run, reason }) => {
                    if let Err(refusal) = self.wedge(run, reason) {
                        self.give_up(run, &refusal);
                    }
                    return;
                }
                Err(refusal) => return self.give_up(run, &refusal),
            }
        }
        let Some(active) = self.runs.get(&run) else { return };
        let activation = &active.activation;
        // Between sequencing and durability the step may have been dropped, the run cancelled, or the attempt have answered.
        let wanted = activation.run.outstanding_step(task.op).is_some_and(|owed| owed.attempt == task.attempt)
            && !self.has_answered(run, task);
        match activation.body(task.op).filter(|_| wanted) {
            Some(Body::Here(body)) => self.steps.execute(run, activation.run.incarnation(), task, body),
            Some(Body::Worker) => self.offer(run, task.op, task.attempt),
            None => {}
        }
    }

    fn closed(&mut self, run: RunId) {
        self.progress.end(run);
        let active = self.runs.remove(&run);
        let known = active.as_ref().and_then(|active| active.activation.outcome());
        if let Some(outcome) = known {
            self.recent.ended(run, outcome);
        }
        let Some(waiters) = self.waiters.remove(&run) else { return };
        let outcome = match known {
            Some(outcome) => Ok(Some(outcome.clone())),
            None => self.durable_outcome(run),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome.map(Ok),
            Err(refusal) => Some(Err(RunError::from(refusal))),
        };
        for waiter in waiters {
            // Whoever waited may be gone.
            let _ = outcome.clone().map(|outcome| waiter.send(outcome));
        }
    }

    /// The store accepts nothing more. What was decided and is not durable never happened: nobody was told of it.
    fn fail(&mut self, failure: Failure) {
        tracing::error!(%failure, "the store failed; the engine stops, and goes on when it is started again");
        for owed in std::mem::take(&mut self.owed) {
            match owed {
                // Whoever asked may be gone.
                Owed::Triggered(reply, _) => drop(reply.send(Err(TriggerError::Store(failure.clone())))),
                Owed::Done(reply, _) => drop(reply.send(Err(RunError::Store(failure.clone())))),
                Owed::Refused(reply, _) => drop(reply.send(Err(RunError::Store(failure.clone())))),
                Owed::Worker(reply, _) => drop(reply.send(Err(WorkerError::Store(failure.clone())))),
                Owed::Assigned(_, _, reply) => drop(reply.send(Err(WorkerError::Store(failure.clone())))),
                Owed::Step(..) | Owed::Closed(_) => {}
            }
        }
        for waiter in std::mem::take(&mut self.waiters).into_values().flatten() {
            let _ = waiter.send(Err(RunError::Store(failure.clone())));
        }
        self.touched.clear();
        self.later.clear();
        self.runs.clear();
        self.parked.clear();
        self.workers = Workers::default();
        self.progress.clear();
        self.watchers.close();
        self.failed = Some(failure);
    }

    /// Takes a run out of memory's map, read from the log if it is not there.
    pub(super) fn take_active(&mut self, id: RunId) -> Result<Box<Active>, Refusal> {
        match self.runs.remove(&id) {
            Some(mut active) => {
                if let Some(stamp) = active.parked.take() {
                    self.parked.remove(&stamp);
                }
                Ok(active)
            }
            None => Ok(Active::new(self.load(id)?)),
        }
    }

    /// Puts a run into memory's map; one that only waits may be dropped from there when there are too many.
    pub(super) fn put_active(&mut self, id: RunId, mut active: Box<Active>) {
        let run = &active.activation.run;
        // One that is about to be started is needed in a moment; one that stands in a queue is not.
        let starts = matches!(run.status(), Status::Created) && !run.waits_to_begin() && !run.is_held();
        if active.activation.outcome().is_none() && !run.has_steps() && !starts {
            self.stamp += 1;
            active.parked = Some(self.stamp);
            self.parked.insert(self.stamp, id);
        }
        self.runs.insert(id, active);
    }

    /// Drops the runs that have waited longest, beyond the bound. Everything of them is durable.
    fn evict(&mut self) {
        while self.parked.len() > self.settings.parked
            && let Some((stamp, run)) = self.parked.pop_first()
        {
            if self.runs.get(&run).is_some_and(|active| active.parked == Some(stamp)) {
                self.runs.remove(&run);
            }
        }
    }
}

impl Active {
    pub(super) fn new(activation: Activation) -> Box<Active> {
        Box::new(Active { activation, parked: None })
    }
}
