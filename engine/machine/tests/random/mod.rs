//! Random lives: dice that choose commands and events, and a model that says what a run must be like.

pub mod commands;
pub mod events;
pub mod model;
pub mod world;

use rejoin_machine::{Failure, FailureKind, Payload, RunId, Span, Timestamp};

pub const RUN: RunId = RunId([7; 16]);

/// Bytes that choices are made from: proptest makes and shrinks them, down to the first of every choice.
pub struct Dice<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Dice<'a> {
        Dice { bytes, next: 0 }
    }

    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        byte
    }

    /// One of `count`; 0 where there is none.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    /// A length of time: mostly seconds, at times none or without end.
    pub fn span(&mut self) -> Span {
        self.pick(&[1, 2, 5, 1, 3, 8, 60, 0, 3_600, u64::MAX]).checked_mul(1_000_000).map_or(Span(u64::MAX), Span)
    }

    pub fn maybe_span(&mut self) -> Option<Span> {
        if self.once_in(3) { Some(self.span()) } else { None }
    }

    /// A point in time around `now`.
    pub fn time(&mut self, now: Timestamp) -> Timestamp {
        match self.below(12) {
            0 => Timestamp(i64::MAX),
            1 => Timestamp(i64::MIN),
            2 => now,
            _ => now.after(self.span()),
        }
    }

    pub fn name(&mut self) -> String {
        self.pick(&["a", "b", "c", "a", "b", "c", "", "a name that is longer than others"]).into()
    }

    pub fn payload(&mut self) -> Payload {
        Payload::from(vec![self.byte(); self.pick(&[1, 0, 2, 3, 1, 40])])
    }

    pub fn failure(&mut self) -> Failure {
        use FailureKind::{Application, Cancelled, HandedOff, Limit, Panic, Payload as Undecodable, Refused, TimedOut};
        let kind = self.pick(&[Application, Cancelled, TimedOut, Panic, Refused, Limit, Undecodable, HandedOff]);
        let details = self.once_in(3).then(|| self.payload());
        Failure { retryable: self.once_in(2), details, ..Failure::new(kind, &self.name(), self.name()) }
    }

    pub fn result(&mut self) -> Result<Payload, Failure> {
        if self.once_in(3) { Err(self.failure()) } else { Ok(self.payload()) }
    }
}
