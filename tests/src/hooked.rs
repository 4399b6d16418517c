//! A folder in which somebody looks on at writes and syncs, and may refuse them.

use rejoin_store::disk::{Disk, DiskFile, Folder};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// What is about to happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// So many bytes are written.
    Write(usize),
    /// A commit is synced.
    SyncData,
    /// Content and metadata are synced: no commit.
    SyncAll,
}

/// Is asked before each; an error is what the disk then says.
pub type Hook = Arc<dyn Fn(&str, Happening) -> io::Result<()> + Send + Sync>;

/// A folder with a hook.
pub struct Hooked {
    folder: Folder,
    hook: Hook,
}

struct HookedFile {
    file: Box<dyn DiskFile>,
    name: String,
    hook: Hook,
}

impl Hooked {
    /// The folder, with a hook that is asked before each write and sync of a file.
    pub fn new(folder: Folder, hook: impl Fn(&str, Happening) -> io::Result<()> + Send + Sync + 'static) -> Hooked {
        Hooked { folder, hook: Arc::new(hook) }
    }

    fn wrap(&self, name: &str, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(HookedFile { file, name: name.to_owned(), hook: self.hook.clone() })
    }
}

impl Disk for Hooked {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(name, self.folder.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(name, self.folder.open(name)?))
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

impl DiskFile for HookedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        (self.hook)(&self.name, Happening::Write(buffer.len()))?;
        self.file.write_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        (self.hook)(&self.name, Happening::SyncData)?;
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        (self.hook)(&self.name, Happening::SyncAll)?;
        self.file.sync_all()
    }
    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
