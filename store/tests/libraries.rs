//! Libraries of the index that fail or panic: the log goes on, readers are told, and the next opening is right.

mod indexed;
mod script;

use indexed::{Store, check, fill, kinds, remove};
use rejoin_store::disk::{Disk, DiskFile, Folder};
use rejoin_store::index::{Backend, Entry, IndexError, Key, KeyRange, Map, Row, Table};
use rejoin_store::journal::{Journal, Upkeep};
use rejoin_store::{Failure, Log, NewRecord, Version};
use script::{payload, stream};
use std::any::Any;
use std::io;
use std::ops::Bound::Unbounded;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a library does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    Get,
    Range,
    Write,
    Flush,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Error,
    Panic,
    /// Writes the first half of the entries, and then says that it failed.
    Half,
}

/// A real library that goes wrong when it is told to.
#[derive(Clone)]
struct Moody {
    library: Arc<dyn Backend>,
    /// What goes wrong, how, and whether once or for ever.
    mood: Arc<Mutex<Option<(Call, Mood, bool)>>>,
}

impl Moody {
    fn new(library: Arc<dyn Backend>) -> Moody {
        Moody { library, mood: Arc::default() }
    }

    fn set(&self, mood: Option<(Call, Mood, bool)>) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self, call: Call) -> Option<Mood> {
        let mut mood = self.mood.lock().unwrap();
        let (_, now, for_ever) = mood.filter(|(of, _, _)| *of == call)?;
        if !for_ever {
            *mood = None;
        }
        Some(now)
    }

    fn answer(&self, call: Call) -> Result<(), IndexError> {
        match self.mood(call) {
            None => Ok(()),
            Some(Mood::Panic) => panic!("a panic that the test asks for"),
            Some(Mood::Error | Mood::Half) => Err(IndexError("an error that the test asks for".to_owned())),
        }
    }
}

impl Backend for Moody {
    fn name(&self) -> &'static str {
        self.library.name()
    }
    fn open(&self, folder: &Path) -> Result<Box<dyn Map>, IndexError> {
        self.answer(Call::Open)?;
        Ok(Box::new(MoodyMap(self.library.open(folder)?, self.clone())))
    }
}

struct MoodyMap(Box<dyn Map>, Moody);

impl Map for MoodyMap {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        self.1.answer(Call::Get)?;
        self.0.get(key)
    }
    fn write(&self, mut entries: Vec<Entry>) -> Result<(), IndexError> {
        match self.1.mood(Call::Write) {
            None => return self.0.write(entries),
            Some(Mood::Panic) => panic!("a panic that the test asks for"),
            Some(Mood::Error) => {}
            Some(Mood::Half) => {
                entries.truncate(entries.len() / 2);
                self.0.write(entries)?;
            }
        }
        Err(IndexError("an error that the test asks for".to_owned()))
    }
    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError> {
        self.1.answer(Call::Range)?;
        self.0.range(range, limit)
    }
    fn flush(&self) -> Result<(), IndexError> {
        self.1.answer(Call::Flush)?;
        self.0.flush()
    }
}

/// Both libraries in both kinds of upkeep, and how to put them out of order.
fn moody() -> Vec<(Store, Moody)> {
    let kinds = kinds().into_iter().map(|(library, upkeep)| {
        let moody = Moody::new(library);
        let library: Arc<dyn Backend> = Arc::new(moody.clone());
        (Store::filled(&library, upkeep), moody)
    });
    kinds.collect()
}

const MOODS: [Mood; 2] = [Mood::Error, Mood::Panic];

#[test]
fn inv_s8_a_library_that_fails_once_at_opening_gets_an_empty_folder() {
    for (store, library) in moody() {
        for call in [Call::Open, Call::Get, Call::Range] {
            for mood in MOODS {
                library.set(Some((call, mood, false)));
                let reason = store.is_right("it failed once").expect("it is made again");
                assert!(reason.contains("that the test asks for"), "{reason}");
            }
        }
    }
}

#[test]
fn inv_s8_a_library_that_never_opens_is_a_clear_error_and_the_log_is_kept() {
    for (store, library) in moody() {
        for mood in MOODS {
            library.set(Some((Call::Open, mood, true)));
            for _ in 0..2 {
                let error = store.open().err().expect("it cannot be opened").to_string();
                assert!(error.contains("index: ") && error.contains("that the test asks for"), "{error}");
            }
            library.set(None);
            let reason = store.is_right("it opens again");
            assert_eq!(reason.as_deref(), Some("an earlier process did not survive opening it"));
        }
    }
}

/// Commits more while a call goes wrong, and asks until it is told so.
fn goes_wrong(store: &Store, library: &Moody, call: Call, mood: Mood) {
    let log = store.open().unwrap();
    fill(&log, 3, 10);
    check(store, &log, "before");
    library.set(Some((call, mood, false)));
    let mut told = None;
    for seed in 0..1_000 {
        fill(&log, seed, 1);
        let asked = log.scan(Table(0), (Unbounded, Unbounded), 9);
        told = asked.err().or_else(|| log.row(stream(0)).err());
        if told.is_some() {
            break;
        }
    }
    let told = told.unwrap_or_else(|| panic!("{call:?} {mood:?}: nobody is told"));
    assert!(matches!(&told, Failure::Index(error) if error.0.contains("that the test asks for")), "{told}");
    library.set(None);
    // The log goes on, also through more segments than one.
    fill(&log, 4, 60);
    assert!((0..20).any(|n| log.head(stream(n)).is_some()));
}

#[test]
fn inv_s10_a_write_that_fails_or_panics_costs_the_index_and_not_the_log() {
    for (store, library) in moody() {
        for mood in MOODS {
            goes_wrong(&store, &library, Call::Write, mood);
            store.is_right("after a write that failed");
        }
    }
}

#[test]
fn inv_s10_a_write_that_was_done_in_part_is_not_relied_on() {
    for (store, library) in moody() {
        goes_wrong(&store, &library, Call::Write, Mood::Half);
        assert!(store.killed().is_right("killed after half a write").is_some());
        assert!(store.is_right("closed after half a write").is_some());
    }
}

#[test]
fn inv_s10_a_read_that_panics_is_told_to_the_reader_and_to_nobody_else() {
    for (store, library) in moody() {
        for call in [Call::Get, Call::Range] {
            let log = store.open().unwrap();
            for _ in 0..2 {
                library.set(Some((call, Mood::Panic, false)));
                let asked = log.scan(Table(0), (Unbounded, Unbounded), 9).map(drop);
                let asked = asked.and_then(|()| (0..indexed::STREAMS).try_for_each(|n| log.row(stream(n)).map(drop)));
                assert!(matches!(asked, Err(Failure::Index(_))), "{asked:?}");
            }
            library.set(None);
            fill(&log, 5, 30);
            drop(log);
            store.is_right("after a read that panicked");
        }
    }
}

/// Commits so much beside a thread that died that they would wait for it.
#[test]
fn inv_s10_commits_do_not_wait_for_an_index_that_panics() {
    for (store, library) in moody().into_iter().filter(|(store, _)| store.upkeep == Upkeep::Background) {
        let (done, is_done) = channel();
        let log = store.open().unwrap();
        for n in 0..indexed::STREAMS {
            put(&log, n, 10);
        }
        // Reads happen when a segment is closed, of streams that were not folded since the opening.
        library.set(Some((Call::Get, Mood::Panic, true)));
        thread::spawn(move || {
            for _ in 0..300 {
                put(&log, 1, 100_000);
            }
            library.set(None);
            drop(log);
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("the commits end");
        store.is_right("after a thread that died");
    }
}

fn put(log: &Journal, n: usize, length: usize) {
    let expected = log.head(stream(n)).map_or(Version::NONE, |head| head.version);
    let record = NewRecord { stream: stream(n), expected, time: 0, format: 1, payload: payload(length, n) };
    log.append(&[record]).unwrap().unwrap();
    log.commit().unwrap();
}

/// An index that cannot be flushed when it is closed must not be said to be complete.
#[test]
fn inv_e13_an_index_that_cannot_be_flushed_is_not_closed() {
    for (store, library) in moody() {
        let log = store.open().unwrap();
        fill(&log, 3, 10);
        check(&store, &log, "before");
        library.set(Some((Call::Flush, Mood::Error, true)));
        drop(log);
        library.set(None);
        assert!(!store.state().contains("closed at"), "{}", store.state());
        store.is_right("after a flush that failed");
    }
}

/// A folder in which renames fail when they are told to, as they do on a full disk.
struct Full(Folder, AtomicBool);

impl Disk for Full {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.open(name)
    }
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.open_read(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { self.0.rename(from, to) }
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.0.lock()
    }
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.0.lock_read()
    }
    fn name(&self) -> String {
        self.0.name()
    }
}

#[test]
fn inv_s8_an_opening_that_fails_halfway_leaves_no_half_index() {
    for (library, upkeep) in kinds() {
        let store = Store::filled(&library, upkeep);
        remove(&store.index());
        let full = Full(Folder::create(store.path()).unwrap(), AtomicBool::new(true));
        assert!(Journal::open(full, store.options()).is_err());
        assert!(!store.state().contains("closed at"), "{}", store.state());
        store.is_right("after an opening that failed");
    }
}
