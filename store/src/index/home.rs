//! Where an index lives, and whether what lies there is to be trusted.
//!
//! The index is never the truth, so nothing in its folder is repaired: it is as it was left, or it is thrown away and made
//! again from the log. The file `STATE` says how it was left.

use super::{Backend, Fold, IndexError, Map, MemoryMap, Rows};
use crate::record::Lsn;
use std::any::Any;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const STATE: &str = "STATE";
pub(super) const ROWS: &str = "rows";

/// How often a folder is emptied that does not stay empty.
const TRIES: usize = 10;

/// Where an index is kept.
#[derive(Clone, Default)]
pub enum Home {
    /// In memory: made again from the log at every opening.
    #[default]
    Memory,
    /// In a folder of its own.
    Folder {
        /// The library that keeps it.
        backend: Arc<dyn Backend>,
        /// The folder; all of it belongs to the index.
        path: PathBuf,
    },
}

/// An index that was opened.
pub(crate) struct Opened {
    pub(crate) rows: Rows,
    /// Why it is empty, and is to be made again. `None`: it is as it was left, and what came to the log since is to be added.
    pub(crate) empty: Option<String>,
}

/// An index that was not opened.
pub(crate) enum Unopened {
    /// It has seen more of the log than there is: up to here.
    Ahead(Lsn),
    /// It cannot be read or written.
    Failed(IndexError),
}

impl From<IndexError> for Unopened {
    fn from(error: IndexError) -> Unopened {
        Unopened::Failed(error)
    }
}

/// How an index was left, or is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A library is about to open it, or it is being made: whoever finds this had a predecessor that died of it.
    Opening,
    /// A process uses it. What it wrote is in the hands of the operating system, and gone with a loss of power.
    InUse,
    /// It failed while it was in use.
    Failed,
    /// It was closed and synced with the log in it up to here.
    Closed(Lsn),
}

/// What a folder says of itself.
pub(super) struct Left {
    pub(super) same_library: bool,
    pub(super) state: State,
}

impl Home {
    /// Opens the index of a store whose log ends at `durable`, and does not say any more up to `forgotten` what was deleted.
    pub(crate) fn open(
        &self,
        store: [u8; 16],
        fold: &Arc<dyn Fold>,
        forgotten: Lsn,
        durable: Lsn,
    ) -> Result<Opened, Unopened> {
        let (backend, path) = match self {
            Home::Memory => {
                let map = Box::new(MemoryMap::default());
                let rows = Rows::empty(map, fold.clone(), store);
                return Ok(Opened { rows, empty: Some("it is kept in memory".to_owned()) });
            }
            Home::Folder { backend, path } => (&**backend, path),
        };
        let reason = match self.state(store) {
            // Whichever library wrote it: this is a witness of the log.
            Some(Left { state: State::Closed(watermark), .. }) if watermark > durable => {
                return Err(Unopened::Ahead(watermark));
            }
            Some(Left { same_library: true, state: state @ (State::Closed(_) | State::InUse) }) => {
                self.say(store, State::Opening)?;
                match open_map(backend, &path.join(ROWS)).and_then(|map| found(map, fold, store, forgotten)) {
                    Ok(rows) if rows.watermark() > durable => {
                        let watermark = rows.watermark();
                        self.say(store, state)?;
                        return Err(Unopened::Ahead(watermark));
                    }
                    Ok(rows) => return Ok(Opened { rows, empty: None }),
                    Err(error) => error.0,
                }
            }
            Some(Left { same_library: true, state: State::Opening }) => {
                "an earlier process did not survive opening it".to_owned()
            }
            Some(Left { same_library: true, state: State::Failed }) => "it had failed".to_owned(),
            Some(Left { same_library: false, .. }) => "another library kept it".to_owned(),
            None => "it was not left by this store and this run of the machine".to_owned(),
        };
        // A folder that never had one is no news.
        let reason = if path.exists() { reason } else { "there was none".to_owned() };
        // What a loss of power brings back of the old files must not come with the word that they are good.
        let _ = self.say(store, State::Opening);
        empty(path).map_err(|error| failed("empty", path, &error))?;
        self.say(store, State::Opening)?;
        let map = open_map(backend, &path.join(ROWS))?;
        Ok(Opened { rows: Rows::empty(map, fold.clone(), store), empty: Some(reason) })
    }

    /// Notes that the index holds what it should and is being used.
    pub(crate) fn used(&self, store: [u8; 16]) -> Result<(), IndexError> {
        self.say(store, State::InUse)
    }

    /// Notes that what it holds is not to be relied on.
    pub(crate) fn failed(&self, store: [u8; 16]) {
        // Where even this cannot be written there is still the check of the live rows.
        let _ = self.say(store, State::Failed);
    }

    /// Syncs an index that nobody uses any more, and notes that it is complete up to `watermark`.
    pub(crate) fn closed(&self, store: [u8; 16], watermark: Lsn) -> Result<(), IndexError> {
        let Home::Folder { path, .. } = self else { return Ok(()) };
        sync_all(path).map_err(|error| failed("sync", path, &error))?;
        self.say(store, State::Closed(watermark))?;
        sync_all(path).map_err(|error| failed("sync", path, &error))
    }

    fn text(library: &str, store: [u8; 16], state: State) -> String {
        let name = u128::from_be_bytes(store);
        let state = match state {
            State::Opening => "opening".to_owned(),
            State::Failed => "failed".to_owned(),
            State::InUse => format!("in use since boot {}", boot()),
            // Who reads another number than was written would take the log for one that lost its end.
            State::Closed(Lsn(watermark)) => {
                let crc = crc32c::crc32c_append(crc32c::crc32c(&store), &watermark.to_le_bytes());
                format!("closed at {watermark}, checksum {crc:08x}")
            }
        };
        format!("rejoin index 1\nlibrary {library}\nstore {name:032x}\n{state}\n")
    }

    /// How the index was left; `None` where nothing says so that is to be believed.
    pub(super) fn state(&self, store: [u8; 16]) -> Option<Left> {
        let Home::Folder { backend, path } = self else { return None };
        let found = fs::read_to_string(path.join(STATE)).ok()?;
        let library = found.lines().nth(1)?.strip_prefix("library ")?;
        let last = found.lines().last()?;
        let state = match last.strip_prefix("closed at ").and_then(|closed| closed.split_once(", ")) {
            Some((watermark, _)) => State::Closed(Lsn(watermark.parse().ok()?)),
            None if last == "opening" => State::Opening,
            None if last == "failed" => State::Failed,
            None => State::InUse,
        };
        let left = Left { same_library: library == backend.name(), state };
        (found == Home::text(library, store, state)).then_some(left)
    }

    fn say(&self, store: [u8; 16], state: State) -> Result<(), IndexError> {
        let Home::Folder { backend, path } = self else { return Ok(()) };
        let write = || {
            fs::create_dir_all(path)?;
            let mut file = File::create(path.join(STATE))?;
            file.write_all(Home::text(backend.name(), store, state).as_bytes())?;
            match state {
                // Before anything is changed: a loss of power must not leave the word that it was closed beside files of which
                // only some were written.
                State::Opening | State::Failed => file.sync_all(),
                State::InUse | State::Closed(_) => Ok(()),
            }
        };
        write().map_err(|error| failed("write", &path.join(STATE), &error))
    }
}

/// Tells one run of the machine from another: what is not synced outlives processes and not machines. Where the operating
/// system does not say, no two are the same.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| format!("unknown, process {}", std::process::id()), |id| id.trim().to_owned())
}

fn open_map(backend: &dyn Backend, folder: &Path) -> Result<Box<dyn Map>, IndexError> {
    guarded(|| backend.open(folder))
}

/// The rows of a map that can be gone on with. One that cannot is closed here, where a panic of that does no harm.
fn found(map: Box<dyn Map>, fold: &Arc<dyn Fold>, store: [u8; 16], forgotten: Lsn) -> Result<Rows, IndexError> {
    guarded(|| {
        let rows = Rows::found(map, fold.clone(), store)?;
        if rows.watermark() < forgotten {
            return Err(IndexError("it is older than what the log says of deleted streams".to_owned()));
        }
        Ok(rows)
    })
}

/// Libraries panic over files that are not as they left them, and folds over records that they did not expect.
pub(crate) fn guarded<T>(action: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| Err(IndexError(words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", words.unwrap_or("without a word"))
}

/// Removes a folder with everything in it. Threads of a library that was just closed may still add to it.
fn empty(path: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// Syncs everything in a folder, and the folder.
fn sync_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}

fn failed(action: &str, path: &Path, error: &io::Error) -> IndexError {
    IndexError(format!("failed to {action} {}: {error}", path.display()))
}
