//! The durable log as readers see it.

use super::append::Writing;
use super::footer::{Mark, SEGMENT_HEADER, mark};
use super::frame::{HEADER, Header, Kind, Place, Stored, decode_batch, decode_record, record_offsets};
use super::manifest::segment_file;
use crate::Feed;
use crate::disk::DiskFile;
use crate::error::{Damage, Failure};
use crate::record::{Head, Lsn, Record, Shard, StreamId, StreamMap, Version};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Everything durable: where each segment's records are, and where each stream stands.
#[derive(Default)]
pub(crate) struct View {
    /// Segments of which something is left, oldest first; the last one is open.
    pub(crate) segments: Vec<SegmentView>,
    /// Every stream of the store, finished ones too: it alone answers "does this stream exist?".
    pub(crate) directory: StreamMap<Head>,
    /// Streams that have a tombstone in the log, and where the last one stands: their records before that are dead.
    pub(crate) graves: StreamMap<Lsn>,
    pub(crate) durable: Lsn,
    /// Up to here something later in the log says that it was durable, so that damage can never pass for a torn write.
    pub(crate) vouched: Lsn,
    /// Tombstones up to there whose streams have another one behind it.
    pub(crate) replaced: Vec<(StreamId, Lsn)>,
}

pub(crate) struct SegmentView {
    pub(crate) place: Place,
    pub(crate) first: Lsn,
    /// The first place behind it; of the open one it is not known.
    pub(crate) next: Option<Lsn>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) marks: Vec<Mark>,
    /// Where the durable frames end.
    pub(crate) end: u64,
}

impl SegmentView {
    /// A segment that was just begun.
    pub(crate) fn open(place: Place, first: Lsn, file: Arc<dyn DiskFile>) -> SegmentView {
        SegmentView { place, first, next: None, file, marks: Vec::new(), end: SEGMENT_HEADER as u64 }
    }

    /// Whether places may be missing in it: those of records that were cleaned away.
    fn is_sparse(&self) -> bool {
        self.place.generation > 0
    }
}

/// Where a stretch of frames stands: from a mark to the next one, or to the end of what is durable.
pub(crate) struct Span {
    place: Place,
    file: Arc<dyn DiskFile>,
    from: u64,
    to: u64,
    /// The first place behind it.
    next: Lsn,
    sparse: bool,
}

/// A stretch of a segment's frames, read from the disk.
pub(crate) struct Stretch {
    place: Place,
    offset: u64,
    bytes: Vec<u8>,
}

impl View {
    /// The stretch in which the record at `lsn` stands, or would stand; `Err`: the first place from there on that has one.
    fn span(&self, lsn: Lsn) -> Result<Span, Lsn> {
        let beyond = Lsn(self.durable.0 + 1);
        let behind = self.segments.partition_point(|segment| segment.first <= lsn);
        let following = self.segments.get(behind).map_or(beyond, |segment| segment.first);
        let segment = behind.checked_sub(1).map(|index| &self.segments[index]).ok_or(following)?;
        let next = segment.next.unwrap_or(beyond);
        if lsn >= next {
            return Err(following);
        }
        let behind = segment.marks.partition_point(|mark| mark.first <= lsn);
        let stop = segment.marks.get(behind);
        let (to, next) = stop.map_or((segment.end, next), |mark| (mark.offset, mark.first));
        let from = match behind.checked_sub(1) {
            Some(index) => segment.marks[index].offset,
            None if segment.is_sparse() => return Err(next),
            None => SEGMENT_HEADER as u64,
        };
        Ok(Span { place: segment.place, file: segment.file.clone(), from, to, next, sparse: segment.is_sparse() })
    }

    /// Shows what a commit has made durable.
    pub(crate) fn publish(&mut self, written: &Writing) {
        // Its first frame says that everything before it was durable. A seal has nothing else to say.
        self.vouch();
        for (stream, head) in &written.heads {
            self.note(*stream, *head);
        }
        if let Some((_, last)) = written.heads.last() {
            self.durable = last.lsn;
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.end = written.end();
            for (first, at) in &written.batches {
                mark(&mut segment.marks, *first, written.offset + *at as u64);
            }
        }
    }

    /// Shows a new segment: the one before is closed.
    pub(crate) fn begin(&mut self, segment: SegmentView) {
        if let Some(last) = self.segments.last_mut() {
            last.next = Some(segment.first);
        }
        self.vouch();
        self.segments.push(segment);
    }

    /// Shows a segment as it was rewritten, or no more.
    pub(crate) fn replace(&mut self, id: u64, rewritten: Option<SegmentView>) {
        let Some(at) = self.segments.iter().position(|segment| segment.place.segment == id) else { return };
        match rewritten {
            Some(segment) => self.segments[at] = segment,
            None => drop(self.segments.remove(at)),
        }
    }

    /// Something that was written later says that all of it was durable.
    pub(crate) fn vouch(&mut self) {
        self.vouched = self.durable;
        self.replaced.clear();
    }

    /// Notes a tombstone.
    pub(crate) fn bury(&mut self, stream: StreamId, lsn: Lsn) {
        if let Some(before) = self.graves.insert(stream, lsn)
            && before <= self.vouched
        {
            self.replaced.push((stream, before));
        }
    }

    /// Notes a stream's last record; with version 0 that is a tombstone.
    pub(crate) fn note(&mut self, stream: StreamId, head: Head) {
        if head.version == Version::NONE {
            self.directory.remove(&stream);
            self.bury(stream, head.lsn);
        } else {
            self.directory.insert(stream, head);
        }
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

    /// The marks of a segment.
    pub(crate) fn marks(&self, id: u64) -> Vec<Mark> {
        let view = self.view();
        view.segments.iter().find(|segment| segment.place.segment == id).map_or(Vec::new(), |found| found.marks.clone())
    }

    /// The stretch around a record, which must be durable.
    fn stretch(&self, lsn: Lsn) -> Result<Stretch, Failure> {
        let span = self.view().span(lsn);
        span.map_err(|_| Failure::NoSuchRecord(lsn))?.load()
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
                let Some(index) = lsn.0.checked_sub(header.first.0) else { break };
                let offset = offsets.get(index as usize);
                let seed = stretch.place.seed(header.opening);
                let stored = offset.and_then(|offset| decode_record(&body[*offset..], lsn, seed));
                return Ok(stored.ok_or_else(|| stretch.damage(at, "a record's checksum does not match"))?);
            }
        }
        Err(stretch.missing())
    }

    /// Durable records of a stream, oldest first. Walks back from its head.
    pub(crate) fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        loop {
            let head = self.head(stream);
            let read = head.map_or(Ok(Vec::new()), |head| self.walk(stream, head, from, limit));
            // Where it fails it may have been deleted and cleaned away meanwhile, and may live again.
            if read.is_ok() || self.head(stream) == head {
                return read;
            }
        }
    }

    fn walk(&self, stream: StreamId, head: Head, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let Head { mut version, lsn: mut at } = head;
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
        while feed.records.len() < limit {
            let (durable, span) = {
                let view = self.view();
                (view.durable, view.span(Lsn(feed.cursor.0 + 1)))
            };
            if feed.cursor >= durable {
                break;
            }
            match span {
                // Nothing is left between here and there.
                Err(next) => feed.cursor = Lsn(next.0 - 1),
                Ok(span) => {
                    let (next, sparse) = (span.next, span.sparse);
                    let stretch = span.load()?;
                    if !stretch.feed(&mut feed, limit, |record| record.stream.shard(shards) == shard, sparse)? {
                        return Ok(feed);
                    }
                    if feed.cursor.0 + 1 != next.0 && !sparse {
                        return Err(stretch.missing());
                    }
                    feed.cursor = Lsn(next.0 - 1);
                }
            }
        }
        Ok(feed)
    }

    /// All records of a segment behind `after`, stretch by stretch, in commit order.
    pub(crate) fn stretches(
        &self,
        id: u64,
        after: Lsn,
        mut visit: impl FnMut(Vec<Stored>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut at = Lsn(after.0 + 1);
        loop {
            let span = {
                let view = self.view();
                let Some(segment) = view.segments.iter().find(|segment| segment.place.segment == id) else {
                    return Ok(());
                };
                at = at.max(segment.first);
                let inside = at <= view.durable && segment.next.is_none_or(|next| at < next);
                if inside { view.span(at) } else { return Ok(()) }
            };
            match span {
                Err(next) => at = next,
                Ok(span) => {
                    let next = span.next;
                    let mut records = span.load()?.records()?;
                    records.retain(|stored| stored.record.lsn >= at);
                    visit(records)?;
                    at = next;
                }
            }
        }
    }
}

impl Span {
    fn load(self) -> Result<Stretch, Failure> {
        let Span { place, file, from, to, .. } = self;
        let mut bytes = vec![0; to.saturating_sub(from) as usize];
        let name = segment_file(place.segment, place.generation);
        file.read_at(&mut bytes, from).map_err(|error| Failure::io("read", &name, error))?;
        Ok(Stretch { place, offset: from, bytes })
    }
}

impl Stretch {
    fn damage(&self, offset: u64, what: &str) -> Damage {
        Damage { file: segment_file(self.place.segment, self.place.generation), offset, what: what.to_owned() }
    }

    fn damaged(&self, what: &str) -> Failure {
        self.damage(self.offset, what).into()
    }

    fn missing(&self) -> Failure {
        self.damaged("a record that belongs here is missing")
    }

    /// All records.
    fn records(&self) -> Result<Vec<Stored>, Failure> {
        let mut records = Vec::new();
        for frame in self.frames() {
            let (at, header, body) = frame?;
            if header.kind == Kind::Batch {
                let stored = decode_batch(&header, body, self.place);
                records.extend(stored.ok_or_else(|| self.damage(at, "a record's checksum does not match"))?);
            }
        }
        Ok(records)
    }

    /// Takes the records behind the feed's cursor that are wanted; `false`: the limit is reached.
    fn feed(
        &self,
        feed: &mut Feed,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
        sparse: bool,
    ) -> Result<bool, Failure> {
        for Stored { record, .. } in self.records()? {
            if record.lsn <= feed.cursor {
                continue;
            }
            if record.lsn.0 != feed.cursor.0 + 1 && !sparse {
                return Err(self.missing());
            }
            if feed.records.len() == limit {
                return Ok(false);
            }
            feed.cursor = record.lsn;
            if wanted(&record) {
                feed.records.push(record);
            }
        }
        Ok(true)
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
