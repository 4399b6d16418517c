//! The manifest: which segments make up the log. Replaced as a whole, by rename.

use super::frame::Place;
use crate::bytes::{Put, Take};
use crate::disk::{Disk, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::record::Lsn;
use std::io;

pub(crate) const MANIFEST: &str = "MANIFEST";
const MANIFEST_NEW: &str = "MANIFEST.new";
const MAGIC: [u8; 8] = *b"REJOINMF";

/// No log has so many places or segments.
const BEYOND: u64 = 1 << 62;

/// The format version that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: [u8; 16],
    pub(crate) shards: u16,
    /// How often the store was opened for writing.
    pub(crate) opening: u32,
    /// The last record that is gone: an index that has not seen it can no longer be brought up record by record.
    pub(crate) forgotten: Lsn,
    /// All segments, oldest first, without a gap between their places; only the last one is open.
    pub(crate) segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    /// How often it was rewritten; its file's name has the number.
    pub(crate) generation: u32,
    /// The first of its places.
    pub(crate) first: Lsn,
    /// How long the file is at least; shorter is damage. 0: nothing is left of it, and there is no file.
    pub(crate) bytes: u64,
    pub(crate) closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Where its frames end.
    pub(crate) end: u64,
    /// The first place behind it.
    pub(crate) next: Lsn,
    /// Whether a footer stands behind its frames.
    pub(crate) footer: bool,
    /// When it was last rewritten, the tombstones up to here counted. Told, and never believed: see [`super::clean`].
    pub(crate) cleaned: Lsn,
}

impl Segment {
    pub(crate) fn file(&self) -> String {
        segment_file(self.id, self.generation)
    }

    pub(crate) fn place(&self, store: [u8; 16]) -> Place {
        Place { store, segment: self.id, generation: self.generation }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.bytes == 0
    }
}

pub(crate) fn segment_file(id: u64, generation: u32) -> String {
    if generation == 0 { format!("{id:012}.seg") } else { format!("{id:012}-{generation}.seg") }
}

/// The number and the generation of the segment that a file's name says it is.
pub(crate) fn segment_id(name: &str) -> Option<(u64, u32)> {
    let stem = name.strip_suffix(".seg")?;
    let (id, generation) = stem.split_once('-').unwrap_or((stem, "0"));
    let (id, generation) = (id.parse().ok()?, generation.parse().ok()?);
    // Another way to write the same numbers is no name of ours, and not ours to remove.
    (segment_file(id, generation) == name).then_some((id, generation))
}

impl Manifest {
    pub(crate) fn open_segment(&self) -> Option<&Segment> {
        self.segments.last().filter(|segment| segment.closed.is_none())
    }

    pub(crate) fn segment_mut(&mut self, id: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.id == id)
    }

    /// Makes one of neighbours of which nothing is left.
    pub(crate) fn join_gone(&mut self) {
        self.segments.dedup_by(|next, segment| {
            let joined = next.is_gone() && segment.is_gone();
            if let (true, Some(closed), Some(behind)) = (joined, segment.closed.as_mut(), next.closed) {
                closed.next = behind.next;
                segment.id = next.id;
            }
            joined
        });
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&MAGIC);
        out.put_u32(FORMAT_VERSION);
        out.put_u32(0);
        out.put(&self.store);
        out.put_u16(self.shards);
        out.put_u16(0);
        out.put_u32(self.opening);
        out.put_u64(self.forgotten.0);
        out.put_u32(self.segments.len() as u32);
        for segment in &self.segments {
            out.put_u64(segment.id);
            out.put_u64(segment.first.0);
            out.put_u64(segment.bytes);
            let open = Closed { end: 0, next: Lsn(0), footer: false, cleaned: Lsn(0) };
            let closed = segment.closed.unwrap_or(open);
            out.put_u64(closed.end);
            out.put_u64(closed.next.0);
            out.put_u64(closed.cleaned.0);
            out.put_u32(segment.generation);
            out.put_u32(u32::from(closed.footer));
        }
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Manifest> {
        let mut take = Take(bytes);
        take.bytes(8)?;
        let version = take.u32()?;
        take.u32()?;
        let store = take.array()?;
        let shards = take.u16()?;
        take.u16()?;
        let opening = take.u32()?;
        let forgotten = if version == 1 { Lsn(0) } else { Lsn(take.u64()?) };
        let count = take.u32()?;
        let mut segments = Vec::new();
        for _ in 0..count {
            let (id, first, bytes) = (take.u64()?, Lsn(take.u64()?), take.u64()?);
            let (end, next) = (take.u64()?, Lsn(take.u64()?));
            // Version 1 had footers of another layout: its segments count as having none, and are given new ones.
            let (cleaned, generation, footer) =
                if version == 1 { (Lsn(0), 0, 0) } else { (Lsn(take.u64()?), take.u32()?, take.u32()?) };
            let closed = Closed { end, next, footer: footer == 1, cleaned };
            segments.push(Segment { id, generation, first, bytes, closed: (next.0 > 0).then_some(closed) });
        }
        take.0.is_empty().then_some(Manifest { store, shards, opening, forgotten, segments })
    }

    /// Reads the manifest; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Manifest>, OpenError> {
        let bytes = match disk.open_read(MANIFEST).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io("read", MANIFEST, error).into()),
        };
        let damage = |what: &str| Damage { file: MANIFEST.to_owned(), offset: 0, what: what.to_owned() };
        if bytes.get(..8) != Some(&MAGIC) {
            return Err(damage("it does not begin as a manifest does").into());
        }
        let mut take = Take(&bytes[8..]);
        let (Some(version), Some(crc)) = (take.u32(), take.u32()) else {
            return Err(damage("it is cut off").into());
        };
        if checksum(&bytes) != crc {
            return Err(damage("its checksum does not match").into());
        }
        if version > FORMAT_VERSION {
            return Err(OpenError::NewerFormat { folder: disk.name(), found: version, supported: FORMAT_VERSION });
        }
        let manifest = Manifest::decode(&bytes).ok_or_else(|| damage("its fields do not fit its length"))?;
        match manifest.flaw() {
            Some(what) => Err(damage(what).into()),
            None => Ok(Some(manifest)),
        }
    }

    /// Why no store has such a manifest, if none has. Readers count on it: no sum of a sound manifest's fields overflows.
    fn flaw(&self) -> Option<&'static str> {
        if self.shards == 0 || self.open_segment().is_none() {
            return Some("it names no open segment");
        }
        let (mut next, mut last) = (Lsn(1), 0);
        for (index, segment) in self.segments.iter().enumerate() {
            let open = index + 1 == self.segments.len();
            if segment.first != next || segment.id <= last || open != segment.closed.is_none() {
                return Some("its segments do not follow each other");
            }
            (next, last) = (segment.closed.map_or(next, |closed| closed.next), segment.id);
            let without_file = open && segment.is_gone();
            if without_file || next < segment.first || segment.closed.is_some_and(|closed| closed.end > segment.bytes) {
                return Some("a segment ends before it begins, or behind its file, or has none");
            }
        }
        let beyond =
            last > BEYOND || next.0 > BEYOND || self.segments.iter().any(|segment| segment.generation == u32::MAX);
        beyond.then_some("no store grows so old")
    }

    /// Makes this the store's manifest, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> Result<(), Failure> {
        let write = || {
            let file = disk.create(MANIFEST_NEW)?;
            file.write_at(&self.encode(), 0)?;
            file.sync_all()?;
            disk.rename(MANIFEST_NEW, MANIFEST)?;
            disk.sync_folder()
        };
        write().map_err(|error| Failure::io("write", MANIFEST, error))
    }
}

/// Covers everything but itself, in every format version, so that a newer version is told from damage.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), bytes.get(16..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::SimDisk;

    fn segment(id: u64, first: u64, bytes: u64, next: Option<u64>) -> Segment {
        let closed = |next| Closed { end: 512, next: Lsn(next), footer: true, cleaned: Lsn(5) };
        Segment { id, generation: 2, first: Lsn(first), bytes, closed: next.map(closed) }
    }

    fn manifest() -> Manifest {
        let segments = vec![segment(1, 1, 4096, Some(7)), segment(2, 7, 4096, None)];
        Manifest { store: [3; 16], shards: 1, opening: 2, forgotten: Lsn(3), segments }
    }

    #[test]
    fn segments_of_which_nothing_is_left_become_one() {
        let gone = |id, first, next| segment(id, first, 0, Some(next));
        let segments = vec![gone(1, 1, 4), gone(2, 4, 9), segment(3, 9, 64, Some(12)), gone(4, 12, 13)];
        let mut manifest = Manifest { segments, ..manifest() };
        manifest.join_gone();
        assert_eq!(manifest.segments, [gone(2, 1, 9), segment(3, 9, 64, Some(12)), gone(4, 12, 13)]);
    }

    #[test]
    fn file_names_read_back() {
        for (id, generation) in [(1, 0), (7, 3), (999_999_999_999, 0)] {
            assert_eq!(segment_id(&segment_file(id, generation)), Some((id, generation)));
        }
        assert_eq!(segment_id("spare"), None);
        for foreign in ["000000000001-x.seg", "1.seg", "+00000000001.seg", "000000000001-0.seg", "000000000001-01.seg"]
        {
            assert_eq!(segment_id(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let disk = SimDisk::new();
        assert_eq!(Manifest::read(&disk).unwrap(), None);
        manifest().write(&disk).unwrap();
        assert_eq!(Manifest::read(&disk).unwrap(), Some(manifest()));
    }

    #[test]
    fn inv_s7_every_flip_and_every_cut_of_a_manifest_shows() {
        let good = manifest().encode();
        let read = |bytes: Vec<u8>| Manifest::read(&SimDisk::with_files([(MANIFEST.to_owned(), bytes)]));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(bad).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(read(good[..cut].to_vec()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_manifest_that_no_store_has_is_damage() {
        let read = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            Manifest::read(&SimDisk::with_files([(MANIFEST.to_owned(), manifest.encode())]))
        };
        assert!(read(|_| {}).is_ok());
        let flaws: [fn(&mut Manifest); 10] = [
            |manifest| manifest.shards = 0,
            |manifest| manifest.segments[0].generation = u32::MAX,
            |manifest| manifest.segments.clear(),
            |manifest| manifest.segments.truncate(1),
            |manifest| manifest.segments.swap(0, 1),
            |manifest| manifest.segments[1].first = Lsn(6),
            |manifest| manifest.segments[1].id = 1,
            |manifest| manifest.segments[1].id = u64::MAX,
            |manifest| manifest.segments[0].bytes = 511,
            |manifest| manifest.segments[1].bytes = 0,
        ];
        for (number, flaw) in flaws.into_iter().enumerate() {
            assert!(matches!(read(flaw), Err(OpenError::Failure(Failure::Damaged(_)))), "flaw {number}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = manifest().encode();
        bytes[8] = 9;
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let read = Manifest::read(&SimDisk::with_files([(MANIFEST.to_owned(), bytes)]));
        assert!(matches!(read, Err(OpenError::NewerFormat { found: 9, supported: 2, .. })));
    }
}
