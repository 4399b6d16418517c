//! What can go wrong, sorted by whose problem it is.

use crate::index::IndexError;
use crate::record::{Lsn, StreamId, Version};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Somebody else appended first, or the caller's picture of the stream is old. An ordinary result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("stream {stream} is at version {actual}, not {expected}")]
pub struct Conflict {
    /// The stream that was not as expected.
    pub stream: StreamId,
    /// The version that the batch expected.
    pub expected: Version,
    /// The version that the stream has.
    pub actual: Version,
}

/// Bytes that are not what was written, and where they are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file} is damaged at byte {offset}: {what}; restore the folder from a copy, nothing in it was changed")]
pub struct Damage {
    /// The file, relative to the store's folder.
    pub file: String,
    /// The byte at which the damaged part begins.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// An operation of the store failed.
#[derive(Clone, Debug, Error)]
pub enum Failure {
    /// The disk refused.
    #[error("failed to {action} {file}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file, relative to the store's folder.
        file: String,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// The log holds bytes that were not written by the store.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A write or sync of the log failed earlier: what is durable is no longer known, so nothing more is accepted.
    #[error("the store accepts no more appends since {cause}; close it, mend the disk and open it again")]
    Poisoned {
        /// The failure that poisoned it.
        cause: String,
    },
    /// There is no room for another segment.
    #[error(
        "the disk has no room for another log segment of {needed} bytes; free some and try again, nothing was lost"
    )]
    Full {
        /// How many bytes the next segment needs.
        needed: u64,
    },
    /// The batch is larger than the store takes.
    #[error("a batch of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The batch's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The batch names streams of more than one shard.
    #[error("a batch cannot span two shards: {first} and {second} are in different ones")]
    TwoShards {
        /// A stream of the batch.
        first: StreamId,
        /// Another stream, of another shard.
        second: StreamId,
    },
    /// A tombstone for a stream that is not said to exist.
    #[error("the tombstone of stream {0} must name the version that it ends")]
    Tombstone(StreamId),
    /// The batch has no records.
    #[error("an empty batch")]
    Empty,
    /// The record is not in the log.
    #[error("there is no record at {0}")]
    NoSuchRecord(Lsn),
    /// The index failed; the log did not.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Failure {
    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Failure {
        Failure::Io { action, file: file.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk said that it is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Failure::Full { .. } => true,
            Failure::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Failure::Damaged(_)
            | Failure::Poisoned { .. }
            | Failure::TooLarge { .. }
            | Failure::TwoShards { .. }
            | Failure::Tombstone(_)
            | Failure::Empty
            | Failure::NoSuchRecord(_)
            | Failure::Index(_) => false,
        }
    }
}

/// A store could not be opened. Nothing in the folder was changed, except as the variant says.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "{folder} is in use by another process; a store has one owner, so stop that process or choose another folder"
    )]
    Locked {
        /// The folder.
        folder: String,
    },
    /// It was written by a newer version of the store.
    #[error(
        "{folder} has format version {found}, and this program reads up to {supported}; use a newer rejoin, the folder is untouched"
    )]
    NewerFormat {
        /// The folder.
        folder: String,
        /// The version on disk.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// The folder is not there (only where it must exist already).
    #[error("{folder} holds no store")]
    Missing {
        /// The folder.
        folder: String,
    },
    /// The folder cannot be written.
    #[error("{folder} cannot be written ({source}); a store needs a folder on a writable file system")]
    NotWritable {
        /// The folder.
        folder: String,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// The index has seen more of the log than there is: one of the two was put back from an older copy.
    #[error(
        "the index of {folder} has seen the log up to record {index}, and the log ends at {log}: records that were acknowledged are \
         missing. Restore the log, or remove the index if the older log is meant; nothing was changed"
    )]
    IndexAhead {
        /// The folder.
        folder: String,
        /// What the index has seen.
        index: Lsn,
        /// Where the log ends.
        log: Lsn,
    },
    /// The settings do not fit the store.
    #[error("{0}")]
    Settings(String),
    /// Reading or preparing it failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> Self {
        OpenError::Failure(Failure::Damaged(damage))
    }
}
