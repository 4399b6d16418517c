//! Somebody who changes a log and knows its format: all checksums fit again, and only the chains cannot be made to.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, mem};

const SEGMENT_HEADER: usize = 64;
const FRAME_HEADER: usize = 40;
const RECORD_HEADER: usize = 88;

/// The first segment of a store, taken apart.
pub struct Forger {
    file: std::path::PathBuf,
    head: Vec<u8>,
    length: usize,
    frames: Vec<Frame>,
}

struct Frame {
    kind: [u8; 4],
    opening: u32,
    records: Vec<Forged>,
}

/// A record, as it stands in the file, without padding.
#[derive(Clone)]
pub struct Forged(pub Vec<u8>);

impl Forged {
    pub fn stream(&self) -> [u8; 16] {
        self.0[8..24].try_into().unwrap()
    }

    pub fn version(&self) -> u64 {
        u64::from_le_bytes(self.0[24..32].try_into().unwrap())
    }

    /// Swaps everything but names, numbers and chains.
    pub fn swap_contents(&mut self, other: &mut Forged) {
        let (own, others) = (self.0.split_off(RECORD_HEADER), other.0.split_off(RECORD_HEADER));
        self.0.extend(others);
        other.0.extend(own);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Forger {
    pub fn open(folder: &Path) -> Forger {
        let file = folder.join("000000000001.seg");
        let bytes = fs::read(&file).unwrap();
        let (mut at, mut frames) = (SEGMENT_HEADER, Vec::new());
        while bytes.len() > at + FRAME_HEADER && bytes[at] == b'R' {
            let length = u32_at(&bytes, at + 4) as usize;
            let body = &bytes[at + FRAME_HEADER..at + FRAME_HEADER + length];
            let (mut within, mut records) = (0, Vec::new());
            while within < body.len() {
                let end = RECORD_HEADER + u32_at(body, within) as usize;
                records.push(Forged(body[within..within + end].to_vec()));
                within += end.next_multiple_of(8);
            }
            let kind = bytes[at..at + 4].try_into().unwrap();
            frames.push(Frame { kind, opening: u32_at(&bytes, at + 28), records });
            at += (FRAME_HEADER + length).next_multiple_of(8);
        }
        Forger { file, head: bytes[..SEGMENT_HEADER].to_vec(), length: bytes.len(), frames }
    }

    /// All records, in order; those that are dropped from a frame are gone.
    pub fn each(&mut self, mut change: impl FnMut(&mut Vec<Forged>)) -> &mut Forger {
        self.frames.iter_mut().for_each(|frame| change(&mut frame.records));
        self
    }

    /// Keeps only so many frames with records, and no seal.
    pub fn cut(&mut self, frames: usize) -> &mut Forger {
        self.frames.retain(|frame| &frame.kind == b"RJB1");
        self.frames.truncate(frames);
        self
    }

    pub fn frames(&self) -> usize {
        self.frames.iter().filter(|frame| &frame.kind == b"RJB1").count()
    }

    /// Writes it back: versions, places, pointers and checksums are those of what is there now.
    pub fn write(&mut self) {
        let mut out = mem::take(&mut self.head);
        let store: Vec<u8> = out[16..32].to_vec();
        let mut place = 1_u64;
        let mut heads: HashMap<[u8; 16], (u64, u64)> = HashMap::new();
        for frame in self.frames.iter().filter(|frame| &frame.kind != b"RJB1" || !frame.records.is_empty()) {
            let opening = frame.opening.to_le_bytes();
            let seed = crc32c::crc32c(&[&store[..], &1_u64.to_le_bytes(), &opening].concat());
            let first = place;
            let mut body = Vec::new();
            for Forged(record) in &frame.records {
                let (mut record, stream) = (record.clone(), Forged(record.clone()).stream());
                let (version, previous) = heads.get(&stream).copied().unwrap_or_default();
                record[24..32].copy_from_slice(&(version + 1).to_le_bytes());
                record[48..56].copy_from_slice(&previous.to_le_bytes());
                let payload = (record.len() - RECORD_HEADER) as u32;
                record[..4].copy_from_slice(&payload.to_le_bytes());
                let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &record[..4]), &record[8..]);
                record[4..8].copy_from_slice(&crc.to_le_bytes());
                heads.insert(stream, (version + 1, place));
                place += 1;
                record.resize(record.len().next_multiple_of(8), 0);
                body.extend(record);
            }
            let mut header = frame.kind.to_vec();
            header.extend((body.len() as u32).to_le_bytes());
            header.extend(first.to_le_bytes());
            header.extend((out.len() as u64).to_le_bytes());
            header.extend((frame.records.len() as u32).to_le_bytes());
            header.extend(opening);
            header.extend([0; 4]);
            header.extend(crc32c::crc32c_append(seed, &header).to_le_bytes());
            out.extend(header);
            out.extend(body);
        }
        out.resize(self.length, 0);
        fs::write(&self.file, out).unwrap();
    }
}
