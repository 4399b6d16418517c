//! The index in fjall.

use super::map::is_empty;
use super::{Backend, Entry, IndexError, Key, KeyRange, Map, Row};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

/// Keeps the index in [fjall](https://docs.rs/fjall/3), a log-structured merge tree: a quarter of sled's CPU and disk.
pub struct Fjall;

/// What fjall may keep of its blocks in memory, in bytes.
const CACHE: u64 = 32 << 20;
/// How much is written before it is sorted into a file, in bytes.
const MEMTABLE: u64 = 8 << 20;
/// How large its journal may become, in bytes: the least that it takes.
const JOURNAL: u64 = 64 << 20;

impl Backend for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Map>, IndexError> {
        let database = Database::builder(folder)
            .cache_size(CACHE)
            .max_journaling_size(JOURNAL)
            .worker_threads(1)
            .open()
            .map_err(error)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let entries = database.keyspace("index", options).map_err(error)?;
        Ok(Box::new(FjallMap { database, entries }))
    }
}

struct FjallMap {
    database: Database,
    entries: Keyspace,
}

impl Map for FjallMap {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        Ok(self.entries.get(key).map_err(error)?.map(|value| Row::from(&value[..])))
    }

    fn write(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        let mut batch = self.database.batch();
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(&self.entries, key, &value[..]),
                None => batch.remove(&self.entries, key),
            }
        }
        batch.commit().map_err(error)
    }

    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError> {
        if is_empty(range) {
            return Ok(Vec::new());
        }
        let entries = self.entries.range::<&[u8], _>(range).take(limit);
        entries
            .map(|entry| entry.into_inner().map(|(key, value)| (key.to_vec(), Row::from(&value[..]))).map_err(error))
            .collect()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.database.persist(PersistMode::Buffer).map_err(error)
    }
}

fn error(error: fjall::Error) -> IndexError {
    IndexError(format!("fjall: {error}"))
}
