//! Stores in real folders with an index beside the log, and what must be true of that index.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::script::{options, payload, stream};
use rejoin_store::disk::Folder;
use rejoin_store::index::{Backend, Fjall, Fold, Home, Key, Row, Sled, Table};
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::{Log, NewRecord, OpenError, Record, StreamId, TOMBSTONE, Version};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound::Unbounded;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const PATH: &str = "REJOIN_TEST_STORE";
const LIBRARY: &str = "REJOIN_TEST_LIBRARY";
const CONTEXT: &str = "REJOIN_TEST_CONTEXT";

/// Checks a store in a process of its own, which the libraries may end; `false`: one did.
pub fn in_child(store: &Store, context: &str) -> bool {
    run_child("child", store, context)
}

/// Lets a process of its own do what this test does with a store; `false`: it was ended.
pub fn run_child(test: &str, store: &Store, context: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("RUST_BACKTRACE", "0");
    command.env(PATH, store.path()).env(LIBRARY, store.library.name()).env(CONTEXT, context);
    let output = command.output().unwrap();
    // A test that fails ends with this; everything else is the library's.
    let failed = output.status.code() == Some(101);
    assert!(!failed, "{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// How many streams the stores have at most.
pub const STREAMS: usize = 40;

/// Both libraries under both kinds of upkeep.
pub fn kinds() -> Vec<(Arc<dyn Backend>, Upkeep)> {
    let upkeeps = [Upkeep::Inline, Upkeep::Background];
    libraries().into_iter().flat_map(|library| upkeeps.map(|upkeep| (library.clone(), upkeep))).collect()
}

pub fn libraries() -> [Arc<dyn Backend>; 2] {
    [Arc::new(Sled), Arc::new(Fjall)]
}

/// A store in a folder of its own.
pub struct Store {
    path: PathBuf,
    _folder: Option<TempDir>,
    pub library: Arc<dyn Backend>,
    pub upkeep: Upkeep,
    pub id: [u8; 16],
}

impl Store {
    pub fn new(library: &Arc<dyn Backend>, upkeep: Upkeep) -> Store {
        let folder = tempfile::tempdir().unwrap();
        let (path, id) = (folder.path().to_owned(), options().store_id.unwrap());
        Store { path, _folder: Some(folder), library: library.clone(), upkeep, id }
    }

    /// The store that [`run_child`] told this process of, and the context.
    pub fn of_parent() -> Option<(Store, String)> {
        let [path, name, context] = [PATH, LIBRARY, CONTEXT].map(|variable| std::env::var(variable).ok());
        let library = libraries().into_iter().find(|library| Some(library.name()) == name.as_deref())?;
        let id = options().store_id.unwrap();
        Some((Store { path: path?.into(), _folder: None, library, upkeep: Upkeep::Inline, id }, context?))
    }

    /// A store of two lives, whose records lie in several segments: the index is closed.
    pub fn filled(library: &Arc<dyn Backend>, upkeep: Upkeep) -> Store {
        let store = Store::new(library, upkeep);
        for seed in [1, 2] {
            fill(&store.open().unwrap(), seed, 60);
        }
        store
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn index(&self) -> PathBuf {
        self.path().join("index")
    }

    /// The file that says how the index was left.
    pub fn state(&self) -> String {
        fs::read_to_string(self.index().join("STATE")).unwrap()
    }

    pub fn set_state(&self, change: impl FnOnce(&str) -> String) {
        fs::write(self.index().join("STATE"), change(&self.state())).unwrap();
    }

    pub fn home(&self) -> Home {
        Home::Folder { backend: self.library.clone(), path: self.index() }
    }

    pub fn options(&self) -> Options {
        let (upkeep, index, fold) = (self.upkeep, self.home(), Arc::new(Count));
        Options { upkeep, index, fold, store_id: Some(self.id), ..options() }
    }

    pub fn open(&self) -> Result<Journal, OpenError> {
        Journal::open(Folder::create(self.path()).unwrap(), self.options())
    }

    /// The folder as a process leaves it that is killed now: everything that it handed to the operating system.
    pub fn killed(&self) -> Store {
        let copy = Store { id: self.id, ..Store::new(&self.library, self.upkeep) };
        copy_all(self.path(), copy.path());
        copy
    }

    /// Puts the index of another store here.
    pub fn take_index(&self, other: &Store) {
        remove(&self.index());
        copy_all(&other.index(), &self.index());
    }

    /// Opens the store, checks its index, lets it go on, and checks it once more at the next opening. Returns why the
    /// index was made again, if it was.
    pub fn is_right(&self, context: &str) -> Option<String> {
        let context = format!("{} {:?}: {context}", self.library.name(), self.upkeep);
        let log = self.open().unwrap_or_else(|error| panic!("{context}: {error}"));
        let reason = log.index_rebuilt().map(str::to_owned);
        check(self, &log, &context);
        fill(&log, 9, 10);
        check(self, &log, &context);
        drop(log);
        let log = self.open().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(log.index_rebuilt(), None, "{context}: what was closed is as it was left");
        check(self, &log, &context);
        reason
    }
}

/// Holds every row against the stream's head, and everything against an index that is made of the same log in memory.
pub fn check(store: &Store, log: &Journal, context: &str) {
    let copy = tempfile::tempdir().unwrap();
    copy_files(store.path(), copy.path());
    let fresh = Options { upkeep: Upkeep::Inline, index: Home::Memory, fold: Arc::new(Count), ..options() };
    let fresh = Journal::open(Folder::create(copy.path()).unwrap(), fresh).unwrap();
    for n in 0..STREAMS {
        let row = log.row(stream(n)).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(row.as_deref(), expected(log, n).as_deref(), "{context}: the row of {n}");
        assert_eq!(row, fresh.row(stream(n)).unwrap(), "{context}: the row of {n}");
    }
    let all = |log: &Journal| log.list(Table(0), (Unbounded, Unbounded), usize::MAX);
    let listed = all(log).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(listed == all(&fresh).unwrap(), "{context}: what is listed");
    let living = (0..STREAMS).filter(|n| log.head(stream(*n)).is_some()).count();
    assert_eq!(listed.len(), living, "{context}: one entry for each stream");
}

/// The row that a stream must have: how many records it has, and whether it has ended.
fn expected(log: &Journal, n: usize) -> Option<Vec<u8>> {
    let head = log.head(stream(n))?;
    let last = log.read(stream(n), head.version, 1).unwrap().remove(0);
    Some([&head.version.0.to_be_bytes()[..], &[u8::from(last.format == LAST)]].concat())
}

/// The format of a record behind which only a tombstone comes.
const LAST: u16 = 7;

/// Rows of [`expected`].
struct Count;

impl Fold for Count {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let before = previous.map_or(0, |row| u64::from_be_bytes(row[..8].try_into().unwrap()));
        let ended = records.last().is_some_and(|record| record.format == LAST);
        let count = (before + records.len() as u64).to_be_bytes();
        Some(Row::from([&count[..], &[u8::from(ended)]].concat()))
    }
    fn is_live(&self, row: &[u8]) -> bool {
        row[8] == 0
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        vec![(Table(0), [row, &stream.0].concat()), (Table(1), [&row[8..], &stream.0].concat())]
    }
}

/// Commits batches over many streams, some of which end, some of which are deleted, and some of which begin anew.
pub fn fill(log: &Journal, seed: u64, batches: usize) {
    let mut random = Random(seed);
    for _ in 0..batches {
        let mut batch = BTreeMap::new();
        for _ in 0..=random.below(3) {
            let n = random.below(STREAMS);
            let head = log.head(stream(n)).map_or(Version::NONE, |head| head.version);
            let row = expected(log, n);
            let ended = row.as_ref().is_some_and(|row| row[8] == 1);
            let (format, payload) = match random.below(8) {
                0 if row.is_some() => (TOMBSTONE, row.filter(|_| ended).unwrap_or_default()),
                _ if ended => continue,
                1 => (LAST, Vec::new()),
                _ => (1, payload(random.below(400), n)),
            };
            batch.insert(n, NewRecord { stream: stream(n), expected: head, time: 0, format, payload });
        }
        if !batch.is_empty() {
            log.append(&batch.into_values().collect::<Vec<_>>()).unwrap().unwrap();
            log.commit().unwrap();
        }
    }
}

/// Numbers that are the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

pub fn remove(path: &Path) {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    gone.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies the files of a folder and not the folders in it: of a store, the log.
pub fn copy_files(from: &Path, to: &Path) {
    for path in entries(from).into_iter().filter(|path| path.is_file()) {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    copy_files(from, to);
    for path in entries(from).into_iter().filter(|path| path.is_dir()) {
        copy_all(&path, &to.join(path.file_name().unwrap()));
    }
}

/// Every file below a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries(folder).into_iter().flat_map(below).collect()
}

/// Everything in a folder, with its bytes.
pub fn picture(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
    files(folder).into_iter().map(read).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
