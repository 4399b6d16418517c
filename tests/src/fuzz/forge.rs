//! What becomes of a store's files: **damage**, such as a disk does, and **forgery**, which a disk does not: fields of any value
//! under checksums that match, so that what is behind the checksums is reached too.

use super::Draw;
use crate::layout::{Frame, Kind, MANIFEST, RECORD_HEADER, SEGMENT_HEADER, entries, frames, rows, u32_at, u64_at};
use rejoin_store::{Chain, GENESIS, StreamId, TOMBSTONE, Version, link};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The files of a store, by name.
pub type Files = Vec<(String, Arc<Vec<u8>>)>;

/// The most changes to one store.
const CHANGES: usize = 12;
const DAMAGES: usize = 8;

/// What is done to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Bytes change, and no checksum follows. Nothing that is drawn becomes content, or a fuzzer would draw checksums.
    Damage,
    /// Any field changes, and its checksums with it.
    Checksums,
    /// And the chains of the records.
    Chains,
}

/// Changes the files as the bytes say.
pub fn change(files: &mut Files, means: Means, draw: &mut Draw<'_>) {
    for _ in 0..CHANGES {
        if draw.0.is_empty() || files.is_empty() {
            break;
        }
        let kind = draw.byte() as usize % if means == Means::Damage { DAMAGES } else { DAMAGES + 3 };
        let file = draw.below(files.len());
        let at = draw.below(files[file].1.len() + 1);
        if kind < DAMAGES { damage(files, kind, file, at, draw) } else { forge(files, kind - DAMAGES, file, at, draw) }
    }
    match means {
        Means::Damage => {}
        Means::Checksums => sign(files),
        Means::Chains => {
            chain(files);
            sign(files);
        }
    }
}

fn damage(files: &mut Files, kind: usize, file: usize, at: usize, draw: &mut Draw<'_>) {
    let length = draw.byte() as usize * if kind == 1 { 8 } else { 1 } + 1;
    if kind == 3 {
        let from = draw.below(files.len());
        let from_at = draw.below(files[from].1.len() + 1);
        let copy: Vec<u8> = files[from].1[from_at..].iter().take(length).copied().collect();
        return put(content(files, file), at, &copy);
    }
    match kind {
        0 => flip(content(files, file), at, length as u8 | 1),
        1 => content(files, file)[at..].iter_mut().take(length).for_each(|byte| *byte = 0),
        2 => rubbish(&mut content(files, file)[at..], length),
        4 => content(files, file).truncate(at),
        5 => content(files, file).extend(std::iter::repeat_n(0, length)),
        6 => drop(files.remove(file)),
        _ => {
            let other = length % files.len();
            files[other].1 = files[file].1.clone();
        }
    }
}

fn forge(files: &mut Files, kind: usize, file: usize, at: usize, draw: &mut Draw<'_>) {
    let content = content(files, file);
    match kind {
        0 => {
            const VALUES: [u64; 8] = [0, 1, 2, u32::MAX as u64, u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 32];
            let value = VALUES[draw.below(VALUES.len())].to_le_bytes();
            let width = if draw.byte().is_multiple_of(2) { 8 } else { 4 };
            put(content, at & !3, &value[..width]);
        }
        1 => {
            let at = at & !3;
            let by = u64::from(draw.byte()).wrapping_sub(128);
            let value = u64_at(content, at).wrapping_add(by).to_le_bytes();
            put(content, at, &value);
        }
        _ => {
            let (bytes, rest) = draw.0.split_at(draw.0.len().min(8));
            draw.0 = rest;
            put(content, at, bytes);
        }
    }
}

fn content(files: &mut Files, file: usize) -> &mut Vec<u8> {
    Arc::make_mut(&mut files[file].1)
}

fn put(content: &mut [u8], at: usize, bytes: &[u8]) {
    content.iter_mut().skip(at).zip(bytes).for_each(|(byte, new)| *byte = *new);
}

fn flip(content: &mut [u8], at: usize, by: u8) {
    if let Some(byte) = content.get_mut(at) {
        *byte ^= by;
    }
}

fn rubbish(content: &mut [u8], seed: usize) {
    let mut state = seed as u64;
    for byte in content.iter_mut().take(seed) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *byte = (state >> 33) as u8;
    }
}

/// The place that a segment's checksums begin with.
struct Place {
    store: [u8; 16],
    id: u64,
    generation: u32,
}

impl Place {
    fn seed(&self, opening: u32) -> u32 {
        let seed = crc32c::crc32c_append(crc32c::crc32c(&self.store), &self.id.to_le_bytes());
        let seed = crc32c::crc32c_append(seed, &opening.to_le_bytes());
        if self.generation == 0 { seed } else { crc32c::crc32c_append(seed, &self.generation.to_le_bytes()) }
    }
}

/// Makes every checksum match what it covers.
fn sign(files: &mut Files) {
    let mut store = [0; 16];
    for (_, content) in files.iter_mut().filter(|(name, content)| name == MANIFEST && content.len() >= 32) {
        let content = Arc::make_mut(content);
        store.copy_from_slice(&content[16..32]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&content[..12]), &content[16..]);
        put(content, 12, &crc.to_le_bytes());
    }
    for (name, content) in files {
        let Some(stem) = name.strip_suffix(".seg") else { continue };
        let (id, generation) = stem.split_once('-').unwrap_or((stem, "0"));
        let (Ok(id), Ok(generation)) = (id.parse(), generation.parse()) else { continue };
        let content: &mut Vec<u8> = Arc::make_mut(content);
        sign_segment(content, &Place { store, id, generation });
    }
}

fn sign_segment(content: &mut [u8], place: &Place) {
    if content.len() < SEGMENT_HEADER {
        return;
    }
    content[12..16].fill(0);
    let crc = crc32c::crc32c(&content[..SEGMENT_HEADER]);
    put(content, 12, &crc.to_le_bytes());
    for frame in frames(content).collect::<Vec<Frame>>() {
        let seed = place.seed(frame.opening);
        for record in frame.records(content).collect::<Vec<_>>() {
            let bytes = &content[record.clone()];
            let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes[..4]), &bytes[8..]);
            put(content, record.start + 4, &crc.to_le_bytes());
        }
        if frame.kind == Kind::Footer {
            sign_footer(content, &frame, seed);
        }
        let crc = crc32c::crc32c_append(seed, &content[frame.at..frame.at + 36]);
        put(content, frame.at + 36, &crc.to_le_bytes());
    }
}

fn sign_footer(content: &mut [u8], frame: &Frame, seed: u32) {
    let body = frame.body(content);
    if body.len() >= 28 {
        let crc = crc32c::crc32c_append(seed, &content[rows(content, frame)]);
        put(content, body.end - 4, &crc.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(seed, &content[body]);
    put(content, frame.at + 32, &crc.to_le_bytes());
}

/// Gives each record the chain that follows from those before it.
fn chain(files: &mut Files) {
    let Some((_, manifest)) = files.iter().find(|(name, _)| name == MANIFEST) else { return };
    let mut chains: HashMap<StreamId, Chain> = HashMap::new();
    for name in entries(manifest).iter().map(|entry| entry.file()) {
        let Some((_, content)) = files.iter_mut().find(|(file, _)| *file == name) else { continue };
        let content = Arc::make_mut(content);
        let frames: Vec<Frame> = frames(content).collect();
        let records: Vec<Range<usize>> = frames.iter().flat_map(|frame| frame.records(content)).collect();
        for record in records {
            let mut stream = [0; 16];
            stream.copy_from_slice(&content[record.start + 8..record.start + 24]);
            let (stream, format) = (StreamId(stream), u32_at(content, record.start + 40) as u16);
            let (version, time) = (u64_at(content, record.start + 24), u64_at(content, record.start + 32) as i64);
            let before = chains.get(&stream).copied().unwrap_or(GENESIS);
            let payload = &content[record.start + RECORD_HEADER..record.end];
            let next = link(&before, stream, Version(version), time, format, payload);
            put(content, record.start + 56, &next);
            if format == TOMBSTONE {
                chains.remove(&stream)
            } else {
                chains.insert(stream, next)
            };
        }
    }
}
