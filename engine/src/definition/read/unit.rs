//! Stages and nodes.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::expression::Template;
use super::super::model::{Assignment, Handoff, Question, Route, Stage, Target, Unit, Work};
use super::super::source::{At, Node, Tree};
use super::fields::Fields;
use super::project::{self, twice};
use super::{duration, expression, name, own_variable, template, text, variable, workflow};
use std::collections::BTreeSet;

/// How many nodes may stand in each other.
const DEEPEST: usize = 8;
/// How many items of a list are worked on at a time, where nothing is said.
const AT_ONCE: u64 = 16;

pub(super) fn stage(name: At<String>, node: &Node, found: &mut Diagnostics) -> Option<Unit> {
    let mut fields = Fields::of(node, format!("stage {:?}", name.value), found)?;
    let items = fields.list("assign");
    // What is there and cannot be read has been told of already.
    let says_nothing = items.is_empty() && fields.get("entry").is_none() && fields.get("exit").is_none();
    let assign: Vec<Assignment> = items.into_iter().filter_map(|node| assigned(node, fields.found)).collect();
    twice("assignment", assign.iter().map(|it| &it.key), fields.found);
    let entry = fields.get("entry").and_then(|node| asked(node, &name, fields.found));
    let exit = fields.get("exit").and_then(|node| asked(node, &name, fields.found));
    if says_nothing {
        let message = format!("stage {:?} assigns nothing and asks nobody", name.value);
        fields.found.add(Code::WhichKind, name.at.clone(), message);
    }
    let outcome = fields.get("outcome").and_then(|node| expression(node, "outcome", fields.found));
    let (routes, then) = leads(&mut fields);
    fields.end();
    Some(Unit { work: Work::Stage(Box::new(Stage { assign, entry, exit, outcome })), name, routes, then })
}

fn assigned(node: &Node, found: &mut Diagnostics) -> Option<Assignment> {
    let mut fields = Fields::of(node, "an assignment", found)?;
    fields.need("agent");
    fields.need("task");
    let read = assignment(&mut fields, None);
    fields.end();
    read
}

fn assignment(fields: &mut Fields<'_>, key: Option<&At<String>>) -> Option<Assignment> {
    let agent = fields.text("agent");
    let key = key.cloned().or_else(|| fields.text("as")).or_else(|| agent.clone());
    let may = fields.texts("may");
    for it in may.iter().filter(|it| it.value != "trigger") {
        let message = format!("{:?} is nothing that an assignment may", it.value);
        fields.found.advise(Code::WrongType, it.at.clone(), message, "it may: [trigger]");
    }
    Some(Assignment {
        task: fields.template("task")?,
        output: workflow::declared(fields, "output"),
        metadata: fields.mappings("metadata"),
        timeout: fields.duration("timeout"),
        may_trigger: may.iter().any(|it| it.value == "trigger"),
        repairs: fields.number("repairs", 0, 20).unwrap_or(2) as u32,
        key: key?,
        agent: agent?,
    })
}

fn asked(node: &Node, stage: &At<String>, found: &mut Diagnostics) -> Option<Question> {
    let mut fields = Fields::of(node, "a question", found)?;
    fields.need("ask");
    let persons = fields.texts("ask");
    let text = fields.template("text").or_else(|| {
        let plain = Template::parse(&format!("How does {} go on?", stage.value)).ok()?;
        Some(At::new(plain, fields.at.clone()))
    });
    let read = question(&mut fields, text?, persons);
    fields.end();
    Some(read)
}

fn question(fields: &mut Fields<'_>, text: At<Template>, persons: Vec<At<String>>) -> Question {
    let read = Question {
        text,
        persons,
        answers: fields.texts("answers"),
        via: fields.text("via"),
        within: fields.duration("within"),
        late: fields.text("late"),
    };
    if read.persons.is_empty() {
        fields.found.add(Code::NobodyAsked, read.text.at.clone(), "this question is put to nobody");
    }
    let different: BTreeSet<&str> = read.answers.iter().map(|answer| answer.value.as_str()).collect();
    if different.len() < 2 || different.len() < read.answers.len() {
        let help = "name the answers that may be given: answers: [approve, reject]";
        fields.found.advise(
            Code::NoAnswers,
            read.text.at.clone(),
            "this question needs two answers at least, each of them once",
            help,
        );
    }
    if let Some(late) = &read.late {
        if read.within.is_none() {
            let place = fields.place("late");
            fields.found.advise(Code::UnknownField, place, "late is for a question that expires", "say within: 2d too");
        }
        if !different.contains(late.value.as_str()) {
            let message = format!(
                "{:?} is none of the answers: {}",
                late.value,
                different.into_iter().collect::<Vec<_>>().join(", ")
            );
            fields.found.add(Code::LateWithoutRoute, late.at.clone(), message);
        }
    }
    read
}

fn signal(fields: &mut Fields<'_>) -> Option<At<String>> {
    let name = fields.text("signal")?;
    if name.value.is_empty() || name.value.starts_with('$') {
        let message = format!("{:?} cannot be the name of a signal: what begins with $ is for the engine", name.value);
        fields.found.add(Code::BadName, name.at.clone(), message);
    }
    Some(name)
}

/// Where it leads: a route for each outcome, and for the rest.
fn leads(fields: &mut Fields<'_>) -> (Vec<(At<String>, Route)>, Option<Route>) {
    let entries = fields.entries("route");
    let routes = entries.into_iter().filter_map(|(name, node)| Some((name, route(node, fields.found)?))).collect();
    let then = fields.get("then").and_then(|node| route(node, fields.found));
    (routes, then)
}

fn route(node: &Node, found: &mut Diagnostics) -> Option<Route> {
    if !matches!(node.value, Tree::Map(_)) {
        let name = text(node, "a route", found)?;
        return Some(if name.value == "end" { Route::End(name.at) } else { Route::Unit(name) });
    }
    let mut fields = Fields::of(node, "a route", found)?;
    let workflow = fields.need("workflow").and_then(|node| text(node, "workflow", fields.found));
    let unless_end = |name: At<String>| (name.value != "end").then_some(name);
    let then = fields.text("continue").and_then(unless_end);
    // Whatever came of it, it goes on in the same way, unless another one is named.
    let failed = fields.text("failed").map_or_else(|| then.clone(), unless_end);
    let call = workflow.map(|workflow| Box::new(target(workflow, &mut fields)));
    fields.end();
    call.map(|call| Route::Workflow { call, then, failed })
}

fn target(name: At<String>, fields: &mut Fields<'_>) -> Target {
    Target {
        job: fields.plain("job"),
        input: fields.mapping("input"),
        metadata: fields.mappings("metadata"),
        message: fields.template("message"),
        timeout: fields.duration("timeout"),
        wait: fields.flag("wait").unwrap_or(true),
        shares_history: fields.flag("history").unwrap_or(false),
        shares_visitor: fields.flag("visitor").unwrap_or(false),
        inline: false,
        own: None,
        name,
    }
}

/// The fields of which each says what a node is.
const KINDS: [&str; 16] = [
    "trigger", "call", "task", "command", "http", "say", "ask", "choose", "parallel", "each", "wait", "signal",
    "approve", "handoff", "set", "end",
];

/// A node. Where it `leads` nowhere, the next one follows.
pub(super) fn node(name: At<String>, node: &Node, leads_on: bool, found: &mut Diagnostics) -> Option<Unit> {
    nested(name, node, leads_on, DEEPEST, found)
}

fn nested(name: At<String>, node: &Node, leads_on: bool, left: usize, found: &mut Diagnostics) -> Option<Unit> {
    let Some(left) = left.checked_sub(1) else {
        found.add(Code::TooLarge, node.at.clone(), format!("nodes stand in each other more than {DEEPEST} deep"));
        return None;
    };
    let mut fields = Fields::of(node, format!("node {:?}", name.value), found)?;
    let mut given: Vec<&str> = KINDS.into_iter().chain(["fail"]).filter(|kind| fields.get(kind).is_some()).collect();
    if given.iter().any(|kind| matches!(*kind, "trigger" | "call")) {
        // There it says whether the end is waited for.
        given.retain(|kind| *kind != "wait");
    }
    if given.len() != 1 {
        let message = match given.len() {
            0 => format!("node {:?} says nothing that is to be done", name.value),
            _ => format!("node {:?} is several things at once: {}", name.value, given.join(", ")),
        };
        let help = format!("it is one of {}, fail", KINDS.join(", "));
        fields.found.advise(Code::WhichKind, name.at.clone(), message, help);
        return None;
    }
    let work = work(given[0], &name, &mut fields, left);
    let (routes, then) = leads(&mut fields);
    if !leads_on && (!routes.is_empty() || then.is_some()) {
        let message = format!("node {:?} stands where one follows the other, and leads nowhere else", name.value);
        fields.found.add(Code::RoutesInside, name.at.clone(), message);
    }
    if !leads_on {
        // Read where it stands in a list; elsewhere the node has its name from the table.
        fields.get("as");
    }
    fields.end();
    Some(Unit { work: work?, name, routes, then })
}

fn work(kind: &str, name: &At<String>, fields: &mut Fields<'_>, left: usize) -> Option<Work> {
    Some(match kind {
        "trigger" => Work::Trigger(Box::new(fields.text("trigger").map(|of| target(of, fields))?)),
        "call" => called(fields)?,
        "task" => {
            fields.need("agent");
            Work::Task(Box::new(assignment(fields, Some(name))?))
        }
        "command" | "http" => direct(name, fields)?,
        "say" => Work::Message { text: fields.template("say")?, to: fields.text("to"), from: fields.text("from") },
        "choose" => choice(fields),
        "parallel" => {
            let branches = fields.entries("parallel");
            let read = |(branch, node): (At<String>, &Node)| {
                let branch = variable(branch, fields.found);
                let body = body(node, left, fields.found);
                (branch, body)
            };
            Work::Parallel(branches.into_iter().map(read).collect())
        }
        "each" => each(fields, left)?,
        "wait" => Work::Wait(fields.get("wait").and_then(|node| duration(node, "wait", fields.found))?),
        "ask" => Work::Ask { text: fields.template("ask")?, within: fields.duration("within") },
        "signal" => Work::Signal { name: signal(fields)?, within: fields.duration("within") },
        "approve" => {
            let text = fields.template("approve")?;
            let persons = fields.texts("persons");
            Work::Approval(Box::new(question(fields, text, persons)))
        }
        "handoff" => handoff(fields)?,
        "set" => Work::Set(
            fields.mappings("set").into_iter().map(|(it, value)| (own_variable(it, fields.found), value)).collect(),
        ),
        "end" => Work::End(fields.mapping("end")?),
        _ => Work::Fail { code: fields.text("fail")?, message: fields.template("message") },
    })
}

/// A program or an address that nobody else asks.
fn direct(name: &At<String>, fields: &mut Fields<'_>) -> Option<Work> {
    let own = project::own(name, fields)?;
    let target = Target {
        name: name.clone(),
        job: None,
        input: fields.mapping("input"),
        metadata: Vec::new(),
        message: None,
        timeout: None,
        wait: true,
        shares_history: false,
        shares_visitor: false,
        inline: false,
        own: Some(Box::new(own)),
    };
    Some(Work::Trigger(Box::new(target)))
}

/// Names the agents of single steps by where they stand.
pub(super) fn name_own(units: &mut [Unit], path: &str) {
    for unit in units {
        let path = format!("{path}.{}", unit.name.value);
        match &mut unit.work {
            Work::Trigger(target) => {
                if let Some(own) = &mut target.own {
                    (own.name.value, target.name.value) = (path.clone(), path);
                }
            }
            Work::Parallel(branches) => {
                branches.iter_mut().for_each(|(branch, body)| name_own(body, &format!("{path}.{}", branch.value)));
            }
            Work::Each { body, .. } => name_own(body, &path),
            _ => {}
        }
    }
}

/// Another agent, with what it is shown of the conversation.
fn called(fields: &mut Fields<'_>) -> Option<Work> {
    let name = fields.text("call")?;
    let mode = fields.text("mode");
    let inline = match mode.as_ref().map(|mode| mode.value.as_str()) {
        None | Some("background") => false,
        Some("inline") => true,
        Some(_) => {
            let at = mode.map(|mode| mode.at).unwrap_or_default();
            fields.found.add(Code::WrongType, at, "mode is inline or background");
            false
        }
    };
    let target = target(name, fields);
    Some(Work::Trigger(Box::new(Target { inline, ..target })))
}

fn choice(fields: &mut Fields<'_>) -> Work {
    let entries = fields.entries("choose");
    let branch = |(outcome, node): (At<String>, &Node)| {
        Some((name(outcome, fields.found), expression(node, "a condition", fields.found)?))
    };
    Work::Choice(entries.into_iter().filter_map(branch).collect())
}

fn each(fields: &mut Fields<'_>, left: usize) -> Option<Work> {
    let items = fields.get("each").and_then(|node| expression(node, "each", fields.found))?;
    let at = fields.place("each");
    let item = fields.text("item").map(|it| own_variable(it, fields.found));
    let at_most = fields.number("at_most", 1, 10_000).unwrap_or(AT_ONCE) as usize;
    let body = fields.need("do").map(|node| body(node, left, fields.found))?;
    Some(Work::Each { items, item: item.unwrap_or_else(|| At::new("item".to_owned(), at)), at_most, body })
}

/// Nodes of which one follows the other; one alone stands for itself.
fn body(node: &Node, left: usize, found: &mut Diagnostics) -> Vec<Unit> {
    let items: &[Node] = match &node.value {
        Tree::List(items) => items,
        _ => std::slice::from_ref(node),
    };
    let mut units: Vec<Unit> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let given = match &item.value {
            Tree::Map(fields) => fields.iter().find(|(name, _)| name.value == "as").map(|(_, node)| node),
            _ => None,
        };
        let given = given.and_then(|node| text(node, "as", found)).map(|it| own_variable(it, found));
        let name = given.unwrap_or_else(|| At::new(format!("step{}", number + 1), item.at.clone()));
        units.extend(nested(name, item, false, left, found));
    }
    twice("node", units.iter().map(|unit| &unit.name), found);
    units
}

fn handoff(fields: &mut Fields<'_>) -> Option<Work> {
    let message = fields.template("handoff")?;
    let ending = fields.get("ending").and_then(|node| template(node, "ending", fields.found));
    let show_contact = fields.flag("show_contact").unwrap_or(true);
    let at = fields.place("handoff");
    let contact = fields.get("contact").and_then(|node| {
        let mut contact = Fields::of(node, "a contact", fields.found)?;
        let read = ["email", "phone", "url"].map(|way| contact.plain(way));
        contact.end();
        Some(read)
    });
    let contact = contact.unwrap_or_default();
    if contact.iter().all(Option::is_none) {
        let help = "add contact: { email: .., phone: .., url: .. }";
        fields.found.advise(Code::NoContact, at, "this handoff shows nobody whom to reach", help);
    }
    Some(Work::Handoff(Box::new(Handoff { message, contact, show_contact, ending })))
}
