//! A disk that ends the process at a commit, as kill -9 does: nothing is closed, and nobody is told.

use rejoin_store::disk::{Disk, DiskFile, Folder};
use rustix::process::{Signal, getpid, kill_process};
use std::any::Any;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The moment in which a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// At which commit, from 1.
    pub(super) commit: u32,
    /// Whether that is durable by then; nobody has been told.
    pub(super) is_durable: bool,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} commit {}", if self.is_durable { "after" } else { "before" }, self.commit)
    }
}

impl FromStr for Death {
    type Err = String;

    fn from_str(text: &str) -> Result<Death, String> {
        let bad = || format!("{text:?} is no moment; write before:N or after:N");
        let (when, commit) = text.split_once(':').ok_or_else(bad)?;
        let is_durable = match when {
            "before" => false,
            "after" => true,
            _ => return Err(bad()),
        };
        Ok(Death { commit: commit.parse().map_err(|_| bad())?, is_durable })
    }
}

impl Death {
    /// As it is read.
    pub(super) fn text(self) -> String {
        format!("{}:{}", if self.is_durable { "after" } else { "before" }, self.commit)
    }
}

/// See the head of this file.
pub(super) struct Dying {
    folder: Folder,
    end: Arc<End>,
}

struct End {
    death: Death,
    /// How many commits are durable.
    commits: AtomicU32,
}

impl Dying {
    pub(super) fn new(folder: Folder, death: Death) -> Dying {
        Dying { folder, end: Arc::new(End { death, commits: AtomicU32::new(0) }) }
    }

    fn file(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(DyingFile { file: file?, end: self.end.clone() }))
    }
}

impl End {
    fn is_now(&self, is_durable: bool, commit: u32) {
        if self.death == (Death { commit, is_durable }) {
            // Should the signal not come, the process goes on, and is seen not to have died.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

impl Disk for Dying {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.folder.create(name))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.folder.open(name))
    }
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.open_read(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.folder.sync_folder()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.folder.lock()
    }
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.folder.lock_read()
    }
    fn name(&self) -> String {
        self.folder.name()
    }
}

struct DyingFile {
    file: Box<dyn DiskFile>,
    end: Arc<End>,
}

impl DiskFile for DyingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        // What a commit is to hold is written before it is synced: nothing of it comes to be.
        self.end.is_now(false, self.end.commits.load(Ordering::SeqCst) + 1);
        self.file.write_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.end.is_now(true, self.end.commits.fetch_add(1, Ordering::SeqCst) + 1);
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
