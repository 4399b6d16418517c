//! Index folders that were lost, damaged, exchanged or put back: the index is right again after each, or opening refuses
//! and keeps both. One set of tests for every library.

mod indexed;
mod script;

use indexed::{Random, Store, check, copy_files, files, fill, in_child, kinds, libraries, picture, remove};
use rejoin_store::Log;
use rejoin_store::OpenError;
use rejoin_store::index::{Backend, Entry};
use rejoin_store::journal::{Options, Upkeep};
use std::fs;
use std::ops::Bound::Excluded;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn inv_e13_a_closed_index_and_one_that_was_killed_are_taken_as_they_are() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        assert_eq!(store.is_right("closed"), None);
        let log = store.open().unwrap();
        fill(&log, 3, 60);
        assert_eq!(store.killed().is_right("killed"), None);
        check(&store, &log, "going on");
    }
}

#[test]
fn inv_s8_an_index_that_was_deleted_is_made_again() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        remove(&store.index());
        assert_eq!(store.is_right("deleted").as_deref(), Some("there was none"));
    }
}

/// Changes each file of an index in turn and opens the store with it.
fn with_each_file(what: &str, change: impl Fn(&Path, &mut Random)) {
    for library in libraries() {
        let store = Store::filled(&library, Upkeep::Inline);
        for (number, file) in files(&store.index()).iter().enumerate() {
            let bad = store.killed();
            let name = file.strip_prefix(store.path()).unwrap();
            change(&bad.path().join(name), &mut Random(number as u64));
            bad.is_right(&format!("{what} {}", name.display()));
        }
    }
}

#[test]
fn inv_s8_files_of_the_index_may_go_missing() {
    with_each_file("without", |file, _| remove(file));
}

#[test]
fn inv_s8_files_of_the_index_may_hold_garbage() {
    with_each_file("garbage in", |file, random| {
        let length = fs::metadata(file).unwrap().len().clamp(100, 100_000);
        let garbage: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        fs::write(file, garbage).unwrap();
    });
}

#[test]
fn inv_s8_files_of_the_index_may_end_early() {
    for part in 0..3 {
        with_each_file("the end is missing of", |file, random| {
            let bytes = fs::read(file).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let length = if part == 0 { 0 } else { random.below(used.max(1)) };
            fs::write(file, &bytes[..length]).unwrap();
        });
    }
}

#[test]
fn inv_s8_bytes_of_the_index_may_flip() {
    for library in libraries() {
        let store = Store::filled(&library, Upkeep::Inline);
        for seed in 0..32 {
            let bad = store.killed();
            let what = flip(&bad, &mut Random(1000 + seed));
            let context = format!("seed {seed}: {what}");
            // Libraries end the process over some of these. Then the next one finds that out and makes the index again.
            if !in_child(&bad, &context) {
                assert!(in_child(&bad, &context), "{}: {context}: the second start fails too", library.name());
            }
        }
    }
}

/// Flips a bit of one of the index's files.
fn flip(store: &Store, random: &mut Random) -> String {
    let files: Vec<_> = files(&store.index()).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    // Where something is: files are made larger ahead.
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut files: Vec<_> = files.into_iter().filter(|(bytes, _)| used(bytes) > 0).collect();
    let at = random.below(files.len());
    let (mut bytes, file) = files.swap_remove(at);
    let at = random.below(used(&bytes));
    bytes[at] ^= 1 << random.below(8);
    fs::write(&file, bytes).unwrap();
    format!("byte {at} of {}", file.strip_prefix(store.path()).unwrap().display())
}

/// What [`in_child`] starts; alone it has nothing to do.
#[test]
fn child() {
    if let Some((store, context)) = Store::of_parent() {
        store.is_right(&context);
    }
}

/// A library that ends the process when it opens its files.
struct Deadly(Arc<dyn Backend>);

impl Backend for Deadly {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn open(&self, _: &Path) -> Result<Box<dyn rejoin_store::index::Map>, rejoin_store::index::IndexError> {
        std::process::exit(77)
    }
}

#[test]
fn deadly_child() {
    if let Some((mut store, _)) = Store::of_parent() {
        store.library = Arc::new(Deadly(store.library));
        let _never = store.open();
    }
}

#[test]
fn inv_s8_an_index_that_ends_the_process_does_so_once() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        assert!(!indexed::run_child("deadly_child", &store, ""));
        assert_eq!(store.is_right("deadly").as_deref(), Some("an earlier process did not survive opening it"));
    }
}

#[test]
fn an_index_of_another_store_is_not_used() {
    for library in libraries() {
        let other = Store::filled(&library, Upkeep::Inline);
        for edited in [false, true] {
            let log = other.open().unwrap();
            let left = other.killed();
            drop(log);
            let mut store = Store::new(&library, Upkeep::Inline);
            store.id = [7; 16];
            fill(&store.open().unwrap(), 5, 400);
            store.take_index(&left);
            if edited {
                let id = |id: [u8; 16]| format!("{:032x}", u128::from_be_bytes(id));
                store.set_state(|state| state.replace(&id(other.id), &id(store.id)));
            }
            let reason = store.is_right("of another store").expect("it is made again");
            assert_eq!(reason.contains("another store"), edited, "{reason}");
        }
    }
}

#[test]
fn an_index_of_another_library_is_not_used() {
    for (library, other) in libraries().into_iter().zip(libraries().into_iter().rev()) {
        let mut store = Store::filled(&library, Upkeep::Inline);
        store.library = other;
        assert_eq!(store.is_right("of another library").as_deref(), Some("another library kept it"));
        store.library = library;
        assert_eq!(store.is_right("and back").as_deref(), Some("another library kept it"));
    }
}

#[test]
fn inv_e13_an_older_index_catches_up() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        let older = store.killed();
        fill(&store.open().unwrap(), 3, 80);
        store.take_index(&older);
        assert_eq!(store.is_right("older, closed"), None);
        let log = store.open().unwrap();
        fill(&log, 4, 20);
        let older = store.killed();
        fill(&log, 5, 80);
        drop(log);
        store.take_index(&older);
        assert_eq!(store.is_right("older, in use"), None);
    }
}

#[test]
fn inv_e13_an_index_that_is_older_than_what_was_cleaned_is_made_again() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        let older = store.killed();
        let log = store.open().unwrap();
        fill(&log, 3, 300);
        log.seal().unwrap();
        while log.clean().unwrap() != rejoin_store::journal::Cleaned::default() {}
        check(&store, &log, "cleaned");
        drop(log);
        store.take_index(&older);
        let reason = store.is_right("older than what was cleaned");
        assert_eq!(reason.as_deref(), Some("it is older than what the log says of deleted streams"));
    }
}

/// The log of one copy of the store with the index of a later one.
fn with_older_log(older: &Store, later: &Store) -> Store {
    let mixed = older.killed();
    mixed.take_index(later);
    mixed
}

fn refused(store: &Store) -> bool {
    matches!(store.open(), Err(OpenError::IndexAhead { .. }))
}

#[test]
fn inv_s7_a_log_that_is_older_than_its_closed_index_is_refused() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        let older = store.killed();
        fill(&store.open().unwrap(), 3, 40);
        let mut mixed = with_older_log(&older, &store);
        let before = picture(mixed.path());
        assert!(refused(&mixed));
        // It is a witness for every library.
        for other in libraries() {
            mixed.library = other;
            assert!(refused(&mixed));
        }
        mixed.library = library;
        assert!(picture(mixed.path()) == before, "something was changed");
        copy_files(store.path(), mixed.path());
        assert_eq!(mixed.is_right("with the right log"), None);
    }
}

#[test]
fn inv_s7_a_log_that_is_older_than_an_index_in_use_is_refused() {
    for library in libraries() {
        let store = Store::filled(&library, Upkeep::Background);
        let older = store.killed();
        let log = store.open().unwrap();
        fill(&log, 3, 40);
        // The index is flushed when it rests.
        let begun = Instant::now();
        let mixed = loop {
            let mixed = with_older_log(&older, &store.killed());
            if refused(&mixed) {
                break mixed;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{}: it is never refused", library.name());
            sleep(Duration::from_millis(20));
        };
        let log_of = |store: &Store| {
            let files = picture(store.path()).into_iter();
            files.filter(|(name, _)| !name.starts_with("index") && !name.ends_with("LOCK")).collect::<Vec<_>>()
        };
        assert!(log_of(&mixed) == log_of(&older), "the log was changed");
        assert!(refused(&mixed), "once more");
        copy_files(store.path(), mixed.path());
        assert_eq!(mixed.is_right("with the right log"), None);
    }
}

#[test]
fn inv_e13_live_rows_that_are_missing_or_others_are_found_out() {
    for (library, upkeep) in kinds() {
        let closed = Store::filled(&library, upkeep);
        let log = closed.open().unwrap();
        fill(&log, 3, 20);
        let in_use = closed.killed();
        drop(log);
        for (seed, left) in [&closed, &in_use].into_iter().cycle().take(8).enumerate() {
            let store = left.killed();
            let map = library.open(&store.index().join("rows")).unwrap();
            let mut rows = map.range((Excluded(&[1]), Excluded(&[2])), usize::MAX).unwrap();
            assert!(rows.len() > 10);
            let mut random = Random(seed as u64);
            let (key, row) = rows.swap_remove(random.below(rows.len()));
            let other = row.iter().map(|byte| byte.wrapping_add(1)).collect();
            let entry: Entry = (key, if random.below(2) == 0 { None } else { Some(other) });
            map.write(vec![entry]).unwrap();
            map.flush().unwrap();
            drop(map);
            let reason = store.is_right("other rows").expect("it is made again");
            assert_eq!(reason, "its live rows are not those that were written");
        }
    }
}

#[test]
fn inv_e13_an_index_that_was_in_use_when_the_machine_stopped_is_made_again() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        let log = store.open().unwrap();
        fill(&log, 3, 20);
        let left = store.killed();
        let since = "in use since boot ";
        assert!(left.state().contains(since));
        left.set_state(|state| state.replace(since, &format!("{since}1")));
        let reason = left.is_right("another boot");
        assert_eq!(reason.as_deref(), Some("it was not left by this store and this run of the machine"));
    }
}

#[test]
fn inv_s8_a_process_may_be_killed_while_it_makes_the_index_again() {
    for (library, upkeep) in kinds() {
        let store = Arc::new(Store::filled(&library, upkeep));
        remove(&store.index());
        let copies = Arc::new(Mutex::new(Vec::new()));
        let kill = {
            let (store, copies) = (store.clone(), copies.clone());
            move |_| copies.lock().unwrap().push(store.killed())
        };
        let disk = rejoin_store::disk::Folder::create(store.path()).unwrap();
        let options = Options { progress: Some(Arc::new(kill)), ..store.options() };
        drop(rejoin_store::journal::Journal::open(disk, options).unwrap());
        let copies = std::mem::take(&mut *copies.lock().unwrap());
        assert!(copies.len() > 3, "it is told for each segment");
        for copy in copies {
            assert!(copy.state().ends_with("opening\n"));
            assert!(copy.is_right("killed").unwrap().contains("did not survive"));
        }
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_a_clear_error_and_stays() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        remove(&store.index());
        fs::write(store.index(), "mine").unwrap();
        let before = picture(store.path());
        let error = store.open().err().expect("it cannot be opened").to_string();
        assert!(error.contains(&store.index().display().to_string()), "{error}");
        assert!(picture(store.path()) == before, "something was changed");
        remove(&store.index());
        store.is_right("without the file");
    }
}
