//! One seed: its programs, everything that was seen, and what does not hold.

use rejoin::testkit::chaos::{Plan, Strike, explore_traced};
use rejoin_tests::programs::Programs;
use std::process::ExitCode;

pub fn show(seed: u64, size: u64, only: Option<Vec<Strike>>) -> ExitCode {
    let programs = Programs::new(seed, size);
    for (number, root) in programs.roots().iter().enumerate() {
        println!("root {number}: {root:?}");
    }
    let (found, trace) = explore_traced(&programs, &Plan { seed, only });
    trace.read(|seen| seen.iter().for_each(|seen| println!("{seen}")));
    let struck: Vec<String> = found.struck.iter().map(ToString::to_string).collect();
    println!("faults: {}", if struck.is_empty() { "none".to_owned() } else { struck.join(",") });
    for violation in &found.violations {
        println!("FAILED {seed} {violation}");
    }
    if found.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
