//! Numbers as JSON has them: whole ones of 64 bits, signed or not, and floats.

use super::budget::{Trouble, wrong};
use serde_json::Value;
use std::cmp::Ordering;

/// What can be done with two numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    /// For the message about two values with which it cannot be done.
    pub(super) fn done(self) -> &'static str {
        match self {
            Arithmetic::Add => "added",
            Arithmetic::Subtract => "subtracted",
            Arithmetic::Multiply => "multiplied",
            Arithmetic::Divide | Arithmetic::Remainder => "divided",
        }
    }
}

/// A number on its way from JSON to JSON.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Wider than JSON's, so that what two of them give does not overflow before it is looked at.
    Whole(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(number: &serde_json::Number) -> Number {
        match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Number::Whole(whole.into()),
            (None, Some(whole)) => Number::Whole(whole.into()),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }
    }

    /// As JSON, if JSON has it.
    pub(super) fn json(self) -> Result<Value, Trouble> {
        match self {
            Number::Whole(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
                (Ok(whole), _) => Ok(whole.into()),
                (_, Ok(whole)) => Ok(whole.into()),
                _ => wrong("a whole number is beyond 64 bits"),
            },
            Number::Float(float) => match serde_json::Number::from_f64(float) {
                Some(number) => Ok(Value::Number(number)),
                None => wrong("a number is infinite, or none at all"),
            },
        }
    }

    pub(super) fn negated(self) -> Number {
        match self {
            Number::Whole(whole) => Number::Whole(-whole),
            Number::Float(float) => Number::Float(-float),
        }
    }

    /// The number without what stands behind the point.
    pub(super) fn whole(self) -> Result<Number, Trouble> {
        match self {
            Number::Float(float) if float.abs() >= BEYOND => wrong(format!("{float} is beyond 64 bits")),
            Number::Float(float) => Ok(Number::Whole(float as i128)),
            whole => Ok(whole),
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Float(float) => float,
        }
    }

    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(left), Number::Whole(right)) => left.cmp(&right),
            (Number::Float(left), Number::Float(right)) => float_order(left, right),
            (Number::Whole(left), Number::Float(right)) => whole_order(left, right),
            (Number::Float(left), Number::Whole(right)) => whole_order(right, left).reverse(),
        }
    }
}

/// A float from here on is beyond every whole number that JSON has.
const BEYOND: f64 = 36_893_488_147_419_103_232.0; // 2^65

/// JSON's floats are finite, so they all stand in an order.
fn float_order(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// Exact, where turning the whole number into a float would round it.
fn whole_order(whole: i128, float: f64) -> Ordering {
    if float.abs() >= BEYOND {
        return float_order(0.0, float);
    }
    whole.cmp(&(float as i128)).then(float_order(0.0, float.fract()))
}

/// The number that two numbers give.
pub(super) fn compute(how: Arithmetic, left: Number, right: Number) -> Result<Number, Trouble> {
    match (left, right) {
        (Number::Whole(left), Number::Whole(right)) => whole(how, left, right).map(Number::Whole),
        _ => float(how, left.float(), right.float()).map(Number::Float),
    }
}

fn whole(how: Arithmetic, left: i128, right: i128) -> Result<i128, Trouble> {
    let result = match how {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return wrong("it divides by zero"),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    };
    result.map_or_else(|| wrong("a whole number is beyond 64 bits"), Ok)
}

fn float(how: Arithmetic, left: f64, right: f64) -> Result<f64, Trouble> {
    match how {
        Arithmetic::Add => Ok(left + right),
        Arithmetic::Subtract => Ok(left - right),
        Arithmetic::Multiply => Ok(left * right),
        Arithmetic::Divide if right == 0.0 => wrong("it divides by zero"),
        Arithmetic::Divide => Ok(left / right),
        Arithmetic::Remainder => wrong("`%` takes whole numbers"),
    }
}
