//! The log of a stopped process, for reading.

use crate::error::Trouble;
use rejoin_store::Record;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Report, inspect};
use std::path::Path;

/// Reads the whole log in `folder`, changing nothing there, and hands each record to `visit` once it was found good.
///
/// What `visit` has seen is the whole log only if this succeeds.
pub(crate) fn read(folder: &Path, visit: impl FnMut(&Record)) -> Result<Report, Trouble> {
    let disk = Folder::existing(folder)
        .map_err(|error| Trouble::Folder { folder: folder.display().to_string(), reason: error.to_string() })?;
    Ok(inspect(&disk, visit)?)
}
