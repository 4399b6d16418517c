//! What a definition computes: expressions, templates, and values made of both.
//!
//! An [`Expression`] is written in CEL and gives a value of JSON; a [`Template`] is written in Jinja and gives a text; a
//! [`Mapping`] is a value in which strings may be either. All three are pure and bounded: the same scope gives the same
//! value, on any machine and in any replay, and whatever was written, an answer comes within a fixed amount of work.
//!
//! The language is CEL's, without bytes, messages, optionals, regular expressions, dates and durations. Whole numbers are
//! those that JSON holds in 64 bits, signed or not, and one beside a float counts as a float. Keys of maps are strings.

mod budget;
mod evaluate;
mod functions;
mod mapping;
mod node;
mod numbers;
mod reads;
mod syntax;
mod template;
#[cfg(test)]
mod tests;

use crate::Failure;
use budget::Trouble;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use mapping::Mapping;
pub use template::Template;

/// How much a value may be, as JSON, and a text.
const RESULT: usize = 1 << 20;

/// What an expression or a template reads, by name. Values are shared, so that a scope inside another costs little.
pub(crate) type Scope = BTreeMap<Arc<str>, Arc<Value>>;

/// What is wrong with a text in a definition, and where in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flaw {
    /// What is wrong, and what would be right.
    pub message: String,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
}

impl Flaw {
    /// A flaw of a text as a whole.
    fn of(text: &str, message: impl Into<String>) -> Flaw {
        Flaw { message: message.into(), span: 0..text.len() }
    }
}

/// A CEL expression that was read and found to be sound.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    root: node::Node,
}

impl Expression {
    /// Reads an expression. Functions that there are not, and what goes beyond the bounds, are found here.
    pub(crate) fn parse(text: &str) -> Result<Expression, Flaw> {
        syntax::read(text).map(|root| Expression { text: text.trim().to_owned(), root })
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gives in this scope.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Value, Failure> {
        self.computed(scope).map_err(|trouble| failure(&self.text, &trouble))
    }

    /// Whether it is so in this scope. Only `true` and `false` say so.
    pub(crate) fn holds(&self, scope: &Scope) -> Result<bool, Failure> {
        match self.value(scope)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(failure(&self.text, &format!("it must give true or false, and gives {}", kind(&other)))),
        }
    }

    /// The variables that it reads, as far as it says which part of them. What comprehensions name is not among them.
    pub(crate) fn reads(&self) -> BTreeSet<Vec<String>> {
        reads::of(&self.root)
    }

    fn computed(&self, scope: &Scope) -> Result<Value, String> {
        let value = guarded(|| evaluate::evaluate(&self.root, scope))?.map_err(Trouble::into_message)?;
        match budget::json_size(&value) {
            Some(_) => Ok(value),
            None => Err(format!("it gives more than {RESULT} bytes")),
        }
    }
}

/// The failure of a text that gave nothing.
fn failure(text: &str, trouble: &str) -> Failure {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    Failure::business("expression", format!("`{shown}{rest}`: {trouble}"))
}

/// Calls a library that reads what anybody wrote: should it panic, that is an error of the text.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| "this cannot be worked out: write it in another way".to_owned())
}

/// A value's JSON type, as messages name it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
