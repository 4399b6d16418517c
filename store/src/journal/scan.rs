//! Reading an open segment: where its log ends, and whether what stands behind that was torn or is damaged.

use super::footer::SEGMENT_HEADER;
use super::frame::{ALIGN, HEADER, Header, Kind, Place, Seen, check_batch_body, seen};
use super::manifest::{Closed, MANIFEST, Segment};
use crate::error::Damage;
use crate::record::Lsn;

/// A batch whose checksums are good, and the offset of its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) header: Header,
    pub(super) at: u64,
}

impl Batch {
    /// Its records, in the bytes of the file that it was found in.
    pub(super) fn records<'a>(&self, file: &'a str, bytes: &'a [u8]) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        let body = self.at as usize + HEADER;
        let body = bytes.get(body..body + self.header.length as usize).unwrap_or_default();
        seen(file, self.at, &self.header, body)
    }
}

/// What stands in the open segment: frames up to the first place where none stands.
pub(super) struct Scan {
    pub(super) batches: Vec<Batch>,
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
                if check_batch_body(&header, body, place.seed(header.opening)).is_err() {
                    return false;
                }
                self.next = Lsn(self.next.0 + u64::from(header.records));
                self.batches.push(Batch { header, at: self.end });
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

/// All batches of a closed segment.
pub(super) fn closed_batches(
    bytes: &[u8],
    segment: &Segment,
    place: Place,
    closed: Closed,
) -> Result<Vec<Batch>, Damage> {
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
            check_batch_body(&header, body, place.seed(header.opening)).map_err(|within| {
                let what = "a record's checksum does not match".to_owned() + &claim(&header, body, within);
                damage(at + (HEADER + within) as u64, &what)
            })?;
            // In a segment that was rewritten places may be missing.
            if header.first < next || (header.first > next && segment.generation == 0) {
                return Err(damage(at, &format!("record {} stands where {next} belongs", header.first)));
            }
            next = Lsn(header.first.0 + u64::from(header.records));
            batches.push(Batch { header, at });
        }
        at += header.frame_length() as u64;
    }
    if next > closed.next || (next < closed.next && segment.generation == 0) {
        return Err(damage(at, &format!("its records end at {next}, and the manifest says at {}", closed.next)));
    }
    Ok(batches)
}

/// Which record one that is damaged says it is: its name is most likely not where the damage is.
fn claim(header: &Header, body: &[u8], within: usize) -> String {
    match seen("", 0, header, body.get(within..).unwrap_or_default()).next() {
        Some(Seen { stream, version, .. }) => format!(" (it says that it is version {version} of stream {stream})"),
        None => String::new(),
    }
}
