//! What expressions and templates can read.

use super::super::expression;
use super::super::model::Workflow;
use super::Ended;
use crate::context::Context;
use crate::failure::Failure;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The variables of a run: `input`, `metadata`, `visitor`, `message`, `run`, `status`, and what came of each unit, by its name.
#[derive(Clone)]
pub(super) struct Scope {
    variables: expression::Scope,
    /// The version of the workflow, and of the programs and addresses that are written down in it.
    pub(super) version: u32,
}

/// Names that are always there.
pub(in super::super) const ALWAYS: [&str; 6] = ["input", "metadata", "message", "run", "status", "visitor"];

/// The variable that has what came of a workflow, whose name need not be one.
pub(in super::super) fn variable_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What is known of the visitor.
pub(super) fn visitor(ctx: &Context) -> Result<Map<String, Value>, Failure> {
    ctx.visitor_names().map(|name| Ok((name.to_owned(), ctx.visitor(name)?.unwrap_or_default()))).collect()
}

impl Scope {
    pub(super) fn new(ctx: &Context, workflow: &Workflow, version: u32, input: Value) -> Result<Scope, Failure> {
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
        let mut scope = Scope { variables: expression::Scope::new(), version };
        scope.set("input", Value::Object(given));
        scope.set("metadata", Value::Object(metadata));
        scope.set("visitor", Value::Object(visitor(ctx)?));
        scope.set("message", json!(ctx.occasion()));
        scope.set("run", json!({ "id": ctx.run_id().to_string(), "depth": ctx.depth() }));
        scope.set("status", json!({}));
        Ok(scope)
    }

    pub(super) fn variables(&self) -> &expression::Scope {
        &self.variables
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.into(), Arc::new(value));
    }

    /// Keeps what came of a unit.
    pub(super) fn note(&mut self, unit: &str, ended: &Ended) {
        self.set(unit, ended.value.clone());
        if let Some(Value::Object(all)) = self.variables.get_mut("status").map(Arc::make_mut) {
            all.insert(unit.to_owned(), ended.status.clone());
        }
    }
}
