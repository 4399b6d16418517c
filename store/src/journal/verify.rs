//! Reading the whole log of a stopped store, byte by byte, changing nothing.

use super::create::refuse_unknown_segments;
use super::footer::{Footer, Stand, Standing, With};
use super::frame::Stored;
use super::manifest::{Closed, Manifest, Segment};
use super::recovery::{Access, Cut, open_segment};
use super::scan::{Scan, closed_batches};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::record::{Chain, GENESIS, Head, Lsn, Record, StreamId, StreamMap, TOMBSTONE, link};
use std::collections::HashMap;
use std::sync::Arc;

/// What [`inspect`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many segments the log has.
    pub segments: usize,
    /// How many records its streams have.
    pub records: u64,
    /// How many records of deleted streams are not cleaned away yet, tombstones among them.
    pub dead: u64,
    /// How many streams exist.
    pub streams: u64,
    /// How many bytes the segment files have.
    pub bytes: u64,
    /// The torn end of an unacknowledged write, which the next opening will cut.
    pub torn: Option<Cut>,
}

/// Reads every record of the store on `disk` in log order, checks everything that can be checked (checksums, places,
/// versions, chains, footers) and hands each record of a stream that exists to `visit`.
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
    let mut check = Check { tips: HashMap::new(), graves: graves(disk, &manifest)?, next: Lsn(1) };
    let mut report = Report::default();
    for segment in &manifest.segments {
        check.begin(segment)?;
        if segment.is_gone() {
            continue;
        }
        let open = Opened::read(disk, &manifest, segment)?;
        report.segments += 1;
        report.bytes += open.content.len() as u64;
        report.torn = open.torn.map(|bytes| Cut { file: segment.file(), offset: open.end, bytes });
        let mut standing = Standing::default();
        for (offset, stored) in &open.batches {
            for Stored { record, previous } in stored {
                let dead = check.take(segment, *offset, record, *previous)?;
                standing.note(record);
                if dead {
                    report.dead += 1;
                } else {
                    report.records += 1;
                    visit(record);
                }
            }
        }
        if let Some((closed, Some(footer))) = &open.closed
            && let Some(what) = disagreement(footer, standing, &open.batches)
        {
            return Err(Damage { file: segment.file(), offset: closed.end, what }.into());
        }
    }
    report.streams = check.tips.len() as u64;
    Ok(report)
}

/// A segment's batches, each with the offset of its frame.
type Batches = Vec<(u64, Vec<Stored>)>;

/// A segment, read as a whole.
struct Opened {
    content: Vec<u8>,
    batches: Batches,
    closed: Option<(Closed, Option<Footer>)>,
    end: u64,
    torn: Option<u64>,
}

impl Opened {
    fn read(disk: &dyn Disk, manifest: &Manifest, segment: &Segment) -> Result<Opened, OpenError> {
        let place = segment.place(manifest.store);
        let (file, length) = open_segment(disk, segment, place, Access::Read)?;
        let content = read_all(&*file).map_err(|error| Failure::io("read", &segment.file(), error))?;
        let Some(closed) = segment.closed else {
            let scan = Scan::of(&content, segment, place, manifest.opening)?;
            let batches = scan.batches.into_iter().map(|(_, at, stored)| (at, stored)).collect();
            return Ok(Opened { content, batches, closed: None, end: scan.end, torn: scan.torn });
        };
        let footer = footer(&file, length, manifest, segment, closed, With::Rows)?;
        let batches = closed_batches(&content, segment, place, closed)?;
        let batches = batches.into_iter().map(|(_, at, stored)| (at, stored)).collect();
        Ok(Opened { content, batches, closed: Some((closed, footer)), end: closed.end, torn: None })
    }
}

fn footer(
    file: &Arc<dyn DiskFile>,
    length: u64,
    manifest: &Manifest,
    segment: &Segment,
    closed: Closed,
    with: With,
) -> Result<Option<Footer>, Failure> {
    let place = segment.place(manifest.store);
    let footer = closed.footer.then(|| Footer::read(&**file, length, segment, closed, place, with));
    footer.transpose()
}

/// Where the last tombstone of each stream stands that has one: what stands before it is a life that has ended, and parts
/// of it may have been cleaned away.
fn graves(disk: &dyn Disk, manifest: &Manifest) -> Result<StreamMap<Lsn>, OpenError> {
    let mut graves = StreamMap::default();
    for segment in manifest.segments.iter().filter(|segment| !segment.is_gone()) {
        let footer = match segment.closed {
            Some(closed) if closed.footer => {
                let (file, length) = open_segment(disk, segment, segment.place(manifest.store), Access::Read)?;
                footer(&file, length, manifest, segment, closed, With::Heads)?
            }
            Some(_) | None => None,
        };
        if let Some(footer) = footer {
            graves.extend(footer.graves.into_iter().map(|(stream, grave)| (stream, grave.lsn)));
            continue;
        }
        for (_, stored) in Opened::read(disk, manifest, segment)?.batches {
            let tombs = stored.iter().filter(|stored| stored.record.format == TOMBSTONE);
            graves.extend(tombs.map(|stored| (stored.record.stream, stored.record.lsn)));
        }
    }
    Ok(graves)
}

/// What a footer says of its segment's records that is not so.
fn disagreement(footer: &Footer, standing: Standing, batches: &Batches) -> Option<String> {
    let found = standing.into_footer(footer.fold, Vec::new());
    let plain = |(stream, stand): &(StreamId, Stand)| (*stream, stand.head, stand.bytes);
    let wrong = footer.stands.iter().map(plain).zip(found.stands.iter().map(plain)).find(|(said, is)| said != is);
    if let Some(((stream, ..), _)) = wrong {
        return Some(format!("the footer disagrees with the records of stream {stream}"));
    }
    if footer.stands.len() != found.stands.len() || footer.records != found.records {
        return Some("the footer does not name the streams and records that stand here".to_owned());
    }
    if footer.graves != found.graves {
        return Some("the footer does not name the tombstones that stand here".to_owned());
    }
    let first = |(at, stored): &(u64, Vec<Stored>)| stored.first().map(|stored| (stored.record.lsn, *at));
    let frames: HashMap<Lsn, u64> = batches.iter().filter_map(first).collect();
    let wrong = footer.marks.iter().find(|mark| frames.get(&mark.first) != Some(&mark.offset))?;
    Some(format!("the footer says that record {} begins a frame at byte {}", wrong.first, wrong.offset))
}

/// What the records read so far lead one to expect of the next.
struct Check {
    tips: HashMap<StreamId, (Head, Chain)>,
    graves: StreamMap<Lsn>,
    /// The first place of the next segment.
    next: Lsn,
}

impl Check {
    fn begin(&mut self, segment: &Segment) -> Result<(), Damage> {
        if segment.first != self.next {
            let what = "its segments do not follow each other".to_owned();
            return Err(Damage { file: "MANIFEST".to_owned(), offset: 0, what });
        }
        self.next = segment.closed.map_or(self.next, |closed| closed.next);
        Ok(())
    }

    /// Takes the next record; `true` if it belongs to a life of its stream that has ended.
    fn take(&mut self, segment: &Segment, offset: u64, record: &Record, previous: Lsn) -> Result<bool, Damage> {
        let damage = |what: String| Damage { file: segment.file(), offset, what };
        let Record { stream, version, lsn, time, format, chain, ref payload } = *record;
        let (head, before) = self.tips.get(&stream).copied().unwrap_or((Head::default(), GENESIS));
        let place = || format!("stream {stream} version {version}");
        let follows = version == head.version.next() && previous == head.lsn;
        let ended = self.graves.get(&stream).is_some_and(|grave| lsn <= *grave);
        if !follows && !ended {
            return Err(damage(format!("{} follows version {}", place(), head.version)));
        }
        if follows && link(&before, stream, version, time, format, payload) != chain {
            return Err(damage(format!("{} breaks the stream's hash chain", place())));
        }
        if format == TOMBSTONE {
            self.tips.remove(&stream);
        } else {
            self.tips.insert(stream, (Head { version, lsn }, chain));
        }
        Ok(ended)
    }
}
