//! The table of the specification: each line, and the tests that bear its id.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The lines about what runs can do to each other, in a few words.
const LINES: &[(&str, &str)] = &[
    ("B1", "A job asks one agent and waits"),
    ("B2", "A group asks several in parallel, each with its own input and timeout"),
    ("B3", "A job waits, durably, for an agent that is not there; an undeclared one is refused"),
    ("B4", "Fire and forget, and asking later"),
    ("B5", "Handlers by job name, a default one, deferred answers, limits"),
    ("B6", "Progress: pushed, pulled, the latest few kept"),
    ("B7", "Streams: cursors, attempts, bounds"),
    ("B8", "How members of a group end, and what that means for the others"),
    ("B9", "A group ends when nobody works unseen"),
    ("B10", "Cancellation: who, why, how far, and what is protected"),
    ("B11", "Workers that stop politely, and workers that vanish"),
    ("B12", "Deadlines; queue time and work time"),
    ("B13", "What becomes of children when their caller ends"),
    ("C1", "An agent triggers a granted workflow; inputs are checked"),
    ("C2", "The result comes back to the agent and its conversation"),
    ("C3", "Failure comes back, never silence"),
    ("C4", "Grants and departments"),
    ("C5", "An agent that is a language model"),
    ("C6", "Run tokens"),
    ("C7", "Turns of a conversation"),
    ("D1", "A workflow assigns a task"),
    ("D2", "What a task is given"),
    ("D3", "Output fields, and their repair"),
    ("D4", "Metadata"),
    ("D5", "Tasks as conversations"),
    ("D6", "The boundary of a project"),
    ("D7", "Headless work"),
    ("D8", "App events"),
    ("E1", "Trigger an agent, and tell how it ended"),
    ("E2", "Call an agent with shared context"),
    ("E3", "Handoff to a person"),
    ("E4", "The end of a handoff"),
    ("E5", "Diagnostics on definitions"),
    ("F1", "Triggered by an agent: context, five minutes"),
    ("F2", "The result of a workflow, tagged"),
    ("F3", "Failure and timeout come back as errors"),
    ("F4", "An outcome leads to a workflow"),
    ("F5", "Triggered or by hand, it is the same"),
    ("F6", "Whether an assignment may trigger at all"),
    ("F7", "Stages: assignments, questions before and after, routes"),
    ("F8", "Guards of loops"),
    ("F9", "Subagents and swarms"),
    ("F10", "Depth and recursion"),
    ("G2", "Idempotent triggers"),
    ("H1", "Approvals"),
    ("H2", "Pause, resume, message, retry"),
    ("I4", "Scripted conversations"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of tests by the id that they bear.
fn tests() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    for folder in
        ["tests/tests", "engine/src", "engine/machine/tests", "store/src", "store/tests", "api/src", "api/tests"]
    {
        sources(&root().join(folder), &mut files);
    }
    files.sort();
    let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test")) {
            let name = pair[1].trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            let Some(rest) = name.and_then(|name| name.strip_prefix("spec_")) else { continue };
            let Some((id, words)) = rest.split_once('_') else { continue };
            tests.entry(id.to_uppercase()).or_default().push(words.replace('_', " "));
        }
    }
    tests
}

fn table() -> String {
    let tests = tests();
    let mut text = "# The specification, line by line\n\nWhat runs can do to each other, and the tests that bear the id of each \
                    line (`spec_b2_..`). Made by `UPDATE_GOLDEN=1 cargo test -p rejoin-tests --test specification`; all of \
                    them pass, or the build does not.\n\n| Line | What | Tests |\n|---|---|---|\n"
        .to_owned();
    for (id, what) in LINES {
        let named = tests.get(*id).map_or("**none yet**".to_owned(), |tests| tests.join("; "));
        writeln!(text, "| {id} | {what} | {named} |").expect("a string takes everything");
    }
    text
}

#[test]
fn the_table_of_the_specification_is_as_the_tests_are() {
    let path = root().join("docs/specification.md");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &table).expect("the table can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == table,
        "docs/specification.md is not what the tests say; UPDATE_GOLDEN=1 cargo test -p rejoin-tests --test specification"
    );
}

#[test]
fn every_id_in_a_tests_name_is_one_of_the_specification() {
    let known = |id: &str| LINES.iter().any(|(line, _)| *line == id) || id.starts_with(['A', 'I']);
    for (id, tests) in tests() {
        assert!(known(&id), "{id} is no line of the specification: {tests:?}");
    }
}
