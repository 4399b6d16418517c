//! The log of a stopped process, for reading.

use crate::error::Trouble;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Progress, Report, Seen, Visit, audit, inspect_with};
use std::path::Path;

/// How many threads follow the records where their order among runs does not matter, beside the one that reads.
pub(crate) const PARTS: usize = 2;

/// Reads the whole log in `folder`, changing nothing there, and hands each record to `visit` once it was found good.
///
/// What `visit` has seen is the whole log only if this succeeds.
pub(crate) fn read(folder: &Path, mut visit: impl FnMut(&Seen<'_>)) -> Result<Report, Trouble> {
    read_with(folder, &mut visit)
}

/// As [`read`], for those who want to see what was deleted too.
pub(crate) fn read_with(folder: &Path, visit: &mut impl Visit) -> Result<Report, Trouble> {
    Ok(inspect_with(&open(folder)?, visit, |_| {})?)
}

/// As [`read_with`], on several threads: each run is shown to one of `parts`, in its order.
pub(crate) fn read_in_parts<V: Visit + Send>(
    folder: &Path,
    parts: &mut [V],
    progress: impl Fn(Progress),
) -> Result<Report, Trouble> {
    Ok(audit(&open(folder)?, parts, progress)?)
}

fn open(folder: &Path) -> Result<Folder, Trouble> {
    Folder::existing(folder)
        .map_err(|error| Trouble::Folder { folder: folder.display().to_string(), reason: error.to_string() })
}
