//! Histories of a stopped process, held against the invariants of the test kit.

use rejoin::RunId;
use rejoin::history::Entry;
use rejoin::testkit::checks;
pub use rejoin::testkit::checks::{Histories, end};
use rejoin_store::disk::Disk;
use rejoin_store::{OpenError, journal};

/// Reads all histories of a stopped process.
///
/// # Errors
///
/// As [`journal::inspect`].
///
/// # Panics
///
/// If a record cannot be decoded.
pub fn histories(disk: &dyn Disk) -> Result<Histories, OpenError> {
    let mut all = Histories::new();
    journal::inspect(disk, |record| {
        let entry = Entry::decode(record).expect("a record of the log decodes");
        all.entry(RunId(record.stream.0)).or_default().push(entry);
    })?;
    Ok(all)
}

/// Every violation of an invariant that shows in these histories.
pub fn violations(all: &Histories) -> Vec<String> {
    checks::histories(all).iter().map(ToString::to_string).collect()
}
