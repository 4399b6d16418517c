//! Reading an open segment: where its log ends, and whether what stands behind that was torn or is damaged.

use super::footer::SEGMENT_HEADER;
use super::frame::{ALIGN, HEADER, Header, Kind, Place, Stored, decode_batch};
use super::manifest::{Closed, MANIFEST, Segment};
use crate::error::Damage;
use crate::record::Lsn;

/// What stands in the open segment: frames up to the first place where none stands.
pub(super) struct Scan {
    pub(super) batches: Vec<(Header, u64, Vec<Stored>)>,
    pub(super) next: Lsn,
    pub(super) end: u64,
    pub(super) torn: Option<u64>,
    pub(super) sealed: bool,
    /// The opening of the last frame.
    opening: u32,
}

impl Scan {
    /// Reads the bytes of an open segment; `opening` is the store's last one.
    pub(super) fn of(bytes: &[u8], segment: &Segment, place: Place, opening: u32) -> Result<Scan, Damage> {
        let mut scan = Scan {
            batches: Vec::new(),
            next: segment.first,
            end: SEGMENT_HEADER as u64,
            torn: None,
            sealed: true,
            opening: 0,
        };
        while scan.step(&bytes[scan.end as usize..], place, opening) {}
        let rest = &bytes[scan.end as usize..];
        let rubbish = rest.iter().filter(|byte| **byte != 0).count() as u64;
        if rubbish > 0 {
            let damage = |file: String, offset, what| Damage { file, offset, what };
            match witness(rest, scan.end, place, opening) {
                None => {}
                Some(Witness::Synced(at)) => {
                    let what = format!("what stood here was acknowledged, as byte {at} says");
                    return Err(damage(segment.file(), scan.end, what));
                }
                Some(Witness::Opening(at)) => {
                    let what = format!("it is older than the log, as byte {at} of {} says", segment.file());
                    return Err(damage(MANIFEST.to_owned(), 0, what));
                }
            }
            scan.torn = Some(rubbish);
        }
        Ok(scan)
    }

    /// Takes the frame at the front of `rest`, if one stands there that continues the log.
    fn step(&mut self, rest: &[u8], place: Place, opening: u32) -> bool {
        let Some(header) = Header::decode(rest, place) else { return false };
        let Some(body) = rest.get(HEADER..HEADER + header.length as usize) else { return false };
        if header.first != self.next || header.synced > self.end {
            return false;
        }
        // What an earlier opening left behind a later one's frames was given up then.
        if !(self.opening..=opening).contains(&header.opening) {
            return false;
        }
        match header.kind {
            Kind::Batch => {
                let Some(stored) = decode_batch(&header, body, place) else { return false };
                self.next = Lsn(self.next.0 + stored.len() as u64);
                self.batches.push((header, self.end, stored));
                self.sealed = false;
            }
            Kind::Seal => self.sealed = true,
            Kind::Footer => return false,
        }
        self.opening = header.opening;
        self.end += header.frame_length() as u64;
        true
    }
}

/// What a frame behind a torn place says of it, and where the frame stands.
enum Witness {
    /// That the torn place had been synced.
    Synced(u64),
    /// That the store has been opened more often than the manifest knows.
    Opening(u64),
}

fn witness(rest: &[u8], offset: u64, place: Place, opening: u32) -> Option<Witness> {
    (0..rest.len() / ALIGN).find_map(|index| {
        let header = Header::decode(&rest[index * ALIGN..], place)?;
        let at = offset + (index * ALIGN) as u64;
        if header.opening > opening {
            Some(Witness::Opening(at))
        } else {
            (header.synced > offset).then_some(Witness::Synced(at))
        }
    })
}

/// All batches of a closed segment: the place of the first record, the offset of the frame, the records.
pub(super) fn closed_batches(
    bytes: &[u8],
    segment: &Segment,
    place: Place,
    closed: Closed,
) -> Result<Vec<(Lsn, u64, Vec<Stored>)>, Damage> {
    let damage = |offset, what: &str| Damage { file: segment.file(), offset, what: what.to_owned() };
    let mut batches = Vec::new();
    let mut next = segment.first;
    let mut at = SEGMENT_HEADER as u64;
    while at < closed.end {
        let rest = bytes.get(at as usize..closed.end as usize);
        let rest = rest.ok_or_else(|| damage(at, "it ends before its last frame"))?;
        let header = Header::decode(rest, place).ok_or_else(|| damage(at, "a frame's checksum does not match"))?;
        let body = rest.get(HEADER..HEADER + header.length as usize);
        let body = body.ok_or_else(|| damage(at, "a frame reaches beyond the last one"))?;
        if header.kind == Kind::Batch {
            let stored = decode_batch(&header, body, place);
            let stored = stored.ok_or_else(|| damage(at, "a record's checksum does not match"))?;
            // In a segment that was rewritten places may be missing.
            if header.first < next || (header.first > next && segment.generation == 0) {
                return Err(damage(at, &format!("record {} stands where {next} belongs", header.first)));
            }
            next = Lsn(header.first.0 + stored.len() as u64);
            batches.push((header.first, at, stored));
        }
        at += header.frame_length() as u64;
    }
    if next > closed.next || (next < closed.next && segment.generation == 0) {
        return Err(damage(at, &format!("its records end at {next}, and the manifest says at {}", closed.next)));
    }
    Ok(batches)
}
