//! The life of one run, as three pure functions over plain data.
//!
//! - [`Run::decide`]: what a command means now. Reads state, changes nothing.
//! - [`Run::apply`]: the only door through which state changes, live and in replay.
//! - [`Run::outstanding`]: everything that the world still owes the run.
//!
//! There is no clock, no randomness, no I/O and no async runtime here, and `no_std` proves it: time and chance
//! come in with commands. Rules live in `decide`; `apply` checks only that an event fits the state, so that
//! a stricter rule of tomorrow still reads the histories of today.
//!
//! One file per entity: [`step`], [`call`], [`timer`], [`signal`], [`human`], [`cancel`], [`conversation`]; the run itself is in `run`, and
//! what it is given beside its input in [`brief`].

#![no_std]

extern crate alloc;

mod answer;
mod apply;
mod boundary;
pub mod brief;
pub mod call;
pub mod cancel;
mod command;
pub mod conversation;
mod decide;
mod effect;
mod error;
mod event;
mod failure;
pub mod human;
mod id;
mod limits;
mod listen;
mod names;
mod op;
pub mod retry;
mod run;
pub mod signal;
pub mod step;
mod talk;
mod time;
pub mod timer;
mod transition;
mod trigger;
mod turn;
mod usage;

pub use answer::Answer;
pub use boundary::{Boundary, Carried, Recollection};
pub use command::{Command, Issue, Notice, Participation};
pub use effect::{Effect, StepTask};
pub use error::{IllegalEvent, Rejection};
pub use event::Event;
pub use failure::{Failure, FailureKind};
pub use id::{CallKey, OpNo, Payload, RunId, SignalId};
pub use limits::Limits;
pub use op::Op;
pub use run::{Outcome, Run, Status};
pub use time::{Span, Timestamp};
pub use transition::Transition;
pub use trigger::{CONVERSATION, DOCUMENT, Origin, Parent, Target, Trigger};
pub use turn::handed_off;
pub use usage::Usage;
