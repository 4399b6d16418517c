//! What fuzzing found: every file of each target's corpus, and of what once failed, is checked again.

use rejoin_tests::fuzz::{codec, definition, expression, import, machine, segment};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Checks an input; the answer says what became of it.
type Check = fn(&[u8]) -> String;

/// Each fuzz target.
const TARGETS: &[(&str, Check)] = &[
    ("codec", |data| format!("record: {}", codec::check(data))),
    ("definition", |data| format!("sound: {}", definition::check(data))),
    ("expression", |data| format!("read: {}", expression::check(data))),
    ("import", |data| format!("accepted: {}", import::check(data))),
    ("machine", |data| format!("lived: {}", machine::check(data))),
    ("segment", |data| format!("{:?}", segment::check(data))),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Replays a target's files and counts the answers.
fn replay(target: &str, check: Check) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for folder in ["corpus", "artifacts"] {
        // Artifacts are there only where something failed.
        let Ok(files) = fs::read_dir(fuzz().join(folder).join(target)) else { continue };
        for file in files {
            let data = fs::read(file.expect("a file").path()).expect("readable");
            *answers.entry(check(&data)).or_default() += 1;
        }
    }
    println!("{target}: {answers:?}");
    answers
}

#[test]
fn every_file_of_the_corpora_keeps_the_promises() {
    for (target, check) in TARGETS {
        let answers = replay(target, *check);
        assert!(answers.values().sum::<usize>() > 20, "{target}: {answers:?}");
        assert!(answers.len() > 1, "a corpus that has but one outcome says little; {target}: {answers:?}");
    }
}

#[test]
fn every_fuzz_target_is_replayed() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    let named = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    for target in named.filter_map(|file| file.strip_suffix(".rs\"")) {
        let known = TARGETS.iter().any(|(name, _)| *name == target);
        assert!(known, "{target} is not replayed");
    }
}
