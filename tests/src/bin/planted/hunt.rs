//! The hunt: the simulator first, then larger programs, then tests.

use super::copy::Copy;
use std::fmt;
use std::path::Path;
use std::process::{Command, Output};

/// By what a bug was found.
pub struct Found {
    /// The simulator, the programs, or a test.
    pub by: &'static str,
    /// The invariant that does not hold.
    pub invariant: String,
    /// After how many seeds.
    pub seeds: Option<u64>,
    /// What was said.
    pub what: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = self.seeds.map(|seeds| format!(" after {seeds} seeds")).unwrap_or_default();
        write!(f, "{:<5} by {}{seeds}: {}", self.invariant, self.by, self.what)
    }
}

/// Large programs are fewer: each does as much as ten small ones.
const LARGE: u64 = 10;

/// Tests that know what the simulator does not meet: crashes at each operation, cleaning that fails, indexes on disk.
const TESTS: [(&str, &str); 9] = [
    ("rejoin-tests", "scenarios"),
    ("rejoin-tests", "children"),
    ("rejoin-tests", "listing"),
    ("rejoin-tests", "misuse"),
    ("rejoin-store", "crash"),
    ("rejoin-store", "faults"),
    ("rejoin-store", "clean"),
    ("rejoin-store", "index"),
    ("rejoin-store", "libraries"),
];

/// Builds the copy and looks for what is wrong with it; with the tests, or without.
pub fn hunt(copy: &Copy, seeds: u64, tests: bool) -> Result<Option<Found>, String> {
    let target = copy.folder.join("../target");
    build(copy, &target)?;
    if let Some(found) = simulate(&target, "the simulator", 30, seeds)? {
        return Ok(Some(found));
    }
    if let Some(found) = simulate(&target, "large programs", 150, seeds / LARGE)? {
        return Ok(Some(found));
    }
    for (package, test) in TESTS.iter().filter(|_| tests) {
        if let Some(found) = test_target(copy, &target, package, test)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn cargo(copy: &Copy, target: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&copy.folder).env("CARGO_TARGET_DIR", target);
    cargo
}

fn build(copy: &Copy, target: &Path) -> Result<(), String> {
    let mut build = cargo(copy, target);
    build.args(["build", "-q", "--profile", "prove", "-p", "rejoin-tests", "--bin", "simulate"]);
    let Output { status, stderr, .. } = run(&mut build)?;
    if status.success() {
        return Ok(());
    }
    Err(format!("the copy does not build:\n{}", String::from_utf8_lossy(&stderr)))
}

fn simulate(target: &Path, by: &'static str, size: u64, seeds: u64) -> Result<Option<Found>, String> {
    let mut simulate = Command::new(target.join("prove/simulate"));
    simulate.args(["--seeds", &seeds.to_string(), "--size", &size.to_string()]);
    let Output { status, stdout, .. } = run(&mut simulate)?;
    let said = String::from_utf8_lossy(&stdout);
    let Some(failed) = said.lines().find_map(|line| line.strip_prefix("FAILED ")) else {
        if status.success() {
            return Ok(None);
        }
        // It has ended without a word: the process itself is what the bug has hit.
        return Ok(Some(Found { by, invariant: "abort".to_owned(), seeds: None, what: status.to_string() }));
    };
    let (seed, violation) = failed.split_once(' ').unwrap_or(("", failed));
    let (invariant, what) = violation.split_once(": ").unwrap_or(("?", violation));
    let seeds = seed.parse::<u64>().ok().map(|seed| seed + 1);
    Ok(Some(Found { by, invariant: invariant.to_owned(), seeds, what: what.to_owned() }))
}

fn test_target(copy: &Copy, target: &Path, package: &str, test: &'static str) -> Result<Option<Found>, String> {
    let mut cargo = cargo(copy, target);
    cargo.args(["test", "-q", "-p", package, "--test", test]);
    let Output { status, stdout, .. } = run(&mut cargo)?;
    if status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&stdout);
    let name = said.lines().find_map(|line| Some(line.strip_prefix("---- ")?.split(' ').next()?.to_owned()));
    let name = name.unwrap_or_else(|| test.to_owned());
    // The names of tests bear the ids of what they check.
    let id =
        name.split('_').nth(1).map(str::to_uppercase).filter(|_| name.starts_with("inv_") || name.starts_with("spec_"));
    Ok(Some(Found { by: test, invariant: id.unwrap_or_else(|| "test".to_owned()), seeds: None, what: name }))
}

fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{:?} cannot be executed: {error}", command.get_program()))
}
