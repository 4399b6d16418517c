//! What a project declares: agents, people, channels, limits.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::model::{Agent, AgentKind, Channel, ChannelKind, Granted, Model, Project, Secret};
use super::super::source::{At, Node, Tree};
use super::fields::Fields;
use super::{name, text};
use std::collections::BTreeMap;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// How long an attempt of an agent may take, where nothing is said.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many attempts an agent has, where nothing is said.
const ATTEMPTS: u64 = 3;

pub(super) fn read(node: &Node, project: &mut Project, found: &mut Diagnostics) {
    let Some(mut fields) = Fields::of(node, "a project", found) else { return };
    project.name = fields.name("project").or(project.name.take());
    project.main = fields.text("main").or(project.main.take());
    for (agent, node) in fields.entries("agents") {
        let agent = name(agent, fields.found);
        // A file that comes later says who does it now.
        project.agents.retain(|known| known.name.value != agent.value || known.name.at.file == agent.at.file);
        project.agents.extend(self::agent(agent, node, fields.found));
    }
    for (department, node) in fields.entries("departments") {
        let members = match &node.value {
            Tree::List(items) => items.iter().filter_map(|item| text(item, "a member", fields.found)).collect(),
            _ => {
                super::wrong(node, "a department", "a list of names", fields.found);
                Vec::new()
            }
        };
        project.departments.push((name(department, fields.found), members));
    }
    let persons = fields.texts("persons");
    project.persons.extend(persons.into_iter().map(|person| name(person, fields.found)));
    for (channel, node) in fields.entries("channels") {
        let channel = name(channel, fields.found);
        let kind = self::channel(node, fields.found);
        project.channels.extend(kind.map(|kind| Channel { name: channel, kind }));
    }
    if let Some(limits) = fields.get("limits")
        && let Some(mut limits) = Fields::of(limits, "limits", fields.found)
    {
        let at = limits.place("depth");
        project.depth = limits.number("depth", 1, 32).map(|depth| At::new(depth as u32, at));
        limits.end();
    }
    twice("person", project.persons.iter(), fields.found);
    twice("channel", project.channels.iter().map(|channel| &channel.name), fields.found);
    fields.end();
}

/// Notes names that stand for two things.
pub(super) fn twice<'a>(sort: &str, names: impl Iterator<Item = &'a At<String>>, found: &mut Diagnostics) {
    let mut seen = BTreeMap::new();
    for name in names {
        if seen.insert(name.value.as_str(), ()).is_some() {
            found.add(Code::DuplicateName, name.at.clone(), format!("there is another {sort} {:?}", name.value));
        }
    }
}

fn agent(name: At<String>, node: &Node, found: &mut Diagnostics) -> Option<Agent> {
    let mut fields = Fields::of(node, format!("agent {:?}", name.value), found)?;
    let kind = kind(&name, &mut fields);
    if let Some(kind) = &kind {
        refuse_unread(kind, &mut fields);
    }
    let grants = grants(&mut fields);
    twice("grant", grants.iter().map(|grant| &grant.name), fields.found);
    let agent = Agent {
        describe: fields.plain("describe"),
        grants,
        departments: fields.texts("departments"),
        at_most: fields.number("at_most", 1, 1_000_000).map(|most| most as u32),
        subagents: fields.number("subagents", 0, 1_000).unwrap_or(0) as u32,
        metadata: fields.texts("metadata").into_iter().map(|name| name.value).collect(),
        timeout: fields.duration("timeout").unwrap_or(PATIENCE),
        attempts: fields.number("attempts", 1, 1_000).unwrap_or(ATTEMPTS) as u32,
        secrets: secrets(&mut fields),
        kind: kind.unwrap_or(AgentKind::Rust),
        name,
    };
    fields.end();
    Some(agent)
}

/// What nothing of this kind reads must not stand there.
fn refuse_unread(kind: &AgentKind, fields: &mut Fields<'_>) {
    const OF_PROGRAMS: [&str; 3] = ["env", "memory_mib", "output_mib"];
    let (what, unread): (&str, &[&str]) = match kind {
        AgentKind::Command { .. } => ("a program", &[]),
        AgentKind::Http { .. } => ("an endpoint", &[]),
        AgentKind::Model(_) => ("a model", &["secrets"]),
        // What a flow divides its work with is `parallel` and `each`, and its steps have limits of their own.
        AgentKind::Flow(_) => ("a flow", &["secrets", "subagents", "timeout", "attempts"]),
        AgentKind::Worker => ("a worker", &["secrets", "timeout"]),
        AgentKind::Rust => ("a function", &["secrets", "timeout", "attempts"]),
    };
    let of_programs = OF_PROGRAMS.iter().filter(|_| !matches!(kind, AgentKind::Command { .. }));
    for field in of_programs.chain(unread) {
        if fields.get(field).is_some() {
            let message = format!("an agent that is {what} has no field {field:?}");
            fields.found.add(Code::UnknownField, fields.place(field), message);
        }
    }
}

/// The agent of a single step: a program or an address.
pub(super) fn own(step: &At<String>, fields: &mut Fields<'_>) -> Option<Agent> {
    let (command, http) = (command(fields), fields.get("http").and_then(|node| http(node, fields.found)));
    Some(Agent {
        name: step.clone(),
        describe: None,
        kind: command.or(http)?,
        grants: Vec::new(),
        departments: Vec::new(),
        at_most: None,
        subagents: 0,
        metadata: Vec::new(),
        timeout: fields.duration("timeout").unwrap_or(PATIENCE),
        attempts: fields.number("attempts", 1, 1_000).unwrap_or(ATTEMPTS) as u32,
        secrets: secrets(fields),
    })
}

/// Names that several agents have, those of single steps among them.
pub(super) fn named_twice(project: &Project, found: &mut Diagnostics) {
    let own = project.workflows.iter().flat_map(|workflow| workflow.own_agents());
    twice("agent", project.agents.iter().chain(own).map(|agent| &agent.name), found);
}

fn command(fields: &mut Fields<'_>) -> Option<AgentKind> {
    let environment = plain(fields, "env");
    let memory_bytes = fields.number("memory_mib", 1, 1 << 20).unwrap_or(2048) * MIB;
    let output_bytes = (fields.number("output_mib", 1, 64).unwrap_or(2) * MIB) as usize;
    let command = fields.get("command").map(|node| program(node, fields.found));
    command.map(|program| AgentKind::Command { program, environment, memory_bytes, output_bytes })
}

/// What answers for it: exactly one thing.
fn kind(name: &At<String>, fields: &mut Fields<'_>) -> Option<AgentKind> {
    let command = command(fields);
    let http = fields.get("http").and_then(|node| http(node, fields.found));
    let model = fields.get("model").and_then(|node| model(node, fields.found));
    let flow = fields.text("flow").map(AgentKind::Flow);
    let worker = fields.flag("worker").filter(|is| *is).map(|_| AgentKind::Worker);
    let rust = fields.flag("rust").filter(|is| *is).map(|_| AgentKind::Rust);
    let mut kinds: Vec<AgentKind> = [command, http, model, flow, worker, rust].into_iter().flatten().collect();
    // One that is said not to answer does not.
    let given = ["command", "http", "model", "flow", "worker", "rust"]
        .into_iter()
        .filter(|field| fields.get(field).is_some_and(|node| node.value != Tree::Bool(false)))
        .count();
    match given {
        0 => {
            let message = format!("agent {:?} has nothing to answer with", name.value);
            let help = "give it one of command, http, model, flow, worker: true or rust: true";
            fields.found.advise(Code::NoAnswerer, name.at.clone(), message, help);
        }
        1 => {}
        _ => {
            let message = format!("agent {:?} has several things to answer with", name.value);
            fields.found.advise(Code::NoAnswerer, name.at.clone(), message, "keep one of them");
        }
    }
    kinds.pop()
}

/// A program and what it is given. A text is a line for the shell.
fn program(node: &Node, found: &mut Diagnostics) -> Vec<String> {
    let program: Vec<String> = match &node.value {
        Tree::List(items) => items.iter().filter_map(|item| text(item, "command", found)).map(|it| it.value).collect(),
        _ => {
            let line = text(node, "command", found).map(|line| line.value).filter(|line| !line.trim().is_empty());
            line.map(|line| vec!["sh".to_owned(), "-c".to_owned(), line]).unwrap_or_default()
        }
    };
    if program.is_empty() {
        found.add(Code::WrongType, node.at.clone(), "command names no program");
    }
    program
}

fn http(node: &Node, found: &mut Diagnostics) -> Option<AgentKind> {
    if let Tree::Text(url) = &node.value {
        let url = address(url, node, found);
        return Some(AgentKind::Http { url, secret: None, headers: BTreeMap::new(), allow_inner: false });
    }
    let mut fields = Fields::of(node, "http", found)?;
    let url = fields.need("url").and_then(|node| Some((text(node, "url", fields.found)?, node)));
    let kind = AgentKind::Http {
        url: url.map(|(url, node)| address(&url, node, fields.found)).unwrap_or_default(),
        secret: secret(&mut fields, "secret"),
        headers: plain(&mut fields, "headers"),
        allow_inner: fields.flag("allow_inner").unwrap_or(false),
    };
    fields.end();
    Some(kind)
}

/// Names with texts.
fn plain(fields: &mut Fields<'_>, field: &'static str) -> BTreeMap<String, String> {
    let entries = fields.entries(field);
    let read = |(name, node): (At<String>, &Node)| Some((name.value, text(node, field, fields.found)?.value));
    entries.into_iter().filter_map(read).collect()
}

fn model(node: &Node, found: &mut Diagnostics) -> Option<AgentKind> {
    let mut fields = Fields::of(node, "model", found)?;
    let url = fields.need("url").and_then(|node| Some((text(node, "url", fields.found)?, node)));
    fields.need("name");
    let model = Model {
        url: url.map(|(url, node)| address(&url, node, fields.found)).unwrap_or_default(),
        model: fields.plain("name").unwrap_or_default(),
        key: secret(&mut fields, "key"),
        instructions: fields.plain("instructions").unwrap_or_default(),
        temperature: fields.decimal("temperature", 0.0, 2.0),
        max_turns: fields.number("max_turns", 1, 1_000).map(|most| most as u32),
        token_budget: fields.number("token_budget", 1, u64::from(u32::MAX)),
        asks: fields.texts("asks"),
        within: fields.duration("within"),
        allow_inner: fields.flag("allow_inner").unwrap_or(false),
    };
    if let (Some(_), true) = (fields.get("within"), model.asks.is_empty()) {
        let message = "within is how long an answer is waited for, and nobody is asked: name them with asks";
        fields.found.add(Code::UnknownField, fields.place("within"), message);
    }
    fields.end();
    if model.url.starts_with("http://") && !model.allow_inner {
        let message = format!("{:?} is not encrypted, and a key and whatever is said go there", model.url);
        let help = "use https://, or allow_inner: true if it is on this machine or in its own network";
        found.advise(Code::NotEncrypted, node.at.clone(), message, help);
    }
    Some(AgentKind::Model(model))
}

fn address(url: &str, node: &Node, found: &mut Diagnostics) -> String {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        found.add(
            Code::WrongType,
            node.at.clone(),
            format!("{url:?} is no address: it begins with https:// or http://"),
        );
    }
    url.to_owned()
}

fn grants(fields: &mut Fields<'_>) -> Vec<Granted> {
    let items = fields.list("grants");
    let grant = |node: &Node, found: &mut Diagnostics| match &node.value {
        Tree::Map(_) => {
            let mut fields = Fields::of(node, "a grant", found)?;
            let name = fields.need("name").and_then(|node| text(node, "name", fields.found));
            let (when, timeout) = (fields.plain("when"), fields.duration("timeout"));
            fields.end();
            name.map(|name| Granted { name, when, timeout })
        }
        _ => text(node, "a grant", found).map(Granted::of),
    };
    items.into_iter().filter_map(|node| grant(node, fields.found)).collect()
}

fn secrets(fields: &mut Fields<'_>) -> BTreeMap<String, Secret> {
    let entries = fields.entries("secrets");
    let read = |(name, node): (At<String>, &Node)| {
        let text = text(node, "a secret", fields.found)?;
        Some((name.value, reference(&text, fields.found)?))
    };
    entries.into_iter().filter_map(read).collect()
}

fn secret(fields: &mut Fields<'_>, field: &'static str) -> Option<Secret> {
    let text = fields.text(field)?;
    reference(&text, fields.found)
}

/// Where a secret is found. It never stands in a definition itself.
fn reference(text: &At<String>, found: &mut Diagnostics) -> Option<Secret> {
    let named = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
    let secret = named("env:").map(Secret::Environment).or_else(|| named("file:").map(Secret::File));
    if secret.is_none() {
        let help = "secrets do not stand in definitions: write env:NAME or file:PATH";
        found.advise(Code::WrongType, text.at.clone(), "this is no reference to a secret", help);
    }
    secret
}

fn channel(node: &Node, found: &mut Diagnostics) -> Option<ChannelKind> {
    if let Tree::Text(kind) = &node.value {
        if kind == "console" {
            return Some(ChannelKind::Console);
        }
        super::wrong(node, "a channel", "console, or a table with a webhook", found);
        return None;
    }
    let mut fields = Fields::of(node, "a channel", found)?;
    let url = fields.need("webhook").and_then(|node| Some((text(node, "webhook", fields.found)?, node)));
    let url = url.map(|(url, node)| address(&url, node, fields.found));
    let secret = secret(&mut fields, "secret");
    let allow_inner = fields.flag("allow_inner").unwrap_or(false);
    fields.end();
    url.map(|url| ChannelKind::Webhook { url, secret, allow_inner })
}
