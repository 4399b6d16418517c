//! Where the index keeps its bytes: an ordered map that may lose everything and must never invent anything.

use super::{IndexError, Key, KeyRange, Row};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A key, and what it is to hold; `None`: it is to be gone.
pub type Entry = (Key, Option<Row>);

/// An ordered map of bytes.
pub trait Map: Send + Sync {
    /// What stands under a key.
    ///
    /// # Errors
    ///
    /// [`IndexError`], as all calls: the map cannot be read or written.
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError>;

    /// Writes all entries as one unit: after a crash of the process all of them are there, or none. The entries are in
    /// key order, each key once.
    fn write(&self, entries: Vec<Entry>) -> Result<(), IndexError>;

    /// Entries in key order, at most `limit`.
    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError>;

    /// Hands everything written to the operating system, so that it outlives this process. Syncs nothing.
    fn flush(&self) -> Result<(), IndexError>;
}

/// A library that keeps maps in folders.
pub trait Backend: Send + Sync {
    /// Its name, as the folder remembers it.
    fn name(&self) -> &'static str;

    /// Opens the map in a folder, which may be empty. May panic: the caller catches that.
    ///
    /// # Errors
    ///
    /// [`IndexError`]: it cannot be opened.
    fn open(&self, folder: &Path) -> Result<Box<dyn Map>, IndexError>;
}

/// A map in memory: gone with the process.
#[derive(Default)]
pub struct MemoryMap {
    entries: RwLock<BTreeMap<Key, Row>>,
}

impl MemoryMap {
    fn entries(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Row>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map for MemoryMap {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        Ok(self.entries().get(key).cloned())
    }

    fn write(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        let mut held = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in entries {
            match value {
                Some(value) => held.insert(key, value),
                None => held.remove(&key),
            };
        }
        Ok(())
    }

    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError> {
        if is_empty(range) {
            return Ok(Vec::new());
        }
        let entries = self.entries();
        let found = entries.range::<[u8], _>(range).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// Whether nothing can lie in the range. Maps differ in what they do about a start behind the end; some panic.
pub(super) fn is_empty(range: KeyRange<'_>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

/// One set of tests for every map.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Fjall, Sled};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn backends() -> Vec<(&'static str, Box<dyn Map>, tempfile::TempDir)> {
        let folder = || tempfile::tempdir().unwrap();
        let open = |backend: &dyn Backend| {
            let folder = folder();
            (backend.name(), backend.open(folder.path()).unwrap(), folder)
        };
        vec![("memory", Box::new(MemoryMap::default()), folder()), open(&Sled), open(&Fjall)]
    }

    fn value(byte: u8) -> Row {
        Row::from([byte])
    }

    #[test]
    fn entries_come_back_in_order() {
        for (name, map, _folder) in backends() {
            let keys = [vec![], vec![0], vec![0, 0], vec![1], vec![1, 255], vec![255, 255]];
            map.write(keys.iter().skip(1).map(|key| (key.clone(), Some(value(1)))).collect()).unwrap();
            let all = map.range((Bound::Unbounded, Bound::Unbounded), 100).unwrap();
            assert_eq!(all.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys[1..], "{name}");
            let some = map.range((Bound::Excluded(&[0]), Bound::Excluded(&[1, 255])), 100).unwrap();
            assert_eq!(some.len(), 2, "{name}");
            assert_eq!(map.range((Bound::Unbounded, Bound::Unbounded), 2).unwrap().len(), 2, "{name}");
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        for (name, map, _folder) in backends() {
            map.write(vec![(vec![5], Some(value(1)))]).unwrap();
            for range in [
                (Bound::Included(&[9][..]), Bound::Excluded(&[1][..])),
                (Bound::Excluded(&[5]), Bound::Excluded(&[5])),
                (Bound::Included(&[9]), Bound::Included(&[1])),
            ] {
                assert!(map.range(range, 10).unwrap().is_empty(), "{name}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_map_does_as_a_map_does(
            writes in prop::collection::vec(
                prop::collection::btree_map(prop::collection::vec(0u8..4, 1..4), prop::option::of(any::<u8>()), 1..8),
                1..12,
            ),
            from in prop::collection::vec(0u8..4, 0..3),
            limit in 0usize..20,
        ) {
            let mut model: BTreeMap<Key, Row> = BTreeMap::new();
            let maps = backends();
            for write in &writes {
                for (key, new) in write {
                    match new {
                        Some(new) => model.insert(key.clone(), value(*new)),
                        None => model.remove(key),
                    };
                }
                for (_, map, _) in &maps {
                    map.write(write.iter().map(|(key, new)| (key.clone(), new.map(value))).collect()).unwrap();
                }
            }
            let range = (Bound::Included(&from[..]), Bound::Unbounded);
            let expected: Vec<_> =
                model.range::<[u8], _>(range).take(limit).map(|(key, row)| (key.clone(), row.clone())).collect();
            for (name, map, _) in &maps {
                prop_assert_eq!(&map.range(range, limit).unwrap(), &expected, "{}", name);
                for (key, row) in &model {
                    prop_assert_eq!(map.get(key).unwrap(), Some(row.clone()), "{}", name);
                }
            }
        }
    }

    #[test]
    fn what_was_flushed_is_there_when_the_folder_is_opened_again() {
        for backend in [&Sled as &dyn Backend, &Fjall] {
            let folder = tempfile::tempdir().unwrap();
            let map = backend.open(folder.path()).unwrap();
            map.write(vec![(vec![1], Some(value(7))), (vec![2], Some(value(8)))]).unwrap();
            map.write(vec![(vec![2], None)]).unwrap();
            map.flush().unwrap();
            drop(map);
            let map = backend.open(folder.path()).unwrap();
            assert_eq!(map.get(&[1]).unwrap(), Some(value(7)), "{}", backend.name());
            assert_eq!(map.get(&[2]).unwrap(), None, "{}", backend.name());
        }
    }
}
