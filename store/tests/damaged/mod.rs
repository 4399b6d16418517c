//! A store, damaged, and what must be said of it: that it is damaged, or that it does no harm.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::script::open;
use rejoin_store::journal::{Journal, Report, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Log, Lsn, OpenError, Record, Shard, StreamId, TOMBSTONE, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

/// Shared, since each change is to one of them.
pub type Files = BTreeMap<String, Arc<Vec<u8>>>;

pub fn files_of(disk: &SimDisk) -> Files {
    disk.files().into_iter().map(|(name, content)| (name, Arc::new(content))).collect()
}

/// A store as it lies on the disk, and what is in it.
pub struct Original {
    pub files: Files,
    /// What the feed shows.
    pub records: Vec<Record>,
    pub durable: Lsn,
    pub streams: Vec<StreamId>,
    pub report: Report,
}

/// What a damaged store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Opening was refused.
    Refused,
    /// Opening said what it cut off.
    Cut,
    /// It opens, and `inspect` or a reader reports the place.
    Unreadable,
    /// Everything is as it was.
    Harmless,
}

impl Original {
    pub fn of(files: Files, streams: Vec<StreamId>) -> Original {
        let mut inspected = 0;
        let report = inspect(&SimDisk::with_files(files.clone()), |_| inspected += 1).expect("a store in order");
        assert_eq!((report.records, &report.torn), (inspected, &None));
        let log = open(&SimDisk::with_files(files.clone())).expect("a store in order");
        let records = log.follow(Shard(0), Lsn(0), usize::MAX).expect("a readable log").records;
        assert_eq!(records.len() as u64, report.records + report.dead);
        Original { files, records, durable: log.durable(), streams, report }
    }

    /// The records that a stream has.
    pub fn life(&self, stream: StreamId) -> Vec<&Record> {
        let of_stream: Vec<&Record> = self.records.iter().filter(|record| record.stream == stream).collect();
        let ended = of_stream.iter().rposition(|record| record.format == TOMBSTONE);
        of_stream[ended.map_or(0, |at| at + 1)..].to_vec()
    }

    pub fn with(&self, change: impl FnOnce(&mut Files)) -> Files {
        let mut files = self.files.clone();
        change(&mut files);
        files
    }

    pub fn with_content(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
        self.with(|files| change(Arc::make_mut(files.get_mut(name).expect("a file of the store"))))
    }

    /// Opens and reads a damaged store, and checks that it keeps no secret.
    pub fn judge(&self, files: &Files, read_all: bool, context: &dyn Fn() -> String) -> Found {
        let disk = SimDisk::with_files(files.clone());
        let mut inspected = Vec::new();
        let report = inspect(&disk, |record| inspected.push(record.lsn));
        let log = match open(&disk) {
            Ok(log) => log,
            Err(OpenError::Failure(_) | OpenError::NewerFormat { .. }) => {
                assert_eq!(disk.changes(), Vec::<String>::new(), "{}: the refused store was changed", context());
                assert!(!read_all || files_of(&disk) == *files, "{}: the refused store was changed", context());
                assert!(report.is_err(), "{}: opening refuses what inspect finds in order", context());
                return Found::Refused;
            }
            Err(error) => panic!("{}: not an answer to damage: {error}", context()),
        };
        let torn = report.as_ref().ok().and_then(|report| report.torn.as_ref());
        assert_eq!(log.cut().is_some(), torn.is_some(), "{}: inspect and opening disagree", context());
        let readable = self.compare(&log, read_all, context);
        if log.cut().is_some() {
            // What was sealed is never cut; what is, is no record.
            assert!(readable, "{}", context());
            return Found::Cut;
        }
        match report {
            Ok(report) if readable => {
                assert_eq!((&report, inspected.len() as u64), (&self.report, self.report.records), "{}", context());
                assert!(read_all || self.compare(&log, true, context), "{}", context());
                Found::Harmless
            }
            Ok(_) => panic!("{}: inspect finds in order what cannot be read", context()),
            Err(_) => Found::Unreadable,
        }
    }

    /// Whether the whole log can be read; what can be read must be as it was written.
    fn compare(&self, log: &Journal, all_streams: bool, context: &dyn Fn() -> String) -> bool {
        assert_eq!(log.durable(), self.durable, "{}: a shorter log, silently", context());
        let mut readable = match log.follow(Shard(0), Lsn(0), usize::MAX) {
            Ok(feed) => {
                assert!(feed.records == self.records, "{}: the feed shows other records", context());
                true
            }
            Err(_) => false,
        };
        for stream in self.streams.iter().copied().filter(|_| all_streams) {
            let expected = self.life(stream);
            let count = expected.len() as u64;
            assert_eq!(log.head(stream).map_or(0, |head| head.version.0), count, "{}: head of {stream}", context());
            let row = (count > 0).then(|| count.to_be_bytes());
            let found = log.row(stream).unwrap();
            assert_eq!(found.as_deref(), row.as_ref().map(|row| &row[..]), "{}: row of {stream}", context());
            match log.read(stream, Version(1), usize::MAX) {
                Ok(found) => assert!(found.iter().eq(expected), "{}: stream {stream} shows other records", context()),
                Err(_) => readable = false,
            }
        }
        readable
    }
}

/// Judges the numbers below `count` in several threads, and counts what was found.
pub fn in_threads(count: usize, judge: impl Fn(usize) -> Option<Found> + Sync) -> BTreeMap<Found, u64> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = BTreeMap::new();
    thread::scope(|scope| {
        let judge = &judge;
        let work = |first: usize| move || (first..count).step_by(threads).filter_map(judge).collect::<Vec<Found>>();
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(work(first))).collect();
        for found in workers.into_iter().flat_map(|worker| worker.join().expect("no panic")) {
            *counts.entry(found).or_default() += 1;
        }
    });
    counts
}

/// Flips each bit of each file, and says on stdout what was found.
pub fn flip_every_bit(original: &Original) {
    let all = std::env::var("REJOIN_DAMAGE").is_ok_and(|value| value == "all");
    let (mut flips, mut skipped) = (0, 0);
    for (name, content) in &original.files {
        let step = if name == "spare" && !all { 16 } else { 1 };
        let counts = in_threads(content.len() * 8, |bit| {
            // A step of 16 would hit the same bit of each second byte only.
            if (bit / 16 + bit) % step != 0 {
                return None;
            }
            let flipped = original.with_content(name, |content| content[bit / 8] ^= 1 << (bit % 8));
            Some(original.judge(&flipped, all || bit % 64 == 0, &|| format!("bit {bit} of {name}")))
        });
        let run: u64 = counts.values().sum();
        println!("{name}: {run} of {} bits flipped: {counts:?}", content.len() * 8);
        flips += run;
        skipped += content.len() as u64 * 8 - run;
        let found = |found| counts.get(&found).copied().unwrap_or(0);
        match name.as_str() {
            "MANIFEST" => assert_eq!(found(Found::Refused), run, "every bit of the manifest counts"),
            "spare" => assert_eq!(found(Found::Harmless), run, "nobody reads the spare"),
            // The first 64 bytes at least.
            _ => assert!(found(Found::Refused) >= 512, "{name}: {counts:?}"),
        }
    }
    println!("{flips} flips run under inspect and open, {skipped} NOT RUN (bits of the spare)");
}

/// Cuts each file off at each length.
pub fn cut_everywhere(original: &Original) {
    for (name, content) in &original.files {
        let counts = in_threads(content.len(), |length| {
            let cut = original.with_content(name, |content| content.truncate(length));
            Some(original.judge(&cut, length % 64 == 0, &|| format!("{name} cut to {length} bytes")))
        });
        println!("{name}: cut to each of {} lengths: {counts:?}", content.len());
        let expected = if name == "spare" { Found::Harmless } else { Found::Refused };
        assert_eq!(counts, BTreeMap::from([(expected, content.len() as u64)]), "{name}");
    }
}

/// Removes each file.
pub fn remove_each_file(original: &Original) {
    for name in original.files.keys() {
        let left = original.with(|files| drop(files.remove(name)));
        let found = original.judge(&left, true, &|| format!("{name} removed"));
        assert_eq!(found, if name == "spare" { Found::Harmless } else { Found::Refused }, "{name} removed");
    }
}

/// Puts each file in each other's place.
pub fn swap_all_files(original: &Original) {
    let pairs = original.files.iter().flat_map(|a| original.files.iter().map(move |b| (a, b)));
    for ((a, content), (b, other)) in pairs.filter(|(a, b)| a.0 != b.0) {
        let copied = original.with(|files| drop(files.insert(a.clone(), other.clone())));
        let found = original.judge(&copied, true, &|| format!("{a} is a copy of {b}"));
        assert_eq!(found, if a == "spare" { Found::Harmless } else { Found::Refused }, "{a} is a copy of {b}");
        let mut swapped = copied;
        swapped.insert(b.clone(), content.clone());
        let found = original.judge(&swapped, true, &|| format!("{a} and {b} are swapped"));
        assert_eq!(found, Found::Refused, "{a} and {b} are swapped");
    }
}
