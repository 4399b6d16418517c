//! Many seeds, on all cores: each is executed twice and must show the same; the first that fails is made small.

use crate::programs::Programs;
use rejoin::testkit::chaos::{Found, Plan, Strike, explore_twice, shrink};
use rejoin::testkit::checks::Violation;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long one seed may take before it counts as one that never ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be executed.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// How many things a root does at most.
    pub size: u64,
    /// When to stop, also if seeds are left.
    pub until: Option<Instant>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many seeds were executed.
    pub seeds: u64,
    /// Every seed below this one was executed.
    pub reached: u64,
    /// How many processes lived.
    pub lives: u64,
    /// How many records were written.
    pub records: u64,
    /// How much time passed in them, in seconds.
    pub passed: u64,
    /// How many faults struck.
    pub faults: u64,
    /// The first seed that failed.
    pub failure: Option<Failure>,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What does not hold; the first line is what was found first.
    pub violations: Vec<Violation>,
    /// The faults that it takes.
    pub faults: Option<Vec<Strike>>,
}

impl Failure {
    /// The command that shows it again.
    pub fn command(&self, size: u64) -> String {
        let faults = self.faults.as_ref().map(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            if faults.is_empty() { " --faults none".to_owned() } else { format!(" --faults {}", faults.join(",")) }
        });
        let faults = faults.unwrap_or_default();
        format!(
            "cargo run --profile prove -p rejoin-tests --bin simulate -- --seed {} --size {size}{faults}",
            self.seed
        )
    }
}

/// What the workers share.
struct Shared {
    next: AtomicU64,
    outcome: Mutex<Outcome>,
    /// Since when each worker has been busy with which seed.
    busy: Vec<Mutex<Option<(u64, Instant)>>>,
    ended: AtomicU64,
}

impl Campaign {
    /// Executes it; `report` is told now and then how it stands.
    pub fn execute(&self, report: impl Fn(&Outcome)) -> Outcome {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            next: AtomicU64::new(self.seeds.start),
            outcome: Mutex::default(),
            busy: (0..workers).map(|_| Mutex::new(None)).collect(),
            ended: AtomicU64::new(0),
        };
        thread::scope(|scope| {
            for worker in 0..workers {
                let shared = &shared;
                scope.spawn(move || {
                    self.work(worker, shared);
                    shared.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            while shared.ended.load(Ordering::SeqCst) < workers as u64 {
                thread::sleep(Duration::from_millis(100));
                report(&lock(&shared.outcome));
                if let Some(seed) = shared.endless() {
                    // A thread that never ends cannot be stopped; the process can.
                    let what = format!("seed {seed} does not come to an end");
                    println!("FAILED {seed} E5: {what}");
                    std::process::exit(1);
                }
            }
        });
        let mut outcome = lock(&shared.outcome).clone();
        outcome.reached = shared.next.load(Ordering::SeqCst).min(self.seeds.end);
        if let Some(failure) = &mut outcome.failure {
            self.make_small(failure);
        }
        outcome
    }

    fn work(&self, worker: usize, shared: &Shared) {
        loop {
            let late = self.until.is_some_and(|until| Instant::now() >= until);
            if late || lock(&shared.outcome).failure.is_some() {
                return;
            }
            let seed = shared.next.fetch_add(1, Ordering::SeqCst);
            if seed >= self.seeds.end {
                return;
            }
            *lock(&shared.busy[worker]) = Some((seed, Instant::now()));
            let found = self.seed(seed);
            *lock(&shared.busy[worker]) = None;
            let mut outcome = lock(&shared.outcome);
            outcome.seeds += 1;
            outcome.lives += u64::from(found.lives);
            outcome.records += found.records;
            outcome.passed += found.passed / 1_000_000;
            outcome.faults += found.struck.len() as u64;
            let earlier = outcome.failure.as_ref().is_some_and(|failure| failure.seed < seed);
            if !found.violations.is_empty() && !earlier {
                outcome.failure = Some(Failure { seed, violations: found.violations, faults: None });
            }
        }
    }

    /// Executes a seed twice. A panic is a finding like any other.
    fn seed(&self, seed: u64) -> Found {
        let twice = || explore_twice(|| Programs::new(seed, self.size), &Plan::seed(seed));
        catch_unwind(AssertUnwindSafe(twice)).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing");
            let violations = vec![Violation { id: "panic", what: said.to_owned() }];
            Found { violations, struck: Vec::new(), digest: 0, lives: 0, passed: 0, records: 0 }
        })
    }

    fn make_small(&self, failure: &mut Failure) {
        let Some(first) = failure.violations.first().filter(|violation| violation.id != "panic") else { return };
        let plan = Plan::seed(failure.seed);
        let found = Found {
            violations: vec![first.clone()],
            struck: rejoin::testkit::chaos::explore(&Programs::new(failure.seed, self.size), &plan).struck,
            ..Found::default()
        };
        let small = catch_unwind(AssertUnwindSafe(|| shrink(|| Programs::new(failure.seed, self.size), &plan, found)));
        if let Ok(small) = small {
            failure.faults = small.plan.only;
        }
    }
}

impl Shared {
    fn endless(&self) -> Option<u64> {
        self.busy.iter().find_map(|busy| {
            let (seed, since) = (*lock(busy))?;
            (since.elapsed() > PATIENCE).then_some(seed)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
