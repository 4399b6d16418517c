//! The disk as the journal sees it: named files in one folder.
//!
//! The journal is written against the worst disk that POSIX allows: what was written is durable only
//! after the file was synced, and a created or renamed name only after [`Disk::sync_folder`].

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A folder of files.
pub trait Disk: Send + Sync {
    /// Creates a file, or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, replacing the one of that name, as one unit.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable.
    fn sync_folder(&self) -> io::Result<()>;
    /// Makes this process the folder's only user until the result is dropped; `None` if it has one.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// As [`Disk::lock`], for a reader that changes nothing: creates no file, and shares with other readers.
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// How messages call the folder.
    fn name(&self) -> String;
}

/// A file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Fills the buffer from `offset`; an error if the file is too short.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of the buffer at `offset`.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable, as `fdatasync` does: the sync of a commit.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes content and metadata durable, as `fsync` does: used wherever a sync is not a commit.
    fn sync_all(&self) -> io::Result<()>;
    /// Forgets what memory holds of the file and has been synced, so that it is read from the disk next. Where a sync has failed,
    /// memory may show bytes that the disk will never get.
    fn evict(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Reads a whole file.
pub(crate) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_at(&mut content, 0)?;
    Ok(content)
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

const LOCK: &str = "LOCK";

impl Folder {
    /// The folder at `path`, created if it is not there.
    ///
    /// # Errors
    ///
    /// The operating system's, if it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Folder> {
        fs::create_dir_all(&path)?;
        let path = path.as_ref().to_owned();
        // The folder's own name is durable only once its parent is synced.
        if let Some(parent) = path.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Folder { path })
    }

    /// The folder at `path`, which must be there.
    ///
    /// # Errors
    ///
    /// The operating system's, if it is not there or no folder.
    pub fn existing(path: impl AsRef<Path>) -> io::Result<Folder> {
        fs::read_dir(&path)?;
        Ok(Folder { path: path.as_ref().to_owned() })
    }
}

impl Disk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path.join(name))?;
        Ok(Box::new(file))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.path.join(LOCK))?;
        held(file, File::try_lock)
    }
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        match File::open(self.path.join(LOCK)) {
            Ok(file) => held(file, File::try_lock_shared),
            // A copy of a store may lack its lock file; nobody can hold it then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Box::new(()))),
            Err(error) => Err(error),
        }
    }
    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// How long a lock that somebody holds is asked for again. A program that is just being started by a thread of this process
/// holds all its locks until it has begun, for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

type TryLock = fn(&File) -> Result<(), TryLockError>;

fn held(file: File, lock: TryLock) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
    let began = Instant::now();
    loop {
        match lock(&file) {
            Ok(()) => return Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }
    #[cfg(target_os = "linux")]
    fn evict(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(self, 0, None, rustix::fs::Advice::DontNeed)?)
    }
    /// Other systems have no word for it, or keep what a failed sync has left dirty.
    #[cfg(not(target_os = "linux"))]
    fn evict(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
