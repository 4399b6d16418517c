//! Transitions and rows to bytes and back.
//!
//! bincode 1.3.3 with fixed-size integers, little endian, and nothing behind the value. Every record bears a format tag;
//! a new layout gets a new tag, and the old ones are read for ever.

use bincode::Options;
use rejoin_machine::Transition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The format tag of a record that holds a [`Transition`] as it is laid out today.
pub const TRANSITION: u16 = 1;

/// The most bytes that one value may claim: what a damaged length can make us allocate.
const LIMIT: u64 = 64 << 20;

/// Bytes that are no value of the expected type.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The tag is not one that this version knows.
    #[error("format {0} is not known to this version; a newer rejoin wrote it")]
    UnknownFormat(u16),
    /// The bytes do not make sense.
    #[error("the bytes are not what the format says: {0}")]
    Malformed(#[from] bincode::Error),
}

fn options() -> impl Options {
    bincode::options().with_fixint_encoding().with_limit(LIMIT).reject_trailing_bytes()
}

/// Encodes a transition, in the format [`TRANSITION`].
///
/// # Errors
///
/// [`CodecError::Malformed`] if it is larger than 64 MiB.
pub fn encode(transition: &Transition) -> Result<Vec<u8>, CodecError> {
    to_bytes(transition)
}

/// Decodes a transition of any format ever written.
///
/// # Errors
///
/// [`CodecError`]: an unknown format, or bytes that are not of it. Never panics, whatever the bytes.
pub fn decode(format: u16, bytes: &[u8]) -> Result<Transition, CodecError> {
    match format {
        TRANSITION => from_bytes(bytes),
        unknown => Err(CodecError::UnknownFormat(unknown)),
    }
}

pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(options().serialize(value)?)
}

pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(options().deserialize(bytes)?)
}
