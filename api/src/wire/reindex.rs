//! An index that was made again.

use serde::Serialize;

/// An index that was made again.
#[derive(Serialize)]
pub(crate) struct ReindexView {
    pub(crate) index: &'static str,
    pub(crate) runs: u64,
    pub(crate) milliseconds: u64,
}
