//! The index of a stopped process, held against its log.

use crate::error::Trouble;
use rejoin::{Projection, RunId, RunRow};
use rejoin_store::StreamId;
use rejoin_store::index::{Examined, Expected, Row, examine};
use rejoin_store::journal::Report;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The row of each run, as far as it has one.
pub(crate) type Rows = HashMap<RunId, Option<RunRow>, foldhash::fast::RandomState>;

/// Where the index of a data folder is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("index")
}

/// Holds the index against the rows that the log gives, on a copy of it.
pub(crate) fn check(folder: &Path, report: &Report, rows: &Rows) -> Result<Examined, Trouble> {
    let path = path(folder);
    let failed = |reason: String| Trouble::IndexUnread { path: path.display().to_string(), reason };
    let scratch = tempfile::tempdir().map_err(|error| failed(format!("failed to make a temporary folder: {error}")))?;
    let streams: Vec<StreamId> = rows.keys().map(|run| StreamId(run.0)).collect();
    let row = |stream: StreamId| rows.get(&RunId(stream.0))?.as_ref()?.encode().ok().map(Row::from);
    let (store, durable, forgotten) = (report.store, report.durable, report.forgotten);
    let expected = Expected { store, durable, forgotten, rows: &row, streams: &streams };
    examine(&path, &scratch.path().join("index"), Arc::new(Projection), &expected)
        .map_err(|error| failed(error.to_string()))
}
