//! The suite as a backend outside this crate uses it.
#![cfg(feature = "conformance")]

use rejoin_store::Log;
use rejoin_store::conformance::{Backend, Setup, fold};
use rejoin_store::memory::Memory;

struct Outside;

impl Backend for Outside {
    fn open(&mut self, setup: Setup) -> Box<dyn Log> {
        Box::new(Memory::new(setup.shards, fold()).with_batch_limit(setup.batch_limit))
    }
    fn reopen(&mut self) -> Option<Box<dyn Log>> {
        None
    }
}

rejoin_store::conformance!(volatile, Outside);
