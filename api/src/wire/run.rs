//! A run in a list.

use crate::output::time;
use rejoin::{RunId, RunRow};
use serde::Serialize;

/// A run in a list.
#[derive(Serialize)]
pub(crate) struct RunView<'a> {
    id: String,
    project: &'a str,
    workflow: &'a str,
    version: u32,
    status: &'static str,
    parent: Option<String>,
    depth: u32,
    key: Option<&'a str>,
    labels: Vec<LabelView<'a>>,
    triggered_at: String,
    updated_at: String,
    due_at: Option<String>,
    incarnation: u32,
    records: u64,
    trouble: Option<&'a str>,
}

/// A label: a run may have several of one name.
#[derive(Serialize)]
pub(super) struct LabelView<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> LabelView<'a> {
    pub(super) fn all(labels: &'a [(String, String)]) -> Vec<LabelView<'a>> {
        labels.iter().map(|(name, value)| LabelView { name, value }).collect()
    }
}

impl<'a> RunView<'a> {
    pub(crate) fn new(id: RunId, row: &'a RunRow) -> RunView<'a> {
        RunView {
            id: id.to_string(),
            project: &row.project,
            workflow: &row.workflow,
            version: row.version,
            status: row.status.name(),
            parent: row.parent.map(|parent| parent.to_string()),
            depth: row.depth,
            key: row.key.as_deref(),
            labels: LabelView::all(&row.labels),
            triggered_at: time(row.triggered_at),
            updated_at: time(row.updated_at),
            due_at: row.due.map(time),
            incarnation: row.incarnation,
            records: row.records,
            trouble: row.trouble.as_deref(),
        }
    }
}
