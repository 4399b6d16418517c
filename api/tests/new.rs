//! `rejoin new`: what it makes is sound, and runs.

mod common;

use common::rejoin;
use std::fs;

#[test]
fn a_new_project_is_sound_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("my notes");
    let path = made.to_str().unwrap();
    let said = rejoin(["new", path]);
    assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");
    assert!(said.out.contains(&format!("rejoin run '{path}'")), "{said:?}");
    assert!(fs::read_to_string(made.join(".gitignore")).unwrap().contains(".rejoin/"));

    let said = rejoin(["check", path, "--strict"]);
    assert_eq!((said.status, &*said.out), (0, "1 workflow, 2 agents: nothing is wrong\n"), "{said:?}");

    let said = rejoin(["test", path]);
    assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");

    let topic = r#"topic=a "quoted\path""#;
    let said = rejoin(["run", path, "--no-tty", "--input", topic, "--answer", "again", "--answer", "publish"]);
    assert_eq!((said.status, said.out.trim()), (0, "The note is in out/note.txt."), "{said:?}");
    let note = fs::read_to_string(made.join("out/note.txt")).unwrap();
    assert_eq!(note.trim(), r#"There is much to be said about a "quoted\path"."#);

    let said = rejoin(["run", path, "--no-tty", "--answer", "drop"]);
    assert_eq!((said.status, said.out.trim()), (0, "Nothing was published."), "{said:?}");
}

#[test]
fn nothing_that_is_there_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    fs::write(folder.path().join("mine"), "it").unwrap();
    rejoin(["new", path]).refused(1, &["is not empty"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    rejoin(["new", folder.path().join("mine").to_str().unwrap()]).refused(1, &["mine cannot be written"]);
    assert_eq!(fs::read_to_string(folder.path().join("mine")).unwrap(), "it");
}
