//! The suite, run against the backends of this crate.

use super::*;
use crate::disk::{Disk, Folder};
use crate::journal::{Journal, Options, Upkeep};
use crate::memory::Memory;
use crate::simulated::SimDisk;
use tempfile::TempDir;

struct InMemory;

impl Backend for InMemory {
    fn open(&mut self, setup: Setup) -> Box<dyn Log> {
        Box::new(Memory::new(setup.shards, fold()).with_batch_limit(setup.batch_limit))
    }
    fn reopen(&mut self) -> Option<Box<dyn Log>> {
        None
    }
}

/// Segments so small that nearly every case fills some.
fn small(setup: Setup, upkeep: Upkeep) -> Options {
    let Setup { shards, batch_limit } = setup;
    let sizes = Options { first_segment: 4096, largest_segment: 16_384, ..Options::default() };
    Options { shards, batch_limit, upkeep, fold: fold(), ..sizes }
}

/// Segments in which readers find their way by several marks.
fn large(setup: Setup) -> Options {
    Options { first_segment: 1 << 20, largest_segment: 1 << 20, ..small(setup, Upkeep::Inline) }
}

fn journal(disk: impl Disk + 'static, options: Options) -> Box<dyn Log> {
    let journal = Journal::open(disk, options).expect("a store in order opens");
    assert_eq!(journal.cut(), None, "a store that was closed is not torn");
    Box::new(journal)
}

#[derive(Default)]
struct OnSimDisk {
    disk: SimDisk,
    setup: Setup,
}

impl Backend for OnSimDisk {
    fn open(&mut self, setup: Setup) -> Box<dyn Log> {
        self.setup = setup;
        journal(self.disk.clone(), small(setup, Upkeep::Inline))
    }
    fn reopen(&mut self) -> Option<Box<dyn Log>> {
        // One shard is what is asked for, and not what the store has.
        let setup = Setup { shards: 1, ..self.setup };
        Some(journal(self.disk.clone(), small(setup, Upkeep::Inline)))
    }
}

#[derive(Default)]
struct InLargeSegments {
    disk: SimDisk,
    setup: Setup,
}

impl Backend for InLargeSegments {
    fn open(&mut self, setup: Setup) -> Box<dyn Log> {
        self.setup = setup;
        journal(self.disk.clone(), large(setup))
    }
    fn reopen(&mut self) -> Option<Box<dyn Log>> {
        Some(journal(self.disk.clone(), large(self.setup)))
    }
}

struct InFolder {
    folder: TempDir,
    setup: Setup,
}

impl InFolder {
    fn new() -> InFolder {
        InFolder { folder: tempfile::tempdir().expect("a folder for the test"), setup: Setup::default() }
    }
    fn journal(&self) -> Box<dyn Log> {
        let disk = Folder::create(self.folder.path()).expect("a folder for the test");
        journal(disk, small(self.setup, Upkeep::Background))
    }
}

impl Backend for InFolder {
    fn open(&mut self, setup: Setup) -> Box<dyn Log> {
        self.setup = setup;
        self.journal()
    }
    fn reopen(&mut self) -> Option<Box<dyn Log>> {
        Some(self.journal())
    }
}

mod memory {
    use super::*;
    conformance!(volatile, InMemory);
}

mod journal_on_a_simulated_disk {
    use super::*;
    conformance!(durable, OnSimDisk::default());
}

mod journal_in_large_segments {
    use super::*;
    conformance!(durable, InLargeSegments::default());
}

mod journal_in_a_folder {
    use super::*;
    conformance!(durable, InFolder::new());
}
