//! From an expression and a scope to a value.
//!
//! The tree is evaluated here and not by the library that reads it: every step and every copy is paid for from one budget, maps
//! are gone through in the order of their keys, and what an expression gives cannot change under a history that has it.

use super::budget::{Budget, Trouble, wrong};
use super::node::{Each, Node, Sort};
use super::numbers::{self, Arithmetic, Number};
use super::{Scope, kind};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// What the expression gives in this scope.
pub(super) fn evaluate(root: &Node, scope: &Scope) -> Result<Value, Trouble> {
    let evaluation = Evaluation { budget: Budget::full() };
    let names = Names::Scope(scope);
    let value = evaluation.value(root, &names)?;
    evaluation.own(value)
}

/// What names stand for: the scope, and before it what comprehensions name.
enum Names<'l> {
    Scope(&'l Scope),
    Also { name: &'l str, value: Cow<'l, Value>, outer: &'l Names<'l> },
}

impl<'l> Names<'l> {
    fn find(&'l self, wanted: &str) -> Option<&'l Value> {
        match self {
            Names::Scope(scope) => scope.get(wanted).map(|value| &**value),
            Names::Also { name, value, .. } if *name == wanted => Some(value),
            Names::Also { outer, .. } => outer.find(wanted),
        }
    }
}

/// A value of the scope is not copied before something new is made of it.
type Given<'l> = Result<Cow<'l, Value>, Trouble>;

struct Evaluation {
    budget: Budget,
}

impl Evaluation {
    fn value<'l>(&self, node: &'l Node, names: &'l Names<'l>) -> Given<'l> {
        self.budget.steps(1)?;
        match node {
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Variable(name) => match names.find(name) {
                Some(value) => Ok(Cow::Borrowed(value)),
                None => wrong(format!("there is no `{name}`")),
            },
            Node::Field(of, field) => self.field(node, self.value(of, names)?, field),
            Node::Has(of, field) => match &*self.value(of, names)? {
                Value::Object(fields) => yes(fields.contains_key(field)),
                other => wrong(format!("`has` asks a map, not {}", kind(other))),
            },
            Node::Index(of, index) => self.element(node, self.value(of, names)?, &*self.value(index, names)?),
            Node::List(items) => {
                let items = items.iter().map(|item| self.own(self.value(item, names)?));
                Ok(Cow::Owned(Value::Array(items.collect::<Result<_, _>>()?)))
            }
            Node::Map(fields) => self.map(fields, names),
            Node::Not(of) => yes(!self.holds(of, names)?),
            Node::Negated(of) => match &*self.value(of, names)? {
                Value::Number(number) => Ok(Cow::Owned(Number::of(number).negated().json()?)),
                other => wrong(format!("`-` takes a number, not {}", kind(other))),
            },
            Node::Both(left, right) => self.decided(left, right, false, names),
            Node::Either(left, right) => self.decided(left, right, true, names),
            Node::If(condition, then, _) if self.holds(condition, names)? => self.value(then, names),
            Node::If(_, _, otherwise) => self.value(otherwise, names),
            Node::Computed(how, left, right) => {
                self.computed(*how, &*self.value(left, names)?, &*self.value(right, names)?).map(Cow::Owned)
            }
            Node::Equal(left, right) => yes(self.equal(&*self.value(left, names)?, &*self.value(right, names)?)?),
            Node::Ordered(how, left, right) => {
                yes(how.holds(self.compare(&*self.value(left, names)?, &*self.value(right, names)?)?))
            }
            Node::In(left, right) => self.within(&*self.value(left, names)?, &*self.value(right, names)?),
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|argument| self.value(argument, names));
                let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                let arguments: Vec<&Value> = arguments.iter().map(|argument| &**argument).collect();
                function.call(&arguments, &self.budget).map(Cow::Owned)
            }
            Node::Each(each) => self.each(each, names),
        }
    }

    fn holds<'l>(&self, node: &'l Node, names: &'l Names<'l>) -> Result<bool, Trouble> {
        match &*self.value(node, names)? {
            Value::Bool(holds) => Ok(*holds),
            other => wrong(format!("true or false is wanted, not {}", kind(other))),
        }
    }

    /// `&&` and `||`: one side that decides is enough, even beside one that does not fit.
    fn decided<'l>(&self, left: &'l Node, right: &'l Node, deciding: bool, names: &'l Names<'l>) -> Given<'l> {
        let left = match self.holds(left, names) {
            Ok(holds) if holds == deciding => return yes(deciding),
            Err(Trouble::Spent) => return Err(Trouble::Spent),
            other => other,
        };
        let right = self.holds(right, names)?;
        if right == deciding { yes(deciding) } else { yes(left?) }
    }

    fn field<'l>(&self, node: &Node, of: Cow<'l, Value>, field: &str) -> Given<'l> {
        let found = match of {
            Cow::Borrowed(Value::Object(fields)) => fields.get(field).map(Cow::Borrowed),
            Cow::Owned(Value::Object(mut fields)) => fields.remove(field).map(Cow::Owned),
            other => return wrong(format!("{} has no field `{field}`", kind(&other))),
        };
        found.map_or_else(|| missing(node, field), Ok)
    }

    fn element<'l>(&self, node: &Node, of: Cow<'l, Value>, index: &Value) -> Given<'l> {
        match (&*of, index) {
            (Value::Object(_), Value::String(field)) => self.field(node, of, field),
            (Value::Array(items), Value::Number(number)) => {
                let place = match Number::of(number) {
                    Number::Float(float) if float.fract() == 0.0 => Number::Float(float).whole()?,
                    other => other,
                };
                let place = match place {
                    Number::Whole(place) => usize::try_from(place).ok().filter(|place| *place < items.len()),
                    Number::Float(_) => None,
                };
                let Some(place) = place else {
                    return wrong(format!("a list of {} has no element {number}", items.len()));
                };
                Ok(match of {
                    Cow::Borrowed(items) => Cow::Borrowed(&items[place]),
                    Cow::Owned(mut items) => Cow::Owned(items[place].take()),
                })
            }
            (of, index) => wrong(format!("{} has no element by {}", kind(of), kind(index))),
        }
    }

    fn map<'l>(&self, fields: &'l [(Node, Node)], names: &'l Names<'l>) -> Given<'l> {
        let mut made = Map::new();
        for (key, value) in fields {
            let key = match self.own(self.value(key, names)?)? {
                Value::String(key) => key,
                other => return wrong(format!("a key of a map is a string, not {}", kind(&other))),
            };
            if made.contains_key(&key) {
                return wrong(format!("a map has `{key}` twice"));
            }
            made.insert(key, self.own(self.value(value, names)?)?);
        }
        Ok(Cow::Owned(Value::Object(made)))
    }

    fn computed(&self, how: Arithmetic, left: &Value, right: &Value) -> Result<Value, Trouble> {
        match (how, left, right) {
            (_, Value::Number(left), Value::Number(right)) => {
                numbers::compute(how, Number::of(left), Number::of(right))?.json()
            }
            (Arithmetic::Add, Value::String(left), Value::String(right)) => {
                self.budget.bytes(left.len() + right.len())?;
                Ok(Value::String(format!("{left}{right}")))
            }
            (Arithmetic::Add, Value::Array(front), Value::Array(back)) => {
                self.budget.copy(left)?;
                self.budget.copy(right)?;
                Ok(Value::Array(front.iter().chain(back).cloned().collect()))
            }
            _ => wrong(format!("{} and {} cannot be {}", kind(left), kind(right), how.done())),
        }
    }

    /// Numbers are equal by what they are worth, everything else if it is the same.
    fn equal(&self, left: &Value, right: &Value) -> Result<bool, Trouble> {
        self.budget.steps(1)?;
        Ok(match (left, right) {
            (Value::Number(left), Value::Number(right)) => Number::of(left).compare(Number::of(right)).is_eq(),
            (Value::String(left), Value::String(right)) => {
                self.budget.bytes(left.len().min(right.len()))?;
                left == right
            }
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len() && self.all_equal(left.iter().zip(right))?
            }
            (Value::Object(left), Value::Object(right)) => {
                let mut pairs = Vec::with_capacity(left.len());
                for (key, value) in left {
                    self.budget.bytes(key.len())?;
                    let Some(other) = right.get(key) else { return Ok(false) };
                    pairs.push((value, other));
                }
                left.len() == right.len() && self.all_equal(pairs)?
            }
            (left, right) => left == right,
        })
    }

    fn all_equal<'v>(&self, pairs: impl IntoIterator<Item = (&'v Value, &'v Value)>) -> Result<bool, Trouble> {
        for (left, right) in pairs {
            if !self.equal(left, right)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn compare(&self, left: &Value, right: &Value) -> Result<Ordering, Trouble> {
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => Ok(Number::of(left).compare(Number::of(right))),
            (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
            (Value::String(left), Value::String(right)) => {
                self.budget.bytes(left.len().min(right.len()))?;
                Ok(left.cmp(right))
            }
            _ => wrong(format!("{} and {} stand in no order", kind(left), kind(right))),
        }
    }

    fn within<'l>(&self, wanted: &Value, container: &Value) -> Given<'l> {
        match (wanted, container) {
            (wanted, Value::Array(items)) => {
                for item in items {
                    if self.equal(item, wanted)? {
                        return yes(true);
                    }
                }
                yes(false)
            }
            (Value::String(key), Value::Object(fields)) => yes(fields.contains_key(key)),
            (wanted, other) => wrong(format!("{} cannot be in {}", kind(wanted), kind(other))),
        }
    }

    fn each<'l>(&self, each: &'l Each, names: &'l Names<'l>) -> Given<'l> {
        let items = self.items(self.value(&each.over, names)?)?;
        let also = |value| Names::Also { name: &each.name, value, outer: names };
        match &each.sort {
            Sort::All(body) => self.quantified(items.into_iter().map(also), body, false),
            Sort::Exists(body) => self.quantified(items.into_iter().map(also), body, true),
            Sort::ExistsOne(body) => {
                let mut found = 0;
                for names in items.into_iter().map(also) {
                    found += usize::from(self.holds(body, &names)?);
                }
                yes(found == 1)
            }
            Sort::Filter(condition) => {
                let mut kept = Vec::new();
                for names in items.into_iter().map(also) {
                    if self.holds(condition, &names)?
                        && let Names::Also { value, .. } = names
                    {
                        kept.push(self.own(value)?);
                    }
                }
                Ok(Cow::Owned(Value::Array(kept)))
            }
            Sort::Map(condition, body) => {
                let mut made = Vec::new();
                for names in items.into_iter().map(also) {
                    if condition.as_ref().map_or(Ok(true), |condition| self.holds(condition, &names))? {
                        made.push(self.own(self.value(body, &names)?)?);
                    }
                }
                Ok(Cow::Owned(Value::Array(made)))
            }
        }
    }

    /// `all` and `exists`: an element that decides is enough, even behind one that does not fit.
    fn quantified<'l, 'n>(&self, each: impl Iterator<Item = Names<'n>>, body: &Node, deciding: bool) -> Given<'l> {
        let mut otherwise = Ok(!deciding);
        for names in each {
            match self.holds(body, &names) {
                Ok(holds) if holds == deciding => return yes(deciding),
                Err(Trouble::Spent) => return Err(Trouble::Spent),
                Err(trouble) => otherwise = Err(trouble),
                Ok(_) => {}
            }
        }
        yes(otherwise?)
    }

    /// What a comprehension goes through.
    fn items<'l>(&self, over: Cow<'l, Value>) -> Result<Vec<Cow<'l, Value>>, Trouble> {
        match over {
            Cow::Borrowed(Value::Array(items)) => {
                self.budget.steps(items.len())?;
                Ok(items.iter().map(Cow::Borrowed).collect())
            }
            Cow::Owned(Value::Array(items)) => Ok(items.into_iter().map(Cow::Owned).collect()),
            other => match &*other {
                Value::Object(fields) => {
                    fields
                        .keys()
                        .try_for_each(|key| self.budget.steps(1).and_then(|()| self.budget.bytes(key.len())))?;
                    Ok(fields.keys().map(|key| Cow::Owned(Value::String(key.clone()))).collect())
                }
                other => wrong(format!("{} has no elements to go through", kind(other))),
            },
        }
    }

    /// The value itself: copied, if it belongs to the scope.
    fn own(&self, value: Cow<'_, Value>) -> Result<Value, Trouble> {
        if let Cow::Borrowed(value) = value {
            self.budget.copy(value)?;
        }
        Ok(value.into_owned())
    }
}

fn yes<'l>(holds: bool) -> Given<'l> {
    Ok(Cow::Owned(Value::Bool(holds)))
}

/// Says which field there is not, and of what, where that has a name.
fn missing<'l>(node: &Node, field: &str) -> Given<'l> {
    match node.path() {
        Some(path) => wrong(format!("there is no `{field}` in `{}`", path[..path.len() - 1].join("."))),
        None => wrong(format!("there is no field `{field}`")),
    }
}
