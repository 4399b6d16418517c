//! An expression as a tree of what there is to compute.

use super::functions::Function;
use super::numbers::Arithmetic;
use serde_json::Value;
use std::cmp::Ordering;

/// A part of an expression that has a value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(Value),
    Variable(String),
    Field(Box<Node>, String),
    /// Whether the map has that field.
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Negated(Box<Node>),
    Both(Box<Node>, Box<Node>),
    Either(Box<Node>, Box<Node>),
    /// The condition, what it is if that holds, and what it is otherwise.
    If(Box<Node>, Box<Node>, Box<Node>),
    Computed(Arithmetic, Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
    Ordered(Order, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Each(Box<Each>),
}

/// How two values are to stand to each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Whether they do.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Something that is computed for each element of a list, or for each key of a map.
#[derive(Clone, Debug)]
pub(super) struct Each {
    pub(super) over: Node,
    pub(super) name: String,
    pub(super) sort: Sort,
}

/// What is computed, and what comes of it.
#[derive(Clone, Debug)]
pub(super) enum Sort {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    Filter(Node),
    /// A value for each, or for each of which the condition holds.
    Map(Option<Node>, Node),
}

impl Node {
    /// The variable and the fields that it names, if it does nothing else: `draft.title` and `draft["title"]`.
    pub(super) fn path(&self) -> Option<Vec<String>> {
        match self {
            Node::Variable(name) => Some(vec![name.clone()]),
            Node::Field(of, field) | Node::Has(of, field) => of.path_with(field),
            Node::Index(of, index) => match &**index {
                Node::Literal(Value::String(field)) => of.path_with(field),
                _ => None,
            },
            _ => None,
        }
    }

    fn path_with(&self, field: &str) -> Option<Vec<String>> {
        let mut path = self.path()?;
        path.push(field.to_owned());
        Some(path)
    }
}
