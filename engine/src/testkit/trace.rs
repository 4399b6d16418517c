//! What was seen: everything that happened between the engine and its surroundings, in order.

use crate::codec;
use crate::context::Attempt;
use crate::engine::Filter;
use crate::projection::RunStatus;
use foldhash::fast::FixedState;
use rejoin_machine::{OpNo, RunId, SignalId, Timestamp};
use rejoin_store::{NewRecord, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that was seen in a world, over all lives of its processes.
#[derive(Default)]
pub struct Trace {
    seen: Mutex<Vec<Seen>>,
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A process opened the log, and this is what it found there, in the order of the log.
    Began {
        /// What it found.
        found: Vec<Written>,
        /// When.
        at: Timestamp,
        /// How many steps it executes at the same time.
        concurrent_steps: usize,
        /// How many runs of a queue may be under way, where that is limited.
        limits: BTreeMap<String, u32>,
    },
    /// A process could not open the log, or not take over its runs.
    Refused {
        /// What it said.
        reason: String,
        /// Whether the simulated disk had been told to fail.
        provoked: bool,
    },
    /// The log took a batch.
    Appended(Vec<Written>),
    /// The log said that everything up to this record is durable.
    Durable(u64),
    /// The log said that a commit failed.
    CommitFailed,
    /// An attempt of a step was handed to the pool.
    Dispatched {
        /// Which.
        attempt: Attempt,
        /// The latest time that the process has seen.
        at: Timestamp,
    },
    /// An attempt of a step came back to the engine.
    Returned {
        /// Which.
        attempt: Attempt,
    },
    /// The engine answered a request.
    Told(Told),
    /// A follower read a record.
    Read {
        /// Of which run.
        run: RunId,
        /// Its number in the run.
        version: u64,
    },
    /// A list was asked for when everything was durable.
    Listed {
        /// Of what.
        of: Listing,
        /// Its runs.
        runs: Vec<ListedRun>,
    },
    /// Nothing is left to be done, and no fault happens any more.
    Rested {
        /// When.
        at: Timestamp,
        /// How many callers have no answer yet.
        waiting: usize,
    },
    /// The process ended; how.
    Died(&'static str),
}

/// What a list is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// All runs.
    All,
    /// Those in a status.
    Status(RunStatus),
    /// Those of a workflow.
    Workflow(String),
    /// The children of a run.
    Children(RunId),
    /// Those with a label: name and value.
    Label(String, String),
}

impl Listing {
    pub(super) fn matches(&self, run: &ListedRun) -> bool {
        match self {
            Listing::All => true,
            Listing::Status(status) => run.status == *status,
            Listing::Workflow(workflow) => run.workflow == *workflow,
            Listing::Children(parent) => run.parent == Some(*parent),
            Listing::Label(name, value) => run.labels.iter().any(|(known, said)| known == name && said == value),
        }
    }

    pub(super) fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        match self {
            Listing::All => {}
            Listing::Status(status) => filter.status = Some(*status),
            Listing::Workflow(workflow) => filter.workflow = Some(workflow.clone()),
            Listing::Children(parent) => filter.parent = Some(*parent),
            Listing::Label(name, value) => filter.label = Some((name.clone(), value.clone())),
        }
        filter
    }
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListedRun {
    /// Its id.
    pub run: RunId,
    /// How it stands.
    pub status: RunStatus,
    /// How many records it has.
    pub records: u64,
    /// Its workflow.
    pub workflow: String,
    /// Its caller.
    pub parent: Option<RunId>,
    /// Names and values to find it by.
    pub labels: Vec<(String, String)>,
}

/// An answer to a request. `Err` has the reason in words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// To a trigger.
    Triggered {
        /// The run.
        run: RunId,
        /// A digest of the input.
        input: u64,
        /// Whether it was taken.
        answer: Result<(), Refused>,
    },
    /// To a signal.
    Signalled {
        /// The run.
        run: RunId,
        /// The signal.
        id: SignalId,
        /// Whether it was taken.
        answer: Result<(), Refused>,
    },
    /// To a request to cancel.
    Cancelled {
        /// The run.
        run: RunId,
        /// Whether the whole tree was meant.
        tree: bool,
        /// Whether it was taken.
        answer: Result<(), Refused>,
    },
    /// To somebody who waited for the end.
    Ended {
        /// The run.
        run: RunId,
        /// How it ended, in words.
        answer: Result<String, Refused>,
    },
    /// To a worker that asked for a job.
    Assigned {
        /// The run.
        run: RunId,
        /// The operation that is the job.
        op: OpNo,
        /// Which attempt.
        attempt: u32,
        /// The worker.
        worker: String,
    },
    /// Nothing that anybody waits for.
    Nothing,
    /// To what a person asked of a run.
    Asked {
        /// The run.
        run: RunId,
        /// The event that it makes.
        event: &'static str,
        /// Whether it was done.
        answer: Result<(), Refused>,
    },
    /// To a call in a run's name.
    Participated {
        /// The run.
        run: RunId,
        /// The child that the call's key stands for.
        child: RunId,
        /// Whether it was called.
        answer: Result<(), Refused>,
    },
    /// To a request to delete.
    Deleted {
        /// The run.
        run: RunId,
        /// Whether it was done.
        answer: Result<(), Refused>,
    },
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The key belongs to a run with another input.
    KeyConflict,
    /// The run does not exist.
    NotFound,
    /// The store failed or the engine stopped.
    Down,
    /// The disk is full, or too much is waiting.
    Later,
    /// Something else, in words.
    Other(String),
}

/// A record, as it was handed to the log or found there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Written {
    /// Its place in the log.
    pub lsn: u64,
    /// The run.
    pub run: RunId,
    /// Its number in the run.
    pub version: u64,
    /// When it happened.
    pub time: i64,
    /// How its payload is encoded.
    pub format: u16,
    /// The hash chain up to it; not known before it is in the log.
    pub chain: Option<[u8; 32]>,
    /// Its content.
    pub payload: Arc<[u8]>,
}

impl Written {
    pub(super) fn new(record: &NewRecord, lsn: u64) -> Written {
        Written {
            lsn,
            run: RunId(record.stream.0),
            version: record.expected.0 + 1,
            time: record.time,
            format: record.format,
            chain: None,
            payload: record.payload.as_slice().into(),
        }
    }

    pub(super) fn found(record: &Record) -> Written {
        Written {
            lsn: record.lsn.0,
            run: RunId(record.stream.0),
            version: record.version.0,
            time: record.time,
            format: record.format,
            chain: Some(record.chain),
            payload: record.payload.as_slice().into(),
        }
    }

    /// Whether the two are the same record, wherever it stands.
    pub(super) fn is(&self, other: &Written) -> bool {
        (self.run, self.version, self.time, self.format) == (other.run, other.version, other.time, other.format)
            && self.payload == other.payload
    }
}

impl Trace {
    pub(super) fn see(&self, seen: Seen) {
        self.lock().push(seen);
    }

    /// Looks at everything seen so far.
    pub fn read<T>(&self, look: impl FnOnce(&[Seen]) -> T) -> T {
        look(&self.lock())
    }

    /// One number for all of it: two executions of one seed must have the same.
    pub fn digest(&self) -> u64 {
        FixedState::with_seed(1).hash_one(&*self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} run {} record {}", self.lsn, self.run, self.version)?;
        let transition = codec::decode(self.format, &self.payload).unwrap_or_default();
        transition.events.iter().try_for_each(|event| write!(f, " + {event:?}"))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Began { found, at, .. } => write!(f, "began at {} with {} records", at.0, found.len()),
            Seen::Appended(batch) => {
                f.write_str("appended")?;
                batch.iter().try_for_each(|record| write!(f, "\n    {record}"))
            }
            other => write!(f, "{other:?}"),
        }
    }
}
