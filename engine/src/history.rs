//! The history of a run, as the log has it.

use crate::codec::{self, CodecError};
use rejoin_machine::{Timestamp, Transition};
use rejoin_store::Record;

/// One record of a run: a transition, when it happened, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the run, from 1.
    pub version: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub transition: Transition,
}

impl Entry {
    /// Decodes a record of the log.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if its format is not known or its bytes are not of it.
    pub fn decode(record: &Record) -> Result<Entry, CodecError> {
        let transition = codec::decode(record.format, &record.payload)?;
        Ok(Entry { version: record.version.0, time: Timestamp(record.time), transition })
    }
}
