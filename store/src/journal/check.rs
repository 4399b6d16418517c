//! What the records read so far lead one to expect of the next: versions, back pointers, chains, and what footers say.
//!
//! Each stream is followed by itself, so several checks can follow a part of the streams each, side by side.

use super::footer::{Footer, Grave, Stand};
use super::frame::{RECORD_HEADER, Seen, padded};
use super::verify::{Loaded, Visit};
use crate::error::Damage;
use crate::record::{Chain, GENESIS, Head, Lsn, StreamId, StreamMap, TOMBSTONE, link};

/// One of several parts of all streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Part {
    fn has(self, stream: StreamId) -> bool {
        // Ids are times and hashes; all of their bytes together are even enough.
        let mixed = u128::from_le_bytes(stream.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 64;
        self.of < 2 || mixed as usize % self.of == self.number
    }
}

/// Follows a part of the streams.
pub(super) struct Check<'a> {
    part: Part,
    tips: StreamMap<Tip>,
    /// Where the last tombstone of each stream stands that has one: what stands before it is a life that has ended, and
    /// parts of it may have been cleaned away.
    graves: &'a StreamMap<Lsn>,
    /// The segment that is being read, how many streams have a record in it, and their tombstones.
    segment: u64,
    touched: usize,
    buried: StreamMap<Grave>,
    pub(super) records: u64,
    pub(super) dead: u64,
}

/// How a stream stands.
#[derive(Clone, Copy)]
struct Tip {
    head: Head,
    chain: Chain,
    /// Its last record is a tombstone.
    ended: bool,
    /// The last segment that it has a record in, and how many bytes it has there.
    segment: u64,
    bytes: u64,
}

const NEW: Tip = Tip {
    head: Head { version: crate::record::Version::NONE, lsn: Lsn(0) },
    chain: GENESIS,
    ended: false,
    segment: 0,
    bytes: 0,
};

impl<'a> Check<'a> {
    pub(super) fn new(part: Part, graves: &'a StreamMap<Lsn>) -> Check<'a> {
        let (tips, buried) = (StreamMap::default(), StreamMap::default());
        Check { part, tips, graves, segment: 0, touched: 0, buried, records: 0, dead: 0 }
    }

    /// How many streams exist.
    pub(super) fn streams(&self) -> u64 {
        self.tips.values().filter(|tip| !tip.ended).count() as u64
    }

    /// Follows its streams through a segment.
    pub(super) fn segment(&mut self, loaded: &Loaded, visit: &mut impl Visit) -> Result<(), Damage> {
        (self.segment, self.touched) = (loaded.segment.id, 0);
        self.buried.clear();
        for batch in &loaded.batches {
            for seen in batch.records(&loaded.file, &loaded.content) {
                if !self.part.has(seen.stream) {
                    continue;
                }
                if self.take(&seen)? {
                    self.dead += 1;
                    visit.dead(&seen);
                } else {
                    self.records += 1;
                    visit.record(&seen);
                }
            }
        }
        let disagreement = loaded.footer.as_ref().and_then(|footer| self.disagreement(footer));
        disagreement.map_or(Ok(()), |what| Err(Damage { file: loaded.file.clone(), offset: loaded.end, what }))
    }

    /// Takes the next record; `true` if it belongs to a life of its stream that has ended.
    fn take(&mut self, seen: &Seen<'_>) -> Result<bool, Damage> {
        let Seen { lsn, stream, version, time, format, previous, chain, payload, file, offset } = *seen;
        let damage = |what: String| Err(Damage { file: file.to_owned(), offset, what });
        let tip = self.tips.entry(stream).or_insert(NEW);
        let (head, before) = if tip.ended { (Head::default(), GENESIS) } else { (tip.head, tip.chain) };
        let follows = version == head.version.next() && previous == head.lsn;
        let ended = !self.graves.is_empty() && self.graves.get(&stream).is_some_and(|grave| lsn <= *grave);
        if !follows && !ended {
            return damage(format!("stream {stream} version {version} follows version {}", head.version));
        }
        if follows && link(&before, stream, version, time, format, payload) != chain {
            return damage(format!("stream {stream} version {version} breaks the stream's hash chain"));
        }
        if tip.segment != self.segment {
            (tip.segment, tip.bytes) = (self.segment, 0);
            self.touched += 1;
        }
        let own = padded(RECORD_HEADER + payload.len()) as u64;
        if format == TOMBSTONE {
            self.buried.insert(stream, Grave { lsn, own, before: tip.bytes });
        }
        (tip.head, tip.chain, tip.ended) = (Head { version, lsn }, chain, format == TOMBSTONE);
        tip.bytes += own;
        Ok(ended)
    }

    /// What a footer says of its segment's streams that is not so.
    fn disagreement(&self, footer: &Footer) -> Option<String> {
        let own = |stream: &StreamId| self.part.has(*stream);
        let is_so = |(stream, stand): &(StreamId, Stand)| {
            let tip = self.tips.get(stream).filter(|tip| tip.segment == self.segment);
            tip.is_some_and(|tip| (tip.head, tip.bytes) == (stand.head, stand.bytes))
        };
        let mut named = 0;
        for entry in footer.stands.iter().filter(|(stream, _)| own(stream)) {
            if !is_so(entry) {
                return Some(format!("the footer disagrees with the records of stream {}", entry.0));
            }
            named += 1;
        }
        if named != self.touched {
            return Some("the footer does not name the streams and records that stand here".to_owned());
        }
        let mut graves = 0;
        let buried = |(stream, grave): &(StreamId, Grave)| self.buried.get(stream) == Some(grave);
        for grave in footer.graves.iter().filter(|(stream, _)| own(stream)) {
            if !buried(grave) {
                return Some(format!("the footer disagrees with the tombstone of stream {}", grave.0));
            }
            graves += 1;
        }
        (graves != self.buried.len()).then(|| "the footer does not name the tombstones that stand here".to_owned())
    }
}
