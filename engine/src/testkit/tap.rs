//! The journal with somebody who looks on, and who may end the process before or after a commit.

use super::trace::{Seen, Trace, Written};
use rejoin_store::index::{KeyRange, Listed, Row, Table};
use rejoin_store::journal::Journal;
use rejoin_store::{Conflict, Failure, Feed, Head, Log, Lsn, NewRecord, Record, Shard, Space, StreamId, Version};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where in the life of a process it is to end: commits are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// All is decided, nothing of the commit is on the disk.
    Before(u64),
    /// All of the commit is on the disk, and nobody knows.
    After(u64),
}

pub(super) struct Tap {
    pub(super) journal: Arc<Journal>,
    trace: Arc<Trace>,
    /// The last record that was appended, and the last one known to be durable.
    appended: AtomicU64,
    durable: AtomicU64,
    commits: AtomicU64,
    /// The last record of each commit.
    last: Mutex<Vec<u64>>,
    end: Mutex<Option<Moment>>,
    dead: AtomicBool,
}

impl Tap {
    pub(super) fn new(journal: Arc<Journal>, trace: Arc<Trace>) -> Tap {
        let durable = journal.durable().0;
        Tap {
            journal,
            trace,
            appended: AtomicU64::new(durable),
            durable: AtomicU64::new(durable),
            commits: AtomicU64::new(0),
            last: Mutex::default(),
            end: Mutex::new(None),
            dead: AtomicBool::new(false),
        }
    }

    /// The process is to end then.
    pub(super) fn end_at(&self, moment: Moment) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// Whether it has.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// How many commits there were that had something to write.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Whether everything that was appended is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.appended.load(Ordering::SeqCst) == self.durable.load(Ordering::SeqCst)
    }

    /// The last record of each commit, begun ones included.
    pub(super) fn last_records(&self) -> Vec<u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check(&self, moment: Option<Moment>) -> Result<(), Failure> {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if moment.is_some() && moment == end {
            self.dead.store(true, Ordering::SeqCst);
        }
        if self.is_dead() {
            Err(Failure::Poisoned { cause: "the simulated process has ended".to_owned() })
        } else {
            Ok(())
        }
    }

    fn note_durable(&self, durable: u64) {
        if self.durable.swap(durable, Ordering::SeqCst) != durable {
            self.trace.see(Seen::Durable(durable));
        }
    }

    fn committing(&self, commit: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        self.check(None)?;
        if self.appended.load(Ordering::SeqCst) == self.durable.load(Ordering::SeqCst) {
            return commit();
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).push(self.appended.load(Ordering::SeqCst));
        self.check(Some(Moment::Before(number)))?;
        let done = commit();
        match &done {
            Ok(()) => self.note_durable(self.journal.durable().0),
            Err(_) => self.trace.see(Seen::CommitFailed),
        }
        self.check(Some(Moment::After(number)))?;
        done
    }
}

impl Log for Tap {
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure> {
        self.check(None)?;
        let result = self.journal.append(batch);
        if let Ok(Ok(last)) = &result {
            let first = last.0 + 1 - batch.len() as u64;
            let written = (first..).zip(batch).map(|(lsn, record)| Written::new(record, lsn)).collect();
            self.trace.see(Seen::Appended(written));
            self.appended.store(last.0, Ordering::SeqCst);
        }
        // The journal commits by itself where a segment ends, also if the next one cannot be made then.
        self.note_durable(self.journal.durable().0);
        result
    }

    fn commit(&self) -> Result<Lsn, Failure> {
        self.committing(|| self.journal.commit().map(drop))?;
        Ok(self.journal.durable())
    }

    fn seal(&self) -> Result<(), Failure> {
        self.committing(|| self.journal.seal())
    }

    fn durable(&self) -> Lsn {
        self.journal.durable()
    }
    fn head(&self, stream: StreamId) -> Option<Head> {
        self.journal.head(stream)
    }
    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        self.journal.read(stream, from, limit)
    }
    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        self.journal.follow(shard, after, limit)
    }
    fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure> {
        self.journal.row(stream)
    }
    fn list(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, Failure> {
        self.journal.list(table, range, limit)
    }
    fn space(&self) -> Space {
        self.journal.space()
    }
    fn shards(&self) -> u16 {
        self.journal.shards()
    }
}
