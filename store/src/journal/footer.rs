//! The two ends of a segment file: its header, and the footer of a closed one.

use super::frame::{HEADER, Header, Kind, Place, padded};
use crate::bytes::{Put, Take};
use crate::index::Row;
use crate::record::{Head, Lsn, StreamId, Version};
use std::collections::HashMap;

/// Where the frames of a segment begin.
pub(crate) const SEGMENT_HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"REJOINSG";

/// The header of a segment file.
pub(crate) fn segment_header(place: Place, first: Lsn) -> [u8; SEGMENT_HEADER] {
    let mut out = Vec::with_capacity(SEGMENT_HEADER);
    out.put(&MAGIC);
    out.put_u32(super::manifest::FORMAT_VERSION);
    out.put_u32(0);
    out.put(&place.store);
    out.put_u64(place.segment);
    out.put_u64(first.0);
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

/// How a stream stands after a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) head: Head,
    pub(crate) row: Row,
}

/// In place of the fold's version: the rows of this footer are not to be used, because the index that they build on had
/// failed. They are folded anew from the records.
pub(crate) const ROWS_UNKNOWN: u32 = u32::MAX;

/// What a footer says of its segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Version of the fold that made the rows, or [`ROWS_UNKNOWN`].
    pub(crate) fold: u32,
    pub(crate) marks: Vec<Mark>,
    pub(crate) stands: HashMap<StreamId, Stand>,
}

impl Footer {
    /// The footer's frame, to be written at `offset`.
    pub(crate) fn encode(&self, next: Lsn, offset: u64, opening: u32, seed: u32) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u32(self.fold);
        body.put_u32(self.marks.len() as u32);
        body.put_u32(self.stands.len() as u32);
        body.put_u32(0);
        for mark in &self.marks {
            body.put_u64(mark.first.0);
            body.put_u64(mark.offset);
        }
        // In order, so that the same segment always has the same footer.
        let mut stands: Vec<_> = self.stands.iter().collect();
        stands.sort_unstable_by_key(|(stream, _)| **stream);
        for (stream, stand) in stands {
            body.put(&stream.0);
            body.put_u64(stand.head.version.0);
            body.put_u64(stand.head.lsn.0);
            body.put_u32(stand.row.len() as u32);
            body.put(&stand.row);
        }
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
        frame
    }

    /// Reads the footer's frame at the front of `bytes`.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<(Header, Footer)> {
        let header = Header::decode(bytes, place).filter(|header| header.kind == Kind::Footer)?;
        let body = bytes.get(HEADER..HEADER.checked_add(header.length as usize)?)?;
        if crc32c::crc32c_append(place.seed(header.opening), body) != header.body_crc {
            return None;
        }
        let mut take = Take(body);
        let fold = take.u32()?;
        let (marks, stands) = (take.u32()?, take.u32()?);
        take.u32()?;
        let mut footer = Footer { fold, ..Footer::default() };
        for _ in 0..marks {
            footer.marks.push(Mark { first: Lsn(take.u64()?), offset: take.u64()? });
        }
        for _ in 0..stands {
            let stream = StreamId(take.array()?);
            let head = Head { version: Version(take.u64()?), lsn: Lsn(take.u64()?) };
            let length = take.u32()? as usize;
            footer.stands.insert(stream, Stand { head, row: Row::from(take.bytes(length)?) });
        }
        take.0.is_empty().then_some((header, footer))
    }

    /// Whether the rows are what a fold of this version makes.
    pub(crate) fn has_rows_of(&self, fold: u32) -> bool {
        self.fold == fold && fold != ROWS_UNKNOWN
    }

    /// Notes a frame, if it is far enough from the last one that was noted.
    pub(crate) fn mark(&mut self, first: Lsn, offset: u64) {
        if self.marks.last().is_none_or(|last| offset - last.offset >= MARK_DISTANCE) {
            self.marks.push(Mark { first, offset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { store: [1; 16], segment: 5 };

    fn footer() -> Footer {
        let mut footer = Footer { fold: 3, ..Footer::default() };
        footer.mark(Lsn(1), 64);
        footer.mark(Lsn(2), 100);
        footer.mark(Lsn(9), 64 + MARK_DISTANCE);
        let stand = Stand { head: Head { version: Version(2), lsn: Lsn(8) }, row: Row::from([1, 2, 3]) };
        footer.stands.insert(StreamId([4; 16]), stand);
        footer
    }

    #[test]
    fn a_footer_reads_back_as_it_was_written() {
        assert_eq!(footer().marks.len(), 2);
        let bytes = footer().encode(Lsn(10), 640, 2, PLACE.seed(2));
        let (header, read) = Footer::decode(&bytes, PLACE).unwrap();
        assert_eq!((header.first, read), (Lsn(10), footer()));
    }

    #[test]
    fn inv_s7_every_flip_of_a_footer_shows() {
        let good = footer().encode(Lsn(10), 640, 2, PLACE.seed(2));
        let length = HEADER + Header::decode(&good, PLACE).unwrap().length as usize;
        for bit in 0..length * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&bad, PLACE).is_none(), "bit {bit}");
        }
    }
}
