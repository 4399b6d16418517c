//! The fields of a table: taken one by one, and what is left over does not exist.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::expression::{Mapping, Template};
use super::super::source::{At, Node, Place, Tree};
use std::collections::BTreeSet;
use std::time::Duration;

/// The fields of a table that is being read.
pub(super) struct Fields<'a> {
    /// What it describes, in words.
    what: String,
    pub(super) at: Place,
    fields: &'a [(At<String>, Node)],
    asked: BTreeSet<&'static str>,
    pub(super) found: &'a mut Diagnostics,
}

impl<'a> Fields<'a> {
    /// Those of `node`, if that is a table.
    pub(super) fn of(node: &'a Node, what: impl Into<String>, found: &'a mut Diagnostics) -> Option<Fields<'a>> {
        let what = what.into();
        let Tree::Map(fields) = &node.value else {
            super::wrong(node, &what, "a table of fields", found);
            return None;
        };
        Some(Fields { what, at: node.at.clone(), fields, asked: BTreeSet::new(), found })
    }

    /// One of them; one that is there and empty is not.
    pub(super) fn get(&mut self, field: &'static str) -> Option<&'a Node> {
        self.asked.insert(field);
        self.fields.iter().find(|(name, _)| name.value == field).map(|(_, node)| node)
    }

    /// Where a field's name stands, or else the table.
    pub(super) fn place(&self, field: &str) -> Place {
        self.fields.iter().find(|(name, _)| name.value == field).map_or(&self.at, |(name, _)| &name.at).clone()
    }

    /// One that must be there.
    pub(super) fn need(&mut self, field: &'static str) -> Option<&'a Node> {
        let node = self.get(field);
        if node.is_none() {
            self.found.add(Code::MissingField, self.at.clone(), format!("{} needs {field:?}", self.what));
        }
        node
    }

    pub(super) fn text(&mut self, field: &'static str) -> Option<At<String>> {
        self.get(field).and_then(|node| super::text(node, field, self.found))
    }

    pub(super) fn plain(&mut self, field: &'static str) -> Option<String> {
        self.text(field).map(|text| text.value)
    }

    pub(super) fn name(&mut self, field: &'static str) -> Option<At<String>> {
        self.text(field).map(|text| super::name(text, self.found))
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Option<bool> {
        let node = self.get(field)?;
        match node.value {
            Tree::Bool(is) => Some(is),
            _ => {
                super::wrong(node, field, "true or false", self.found);
                None
            }
        }
    }

    /// A whole number between those two.
    pub(super) fn number(&mut self, field: &'static str, least: u64, most: u64) -> Option<u64> {
        let node = self.get(field)?;
        let Tree::Number(number) = &node.value else {
            super::wrong(node, field, "a number", self.found);
            return None;
        };
        let fits = number.as_u64().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let message = format!("{field} is a whole number from {least} to {most}, and here stands {number}");
            self.found.add(Code::TooLarge, node.at.clone(), message);
        }
        fits
    }

    /// A number between those two.
    pub(super) fn decimal(&mut self, field: &'static str, least: f64, most: f64) -> Option<f64> {
        let node = self.get(field)?;
        let Tree::Number(number) = &node.value else {
            super::wrong(node, field, "a number", self.found);
            return None;
        };
        let fits = number.as_f64().filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let message = format!("{field} is a number from {least} to {most}, and here stands {number}");
            self.found.add(Code::TooLarge, node.at.clone(), message);
        }
        fits
    }

    pub(super) fn duration(&mut self, field: &'static str) -> Option<Duration> {
        self.get(field).and_then(|node| super::duration(node, field, self.found))
    }

    pub(super) fn template(&mut self, field: &'static str) -> Option<At<Template>> {
        self.get(field).and_then(|node| super::template(node, field, self.found))
    }

    pub(super) fn mapping(&mut self, field: &'static str) -> Option<At<Mapping>> {
        self.get(field).and_then(|node| super::mapping(node, self.found))
    }

    /// A table of values, each computed.
    pub(super) fn mappings(&mut self, field: &'static str) -> Vec<(At<String>, At<Mapping>)> {
        let entries = self.entries(field);
        let computed = entries.into_iter().filter_map(|(name, node)| Some((name, super::mapping(node, self.found)?)));
        computed.collect()
    }

    /// A table of anything, in its order, each name once.
    pub(super) fn entries(&mut self, field: &'static str) -> Vec<(At<String>, &'a Node)> {
        let Some(node) = self.get(field) else { return Vec::new() };
        match &node.value {
            Tree::Map(fields) => fields.iter().map(|(name, node)| (name.clone(), node)).collect(),
            Tree::Null => Vec::new(),
            _ => {
                super::wrong(node, field, "a table of fields", self.found);
                Vec::new()
            }
        }
    }

    /// A list; one thing alone is a list of that.
    pub(super) fn list(&mut self, field: &'static str) -> Vec<&'a Node> {
        match self.get(field) {
            None => Vec::new(),
            Some(node) => match &node.value {
                Tree::List(items) => items.iter().collect(),
                Tree::Null => Vec::new(),
                _ => vec![node],
            },
        }
    }

    pub(super) fn texts(&mut self, field: &'static str) -> Vec<At<String>> {
        let items = self.list(field);
        items.into_iter().filter_map(|item| super::text(item, field, self.found)).collect()
    }

    /// Notes what nobody has asked for.
    pub(super) fn end(self) {
        for (name, _) in self.fields.iter().filter(|(name, _)| !self.asked.contains(name.value.as_str())) {
            let message = format!("{} has no field {:?}", self.what, name.value);
            let near = nearest(name, self.asked.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it has {}", self.asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.found.advise(Code::UnknownField, name.at.clone(), message, help);
        }
    }
}

/// The one of several names that somebody who wrote another one may have meant.
pub(in super::super) fn nearest<'b>(text: &str, names: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    let far = |name: &str| distance(&text.to_lowercase(), &name.to_lowercase());
    names.map(|name| (far(name), name)).filter(|(far, name)| *far <= name.len().max(3) / 3).min().map(|(_, name)| name)
}

/// How many letters are to be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(100).enumerate() {
        let mut left = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (left + usize::from(from != *to)).min(above + 1).min(row[j] + 1);
            left = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let names = ["assign", "agent", "route"];
        assert_eq!(nearest("asign", names.into_iter()), Some("assign"));
        assert_eq!(nearest("Agent", names.into_iter()), Some("agent"));
        assert_eq!(nearest("umbrella", names.into_iter()), None);
    }
}
