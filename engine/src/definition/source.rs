//! Text of a file, and the tree of values in it, each with its place.

use super::diagnostic::{Code, Diagnostics};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Budget, Location, Options, Spanned};
use std::fmt;
use std::ops::Range;

/// The largest file, in bytes.
pub const LARGEST: usize = 1 << 20;
/// How deep values may be nested.
const DEEPEST: usize = 64;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, as people know it.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which of the project's files.
    pub file: usize,
    /// From which byte to which.
    pub span: (usize, usize),
}

impl Place {
    /// A part of it.
    pub(super) fn part(&self, part: &Range<usize>) -> Place {
        let start = self.span.0.saturating_add(part.start).min(self.span.1);
        Place { file: self.file, span: (start, self.span.1.min(self.span.0.saturating_add(part.end)).max(start)) }
    }
}

/// Something that stands somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// What.
    pub value: T,
    /// Where.
    pub at: Place,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> At<T> {
    pub(super) fn new(value: T, at: Place) -> At<T> {
        At { value, at }
    }
}

/// A value of a file.
pub(super) type Node = At<Tree>;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(At<String>, Node)>),
}

impl Tree {
    /// What it is, in words.
    pub(super) fn sort(&self) -> &'static str {
        match self {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a table of fields",
        }
    }

    /// The same without places.
    pub(super) fn json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Tree::Null => Value::Null,
            Tree::Bool(is) => Value::Bool(*is),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => items.iter().map(|item| item.json()).collect(),
            Tree::Map(fields) => fields.iter().map(|(name, value)| (name.value.clone(), value.json())).collect(),
        }
    }
}

impl Source {
    /// Reads it as YAML, of which JSON is a part. Nothing is included from elsewhere, and what grows out of proportion is refused.
    pub(super) fn parse(&self, file: usize, found: &mut Diagnostics) -> Option<Node> {
        let whole = Place { file, span: (0, self.text.len().min(1)) };
        if self.text.len() > LARGEST {
            let message = format!("the file has more than {LARGEST} bytes");
            found.add(Code::TooLarge, whole, message);
            return None;
        }
        match serde_saphyr::from_str_with_options::<Raw>(&self.text, options()) {
            Ok(raw) => {
                let node = raw.placed(file);
                self.refuse_rounded(&node, found);
                Some(node)
            }
            Err(error) => {
                let at = error.location().and_then(|location| self.stumble(file, location)).unwrap_or(whole);
                found.add(Code::NotYaml, at, plain(&error));
                None
            }
        }
    }

    /// Where the reader could not go on. Of what is no YAML it knows the line, and the column in characters.
    fn stumble(&self, file: usize, location: Location) -> Option<Place> {
        if location.span().byte_offset().is_some() {
            return Some(place(file, location));
        }
        let before = |count: u64| usize::try_from(count).ok()?.checked_sub(1);
        let (line, column) = (before(location.line())?, before(location.column())?);
        let start: usize = self.text.split_inclusive('\n').take(line).map(str::len).sum();
        let within = self.text.get(start..)?.chars().take(column).map(char::len_utf8).sum::<usize>();
        let last = self.text.trim_end().char_indices().next_back().map_or(0, |(last, _)| last);
        // What is missing at the end is missed after the last that is there.
        let start = (start + within).min(last);
        let length = self.text.get(start..)?.chars().next().map_or(1, char::len_utf8);
        Some(Place { file, span: (start, start + length) })
    }

    /// A whole number that is not kept to its last digit is another number.
    fn refuse_rounded(&self, node: &Node, found: &mut Diagnostics) {
        match &node.value {
            Tree::List(items) => items.iter().for_each(|item| self.refuse_rounded(item, found)),
            Tree::Map(fields) => fields.iter().for_each(|(_, value)| self.refuse_rounded(value, found)),
            Tree::Number(number) if number.is_f64() => {
                let text = self.text.get(node.at.span.0..node.at.span.1).unwrap_or_default();
                if text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
                    let message = format!("{text} does not fit into 64 bits");
                    found.advise(Code::TooLarge, node.at.clone(), message, "write it in quotes, as a text");
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
        }
    }
}

fn options() -> Options {
    let mut budget = Budget::default();
    (budget.max_depth, budget.max_nodes, budget.max_aliases) = (DEEPEST, 100_000, 1_000);
    let mut options = Options::default();
    (options.budget, options.with_snippet) = (Some(budget), false);
    options.alias_limits.max_total_replayed_events = 100_000;
    // As YAML 1.2 has it: `yes` and `no` are what people answer.
    options.strict_booleans = true;
    options
}

/// What the library says, on one line; where it stands is seen.
fn plain(error: &serde_saphyr::Error) -> String {
    let mut text = error.without_snippet().to_string();
    if let Some(at) = error.location() {
        text = text.replace(&format!(" at line {}, column {}", at.line(), at.column()), "");
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn place(file: usize, location: Location) -> Place {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
    let length = usize::try_from(span.byte_len().unwrap_or(1)).unwrap_or(1).max(1);
    Place { file, span: (start, start.saturating_add(length)) }
}

/// A value with its place in the one file that is being read.
struct Raw(Spanned<RawTree>);

enum RawTree {
    Leaf(Tree),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn placed(self, file: usize) -> Node {
        let Spanned { value, referenced, .. } = self.0;
        let tree = match value {
            RawTree::Leaf(tree) => tree,
            RawTree::List(items) => Tree::List(items.into_iter().map(|item| item.placed(file)).collect()),
            RawTree::Map(fields) => {
                let field = |(name, value): (Spanned<String>, Raw)| {
                    (At::new(name.value, place(file, name.referenced)), value.placed(file))
                };
                Tree::Map(fields.into_iter().map(field).collect())
            }
        };
        At::new(tree, place(file, referenced))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw, D::Error> {
        Spanned::deserialize(from).map(Raw)
    }
}

impl<'de> Deserialize<'de> for RawTree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawTree, D::Error> {
        from.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = RawTree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Null))
    }

    fn visit_none<E>(self) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<RawTree, D::Error> {
        RawTree::deserialize(from)
    }

    fn visit_bool<E>(self, is: bool) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Bool(is)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Number(number.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<RawTree, E> {
        let number = serde_json::Number::from_f64(number).ok_or_else(|| E::custom("a number that JSON has not"))?;
        Ok(RawTree::Leaf(Tree::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawTree, E> {
        Ok(RawTree::Leaf(Tree::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<RawTree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(RawTree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<RawTree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = from.next_entry()? {
            fields.push(field);
        }
        Ok(RawTree::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<Node>, Diagnostics) {
        let mut found = Diagnostics::default();
        let source = Source { name: "test.yaml".to_owned(), text: text.to_owned() };
        let node = source.parse(0, &mut found);
        (node, found)
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "workflow: review\nstages:\n  draft: { agent: writer, n: [1, 2.5, true, ~] }\n";
        let node = parse(text).0.expect("it is YAML");
        let Tree::Map(fields) = &node.value else { panic!("{node:?}") };
        let at = |place: &Place| &text[place.span.0..place.span.1];
        assert_eq!((at(&fields[0].0.at), at(&fields[0].1.at)), ("workflow", "review"));
        let Tree::Map(stages) = &fields[1].1.value else { panic!("{fields:?}") };
        assert_eq!(at(&stages[0].0.at), "draft");
        assert_eq!(stages[0].1.json(), serde_json::json!({ "agent": "writer", "n": [1, 2.5, true, null] }));
    }

    #[test]
    fn what_is_no_yaml_is_shown_where_it_stands() {
        let cases = [
            ("a: 1\nb: [1,\n", "["),
            ("ü: 1\n  b: ü\n", ":"),
            ("a: ü\nb: 'ü' ]\n", "]"),
            ("a:\n  - b\n c: 1\n", "c"),
            ("{\"a\": [}", "["),
            ("a: \"no end\n", "d"),
        ];
        for (text, wanted) in cases {
            let found = parse(text).1;
            let [it] = found.all() else { panic!("{text:?}: {found:?}") };
            assert_eq!(&text[it.at.span.0..it.at.span.1], wanted, "{text:?}: {}", it.message);
            assert!(!it.message.contains("column"), "{}", it.message);
        }
    }

    #[test]
    fn a_whole_number_that_would_be_rounded_is_refused() {
        let (_, found) = parse("a: [18446744073709551615, 1e30, 1.5, '18446744073709551616', -18446744073709551616]\n");
        let [it] = found.all() else { panic!("{found:?}") };
        assert_eq!((it.code, it.message.as_str()), (Code::TooLarge, "-18446744073709551616 does not fit into 64 bits"));
    }

    #[test]
    fn what_is_not_yaml_or_grows_is_refused() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        let deep = "[".repeat(1000);
        let twice = "a: 1\na: 2\n";
        for text in ["a: [", "a: &x *x", bomb, &deep, twice] {
            let (node, found) = parse(text);
            assert!(node.is_none(), "{text:.40} was read as {node:?}");
            assert_eq!(found.all().len(), 1, "{text:.40}");
        }
        let (_, found) = parse(&"x".repeat(LARGEST + 1));
        assert_eq!(found.all()[0].code, Code::TooLarge);
    }
}
