//! From the engine to trees: what has happened so far, and how far runs say to be.

use super::node::brief;
use super::tree::Tree;
use rejoin::history::Entry;
use rejoin::{Engine, Payload, RunError, RunId, Timestamp};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// How often a picture is drawn at most.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// How often runs are asked how far they are, and how many of them.
pub(crate) const PROGRESS: Duration = Duration::from_millis(500);
const ASKED: usize = 32;

/// What has happened so far, run by run from the root down. Whoever hears a record says which children of it are to follow.
pub(crate) async fn past(
    engine: &Engine,
    root: RunId,
    mut hear: impl AsyncFnMut(RunId, &Entry) -> Vec<RunId>,
) -> Result<(), RunError> {
    let mut waiting = VecDeque::from([root]);
    while let Some(run) = waiting.pop_front() {
        let history = match engine.history(run) {
            // It was deleted meanwhile.
            Err(RunError::NotFound(missing)) if missing != root => continue,
            history => history?,
        };
        for entry in &history {
            waiting.extend(hear(run, entry).await);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// How far runs of a tree say to be, where that is news. It is no part of their history.
pub(crate) async fn progress(engine: &Engine, tree: &mut Tree) -> Vec<(RunId, Timestamp, Value)> {
    let mut news = Vec::new();
    for run in tree.under_way(ASKED) {
        // An engine that is busy is asked again later.
        let Ok(updates) = engine.run::<Value>(run).progress().await else { break };
        for update in updates {
            let Ok(value) = update.value::<Value>() else { continue };
            let text = brief(&Payload::from(value.to_string().into_bytes()));
            if tree.progress(run, update.number, &text) {
                news.push((run, update.at, value));
            }
        }
    }
    news
}

pub(crate) fn now() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_micros())
}
