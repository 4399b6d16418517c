//! From values in a file to what they mean. What is wrong is noted with its place, and the rest is read all the same.

mod fields;
mod project;
mod unit;
mod workflow;

use super::diagnostic::{Code, Diagnostics};
use super::expression::{Expression, Flaw, Mapping, Template};
use super::interpret::ALWAYS;
use super::model::Project;
use super::source::{At, Node, Place, Source, Tree};
pub(super) use fields::nearest;
use std::time::Duration;

/// Reads the files of a project: those that are named `rejoin.yaml` declare it, those named `rejoin.NAME.yaml` change what was
/// declared before, the others are workflows.
pub(super) fn project(sources: Vec<Source>, found: &mut Diagnostics) -> Project {
    let mut project = Project::default();
    for (file, source) in sources.iter().enumerate() {
        let Some(node) = source.parse(file, found) else { continue };
        if declares_project(&source.name) {
            project::read(&node, &mut project, found);
        } else if let Some(workflow) = workflow::read(&node, &source.text, found) {
            project.workflows.push(std::sync::Arc::new(workflow));
        }
    }
    project::named_twice(&project, found);
    project.sources = sources;
    project
}

/// Whether a file declares a project, by its name.
pub(super) fn declares_project(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let variant = name.strip_prefix("rejoin.").and_then(|rest| rest.rsplit_once('.').or(Some(("", rest))));
    variant.is_some_and(|(_, format)| matches!(format, "yaml" | "yml" | "json"))
}

fn wrong(node: &Node, field: &str, wanted: &str, found: &mut Diagnostics) {
    found.add(Code::WrongType, node.at.clone(), format!("{field} is {wanted}, and here stands {}", node.value.sort()));
}

/// A name: letters, digits, `-`, `_`, `.` and spaces inside, 100 bytes at most.
fn name(text: At<String>, found: &mut Diagnostics) -> At<String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let bounded = !text.is_empty() && text.len() <= 100 && text.trim() == text.value && !text.starts_with('$');
    if !bounded || !text.chars().all(fits) {
        let message = format!("{:?} cannot be a name", text.value);
        found.advise(
            Code::BadName,
            text.at.clone(),
            message,
            "a name has letters, digits, - and _, and 100 bytes at most",
        );
    }
    text
}

/// The name of a variable, which expressions can read.
fn variable(text: At<String>, found: &mut Diagnostics) -> At<String> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || text.len() > 100 || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = format!("{:?} cannot be the name of a variable", text.value);
        let help = "expressions read it: it has letters, digits and _, and begins with a letter";
        found.advise(Code::BadName, text.at.clone(), message, help);
    }
    text
}

/// The name of a variable that a definition sets: not one of those that are always there, of which others than it says what they are.
fn own_variable(text: At<String>, found: &mut Diagnostics) -> At<String> {
    let name = variable(text, found);
    if ALWAYS.contains(&name.value.as_str()) {
        let message = format!("{:?} is always there, and cannot be set", name.value);
        found.advise(Code::BadName, name.at.clone(), message, "choose another name");
    }
    name
}

fn text(node: &Node, field: &str, found: &mut Diagnostics) -> Option<At<String>> {
    match &node.value {
        Tree::Text(text) => Some(At::new(text.clone(), node.at.clone())),
        // A number or a truth value is as good a text as any where YAML took it for one.
        Tree::Number(number) => Some(At::new(number.to_string(), node.at.clone())),
        Tree::Bool(is) => Some(At::new(is.to_string(), node.at.clone())),
        Tree::Null | Tree::List(_) | Tree::Map(_) => {
            wrong(node, field, "a text", found);
            None
        }
    }
}

/// A length of time: `90s`, `5m`, `2h30m`, `7d`.
fn duration(node: &Node, field: &str, found: &mut Diagnostics) -> Option<Duration> {
    let text = text(node, field, found)?;
    let read = length(&text);
    if read.is_none() {
        let message = format!("{field}: {:?} is no length of time", text.value);
        found.advise(
            Code::BadDuration,
            node.at.clone(),
            message,
            "write 500ms, 90s, 5m, 2h30m or 7d; ten years at most",
        );
    }
    read
}

/// A length of time as people write it, `90s`, `5m`, `2h30m`, `7d`; ten years at most.
pub fn length(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match rest.get(..unit)? {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(millis)?)?;
        rest = rest.get(unit..)?;
    }
    (total > 0 && total <= 10 * 366 * 86_400_000).then(|| Duration::from_millis(total))
}

fn flaw(code: Code, at: Place, flaw: &Flaw, found: &mut Diagnostics) {
    found.add(code, at.part(&flaw.span), flaw.message.clone());
}

fn expression(node: &Node, field: &str, found: &mut Diagnostics) -> Option<At<Expression>> {
    let text = text(node, field, found)?;
    let bare = text.strip_prefix('=').unwrap_or(&text);
    match Expression::parse(bare) {
        Ok(parsed) => Some(At::new(parsed, text.at)),
        Err(it) => {
            flaw(Code::BadExpression, text.at.clone(), &it, found);
            None
        }
    }
}

fn template(node: &Node, field: &str, found: &mut Diagnostics) -> Option<At<Template>> {
    let text = text(node, field, found)?;
    match Template::parse(&text) {
        Ok(parsed) => Some(At::new(parsed, text.at)),
        Err(it) => {
            flaw(Code::BadTemplate, text.at.clone(), &it, found);
            None
        }
    }
}

fn mapping(node: &Node, found: &mut Diagnostics) -> Option<At<Mapping>> {
    match Mapping::parse(&node.value.json()) {
        Ok(parsed) => Some(At::new(parsed, node.at.clone())),
        Err(flaws) => {
            for (way, it) in flaws {
                let (at, is_expression) = leaf(node, &way);
                let code = if is_expression { Code::BadExpression } else { Code::BadTemplate };
                flaw(code, at, &it, found);
            }
            None
        }
    }
}

/// Where in a value a part of it stands, and whether that is an expression.
fn leaf(node: &Node, way: &[String]) -> (Place, bool) {
    let step = way.split_first().and_then(|(first, rest)| match &node.value {
        Tree::Map(fields) => fields.iter().find(|(name, _)| name.value == *first).map(|(_, it)| (it, rest)),
        Tree::List(items) => first.parse::<usize>().ok().and_then(|index| items.get(index)).map(|it| (it, rest)),
        _ => None,
    });
    match step {
        Some((inner, rest)) => leaf(inner, rest),
        None => (node.at.clone(), matches!(&node.value, Tree::Text(text) if text.starts_with('='))),
    }
}
