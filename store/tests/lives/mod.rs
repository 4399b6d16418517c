//! Streams that are deleted, born again and deleted again, with cleaning in between, and what must be there after anything.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::script::{self, Progress, payload, stream};
use rejoin_store::index::Table;
use rejoin_store::journal::{Journal, Options, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{
    Failure, GENESIS, Head, Log, Lsn, NewRecord, OpenError, Record, Shard, StreamId, TOMBSTONE, Version, link,
};
use std::collections::BTreeMap;
use std::ops::Bound::Unbounded;

pub const STREAMS: usize = 14;

/// The largest segment: small, so that there are many.
pub const LARGEST: u64 = 8_192;

pub fn open(disk: &SimDisk) -> Result<Journal, OpenError> {
    Journal::open(disk.clone(), Options { largest_segment: LARGEST, ..script::options() })
}

pub fn new(stream: StreamId, expected: u64, payload: Vec<u8>) -> NewRecord {
    NewRecord { stream, expected: Version(expected), time: expected as i64, format: 3, payload }
}

pub fn tombstone(stream: StreamId, expected: u64) -> NewRecord {
    NewRecord { format: TOMBSTONE, ..new(stream, expected, Vec::new()) }
}

/// What a log that took these batches must hold.
#[derive(Clone, Default)]
pub struct Model {
    pub batches: Vec<Vec<NewRecord>>,
    /// Every record that was ever appended, as it must read.
    records: Vec<Record>,
    /// The place of the tombstone that ended each; its own, of a tombstone.
    ended: Vec<Option<Lsn>>,
    /// How many records there were after each batch.
    ends: Vec<u64>,
    living: BTreeMap<StreamId, Vec<usize>>,
}

impl Model {
    pub fn of(batches: &[Vec<NewRecord>]) -> Model {
        let mut model = Model::default();
        batches.iter().for_each(|batch| model.push(batch.clone()));
        model
    }

    pub fn push(&mut self, batch: Vec<NewRecord>) {
        for new in &batch {
            let life = self.living.entry(new.stream).or_default();
            let previous = life.last().map_or(GENESIS, |last| self.records[*last].chain);
            let NewRecord { stream, time, format, ref payload, .. } = *new;
            let version = Version(life.len() as u64 + 1);
            assert_eq!(new.expected.next(), version, "the test appends what fits");
            let chain = link(&previous, stream, version, time, format, payload);
            let lsn = Lsn(self.records.len() as u64 + 1);
            life.push(self.records.len());
            self.records.push(Record { lsn, stream, version, time, format, chain, payload: payload.clone() });
            self.ended.push(None);
            if format == TOMBSTONE {
                let life = self.living.remove(&stream).unwrap_or_default();
                life.into_iter().for_each(|index| self.ended[index] = Some(lsn));
            }
        }
        self.ends.push(self.records.len() as u64);
        self.batches.push(batch);
    }

    pub fn version(&self, stream: StreamId) -> u64 {
        self.living.get(&stream).map_or(0, |life| life.len() as u64)
    }

    pub fn last(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }

    fn is_dead(&self, record: &Record, durable: Lsn) -> bool {
        self.ended[record.lsn.0 as usize - 1].is_some_and(|ended| ended <= durable)
    }

    /// The records of what lives when the log ends at `durable`, in log order.
    pub fn alive(&self, durable: Lsn) -> Vec<&Record> {
        self.records[..durable.0 as usize].iter().filter(|record| !self.is_dead(record, durable)).collect()
    }

    /// Checks that a log is a whole number of the batches, and that all ways of reading it agree. Returns the number, and how
    /// many records of what is dead are still there.
    pub fn check(&self, log: &dyn Log, progress: Progress, context: &str) -> (usize, u64) {
        let durable = log.durable();
        let found = match durable {
            Lsn(0) => 0,
            Lsn(end) => self.ends.iter().position(|known| *known == end).map_or(usize::MAX, |index| index + 1),
        };
        assert!(found != usize::MAX, "{context}: a batch is there in part, {durable} records");
        assert!(found >= progress.acked, "{context}: {found} batches, but {} were acknowledged", progress.acked);
        assert!(found <= progress.appended, "{context}: {found} batches, but only {} appended", progress.appended);
        let dead = self.follows(log, Lsn(0), 7, context);
        self.check_streams(log, durable, context);
        (found, dead)
    }

    /// Checks the feed behind a cursor: all that lives, in order, at its place; only what is dead may be missing.
    pub fn follows(&self, log: &dyn Log, after: Lsn, page: usize, context: &str) -> u64 {
        let (mut cursor, durable, mut dead) = (after, log.durable(), 0);
        let mut alive = self.alive(durable).into_iter().filter(|record| record.lsn > after);
        let mut last = after;
        loop {
            let feed = log.follow(Shard(0), cursor, page).unwrap_or_else(|error| panic!("{context}: {error}"));
            for record in &feed.records {
                assert!(
                    last < record.lsn && record.lsn <= feed.cursor,
                    "{context}: the feed goes back to {}",
                    record.lsn
                );
                last = record.lsn;
                assert!(*record == self.records[last.0 as usize - 1], "{context}: another record at {last}");
                if self.is_dead(record, durable) {
                    dead += 1;
                } else {
                    assert_eq!(alive.next().map(|record| record.lsn), Some(last), "{context}: the feed skips");
                }
            }
            if feed.cursor == cursor {
                break;
            }
            cursor = feed.cursor;
        }
        assert_eq!(alive.next().map(|record| record.lsn), None, "{context}: the feed ends too early");
        assert_eq!(cursor, durable.max(after), "{context}: the cursor stops short");
        dead
    }

    fn check_streams(&self, log: &dyn Log, durable: Lsn, context: &str) {
        let mut lives: BTreeMap<StreamId, Vec<&Record>> = BTreeMap::new();
        for record in self.alive(durable) {
            lives.entry(record.stream).or_default().push(record);
        }
        for id in (0..STREAMS).map(stream) {
            let life = lives.get(&id).map(Vec::as_slice).unwrap_or_default();
            let read = log.read(id, Version(1), usize::MAX).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(read.iter().eq(life.iter().copied()), "{context}: stream {id} reads otherwise");
            let row = log.row(id).unwrap_or_else(|error| panic!("{context}: {error}"));
            let expected = (!life.is_empty()).then(|| (life.len() as u64).to_be_bytes());
            assert_eq!(row.as_deref(), expected.as_ref().map(|row| &row[..]), "{context}: the row of {id}");
        }
        let listed = log.scan(Table(0), (Unbounded, Unbounded), usize::MAX).unwrap();
        let mut listed: Vec<StreamId> = listed.into_iter().map(|(_, stream)| stream).collect();
        listed.sort_unstable();
        assert!(listed.iter().eq(lives.keys()), "{context}: other streams are listed than live");
    }

    /// Checks the heads of a log to which nothing was appended that is not durable.
    pub fn check_heads(&self, log: &dyn Log, context: &str) {
        let mut heads: BTreeMap<StreamId, Head> = BTreeMap::new();
        for record in self.alive(log.durable()) {
            heads.insert(record.stream, Head { version: record.version, lsn: record.lsn });
        }
        for id in (0..STREAMS).map(stream) {
            assert_eq!(log.head(id), heads.get(&id).copied(), "{context}: the head of {id}");
        }
    }

    /// Checks a store that is closed.
    pub fn inspects(&self, disk: &SimDisk, dead: u64, context: &str) {
        let mut visited = Vec::new();
        let report = inspect(disk, |record| visited.push(record.clone()));
        let report = report.unwrap_or_else(|error| panic!("{context}: inspect: {error}"));
        let alive = self.alive(self.last());
        assert!(visited.iter().eq(alive.iter().copied()), "{context}: inspect shows other records");
        let streams: std::collections::BTreeSet<StreamId> = alive.iter().map(|record| record.stream).collect();
        assert_eq!((report.records, report.streams), (alive.len() as u64, streams.len() as u64), "{context}");
        assert_eq!((report.dead, report.torn), (dead, None), "{context}");
    }

    /// A batch that ends some streams, goes on with others and begins the rest.
    pub fn next_batch(&self, salt: usize) -> Vec<NewRecord> {
        let next = |n: usize| {
            let (id, version) = (stream(n), self.version(stream(n)));
            let ends = version > 0 && (n + salt).is_multiple_of(3);
            if ends { tombstone(id, version) } else { new(id, version, payload(60, n + salt)) }
        };
        (0..STREAMS).step_by(2).map(next).collect()
    }
}

#[derive(Debug)]
pub enum Step {
    Append(usize),
    Commit,
    Seal,
    Clean,
    Reopen,
}

pub struct Script {
    pub steps: Vec<Step>,
    pub model: Model,
}

impl Script {
    /// Some 50 batches over fourteen streams. The first two are deleted and born again at once and live on; the others come
    /// and go, alone and many at a time.
    pub fn new() -> Script {
        let mut script = Script { steps: Vec::new(), model: Model::default() };
        let lengths = [300, 880, 100, 540, 410, 760];
        for n in 0..46 {
            let mut batch = Vec::new();
            let mut drawn: Vec<usize> = (0..1 + n % 3).map(|part| (n * 5 + part * 3) % STREAMS).collect();
            drawn.dedup();
            for to in drawn {
                let (id, version) = (stream(to), script.model.version(stream(to)));
                let payload = payload(lengths[(n + to) % lengths.len()], n + to);
                // With a tombstone and the next life in the same batch, where the numbers fall so.
                if version > 0 && (to < 2 || n % 5 == 3) {
                    batch.push(tombstone(id, version));
                    batch.push(new(id, 0, payload));
                } else {
                    batch.push(new(id, version, payload));
                }
            }
            script.append(batch, n);
            if n % 11 == 9 {
                let ended: Vec<NewRecord> = (2..STREAMS)
                    .filter(|to| to % 4 != n % 4)
                    .map(|to| (stream(to), script.model.version(stream(to))))
                    .filter(|(_, version)| *version > 0)
                    .map(|(id, version)| tombstone(id, version))
                    .collect();
                script.append(ended, n);
                script.steps.push(Step::Commit);
            }
            match n {
                10 | 21 | 33 | 39 => script.steps.push(Step::Clean),
                22 | 34 => script.steps.extend([Step::Seal, Step::Clean, Step::Reopen, Step::Clean]),
                _ => {}
            }
        }
        script.steps.extend([Step::Seal, Step::Clean]);
        script
    }

    fn append(&mut self, batch: Vec<NewRecord>, n: usize) {
        self.steps.push(Step::Append(self.model.batches.len()));
        self.model.push(batch);
        if n % 3 != 1 {
            self.steps.push(Step::Commit);
        }
    }

    /// Runs the script until something fails.
    pub fn run(&self, disk: &SimDisk) -> Progress {
        let mut progress = Progress::default();
        if let Ok(journal) = open(disk) {
            let _ = self.go_on(disk, journal, &mut progress, |_, _| {});
        }
        progress
    }

    /// Runs the script, and hands the journal to `then` after each step that worked; what failed, otherwise.
    pub fn go_on(
        &self,
        disk: &SimDisk,
        mut journal: Journal,
        progress: &mut Progress,
        mut then: impl FnMut(&Step, &Journal),
    ) -> Result<Journal, Box<Option<(Journal, Failure)>>> {
        for step in &self.steps {
            let result = match step {
                Step::Append(batch) => journal.append(&self.model.batches[*batch]).map(|place| {
                    place.expect("no conflict");
                    progress.appended += 1;
                }),
                Step::Commit => journal.commit().map(|_| progress.acked = progress.appended),
                Step::Seal => journal.seal().map(|()| progress.acked = progress.appended),
                Step::Clean => journal.clean().map(|_| ()),
                Step::Reopen => {
                    drop(journal);
                    journal = open(disk).map_err(|_| Box::new(None))?;
                    Ok(())
                }
            };
            match result {
                Ok(()) => then(step, &journal),
                Err(failure) => return Err(Box::new(Some((journal, failure)))),
            }
        }
        Ok(journal)
    }
}

/// Checks that a log whose batches are the first `found` of the model takes new ones, is cleaned, and still has all after a
/// reopening.
pub fn goes_on(model: &Model, found: usize, disk: &SimDisk, log: Journal, context: &str) {
    let mut model = Model::of(&model.batches[..found]);
    for round in 0..2 {
        let batch = model.next_batch(found + round);
        model.push(batch);
        let batch = model.batches.last().expect("the new batch");
        log.append(batch).unwrap_or_else(|error| panic!("{context}: {error}")).expect("the heads are true");
        log.commit().unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    log.clean().unwrap_or_else(|error| panic!("{context}: cleaning: {error}"));
    let all = Progress { appended: found + 2, acked: found + 2 };
    let (_, dead) = model.check(&log, all, context);
    drop(log);
    model.inspects(disk, dead, context);
    let log = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(log.cut(), None, "{context}: a closed store is not torn");
    model.check(&log, all, context);
    model.check_heads(&log, context);
    no_orphans(disk, context);
}

/// Checks that no segment file is left twice, behind an opening.
pub fn no_orphans(disk: &SimDisk, context: &str) {
    let names: Vec<String> = segment_files(disk).into_iter().map(|(name, _)| name).collect();
    let mut numbers: Vec<&str> = names.iter().map(|name| &name[..12]).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), names.len(), "{context}: {names:?}");
}

/// The segment files and their sizes.
pub fn segment_files(disk: &SimDisk) -> Vec<(String, usize)> {
    let files = disk.files().into_iter().map(|(name, content)| (name, content.len()));
    files.filter(|(name, _)| name.ends_with(".seg")).collect()
}
