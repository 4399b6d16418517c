//! Definitions at random: what they give is known before, and holds over crashes at every commit.

use super::{AGENTS, app, gives, read};
use rejoin::testkit::{Chance, CrashTest, Ledger};
use rejoin_tests::definitions::{broken, sound};
use serde_json::json;

#[test]
fn definitions_at_random_give_what_they_must() {
    for seed in 0..300 {
        let sound = sound(&mut Chance::new(seed));
        assert_eq!(gives(&[AGENTS, &sound.text], json!({ "n": 3 })), sound.gives, "seed {seed}:\n{}", sound.text);
    }
}

#[test]
fn spec_a5_definitions_at_random_survive_a_crash_at_every_commit() {
    for seed in 1000..1025 {
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
