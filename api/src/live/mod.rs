//! The live view of a run: what goes on in its tree while it works in an engine of this process.
//!
//! | file | its one idea |
//! |---|---|
//! | `follow` | from the engine to the model |
//! | `tree`, `node` | the model: events in, what each thing is called and how it stands |
//! | `picture`, `line` | from the model to lines for a terminal |
//! | `screen`, `size` | lines that stay in their place on the terminal |
//! | `plain`, `events` | lines for files, and JSON for programs |
//! | `asking`, `typed` | questions to people, and what they type |
//! | `outlet` | writing, which holds up nothing else |

pub(crate) mod asking;
mod events;
pub(crate) mod follow;
pub(crate) mod line;
mod node;
pub(crate) mod outlet;
pub(crate) mod picture;
pub(crate) mod plain;
pub(crate) mod screen;
pub(crate) mod size;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod typed;
mod watcher;

use rejoin::{Engine, Failure, RunError, RunId};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use watcher::{Ports, Watcher};

/// How long the last of what there is to show may take to be written, once nobody waits for it as for data.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How a watched run came to rest.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    /// With its output.
    Completed(Value),
    /// With its failure.
    Failed(Failure),
    /// It has not: somebody pressed Ctrl-C.
    Interrupted,
}

/// How a run is shown, and to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Stderr is a terminal: a tree that stays in its place, and questions are asked.
    pub(crate) tty: bool,
    /// Colours may be used on stderr.
    pub(crate) color: bool,
    /// A line of JSON on stdout for each event, and nothing else.
    pub(crate) json: bool,
    /// In whose name questions are answered; where nobody is named, in that of the first who is asked.
    pub(crate) person: Option<String>,
}

/// Shows the tree of a run until the run has ended or is interrupted. The engine goes on either way.
///
/// Whoever reads slowly holds up nothing but what is shown: pictures are skipped and lines are left out, and a note says how many.
/// JSON is data: it is kept for its reader, and waited for. An output that is closed is no error.
pub(crate) async fn watch(
    engine: &Engine,
    root: RunId,
    view: View,
    interrupted: impl Future<Output = ()>,
) -> Result<Ending, RunError> {
    let ports = Ports::of_process(&view).await;
    watch_with(engine, root, view, ports, interrupted).await
}

/// As [`watch`], with the world given to it.
async fn watch_with(
    engine: &Engine,
    root: RunId,
    view: View,
    ports: Ports,
    interrupted: impl Future<Output = ()>,
) -> Result<Ending, RunError> {
    let json = view.json;
    let mut watcher = Watcher::new(engine, root, view, ports);
    let watched = async {
        let followed = watcher.follow().await;
        if json {
            watcher.finish().await;
        }
        followed
    };
    let ended = tokio::select! {
        biased;
        () = interrupted => None,
        followed = watched => Some(followed),
    };
    watcher.show(None);
    // What is not written by then has no reader.
    let _ = tokio::time::timeout(PATIENCE, watcher.finish()).await;
    match ended {
        None => Ok(Ending::Interrupted),
        Some(followed) => followed,
    }
}

/// Comes when somebody presses Ctrl-C, closes the terminal, or asks the process to end.
pub(crate) async fn interrupted() {
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        // With nohup it is not to end when the terminal is closed.
        () = heard(SignalKind::hangup()), if !is_ignored(SignalKind::hangup()) => {}
    }
}

/// One that cannot be heard of ends the process by itself.
async fn heard(kind: SignalKind) {
    let heard = match signal(kind) {
        Ok(mut signal) => signal.recv().await,
        Err(_) => None,
    };
    if heard.is_none() {
        std::future::pending().await
    }
}

/// Whether whoever started the process does not want it to hear that; where nobody can tell, they do.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

/// Where stderr and stdout are, as texts go out to them.
fn outputs(json: bool) -> Box<dyn io::Write + Send> {
    if json { Box::new(io::stdout()) } else { Box::new(io::stderr()) }
}
