//! A value in a definition: what it says, or what it computes.

use super::{Expression, Flaw, RESULT, Scope, Template, budget, failure};
use crate::Failure;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How deep lists and maps may stand in each other.
const DEPTH: usize = 32;

/// Where in a value something stands: names of fields, and places in lists.
pub(crate) type Place = Vec<String>;

/// A value in which strings may be computed.
///
/// One that begins with `=` is an expression, and stands for what that gives, whatever its type; one with `{{` or `{%` in it is a
/// template; one that begins with `==` stands for itself without the first of them. Everything else stands for itself.
#[derive(Clone, Debug)]
pub struct Mapping(Part);

#[derive(Clone, Debug)]
enum Part {
    Given(Value),
    Computed(Expression),
    Written(Box<Template>),
    List(Vec<Part>),
    Map(BTreeMap<String, Part>),
}

impl Mapping {
    /// Reads a value of a definition. All that is wrong is told, with the place where it stands.
    pub(crate) fn parse(value: &Value) -> Result<Mapping, Vec<(Place, Flaw)>> {
        let mut reading = Reading { place: Vec::new(), flaws: Vec::new() };
        let part = reading.part(value);
        if reading.flaws.is_empty() { Ok(Mapping(part)) } else { Err(reading.flaws) }
    }

    /// What it gives in this scope.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Value, Failure> {
        let mut room = RESULT;
        self.0.value(scope, &mut room)
    }

    /// The variables that it reads.
    pub(crate) fn reads(&self) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        self.0.reads(&mut found);
        found
    }

    /// The fields of the object that it gives, each with the JSON type that it surely has; nothing where it is no object, or
    /// one that is computed as a whole.
    pub(crate) fn fields(&self) -> Option<Vec<(&str, Option<&'static str>)>> {
        match &self.0 {
            Part::Map(parts) => Some(parts.iter().map(|(name, part)| (name.as_str(), part.kind())).collect()),
            _ => None,
        }
    }
}

impl Part {
    /// The JSON type that it surely gives, in a schema's words. What an expression gives is not known before.
    fn kind(&self) -> Option<&'static str> {
        match self {
            Part::Computed(_) => None,
            Part::Written(_) | Part::Given(Value::String(_)) => Some("string"),
            Part::Given(Value::Null) => Some("null"),
            Part::Given(Value::Bool(_)) => Some("boolean"),
            Part::Given(Value::Number(_)) => Some("number"),
            Part::List(_) | Part::Given(Value::Array(_)) => Some("array"),
            Part::Map(_) | Part::Given(Value::Object(_)) => Some("object"),
        }
    }

    /// `room` is how much the whole may still have, as JSON.
    fn value(&self, scope: &Scope, room: &mut usize) -> Result<Value, Failure> {
        let value = match self {
            Part::Given(value) => value.clone(),
            Part::Computed(expression) => expression.value(scope)?,
            Part::Written(template) => Value::String(template.render(scope)?),
            Part::List(parts) => {
                let parts = parts.iter().map(|part| part.value(scope, room));
                return parts.collect::<Result<_, _>>().map(Value::Array);
            }
            Part::Map(parts) => {
                let parts = parts.iter().map(|(key, part)| Ok((key.clone(), part.value(scope, room)?)));
                return parts.collect::<Result<Map<_, _>, _>>().map(Value::Object);
            }
        };
        let left = budget::json_size(&value).and_then(|size| room.checked_sub(size));
        *room = left.ok_or_else(|| failure("a value", &format!("its parts together have more than {RESULT} bytes")))?;
        Ok(value)
    }

    fn reads(&self, found: &mut BTreeSet<Vec<String>>) {
        match self {
            Part::Given(_) => {}
            Part::Computed(expression) => found.extend(expression.reads()),
            Part::Written(template) => found.extend(template.reads()),
            Part::List(parts) => parts.iter().for_each(|part| part.reads(found)),
            Part::Map(parts) => parts.values().for_each(|part| part.reads(found)),
        }
    }
}

struct Reading {
    place: Place,
    flaws: Vec<(Place, Flaw)>,
}

impl Reading {
    fn part(&mut self, value: &Value) -> Part {
        if self.place.len() > DEPTH {
            self.flaws.push((self.place.clone(), Flaw::of("", format!("a value is at most {DEPTH} deep"))));
            return Part::Given(Value::Null);
        }
        match value {
            Value::String(text) => self.text(text).unwrap_or_else(|flaw| {
                self.flaws.push((self.place.clone(), flaw));
                Part::Given(Value::Null)
            }),
            Value::Array(items) => {
                let parts = items.iter().enumerate().map(|(place, item)| self.inner(place.to_string(), item));
                Part::List(parts.collect())
            }
            Value::Object(fields) => {
                let parts = fields.iter().map(|(key, item)| (key.clone(), self.inner(key.clone(), item)));
                Part::Map(parts.collect())
            }
            other => Part::Given(other.clone()),
        }
    }

    fn inner(&mut self, place: String, value: &Value) -> Part {
        self.place.push(place);
        let part = self.part(value);
        self.place.pop();
        part
    }

    fn text(&self, text: &str) -> Result<Part, Flaw> {
        match text.strip_prefix('=') {
            Some(literal) if literal.starts_with('=') => Ok(Part::Given(literal.into())),
            Some(expression) => Expression::parse(expression).map(Part::Computed).map_err(|flaw| {
                let behind = 1; // the `=`
                Flaw { span: flaw.span.start + behind..flaw.span.end + behind, ..flaw }
            }),
            None if text.contains("{{") || text.contains("{%") => {
                Template::parse(text).map(Box::new).map(Part::Written)
            }
            None => Ok(Part::Given(text.into())),
        }
    }
}
