//! Frames: what a segment file is made of. `FORMAT.md` draws them.

use crate::bytes::{Put, Take};
use crate::record::{Chain, Lsn, NewRecord, Record, StreamId, Version};

/// Every frame begins at a multiple of this, so that a reader can look for the next one.
pub(crate) const ALIGN: usize = 8;
pub(crate) const HEADER: usize = 40;
pub(crate) const RECORD_HEADER: usize = 88;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records that were appended together.
    Batch,
    /// Nothing but the note that everything before it was durable.
    Seal,
    /// The end of a segment: where its records are and how its streams stand.
    Footer,
}

impl Kind {
    fn magic(self) -> [u8; 4] {
        match self {
            Kind::Batch => *b"RJB1",
            Kind::Seal => *b"RJS1",
            Kind::Footer => *b"RJF2",
        }
    }

    fn of(magic: [u8; 4]) -> Option<Kind> {
        [Kind::Batch, Kind::Seal, Kind::Footer].into_iter().find(|kind| kind.magic() == magic)
    }
}

/// The checksum seed of a place: bytes copied from another store, segment or opening never pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) store: [u8; 16],
    pub(crate) segment: u64,
    /// How often the segment was rewritten.
    pub(crate) generation: u32,
}

impl Place {
    pub(crate) fn seed(self, opening: u32) -> u32 {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.store);
        bytes[16..24].copy_from_slice(&self.segment.to_le_bytes());
        bytes[24..28].copy_from_slice(&opening.to_le_bytes());
        bytes[28..].copy_from_slice(&self.generation.to_le_bytes());
        // A segment that was never rewritten has no generation in its seed, as in format version 1.
        crc32c::crc32c(if self.generation == 0 { &bytes[..28] } else { &bytes })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Bytes behind the header, without padding.
    pub(crate) length: u32,
    /// The place of the first record; for a seal or footer, of the next record to come.
    pub(crate) first: Lsn,
    /// Every byte of the segment before this offset was durable when the frame was written.
    pub(crate) synced: u64,
    pub(crate) records: u32,
    /// How often the store had been opened when the frame was written.
    pub(crate) opening: u32,
    /// Checksum of the body of a footer; a batch has one per record.
    pub(crate) body_crc: u32,
}

impl Header {
    pub(crate) fn encode(&self, seed: u32) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.kind.magic());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.synced.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.records.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.opening.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if one that was written for this place stands there.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Header> {
        let bytes = bytes.get(..HEADER)?;
        let mut take = Take(bytes);
        let kind = Kind::of(take.array()?)?;
        let header = Header {
            kind,
            length: take.u32()?,
            first: Lsn(take.u64()?),
            synced: take.u64()?,
            records: take.u32()?,
            opening: take.u32()?,
            body_crc: take.u32()?,
        };
        let crc = crc32c::crc32c_append(place.seed(header.opening), &bytes[..HEADER - 4]);
        (crc == take.u32()? && header.is_sound()).then_some(header)
    }

    /// Whether the fields fit each other. Readers count on it: no sum of a sound header's fields overflows.
    fn is_sound(&self) -> bool {
        let length = self.length as usize;
        match self.kind {
            Kind::Batch => {
                let last = self.first.0.checked_add(u64::from(self.records));
                last.is_some() && self.records > 0 && length.is_multiple_of(ALIGN)
            }
            Kind::Seal => length == 0 && self.records == 0,
            Kind::Footer => self.records == 0,
        }
    }

    /// Changes an encoded header to say that everything before `synced` was durable when it was written.
    pub(crate) fn restamp(encoded: &mut [u8], synced: u64, seed: u32) {
        encoded[16..24].copy_from_slice(&synced.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &encoded[..HEADER - 4]);
        encoded[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    }

    /// The whole frame's length, with padding.
    pub(crate) fn frame_length(&self) -> usize {
        padded(HEADER + self.length as usize)
    }
}

pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGN)
}

/// How long the frame of a batch with these payloads is.
pub(crate) fn batch_length(batch: &[NewRecord]) -> usize {
    padded(HEADER + batch.iter().map(|record| padded(RECORD_HEADER + record.payload.len())).sum::<usize>())
}

/// What the log adds to a record when it takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// The place of the stream's record before this one; 0 if this is its first.
    pub(crate) previous: Lsn,
    pub(crate) chain: Chain,
}

/// Appends a batch's frame to `out`.
pub(crate) fn encode_batch(
    out: &mut Vec<u8>,
    batch: &[NewRecord],
    stamps: &[Stamp],
    first: Lsn,
    synced: u64,
    opening: u32,
    seed: u32,
) {
    let length = batch_length(batch) - HEADER;
    let header = Header {
        kind: Kind::Batch,
        length: length as u32,
        first,
        synced,
        records: batch.len() as u32,
        opening,
        body_crc: 0,
    };
    out.put(&header.encode(seed));
    for (record, stamp) in batch.iter().zip(stamps) {
        encode_record(out, record, stamp, seed);
    }
}

fn encode_record(out: &mut Vec<u8>, record: &NewRecord, stamp: &Stamp, seed: u32) {
    let start = out.len();
    out.put_u32(record.payload.len() as u32);
    out.put_u32(0);
    out.put(&record.stream.0);
    out.put_u64(record.expected.next().0);
    out.put(&record.time.to_le_bytes());
    out.put_u16(record.format);
    out.put_u16(0);
    out.put_u32(0);
    out.put_u64(stamp.previous.0);
    out.put(&stamp.chain);
    out.put(&record.payload);
    let crc = record_crc(&out[start..], seed);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + padded(RECORD_HEADER + record.payload.len()), 0);
}

/// The checksum of a record covers everything but itself.
fn record_crc(bytes: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes[..4]), &bytes[8..])
}

/// A record as it stands in a segment.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) previous: Lsn,
}

/// A record where it stands in a segment, not copied.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its place in the log.
    pub lsn: Lsn,
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// Its number in the stream.
    pub version: Version,
    /// When it happened, as given.
    pub time: i64,
    /// What the payload is encoded as, as given.
    pub format: u16,
    /// The place of the stream's record before it.
    pub previous: Lsn,
    /// The chain up to and including it.
    pub chain: Chain,
    /// The content.
    pub payload: &'a [u8],
    /// The name of its file.
    pub file: &'a str,
    /// The byte of the file that it begins at.
    pub offset: u64,
}

impl Seen<'_> {
    /// A copy that outlives the segment.
    pub fn to_record(&self) -> Record {
        let Seen { lsn, stream, version, time, format, chain, payload, .. } = *self;
        Record { lsn, stream, version, time, format, chain, payload: payload.to_vec() }
    }
}

/// The records of a batch whose checksums were found good.
pub(crate) fn seen<'a>(
    file: &'a str,
    at: u64,
    header: &Header,
    body: &'a [u8],
) -> impl Iterator<Item = Seen<'a>> + use<'a> {
    let (mut offset, mut next) = (0, header.first);
    std::iter::from_fn(move || {
        let rest = body.get(offset..).filter(|rest| !rest.is_empty())?;
        let length = record_length(rest)?;
        let seen = Seen { file, offset: at + (HEADER + offset) as u64, ..parse(rest, next)? };
        offset += length;
        next = Lsn(next.0 + 1);
        Some(seen)
    })
}

/// Whether all records of a batch are as they were written; otherwise where the first stands that is not, in the body.
pub(crate) fn check_batch_body(header: &Header, body: &[u8], seed: u32) -> Result<(), usize> {
    let mut at = 0;
    for _ in 0..header.records {
        let rest = body.get(at..).ok_or(at)?;
        let length = record_length(rest).ok_or(at)?;
        let crc = rest[4..8].try_into().map(u32::from_le_bytes).map_err(|_| at)?;
        let payload = rest[..4].try_into().map(u32::from_le_bytes).map_err(|_| at)? as usize;
        // Whatever its checksum says, what cannot be a record is none.
        if record_crc(&rest[..RECORD_HEADER + payload], seed) != crc || parse(rest, header.first).is_none() {
            return Err(at);
        }
        at += length;
    }
    if at == body.len() { Ok(()) } else { Err(at) }
}

/// The length of the record at the front of `body`, with padding.
fn record_length(body: &[u8]) -> Option<usize> {
    let payload = Take(body).u32()? as usize;
    let length = padded(RECORD_HEADER.checked_add(payload)?);
    (length <= body.len()).then_some(length)
}

/// Reads the record at the front of `body`.
pub(crate) fn decode_record(body: &[u8], lsn: Lsn, seed: u32) -> Option<Stored> {
    let mut take = Take(body);
    let payload = take.u32()? as usize;
    let crc = take.u32()?;
    if record_crc(body.get(..RECORD_HEADER.checked_add(payload)?)?, seed) != crc {
        return None;
    }
    let seen = parse(body, lsn)?;
    Some(Stored { record: seen.to_record(), previous: seen.previous })
}

/// What the record at the front of `body` says, whatever its checksum.
fn parse(body: &[u8], lsn: Lsn) -> Option<Seen<'_>> {
    let mut take = Take(body);
    let payload = take.u32()? as usize;
    let _crc = take.u32()?;
    let stream = StreamId(take.array()?);
    let version = Version(take.u64()?);
    // Counted from 1, and with a next one: readers count on that.
    if version == Version::NONE || version.0 == u64::MAX {
        return None;
    }
    let time = take.i64()?;
    let format = take.u16()?;
    let _flags = take.u16()?;
    let _reserved = take.u32()?;
    let previous = Lsn(take.u64()?);
    let chain = take.array()?;
    let payload = take.bytes(payload)?;
    Some(Seen { lsn, stream, version, time, format, previous, chain, payload, file: "", offset: 0 })
}

/// The place of each record in a batch's body: offsets from the body's start. `None` if they do not fit the header.
pub(crate) fn record_offsets(header: &Header, body: &[u8]) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity((header.records as usize).min(body.len() / RECORD_HEADER));
    let mut at = 0;
    for _ in 0..header.records {
        offsets.push(at);
        at += record_length(&body[at..])?;
    }
    (at == body.len()).then_some(offsets)
}

/// All records of a batch, or `None` if one is not as it was written.
pub(crate) fn decode_batch(header: &Header, body: &[u8], place: Place) -> Option<Vec<Stored>> {
    let seed = place.seed(header.opening);
    let offsets = record_offsets(header, body)?;
    let at = |index: usize| Lsn(header.first.0 + index as u64);
    offsets.iter().enumerate().map(|(index, offset)| decode_record(&body[*offset..], at(index), seed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GENESIS, link};

    const PLACE: Place = Place { store: [7; 16], segment: 3, generation: 0 };

    fn frame() -> Vec<u8> {
        let record = |n: u8, payload: &[u8]| NewRecord {
            stream: StreamId([n; 16]),
            expected: Version(u64::from(n)),
            time: -5,
            format: 2,
            payload: payload.to_vec(),
        };
        let batch = [record(1, b"hello"), record(2, b"")];
        let stamp = Stamp { previous: Lsn(4), chain: link(&GENESIS, StreamId([1; 16]), Version(2), -5, 2, b"hello") };
        let mut out = Vec::new();
        encode_batch(&mut out, &batch, &[stamp, stamp], Lsn(9), 64, 1, PLACE.seed(1));
        assert_eq!(out.len(), batch_length(&batch));
        out
    }

    fn decode(bytes: &[u8], place: Place) -> Option<Vec<Stored>> {
        let header = Header::decode(bytes, place)?;
        decode_batch(&header, bytes.get(HEADER..HEADER + header.length as usize)?, place)
    }

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let stored = decode(&frame(), PLACE).unwrap();
        assert_eq!(stored[0].record.payload, b"hello");
        assert_eq!((stored[1].record.lsn, stored[1].record.version), (Lsn(10), Version(3)));
        assert_eq!(stored[0].previous, Lsn(4));
    }

    #[test]
    fn inv_s7_every_flipped_bit_of_a_batch_shows() {
        let good = frame();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Some(stored) = decode(&bad, PLACE) else { continue };
            // Padding between records is covered by no checksum and holds nothing.
            let same = decode(&good, PLACE).unwrap();
            assert!(stored.iter().zip(&same).all(|(a, b)| a.record == b.record), "bit {bit} changed a record");
        }
    }

    #[test]
    fn a_header_whose_fields_do_not_fit_is_no_header() {
        let good = Header::decode(&frame(), PLACE).unwrap();
        let read = |header: Header| Header::decode(&header.encode(PLACE.seed(1)), PLACE);
        assert_eq!(read(good), Some(good));
        assert_eq!(read(Header { records: 0, ..good }), None);
        assert_eq!(read(Header { first: Lsn(u64::MAX), ..good }), None);
        assert_eq!(read(Header { length: good.length + 1, ..good }), None);
        assert_eq!(read(Header { kind: Kind::Seal, ..good }), None);
    }

    #[test]
    fn a_header_that_lies_about_its_records_reads_as_no_batch() {
        let good = frame();
        let header = Header::decode(&good, PLACE).unwrap();
        for records in [1, 3, 1_000, u32::MAX] {
            assert!(decode_batch(&Header { records, ..header }, &good[HEADER..], PLACE).is_none());
        }
        for cut in 0..good.len() - HEADER {
            assert!(decode_batch(&header, &good[HEADER..HEADER + cut], PLACE).is_none());
        }
    }

    #[test]
    fn a_record_of_a_version_that_no_stream_has_is_no_record() {
        let record = |expected: u64| {
            let stream = StreamId([1; 16]);
            let new = NewRecord { stream, expected: Version(expected), time: 0, format: 0, payload: Vec::new() };
            let mut out = Vec::new();
            encode_record(&mut out, &new, &Stamp { previous: Lsn(0), chain: GENESIS }, 7);
            out
        };
        let mut none = record(0);
        none[24] = 0;
        let crc = record_crc(&none, 7);
        none[4..8].copy_from_slice(&crc.to_le_bytes());
        assert!(decode_record(&none, Lsn(1), 7).is_none());
        assert!(decode_record(&record(u64::MAX - 1), Lsn(1), 7).is_none());
        assert!(decode_record(&record(u64::MAX - 2), Lsn(1), 7).is_some());
    }

    #[test]
    fn a_restamped_header_says_so_and_nothing_else() {
        let mut bytes = frame();
        let before = Header::decode(&bytes, PLACE).unwrap();
        Header::restamp(&mut bytes, 4_096, PLACE.seed(1));
        assert_eq!(Header::decode(&bytes, PLACE), Some(Header { synced: 4_096, ..before }));
        assert_eq!(decode(&bytes, PLACE).unwrap().len(), 2);
    }

    #[test]
    fn a_frame_of_another_place_is_no_frame() {
        assert!(decode(&frame(), Place { segment: 4, ..PLACE }).is_none());
        assert!(decode(&frame(), Place { store: [8; 16], ..PLACE }).is_none());
        assert!(decode(&frame(), Place { generation: 1, ..PLACE }).is_none());
    }
}
