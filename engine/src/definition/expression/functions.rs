//! The functions that an expression may call. None of them knows of a clock, of chance or of the world.

use super::budget::{Budget, Trouble, wrong};
use super::kind;
use super::numbers::Number;
use serde_json::Value;

/// One of them. Those that CEL calls on a value take that value first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Double,
    Text,
    Bool,
}

/// For the message about one that there is not.
pub(super) const KNOWN: &str =
    "size, contains, startsWith, endsWith, int, double, string, bool, has, all, exists, exists_one, map and filter";

impl Function {
    /// The function of that name, with so many arguments, called on a value or not.
    pub(super) fn find(name: &str, on_value: bool, arguments: usize) -> Option<Function> {
        match (name, on_value, arguments) {
            ("size", false, 1) | ("size", true, 0) => Some(Function::Size),
            ("contains", true, 1) => Some(Function::Contains),
            ("startsWith", true, 1) => Some(Function::StartsWith),
            ("endsWith", true, 1) => Some(Function::EndsWith),
            ("int", false, 1) => Some(Function::Int),
            ("double", false, 1) => Some(Function::Double),
            ("string", false, 1) => Some(Function::Text),
            ("bool", false, 1) => Some(Function::Bool),
            _ => None,
        }
    }

    /// What it gives.
    pub(super) fn call(self, arguments: &[&Value], budget: &Budget) -> Result<Value, Trouble> {
        for text in arguments.iter().filter_map(|argument| argument.as_str()) {
            budget.bytes(text.len())?;
        }
        match (self, arguments) {
            (Function::Size, [of]) => size(of),
            (Function::Int, [of]) => int(of),
            (Function::Double, [of]) => double(of),
            (Function::Text, [of]) => text(of),
            (Function::Bool, [of]) => boolean(of),
            (_, [Value::String(of), Value::String(part)]) => Ok(Value::Bool(match self {
                Function::StartsWith => of.starts_with(part.as_str()),
                Function::EndsWith => of.ends_with(part.as_str()),
                _ => of.contains(part.as_str()),
            })),
            (_, [Value::String(_), other] | [other, ..]) => {
                wrong(format!("`{}` takes strings, not {}", self.name(), kind(other)))
            }
            (_, []) => wrong(format!("`{}` takes a value", self.name())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Function::Size => "size",
            Function::Contains => "contains",
            Function::StartsWith => "startsWith",
            Function::EndsWith => "endsWith",
            Function::Int => "int",
            Function::Double => "double",
            Function::Text => "string",
            Function::Bool => "bool",
        }
    }
}

/// Characters of a string, elements of a list, fields of a map.
fn size(of: &Value) -> Result<Value, Trouble> {
    match of {
        Value::String(text) => Ok(text.chars().count().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(fields) => Ok(fields.len().into()),
        other => wrong(format!("{} has no size", kind(other))),
    }
}

fn int(of: &Value) -> Result<Value, Trouble> {
    match of {
        Value::Number(number) => Number::of(number).whole()?.json(),
        Value::String(text) => match text.parse::<i128>() {
            Ok(whole) => Number::Whole(whole).json(),
            Err(_) => wrong("`int` is given a string that is not a whole number"),
        },
        other => wrong(format!("`int` takes a number or a string, not {}", kind(other))),
    }
}

fn double(of: &Value) -> Result<Value, Trouble> {
    match of {
        Value::Number(number) => Number::Float(Number::of(number).float()).json(),
        Value::String(text) => match text.parse::<f64>() {
            Ok(float) => Number::Float(float).json(),
            Err(_) => wrong("`double` is given a string that is not a number"),
        },
        other => wrong(format!("`double` takes a number or a string, not {}", kind(other))),
    }
}

fn text(of: &Value) -> Result<Value, Trouble> {
    match of {
        Value::String(_) => Ok(of.clone()),
        Value::Bool(holds) => Ok(holds.to_string().into()),
        Value::Number(number) => match Number::of(number) {
            Number::Whole(whole) => Ok(whole.to_string().into()),
            Number::Float(float) => Ok(float.to_string().into()),
        },
        other => wrong(format!("`string` takes a string, a number or a boolean, not {}", kind(other))),
    }
}

fn boolean(of: &Value) -> Result<Value, Trouble> {
    match of {
        Value::Bool(_) => Ok(of.clone()),
        Value::String(text) if ["true", "True", "TRUE", "t", "1"].contains(&text.as_str()) => Ok(true.into()),
        Value::String(text) if ["false", "False", "FALSE", "f", "0"].contains(&text.as_str()) => Ok(false.into()),
        other => wrong(format!("`bool` takes a boolean, or a string that says true or false, not {}", kind(other))),
    }
}
