//! Reading an open segment: where its log ends, and whether what stands behind that was torn or is damaged.

use super::footer::{Footer, SEGMENT_HEADER};
use super::frame::{ALIGN, HEADER, Header, Kind, Place, Stored, decode_batch};
use super::manifest::{MANIFEST, Segment};
use crate::error::Damage;
use crate::record::Lsn;

/// What stands in the open segment: frames up to the first place where none stands.
pub(super) struct Scan {
    pub(super) batches: Vec<(Header, u64, Vec<Stored>)>,
    pub(super) next: Lsn,
    pub(super) end: u64,
    pub(super) torn: Option<u64>,
    pub(super) closing: bool,
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
            closing: false,
            sealed: true,
            opening: 0,
        };
        while scan.step(&bytes[scan.end as usize..], place, opening) {}
        if scan.closing {
            return Ok(scan);
        }
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
            // A crash between the footer and the manifest: the segment is closed again at the next append.
            Kind::Footer => {
                self.closing = Footer::decode(rest, place).is_some();
                return false;
            }
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
