//! `rejoin reindex`, as those who type it see it.

mod common;

use common::{Said, Store, block_on, engine, rejoin};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn on(folder: &Path, before: &[&str], after: &[&str]) -> Said {
    let folder = folder.to_str().unwrap();
    rejoin(before.iter().chain([&folder]).chain(after))
}

#[test]
fn reindex_makes_the_index_again_with_either_library() {
    let store = Store::new();
    let state = || fs::read_to_string(store.path().join("index/STATE")).unwrap();
    for library in ["fjall", "sled"] {
        let said = on(store.path(), &["reindex", "--index", library], &["--json"]);
        assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");
        let [made] = &said.json()[..] else { panic!("{said:?}") };
        assert_eq!((&made["index"], &made["runs"]), (&library.into(), &4.into()));
        assert!(made["milliseconds"].is_u64());
        assert!(state().contains(&format!("library {library}\n")) && state().contains("closed at"), "{}", state());
    }
    fs::remove_dir_all(store.path().join("index")).unwrap();
    let said = on(store.path(), &["reindex"], &[]);
    assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");
    assert!(said.out.starts_with("runs     4\nseconds  "), "{said:?}");
    assert!(state().contains("library sled\n"));
    assert!(on(store.path(), &["verify"], &[]).out.contains("histories  all can be applied"));
}

#[test]
fn reindex_refuses_what_is_no_stopped_store() {
    let empty = TempDir::new().unwrap();
    on(empty.path(), &["reindex"], &[]).refused(1, &["holds no store"]);
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made there");
    on(&empty.path().join("nowhere"), &["reindex"], &[]).refused(1, &["cannot be read"]);

    let store = Store::new();
    let starting = common::starting_none();
    let running = block_on(engine(store.path()));
    drop(starting);
    let before = fs::read_dir(store.path().join("index")).unwrap().count();
    on(store.path(), &["reindex"], &[]).refused(1, &["in use"]);
    assert_eq!(fs::read_dir(store.path().join("index")).unwrap().count(), before, "its index stays");
    drop(running);
}
