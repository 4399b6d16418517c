//! A copy of the project's folder for each play: what agents write there is nobody else's.

use crate::error::Trouble;
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// How much is copied, in bytes.
const LARGEST: u64 = 256 << 20;

/// A copy of a folder, without what begins with a dot.
pub(super) fn copy(folder: &Path) -> Result<TempDir, Trouble> {
    let place = |folder: &Path, error: io::Error| Trouble::Folder {
        folder: folder.display().to_string(),
        reason: format!("it cannot be copied: {error}"),
    };
    let stage = TempDir::with_prefix("rejoin-test-").map_err(|error| place(&std::env::temp_dir(), error))?;
    let mut left = LARGEST;
    copy_into(folder, stage.path(), &mut left).map_err(|error| place(folder, error))?;
    Ok(stage)
}

fn copy_into(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, sort) = (entry.file_name(), entry.file_type()?);
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let target = to.join(&name);
        if sort.is_dir() {
            fs::create_dir(&target)?;
            copy_into(&entry.path(), &target, left)?;
        } else if sort.is_symlink() {
            std::os::unix::fs::symlink(fs::canonicalize(entry.path())?, &target)?;
        } else if sort.is_file() {
            let size = entry.metadata()?.len();
            *left = left.checked_sub(size).ok_or_else(|| {
                io::Error::other(format!(
                    "it has more than {LARGEST} bytes; keep large data out of the project's folder"
                ))
            })?;
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
