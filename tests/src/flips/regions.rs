//! What each byte of a store is.

use crate::layout::{FRAME_HEADER, Frame, Kind, MANIFEST, SEGMENT_HEADER, frames, rows};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// The manifest.
    Manifest,
    /// The header of a segment.
    Header,
    /// The header of a frame.
    FrameHeader,
    /// A record.
    Record,
    /// What fills up to a multiple of eight bytes.
    Padding,
    /// A footer, and the rows behind it.
    Footer,
    /// Zeros behind all of that.
    Zeros,
}

/// A bit of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the file.
    pub file: usize,
    /// The number of the bit in it.
    pub bit: usize,
    /// What it is part of.
    pub region: Region,
}

/// A part of a file.
type Part = (usize, Range<usize>);

/// All bytes of a store, by what they are.
#[derive(Default)]
pub struct Regions {
    parts: BTreeMap<Region, Vec<Part>>,
}

impl Regions {
    /// Of the manifest and the segments of a store in order.
    pub fn of<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Regions {
        let mut regions = Regions::default();
        for (file, (name, content)) in files.enumerate() {
            if name == MANIFEST {
                regions.add(Region::Manifest, file, 0..content.len());
            } else {
                regions.add_segment(file, content);
            }
        }
        regions
    }

    fn add(&mut self, region: Region, file: usize, range: Range<usize>) {
        if !range.is_empty() {
            self.parts.entry(region).or_default().push((file, range));
        }
    }

    fn add_segment(&mut self, file: usize, content: &[u8]) {
        self.add(Region::Header, file, 0..SEGMENT_HEADER);
        let mut end = SEGMENT_HEADER;
        for frame in frames(content) {
            assert_eq!(frame.at, end, "a store in order has one frame behind the other");
            end = self.add_frame(file, content, &frame);
        }
        self.add(Region::Zeros, file, end..content.len());
    }

    /// Adds a frame's parts; where they end.
    fn add_frame(&mut self, file: usize, content: &[u8], frame: &Frame) -> usize {
        let (body, end) = (frame.body(content), frame.end().min(content.len()));
        if frame.kind == Kind::Footer {
            let rows = rows(content, frame);
            self.add(Region::Footer, file, frame.at..body.end);
            self.add(Region::Padding, file, body.end..end);
            self.add(Region::Footer, file, rows.clone());
            return rows.end;
        }
        self.add(Region::FrameHeader, file, frame.at..frame.at + FRAME_HEADER);
        let mut at = body.start;
        for record in frame.records(content) {
            self.add(Region::Padding, file, at..record.start);
            at = record.end;
            self.add(Region::Record, file, record);
        }
        self.add(Region::Padding, file, at..end);
        end
    }

    /// How many bytes a region has.
    pub fn bytes(&self, region: Region) -> usize {
        self.parts.get(&region).map_or(0, |parts| parts.iter().map(|(_, range)| range.len()).sum())
    }

    /// The place of a flip: of every second one any bit of the store, as likely as each other; of the others a bit of each
    /// region in turn, since most bytes are records.
    pub fn draw(&self, seed: u64, number: u64) -> Place {
        let chance = mixed(seed ^ mixed(number));
        if number.is_multiple_of(2) {
            let total: usize = self.parts.keys().map(|region| self.bytes(*region)).sum();
            let mut bit = (chance % (total as u64 * 8)) as usize;
            for region in self.parts.keys() {
                let bits = self.bytes(*region) * 8;
                if bit < bits {
                    return self.place(*region, bit);
                }
                bit -= bits;
            }
        }
        let turn = (number / 2) as usize % self.parts.len();
        let region = *self.parts.keys().nth(turn).expect("it is below their number");
        self.place(region, (chance % (self.bytes(region) as u64 * 8)) as usize)
    }

    fn place(&self, region: Region, mut bit: usize) -> Place {
        for (file, range) in &self.parts[&region] {
            if bit < range.len() * 8 {
                return Place { file: *file, bit: range.start * 8 + bit, region };
            }
            bit -= range.len() * 8;
        }
        unreachable!("the bit is one of the region's")
    }
}

/// SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
