//! The index in sled.

use super::map::is_empty;
use super::{Backend, Entry, IndexError, Key, KeyRange, Map, Row};
use std::path::Path;

/// Keeps the index in [sled](https://docs.rs/sled/0.34.7), a lock-free tree. Its `flush` syncs nothing, so its files are
/// trusted after a kill and not after a loss of power.
pub struct Sled;

/// What sled may keep in memory, in bytes; its own default is a GiB.
const CACHE: u64 = 64 << 20;

impl Backend for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Map>, IndexError> {
        // No flushing by itself: an index at rest writes nothing.
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        Ok(Box::new(SledMap(config.open().map_err(error)?)))
    }
}

struct SledMap(sled::Db);

impl Map for SledMap {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        Ok(self.0.get(key).map_err(error)?.map(|value| Row::from(&value[..])))
    }

    fn write(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(key, &value[..]),
                None => batch.remove(key),
            }
        }
        self.0.apply_batch(batch).map_err(error)
    }

    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError> {
        if is_empty(range) {
            return Ok(Vec::new());
        }
        let entries = self.0.range::<&[u8], _>(range).take(limit);
        entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), Row::from(&value[..]))).map_err(error)).collect()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.0.flush().map(drop).map_err(error)
    }
}

fn error(error: sled::Error) -> IndexError {
    IndexError(format!("sled: {error}"))
}
