//! What was imported.

use serde::Serialize;

/// What was imported.
#[derive(Serialize)]
pub(crate) struct ImportView {
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) runs: usize,
}
