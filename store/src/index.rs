//! Rows that can be rebuilt from the log at any time, and the small trait that keeps them.
//!
//! A **row** belongs to a stream and is a fold over its records. **Keys** are a pure function of the row;
//! they list streams in tables, in byte order. Callers read rows and keys; only the fold writes them.
//! Nothing that decides an append reads the index.

use crate::record::{Lsn, Record, StreamId};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
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
    /// The version of the rows; rows of another version are rebuilt from the records. `u32::MAX` is the journal's
    /// own word for rows that are not known.
    fn version(&self) -> u32;

    /// The row after `record`, given the row before it. Must depend on nothing else.
    fn fold(&self, previous: Option<&[u8]>, record: &Record) -> Row;

    /// Whether two rows of a stream have the same keys, where that is seen more quickly than by making them. Where it says
    /// no, they are made and compared.
    fn same_keys(&self, _before: &[u8], _after: &[u8]) -> bool {
        false
    }

    /// The keys under which the row's stream is listed. Must depend on nothing else.
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)>;
}

/// A fold that keeps nothing, for stores that are only read and appended by stream.
pub struct NoFold;

impl Fold for NoFold {
    fn version(&self) -> u32 {
        0
    }
    fn fold(&self, _: Option<&[u8]>, _: &Record) -> Row {
        Row::from([])
    }
    fn keys(&self, _: StreamId, _: &[u8]) -> Vec<(Table, Key)> {
        Vec::new()
    }
}

/// The index could not be read or written. The log is not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("index: {0}")]
pub struct IndexError(pub String);

/// What one commit changes in a stream's row and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The stream.
    pub stream: StreamId,
    /// Its new row.
    pub row: Row,
    /// Keys that it is no longer listed under.
    pub removed: Vec<(Table, Key)>,
    /// Keys that it is newly listed under.
    pub added: Vec<(Table, Key)>,
}

impl Change {
    /// The difference between a stream's rows.
    pub fn between(fold: &dyn Fold, stream: StreamId, before: Option<&[u8]>, row: Row) -> Change {
        if before.is_some_and(|before| *before == *row || fold.same_keys(before, &row)) {
            return Change { stream, row, removed: Vec::new(), added: Vec::new() };
        }
        let mut removed = before.map(|row| fold.keys(stream, row)).unwrap_or_default();
        let mut added = fold.keys(stream, &row);
        removed.retain(|key| match added.iter().position(|new| new == key) {
            Some(same) => {
                added.swap_remove(same);
                false
            }
            None => true,
        });
        Change { stream, row, removed, added }
    }
}

/// Where rows are kept. A cache of the log: it may lose everything and must never invent anything.
pub trait Index: Send + Sync {
    /// Forgets everything.
    fn clear(&self) -> Result<(), IndexError>;

    /// Applies the changes of everything up to `watermark`, as one unit.
    fn apply(&self, changes: Vec<Change>, watermark: Lsn) -> Result<(), IndexError>;

    /// The place up to which changes were applied.
    fn watermark(&self) -> Result<Lsn, IndexError>;

    /// A stream's row.
    fn row(&self, stream: StreamId) -> Result<Option<Row>, IndexError>;

    /// Entries of a table in key order, at most `limit`.
    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, StreamId)>, IndexError>;
}

/// The index in memory: rebuilt at every open.
#[derive(Default)]
pub struct MemoryIndex {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    rows: HashMap<StreamId, Row>,
    tables: BTreeMap<Table, BTreeMap<Key, StreamId>>,
    watermark: Lsn,
}

impl Index for MemoryIndex {
    fn clear(&self) -> Result<(), IndexError> {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::default();
        Ok(())
    }

    fn apply(&self, changes: Vec<Change>, watermark: Lsn) -> Result<(), IndexError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for Change { stream, row, removed, added } in changes {
            state.rows.insert(stream, row);
            for (table, key) in removed {
                if let Some(entries) = state.tables.get_mut(&table) {
                    entries.remove(&key);
                }
            }
            for (table, key) in added {
                state.tables.entry(table).or_default().insert(key, stream);
            }
        }
        state.watermark = watermark;
        Ok(())
    }

    fn watermark(&self) -> Result<Lsn, IndexError> {
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner).watermark)
    }

    fn row(&self, stream: StreamId) -> Result<Option<Row>, IndexError> {
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner).rows.get(&stream).cloned())
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, StreamId)>, IndexError> {
        if is_empty(range) {
            return Ok(Vec::new());
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = state.tables.get(&table) else { return Ok(Vec::new()) };
        let found = entries.range::<[u8], _>(range).take(limit);
        Ok(found.map(|(key, stream)| (key.clone(), *stream)).collect())
    }
}

/// `BTreeMap::range` panics where the start is behind the end; a reader just finds nothing there.
fn is_empty(range: KeyRange<'_>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        let mut end = Vec::new();
        assert_eq!(prefix(&[0xff, 0xff], &mut end).1, Bound::Unbounded);
        assert_eq!(prefix(&[1, 0xff], &mut end).1, Bound::Excluded(&[2][..]));
    }

    #[test]
    fn an_unchanged_row_changes_no_keys() {
        struct ByFirst;
        impl Fold for ByFirst {
            fn version(&self) -> u32 {
                1
            }
            fn fold(&self, _: Option<&[u8]>, record: &Record) -> Row {
                Row::from(&record.payload[..])
            }
            fn keys(&self, _: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
                vec![(Table(0), row[..1].to_vec()), (Table(1), row.to_vec())]
            }
        }
        let stream = StreamId([1; 16]);
        let change = Change::between(&ByFirst, stream, Some(&[1, 2]), Row::from([1, 3]));
        assert_eq!(change.removed, [(Table(1), vec![1, 2])]);
        assert_eq!(change.added, [(Table(1), vec![1, 3])]);
        let same = Change::between(&ByFirst, stream, Some(&[1, 2]), Row::from([1, 2]));
        assert!(same.added.is_empty() && same.removed.is_empty());
    }
}
