//! JSON Schemas of results: checked before anything starts, so that one that is none, or that leads outside or too deep, is
//! refused by name.

use crate::context::refused;
use crate::failure::Failure;
use serde_json::Value;

/// The largest schema, in bytes of its JSON.
const LARGEST: usize = 64 << 10;
/// How many levels of JSON it may have.
const LEVELS: usize = 32;
/// How many references may lead on from each other.
const REFERENCES: usize = 8;
/// How many problems of an answer are told.
const TOLD: usize = 8;

/// A schema that makes sense.
pub(crate) struct Schema(jsonschema::Validator);

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with the code `bad-schema` that says what is wrong with it.
    pub(crate) fn new(schema: &Value) -> Result<Schema, Failure> {
        let bad = |what: String| refused("bad-schema", format!("the schema of the result cannot be used: {what}"));
        if !schema.is_object() {
            return Err(bad("it must be an object".to_owned()));
        }
        let bytes = schema.to_string().len();
        if bytes > LARGEST {
            return Err(bad(format!("{bytes} bytes are over the limit of {LARGEST}")));
        }
        check_levels(schema, LEVELS).map_err(bad)?;
        let mut references = Vec::new();
        collect_references(schema, &mut references);
        for reference in references {
            check_reference(schema, reference).map_err(bad)?;
        }
        jsonschema::validator_for(schema).map(Schema).map_err(|error| bad(error.to_string()))
    }

    /// What is wrong with a value; nothing if it fits.
    pub(crate) fn problems(&self, value: &Value) -> Vec<String> {
        let problem = |error: jsonschema::ValidationError<'_>| match error.instance_path().to_string() {
            at if at.is_empty() => error.to_string(),
            at => format!("{at}: {error}"),
        };
        self.0.iter_errors(value).take(TOLD).map(problem).collect()
    }
}

fn check_levels(value: &Value, left: usize) -> Result<(), String> {
    let Some(left) = left.checked_sub(1) else { return Err(format!("it has more than {LEVELS} levels")) };
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_levels(item, left)),
        Value::Object(fields) => fields.values().try_for_each(|field| check_levels(field, left)),
        _ => Ok(()),
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| collect_references(field, found));
        }
        _ => {}
    }
}

/// Whether a reference leads somewhere in the schema, within a few steps.
fn check_reference(schema: &Value, reference: &str) -> Result<(), String> {
    let mut reference = reference;
    for _ in 0..REFERENCES {
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!("the reference {reference:?} leads outside; only #/.. is allowed"));
        };
        let Some(found) = schema.pointer(pointer) else {
            return Err(format!("the reference {reference:?} leads nowhere"));
        };
        match found.get("$ref").and_then(Value::as_str) {
            Some(next) => reference = next,
            None => return Ok(()),
        }
    }
    Err(format!("more than {REFERENCES} references lead on from each other"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refuses(schema: &Value, why: &str) {
        let Err(failure) = Schema::new(schema) else { panic!("{schema} is taken") };
        assert_eq!(failure.code(), "bad-schema");
        assert!(failure.message().contains(why), "{}", failure.message());
    }

    #[test]
    fn spec_d3_a_schema_that_makes_no_sense_is_refused_by_name() {
        refuses(&json!("text"), "must be an object");
        refuses(&json!({ "type": "nonsense" }), "nonsense");
        refuses(&json!({ "$ref": "https://example.com/schema" }), "leads outside");
        refuses(&json!({ "$ref": "#/$defs/none" }), "leads nowhere");
        refuses(&json!({ "description": "x".repeat(70_000) }), "over the limit");
        let deep = (0..40).fold(json!({}), |inner, _| json!({ "items": inner }));
        refuses(&deep, "levels");
        let step = |n: usize| (format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }));
        let chain: serde_json::Map<String, Value> = (0..10).map(step).chain([("d10".to_owned(), json!({}))]).collect();
        refuses(&json!({ "$ref": "#/$defs/d0", "$defs": chain }), "lead on from each other");
        let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
        refuses(&circle, "lead on from each other");
    }

    #[test]
    fn spec_d3_problems_name_their_place() {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let schema = Schema::new(&schema).expect("a schema");
        assert!(schema.problems(&json!({ "n": 3 })).is_empty());
        assert!(schema.problems(&json!({ "n": "three" }))[0].starts_with("/n: "));
        assert_eq!(schema.problems(&json!({})).len(), 1);
    }
}
