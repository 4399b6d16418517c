//! Texts with values in them.

mod filters;
mod tags;

use super::budget::Limited;
use super::{Flaw, RESULT, Scope, failure, guarded};
use crate::Failure;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, escape_formatter};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// How much text a template may have.
const TEXT: usize = 64 << 10;

/// How many instructions a rendering may take.
const FUEL: u64 = 100_000;

/// How deep the blocks of a rendering may stand in each other.
const BLOCKS: usize = 32;

/// The name under which a template is kept; it is the only one beside it.
const NAME: &str = "template";

/// What all templates share: filters and tests, and nothing that loads, calls or remembers.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::empty();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_auto_escape_callback(|_| AutoEscape::None);
    language.set_fuel(Some(FUEL));
    language.set_recursion_limit(BLOCKS);
    language.set_formatter(written);
    filters::add(&mut language);
    language
});

/// What a value is as text: what is no text is JSON, which is what agents read.
fn written(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let text = serde_json::to_string(value)
                .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
            out.write_str(&text).map_err(Error::from)
        }
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Error::from),
        ValueKind::None => out.write_str("null").map_err(Error::from),
        _ => escape_formatter(out, state, value),
    }
}

/// A Jinja template: plain text, `{{ a value }}`, `{% for item in items %}`, `{% if it %}`, and a choice of filters.
///
/// It sets no variables and calls nothing, so that what it makes grows only with what is written and given. What it names
/// must be there.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    language: Environment<'static>,
    reads: BTreeSet<Vec<String>>,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Template, Flaw> {
        if text.len() > TEXT {
            return Err(Flaw::of(text, format!("a template has at most {TEXT} bytes")));
        }
        tags::check(text)?;
        guarded(|| compile(text)).unwrap_or_else(|message| Err(Flaw::of(text, message)))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text that it gives in this scope.
    pub(crate) fn render(&self, scope: &Scope) -> Result<String, Failure> {
        guarded(|| self.rendered(scope)).and_then(|rendered| rendered).map_err(|trouble| failure(&self.text, &trouble))
    }

    /// The variables that it reads, as far as it says which part of them. What its loops name is not among them.
    pub(crate) fn reads(&self) -> BTreeSet<Vec<String>> {
        self.reads.clone()
    }

    fn rendered(&self, scope: &Scope) -> Result<String, String> {
        let read = self.read(scope);
        let template = self.language.get_template(NAME).map_err(|error| self.message(&error, scope))?;
        let mut text = Limited::default();
        let done = template.render_captured_to(Value::from(Serde(&read)), &mut text).map(|_| ());
        done.map_err(|error| self.message(&error, scope))?;
        String::from_utf8(text.0).map_err(|_| "it gives what is not a text".to_owned())
    }

    /// What it reads of the scope, and as little else as can be told before: all that the library is given is copied.
    fn read(&self, scope: &Scope) -> Map<String, Json> {
        let mut read = Map::new();
        for path in &self.reads {
            let Some((name, fields)) = path.split_first() else { continue };
            let Some(whole) = scope.get(name.as_str()) else { continue };
            keep(&mut read, name, whole, fields);
        }
        read
    }

    fn message(&self, error: &minijinja::Error, scope: &Scope) -> String {
        match error.kind() {
            ErrorKind::OutOfFuel => format!("it takes more than {FUEL} steps: compute it in a step of its own"),
            ErrorKind::WriteFailure => format!("it gives more than {RESULT} bytes"),
            ErrorKind::UndefinedError => match self.reads.iter().find(|path| !stands(scope, path)) {
                Some(path) => format!("there is no `{}`", path.join(".")),
                None => located("something that it names is not there", error),
            },
            _ => located(&said(error), error),
        }
    }
}

fn compile(text: &str) -> Result<Template, Flaw> {
    let mut language = LANGUAGE.clone();
    let flaw = |error: minijinja::Error| Flaw { message: said(&error), span: line(text, error.line()) };
    language.add_template_owned(NAME, text.to_owned()).map_err(flaw)?;
    let reads = language.get_template(NAME).map_err(flaw)?.undeclared_variables(true);
    let reads = reads.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
    Ok(Template { text: text.to_owned(), language, reads })
}

/// What the library says is wrong, in its words.
fn said(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn located(message: &str, error: &minijinja::Error) -> String {
    error.line().map_or_else(|| message.to_owned(), |line| format!("{message}, in line {line}"))
}

/// The bytes of a line, counted from one; without one, those of all of them.
fn line(text: &str, number: Option<usize>) -> std::ops::Range<usize> {
    let Some(before) = number.and_then(|number| number.checked_sub(1)) else { return 0..text.len() };
    let Some(line) = text.split_inclusive('\n').nth(before) else { return 0..text.len() };
    let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    start..start + line.trim_end_matches(['\n', '\r']).len()
}

/// Keeps a value's field at this path. Where there is none, the template may look for it in another way, and what is above is kept.
fn keep(kept: &mut Map<String, Json>, name: &str, value: &Json, path: &[String]) {
    let within = path.split_first().and_then(|(field, rest)| Some((field, value.as_object()?.get(field)?, rest)));
    match (kept.get_mut(name), within) {
        (Some(Json::Object(inner)), Some((field, value, rest))) => keep(inner, field, value, rest),
        (None, Some((field, value, rest))) => {
            let mut inner = Map::new();
            keep(&mut inner, field, value, rest);
            kept.insert(name.to_owned(), Json::Object(inner));
        }
        _ => drop(kept.insert(name.to_owned(), value.clone())),
    }
}

/// Whether the scope has what stands at this path.
fn stands(scope: &Scope, path: &[String]) -> bool {
    let Some((name, fields)) = path.split_first() else { return true };
    let root = scope.get(name.as_str()).map(|value| &**value);
    fields.iter().fold(root, |value, field| value.and_then(|value| value.get(field))).is_some()
}
