//! Histories against handlers, without executing anything.

use crate::activation::{ReplayError, Surroundings};
use crate::context::ForeignWake;
use crate::engine::Builder;
use crate::history::Entry;
use rejoin_machine::{Run, RunId};
use std::sync::Arc;

/// Replays a run's history against the handlers of `builder`, without executing anything: each thing that a handler
/// asks for is held against what the history says it asked for. Returns the state at the end.
///
/// # Errors
///
/// Where they part: the position, what the history has, what the handler asked for.
pub fn replay(builder: Builder, run: RunId, history: &[Entry]) -> Result<Run, String> {
    struct Nobody;
    impl ForeignWake for Nobody {
        fn woken(&self, _: RunId) {}
    }
    let registry = builder.into_parts().map_err(|error| error.to_string())?.registry;
    let around = Surroundings { registry: Arc::new(registry), foreign: Arc::new(Nobody), log: None };
    match crate::replay::activate(run, history, &around) {
        Ok(activation) => Ok(activation.run.clone()),
        Err(ReplayError::Illegal(error)) => Err(error.to_string()),
        Err(ReplayError::Diverged(reason)) => Err(reason),
    }
}
