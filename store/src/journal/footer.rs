//! The two ends of a segment file: its header, and the footer of a closed one.

use super::frame::{HEADER, Header, Kind, Place, RECORD_HEADER, padded};
use super::manifest::{Closed, Segment};
use crate::bytes::{Put, Take};
use crate::disk::DiskFile;
use crate::error::{Damage, Failure};
use crate::index::Row;
use crate::record::{Head, Lsn, StreamId, StreamMap, TOMBSTONE, Version};

/// Where the frames of a segment begin.
pub(crate) const SEGMENT_HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"REJOINSG";
/// The version of a segment's header. Its layout is that of format version 1, which had zeros for the generation.
const HEADER_VERSION: u32 = 1;

/// The header of a segment file.
pub(crate) fn segment_header(place: Place, first: Lsn) -> [u8; SEGMENT_HEADER] {
    let mut out = Vec::with_capacity(SEGMENT_HEADER);
    out.put(&MAGIC);
    out.put_u32(HEADER_VERSION);
    out.put_u32(0);
    out.put(&place.store);
    out.put_u64(place.segment);
    out.put_u64(first.0);
    out.put_u32(place.generation);
    out.resize(SEGMENT_HEADER, 0);
    let crc = crc32c::crc32c(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    let mut header = [0; SEGMENT_HEADER];
    header.copy_from_slice(&out);
    header
}

/// One frame of a segment whose offset is known; frames between two marks are found by walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) first: Lsn,
    pub(crate) offset: u64,
}

/// The least distance of two marks in bytes: what a read of one record may have to walk over.
pub(crate) const MARK_DISTANCE: u64 = 16 * 1024;

/// Notes a frame, if it is far enough from the last one that was noted.
pub(crate) fn mark(marks: &mut Vec<Mark>, first: Lsn, offset: u64) {
    if marks.last().is_none_or(|last| offset - last.offset >= MARK_DISTANCE) {
        marks.push(Mark { first, offset });
    }
}

/// How a stream stands after a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Its last record; that may be a tombstone, see [`Footer::graves`].
    pub(crate) head: Head,
    /// How many bytes its records have in the segment.
    pub(crate) bytes: u64,
    /// Its row, if the footer knows it; otherwise it is made from the records.
    pub(crate) row: Option<Row>,
}

/// In place of the fold's version: the rows of this footer are not known, because the index that they build on had
/// failed, or because the segment was closed by a process that did not live to write its footer.
pub(crate) const ROWS_UNKNOWN: u32 = u32::MAX;

/// In place of a row's length: it is not known.
const NO_ROW: u32 = u32::MAX;

/// What a footer says of its segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Version of the fold that made the rows, or [`ROWS_UNKNOWN`].
    pub(crate) fold: u32,
    /// How many records the segment has.
    pub(crate) records: u64,
    pub(crate) marks: Vec<Mark>,
    /// Every stream that has a record in the segment, in order.
    pub(crate) stands: Vec<(StreamId, Stand)>,
    /// Streams that have a tombstone in the segment, in order.
    pub(crate) graves: Vec<(StreamId, Grave)>,
}

/// A stream's last tombstone in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) lsn: Lsn,
    /// How many bytes the tombstone itself has.
    pub(crate) own: u64,
    /// How many bytes the stream's records before it have in the segment.
    pub(crate) before: u64,
}

/// What a footer says of streams, gathered record by record.
#[derive(Default)]
pub(crate) struct Standing {
    pub(crate) stands: StreamMap<Stand>,
    graves: StreamMap<Grave>,
    records: u64,
}

impl Standing {
    /// Takes the next record, which has so many bytes of payload; `true` if it is the first one of its stream.
    pub(crate) fn note(&mut self, stream: StreamId, head: Head, format: u16, payload: usize) -> bool {
        let known = self.stands.len();
        let stand = self.stands.entry(stream).or_insert(Stand { head, bytes: 0, row: None });
        let own = padded(RECORD_HEADER + payload) as u64;
        if format == TOMBSTONE {
            self.graves.insert(stream, Grave { lsn: head.lsn, own, before: stand.bytes });
        }
        stand.head = head;
        stand.bytes += own;
        self.records += 1;
        self.stands.len() > known
    }

    pub(crate) fn into_footer(self, fold: u32, marks: Vec<Mark>) -> Footer {
        let mut stands: Vec<_> = self.stands.into_iter().collect();
        let mut graves: Vec<_> = self.graves.into_iter().collect();
        stands.sort_unstable_by_key(|(stream, _)| *stream);
        graves.sort_unstable_by_key(|(stream, _)| *stream);
        if fold == ROWS_UNKNOWN {
            stands.iter_mut().for_each(|(_, stand)| stand.row = None);
        }
        Footer { fold, records: self.records, marks, stands, graves }
    }
}

/// Whether the rows are read too; there may be many, and an index that is intact has no use for them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    Rows,
    /// Read and checked, and not kept.
    Checksums,
    Heads,
}

impl Footer {
    /// The footer's frame, to be written at `offset`, and the rows behind it.
    pub(crate) fn encode(&self, next: Lsn, offset: u64, opening: u32, seed: u32) -> Vec<u8> {
        let mut rows = Vec::new();
        let mut body = Vec::new();
        body.put_u32(self.fold);
        body.put_u32(self.marks.len() as u32);
        body.put_u32(self.stands.len() as u32);
        body.put_u32(self.graves.len() as u32);
        body.put_u64(self.records);
        for mark in &self.marks {
            body.put_u64(mark.first.0);
            body.put_u64(mark.offset);
        }
        for (stream, stand) in &self.stands {
            body.put(&stream.0);
            body.put_u64(stand.head.version.0);
            body.put_u64(stand.head.lsn.0);
            body.put_u64(stand.bytes);
            body.put_u32(stand.row.as_ref().map_or(NO_ROW, |row| row.len() as u32));
            rows.put(stand.row.as_deref().unwrap_or_default());
        }
        for (stream, grave) in &self.graves {
            body.put(&stream.0);
            body.put_u64(grave.lsn.0);
            body.put_u64(grave.own);
            body.put_u64(grave.before);
        }
        body.put_u32(crc32c::crc32c_append(seed, &rows));
        let header = Header {
            kind: Kind::Footer,
            length: body.len() as u32,
            first: next,
            synced: offset,
            records: 0,
            opening,
            body_crc: crc32c::crc32c_append(seed, &body),
        };
        let mut frame = header.encode(seed).to_vec();
        frame.put(&body);
        frame.resize(padded(HEADER + body.len()), 0);
        frame.put(&rows);
        frame
    }

    /// Reads the footer of a closed segment's file that has `length` bytes.
    pub(crate) fn read(
        file: &dyn DiskFile,
        length: u64,
        segment: &Segment,
        closed: Closed,
        place: Place,
        with: With,
    ) -> Result<Footer, Failure> {
        let damage = |what: &str| Damage { file: segment.file(), offset: closed.end, what: what.to_owned() };
        let read = |from: u64, bytes: u64| {
            if from.checked_add(bytes).is_none_or(|to| to > length) {
                return Err(Failure::Damaged(damage("the file ends within its footer")));
            }
            let mut buffer = vec![0; bytes as usize];
            let result = file.read_at(&mut buffer, from);
            result.map(|()| buffer).map_err(|error| Failure::io("read", &segment.file(), error))
        };
        let mismatch = || Failure::Damaged(damage("the footer's checksum does not match"));
        let header = Header::decode(&read(closed.end, HEADER as u64)?, place).ok_or_else(mismatch)?;
        if header.kind != Kind::Footer || header.first != closed.next {
            return Err(mismatch());
        }
        let body = read(closed.end + HEADER as u64, u64::from(header.length))?;
        let seed = place.seed(header.opening);
        if crc32c::crc32c_append(seed, &body) != header.body_crc {
            return Err(mismatch());
        }
        let (mut footer, lengths, crc) = Footer::decode(&body).ok_or_else(mismatch)?;
        if !footer.fits(segment, closed) {
            return Err(Failure::Damaged(damage("the footer speaks of frames or records that cannot be")));
        }
        if with != With::Heads {
            let total = lengths.iter().filter(|length| **length != NO_ROW).map(|length| u64::from(*length)).sum();
            let rows = read(closed.end + header.frame_length() as u64, total)?;
            if crc32c::crc32c_append(seed, &rows) != crc {
                return Err(Failure::Damaged(damage("the checksum of the footer's rows does not match")));
            }
            if with == With::Rows {
                footer.take_rows(&lengths, &rows);
            }
        }
        Ok(footer)
    }

    /// Whether it can be the segment's: readers count on it that marks follow each other within the frames, that no stream is
    /// named twice (in the place of another one), and that no sum of sizes overflows.
    fn fits(&self, segment: &Segment, closed: Closed) -> bool {
        let ascend = |pair: &[Mark]| pair[0].first < pair[1].first && pair[0].offset < pair[1].offset;
        let begin = |mark: &Mark| mark.first >= segment.first && mark.offset >= SEGMENT_HEADER as u64;
        let end = |mark: &Mark| mark.first < closed.next && mark.offset < closed.end;
        let marks = self.marks.windows(2).all(ascend)
            && self.marks.first().is_none_or(begin)
            && self.marks.last().is_none_or(end);
        let streams = self.stands.is_sorted_by(|left, right| left.0 < right.0)
            && self.graves.is_sorted_by(|left, right| left.0 < right.0);
        let graves = self.graves.iter().flat_map(|(_, grave)| [grave.own, grave.before]);
        let mut sizes = self.stands.iter().map(|(_, stand)| stand.bytes).chain(graves);
        marks && streams && sizes.all(|size| size <= closed.end)
    }

    /// A footer without its rows, the rows' lengths, and their checksum.
    fn decode(body: &[u8]) -> Option<(Footer, Vec<u32>, u32)> {
        let mut take = Take(body);
        let fold = take.u32()?;
        let (marks, stands, graves) = (take.u32()?, take.u32()?, take.u32()?);
        let mut footer = Footer { fold, records: take.u64()?, ..Footer::default() };
        let mut lengths = Vec::new();
        for _ in 0..marks {
            footer.marks.push(Mark { first: Lsn(take.u64()?), offset: take.u64()? });
        }
        for _ in 0..stands {
            let stream = StreamId(take.array()?);
            let head = Head { version: Version(take.u64()?), lsn: Lsn(take.u64()?) };
            let bytes = take.u64()?;
            lengths.push(take.u32()?);
            footer.stands.push((stream, Stand { head, bytes, row: None }));
        }
        for _ in 0..graves {
            let stream = StreamId(take.array()?);
            footer.graves.push((stream, Grave { lsn: Lsn(take.u64()?), own: take.u64()?, before: take.u64()? }));
        }
        let crc = take.u32()?;
        take.0.is_empty().then_some((footer, lengths, crc))
    }

    /// Puts the rows in, which fit the lengths.
    fn take_rows(&mut self, lengths: &[u32], rows: &[u8]) {
        let mut take = Take(rows);
        for ((_, stand), length) in self.stands.iter_mut().zip(lengths) {
            if *length != NO_ROW {
                stand.row = take.bytes(*length as usize).map(Row::from);
            }
        }
    }

    /// Whether the rows are what a fold of this version makes.
    pub(crate) fn has_rows_of(&self, fold: u32) -> bool {
        self.fold == fold && fold != ROWS_UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::simulated::SimDisk;

    const PLACE: Place = Place { store: [1; 16], segment: 5, generation: 0 };
    const END: u64 = 128 + MARK_DISTANCE;
    const CLOSED: Closed = Closed { end: END, next: Lsn(10), footer: true, cleaned: Lsn(0) };
    const SEGMENT: Segment = Segment { id: 5, generation: 0, first: Lsn(1), bytes: END, closed: Some(CLOSED) };

    fn footer() -> Footer {
        let mut footer = Footer { fold: 3, records: 9, ..Footer::default() };
        mark(&mut footer.marks, Lsn(1), 64);
        mark(&mut footer.marks, Lsn(2), 100);
        mark(&mut footer.marks, Lsn(9), 64 + MARK_DISTANCE);
        let stand = |row: Option<&[u8]>| {
            let head = Head { version: Version(2), lsn: Lsn(8) };
            Stand { head, bytes: 300, row: row.map(Row::from) }
        };
        footer.stands = vec![(StreamId([4; 16]), stand(Some(&[1, 2, 3]))), (StreamId([5; 16]), stand(None))];
        footer.graves.push((StreamId([5; 16]), Grave { lsn: Lsn(8), own: 88, before: 212 }));
        footer
    }

    fn read(frame: &[u8], with: With) -> Result<Footer, Failure> {
        let file = [&[0; END as usize], frame].concat();
        let length = file.len() as u64;
        let disk = SimDisk::with_files([("file".to_owned(), file)]);
        Footer::read(&*disk.open_read("file").unwrap(), length, &SEGMENT, CLOSED, PLACE, with)
    }

    #[test]
    fn a_footer_reads_back_as_it_was_written() {
        assert_eq!(footer().marks.len(), 2);
        let bytes = footer().encode(Lsn(10), END, 2, PLACE.seed(2));
        assert_eq!(read(&bytes, With::Rows).unwrap(), footer());
        let heads = read(&bytes, With::Heads).unwrap();
        assert_eq!(heads.stands[0].1.row, None);
        assert_eq!(heads.stands[0].1.head, footer().stands[0].1.head);
    }

    #[test]
    fn a_footer_that_cannot_be_is_damage() {
        let marks = |first: u64, offset: u64| {
            let mut footer = footer();
            footer.marks[1] = Mark { first: Lsn(first), offset };
            read(&footer.encode(Lsn(10), END, 2, PLACE.seed(2)), With::Heads)
        };
        assert!(marks(9, 120).is_ok());
        for (first, offset) in [(1, 120), (10, 120), (9, 64), (9, END), (9, u64::MAX)] {
            assert!(matches!(marks(first, offset), Err(Failure::Damaged(_))), "record {first} at byte {offset}");
        }
        let flaws: [fn(&mut Footer); 4] = [
            |footer| footer.stands[0].1.bytes = END + 1,
            |footer| footer.stands.swap(0, 1),
            // Named twice, one stands in for another that is not named.
            |footer| footer.stands[0] = footer.stands[1].clone(),
            |footer| footer.graves.push(footer.graves[0]),
        ];
        for (number, flaw) in flaws.into_iter().enumerate() {
            let mut footer = footer();
            flaw(&mut footer);
            assert!(read(&footer.encode(Lsn(10), END, 2, PLACE.seed(2)), With::Heads).is_err(), "flaw {number}");
        }
    }

    #[test]
    fn inv_s7_every_flip_and_cut_of_a_footer_shows() {
        let good = footer().encode(Lsn(10), END, 2, PLACE.seed(2));
        let body = Header::decode(&good, PLACE).unwrap().length as usize;
        let padding = HEADER + body..padded(HEADER + body);
        for bit in (0..good.len() * 8).filter(|bit| !padding.contains(&(bit / 8))) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, With::Rows).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(read(&good[..cut], With::Rows).is_err(), "cut at {cut}");
        }
    }
}
