//! The durable log as readers see it.

use super::footer::Mark;
use super::frame::{HEADER, Header, Kind, Place, Stored, decode_batch, decode_record, record_offsets};
use crate::disk::DiskFile;
use crate::error::{Damage, Failure};
use crate::record::{Head, Lsn, Record, Shard, StreamId, Version};
use crate::{Feed, journal::manifest::segment_file};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Everything durable: where each segment's records are, and where each stream stands.
pub(crate) struct View {
    pub(crate) segments: Vec<SegmentView>,
    /// Every stream of the store, finished ones too: it alone answers "does this stream exist?".
    pub(crate) directory: HashMap<StreamId, Head>,
    pub(crate) durable: Lsn,
}

pub(crate) struct SegmentView {
    pub(crate) place: Place,
    pub(crate) first: Lsn,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) marks: Vec<Mark>,
    /// Where the durable frames end.
    pub(crate) end: u64,
}

/// Where a stretch of frames stands: from a mark to the next one, or to the end of what is durable.
struct Span {
    place: Place,
    file: Arc<dyn DiskFile>,
    from: u64,
    to: u64,
}

/// A stretch of a segment's frames, read from the disk.
struct Stretch {
    place: Place,
    offset: u64,
    bytes: Vec<u8>,
}

impl View {
    /// The stretch in which the record at `lsn` stands.
    fn span(&self, lsn: Lsn) -> Option<Span> {
        let segment = self.segments.partition_point(|segment| segment.first <= lsn).checked_sub(1)?;
        let segment = &self.segments[segment];
        let mark = segment.marks.partition_point(|mark| mark.first <= lsn).checked_sub(1)?;
        let from = segment.marks[mark].offset;
        let to = segment.marks.get(mark + 1).map_or(segment.end, |next| next.offset);
        Some(Span { place: segment.place, file: segment.file.clone(), from, to })
    }
}

/// Reads a view that others append to. The lock is held to find the place of a record and never while the disk is
/// read: a commit waits for no reader.
pub(crate) struct Reader<'a>(pub(crate) &'a RwLock<View>);

impl Reader<'_> {
    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn durable(&self) -> Lsn {
        self.view().durable
    }

    /// Where a stream stands, durable records only.
    pub(crate) fn head(&self, stream: StreamId) -> Option<Head> {
        self.view().directory.get(&stream).copied()
    }

    /// The stretch around a record, which must be durable.
    fn stretch(&self, lsn: Lsn) -> Result<Stretch, Failure> {
        let span = self.view().span(lsn);
        span.ok_or(Failure::NoSuchRecord(lsn))?.load()
    }

    /// The record at `lsn`, which must be durable.
    pub(crate) fn record(&self, lsn: Lsn) -> Result<Stored, Failure> {
        if lsn > self.durable() {
            return Err(Failure::NoSuchRecord(lsn));
        }
        let stretch = self.stretch(lsn)?;
        for frame in stretch.frames() {
            let (at, header, body) = frame?;
            if header.kind == Kind::Batch && lsn.0 < header.first.0 + u64::from(header.records) {
                let offsets = record_offsets(&header, body).unwrap_or_default();
                let index = lsn.0.checked_sub(header.first.0).map(|index| index as usize);
                let offset = index.and_then(|index| offsets.get(index));
                let seed = stretch.place.seed(header.opening);
                let stored = offset.and_then(|offset| decode_record(&body[*offset..], lsn, seed));
                return Ok(stored.ok_or_else(|| stretch.damage(at, "a record's checksum does not match"))?);
            }
        }
        Err(stretch.missing())
    }

    /// Durable records of a stream, oldest first. Walks back from its head.
    pub(crate) fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let Some(Head { mut version, lsn: mut at }) = self.head(stream) else { return Ok(records) };
        let from = from.max(Version(1));
        while version >= from {
            let Stored { record, previous } = self.record(at)?;
            if record.stream != stream || record.version != version {
                let what = "a record is not the one that its successor names";
                return Err(self.stretch(at)?.damaged(what));
            }
            // The walk begins at the newest record; those behind the limit are only walked over.
            if version.0 - from.0 < limit as u64 {
                records.push(record);
            }
            (at, version) = (previous, Version(version.0 - 1));
        }
        records.reverse();
        Ok(records)
    }

    /// Durable records of a shard behind `after`, in commit order.
    pub(crate) fn follow(&self, shard: Shard, shards: u16, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        let mut feed = Feed { records: Vec::new(), cursor: after };
        let durable = self.durable();
        while feed.cursor < durable && feed.records.len() < limit {
            let stretch = self.stretch(Lsn(feed.cursor.0 + 1))?;
            let before = feed.cursor;
            for frame in stretch.frames() {
                let (at, header, body) = frame?;
                if header.kind != Kind::Batch || header.first.0 + u64::from(header.records) <= feed.cursor.0 + 1 {
                    continue;
                }
                let stored = decode_batch(&header, body, stretch.place)
                    .ok_or_else(|| stretch.damage(at, "a record's checksum does not match"))?;
                for Stored { record, .. } in stored {
                    if record.lsn <= feed.cursor {
                        continue;
                    }
                    if record.lsn.0 != feed.cursor.0 + 1 {
                        return Err(stretch.missing());
                    }
                    if feed.records.len() == limit {
                        return Ok(feed);
                    }
                    feed.cursor = record.lsn;
                    if record.stream.shard(shards) == shard {
                        feed.records.push(record);
                    }
                }
            }
            if feed.cursor == before {
                return Err(stretch.missing());
            }
        }
        Ok(feed)
    }
}

impl Span {
    fn load(self) -> Result<Stretch, Failure> {
        let Span { place, file, from, to } = self;
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        file.read_at(&mut bytes, from).map_err(|error| Failure::io("read", &segment_file(place.segment), error))?;
        Ok(Stretch { place, offset: from, bytes })
    }
}

impl Stretch {
    fn damage(&self, offset: u64, what: &str) -> Damage {
        Damage { file: segment_file(self.place.segment), offset, what: what.to_owned() }
    }

    fn damaged(&self, what: &str) -> Failure {
        self.damage(self.offset, what).into()
    }

    fn missing(&self) -> Failure {
        self.damaged("a record that belongs here is missing")
    }

    /// Each frame: its offset, its header, its body.
    fn frames(&self) -> impl Iterator<Item = Result<(u64, Header, &[u8]), Failure>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.bytes.len() {
                return None;
            }
            let offset = self.offset + at as u64;
            let header = Header::decode(&self.bytes[at..], self.place);
            let body = header.and_then(|header| {
                let body = self.bytes.get(at + HEADER..at + HEADER + header.length as usize)?;
                Some((header, body))
            });
            let Some((header, body)) = body else {
                at = self.bytes.len();
                return Some(Err(self.damage(offset, "a frame's checksum does not match").into()));
            };
            at += header.frame_length();
            Some(Ok((offset, header, body)))
        })
    }
}
