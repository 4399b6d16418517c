//! What a value must be like.

use super::expression::{Expression, Scope};
use serde_json::Value;
use std::collections::BTreeMap;

/// How much of a value is shown that is another one.
const SHOWN: usize = 200;

/// What a value must be like: a text that begins with `=` is a condition in CEL on the value, which is called `it` there; of an
/// object the fields that are named must fit; everything else must be the same.
///
/// ```
/// use rejoin::definition::Pattern;
/// use serde_json::json;
///
/// let pattern = Pattern::parse(&json!({ "sum": "= it > 40", "to": { "name": "ann" } })).unwrap();
/// assert_eq!(pattern.mismatch(&json!({ "sum": 49, "to": { "name": "ann", "age": 30 } })), None);
/// let why = pattern.mismatch(&json!({ "sum": 4, "to": { "name": "ann" } })).unwrap();
/// assert_eq!(why, "sum: `it > 40` does not hold for 4");
/// ```
#[derive(Clone, Debug)]
pub struct Pattern(Part);

#[derive(Clone, Debug)]
enum Part {
    Same(Value),
    Holds(Expression),
    List(Vec<Part>),
    Fields(BTreeMap<String, Part>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with a condition, in words.
    pub fn parse(value: &Value) -> Result<Pattern, String> {
        part(value).map(Pattern)
    }

    /// Why a value does not fit, with the place in it; nothing if it does.
    pub fn mismatch(&self, it: &Value) -> Option<String> {
        let (place, why) = self.0.mismatch(it)?;
        Some(if place.is_empty() { why } else { format!("{}: {why}", place.join(".")) })
    }
}

fn part(value: &Value) -> Result<Part, String> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix('=') {
            Some(literal) if literal.starts_with('=') => Part::Same(literal.into()),
            Some(condition) => {
                let wrong = |flaw: super::expression::Flaw| format!("`{}`: {}", condition.trim(), flaw.message);
                Part::Holds(Expression::parse(condition).map_err(wrong)?)
            }
            None => Part::Same(value.clone()),
        },
        Value::Array(items) => Part::List(items.iter().map(part).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), part(value)?)));
            Part::Fields(fields.collect::<Result<_, String>>()?)
        }
        other => Part::Same(other.clone()),
    })
}

impl Part {
    /// The place of the first part that does not fit, from the outside in, and why.
    fn mismatch(&self, it: &Value) -> Option<(Vec<String>, String)> {
        match (self, it) {
            (Part::Same(wanted), it) => {
                (!same(wanted, it)).then(|| (Vec::new(), format!("it should be {wanted}, and is {}", shown(it))))
            }
            (Part::Holds(condition), it) => {
                let scope = Scope::from([("it".into(), it.clone().into())]);
                let why = match condition.holds(&scope) {
                    Ok(true) => return None,
                    Ok(false) => format!("`{}` does not hold for {}", condition.text(), shown(it)),
                    Err(failure) => format!("{}, for {}", failure.message(), shown(it)),
                };
                Some((Vec::new(), why))
            }
            (Part::List(parts), Value::Array(items)) if parts.len() == items.len() => {
                let each = parts.iter().zip(items).enumerate();
                each.map(|(place, (part, item))| within(place.to_string(), part.mismatch(item))).find_map(|it| it)
            }
            (Part::List(parts), it) => {
                Some((Vec::new(), format!("it should be a list of {}, and is {}", parts.len(), shown(it))))
            }
            (Part::Fields(parts), Value::Object(fields)) => parts.iter().find_map(|(name, part)| {
                let found = fields.get(name).map_or_else(
                    || Some((Vec::new(), "there is no such field".to_owned())),
                    |value| part.mismatch(value),
                );
                within(name.clone(), found)
            }),
            (Part::Fields(_), it) => Some((Vec::new(), format!("it should have fields, and is {}", shown(it)))),
        }
    }
}

/// Numbers are the same by what they are worth: 49 is 49.0.
fn same(wanted: &Value, it: &Value) -> bool {
    match (wanted, it) {
        (Value::Number(wanted), Value::Number(it)) => wanted == it || wanted.as_f64() == it.as_f64(),
        _ => wanted == it,
    }
}

fn within(place: String, found: Option<(Vec<String>, String)>) -> Option<(Vec<String>, String)> {
    let (mut path, why) = found?;
    path.insert(0, place);
    Some((path, why))
}

fn shown(it: &Value) -> String {
    let text = it.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_fits_or_its_place_is_told() {
        let fits = |pattern: Value, it: Value| Pattern::parse(&pattern).unwrap().mismatch(&it);
        assert_eq!(fits(json!(null), json!(null)), None);
        assert_eq!(fits(json!("==x"), json!("=x")), None);
        assert_eq!(fits(json!(49), json!(49.0)), None);
        assert_eq!(fits(json!([1, "= it == 2"]), json!([1, 2])), None);
        assert_eq!(fits(json!({ "a": [{ "b": 1 }] }), json!({ "a": [{ "b": 1, "c": 2 }], "d": 3 })), None);
        for (pattern, it, why) in [
            (json!("x"), json!("y"), r#"it should be "x", and is "y""#),
            (json!([1]), json!([1, 2]), "it should be a list of 1, and is [1,2]"),
            (json!({ "a": { "b": 1 } }), json!({ "a": {} }), "a.b: there is no such field"),
            (
                json!({ "a": [0, "= it.size() > 3"] }),
                json!({ "a": [0, "abc"] }),
                "a.1: `it.size() > 3` does not hold for \"abc\"",
            ),
            (json!({ "a": 1 }), json!("text"), r#"it should have fields, and is "text""#),
        ] {
            assert_eq!(fits(pattern.clone(), it).as_deref(), Some(why), "{pattern}");
        }
        assert!(fits(json!("= it.x"), json!(1)).unwrap().contains("it.x"));
        assert!(Pattern::parse(&json!({ "a": "= it +" })).is_err());
    }
}
