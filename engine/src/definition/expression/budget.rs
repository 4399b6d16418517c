//! How much an evaluation may do.

use super::RESULT;
use serde_json::Value;
use std::cell::Cell;
use std::io::{self, Write};

/// What a step costs; a byte that is copied costs one.
const STEP: u64 = 16;

/// A million steps, or 16 MiB that are copied.
const TOTAL: u64 = 1_000_000 * STEP;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// Something does not fit. `&&` and `||` may pass over it, as CEL says.
    Wrong(String),
    /// The budget is spent, and nothing passes over that.
    Spent,
}

impl Trouble {
    pub(super) fn into_message(self) -> String {
        match self {
            Trouble::Wrong(message) => message,
            Trouble::Spent => "it takes more than a million steps: compute it in a step of its own".to_owned(),
        }
    }
}

/// Something that does not fit, in words.
pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(message.into()))
}

/// What is left of it.
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn full() -> Budget {
        Budget(Cell::new(TOTAL))
    }

    /// Pays for steps.
    pub(super) fn steps(&self, steps: usize) -> Result<(), Trouble> {
        self.spend((steps as u64).saturating_mul(STEP))
    }

    /// Pays for bytes that are copied or compared.
    pub(super) fn bytes(&self, bytes: usize) -> Result<(), Trouble> {
        self.spend(bytes as u64)
    }

    /// Pays for a copy of this value.
    pub(super) fn copy(&self, value: &Value) -> Result<(), Trouble> {
        self.steps(1)?;
        match value {
            Value::String(text) => self.bytes(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.copy(item)),
            Value::Object(fields) => fields.iter().try_for_each(|(key, item)| {
                self.bytes(key.len())?;
                self.copy(item)
            }),
            _ => Ok(()),
        }
    }

    fn spend(&self, cost: u64) -> Result<(), Trouble> {
        let left = self.0.get().checked_sub(cost);
        self.0.set(left.unwrap_or_default());
        left.map(|_| ()).ok_or(Trouble::Spent)
    }
}

/// The value's bytes as JSON, unless they are more than a result may have.
pub(super) fn json_size(value: &Value) -> Option<usize> {
    let mut limited = Limited::default();
    serde_json::to_writer(&mut limited, value).ok()?;
    Some(limited.0.len())
}

/// Bytes that are written, as many as a result may have.
#[derive(Default)]
pub(super) struct Limited(pub(super) Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RESULT {
            return Err(io::Error::other("too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
