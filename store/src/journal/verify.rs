//! Reading the whole log of a stopped store, byte by byte, changing nothing.

use super::create::refuse_unknown_segments;
use super::footer::SEGMENT_HEADER;
use super::footer::{Footer, Stand};
use super::frame::{HEADER, Header, Kind, Place, Stored, decode_batch};
use super::manifest::{Manifest, Segment};
use super::recovery::{Access, Cut, open_segment, read_footer};
use super::scan::Scan;
use crate::disk::{Disk, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::record::{Chain, GENESIS, Head, Lsn, Record, StreamId, link};
use std::collections::HashMap;

/// What [`inspect`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many segments the log has.
    pub segments: usize,
    /// How many records.
    pub records: u64,
    /// How many streams.
    pub streams: u64,
    /// How many bytes the segment files have.
    pub bytes: u64,
    /// The torn end of an unacknowledged write, which the next opening will cut.
    pub torn: Option<Cut>,
}

/// Reads every record of the store on `disk` in log order, checks everything that can be checked (checksums, places,
/// versions, chains, footers) and hands each record to `visit`.
///
/// # Errors
///
/// [`OpenError`], with the place of the first damage; [`OpenError::Locked`] while a process has the store open.
pub fn inspect(disk: &dyn Disk, mut visit: impl FnMut(&Record)) -> Result<Report, OpenError> {
    let _lock = disk
        .lock_read()
        .map_err(|error| Failure::io("lock", &disk.name(), error))?
        .ok_or_else(|| OpenError::Locked { folder: disk.name() })?;
    let manifest = Manifest::read(disk)?.ok_or_else(|| OpenError::Missing { folder: disk.name() })?;
    refuse_unknown_segments(disk, Some(&manifest))?;
    let mut check = Check { tips: HashMap::new(), next: Lsn(1) };
    let mut report = Report { segments: manifest.segments.len(), ..Report::default() };
    for segment in &manifest.segments {
        let place = Place { store: manifest.store, segment: segment.id };
        let (file, length) = open_segment(disk, segment, place, check.next, Access::Read)?;
        let bytes = read_all(&*file).map_err(|error| Failure::io("read", &segment.file(), error))?;
        report.bytes += length;
        if let Some(closed) = segment.closed {
            let footer = read_footer(&*file, length, segment, place)?;
            let records = closed_records(&bytes, segment, place)?;
            let disagreement = disagreement(&footer, &records);
            check.take(segment, records, &mut visit)?;
            let ends = if check.next == closed.next { None } else { Some("the footer names another end".to_owned()) };
            if let Some(what) = disagreement.or(ends) {
                return Err(Damage { file: segment.file(), offset: closed.footer, what }.into());
            }
        } else {
            let scan = Scan::of(&bytes, segment, place, manifest.opening)?;
            report.torn = scan.torn.map(|bytes| Cut { file: segment.file(), offset: scan.end, bytes });
            let records = scan.batches.into_iter().flat_map(|(_, at, stored)| stored.into_iter().map(move |s| (at, s)));
            check.take(segment, records.collect(), &mut visit)?;
        }
    }
    report.records = check.next.0 - 1;
    report.streams = check.tips.len() as u64;
    Ok(report)
}

/// All records of a closed segment, each with the offset of its frame.
fn closed_records(bytes: &[u8], segment: &Segment, place: Place) -> Result<Vec<(u64, Stored)>, Damage> {
    let damage = |offset, what: &str| Damage { file: segment.file(), offset, what: what.to_owned() };
    let end = segment.closed.map_or(0, |closed| closed.footer);
    let mut records = Vec::new();
    let mut at = SEGMENT_HEADER as u64;
    while at < end {
        let rest = bytes.get(at as usize..end as usize).ok_or_else(|| damage(at, "it ends before its footer"))?;
        let header = Header::decode(rest, place).ok_or_else(|| damage(at, "a frame's checksum does not match"))?;
        let body = rest.get(HEADER..HEADER + header.length as usize);
        let body = body.ok_or_else(|| damage(at, "a frame reaches beyond the footer"))?;
        if header.kind == Kind::Batch {
            let stored = decode_batch(&header, body, place);
            let stored = stored.ok_or_else(|| damage(at, "a record's checksum does not match"))?;
            records.extend(stored.into_iter().map(|stored| (at, stored)));
        }
        at += header.frame_length() as u64;
    }
    Ok(records)
}

/// What a footer says of its segment's records that is not so.
fn disagreement(footer: &Footer, records: &[(u64, Stored)]) -> Option<String> {
    let mut heads: HashMap<StreamId, Head> = HashMap::new();
    let mut frames: HashMap<Lsn, u64> = HashMap::new();
    let mut last = 0;
    for (offset, Stored { record, .. }) in records {
        heads.insert(record.stream, Head { version: record.version, lsn: record.lsn });
        if *offset != last {
            frames.insert(record.lsn, *offset);
            last = *offset;
        }
    }
    let stands = |(stream, head): &(&StreamId, &Head)| {
        footer.stands.get(stream).is_some_and(|stand: &Stand| stand.head == **head)
    };
    if let Some((stream, _)) = heads.iter().find(|entry| !stands(entry)) {
        return Some(format!("the footer disagrees with the records of stream {stream}"));
    }
    if footer.stands.len() != heads.len() {
        return Some("the footer names a stream that has no record here".to_owned());
    }
    let wrong = footer.marks.iter().find(|mark| frames.get(&mark.first) != Some(&mark.offset))?;
    Some(format!("the footer says that record {} begins a frame at byte {}", wrong.first, wrong.offset))
}

/// What the records read so far lead one to expect of the next.
struct Check {
    tips: HashMap<StreamId, (Head, Chain)>,
    next: Lsn,
}

impl Check {
    fn take(
        &mut self,
        segment: &Segment,
        records: Vec<(u64, Stored)>,
        visit: &mut impl FnMut(&Record),
    ) -> Result<(), Damage> {
        for (offset, Stored { record, previous }) in records {
            let damage = |what: String| Damage { file: segment.file(), offset, what };
            if record.lsn != self.next {
                return Err(damage(format!("record {} stands where {} belongs", record.lsn, self.next)));
            }
            self.next = Lsn(record.lsn.0 + 1);
            let (head, chain) = self.tips.get(&record.stream).copied().unwrap_or((Head::default(), GENESIS));
            let place = || format!("stream {} version {}", record.stream, record.version);
            if record.version != head.version.next() || previous != head.lsn {
                return Err(damage(format!("{} follows version {}", place(), head.version)));
            }
            let Record { stream, version, time, format, .. } = record;
            if link(&chain, stream, version, time, format, &record.payload) != record.chain {
                return Err(damage(format!("{} breaks the stream's hash chain", place())));
            }
            self.tips.insert(stream, (Head { version, lsn: record.lsn }, record.chain));
            visit(&record);
        }
        Ok(())
    }
}
