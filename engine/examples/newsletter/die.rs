//! A disk on which the process dies right after a certain commit: as hard as a process can, and exactly there.

use rejoin_store::disk::{Disk, DiskFile, Folder};
use rustix::process::{Signal, getpid, kill_process};
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder whose user has so many commits to live.
pub struct Mortal {
    folder: Folder,
    left: Arc<AtomicU64>,
}

/// A segment of the log: what is synced here is a commit.
struct Segment {
    file: Box<dyn DiskFile>,
    left: Arc<AtomicU64>,
}

impl Mortal {
    pub fn new(folder: Folder, commits: u64) -> Mortal {
        Mortal { folder, left: Arc::new(AtomicU64::new(commits)) }
    }

    fn wrap(&self, name: &str, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        if name.ends_with(".seg") { Box::new(Segment { file, left: self.left.clone() }) } else { file }
    }
}

impl Disk for Mortal {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.create(name).map(|file| self.wrap(name, file))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.folder.open(name).map(|file| self.wrap(name, file))
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

impl DiskFile for Segment {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            kill_process(getpid(), Signal::KILL)?;
        }
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
