//! Writing a segment again without some of its records, under the same places.

use super::files::Files;
use super::footer::{Footer, Mark, ROWS_UNKNOWN, Standing, With, mark, segment_header};
use super::frame::{Place, Stamp, Stored, encode_batch};
use super::manifest::{Closed, Segment};
use super::view::SegmentView;
use crate::disk::DiskFile;
use crate::error::{Damage, Failure};
use crate::record::{Head, Lsn, NewRecord, Record, Version};
use std::io;
use std::sync::Arc;

/// How much is written at a time.
const PIECE: usize = 1 << 20;

/// What became of it.
pub(super) enum Rewritten {
    /// The new file is synced; nothing names it yet.
    File(Segment, SegmentView),
    /// Nothing is left.
    Nothing,
    /// It was asked to stop.
    Stopped,
}

/// Writes the records of a closed segment that `keeps` says to keep into the segment's next file.
pub(super) fn rewrite(
    files: &Files,
    segment: &Segment,
    footer: &Footer,
    cleaned: Lsn,
    keeps: impl FnMut(&Stored) -> bool,
    pace: &dyn Fn() -> bool,
) -> Result<Rewritten, Failure> {
    let Some(closed) = segment.closed else { return Ok(Rewritten::Stopped) };
    let next = Segment { generation: segment.generation + 1, ..*segment };
    let result = copy(files, segment, &next, footer, keeps, pace).and_then(|out| match out {
        Some(out) if out.standing.stands.is_empty() => Ok(Rewritten::Nothing),
        Some(out) => out.end(files, segment, closed, cleaned),
        None => Ok(Rewritten::Stopped),
    });
    if !matches!(result, Ok(Rewritten::File(..))) {
        // Half a file would only fill the disk. What cannot be removed goes at the next opening.
        let _ = files.disk.remove(&next.file());
    }
    result
}

/// Copies what is kept; `None`: it was asked to stop.
fn copy(
    files: &Files,
    segment: &Segment,
    next: &Segment,
    footer: &Footer,
    mut keeps: impl FnMut(&Stored) -> bool,
    pace: &dyn Fn() -> bool,
) -> Result<Option<Out>, Failure> {
    let mut out = Out::begin(files, next)?;
    let (mut stopped, mut read, mut last) = (false, 0, Lsn(0));
    files.reader().stretches(segment.id, Lsn(segment.first.0 - 1), |mut stored| {
        read += stored.len() as u64;
        let in_order = stored.iter().all(|stored| std::mem::replace(&mut last, stored.record.lsn) < stored.record.lsn);
        if !in_order {
            return Err(disorder(segment));
        }
        stored.retain(|stored| !stopped && keeps(stored));
        out.take(stored)?;
        if out.pending.len() >= PIECE {
            out.write()?;
            stopped = stopped || !pace();
        }
        Ok(())
    })?;
    // The old file goes, so this is the last chance to see that it is not what was written.
    if read != footer.records {
        return Err(disorder(segment));
    }
    Ok((!stopped).then_some(out))
}

fn disorder(segment: &Segment) -> Failure {
    let what = "its records are not those that its footer counts".to_owned();
    Damage { file: segment.file(), offset: 0, what }.into()
}

/// The new file.
struct Out {
    file: Arc<dyn DiskFile>,
    segment: Segment,
    place: Place,
    opening: u32,
    pending: Vec<u8>,
    /// Where the pending bytes will stand.
    offset: u64,
    standing: Standing,
    marks: Vec<Mark>,
}

impl Out {
    fn begin(files: &Files, segment: &Segment) -> Result<Out, Failure> {
        let place = segment.place(files.store);
        let create = || files.disk.create(&segment.file());
        let file = create().map_err(|error| Failure::io("create", &segment.file(), error))?;
        Ok(Out {
            file: Arc::from(file),
            segment: *segment,
            place,
            opening: files.opening,
            pending: segment_header(place, segment.first).to_vec(),
            offset: 0,
            standing: Standing::default(),
            marks: Vec::new(),
        })
    }

    /// Takes records: those with neighbouring places share a frame.
    fn take(&mut self, stored: Vec<Stored>) -> Result<(), Failure> {
        for neighbours in stored.chunk_by(|left, right| left.record.lsn.0 + 1 == right.record.lsn.0) {
            let offset = self.offset + self.pending.len() as u64;
            let first = neighbours[0].record.lsn;
            mark(&mut self.marks, first, offset);
            let records: Vec<NewRecord> = neighbours.iter().map(as_new).collect();
            let stamp = |stored: &Stored| Stamp { previous: stored.previous, chain: stored.record.chain };
            let stamps: Vec<Stamp> = neighbours.iter().map(stamp).collect();
            let seed = self.place.seed(self.opening);
            encode_batch(&mut self.pending, &records, &stamps, first, offset, self.opening, seed);
            for stored in neighbours {
                let Record { stream, version, lsn, format, .. } = stored.record;
                self.standing.note(stream, Head { version, lsn }, format, stored.record.payload.len());
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        let write = || {
            self.file.write_at(&self.pending, self.offset)?;
            // Now and then, so that a commit beside it never waits for all of it.
            self.file.sync_data()
        };
        write().map_err(|error| self.failed(error))?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Adds the footer, with the rows of the old one, and syncs everything.
    fn end(mut self, files: &Files, old: &Segment, closed: Closed, cleaned: Lsn) -> Result<Rewritten, Failure> {
        self.write()?;
        let before = files.read_footer(old, With::Rows)?;
        let fold = before.as_ref().map_or(ROWS_UNKNOWN, |footer| footer.fold);
        for (stream, stand) in before.into_iter().flat_map(|footer| footer.stands) {
            if let Some(kept) = self.standing.stands.get_mut(&stream) {
                kept.row = stand.row;
            }
        }
        let marks = self.marks.clone();
        let footer = std::mem::take(&mut self.standing).into_footer(fold, marks.clone());
        let end = self.offset;
        self.pending = footer.encode(closed.next, end, self.opening, self.place.seed(self.opening));
        self.write()?;
        let sync = || self.file.sync_all().and_then(|()| files.disk.sync_folder());
        sync().map_err(|error| self.failed(error))?;
        let closed = Closed { end, cleaned, footer: true, ..closed };
        let segment = Segment { bytes: self.offset, closed: Some(closed), ..self.segment };
        let (first, next) = (segment.first, Some(closed.next));
        Ok(Rewritten::File(segment, SegmentView { place: self.place, first, next, file: self.file, marks, end }))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::io("rewrite", &self.segment.file(), error)
    }
}

fn as_new(stored: &Stored) -> NewRecord {
    let record = &stored.record;
    NewRecord {
        stream: record.stream,
        expected: Version(record.version.0 - 1),
        time: record.time,
        format: record.format,
        payload: record.payload.clone(),
    }
}
