//! Workers: who is there, what they wait for, which attempts they have, and for how long they may be silent.
//!
//! That a worker has an attempt is an event; how long ago it was heard of is not. A process that takes over gives each
//! worker its whole lease again.

use super::RunMap;
use super::inbox::Reply;
use super::queues::QueueName;
use super::shard::{Owed, Refusal, Shard, Work};
use crate::error::{RunError, WorkerError};
use crate::failure::Failure;
use rejoin_machine::brief::Brief;
use rejoin_machine::{Command, OpNo, Payload, Rejection, RunId, Timestamp, Trigger};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a worker asks.
pub(crate) enum FromWorker {
    /// The next attempt for it.
    Next { agent: QueueName, worker: Member, reply: Reply<Assignment, WorkerError> },
    /// It works on.
    Heartbeat { held: Held, reply: Reply<(), WorkerError> },
    /// It has a piece of its result.
    Stream { held: Held, chunk: Payload, reply: Reply<(), WorkerError> },
    /// It says how far it is.
    Progress { held: Held, value: Payload, reply: Reply<(), WorkerError> },
    /// It has a result.
    Done { held: Held, result: Result<Payload, Failure>, reply: Reply<(), WorkerError> },
    /// It gives an attempt back, for another worker.
    Return { held: Held, reply: Reply<(), WorkerError> },
    /// It takes no more.
    Drain { agent: QueueName, worker: Member },
    /// It is gone.
    Leave { agent: QueueName, worker: Member },
    /// Who is there.
    Presence { agent: QueueName, reply: Reply<Presence, WorkerError> },
}

/// A worker that was heard of: several may bear one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) instance: u64,
}

/// An attempt that a worker has, or thinks it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) run: RunId,
    pub(crate) incarnation: u32,
    pub(crate) op: OpNo,
    pub(crate) attempt: u32,
    pub(crate) worker: String,
}

/// An attempt as a worker is given it.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) held: Held,
    pub(crate) trigger: Trigger,
    pub(crate) brief: Brief,
}

/// Who serves an agent at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// How many workers take jobs.
    pub ready: usize,
    /// How many take no more, and have not left.
    pub draining: usize,
    /// How many jobs workers have.
    pub working: usize,
    /// How many attempts wait for a worker, apart from jobs that have not begun.
    pub offered: usize,
}

impl Presence {
    /// Whether nobody is there who takes a job.
    pub fn is_absent(&self) -> bool {
        self.ready == 0
    }
}

/// The workers of a shard.
#[derive(Default)]
pub(super) struct Workers {
    agents: BTreeMap<QueueName, Served>,
    leases: BTreeMap<(RunId, OpNo), Lease>,
    expiries: BTreeSet<(Timestamp, RunId, OpNo)>,
    /// Attempts that are being given to those who asked for one.
    matched: VecDeque<(QueueName, Offer, Seeker)>,
    /// The agent of each run that workers serve.
    of: RunMap<QueueName>,
}

/// An agent that workers serve.
#[derive(Default)]
struct Served {
    /// Workers that were heard of and have not left; whether they take no more.
    members: BTreeMap<Member, bool>,
    seekers: VecDeque<Seeker>,
    offers: VecDeque<Offer>,
    working: usize,
}

/// A worker that asked for an attempt.
struct Seeker {
    worker: Member,
    reply: Reply<Assignment, WorkerError>,
}

/// An attempt that waits for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    run: RunId,
    incarnation: u32,
    op: OpNo,
    attempt: u32,
}

struct Lease {
    held: Held,
    agent: QueueName,
    until: Timestamp,
}

impl Workers {
    /// When the next lease runs out.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(until, _, _)| *until)
    }

    pub(super) fn has_matched(&self) -> bool {
        !self.matched.is_empty()
    }

    /// Nobody wants the result of this operation any more; its worker learns of it when it next says something.
    pub(super) fn stop(&mut self, run: RunId, op: OpNo) {
        if self.leases.is_empty() && self.of.is_empty() {
            return;
        }
        self.end_lease(run, op);
        if let Some(served) = self.of.get(&run).and_then(|agent| self.agents.get_mut(agent)) {
            served.offers.retain(|offer| (offer.run, offer.op) != (run, op));
        }
        self.unmatch(|offer| (offer.run, offer.op) == (run, op));
    }

    /// Nobody wants anything of this run any more.
    pub(super) fn stop_all(&mut self, run: RunId) {
        let Some(agent) = self.of.remove(&run) else { return };
        let of_run = (run, OpNo(0))..=(run, OpNo(u32::MAX));
        while let Some(op) = self.leases.range(of_run.clone()).next().map(|((_, op), _)| *op) {
            self.end_lease(run, op);
        }
        if let Some(served) = self.agents.get_mut(&agent) {
            served.offers.retain(|offer| offer.run != run);
        }
        self.unmatch(|offer| offer.run == run);
    }

    /// Nothing can be written down for the moment: offers and those who seek one wait where they waited.
    fn unmatch_all(&mut self) {
        while let Some((agent, offer, seeker)) = self.matched.pop_back() {
            let served = self.agents.entry(agent).or_default();
            served.offers.push_front(offer);
            served.seekers.push_front(seeker);
        }
    }

    /// Offers that are not wanted any more; who was to have them waits for others.
    fn unmatch(&mut self, of: impl Fn(&Offer) -> bool) {
        let mut freed = BTreeSet::new();
        for (agent, offer, seeker) in std::mem::take(&mut self.matched) {
            if of(&offer) {
                self.agents.entry(agent.clone()).or_default().seekers.push_front(seeker);
                freed.insert(agent);
            } else {
                self.matched.push_back((agent, offer, seeker));
            }
        }
        // Other offers may wait for them.
        freed.iter().for_each(|agent| self.settle(agent));
    }

    fn end_lease(&mut self, run: RunId, op: OpNo) {
        let Some(lease) = self.leases.remove(&(run, op)) else { return };
        self.expiries.remove(&(lease.until, run, op));
        if let Some(served) = self.agents.get_mut(&lease.agent) {
            served.working = served.working.saturating_sub(1);
        }
    }

    fn begin_lease(&mut self, lease: Lease) {
        let Held { run, op, .. } = lease.held;
        self.end_lease(run, op);
        self.of.insert(run, lease.agent.clone());
        self.agents.entry(lease.agent.clone()).or_default().working += 1;
        self.expiries.insert((lease.until, run, op));
        self.leases.insert((run, op), lease);
    }

    /// Tries again what a full disk had no room for.
    pub(super) fn settle_all(&mut self) {
        for agent in self.agents.keys().cloned().collect::<Vec<_>>() {
            self.settle(&agent);
        }
    }

    /// Gives attempts to those who asked for one. Who asked and is gone is passed over.
    fn settle(&mut self, agent: &QueueName) {
        let Some(served) = self.agents.get_mut(agent) else { return };
        served.seekers.retain(|seeker| !seeker.reply.is_canceled());
        while !served.offers.is_empty() && !served.seekers.is_empty() {
            let pair = served.offers.pop_front().zip(served.seekers.pop_front());
            self.matched.extend(pair.map(|(offer, seeker)| (agent.clone(), offer, seeker)));
        }
    }

    fn has(&self, held: &Held) -> bool {
        self.leases.get(&(held.run, held.op)).is_some_and(|lease| lease.held == *held)
    }

    /// The lease of an attempt that a worker says it has.
    fn held(&mut self, held: &Held) -> Result<&mut Lease, WorkerError> {
        let known = self.leases.get_mut(&(held.run, held.op));
        let known = known.filter(|lease| lease.held == *held);
        known.ok_or(WorkerError::NotHeld { run: held.run, attempt: held.attempt })
    }
}

impl Shard {
    /// How many more runs of a queue workers would take. All, where none are needed.
    pub(super) fn workers_for(&mut self, name: &QueueName) -> u32 {
        if !self.around.registry.agent(&name.1).is_some_and(|agent| agent.is_served_by_workers()) {
            return u32::MAX;
        }
        let Some(served) = self.workers.agents.get_mut(name) else { return 0 };
        served.seekers.retain(|seeker| !seeker.reply.is_canceled());
        u32::try_from(served.seekers.len().saturating_sub(served.offers.len())).unwrap_or(u32::MAX)
    }

    /// An attempt is for a worker: for whoever comes first, or for the one that has it already.
    pub(super) fn offer(&mut self, run: RunId, op: OpNo, attempt: u32) {
        let Some(active) = self.runs.get(&run) else { return };
        let machine = &active.activation.run;
        let trigger = machine.trigger();
        let agent = (trigger.project.clone(), trigger.target.name.clone());
        let incarnation = machine.incarnation();
        let holder = machine.step(op).and_then(|step| step.worker.clone());
        if let Some(worker) = holder {
            let held = Held { run, incarnation, op, attempt, worker };
            if self.workers.leases.get(&(run, op)).is_none_or(|lease| lease.held != held) {
                let until = self.ports.clock.now().after(self.lease_of(&agent));
                self.workers.begin_lease(Lease { held, agent, until });
            }
            return;
        }
        let offer = Offer { run, incarnation, op, attempt };
        let known = self.workers.matched.iter().any(|(_, other, _)| *other == offer);
        self.workers.of.insert(run, agent.clone());
        let served = self.workers.agents.entry(agent.clone()).or_default();
        if !known && !served.offers.contains(&offer) {
            served.offers.push_back(offer);
            self.workers.settle(&agent);
        }
    }

    fn lease_of(&self, agent: &QueueName) -> rejoin_machine::Span {
        let lease = self.around.registry.agent(&agent.1).map(|agent| agent.lease);
        lease.unwrap_or(crate::agent::LEASE).into()
    }

    pub(super) fn hear(&mut self, said: FromWorker) {
        if let Some(failure) = self.failed.clone() {
            return said.refuse(&WorkerError::Store(failure));
        }
        match said {
            FromWorker::Next { agent, worker, reply } => {
                let served = self.workers.agents.entry(agent.clone()).or_default();
                if *served.members.entry(worker.clone()).or_insert(false) {
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(WorkerError::Draining));
                    return;
                }
                served.seekers.push_back(Seeker { worker, reply });
                self.workers.settle(&agent);
            }
            FromWorker::Drain { agent, worker } => {
                let served = self.workers.agents.entry(agent).or_default();
                served.members.insert(worker.clone(), true);
                let (those, others) =
                    std::mem::take(&mut served.seekers).into_iter().partition(|it| it.worker == worker);
                served.seekers = others;
                let those: VecDeque<Seeker> = those;
                // Whoever asked may be gone.
                those.into_iter().for_each(|seeker| drop(seeker.reply.send(Err(WorkerError::Draining))));
            }
            FromWorker::Leave { agent, worker } => {
                let served = self.workers.agents.entry(agent).or_default();
                served.members.remove(&worker);
                served.seekers.retain(|seeker| seeker.worker != worker);
            }
            FromWorker::Presence { agent, reply } => {
                let served = self.workers.agents.get(&agent);
                let presence = served.map(|served| Presence {
                    ready: served.members.values().filter(|drains| !**drains).count(),
                    draining: served.members.values().filter(|drains| **drains).count(),
                    working: served.working,
                    offered: served.offers.len(),
                });
                // Whoever asked may be gone.
                let _ = reply.send(Ok(presence.unwrap_or_default()));
            }
            said => self.hear_of_attempt(said),
        }
    }

    /// What a worker says of an attempt.
    fn hear_of_attempt(&mut self, said: FromWorker) {
        match said {
            FromWorker::Heartbeat { held, reply } => {
                let result = self.heard_of(&held);
                // A refusal may rest on what is not durable yet.
                self.owed.push(Owed::Worker(reply, result));
            }
            FromWorker::Stream { held, chunk, reply } => {
                let (op, attempt) = (held.op, held.attempt);
                let result = self.act_for(&held, Command::Stream { op, attempt, chunk });
                self.owed.push(Owed::Worker(reply, result));
            }
            FromWorker::Progress { held, value, reply } => {
                let result = self.heard_of(&held);
                if result.is_ok() {
                    self.progress.push(held.run, value, self.ports.clock.now());
                }
                self.owed.push(Owed::Worker(reply, result));
            }
            FromWorker::Done { held, result, reply } => {
                let command = Command::EndAttempt {
                    op: held.op,
                    attempt: held.attempt,
                    result: result.map_err(|failure| failure.to_stored()),
                    jitter: self.ports.entropy.next() as u32,
                };
                let result = self.act_for(&held, command);
                self.owed.push(Owed::Worker(reply, result));
            }
            FromWorker::Return { held, reply } => {
                let (op, attempt, worker) = (held.op, held.attempt, held.worker.clone());
                let result = self.act_for(&held, Command::ReturnAttempt { op, attempt, worker });
                self.owed.push(Owed::Worker(reply, result));
            }
            // Those are not of attempts.
            FromWorker::Next { .. }
            | FromWorker::Drain { .. }
            | FromWorker::Leave { .. }
            | FromWorker::Presence { .. } => {}
        }
    }

    fn heard_of(&mut self, held: &Held) -> Result<(), WorkerError> {
        let now = self.ports.clock.now();
        let agent = self.workers.held(held)?.agent.clone();
        let until = now.after(self.lease_of(&agent));
        self.workers.begin_lease(Lease { held: held.clone(), agent, until });
        Ok(())
    }

    /// What a worker says of an attempt counts as long as it has that.
    fn act_for(&mut self, held: &Held, command: Command) -> Result<(), WorkerError> {
        self.workers.held(held)?;
        match self.transact(Work::Of(held.incarnation, held.run, command)) {
            Ok(()) => Ok(()),
            Err(Refusal::Rejected(Rejection::Stale | Rejection::Closed(_)) | Refusal::NotFound(_)) => {
                Err(WorkerError::NotHeld { run: held.run, attempt: held.attempt })
            }
            Err(refusal) => Err(WorkerError::Run(RunError::from(refusal))),
        }
    }

    /// Writes down who takes which attempt; whoever asked is told once that is durable.
    pub(super) fn assign(&mut self) {
        for _ in 0..self.workers.matched.len() {
            if self.failed.is_some() {
                return;
            }
            let Some((agent, offer, seeker)) = self.workers.matched.pop_front() else { return };
            let Offer { run, incarnation, op, attempt } = offer;
            let worker = seeker.worker.name.clone();
            let take = Command::TakeAttempt { op, attempt, worker: worker.clone() };
            let taken = self.transact(Work::Of(incarnation, run, take));
            let served = self.workers.agents.entry(agent.clone()).or_default();
            match taken {
                Ok(()) => {
                    let held = Held { run, incarnation, op, attempt, worker };
                    let until = self.ports.clock.now().after(self.lease_of(&agent));
                    self.workers.begin_lease(Lease { held: held.clone(), agent: agent.clone(), until });
                    self.owed.push(Owed::Assigned(agent, held, seeker.reply));
                }
                Err(Refusal::Store(failure)) if failure.is_disk_full() => {
                    served.offers.push_front(offer);
                    served.seekers.push_front(seeker);
                    self.workers.unmatch_all();
                    self.wait_for_room(&failure);
                    return;
                }
                Err(Refusal::Rejected(rejection @ Rejection::TooLarge { .. })) => {
                    served.offers.push_front(offer);
                    // Whoever asked may be gone.
                    let _ = seeker.reply.send(Err(WorkerError::Run(RunError::Rejected(rejection))));
                }
                Err(refusal) => {
                    // Nobody wants the attempt any more; the worker gets the next one.
                    served.seekers.push_front(seeker);
                    if !matches!(refusal, Refusal::Rejected(_) | Refusal::NotFound(_)) {
                        self.give_up(run, &refusal);
                    }
                    self.workers.settle(&agent);
                }
            }
        }
    }

    /// The attempt is the worker's, durably: it is told what to do.
    pub(super) fn assigned(&mut self, agent: QueueName, held: Held, reply: Reply<Assignment, WorkerError>) {
        let Some(active) = self.runs.get(&held.run).filter(|_| self.workers.has(&held)) else {
            // It was cancelled in between, say: whoever asked has the next one.
            let served = self.workers.agents.entry(agent.clone()).or_default();
            let worker = Member { name: held.worker, instance: 0 };
            served.seekers.push_front(Seeker { worker, reply });
            return self.workers.settle(&agent);
        };
        let machine = &active.activation.run;
        let assignment =
            Assignment { held: held.clone(), trigger: machine.trigger().clone(), brief: machine.brief().clone() };
        if reply.send(Ok(assignment)).is_err() {
            // It asked and is gone: the attempt need not wait for the end of its lease.
            let (op, attempt, worker) = (held.op, held.attempt, held.worker.clone());
            self.later.push_back(Work::Of(held.incarnation, held.run, Command::ReturnAttempt { op, attempt, worker }));
        }
    }

    /// Attempts whose workers were silent for too long have failed, and another one may follow.
    pub(super) fn expire(&mut self) {
        let now = self.ports.clock.now();
        while let Some((until, run, op)) = self.workers.expiries.first().copied()
            && until <= now
        {
            let Some(lease) = self.workers.leases.get(&(run, op)) else {
                self.workers.expiries.remove(&(until, run, op));
                continue;
            };
            let Held { incarnation, attempt, worker, .. } = lease.held.clone();
            if let Some(served) = self.workers.agents.get_mut(&lease.agent) {
                served.members.retain(|member, _| member.name != worker);
            }
            self.workers.end_lease(run, op);
            let message = format!("worker {worker:?} was not heard of within its lease");
            let failure = Failure::lost_worker(message).to_stored();
            let jitter = self.ports.entropy.next() as u32;
            let command = Command::EndAttempt { op, attempt, result: Err(failure), jitter };
            self.later.push_back(Work::Of(incarnation, run, command));
        }
    }
}

impl FromWorker {
    fn refuse(self, error: &WorkerError) {
        // Whoever asked may be gone.
        match self {
            FromWorker::Drain { .. } | FromWorker::Leave { .. } => {}
            FromWorker::Next { reply, .. } => drop(reply.send(Err(error.clone()))),
            FromWorker::Presence { reply, .. } => drop(reply.send(Err(error.clone()))),
            FromWorker::Heartbeat { reply, .. }
            | FromWorker::Stream { reply, .. }
            | FromWorker::Progress { reply, .. }
            | FromWorker::Done { reply, .. }
            | FromWorker::Return { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }
}
