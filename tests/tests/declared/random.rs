//! Definitions at random: what they give is known before, and holds over crashes at every commit.

use super::{AGENTS, MAIN, app, gives, read};
use rejoin::testkit::chaos::{Caller, Deployed, End, Plan, Subject, explore_twice};
use rejoin::testkit::checks::Violation;
use rejoin::testkit::{Chance, CrashTest, Ledger};
use rejoin::{Builder, Engine, RunError};
use rejoin_tests::definitions::{Sound, broken, sound};
use serde_json::json;
use std::sync::{Arc, Mutex};

#[test]
fn definitions_at_random_give_what_they_must() {
    for seed in 0..300 {
        let sound = sound(&mut Chance::new(seed));
        assert_eq!(gives(&[AGENTS, &sound.text], json!({ "n": 3 })), sound.gives, "seed {seed}:\n{}", sound.text);
    }
}

#[test]
fn spec_a5_definitions_at_random_survive_a_crash_at_every_commit() {
    for seed in 1000..1060 {
        let text = sound(&mut Chance::new(seed)).text;
        let app = move |_: &Ledger| app(&[AGENTS, &text]);
        let summary = CrashTest::new(app, &super::MAIN, json!({ "n": 3 })).run();
        assert!(summary.crashes > summary.commits, "seed {seed}: {summary:?}");
    }
}

#[test]
fn broken_definitions_are_told_and_never_panic() {
    let mut chance = Chance::new(7);
    for _ in 0..20_000 {
        let fresh = sound(&mut chance).text;
        read(&[AGENTS, &broken(&mut chance, &[&fresh, AGENTS])]);
    }
}

/// Two runs of a definition, with everything that can go wrong around them.
struct Two {
    sound: Sound,
    /// What came of one that should have been another.
    other: Arc<Mutex<Vec<String>>>,
}

impl Subject for Two {
    fn builder(&self, _: Deployed) -> Builder {
        app(&[AGENTS, &self.sound.text])
    }
    fn callers(&self) -> usize {
        2
    }
    fn caller(&self, number: usize, engine: Engine) -> Caller {
        let (gives, other) = (self.sound.gives.clone(), self.other.clone());
        Box::pin(async move {
            let triggered = engine.trigger(&MAIN, json!({ "n": 3 })).key(format!("run {number}")).await;
            match triggered.map_err(|error| error.to_string())?.result().await {
                Ok(value) if value == gives => Ok(()),
                Err(error) if !matches!(error, RunError::Failed(_)) => Err(error.to_string()),
                ended => {
                    other.lock().unwrap().push(format!("run {number} ends with {ended:?}, and not with {gives}"));
                    Ok(())
                }
            }
        })
    }
    fn judge(&self, _: &End<'_>) -> Vec<Violation> {
        self.other.lock().unwrap().drain(..).map(|what| Violation { id: "A5", what }).collect()
    }
}

#[test]
fn spec_i2_definitions_at_random_give_what_they_must_whatever_goes_wrong() {
    let mut struck = 0;
    for seed in 2000..2300 {
        let subject = || Two { sound: sound(&mut Chance::new(seed)), other: Arc::default() };
        let found = explore_twice(subject, &Plan::seed(seed));
        assert!(found.violations.is_empty(), "seed {seed}: {:#?}\n{}", found.violations, subject().sound.text);
        struck += found.struck.len();
    }
    assert!(struck > 300, "{struck} faults");
}
