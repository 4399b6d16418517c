//! What programs read: JSON, apart from what is stored. Fields are added, never renamed or removed.

mod details;
mod event;
mod operations;
mod reindex;
mod run;
mod verify;

pub(crate) use event::EventView;
pub(crate) use operations::Operations;
pub(crate) use reindex::ReindexView;
pub(crate) use run::RunView;
pub(crate) use verify::VerifyView;
