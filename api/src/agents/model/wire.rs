//! The chat completions API: what is sent, and what is read of what comes back.
//!
//! Endpoints differ in details. What is sent is plain; in what is read, anything may be missing, and nothing unknown disturbs.

use super::stream::{CUT, FILTERED};
use crate::agents::redact::Redactor;
use crate::agents::toolbox;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Request {
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    /// The form that the answer must have, see [`schema_format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<Value>,
    pub(super) stream: bool,
    pub(super) stream_options: StreamOptions,
}

/// What a stream has beside its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StreamOptions {
    /// Whether it ends with what it has cost.
    pub(super) include_usage: bool,
}

/// A message, as a model sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Message {
    /// What it is told to do.
    System { content: String },
    /// What somebody says to it.
    User { content: String },
    /// What it has said, and what it wanted.
    Assistant {
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What came of a call.
    Tool { tool_call_id: String, content: String },
}

/// A tool that a model is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "function", rename_all = "lowercase")]
pub(crate) enum Tool {
    Function { name: String, description: String, parameters: Value },
}

impl From<toolbox::Tool> for Tool {
    fn from(toolbox::Tool { name, description, parameters }: toolbox::Tool) -> Tool {
        Tool::Function { name, description, parameters }
    }
}

/// A call that a model wants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ToolCall {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) called: Called,
}

/// What it wants to call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "function", rename_all = "lowercase")]
pub(crate) enum Called {
    /// A tool, with arguments that should be the JSON of an object.
    Function { name: String, arguments: String },
}

impl ToolCall {
    pub(super) fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> ToolCall {
        ToolCall { id: id.into(), called: Called::Function { name: name.into(), arguments: arguments.into() } }
    }

    pub(super) fn name(&self) -> &str {
        let Called::Function { name, .. } = &self.called;
        name
    }

    pub(super) fn arguments(&self) -> &str {
        let Called::Function { arguments, .. } = &self.called;
        arguments
    }
}

/// The form of an answer that must fit a schema. Endpoints take only schemas of objects.
pub(super) fn schema_format(schema: &Value) -> Option<Value> {
    let is_object = schema.get("type").is_some_and(|sort| sort == "object");
    is_object.then(|| json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } }))
}

/// What a model has answered, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// Why it stopped, where the endpoint says so.
    pub(super) finish: Option<String>,
    /// What it has cost, where the endpoint says so.
    pub(super) tokens: Option<Tokens>,
}

impl Answer {
    /// Without the secrets that the endpoint was given.
    pub(super) fn redacted(self, redactor: &Redactor) -> Answer {
        let clean = |ToolCall { id, called: Called::Function { name, arguments } }| {
            ToolCall::new(redactor.text(&id), redactor.text(&name), redactor.text(&arguments))
        };
        Answer { text: redactor.text(&self.text), calls: self.calls.into_iter().map(clean).collect(), ..self }
    }

    /// Whether more would have come.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.finish.as_deref(), Some(CUT | FILTERED))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.calls.is_empty()
    }
}

/// Tokens that a model has read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Tokens {
    pub(super) fn sum(self) -> u64 {
        self.read.saturating_add(self.written)
    }
}

/// A piece of a streamed answer. One that is not streamed is a stream of one piece.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    pub(super) choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    /// What some endpoints say in place of an error.
    detail: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    pub(super) delta: Option<Delta>,
    /// What it is called where it is not streamed.
    pub(super) message: Option<Delta>,
    finish_reason: Option<String>,
}

impl Choice {
    /// Why it stopped, if it did: some endpoints say a word for that with each piece.
    pub(super) fn finish(&self) -> Option<String> {
        let reason = self.finish_reason.as_ref()?.to_lowercase();
        (!matches!(reason.as_str(), "" | "null")).then_some(reason)
    }
}

/// What a piece adds to a message.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    content: Option<Value>,
    refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<CallDelta>>,
}

/// What a piece adds to a call.
#[derive(Debug, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<u64>,
    id: Option<Value>,
    function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

impl Chunk {
    /// What went wrong at the endpoint, where the piece says that.
    pub(super) fn trouble(&self) -> Option<String> {
        let detail = self.detail.as_ref().filter(|_| self.choices.is_none());
        let error = self.error.as_ref().filter(|error| !error.is_null()).or(detail)?;
        Some(error_text(error).unwrap_or_else(|| error.to_string()))
    }

    pub(super) fn tokens(&self) -> Option<Tokens> {
        let usage = self.usage.as_ref()?;
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        let (read, written) = (count("prompt_tokens"), count("completion_tokens"));
        (read.is_some() || written.is_some())
            .then(|| Tokens { read: read.unwrap_or_default(), written: written.unwrap_or_default() })
    }
}

impl Delta {
    /// The text, which some endpoints send in parts.
    pub(super) fn text(&self) -> String {
        let said = match &self.content {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            Some(_) | None => String::new(),
        };
        if said.is_empty() { self.refusal.clone().unwrap_or_default() } else { said }
    }
}

impl CallDelta {
    /// The id; nothing where there is none.
    pub(super) fn id(&self) -> String {
        match &self.id {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.function.as_ref()?.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Arguments are the text of JSON; some endpoints send the JSON itself.
    pub(super) fn arguments(&self) -> String {
        match self.function.as_ref().and_then(|function| function.arguments.as_ref()) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }
}

/// What an error says, in whichever of the usual places.
pub(super) fn error_text(error: &Value) -> Option<String> {
    let nested = error.get("error").unwrap_or(error);
    let text = nested.get("message").or_else(|| nested.get("detail")).unwrap_or(nested);
    text.as_str().map(str::to_owned)
}
