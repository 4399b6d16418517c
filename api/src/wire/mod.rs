//! What programs read: JSON, apart from what is stored. Fields are added, never renamed or removed.

mod conversation;
mod details;
mod event;
mod import;
mod message;
mod operations;
mod reindex;
mod run;
mod state;
mod verify;
mod why;

pub(crate) use conversation::sort_name;
pub(crate) use event::EventView;
pub(crate) use import::ImportView;
pub(crate) use message::{contact, speaker, words};
pub(crate) use operations::Operations;
pub(crate) use reindex::ReindexView;
pub(crate) use run::RunView;
pub(crate) use state::StateView;
pub(crate) use verify::{Found, VerifyView};
pub(crate) use why::WhyView;
