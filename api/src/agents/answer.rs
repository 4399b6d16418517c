//! What comes back from an agent that works elsewhere: recorded once, and then told to the engine.

use super::redact::Redactor;
use rejoin::{Context, Failure, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer, and what came with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) result: Value,
    /// Pieces for the run's stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pieces: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) artefacts: Vec<Artefact>,
    #[serde(default)]
    pub(super) usage: Spent,
}

/// Something that was made beside the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Artefact {
    pub(super) name: String,
    pub(super) value: Value,
}

/// What it has cost, as the agent says; what it does not say is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Spent {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cost_micros: u64,
}

impl Spent {
    pub(super) fn plus(self, other: Spent) -> Spent {
        Spent {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }
}

impl Answer {
    /// An answer that is nothing but its result.
    pub(super) fn of(result: Value) -> Answer {
        Answer { result, ..Answer::default() }
    }

    /// Without the secrets that the agent was given.
    pub(super) fn redacted(self, redactor: &Redactor) -> Answer {
        let clean = |Artefact { name, value }| Artefact { name: redactor.text(&name), value: redactor.value(value) };
        Answer {
            result: redactor.value(self.result),
            pieces: self.pieces.into_iter().map(|piece| redactor.value(piece)).collect(),
            artefacts: self.artefacts.into_iter().map(clean).collect(),
            usage: self.usage,
        }
    }

    /// Tells the engine, and gives the result.
    pub(super) fn deliver(self, ctx: &Context) -> Result<Value, Failure> {
        for piece in &self.pieces {
            ctx.emit(piece)?;
        }
        for Artefact { name, value } in self.artefacts {
            ctx.artefact(name, &value)?;
        }
        let Spent { input_tokens, output_tokens, cost_micros } = self.usage;
        if self.usage != Spent::default() {
            ctx.record_usage(Usage { input_tokens, output_tokens, cost_micros });
        }
        Ok(self.result)
    }
}
