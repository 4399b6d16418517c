//! Sequencing: versions, places and chains, in memory, and the frames that the next commit writes.

use super::footer::{Footer, ROWS_UNKNOWN, SEGMENT_HEADER, Stand, segment_header};
use super::frame::{HEADER, Header, Kind, Place, Stamp, batch_length, decode_batch, encode_batch, padded};
use super::manifest::{Closed, Manifest, Segment, segment_file};
use super::spare::SPARE;
use super::view::{Reader, SegmentView};
use crate::disk::{Disk, DiskFile};
use crate::error::{Conflict, Failure};
use crate::index::Row;
use crate::record::{Chain, GENESIS, Head, Lsn, NewRecord, Record, StreamId, link};
use std::collections::HashMap;
use std::sync::Arc;

/// The open segment and what is to be written to it.
pub(crate) struct Appender {
    pub(crate) manifest: Manifest,
    pub(crate) place: Place,
    pub(crate) seed: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Place of the next record.
    pub(crate) next: Lsn,
    /// Where in the file the buffer will be written.
    pub(crate) offset: u64,
    /// Everything before this was synced.
    pub(crate) synced: u64,
    /// Frames of the next commit.
    pub(crate) buffer: Vec<u8>,
    /// A footer may stand at `offset` already; nothing else may be written there.
    pub(crate) closing: bool,
    /// Whether the last durable frame is a seal.
    pub(crate) sealed: bool,
    /// What the open segment's footer will say.
    pub(crate) footer: Footer,
    /// Ends of streams that were appended to in the open segment, or are not durable yet.
    pub(crate) tips: HashMap<StreamId, Tip>,
    /// From taking the buffer until what was in it is visible.
    pub(crate) writing: bool,
    pub(crate) poisoned: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) struct Tip {
    head: Head,
    chain: Chain,
}

/// The bytes of one commit, on their way to the disk.
pub(crate) struct Writing {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    place: Place,
}

/// What a commit made durable.
pub(crate) struct Written {
    pub(crate) records: Vec<Record>,
    /// First record and offset of each batch.
    pub(crate) batches: Vec<(Lsn, u64)>,
    pub(crate) end: u64,
}

impl Appender {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &self.poisoned {
            Some(cause) => Err(Failure::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn poison(&mut self, failure: &Failure) {
        self.poisoned.get_or_insert_with(|| failure.to_string());
    }

    fn segment(&self) -> &Segment {
        // The manifest of an open store always ends with its open segment.
        &self.manifest.segments[self.manifest.segments.len() - 1]
    }

    /// Whether `length` bytes more can go into the open segment. It never grows: bytes that are there already are
    /// synced in half the time, and a full disk cannot refuse them.
    fn has_room(&self, length: usize) -> bool {
        !self.closing && self.offset + (self.buffer.len() + length) as u64 <= self.segment().bytes
    }

    /// Whether a batch's frame can go into the open segment and leave room for a seal behind it.
    pub(crate) fn fits(&self, length: usize) -> bool {
        self.has_room(length + HEADER)
    }

    pub(crate) fn tip(&self, stream: StreamId) -> Option<Head> {
        self.tips.get(&stream).map(|tip| tip.head)
    }

    pub(crate) fn row(&self, stream: StreamId) -> Option<Row> {
        self.footer.stands.get(&stream).map(|stand| stand.row.clone())
    }

    /// Notes how streams stand after records whose rows cannot be known, because the index does not answer.
    pub(crate) fn stand_without_rows(&mut self, records: &[Record]) {
        self.footer.fold = ROWS_UNKNOWN;
        for Record { stream, version, lsn, .. } in records {
            let head = Head { version: *version, lsn: *lsn };
            self.footer.stands.insert(*stream, Stand { head, row: Row::from([]) });
        }
    }

    /// Checks a batch and puts its frame into the buffer: all of it or nothing.
    pub(crate) fn sequence(
        &mut self,
        batch: &[NewRecord],
        reader: Reader<'_>,
    ) -> Result<Result<Lsn, Conflict>, Failure> {
        let mut stamps = Vec::with_capacity(batch.len());
        let mut tips: HashMap<StreamId, Tip> = HashMap::with_capacity(batch.len());
        let mut at = self.next;
        for record in batch {
            let tip = match tips.get(&record.stream) {
                Some(tip) => *tip,
                None => self.load_tip(record.stream, &reader)?,
            };
            if tip.head.version != record.expected {
                let (stream, expected, actual) = (record.stream, record.expected, tip.head.version);
                return Ok(Err(Conflict { stream, expected, actual }));
            }
            let version = record.expected.next();
            let chain = link(&tip.chain, record.stream, version, record.time, record.format, &record.payload);
            stamps.push(Stamp { previous: tip.head.lsn, chain });
            tips.insert(record.stream, Tip { head: Head { version, lsn: at }, chain });
            at = Lsn(at.0 + 1);
        }
        encode_batch(&mut self.buffer, batch, &stamps, self.next, self.synced, self.manifest.opening, self.seed);
        self.tips.extend(tips);
        self.next = at;
        Ok(Ok(Lsn(at.0 - 1)))
    }

    fn load_tip(&self, stream: StreamId, reader: &Reader<'_>) -> Result<Tip, Failure> {
        if let Some(tip) = self.tips.get(&stream) {
            return Ok(*tip);
        }
        match reader.head(stream) {
            None => Ok(Tip { head: Head::default(), chain: GENESIS }),
            Some(head) => Ok(Tip { head, chain: reader.record(head.lsn)?.record.chain }),
        }
    }

    /// Puts a seal into the buffer, unless the log ends with one. The caller has flushed.
    pub(crate) fn seal(&mut self) -> bool {
        let needed = !self.sealed && self.buffer.is_empty() && self.poisoned.is_none() && self.has_room(HEADER);
        if needed {
            let header = Header {
                kind: Kind::Seal,
                length: 0,
                first: self.next,
                synced: self.synced,
                records: 0,
                opening: self.manifest.opening,
                body_crc: 0,
            };
            self.buffer.extend_from_slice(&header.encode(self.seed));
        }
        needed
    }

    /// Takes the buffer for writing. The caller holds the turn, so the commit before has ended.
    pub(crate) fn take(&mut self) -> Result<Option<Writing>, Failure> {
        if self.writing {
            // Its thread panicked between the two: what is visible is no longer what is durable.
            self.poisoned.get_or_insert_with(|| "a commit was broken off by a panic".to_owned());
        }
        self.check()?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let capacity = self.buffer.capacity().min(1 << 20);
        let mut bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity));
        let offset = self.offset;
        // When this frame was sequenced the commit before may have been under way; now it has ended.
        Header::restamp(&mut bytes, offset, self.seed);
        self.offset += bytes.len() as u64;
        self.writing = true;
        let name = segment_file(self.place.segment);
        Ok(Some(Writing { file: self.file.clone(), name, offset, bytes, place: self.place }))
    }

    /// After a commit became durable up to `end`.
    pub(crate) fn settle(&mut self, records: &[Record], end: u64) {
        self.writing = false;
        self.synced = end;
        self.sealed = records.is_empty();
        // Tips serve streams that are being written; the others can be read back.
        const KEEP: usize = 65_536;
        if self.tips.len() > KEEP && self.buffer.is_empty() {
            self.tips.clear();
        }
    }

    pub(crate) fn next_segment_bytes(&self, largest: u64) -> u64 {
        next_segment_bytes(self.segment().bytes, largest)
    }

    /// Ends the open segment and begins the next one, in the spare file of `bytes`. The buffer is empty.
    ///
    /// A crash, or a full disk, between any two of these steps leaves a log that goes on in the old segment:
    /// only the manifest makes the new one count, and it comes last.
    pub(crate) fn roll(&mut self, disk: &dyn Disk, bytes: u64) -> Result<SegmentView, Failure> {
        let old = segment_file(self.place.segment);
        self.closing = true;
        let footer = self.footer.encode(self.next, self.offset, self.manifest.opening, self.seed);
        if let Err(error) = self.file.write_at(&footer, self.offset).and_then(|()| self.file.sync_all()) {
            let failure = Failure::io("close", &old, error);
            if !failure.is_disk_full() {
                self.poison(&failure);
            }
            return Err(failure);
        }
        let place = Place { segment: self.place.segment + 1, ..self.place };
        let file = begin_segment(disk, place, self.next)?;
        let mut manifest = self.manifest.clone();
        let last = manifest.segments.len() - 1;
        manifest.segments[last].bytes = manifest.segments[last].bytes.max(self.offset + padded(footer.len()) as u64);
        manifest.segments[last].closed = Some(Closed { footer: self.offset, next: self.next });
        manifest.segments.push(Segment { id: place.segment, first: self.next, bytes, closed: None });
        manifest.write(disk)?;
        self.manifest = manifest;
        self.place = place;
        self.seed = place.seed(self.manifest.opening);
        self.file = file.clone();
        self.offset = SEGMENT_HEADER as u64;
        self.synced = self.offset;
        self.closing = false;
        self.sealed = true;
        self.footer = Footer { fold: self.footer.fold, ..Footer::default() };
        self.tips.clear();
        Ok(SegmentView { place, first: self.next, file, marks: Vec::new(), end: self.offset })
    }
}

/// Lengths in frames have 32 bits; this stays well below.
pub(crate) const LARGEST_BATCH: usize = 1 << 30;

/// How large the segment behind one of `bytes` is: twice as large, up to the largest.
pub(crate) fn next_segment_bytes(bytes: u64, largest: u64) -> u64 {
    bytes.saturating_mul(2).min(largest)
}

/// How large a segment must be that is to take a batch's frame of `length` bytes.
pub(crate) fn segment_for(length: usize) -> u64 {
    (SEGMENT_HEADER + length + HEADER) as u64
}

/// Checks what can be said of a batch without its streams, and returns the length of its frame.
pub(crate) fn check_batch(batch: &[NewRecord], shards: u16, limit: usize) -> Result<usize, Failure> {
    let first = batch.first().ok_or(Failure::Empty)?.stream;
    let shard = first.shard(shards);
    if let Some(other) = batch.iter().find(|record| record.stream.shard(shards) != shard) {
        return Err(Failure::TwoShards { first, second: other.stream });
    }
    let size = batch_length(batch);
    if size > limit {
        return Err(Failure::TooLarge { size, limit });
    }
    Ok(size)
}

/// Turns the spare into the segment file of `place`.
pub(crate) fn begin_segment(disk: &dyn Disk, place: Place, first: Lsn) -> Result<Arc<dyn DiskFile>, Failure> {
    let name = segment_file(place.segment);
    let begin = || {
        // After an earlier try that got no further the file bears its final name already.
        if disk.list()?.iter().any(|file| file == SPARE) {
            disk.rename(SPARE, &name)?;
        }
        let file = disk.open(&name)?;
        file.write_at(&segment_header(place, first), 0)?;
        file.sync_all()?;
        disk.sync_folder()?;
        Ok(file)
    };
    begin().map(Arc::from).map_err(|error| Failure::io("begin", &name, error))
}

impl Writing {
    /// Writes the bytes and makes them durable.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let result = self.file.write_at(&self.bytes, self.offset).and_then(|()| self.file.sync_data());
        result.map_err(|error| {
            // After a failed sync the operating system shows what is not on the disk, and takes it for clean: the next
            // opening would believe it. So it is taken back. If that fails too, nothing is worse than before.
            let _ = self.file.write_at(&vec![0; self.bytes.len()], self.offset);
            Failure::io("write", &self.name, error)
        })
    }

    /// Reads back from memory what was written, as recovery would from the disk.
    pub(crate) fn into_frames(self) -> Result<Written, Failure> {
        let mut written =
            Written { records: Vec::new(), batches: Vec::new(), end: self.offset + self.bytes.len() as u64 };
        let mut at = 0;
        while at < self.bytes.len() {
            let offset = self.offset + at as u64;
            let broken = || Failure::Io {
                action: "read back",
                file: self.name.clone(),
                source: Arc::new(std::io::ErrorKind::InvalidData.into()),
            };
            let header = Header::decode(&self.bytes[at..], self.place).ok_or_else(broken)?;
            let body = self.bytes.get(at + HEADER..at + HEADER + header.length as usize).ok_or_else(broken)?;
            if header.kind == Kind::Batch {
                let stored = decode_batch(&header, body, self.place).ok_or_else(broken)?;
                written.batches.push((header.first, offset));
                written.records.extend(stored.into_iter().map(|stored| stored.record));
            }
            at += header.frame_length();
        }
        Ok(written)
    }
}
