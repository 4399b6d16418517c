//! What an agent may say beside a plain result: an object of one field that has a meaning.

use super::answer::{Answer, Artefact, Handoff, Next, Spent, Transfer};
use super::redact::Redactor;
use super::trouble::{failure, lasting, word};
use rejoin::Failure;
use serde::Deserialize;
use serde_json::Value;

/// What it may mean.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Progress(Value),
    Emit(Value),
    Artefact(Artefact),
    Usage(Spent),
    Result(Value),
    Handoff(Handoff),
    Transfer(Transfer),
    Error(Told),
}

/// A failure, as the agent says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    retryable: bool,
}

impl Told {
    pub(super) fn failure(&self, redactor: &Redactor) -> Failure {
        failure(&word(&redactor.text(&self.code)), redactor.text(&self.message), self.retryable)
    }
}

/// Whether it means something: others are results like any other, of which one may have a field `error` among several.
pub(super) fn means(value: &Value) -> bool {
    let known = ["progress", "emit", "artefact", "usage", "result", "handoff", "transfer", "error"];
    let fields = value.as_object().filter(|fields| fields.len() == 1);
    fields.is_some_and(|fields| fields.keys().all(|name| known.contains(&name.as_str())))
}

/// The answer of an agent that says it all at once.
///
/// # Errors
///
/// The failure that it says, or that what it says is not what such words mean.
pub(super) fn at_once(said: Value, redactor: &Redactor) -> Result<Answer, Failure> {
    // Nobody watches what is said at once.
    if !means(&said) || said.get("progress").is_some() {
        return Ok(Answer::of(said).redacted(redactor));
    }
    let line = serde_json::from_value(said);
    let line = line.map_err(|error| lasting("bad-answer", redactor.text(&error.to_string())))?;
    let mut answer = Answer::default();
    match line {
        Line::Progress(_) => {}
        Line::Emit(piece) => answer.pieces.push(piece),
        Line::Artefact(artefact) => answer.artefacts.push(artefact),
        Line::Usage(spent) => answer.usage = spent,
        Line::Result(result) => answer.result = result,
        Line::Handoff(handoff) => answer.next = Some(Next::Handoff(handoff)),
        Line::Transfer(transfer) => answer.next = Some(Next::Transfer(transfer)),
        Line::Error(told) => return Err(told.failure(redactor)),
    }
    Ok(answer.redacted(redactor))
}
