//! Seeds of the simulator, each executed twice: whatever goes wrong in them, every invariant holds.
//!
//! `REJOIN_SEEDS` says how many (10,000), `REJOIN_FROM` which is the first. The tool `simulate` does the same for longer.

use rejoin::testkit::chaos::{Caller, Deployed, End, Fault, Plan, Subject, explore, shrink};
use rejoin::testkit::checks::Violation;
use rejoin::{Builder, Engine};
use rejoin_tests::campaign::Campaign;
use rejoin_tests::chance::setting;
use rejoin_tests::programs::Programs;

fn execute(seeds: u64, size: u64) {
    let from = setting("REJOIN_FROM").unwrap_or(0);
    let campaign = Campaign { seeds: from..from + seeds, size, until: None };
    let outcome = campaign.execute(|_| {});
    println!(
        "{} seeds, each twice: {} lives, {} faults, {} records",
        outcome.seeds, outcome.lives, outcome.faults, outcome.records
    );
    if let Some(failure) = &outcome.failure {
        let violations: Vec<String> = failure.violations.iter().map(ToString::to_string).collect();
        panic!("seed {}: {violations:#?}\nto see it: {}", failure.seed, failure.command(size));
    }
    assert_eq!(outcome.seeds, seeds);
    assert!(outcome.faults > seeds, "something goes wrong in most of them");
}

#[test]
fn spec_i2_ten_thousand_seeds_violate_nothing() {
    execute(setting("REJOIN_SEEDS").unwrap_or(10_000), 30);
}

#[test]
fn inv_e13_a_thousand_large_programs_count_what_the_model_says() {
    execute(setting("REJOIN_SEEDS").unwrap_or(10_000) / 10, 150);
}

/// Programs that are said to go wrong as soon as a step hangs.
struct Brittle(Programs);

impl Subject for Brittle {
    fn builder(&self, deployed: Deployed) -> Builder {
        self.0.builder(deployed)
    }
    fn callers(&self) -> usize {
        self.0.callers()
    }
    fn is_servant(&self, number: usize) -> bool {
        self.0.is_servant(number)
    }
    fn caller(&self, number: usize, engine: Engine) -> Caller {
        self.0.caller(number, engine)
    }
    fn judge(&self, end: &End<'_>) -> Vec<Violation> {
        let slow = end.struck.iter().any(|strike| strike.fault == Fault::StepHangs);
        slow.then(|| Violation { id: "test", what: "a step has hung".to_owned() }).into_iter().collect()
    }
}

#[test]
fn spec_i2_a_seed_that_fails_shrinks_to_the_fault_that_it_takes() {
    let brittle = |seed| move || Brittle(Programs::new(seed, 30));
    let (plan, found) = (0..1000)
        .map(Plan::seed)
        .map(|plan| (plan.clone(), explore(&brittle(plan.seed)(), &plan)))
        .find(|(_, found)| !found.violations.is_empty() && found.struck.len() > 5)
        .expect("a seed in which a step hangs");
    let before = found.struck.len();
    let shrunk = shrink(brittle(plan.seed), &plan, found);
    let kept = shrunk.found.struck.clone();
    assert!(kept.len() < before && kept.iter().any(|strike| strike.fault == Fault::StepHangs), "{kept:?}");
    for at in 0..kept.len() {
        let mut without = kept.clone();
        without.remove(at);
        let fewer = explore(&brittle(plan.seed)(), &Plan { seed: plan.seed, only: Some(without) });
        assert!(fewer.violations.is_empty(), "it also fails without {}", kept[at]);
    }
    assert_eq!(explore(&brittle(plan.seed)(), &shrunk.plan).violations, shrunk.found.violations);
}
