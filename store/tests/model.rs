//! The same random operations on two backends: the journal must answer as the reference does.
//!
//! Beside appends, commits, seals and reads the journal is closed, killed and cut off from power. What a crash may
//! leave open, how many of the uncommitted batches survived, is read from the journal and done to the reference.

mod script;

use proptest::prelude::*;
use rejoin_store::memory::Memory;
use rejoin_store::simulated::{Outcome, SimDisk};
use rejoin_store::{Log, Lsn, NewRecord, Shard, Version};
use script::{everything, open, options, payload, stream};

#[derive(Clone, Debug)]
enum Operation {
    /// Records for streams; each expects the true version, or one that is off by some.
    Append(Vec<(usize, i64, usize)>),
    Commit,
    Seal,
    Read(usize, u64, usize),
    Follow(u64, usize),
    Close,
    Kill,
    Crash(Outcome, u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let length = prop_oneof![8 => 0..300usize, 2 => 300..2_000usize, 1 => 4_000..20_000usize];
    let off = prop_oneof![12 => Just(0i64), 1 => -1..3i64];
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    prop_oneof![
        8 => prop::collection::vec((0..4usize, off, length), 0..5).prop_map(Operation::Append),
        5 => Just(Operation::Commit),
        1 => Just(Operation::Seal),
        2 => (0..5usize, 0..20u64, 0..10usize).prop_map(|(to, from, limit)| Operation::Read(to, from, limit)),
        2 => (0..60u64, 0..10usize).prop_map(|(after, limit)| Operation::Follow(after, limit)),
        1 => Just(Operation::Close),
        1 => Just(Operation::Kill),
        1 => (outcome, any::<u64>()).prop_map(|(outcome, seed)| Operation::Crash(outcome, seed)),
    ]
}

/// Both backends, and the batches that both took.
struct Pair {
    disk: SimDisk,
    journal: rejoin_store::journal::Journal,
    memory: Memory,
    batches: Vec<Vec<NewRecord>>,
    /// Records that a commit made durable.
    acked: u64,
}

impl Pair {
    fn new() -> Pair {
        let disk = SimDisk::new();
        let journal = open(&disk).expect("a new store");
        Pair { disk, journal, memory: reference(), batches: Vec::new(), acked: 0 }
    }

    fn append(&mut self, records: &[(usize, i64, usize)]) {
        let mut versions = [0u64; 4];
        for (to, version) in versions.iter_mut().enumerate() {
            *version = self.memory.head(stream(to)).map_or(0, |head| head.version.0);
        }
        let batch: Vec<NewRecord> = records
            .iter()
            .map(|(to, off, length)| {
                let expected = Version(versions[*to].saturating_add_signed(*off));
                versions[*to] += 1;
                NewRecord { stream: stream(*to), expected, time: *off, format: 1, payload: payload(*length, *to) }
            })
            .collect();
        match (self.journal.append(&batch), self.memory.append(&batch)) {
            (Ok(journal), Ok(memory)) => {
                assert_eq!(journal, memory);
                if memory.is_ok() {
                    self.batches.push(batch);
                }
            }
            (Err(journal), Err(memory)) => assert_eq!(journal.to_string(), memory.to_string()),
            (journal, memory) => panic!("{journal:?} where the reference says {memory:?}"),
        }
    }

    /// Puts the journal of this disk in the place of the one that is gone, and the reference to the same state.
    fn restart(self, disk: SimDisk) -> Pair {
        let journal = open(&disk).unwrap_or_else(|error| panic!("recovery: {error}"));
        let durable = journal.durable();
        assert!(durable.0 >= self.acked, "{durable} records are left of {}", self.acked);
        let memory = reference();
        let mut batches = self.batches;
        let mut kept = 0;
        while memory.commit().expect("a commit") < durable {
            memory.append(&batches[kept]).expect("room").expect("no conflict");
            kept += 1;
        }
        batches.truncate(kept);
        Pair { disk, journal, memory, batches, acked: durable.0 }
    }

    fn compare(&self) {
        assert_eq!(everything(&self.journal, "journal"), everything(&self.memory, "reference"));
        for n in 0..5 {
            assert_eq!(self.journal.head(stream(n)), self.memory.head(stream(n)));
        }
    }

    fn run(mut self, operation: &Operation) -> Pair {
        match operation {
            Operation::Append(records) => self.append(records),
            Operation::Commit => {
                let durable = self.journal.commit().expect("a commit");
                assert_eq!(durable, self.memory.commit().expect("a commit"));
                self.acked = durable.0;
            }
            Operation::Seal => {
                self.journal.seal().expect("a seal");
                self.memory.seal().expect("a seal");
                self.acked = self.journal.durable().0;
            }
            Operation::Read(to, from, limit) => {
                // A journal that began a segment meanwhile has committed; the reference follows.
                let read = |log: &dyn Log| log.read(stream(*to), Version(*from), *limit).expect("a readable stream");
                if self.journal.durable() == self.memory.durable() {
                    assert_eq!(read(&self.journal), read(&self.memory));
                }
            }
            Operation::Follow(after, limit) => {
                let follow = |log: &dyn Log| log.follow(Shard(0), Lsn(*after), *limit).expect("a readable feed");
                if self.journal.durable() == self.memory.durable() {
                    assert_eq!(follow(&self.journal), follow(&self.memory));
                }
            }
            Operation::Close => {
                // Which commits what was appended.
                let acked = self.memory.commit().expect("a commit").0;
                let Pair { disk, journal, memory, batches, .. } = self;
                drop(journal);
                let disk = disk.crash(Outcome::Lost, 0);
                let journal = open(&disk).expect("a closed store");
                assert_eq!((journal.durable(), journal.cut()), (Lsn(acked), None));
                return Pair { disk, journal, memory, batches, acked };
            }
            Operation::Kill => {
                let disk = self.disk.kill();
                return self.restart(disk);
            }
            Operation::Crash(outcome, seed) => {
                let disk = self.disk.crash(*outcome, *seed);
                return self.restart(disk);
            }
        }
        self
    }
}

fn reference() -> Memory {
    Memory::new(1, options().fold)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_answers_as_the_reference_does(operations in prop::collection::vec(operation(), 1..60)) {
        let mut pair = Pair::new();
        for operation in &operations {
            pair = pair.run(operation);
        }
        pair = pair.run(&Operation::Commit);
        pair.compare();
        pair.run(&Operation::Close).compare();
    }
}
