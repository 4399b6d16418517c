//! Rows that can be rebuilt from the log at any time, and where they are kept.
//!
//! A **row** belongs to a stream and is a fold over its records. **Keys** are a pure function of the row;
//! they list streams in tables, in byte order. Callers read rows and keys; only the fold writes them.
//! Nothing that decides an append reads the index.
//!
//! - [`Fold`] says what rows and keys are.
//! - [`Map`] is where bytes are kept: [`MemoryMap`], [`Sled`], [`Fjall`].
//! - `examine` holds a stopped store's index against its log.
//! - `rows` lays rows, keys and the watermark out in a map; `home` decides whether a folder's map is to be trusted.

mod examine;
mod fjall;
mod home;
mod map;
mod rows;
mod sled;

pub use examine::{Difference, Examined, Expected, examine};
pub use fjall::Fjall;
pub use home::Home;
pub(crate) use home::{Opened, Unopened, guarded};
pub use map::{Backend, Entry, Map, MemoryMap};
pub use rows::Listed;
pub(crate) use rows::{Change, Rows};
pub use sled::Sled;

use crate::record::{Record, StreamId};
use std::ops::Bound;
use std::sync::Arc;
use thiserror::Error;

/// A stream's row, as the fold encoded it.
pub type Row = Arc<[u8]>;

/// A key of a table, compared byte by byte.
pub type Key = Vec<u8>;

/// A table of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(pub u8);

/// A range of keys: from, to.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The range of all keys that begin with `prefix`, given a buffer for its end.
pub fn prefix<'a>(prefix: &'a [u8], end: &'a mut Vec<u8>) -> KeyRange<'a> {
    end.clear();
    end.extend_from_slice(prefix);
    while end.last() == Some(&0xff) {
        end.pop();
    }
    match end.last_mut() {
        Some(last) => {
            *last += 1;
            (Bound::Included(prefix), Bound::Excluded(end))
        }
        None => (Bound::Included(prefix), Bound::Unbounded),
    }
}

/// How records become rows. One fold serves live commits, catching up and rebuilding.
pub trait Fold: Send + Sync {
    /// The version of the rows and keys; those of another version are rebuilt from the records. `u32::MAX` is the
    /// journal's own word for rows that are not known.
    fn version(&self) -> u32;

    /// The row after `records`, given the row before them. The records are consecutive ones of one stream, and there is at
    /// least one. Must depend on nothing else; folding them one by one must lead to the same row. `None`: the stream has no row.
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row>;

    /// Whether the stream may still change. Of one that may not, only a tombstone can follow, and it bears the row; its row
    /// stands in its entries, and is made again from the records where it is asked for by stream. Rows of those that may
    /// are counted and compared when the store is opened.
    fn is_live(&self, _row: &[u8]) -> bool {
        true
    }

    /// Whether two rows of a stream have the same keys, where that is seen more quickly than by making them. Where it says
    /// no, they are made and compared.
    fn same_keys(&self, _before: &[u8], _after: &[u8]) -> bool {
        false
    }

    /// The keys under which the row's stream is listed, each once, and none that another stream may have: an entry names
    /// one stream. Must depend on nothing else.
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)>;
}

/// A fold that keeps nothing, for stores that are only read and appended by stream.
pub struct NoFold;

impl Fold for NoFold {
    fn version(&self) -> u32 {
        0
    }
    fn fold(&self, _: Option<&[u8]>, _: &[Record]) -> Option<Row> {
        None
    }
    fn keys(&self, _: StreamId, _: &[u8]) -> Vec<(Table, Key)> {
        Vec::new()
    }
}

/// The index could not be read or written. The log is not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("index: {0}")]
pub struct IndexError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        let mut end = Vec::new();
        assert_eq!(prefix(&[0xff, 0xff], &mut end).1, Bound::Unbounded);
        assert_eq!(prefix(&[1, 0xff], &mut end).1, Bound::Excluded(&[2][..]));
    }
}
