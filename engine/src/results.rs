//! What a workflow results in that declares no output of its own.

use crate::report::TaskResult;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the agents of a workflow have come to, in the order of their assignments.
///
/// A declared output comes first. Without one, structured results are merged: where two have the same field, the later one
/// wins, and both are kept as conflicts. Without those, the last text is the result; and without that, that it has ended.
///
/// ```
/// use rejoin::{Results, Tagged};
/// use serde_json::json;
///
/// let mut results = Results::default();
/// results.add("analyst", &json!({ "topic": "rust", "views": 900 }));
/// results.add("editor", &json!({ "topic": "databases" }));
/// let Tagged::Structured { value, conflicts } = results.finish() else { panic!("they are structured") };
/// assert_eq!(value, json!({ "topic": "databases", "views": 900 }));
/// assert_eq!(conflicts["topic"], [("analyst".to_owned(), json!("rust")), ("editor".to_owned(), json!("databases"))]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Results {
    declared: Option<Value>,
    shared: Vec<(String, Map<String, Value>)>,
    text: Option<String>,
}

/// A result, and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Tagged {
    /// Fields, or what was declared.
    Structured {
        /// The value.
        value: Value,
        /// Fields that more than one agent gave: who, and what, in order.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        conflicts: BTreeMap<String, Vec<(String, Value)>>,
    },
    /// A text.
    Text {
        /// It.
        text: String,
    },
    /// Nothing but that it has ended.
    None {
        /// That, in words.
        notice: String,
    },
}

impl Results {
    /// What an agent has come to: fields are shared, a text is the last word so far.
    pub fn add(&mut self, agent: impl Into<String>, result: &Value) {
        match result {
            Value::Null => {}
            Value::Object(fields) => self.shared.push((agent.into(), fields.clone())),
            Value::String(text) => self.text = Some(text.clone()),
            other => self.text = Some(other.to_string()),
        }
    }

    /// What a task has come to.
    pub fn add_task(&mut self, agent: impl Into<String>, done: &TaskResult) {
        self.add(agent, &done.output);
    }

    /// What others have come to, after what is known.
    #[cfg(feature = "definitions")]
    pub(crate) fn append(&mut self, other: Results) {
        self.shared.extend(other.shared);
        self.text = other.text.or(self.text.take());
    }

    /// The workflow's own output.
    pub fn declare(&mut self, output: Value) {
        self.declared = Some(output);
    }

    /// What all of it comes to.
    pub fn finish(self) -> Tagged {
        let Results { declared, shared, text } = self;
        if let Some(declared) = declared.filter(|declared| !declared.is_null()) {
            return Tagged::of(declared);
        }
        if shared.is_empty() {
            return text.map_or_else(Tagged::nothing, |text| Tagged::Text { text });
        }
        let mut given: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
        for (agent, fields) in shared {
            for (field, value) in fields {
                given.entry(field).or_default().push((agent.clone(), value));
            }
        }
        let last = |values: &Vec<(String, Value)>| values.last().map(|(_, value)| value.clone()).unwrap_or_default();
        let value = given.iter().map(|(field, values)| (field.clone(), last(values))).collect();
        let differ = |values: &[(String, Value)]| values.windows(2).any(|pair| pair[0].1 != pair[1].1);
        let conflicts = given.into_iter().filter(|(_, values)| differ(values)).collect();
        Tagged::Structured { value: Value::Object(value), conflicts }
    }
}

impl Tagged {
    /// What a value is: a text, nothing, or structured.
    pub fn of(value: Value) -> Tagged {
        match value {
            Value::Null => Tagged::nothing(),
            Value::String(text) => Tagged::Text { text },
            value => Tagged::Structured { value, conflicts: BTreeMap::new() },
        }
    }

    fn nothing() -> Tagged {
        Tagged::None { notice: "it has completed, without a result".to_owned() }
    }

    /// A result without the tag that says what it is. What was never tagged, such as a declared output, is as it was.
    ///
    /// ```
    /// use rejoin::Tagged;
    /// use serde_json::json;
    /// assert_eq!(Tagged::untag(json!({ "result": "text", "text": "done" })), json!("done"));
    /// assert_eq!(Tagged::untag(json!({ "result": "text", "pages": 3 })), json!({ "result": "text", "pages": 3 }));
    /// ```
    pub fn untag(value: Value) -> Value {
        let tagged = serde_json::from_value::<Tagged>(value.clone()).ok();
        let whole = |tagged: &Tagged| serde_json::to_value(tagged).is_ok_and(|again| again == value);
        match tagged.filter(whole) {
            Some(Tagged::Structured { value, .. }) => value,
            Some(Tagged::Text { text }) => Value::String(text),
            Some(Tagged::None { .. }) => Value::Null,
            None => value,
        }
    }

    /// It in words, for a chat.
    pub fn text(&self) -> String {
        match self {
            Tagged::Structured { value, .. } => value.to_string(),
            Tagged::Text { text } | Tagged::None { notice: text } => text.clone(),
        }
    }
}
