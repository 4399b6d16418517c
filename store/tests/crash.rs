//! Every crash of a script, at every operation of the disk, with every outcome; and every crash of its recovery.
//!
//! The disk is simulated, the store is real. Each crash leaves one of six kinds of disk behind: nothing unsynced
//! survived, all did, the first part did, any part did, one write is torn, one is rubbish.

mod script;

use rejoin_store::simulated::{Fault, Outcome, SimDisk};
use script::{Progress, Script, everything, goes_on, open};

/// Draws of what an outcome leaves open.
const SEEDS: u64 = 10;

/// Runs the script with a crash at each operation, and hands the dead disk and the progress to `then`.
fn at_each_operation(script: &Script, mut then: impl FnMut(&SimDisk, Progress, &str)) -> u64 {
    let disk = SimDisk::new();
    let whole = script.run(&disk);
    assert_eq!((whole.acked, whole.appended), (script.batches.len(), script.batches.len()), "without faults all works");
    let operations = disk.operations();
    for operation in 1..=operations {
        let disk = SimDisk::new();
        disk.plan(Fault::CrashAt(operation));
        let progress = script.run(&disk);
        let what = disk.operation(operation).expect("the operation was reached");
        then(&disk, progress, &format!("crash at operation {operation} ({what})"));
    }
    operations
}

#[test]
fn inv_s1_inv_s2_a_crash_at_any_operation_loses_nothing_acknowledged() {
    let script = Script::new();
    let (mut states, mut cuts) = (0, 0);
    let operations = at_each_operation(&script, |dead, progress, context| {
        for outcome in Outcome::ALL {
            for seed in 0..SEEDS {
                let context = format!("{context}, {outcome:?}, seed {seed}");
                let disk = dead.crash(outcome, seed);
                let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                script.check(&log, progress, &context);
                // Where no write is torn there is nothing to cut, and a footer is no rubbish.
                let torn = !matches!(outcome, Outcome::Lost | Outcome::Kept);
                assert!(torn || log.cut().is_none(), "{context}: {:?}", log.cut());
                cuts += usize::from(log.cut().is_some());
                goes_on(&disk, log, &context);
                states += 1;
            }
        }
    });
    println!("{operations} operations, {states} crash states, {cuts} with a torn end");
    assert!(operations > 140 && cuts > 200, "the script is too tame: {operations} operations, {cuts} cuts");
}

#[test]
fn inv_s8_a_crash_at_any_operation_of_recovery_changes_nothing() {
    let script = Script::new();
    let mut states = 0;
    at_each_operation(&script, |dead, progress, context| {
        for (seed, outcome) in (0..).zip(Outcome::ALL) {
            let crashed = dead.crash(outcome, seed);
            let again = || SimDisk::with_files(crashed.files());
            let disk = again();
            let found = everything(&open(&disk).expect("recovery works"), context);
            let steps = {
                // Closing adds operations, which are none of recovery's.
                let disk = again();
                let _log = open(&disk).expect("recovery works");
                disk.operations()
            };
            for step in 1..=steps {
                let dead = again();
                dead.plan(Fault::CrashAt(step));
                drop(open(&dead));
                let what = dead.operation(step).expect("the operation was reached");
                for (salt, second) in (0..).zip(Outcome::ALL) {
                    let context = format!("{context}, {outcome:?}, crash of recovery at {step} ({what}), {second:?}");
                    let disk = dead.crash(second, step * 6 + salt);
                    let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                    script.check(&log, progress, &context);
                    assert_eq!(everything(&log, &context), found, "{context}");
                    if step % 4 == salt {
                        goes_on(&disk, log, &context);
                    }
                    states += 1;
                }
            }
        }
    });
    println!("{states} crashes of recovery");
    assert!(states > 40_000, "only {states} crashes of recovery");
}

#[test]
fn inv_s9_what_a_recovery_showed_survives_the_next_crash() {
    let script = Script::new();
    at_each_operation(&script, |dead, progress, context| {
        // The process was killed and the machine was not: the next process reads what is not durable yet.
        let disk = dead.kill();
        let context = format!("kill instead of {context}");
        let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        script.check(&log, progress, &context);
        let shown = everything(&log, &context);
        for (seed, outcome) in (0..).zip(Outcome::ALL) {
            let context = format!("{context}, then {outcome:?}");
            let disk = disk.crash(outcome, seed);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(everything(&log, &context), shown, "{context}");
        }
    });
}

#[test]
fn a_crash_in_the_middle_of_closing_leaves_a_store_that_goes_on_with_small_appends() {
    // A small append after a crash between footer and manifest would fit behind the footer, where nothing may stand.
    let script = Script::new();
    let mut closing = 0;
    at_each_operation(&script, |dead, progress, context| {
        if !context.contains("MANIFEST.new") {
            return;
        }
        closing += 1;
        for outcome in Outcome::ALL {
            let mut disk = dead.crash(outcome, 7);
            for round in 0..5 {
                let context = format!("{context}, {outcome:?}, round {round}");
                let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                if round == 0 {
                    script.check(&log, progress, &context);
                }
                goes_on(&disk, log, &context);
                disk = disk.crash(Outcome::Lost, round);
            }
        }
    });
    assert!(closing > 20, "only {closing} crashes while a manifest was written");
}
