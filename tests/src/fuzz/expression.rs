//! Any text as an expression, on any JSON.

use rejoin::definition::Pattern;
use serde_json::{Value, json};

/// What stands between the expression and the value.
const BETWEEN: char = '\n';

/// Evaluates the first line on the JSON behind it, twice. Says whether it is an expression.
///
/// # Panics
///
/// If the two differ.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (expression, value) = text.split_once(BETWEEN).unwrap_or((text, "null"));
    let value: Value = serde_json::from_str(value).unwrap_or(json!({ "n": 3, "list": [1, 2], "text": value }));
    let Ok(pattern) = Pattern::parse(&Value::String(format!("={expression}"))) else { return false };
    assert_eq!(pattern.mismatch(&value), pattern.mismatch(&value), "it depends on nothing else");
    true
}
