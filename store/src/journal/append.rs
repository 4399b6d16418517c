//! Sequencing: versions, places and chains, in memory, and the frames that the next commit writes.

use super::files::Files;
use super::footer::{SEGMENT_HEADER, segment_header};
use super::frame::{HEADER, Header, Kind, Place, Stamp, batch_length, decode_batch, encode_batch};
use super::manifest::{Closed, Segment, segment_file};
use super::spare::SPARE;
use super::view::{Reader, SegmentView};
use crate::disk::{Disk, DiskFile};
use crate::error::{Conflict, Failure};
use crate::record::{Chain, GENESIS, Head, Lsn, NewRecord, Record, StreamId, StreamMap, TOMBSTONE, link};
use std::sync::Arc;

/// The open segment and what is to be written to it.
pub(crate) struct Appender {
    pub(crate) place: Place,
    pub(crate) opening: u32,
    pub(crate) seed: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How long the open segment's file is.
    pub(crate) bytes: u64,
    /// Place of the next record.
    pub(crate) next: Lsn,
    /// Where in the file the buffer will be written.
    pub(crate) offset: u64,
    /// Everything before this was synced.
    pub(crate) synced: u64,
    /// Frames of the next commit.
    pub(crate) buffer: Vec<u8>,
    /// What those frames do to their streams, in order.
    pub(crate) heads: Vec<(StreamId, Head)>,
    /// First record of each of those batches, and where its frame stands in the buffer.
    pub(crate) batches: Vec<(Lsn, usize)>,
    /// The manifest may say already that the open segment is closed; nothing else may be written to it.
    pub(crate) closing: bool,
    /// Whether the last durable frame is a seal.
    pub(crate) sealed: bool,
    /// Ends of streams that were appended to in the open segment, or are not durable yet.
    pub(crate) tips: StreamMap<Tip>,
    /// Of the batch that is being sequenced: what the log adds to its records, and the ends of streams as they were.
    stamps: Vec<Stamp>,
    before: Vec<(StreamId, Option<Tip>)>,
    /// From taking the buffer until what was in it is visible.
    pub(crate) writing: bool,
    pub(crate) poisoned: Option<String>,
}

/// Where the open segment ends.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// Place of the next record.
    pub(crate) next: Lsn,
    /// Where its frames end in the file.
    pub(crate) end: u64,
    /// Whether the last frame is a seal.
    pub(crate) sealed: bool,
}

/// Where a stream ends. With version 0 it does not exist, or not any more.
#[derive(Clone, Copy)]
pub(crate) struct Tip {
    head: Head,
    chain: Chain,
}

const NO_TIP: Tip = Tip { head: Head { version: crate::Version::NONE, lsn: Lsn(0) }, chain: GENESIS };

/// The frames of one commit, on their way to the disk and then to the index.
pub(crate) struct Writing {
    pub(crate) place: Place,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) heads: Vec<(StreamId, Head)>,
    pub(crate) batches: Vec<(Lsn, usize)>,
}

impl Appender {
    /// Goes on behind what an opening has found.
    pub(crate) fn new(place: Place, opening: u32, file: Arc<dyn DiskFile>, bytes: u64, found: Found) -> Appender {
        Appender {
            place,
            opening,
            seed: place.seed(opening),
            file,
            bytes,
            next: found.next,
            offset: found.end,
            synced: found.end,
            buffer: Vec::new(),
            heads: Vec::new(),
            batches: Vec::new(),
            closing: false,
            sealed: found.sealed,
            tips: StreamMap::default(),
            stamps: Vec::new(),
            before: Vec::new(),
            writing: false,
            poisoned: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &self.poisoned {
            Some(cause) => Err(Failure::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn poison(&mut self, failure: &Failure) {
        self.poisoned.get_or_insert_with(|| failure.to_string());
    }

    /// Whether `length` bytes more can go into the open segment. It never grows: bytes that are there already are
    /// synced in half the time, and a full disk cannot refuse them.
    fn has_room(&self, length: usize) -> bool {
        !self.closing && self.offset + (self.buffer.len() + length) as u64 <= self.bytes
    }

    /// Whether a batch's frame can go into the open segment and leave room for a seal behind it.
    pub(crate) fn fits(&self, length: usize) -> bool {
        self.has_room(length + HEADER)
    }

    /// Where a stream ends; the inner `None`: it does not exist any more.
    pub(crate) fn tip(&self, stream: StreamId) -> Option<Option<Head>> {
        self.tips.get(&stream).map(|tip| Some(tip.head).filter(|head| head.version.0 > 0))
    }

    /// Checks a batch and puts its frame into the buffer: all of it or nothing.
    pub(crate) fn sequence(
        &mut self,
        batch: &[NewRecord],
        reader: Reader<'_>,
    ) -> Result<Result<Lsn, Conflict>, Failure> {
        self.stamps.clear();
        self.before.clear();
        let mut at = self.next;
        for record in batch {
            let tip = match self.load_tip(record.stream, &reader) {
                Ok(tip) if tip.head.version == record.expected => tip,
                found => {
                    self.undo();
                    let (stream, expected, actual) = (record.stream, record.expected, found?.head.version);
                    return Ok(Err(Conflict { stream, expected, actual }));
                }
            };
            let version = record.expected.next();
            let chain = link(&tip.chain, record.stream, version, record.time, record.format, &record.payload);
            self.stamps.push(Stamp { previous: tip.head.lsn, chain });
            let ended = record.format == TOMBSTONE;
            let tip = if ended { NO_TIP } else { Tip { head: Head { version, lsn: at }, chain } };
            self.heads.push((record.stream, Head { version: tip.head.version, lsn: at }));
            self.before.push((record.stream, self.tips.insert(record.stream, tip)));
            at = Lsn(at.0 + 1);
        }
        self.batches.push((self.next, self.buffer.len()));
        encode_batch(&mut self.buffer, batch, &self.stamps, self.next, self.synced, self.opening, self.seed);
        self.next = at;
        Ok(Ok(Lsn(at.0 - 1)))
    }

    /// Takes back what was noted of a batch that is refused.
    fn undo(&mut self) {
        self.heads.truncate(self.heads.len() - self.before.len());
        for (stream, tip) in self.before.drain(..).rev() {
            match tip {
                Some(tip) => self.tips.insert(stream, tip),
                None => self.tips.remove(&stream),
            };
        }
    }

    fn load_tip(&self, stream: StreamId, reader: &Reader<'_>) -> Result<Tip, Failure> {
        if let Some(tip) = self.tips.get(&stream) {
            return Ok(*tip);
        }
        match reader.head(stream) {
            None => Ok(NO_TIP),
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
                opening: self.opening,
                body_crc: 0,
            };
            self.buffer.extend_from_slice(&header.encode(self.seed));
        }
        needed
    }

    /// Takes the buffer for writing. The caller holds the turn, so the commit before has ended.
    /// `empty` takes the buffer's place: one that was used before, so that it is large enough and its memory is warm.
    pub(crate) fn take(&mut self, empty: Vec<u8>) -> Result<Option<Writing>, Failure> {
        if self.writing {
            // Its thread panicked between the two: what is visible is no longer what is durable.
            self.poisoned.get_or_insert_with(|| "a commit was broken off by a panic".to_owned());
        }
        self.check()?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let mut bytes = std::mem::replace(&mut self.buffer, empty);
        let offset = self.offset;
        // When this frame was sequenced the commit before may have been under way; now it has ended.
        Header::restamp(&mut bytes, offset, self.seed);
        self.offset += bytes.len() as u64;
        self.writing = true;
        let (heads, batches) = (std::mem::take(&mut self.heads), std::mem::take(&mut self.batches));
        Ok(Some(Writing { place: self.place, file: self.file.clone(), offset, bytes, heads, batches }))
    }

    /// After a commit became durable.
    pub(crate) fn settle(&mut self, written: &Writing) {
        self.writing = false;
        self.synced = written.end();
        self.sealed = written.batches.is_empty();
        // Tips serve streams that are being written; the others can be read back.
        const KEEP: usize = 65_536;
        if self.tips.len() > KEEP && self.buffer.is_empty() {
            self.tips.clear();
        }
    }

    pub(crate) fn next_segment_bytes(&self, largest: u64) -> u64 {
        next_segment_bytes(self.bytes, largest)
    }

    /// Ends the open segment and begins the next one, in the spare file of `bytes`. The buffer is empty. The footer of the
    /// old one is written behind the commits, when its rows are known.
    ///
    /// A crash, or a full disk, between any two of these steps leaves a log that goes on in the old segment:
    /// only the manifest makes the new one count, and it comes last.
    pub(crate) fn roll(&mut self, files: &Files, bytes: u64) -> Result<SegmentView, Failure> {
        let place = Place { segment: self.place.segment + 1, generation: 0, ..self.place };
        let file = begin_segment(&*files.disk, place, self.next)?;
        self.closing = true;
        let (end, next) = (self.offset, self.next);
        files.change_manifest(|manifest| {
            if let Some(old) = manifest.segments.last_mut() {
                old.closed = Some(Closed { end, next, footer: false, cleaned: Lsn(0) });
            }
            let (id, generation) = (place.segment, place.generation);
            manifest.segments.push(Segment { id, generation, first: next, bytes, closed: None });
        })?;
        self.place = place;
        self.seed = place.seed(self.opening);
        self.file = file.clone();
        self.bytes = bytes;
        self.offset = SEGMENT_HEADER as u64;
        self.synced = self.offset;
        self.closing = false;
        self.sealed = true;
        Ok(SegmentView::open(place, next, file))
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
    let misused = |record: &&NewRecord| record.format == TOMBSTONE && record.expected == crate::Version::NONE;
    if let Some(tombstone) = batch.iter().find(misused) {
        return Err(Failure::Tombstone(tombstone.stream));
    }
    let size = batch_length(batch);
    if size > limit {
        return Err(Failure::TooLarge { size, limit });
    }
    Ok(size)
}

/// Turns the spare into the segment file of `place`.
pub(crate) fn begin_segment(disk: &dyn Disk, place: Place, first: Lsn) -> Result<Arc<dyn DiskFile>, Failure> {
    let name = segment_file(place.segment, place.generation);
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
    /// Where its frames end in the file.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Its records, read as recovery would read them from the disk.
    pub(crate) fn records(&self) -> Option<Vec<Record>> {
        let mut records = Vec::with_capacity(self.heads.len());
        let mut rest = &self.bytes[..];
        while !rest.is_empty() {
            let header = Header::decode(rest, self.place)?;
            let body = rest.get(HEADER..HEADER + header.length as usize)?;
            if header.kind == Kind::Batch {
                records.extend(decode_batch(&header, body, self.place)?.into_iter().map(|stored| stored.record));
            }
            rest = rest.get(header.frame_length()..)?;
        }
        Some(records)
    }

    /// Writes the bytes and makes them durable.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let result = self.file.write_at(&self.bytes, self.offset).and_then(|()| self.file.sync_data());
        result.map_err(|error| {
            // After a failed sync the operating system shows what is not on the disk, and takes it for clean: the next
            // opening would believe it. So it is taken back. If that fails too, nothing is worse than before.
            let _ = self.file.write_at(&vec![0; self.bytes.len()], self.offset);
            Failure::io("write", &segment_file(self.place.segment, self.place.generation), error)
        })
    }
}
