//! The manifest: which segments make up the log. Replaced as a whole, by rename.

use crate::bytes::{Put, Take};
use crate::disk::{Disk, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::record::Lsn;
use std::io;

pub(crate) const MANIFEST: &str = "MANIFEST";
const MANIFEST_NEW: &str = "MANIFEST.new";
const MAGIC: [u8; 8] = *b"REJOINMF";

/// The format version that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: [u8; 16],
    pub(crate) shards: u16,
    /// How often the store was opened for writing.
    pub(crate) opening: u32,
    /// All segments, oldest first; only the last one is open.
    pub(crate) segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    /// The place of its first record.
    pub(crate) first: Lsn,
    /// How long the file is at least; shorter is damage.
    pub(crate) bytes: u64,
    pub(crate) closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Where its footer begins.
    pub(crate) footer: u64,
    /// The place of the first record behind it.
    pub(crate) next: Lsn,
}

impl Segment {
    pub(crate) fn file(&self) -> String {
        segment_file(self.id)
    }
}

pub(crate) fn segment_file(id: u64) -> String {
    format!("{id:012}.seg")
}

/// The number of the segment that a file's name says it is.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

impl Manifest {
    pub(crate) fn open_segment(&self) -> Option<&Segment> {
        self.segments.last().filter(|segment| segment.closed.is_none())
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
        out.put_u32(self.segments.len() as u32);
        for segment in &self.segments {
            out.put_u64(segment.id);
            out.put_u64(segment.first.0);
            out.put_u64(segment.bytes);
            let closed = segment.closed.unwrap_or(Closed { footer: 0, next: Lsn(0) });
            out.put_u64(closed.footer);
            out.put_u64(closed.next.0);
        }
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Manifest> {
        let mut take = Take(bytes);
        take.bytes(16)?;
        let store = take.array()?;
        let shards = take.u16()?;
        take.u16()?;
        let opening = take.u32()?;
        let count = take.u32()?;
        let mut segments = Vec::new();
        for _ in 0..count {
            let (id, first, bytes) = (take.u64()?, Lsn(take.u64()?), take.u64()?);
            let closed = Closed { footer: take.u64()?, next: Lsn(take.u64()?) };
            segments.push(Segment { id, first, bytes, closed: (closed.footer > 0).then_some(closed) });
        }
        take.0.is_empty().then_some(Manifest { store, shards, opening, segments })
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
        Ok(Some(Manifest::decode(&bytes).ok_or_else(|| damage("its fields do not fit its length"))?))
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

    fn manifest() -> Manifest {
        let closed = Segment { id: 1, first: Lsn(1), bytes: 4096, closed: Some(Closed { footer: 512, next: Lsn(7) }) };
        let open = Segment { id: 2, first: Lsn(7), bytes: 4096, closed: None };
        Manifest { store: [3; 16], shards: 1, opening: 2, segments: vec![closed, open] }
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
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = manifest().encode();
        bytes[8] = 9;
        let crc = checksum(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let read = Manifest::read(&SimDisk::with_files([(MANIFEST.to_owned(), bytes)]));
        assert!(matches!(read, Err(OpenError::NewerFormat { found: 9, supported: 1, .. })));
    }
}
