//! A transition: what one command did to a run, together. One record of the log holds one.

use crate::event::Event;
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One inbound event and everything that the handler issued in answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The run was suspended and goes on with the first event.
    pub resumed: bool,
    /// The handler rests with no step pending; the next inbound event resumes it.
    pub suspended: bool,
    /// When something will be due that has not come by then.
    pub due: Option<Timestamp>,
    /// What happened, in order.
    pub events: Vec<Event>,
}
