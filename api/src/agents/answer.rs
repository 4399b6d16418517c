//! What comes back from an agent that works elsewhere: recorded once, and then told to the engine.

use super::redact::Redactor;
use rejoin::{Context, Failure, HandingOff, Usage};
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
    /// What becomes of it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Next>,
}

/// What becomes of the work when the agent itself has done with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Next {
    /// A person goes on with the conversation.
    Handoff(Handoff),
    /// Another agent does.
    Transfer(Transfer),
    /// The result comes later, from whoever has the run's token.
    Later,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handoff {
    /// What is said.
    message: String,
    /// What is said when the person gives it back; the result follows that. Without it the agent's work ends with the handoff.
    ending: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    url: Option<String>,
}

/// Another agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    agent: String,
    /// What that agent is told.
    #[serde(default)]
    note: String,
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

    /// None yet.
    pub(super) fn later() -> Answer {
        Answer { next: Some(Next::Later), ..Answer::default() }
    }

    /// Without the secrets that the agent was given.
    pub(super) fn redacted(self, redactor: &Redactor) -> Answer {
        let clean = |Artefact { name, value }| Artefact { name: redactor.text(&name), value: redactor.value(value) };
        Answer {
            result: redactor.value(self.result),
            pieces: self.pieces.into_iter().map(|piece| redactor.value(piece)).collect(),
            artefacts: self.artefacts.into_iter().map(clean).collect(),
            usage: self.usage,
            next: self.next.map(|next| next.redacted(redactor)),
        }
    }

    /// Tells the engine, and gives the result.
    pub(super) async fn deliver(self, ctx: &Context) -> Result<Value, Failure> {
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
        match self.next {
            None => Ok(self.result),
            Some(Next::Transfer(Transfer { agent, note })) => ctx.transfer(&agent, note).await.map(|_| self.result),
            Some(Next::Later) => ctx.deferred().await,
            Some(Next::Handoff(handoff)) => handoff.begin(ctx).await.map(|()| self.result),
        }
    }
}

impl Next {
    fn redacted(self, redactor: &Redactor) -> Next {
        match self {
            Next::Handoff(Handoff { message, ending, email, phone, url }) => {
                let clean = |text: Option<String>| text.map(|text| redactor.text(&text));
                Next::Handoff(Handoff {
                    message: redactor.text(&message),
                    ending: clean(ending),
                    email: clean(email),
                    phone: clean(phone),
                    url: clean(url),
                })
            }
            Next::Transfer(Transfer { agent, note }) => {
                Next::Transfer(Transfer { agent: redactor.text(&agent), note: redactor.text(&note) })
            }
            Next::Later => Next::Later,
        }
    }
}

impl Handoff {
    async fn begin(self, ctx: &Context) -> Result<(), Failure> {
        let Handoff { message, ending, email, phone, url } = self;
        let mut asked = ctx.hand_off(message);
        asked = email.into_iter().fold(asked, HandingOff::email);
        asked = phone.into_iter().fold(asked, HandingOff::phone);
        asked = url.into_iter().fold(asked, HandingOff::url);
        match ending {
            Some(ending) => asked.ending(ending).await.map(drop),
            None => Err(asked.for_good()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_secret_is_in_any_part_of_an_answer() {
        let secret = "hush-hush-123456";
        let redactor = Redactor::new([secret.to_owned()]);
        for next in [
            json!({ "handoff": { "message": secret, "ending": secret, "email": secret, "phone": secret, "url": secret } }),
            json!({ "transfer": { "agent": secret, "note": secret } }),
        ] {
            let whole = json!({ "result": secret, "pieces": [secret], "artefacts": [{ "name": secret, "value": secret }], "next": next });
            let answer: Answer = serde_json::from_value(whole).unwrap();
            let kept = serde_json::to_string(&answer.redacted(&redactor)).unwrap();
            assert!(!kept.contains("hush"), "{kept}");
        }
    }
}
