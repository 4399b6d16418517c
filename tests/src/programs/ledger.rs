//! The world outside: counters that take an idempotency key, and outlive every process.
//!
//! In a simulation they stand in memory; beside a real process they stand in a file, a line for every effect.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counters, by what was added under which key.
#[derive(Clone, Default)]
pub struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    added: BTreeMap<(String, String), (u8, u64)>,
    wrong: Vec<(&'static str, String)>,
    /// In which life the first step of a run's round was executed.
    begun: BTreeMap<(String, u32), u32>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ledger in a file, with what earlier processes have added.
    ///
    /// # Panics
    ///
    /// If it cannot be read and written, or holds something else.
    pub fn open(path: &Path) -> Ledger {
        let ledger = Ledger::default();
        let text = fs::read_to_string(path).unwrap_or_default();
        // The last line may be cut off; whoever wrote it is dead, and will do it again.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let parts: Vec<&str> = line.split('\t').collect();
            let [family, key, counter, by] = parts[..] else { panic!("{line:?} is no line of a ledger") };
            ledger.add(family, key, counter.parse().expect("a counter"), by.parse().expect("a number"));
        }
        let file = OpenOptions::new().create(true).append(true).open(path).expect("the ledger can be opened");
        if !text.is_empty() && !text.ends_with('\n') {
            (&file).write_all(b"\n").expect("the ledger can be written");
        }
        ledger.lock().file = Some(file);
        ledger
    }

    /// Adds to a counter of a family, once a key.
    ///
    /// # Panics
    ///
    /// If its file cannot be written.
    pub fn add(&self, family: &str, key: &str, counter: u8, by: u64) {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file {
            // One write: a line is there or not, whenever the process is killed.
            let line = format!("{family}\t{key}\t{counter}\t{by}\n");
            file.write_all(line.as_bytes()).expect("the ledger can be written");
        }
        if let Some(before) = inner.added.insert((family.to_owned(), key.to_owned()), (counter, by))
            && before != (counter, by)
        {
            let what = format!("key {key} stood for {before:?}, and now for {:?}", (counter, by));
            inner.wrong.push(("E7", what));
        }
    }

    /// What the counters of each family show.
    pub fn counters(&self) -> BTreeMap<String, BTreeMap<u8, u64>> {
        let mut counters: BTreeMap<String, BTreeMap<u8, u64>> = BTreeMap::new();
        for ((family, _), (counter, by)) in &self.lock().added {
            *counters.entry(family.clone()).or_default().entry(*counter).or_default() += by;
        }
        counters
    }

    /// Something is not as it should be.
    pub fn complain(&self, id: &'static str, what: String) {
        self.lock().wrong.push((id, what));
    }

    /// Everything that is not as it should be.
    pub fn wrong(&self) -> Vec<(&'static str, String)> {
        self.lock().wrong.clone()
    }

    /// A step of a run's round is executed: its schedule is in the log.
    pub fn begun(&self, run: String, round: u32, life: u32) {
        self.lock().begun.entry((run, round)).or_insert(life);
    }

    /// Whether a step of the round was executed in a life before this one.
    pub fn began_before(&self, run: String, round: u32, life: u32) -> bool {
        self.lock().begun.get(&(run, round)).is_some_and(|begun| *begun < life)
    }
}
