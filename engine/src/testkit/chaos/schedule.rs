//! The one scheduler: what happens next, in which order, at what time, and what goes wrong with it.

use super::callers::{Callers, Place};
use super::faults::{Fault, Faults, Strike};
use super::pool::{Pool, delay};
use super::{Deployed, Plan, Subject};
use crate::engine::Engine;
use crate::projection::RunStatus;
use crate::runtime::{Input, Sizes};
use crate::testkit::checks::Violation;
use crate::testkit::life::Simulation;
use crate::testkit::tasks::Spawned;
use crate::testkit::trace::{ListedRun, Listing, Seen, Written};
use crate::testkit::world::{Chance, Tuning, World};
use futures_channel::oneshot;
use rejoin_machine::{Span, Timestamp};
use rejoin_store::TOMBSTONE;
use rejoin_store::simulated::{Fault as DiskFault, Outcome};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How many actions a seed may take in all before it counts as one that never comes to rest.
const ENDLESS: u64 = 200_000;
/// How many lives faults may take.
const LIVES: u32 = 12;

/// What is due later than that is not waited for by a process that cannot go on: twenty days.
const FAR: Span = Span(20 * 86_400 * 1_000_000);

/// What came of it.
pub(super) struct Done {
    pub(super) violations: Vec<Violation>,
    pub(super) struck: Vec<Strike>,
    pub(super) lives: u32,
    pub(super) until: Timestamp,
    /// Everything came to its end.
    pub(super) healed: bool,
}

/// Why a life ended, or a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The process is gone.
    Died,
    /// Nothing is left to be done.
    Rest,
    /// Enough was done under faults.
    Enough,
}

struct Scheduler<'a> {
    subject: &'a dyn Subject,
    world: World,
    chance: Chance,
    faults: Faults,
    pool: Pool,
    place: Rc<RefCell<Place>>,
    lives: u32,
    actions: u64,
    violations: Vec<Violation>,
}

/// One life, and what surrounds it.
struct Life {
    simulation: Simulation,
    engine: Engine,
    callers: Callers,
    /// Steps that are under way, and when each is to go on.
    tasks: Vec<(Timestamp, Arc<Spawned>)>,
    /// Steps that never return.
    hung: Vec<Arc<Spawned>>,
    /// It has other code than it should.
    other: bool,
    full_until: Option<Timestamp>,
    died_at: Option<u64>,
}

pub(super) fn execute(subject: &dyn Subject, plan: &Plan, world: World) -> Done {
    let mut scheduler = Scheduler {
        subject,
        world,
        chance: Chance::new(plan.seed),
        faults: Faults::new(plan.seed, plan.only.clone()),
        pool: Pool::default(),
        place: Rc::default(),
        lives: 0,
        actions: 0,
        violations: Vec::new(),
    };
    scheduler.draw_sizes();
    let healed = scheduler.execute();
    Done {
        violations: scheduler.violations,
        struck: scheduler.faults.struck,
        lives: scheduler.lives,
        until: scheduler.world.now(),
        healed,
    }
}

impl Scheduler<'_> {
    /// Sizes of everything: small ones, so that every boundary is met.
    fn draw_sizes(&mut self) {
        let chance = &mut self.chance;
        let segment = *chance.pick(&[4 << 10, 8 << 10, 32 << 10]);
        self.world.segments = (segment, segment * *chance.pick(&[1, 4]));
        self.world.tuning = Some(Tuning {
            parked: *chance.pick(&[0, 1, 3, 10_000]),
            concurrent_steps: *chance.pick(&[1, 2, 5, 1000]),
            buffered_signals: *chance.pick(&[2, 10_000]),
            sizes: Sizes {
                queued: 1 + chance.below(4) as usize,
                batch: *chance.pick(&[1, 2, 4, 1024]),
                woken: *chance.pick(&[1, 2, 512]),
                turns: *chance.pick(&[1, 2, 100]),
                timers: *chance.pick(&[1, 2, 10_000]),
                swept: *chance.pick(&[1, 3, 2048]),
                deleted: *chance.pick(&[1, 2, 512]),
                tombstones: *chance.pick(&[1, 2, 1024]),
                page: *chance.pick(&[2, 3, 256]),
                listed: *chance.pick(&[1, 2, 64]),
            },
        });
    }

    /// Both phases; whether everything came to its end.
    fn execute(&mut self) -> bool {
        let enough = 50 + self.chance.below(500);
        let mut life = None;
        while self.actions < enough && self.lives < LIVES {
            let mut present = match life.take() {
                Some(life) => life,
                None => match self.begin() {
                    Some(begun) => begun,
                    None => return false,
                },
            };
            match self.live(&mut present, enough) {
                Pause::Died => self.end(present),
                Pause::Rest | Pause::Enough => {
                    life = Some(present);
                    break;
                }
            }
        }
        self.faults.over = true;
        // A step that hangs, handlers that do not fit, a store that has failed: another process mends them, and nothing else.
        let broken = life.as_ref().is_some_and(|life| self.is_dead(life) || !life.hung.is_empty() || life.other);
        if let Some(present) = life.take_if(|_| broken || self.chance.often(500)) {
            self.crash(present);
        }
        self.heal(life)
    }

    fn heal(&mut self, life: Option<Life>) -> bool {
        let Some(mut life) = life.or_else(|| self.begin()) else { return false };
        self.world.disk.plan(DiskFault::None);
        (life.full_until, life.died_at) = (None, None);
        // Whoever waits for a reply that was lost asks again.
        life.callers = Callers::begin(self.subject, &life.engine, &self.place, &self.world.trace);
        let pause = self.live(&mut life, u64::MAX);
        if pause != Pause::Rest {
            self.say("E5", format!("nothing goes wrong any more, and it does not come to rest ({pause:?})"));
            return false;
        }
        let open: Vec<Option<String>> =
            life.callers.unfinished(self.subject).map(|said| said.map(str::to_owned)).collect();
        let waiting = open.len();
        for trouble in open.into_iter().flatten() {
            self.say("E5", format!("a caller cannot come to its end: {trouble}"));
        }
        self.list(&life);
        self.world.trace.see(Seen::Rested { at: self.world.now(), waiting });
        self.judge_follower(&life);
        self.stop(&mut life);
        self.end(life);
        // What was closed in good order can be opened again, and is whole.
        match self.begin() {
            Some(life) => {
                self.list(&life);
                self.crash(life);
                self.violations.is_empty()
            }
            None => false,
        }
    }

    fn say(&mut self, id: &'static str, what: String) {
        self.violations.push(Violation { id, what });
    }

    /// The follower has seen everything by now, once and in order.
    fn judge_follower(&mut self, life: &Life) {
        let place = self.place.clone();
        let place = place.borrow();
        for (run, wrong) in &place.wrong {
            // Of a run that was deleted some records may have been cleaned away, and others not yet.
            let ended = |written: &Written| written.run == *run && written.format == TOMBSTONE;
            let deleted = |seen: &[Seen]| {
                seen.iter().any(|seen| matches!(seen, Seen::Appended(batch) if batch.iter().any(ended)))
            };
            if !self.world.trace.read(deleted) {
                self.say("S3", wrong.clone());
            }
        }
        for run in self.listed(life, &Listing::All).unwrap_or_default() {
            let seen = place.seen.get(&run.run).copied().unwrap_or(0);
            if seen != run.records {
                self.say("S3", format!("a follower has seen {seen} of the {} records of run {}", run.records, run.run));
            }
        }
    }

    // ---- lives ----

    /// Starts a process; `None` if it cannot be.
    fn begin(&mut self) -> Option<Life> {
        loop {
            let other = self.faults.strikes(Fault::OtherCode);
            let cut = self.faults.strikes(Fault::OpenCut);
            if cut {
                let at = self.world.disk.operations() + 1 + self.chance.below(8);
                let fault =
                    *self.chance.pick(&[DiskFault::CrashAt(at), DiskFault::FailOnce(at), DiskFault::FailFrom(at)]);
                self.world.disk.plan(fault);
            }
            let builder = self.subject.builder(Deployed { life: self.lives, other });
            self.lives += 1;
            match Simulation::start(&self.world, builder) {
                Ok(simulation) => {
                    let engine = simulation.engine();
                    let callers = Callers::begin(self.subject, &engine, &self.place, &self.world.trace);
                    let (tasks, hung) = (Vec::new(), Vec::new());
                    return Some(Life {
                        simulation,
                        engine,
                        callers,
                        tasks,
                        hung,
                        other,
                        full_until: None,
                        died_at: None,
                    });
                }
                Err(error) => {
                    self.world.trace.see(Seen::Refused { reason: error.to_string(), provoked: cut });
                    if !cut {
                        return None;
                    }
                    self.power_loss();
                }
            }
        }
    }

    /// The process is gone; the machine may be, too.
    fn end(&mut self, life: Life) {
        self.pool.process_ended(&mut self.chance);
        drop(life);
        let how = self.chance.below(3);
        match how {
            0 => {
                self.world = self.world.kill();
                self.world.trace.see(Seen::Died("killed"));
            }
            _ => self.power_loss(),
        }
        let pause =
            *self.chance.pick(&[Span(0), Span(1_000), Span(5_000_000), Span(3_600_000_000), Span(86_400_000_000)]);
        self.world.pass(pause.duration());
    }

    fn crash(&mut self, life: Life) {
        self.end(life);
    }

    fn power_loss(&mut self) {
        let outcome = *self.chance.pick(&Outcome::ALL);
        self.world = self.world.crash(outcome, self.chance.draw());
        self.world.trace.see(Seen::Died("power"));
    }

    /// In good order: what is under way is waited for, within patience.
    fn stop(&mut self, life: &mut Life) {
        let (reply, _) = oneshot::channel();
        life.simulation.inbox.push(Input::Stop { patient: true, reply });
        for _ in 0..200 {
            self.collect(life);
            let now = self.world.now();
            life.tasks.drain(..).for_each(|(_, task)| task.run());
            self.collect(life);
            self.pool.deliver(now, &mut life.simulation.shard, &self.world.trace, &mut self.chance);
            life.simulation.shard.fire();
            life.simulation.shard.flush();
            self.pool.reply(&self.world.trace, &mut self.faults);
            if life.simulation.shard.executing() == 0 && !self.pool.has_arrived(now) {
                break;
            }
        }
        let failure = life.simulation.shard.failure();
        life.simulation.inbox.close(failure);
        life.simulation.shard.close();
        self.world.trace.see(Seen::Died("stopped"));
    }

    // ---- one life ----

    /// Goes on until the process dies, nothing is left to be done, or enough was done.
    fn live(&mut self, life: &mut Life, enough: u64) -> Pause {
        let mut begun_again = 0;
        loop {
            self.actions += 1;
            if self.actions >= enough {
                return Pause::Enough;
            }
            if self.actions > ENDLESS {
                return Pause::Enough;
            }
            if self.faults.strikes(Fault::Crash) {
                return Pause::Died;
            }
            if self.faults.strikes(Fault::Stop) {
                self.stop(life);
                return Pause::Died;
            }
            self.disturb(life);
            if !self.act(life) {
                // Those that have given up try again a little later, as callers do.
                if begun_again < 50 && life.callers.begin_again(self.subject, &life.engine) {
                    begun_again += 1;
                    self.world.pass(Duration::from_secs(1));
                    continue;
                }
                return if self.is_dead(life) { Pause::Died } else { Pause::Rest };
            }
            if self.is_dead(life) {
                // What is left of the process must stay silent.
                for _ in 0..3 {
                    self.turn(life);
                }
                return Pause::Died;
            }
        }
    }

    fn is_dead(&self, life: &Life) -> bool {
        life.simulation.shard.failure().is_some() || life.died_at.is_some_and(|at| self.world.disk.operations() >= at)
    }

    /// What may go wrong between two actions.
    fn disturb(&mut self, life: &mut Life) {
        if self.faults.strikes(Fault::ClockAhead) {
            let ahead = delay(&mut self.chance).0 * *self.chance.pick(&[1, 1, 30]);
            self.world.pass(Span(ahead).duration());
        }
        if self.faults.strikes(Fault::ClockBack) {
            self.world.turn_back(delay(&mut self.chance).duration());
        }
        if self.faults.strikes(Fault::GiveUp) {
            let number = self.chance.below(life.callers.count() as u64) as usize;
            life.callers.give_up(number, self.subject, &life.engine, &self.place, &self.world.trace);
        }
        if life.full_until.is_some_and(|until| until <= self.world.now()) {
            life.full_until = None;
            self.world.disk.plan(DiskFault::None);
        }
        if life.full_until.is_none() && life.died_at.is_none() {
            self.disturb_disk(life);
        }
    }

    fn disturb_disk(&mut self, life: &mut Life) {
        let within = *self.chance.pick(&[3, 12]);
        let next = self.world.disk.operations() + 1 + self.chance.below(within);
        if self.faults.strikes(Fault::DiskDies) {
            self.world.disk.plan(DiskFault::CrashAt(next));
            life.died_at = Some(next);
        } else if self.faults.strikes(Fault::DiskFails) {
            let fault = *self.chance.pick(&[DiskFault::FailOnce(next), DiskFault::FailFrom(next)]);
            self.world.disk.plan(fault);
            life.died_at = (fault == DiskFault::FailFrom(next)).then_some(u64::MAX);
        } else if self.faults.strikes(Fault::DiskFull) {
            self.world.disk.plan(DiskFault::RoomFor(self.chance.below(600)));
            life.full_until = Some(self.world.now().after(delay(&mut self.chance)));
        }
    }

    /// Does one thing of all that could be done now, or lets time pass; `false` if there is nothing.
    fn act(&mut self, life: &mut Life) -> bool {
        self.collect(life);
        let now = self.world.now();
        let due: Vec<usize> = (0..life.tasks.len()).filter(|at| life.tasks[*at].0 <= now).collect();
        let callers = life.callers.ready();
        let shard = &life.simulation.shard;
        let turns = usize::from(self.pool.has_arrived(now) || shard.has_work() || shard.next_due() <= now) * 3;
        let choices = due.len() + callers.len() + turns;
        if choices == 0 || self.chance.often(15) {
            return self.let_time_pass(life, choices > 0);
        }
        match self.chance.below(choices as u64) as usize {
            at if at < due.len() => {
                let (_, task) = life.tasks.remove(due[at]);
                task.run();
            }
            at if at < due.len() + callers.len() => life.callers.poll(callers[at - due.len()]),
            _ => self.turn(life),
        }
        true
    }

    /// New steps and new requests, as they come out of the process.
    fn collect(&mut self, life: &mut Life) {
        let now = self.world.now();
        for task in life.simulation.tasks.take() {
            if self.faults.strikes(Fault::StepHangs) {
                life.hung.push(task);
            } else {
                let slow = self.faults.strikes(Fault::SlowStep);
                let at = if slow { now.after(delay(&mut self.chance)) } else { now };
                life.tasks.push((at, task));
            }
        }
        self.pool.post(life.simulation.inbox.take(), now, &mut self.faults, &mut self.chance);
    }

    /// The engine goes round once.
    fn turn(&mut self, life: &mut Life) {
        let shard = &mut life.simulation.shard;
        self.pool.deliver(self.world.now(), shard, &self.world.trace, &mut self.chance);
        shard.fire();
        if self.faults.strikes(Fault::SlowSync) {
            self.world.pass(delay(&mut self.chance).duration());
        }
        shard.flush();
        self.pool.reply(&self.world.trace, &mut self.faults);
        if shard.failure().is_some() {
            return life.simulation.inbox.close(shard.failure());
        }
        match self.chance.below(200) {
            0..=4 => self.clean(life),
            5 => life.simulation.shard.seal(),
            6..=9 => self.list(life),
            _ => {}
        }
    }

    fn clean(&mut self, life: &Life) {
        // A disk that refuses is a fault like others; the log must be as it was.
        let _ = life.simulation.tap.journal.clean();
    }

    /// Lets time pass: a little, or until something can be done.
    fn let_time_pass(&mut self, life: &mut Life, a_little: bool) -> bool {
        let now = self.world.now();
        if a_little {
            self.world.pass(delay(&mut self.chance).duration() / 100);
            return true;
        }
        let tasks = life.tasks.iter().map(|(at, _)| *at).min();
        let timer = life.simulation.shard.earliest_timer();
        let full = life.full_until;
        match [tasks, self.pool.next(), timer, full].into_iter().flatten().min() {
            // A step that hangs, and code that does not fit, are mended by another process, not by waiting.
            Some(next) if next.since(now) > FAR && (life.other || !life.hung.is_empty()) => false,
            Some(next) => {
                self.world.clock.set(next.max(now));
                // What was far is near now.
                life.simulation.shard.flush();
                true
            }
            None => false,
        }
    }

    // ---- lists ----

    /// Looks at a list, when nothing is under way to the disk.
    fn list(&mut self, life: &Life) {
        if !life.simulation.tap.is_settled() {
            return;
        }
        let Some(all) = self.listed(life, &Listing::All) else { return };
        let one = (!all.is_empty()).then(|| self.chance.pick(&all).clone());
        let mut listings = vec![(Listing::All, all)];
        let status = *self.chance.pick(&RunStatus::ALL);
        let mut others = vec![Listing::Status(status)];
        if let Some(one) = one {
            others.push(Listing::Workflow(one.workflow));
            others.extend(one.parent.map(Listing::Children));
            others.extend(one.labels.into_iter().map(|(name, value)| Listing::Label(name, value)));
        }
        for of in others {
            let runs = self.listed(life, &of).unwrap_or_default();
            listings.push((of, runs));
        }
        for (of, runs) in listings {
            self.world.trace.see(Seen::Listed { of, runs });
        }
    }

    /// A list, page by page; `None` if it cannot be read.
    fn listed(&mut self, life: &Life, of: &Listing) -> Option<Vec<ListedRun>> {
        let limit = 1 + self.chance.below(20) as usize;
        let mut runs = Vec::new();
        let mut from: Option<Vec<u8>> = None;
        loop {
            let page = life.engine.list(&of.filter(), from.as_deref(), limit).ok()?;
            runs.extend(page.runs.into_iter().map(|info| ListedRun {
                run: info.id,
                status: info.row.status,
                records: info.row.records,
                workflow: info.row.workflow,
                parent: info.row.parent,
                labels: info.row.labels,
            }));
            match page.next {
                Some(next) => from = Some(next),
                None => return Some(runs),
            }
        }
    }
}
