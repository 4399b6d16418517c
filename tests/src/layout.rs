//! The bytes of a store as `FORMAT.md` draws them, found without the store's own reader: for those who damage and forge them.

use std::ops::Range;

/// The manifest's file.
pub const MANIFEST: &str = "MANIFEST";
/// Where a manifest's segments begin.
pub const MANIFEST_HEAD: usize = 52;
/// How long each of them is.
pub const MANIFEST_ENTRY: usize = 56;
/// Where the frames of a segment begin.
pub const SEGMENT_HEADER: usize = 64;
/// How long a frame's header is.
pub const FRAME_HEADER: usize = 40;
/// How long a record is before its payload.
pub const RECORD_HEADER: usize = 88;

/// A segment as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// The place of its first record.
    pub first: u64,
    /// How long its file is at least; 0: it has none.
    pub bytes: u64,
    /// Where its frames end; 0: it is open.
    pub end: u64,
    /// The place behind it; 0: it is open.
    pub next: u64,
    /// How often it was rewritten.
    pub generation: u32,
    /// Its bytes in the manifest.
    pub raw: Vec<u8>,
}

impl Entry {
    /// The name of its file.
    pub fn file(&self) -> String {
        match self.generation {
            0 => format!("{:012}.seg", self.id),
            generation => format!("{:012}-{generation}.seg", self.id),
        }
    }
}

/// What the manifest names.
pub fn entries(manifest: &[u8]) -> Vec<Entry> {
    let entries = manifest.get(MANIFEST_HEAD..).unwrap_or_default().chunks_exact(MANIFEST_ENTRY);
    let entry = |raw: &[u8]| Entry {
        id: u64_at(raw, 0),
        first: u64_at(raw, 8),
        bytes: u64_at(raw, 16),
        end: u64_at(raw, 24),
        next: u64_at(raw, 32),
        generation: u32_at(raw, 48),
        raw: raw.to_vec(),
    };
    entries.map(entry).collect()
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records.
    Batch,
    /// A note that what stands before it was durable.
    Seal,
    /// What a closed segment says of itself.
    Footer,
}

/// A frame that begins as one does; nothing else of it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub at: usize,
    /// How long its body says it is, without padding.
    pub length: usize,
    /// The place of its first record.
    pub first: u64,
    /// What it says was durable.
    pub synced: u64,
    /// The opening in which it was written.
    pub opening: u32,
}

impl Frame {
    /// Its body, as far as the file has it.
    pub fn body(&self, content: &[u8]) -> Range<usize> {
        let from = self.at + FRAME_HEADER;
        from..(from + self.length).min(content.len())
    }

    /// Where the next one begins.
    pub fn end(&self) -> usize {
        padded(self.at + FRAME_HEADER + self.length)
    }

    /// Its records: each from its header to its payload's end, without padding.
    pub fn records<'a>(&self, content: &'a [u8]) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let body = if self.kind == Kind::Batch { self.body(content) } else { 0..0 };
        let mut at = body.start;
        std::iter::from_fn(move || {
            let length = RECORD_HEADER + if at + 4 <= body.end { u32_at(content, at) as usize } else { body.end };
            let record = (at + length <= body.end).then_some(at..at + length)?;
            at = padded(record.end);
            Some(record)
        })
    }
}

/// The rows behind a footer, as far as the file has them.
pub fn rows(content: &[u8], footer: &Frame) -> Range<usize> {
    let body = footer.body(content);
    let (marks, stands) = (u32_at(content, body.start + 4) as usize, u32_at(content, body.start + 8) as usize);
    let stands = content.get(body.start + 24 + marks * 16..).unwrap_or_default().chunks_exact(44).take(stands);
    let lengths = stands.map(|stand| u32_at(stand, 40)).filter(|length| *length != u32::MAX);
    let from = footer.end().min(content.len());
    from..from.saturating_add(lengths.map(|length| length as usize).sum()).min(content.len())
}

/// The frames of a segment's file, one behind the other, or at the next place where one begins.
pub fn frames(content: &[u8]) -> impl Iterator<Item = Frame> + use<'_> {
    let mut at = SEGMENT_HEADER;
    std::iter::from_fn(move || {
        while at + FRAME_HEADER <= content.len() {
            let Some(frame) = frame(content, at) else {
                at += 8;
                continue;
            };
            at = if frame.end() <= content.len() { frame.end() } else { at + 8 };
            return Some(frame);
        }
        None
    })
}

fn frame(content: &[u8], at: usize) -> Option<Frame> {
    let kind = match &content[at..at + 4] {
        b"RJB1" => Kind::Batch,
        b"RJS1" => Kind::Seal,
        b"RJF2" => Kind::Footer,
        _ => return None,
    };
    let (length, first) = (u32_at(content, at + 4) as usize, u64_at(content, at + 8));
    Some(Frame { kind, at, length, first, synced: u64_at(content, at + 16), opening: u32_at(content, at + 28) })
}

/// The next multiple of 8.
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// The number at a place; 0 where the bytes end before.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|found| found.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The number at a place; 0 where the bytes end before.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|found| found.try_into().ok()).map_or(0, u64::from_le_bytes)
}
