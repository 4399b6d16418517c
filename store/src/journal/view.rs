//! The durable log as readers see it.

use super::footer::Mark;
use super::frame::{HEADER, Header, Kind, Place, Stored, decode_batch, decode_record, record_offsets};
use crate::disk::DiskFile;
use crate::error::{Damage, Failure};
use crate::record::{Head, Lsn, Record, Shard, StreamId, Version};
use crate::{Feed, journal::manifest::segment_file};
use std::collections::HashMap;
use std::sync::Arc;

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

/// A stretch of a segment's frames, read from the disk.
struct Stretch<'a> {
    segment: &'a SegmentView,
    offset: u64,
    bytes: Vec<u8>,
}

impl View {
    /// The record at `lsn`, which must be durable.
    pub(crate) fn record(&self, lsn: Lsn) -> Result<Stored, Failure> {
        if lsn > self.durable {
            return Err(Failure::NoSuchRecord(lsn));
        }
        let (segment, mark) = self.find(lsn).ok_or(Failure::NoSuchRecord(lsn))?;
        let stretch = segment.stretch(mark)?;
        for frame in stretch.frames() {
            let (at, header, body) = frame?;
            if header.kind == Kind::Batch && lsn.0 < header.first.0 + u64::from(header.records) {
                let index = (lsn.0 - header.first.0) as usize;
                let offsets = record_offsets(&header, body).unwrap_or_default();
                let seed = segment.place.seed(header.opening);
                let stored = offsets.get(index).and_then(|offset| decode_record(&body[*offset..], lsn, seed));
                return Ok(stored.ok_or_else(|| segment.damage(at, "a record's checksum does not match"))?);
            }
        }
        Err(segment.damage(stretch.offset, "a record that belongs here is missing").into())
    }

    /// Durable records of a stream, oldest first. Walks back from its head.
    pub(crate) fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let Some(mut at) = self.directory.get(&stream).map(|head| head.lsn) else { return Ok(records) };
        let from = from.max(Version(1));
        while at.0 > 0 {
            let Stored { record, previous } = self.record(at)?;
            if record.stream != stream || previous >= at {
                return Err(self.wrong_link(at));
            }
            let version = record.version;
            if version < from {
                break;
            }
            records.push(record);
            if version == from {
                break;
            }
            at = previous;
        }
        records.reverse();
        records.truncate(limit);
        Ok(records)
    }

    /// Durable records of a shard behind `after`, in commit order.
    pub(crate) fn follow(&self, shard: Shard, shards: u16, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        let mut feed = Feed { records: Vec::new(), cursor: after };
        while feed.cursor < self.durable && feed.records.len() < limit {
            let Some((segment, mark)) = self.find(Lsn(feed.cursor.0 + 1)) else { break };
            let stretch = segment.stretch(mark)?;
            let before = feed.cursor;
            for frame in stretch.frames() {
                let (at, header, body) = frame?;
                if header.kind != Kind::Batch || header.first.0 + u64::from(header.records) <= feed.cursor.0 + 1 {
                    continue;
                }
                let stored = decode_batch(&header, body, segment.place)
                    .ok_or_else(|| segment.damage(at, "a record's checksum does not match"))?;
                for Stored { record, .. } in stored {
                    if record.lsn <= feed.cursor {
                        continue;
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
                return Err(segment.damage(stretch.offset, "a record that belongs here is missing").into());
            }
        }
        Ok(feed)
    }

    fn find(&self, lsn: Lsn) -> Option<(&SegmentView, usize)> {
        let segment = self.segments.partition_point(|segment| segment.first <= lsn).checked_sub(1)?;
        let segment = &self.segments[segment];
        let mark = segment.marks.partition_point(|mark| mark.first <= lsn).checked_sub(1)?;
        Some((segment, mark))
    }

    fn wrong_link(&self, lsn: Lsn) -> Failure {
        match self.find(lsn) {
            Some((segment, mark)) => segment
                .damage(segment.marks[mark].offset, "a record belongs to another stream than its successor")
                .into(),
            None => Failure::NoSuchRecord(lsn),
        }
    }
}

impl SegmentView {
    pub(crate) fn name(&self) -> String {
        segment_file(self.place.segment)
    }

    pub(crate) fn damage(&self, offset: u64, what: &str) -> Damage {
        Damage { file: self.name(), offset, what: what.to_owned() }
    }

    fn stretch(&self, mark: usize) -> Result<Stretch<'_>, Failure> {
        let offset = self.marks[mark].offset;
        let end = self.marks.get(mark + 1).map_or(self.end, |next| next.offset);
        let mut bytes = vec![0; (end - offset) as usize];
        self.file.read_at(&mut bytes, offset).map_err(|error| Failure::io("read", &self.name(), error))?;
        Ok(Stretch { segment: self, offset, bytes })
    }
}

impl Stretch<'_> {
    /// Each frame: its offset, its header, its body.
    fn frames(&self) -> impl Iterator<Item = Result<(u64, Header, &[u8]), Failure>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.bytes.len() {
                return None;
            }
            let offset = self.offset + at as u64;
            let header = Header::decode(&self.bytes[at..], self.segment.place);
            let body = header.and_then(|header| {
                let body = self.bytes.get(at + HEADER..at + HEADER + header.length as usize)?;
                Some((header, body))
            });
            let Some((header, body)) = body else {
                at = self.bytes.len();
                return Some(Err(self.segment.damage(offset, "a frame's checksum does not match").into()));
            };
            at += header.frame_length();
            Some(Ok((offset, header, body)))
        })
    }
}
