//! How much is done at a time.

/// How much is done at a time, before others have their turn. Nobody should have to choose these; a simulation makes them small,
/// so that every boundary is met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How many records a batch may have before the starts of new runs, and cancellations that go further down, wait for a
    /// batch of their own. What a child's end does to its parent never waits.
    pub(crate) batch: usize,
    /// How many runs time wakes before others have their turn, and the log its commit.
    pub(crate) woken: usize,
    /// How much of one run time may bring about before it is others' turn.
    pub(crate) turns: u32,
    /// How many timers are read from the index at a time.
    pub(crate) timers: usize,
    /// How many entries a sweep for what is old looks at, and after how many deleted runs it ends.
    pub(crate) swept: usize,
    pub(crate) deleted: usize,
    /// How many tombstones a batch may have.
    pub(crate) tombstones: usize,
    /// How many records a follower reads at a time.
    pub(crate) page: usize,
    /// How many runs that wait in a queue are read at a time.
    pub(crate) queued: usize,
    /// How many entries of each part of a list are read at a time.
    pub(crate) listed: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            batch: 1024,
            woken: 512,
            turns: 100,
            timers: 10_000,
            swept: 2048,
            deleted: 512,
            tombstones: 1024,
            page: 256,
            queued: 256,
            listed: 64,
        }
    }
}
