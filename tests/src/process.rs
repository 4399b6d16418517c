//! Real processes: where their programs are, what they left behind, and what may be said of that.

use crate::checks::{Histories, histories};
use rejoin::{Event, RunId};
use rejoin_store::OpenError;
use rejoin_store::disk::Folder;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// An example of the engine, built if it is not there or not of these sources. `cargo test --workspace` has built it
/// already; `cargo test -p rejoin-tests` has not.
///
/// # Panics
///
/// If it cannot be built.
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its own file");
    // target/debug/deps/test-1234
    let profile = test.ancestors().nth(2).expect("a test lies two folders below its profile's");
    let program = profile.join("examples").join(name);
    if !is_fresh(&program) {
        build(name, profile);
    }
    program
}

/// Whether the program is younger than every source that cargo noted beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let Some(built) = changed(program) else { return false };
    let Ok(noted) = fs::read_to_string(program.with_extension("d")) else { return false };
    let sources = noted.split_once(": ").map_or("", |(_, sources)| sources);
    let is_older = |source: &str| changed(Path::new(source)).is_some_and(|changed: SystemTime| changed <= built);
    !sources.is_empty() && sources.split_whitespace().all(is_older)
}

fn build(name: &str, profile: &Path) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = profile.parent().expect("a profile's folder lies in the target folder");
    // The folder of the profile "dev" is the one that has another name.
    let kind = profile.file_name().filter(|kind| *kind != "debug").unwrap_or("dev".as_ref());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "rejoin", "--example", name, "--profile"]).arg(kind);
    let status = command.arg("--target-dir").arg(target).status().expect("cargo starts");
    assert!(status.success(), "cargo build --example {name}: {status}");
}

/// All histories of a data folder whose process has ended, however early.
///
/// # Panics
///
/// If the log is damaged.
pub fn histories_of(data: &Path) -> Histories {
    let Ok(folder) = Folder::existing(data) else { return Histories::new() };
    match histories(&folder) {
        Ok(all) => all,
        // Killed before there was a store.
        Err(OpenError::Missing { .. }) => Histories::new(),
        Err(error) => panic!("{}: {error}", data.display()),
    }
}

/// A step's idempotency key, as an attempt says it.
pub type Key = String;

/// A step, as the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// How many completions of it are in the log.
    pub completed: usize,
}

/// All steps of a log.
pub fn steps(all: &Histories) -> BTreeMap<Key, StepRecord> {
    let mut steps: BTreeMap<Key, StepRecord> = BTreeMap::new();
    for (run, history) in all {
        let mut incarnation = 0;
        for event in history.iter().flat_map(|entry| &entry.transition.events) {
            let key = |op| format!("{run}/{incarnation}/{op}");
            match event {
                Event::ContinuedAsNew(boundary) => incarnation = boundary.incarnation,
                Event::StepScheduled { op, name, .. } => steps.entry(key(op)).or_default().name.clone_from(name),
                Event::StepCompleted { op, .. } => steps.entry(key(op)).or_default().completed += 1,
                _ => {}
            }
        }
    }
    steps
}

/// Those of [`steps`] whose completion is in the log.
pub fn recorded_steps(all: &Histories) -> BTreeMap<Key, StepRecord> {
    let mut steps = steps(all);
    steps.retain(|_, step| step.completed > 0);
    steps
}

/// A line that a step left: its name and its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The step's name.
    pub step: String,
    /// Its idempotency key.
    pub key: Key,
}

/// The lines of a ledger; none where there is no file yet.
///
/// # Panics
///
/// If a line is not whole.
pub fn ledger(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (step, key) = line.rsplit_once(", ").unwrap_or_else(|| panic!("a torn line in the ledger: {line:?}"));
        Line { step: step.to_owned(), key: key.to_owned() }
    };
    text.lines().map(line).collect()
}

/// What is wrong with what steps left behind: a step that ran under two keys.
pub fn steps_with_several_keys(lines: &[Line]) -> Vec<String> {
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for Line { step, key } in lines {
        let first = *keys.entry(step).or_insert(key);
        if first != key {
            found.push(format!("E7: step {step:?} ran with the keys {first} and {key}"));
        }
    }
    found
}

/// What is missing where `later` was read from the same log after `earlier`: records stay as they are, for ever.
pub fn lost_records(earlier: &Histories, later: &Histories) -> Vec<String> {
    let kept = |run: &RunId, history: &[_]| later.get(run).is_some_and(|later| later.starts_with(history));
    let lost = earlier.iter().filter(|(run, history)| !kept(run, history));
    lost.map(|(run, history)| format!("S1: the {} records of run {run} are not what they were", history.len()))
        .collect()
}
