//! The repository itself.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            found.push((path, text));
        }
    }
    found
}

#[test]
fn files_of_the_machine_are_short() {
    let files = sources(&root().join("engine/machine/src"));
    assert!(files.len() > 15);
    for (path, text) in files {
        let lines = text.lines().count();
        // The list of events is one, and each is explained there.
        let most = if path.ends_with("event.rs") { 500 } else { 400 };
        assert!(lines <= most, "{} has {lines} lines", path.display());
    }
}

#[test]
fn tokio_stands_in_one_file() {
    let files = sources(&root().join("engine/src"));
    for (path, text) in files.iter().filter(|(path, _)| !path.ends_with("runtime/tokio.rs")) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let foreign = code.filter(|line| line.replace("runtime::tokio::", "").contains("::tokio::"));
        assert_eq!(foreign.count(), 0, "{}", path.display());
    }
}

#[test]
fn the_store_knows_nothing_of_workflows_and_the_machine_nothing_of_the_store() {
    let manifest = |folder: &str| std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    assert!(!manifest("store").contains("rejoin-machine") && !manifest("store").contains("rejoin.workspace"));
    assert!(!manifest("engine/machine").contains("rejoin-store"));
}
