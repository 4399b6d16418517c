//! Many lives of a process under chance: one seed decides the order of everything that is concurrent, the time, and what goes
//! wrong. The real runtime and the real journal are executed, on a simulated disk.
//!
//! A seed is executed in two phases. While faults strike, processes crash, disks fail, answers are late or come twice. Then
//! nothing more goes wrong, and everything that was accepted must come to its end. What was seen is held against the
//! [invariants](super::checks).

mod callers;
mod faults;
mod pool;
mod schedule;
mod shrink;

pub use callers::Caller;
pub use faults::{Fault, Strike};
pub use shrink::{Shrunk, shrink};

use super::checks::{self, Histories, Violation};
use super::trace::Trace;
use super::world::World;
use crate::engine::{Builder, Engine};
use std::sync::Arc;

/// What is put to the test: handlers, and those who use them.
pub trait Subject {
    /// The engine of one life of the process.
    fn builder(&self, deployed: Deployed) -> Builder;
    /// How many callers there are.
    fn callers(&self) -> usize;
    /// What one of them does. It is begun again after a crash, and whenever it has given up: its requests must bear keys.
    fn caller(&self, number: usize, engine: Engine) -> Caller;
    /// Whether that one serves the others and never comes to an end.
    fn is_servant(&self, number: usize) -> bool {
        let _ = number;
        false
    }
    /// What else must hold at the end, when every caller has come to its end.
    fn judge(&self, end: &End<'_>) -> Vec<Violation>;
}

/// Which code a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// How many processes there were before.
    pub life: u32,
    /// It has other code than it should: handlers may not fit their histories. Where that makes no sense, ignore it.
    pub other: bool,
}

/// How everything stood when nothing was left to be done.
pub struct End<'a> {
    /// The histories of all runs that exist; then those of runs that were deleted.
    pub histories: &'a [Histories],
    /// What was seen.
    pub trace: &'a Trace,
    /// What went wrong, in order.
    pub struck: &'a [Strike],
}

/// What is to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// The faults that strike; `None`: as the seed has it.
    pub only: Option<Vec<Strike>>,
}

impl Plan {
    /// A seed with its own faults.
    pub fn seed(seed: u64) -> Plan {
        Plan { seed, only: None }
    }
}

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// What went wrong, in order.
    pub struck: Vec<Strike>,
    /// A number for all that was seen.
    pub digest: u64,
    /// How many processes lived.
    pub lives: u32,
    /// How much time passed, in microseconds.
    pub passed: u64,
    /// How many records the log was given.
    pub records: u64,
}

/// Executes a plan once.
pub fn explore(subject: &dyn Subject, plan: &Plan) -> Found {
    let (found, _) = explore_traced(subject, plan);
    found
}

/// As [`explore`], with everything that was seen.
pub fn explore_traced(subject: &dyn Subject, plan: &Plan) -> (Found, Arc<Trace>) {
    let world = World::new(plan.seed);
    let began = world.now();
    let trace = world.trace.clone();
    let done = schedule::execute(subject, plan, world);
    let (model, mut violations) = trace.read(checks::trace);
    let histories = model.histories();
    histories.iter().for_each(|all| violations.extend(checks::histories(all)));
    violations.extend(done.violations);
    if done.healed && violations.is_empty() {
        violations.extend(subject.judge(&End { histories: &histories, trace: &trace, struck: &done.struck }));
    }
    let records = histories.iter().flat_map(Histories::values).map(|history| history.len() as u64).sum();
    let digest = trace.digest();
    let passed = done.until.since(began).0;
    (Found { violations, struck: done.struck, digest, lives: done.lives, passed, records }, trace)
}

/// Executes a plan twice: what was seen must be the same to the last detail.
pub fn explore_twice<S: Subject>(subject: impl Fn() -> S, plan: &Plan) -> Found {
    let mut first = explore(&subject(), plan);
    let second = explore(&subject(), plan);
    if first.digest != second.digest {
        let what = "the same seed was executed twice, and something else was seen the second time".to_owned();
        first.violations.push(Violation { id: "E1", what });
    }
    first
}
