//! Which variables an expression reads.

use super::node::{Each, Node, Sort};
use std::collections::BTreeSet;

/// The paths of all that it reads, without what its own comprehensions name.
pub(super) fn of(root: &Node) -> BTreeSet<Vec<String>> {
    let mut reads = Reads { found: BTreeSet::new(), bound: Vec::new() };
    reads.node(root);
    reads.found
}

struct Reads<'n> {
    found: BTreeSet<Vec<String>>,
    bound: Vec<&'n str>,
}

impl<'n> Reads<'n> {
    fn node(&mut self, node: &'n Node) {
        if let Some(path) = node.path() {
            if !self.bound.contains(&path[0].as_str()) {
                self.found.insert(path);
            }
            return;
        }
        match node {
            Node::Literal(_) | Node::Variable(_) => {}
            Node::Field(of, _) | Node::Has(of, _) | Node::Not(of) | Node::Negated(of) => self.node(of),
            Node::List(items) | Node::Call(_, items) => items.iter().for_each(|item| self.node(item)),
            Node::Map(fields) => fields.iter().for_each(|(key, value)| self.nodes([key, value])),
            Node::If(condition, then, otherwise) => self.nodes([&**condition, then, otherwise]),
            Node::Index(left, right)
            | Node::Both(left, right)
            | Node::Either(left, right)
            | Node::Computed(_, left, right)
            | Node::Equal(left, right)
            | Node::Ordered(_, left, right)
            | Node::In(left, right) => self.nodes([&**left, right]),
            Node::Each(each) => self.each(each),
        }
    }

    fn nodes<const N: usize>(&mut self, nodes: [&'n Node; N]) {
        nodes.into_iter().for_each(|node| self.node(node));
    }

    fn each(&mut self, each: &'n Each) {
        self.node(&each.over);
        self.bound.push(&each.name);
        match &each.sort {
            Sort::All(body) | Sort::Exists(body) | Sort::ExistsOne(body) | Sort::Filter(body) => self.node(body),
            Sort::Map(condition, body) => {
                condition.iter().for_each(|condition| self.node(condition));
                self.node(body);
            }
        }
        self.bound.pop();
    }
}
