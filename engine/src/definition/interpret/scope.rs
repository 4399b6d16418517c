//! What expressions and templates can read.

use super::super::model::Workflow;
use super::Ended;
use crate::context::Context;
use crate::failure::Failure;
use serde_json::{Map, Value, json};

/// The variables of a run: `input`, `metadata`, `message`, `run`, `status`, and what came of each unit, by its name.
#[derive(Clone)]
pub(super) struct Scope {
    variables: Map<String, Value>,
}

/// Names that are always there.
pub(in super::super) const ALWAYS: [&str; 5] = ["input", "metadata", "message", "run", "status"];

/// The variable that has what came of a workflow, whose name need not be one.
pub(in super::super) fn variable_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl Scope {
    pub(super) fn new(ctx: &Context, workflow: &Workflow, input: Value) -> Result<Scope, Failure> {
        let mut metadata = Map::new();
        for name in &workflow.metadata {
            metadata.insert(name.value.clone(), ctx.metadata::<Value>(name)?);
        }
        let mut given = match input {
            Value::Object(given) => given,
            Value::Null => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        for field in &workflow.input {
            let missing = field.default.clone().unwrap_or_default();
            given.entry(field.name.value.clone()).or_insert(missing);
        }
        let mut variables = Map::new();
        variables.insert("input".to_owned(), Value::Object(given));
        variables.insert("metadata".to_owned(), Value::Object(metadata));
        variables.insert("message".to_owned(), json!(ctx.occasion()));
        variables.insert("run".to_owned(), json!({ "id": ctx.run_id().to_string(), "depth": ctx.depth() }));
        variables.insert("status".to_owned(), json!({}));
        Ok(Scope { variables })
    }

    pub(super) fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Keeps what came of a unit.
    pub(super) fn note(&mut self, unit: &str, ended: &Ended) {
        self.set(unit, ended.value.clone());
        if let Some(Value::Object(all)) = self.variables.get_mut("status") {
            all.insert(unit.to_owned(), ended.status.clone());
        }
    }
}
