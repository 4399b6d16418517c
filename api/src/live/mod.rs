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
//! | `interrupts` | being asked to end |
//! | `outlet` | writing, which holds up nothing else |

pub(crate) mod asking;
mod events;
pub(crate) mod follow;
pub(crate) mod interrupts;
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

use crate::error::Trouble;
use rejoin::{Engine, Failure, RunId};
use serde_json::Value;
use std::io;
use std::time::Duration;
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
/// JSON is data: it is kept for its reader, and waited for. An output that is closed is no error; one that is full is, at the end.
pub(crate) async fn watch(
    engine: &Engine,
    root: RunId,
    view: View,
    interrupted: impl Future<Output = ()>,
) -> Result<Ending, Trouble> {
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
) -> Result<Ending, Trouble> {
    let json = view.json;
    let mut watcher = Watcher::new(engine, root, view, ports);
    let watched = async {
        let followed = watcher.follow().await.map_err(|error| Trouble::Refused(error.to_string()));
        let written = if json { watcher.finish().await.map_err(Trouble::Output) } else { Ok(()) };
        written.and(followed)
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

/// Where stderr and stdout are, as texts go out to them.
fn outputs(json: bool) -> Box<dyn io::Write + Send> {
    if json { Box::new(io::stdout()) } else { Box::new(io::stderr()) }
}
