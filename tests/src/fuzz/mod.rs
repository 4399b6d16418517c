//! What the fuzz targets check, for them and for `tests/corpora.rs`, which replays what they found.

pub mod codec;
pub mod definition;
pub mod expression;
mod forge;
pub mod import;
pub mod machine;
mod original;
pub mod segment;

/// What is drawn from a fuzzer's bytes: zeros when they are used up.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn number<const N: usize>(&mut self) -> u64 {
        (0..N).fold(0, |number, at| number | u64::from(self.byte()) << (8 * at))
    }

    /// A number below a bound, which is at most 65,536; 0 where there is none.
    fn below(&mut self, bound: usize) -> usize {
        self.number::<2>() as usize % bound.max(1)
    }
}
