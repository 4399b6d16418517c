//! Reading what is asked: so many bytes, in so much time, and JSON of a bounded depth.

use super::error::Refusal;
use axum::body::{Body, to_bytes};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest body, in bytes: an input may be no longer.
pub(super) const LONGEST: usize = 2 << 20;

/// How much is read of one that is too long, so that whoever is still sending hears why it is refused.
const HEARD: usize = 2 * LONGEST;

/// How long it may take to come, in seconds.
const PATIENCE: u64 = 10;

/// Reads a value. The parser goes 128 levels deep, and no deeper.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let coming = timeout(Duration::from_secs(PATIENCE), to_bytes(body, HEARD)).await;
    let bytes = coming.map_err(|_| Refusal::TooSlow(PATIENCE))?.map_err(why)?;
    if bytes.len() > LONGEST {
        return Err(Refusal::TooLong(LONGEST));
    }
    serde_json::from_slice(&bytes).map_err(|error| Refusal::Body(error.to_string()))
}

fn why(error: axum::Error) -> Refusal {
    let message = error.to_string();
    // The type of this error belongs to a crate below axum.
    if message.contains("length limit exceeded") { Refusal::TooLong(LONGEST) } else { Refusal::Broken(message) }
}
