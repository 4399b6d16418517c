//! What one flipped bit does.
//!
//! Opening reads the manifest, headers, footers and the whole open segment; for a flip in those the store is opened. The rest of a
//! closed segment is read by readers alone, and nothing else depends on it: for a flip there all records of that segment are
//! read through a store that is open, while all other bytes are as they were. That shows what reading the whole log would. It
//! is held against opening and inspecting the whole store for some of the flips.

use super::{Original, Place, Region};
use crate::layout::Entry;
use rejoin_store::disk::Disk;
use rejoin_store::journal::{Journal, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Failure, Log, Lsn, OpenError, Shard};
use std::sync::Arc;

/// What a flip does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is reported with its file and a place.
    Reported,
    /// Everything reads as it was.
    Harmless,
    /// Neither.
    Silent(String),
}

/// Every so many flips are judged by opening the store, whatever they hit.
const OPENED: u64 = 20;
/// Every so many by reading all of it.
const INSPECTED: u64 = 100;

/// Judges flips, on a disk of its own.
pub struct Judge<'a> {
    original: &'a Original,
    disk: SimDisk,
    /// Open on that disk.
    log: Journal,
    /// How many flips were judged by opening the store.
    pub opened: u64,
    /// How many by reading all of it.
    pub inspected: u64,
}

impl<'a> Judge<'a> {
    /// With a copy of the store.
    pub fn new(original: &'a Original) -> Judge<'a> {
        let disk = SimDisk::with_files(original.files.clone());
        let log = original.open(&disk).expect("a store in order");
        Judge { original, disk, log, opened: 0, inspected: 0 }
    }

    /// Flips a bit, looks, and flips it back.
    pub fn judge(&mut self, place: Place, number: u64) -> Found {
        let entry = self.original.entry(place.file);
        let closed = entry.filter(|entry| entry.next > 0);
        let read_at_opening = matches!(place.region, Region::Manifest | Region::Header | Region::Footer);
        let by_reading = match closed {
            Some(entry) if !read_at_opening => Some(self.read_flipped(place, entry)),
            Some(_) | None => None,
        };
        let sampled = number.is_multiple_of(OPENED);
        let by_opening = (by_reading.is_none() || sampled).then(|| self.open_flipped(place, entry));
        let found = match (by_reading, by_opening) {
            (Some(read), Some(opened)) if read != opened => {
                return Found::Silent(format!("{read:?} where it is read, and {opened:?} where it is opened"));
            }
            (Some(found), _) | (None, Some(found)) => found,
            (None, None) => unreachable!("one of them was asked"),
        };
        if number.is_multiple_of(INSPECTED) { self.inspect_flipped(place, found) } else { found }
    }

    /// Flips a bit under the open store, and reads the records of the segment.
    fn read_flipped(&self, place: Place, entry: &Entry) -> Found {
        let name = self.original.name(place.file);
        let byte = self.original.files[place.file].1[place.bit / 8];
        let write = |byte: u8| {
            let file = self.disk.open(name).expect("the segment");
            file.write_at(&[byte], (place.bit / 8) as u64).and_then(|()| file.sync_data()).expect("a disk that works");
        };
        write(byte ^ 1 << (place.bit % 8));
        let found = self.read(&self.log, place, entry);
        write(byte);
        found
    }

    /// Reads all records of a segment.
    fn read(&self, log: &Journal, place: Place, entry: &Entry) -> Found {
        let last = if entry.next > 0 { Lsn(entry.next - 1) } else { self.original.durable };
        let records = &self.original.records;
        let from = records.partition_point(|record| record.lsn.0 < entry.first);
        let expected = &records[from..records.partition_point(|record| record.lsn <= last)];
        match log.follow(Shard(0), Lsn(entry.first - 1), expected.len()) {
            Ok(feed) if feed.records == expected => Found::Harmless,
            Ok(_) => Found::Silent("the feed shows other records".to_owned()),
            Err(failure) => self.reported(place, failure),
        }
    }

    fn reported(&self, place: Place, failure: Failure) -> Found {
        match failure {
            Failure::Damaged(damage) if damage.file == self.original.name(place.file) => Found::Reported,
            other => Found::Silent(format!("reported as something else: {other}")),
        }
    }

    fn flipped(&self, place: Place) -> SimDisk {
        let mut files = self.original.files.clone();
        Arc::make_mut(&mut files[place.file].1)[place.bit / 8] ^= 1 << (place.bit % 8);
        SimDisk::with_files(files)
    }

    /// Opens the store with the flipped bit; looks at how all streams stand, and at the records of the segment.
    fn open_flipped(&mut self, place: Place, entry: Option<&Entry>) -> Found {
        self.opened += 1;
        let disk = self.flipped(place);
        let log = match self.original.open(&disk) {
            Ok(log) => log,
            Err(_) if !disk.changes().is_empty() => return Found::Silent("the refused store was changed".to_owned()),
            Err(OpenError::Failure(failure)) => return self.reported(place, failure),
            Err(other) => return Found::Silent(format!("reported as something else: {other}")),
        };
        if log.durable() != self.original.durable {
            return Found::Silent(format!("the log ends at {}", log.durable()));
        }
        let stands = |(stream, head, row): &(_, _, _)| {
            log.head(*stream) == *head && log.row(*stream).is_ok_and(|found| found == *row)
        };
        if !self.original.streams.iter().all(stands) {
            return Found::Silent("a stream stands otherwise".to_owned());
        }
        let found = entry.map_or(Found::Harmless, |entry| self.read(&log, place, entry));
        match (log.cut(), found) {
            (Some(cut), Found::Harmless) if cut.file == self.original.name(place.file) => Found::Reported,
            (Some(cut), found) => Found::Silent(format!("{cut:?} was cut, and {found:?}")),
            (None, found) => found,
        }
    }

    /// Reads all of the store with the flipped bit, which must say the same.
    fn inspect_flipped(&mut self, place: Place, found: Found) -> Found {
        self.inspected += 1;
        let inspected = match inspect(&self.flipped(place), |_| {}) {
            Ok(report) if report == self.original.report => Found::Harmless,
            Ok(report) if report.torn.is_some() => Found::Reported,
            Ok(report) => Found::Silent(format!("inspect finds {report:?}")),
            Err(OpenError::Failure(failure)) => self.reported(place, failure),
            Err(other) => Found::Silent(format!("reported as something else: {other}")),
        };
        if inspected == found { found } else { Found::Silent(format!("{found:?}, and inspect: {inspected:?}")) }
    }
}
