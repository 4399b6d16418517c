//! A project as the engine has it: its agents are declared, and its workflows are handlers.

use super::diagnostic::Diagnostics;
use super::interpret::interpret;
use super::model::{AgentKind, ChannelKind, Field, Project, Workflow as Definition};
use super::read;
use super::source::Source;
use crate::agent::{Agent, Job};
use crate::channel::Channel;
use crate::context::Context;
use crate::conversation::Turn;
use crate::engine::Builder;
use crate::failure::Failure;
use crate::registry::Handler;
use crate::report::Task;
use crate::results::Tagged;
use crate::schema::Schema;
use crate::workflow::Workflow;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A name that lives as long as the process, as those of workflows and jobs do that are not known before; each is kept once.
pub fn interned(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(text) {
        return known;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(kept);
    kept
}

impl Project {
    /// Declares everything to an engine, and registers its workflows and what they answer for, each in the version that `version`
    /// says. What answers for other agents that are no workers is for the caller to register, and so are channels that are no
    /// consoles.
    pub fn install(&self, builder: Builder, version: impl Fn(Installed<'_>) -> u32) -> Builder {
        let mut builder = self.declare(builder);
        if let Some(name) = &self.name {
            builder = builder.project(name.value.clone());
        }
        for workflow in &self.workflows {
            let of = version(Installed::Workflow(workflow));
            builder = register(builder, workflow.clone(), of);
            for agent in self.answered_by(&workflow.name) {
                let version = version(Installed::Flow(&agent.name, workflow));
                builder = register_flow(builder, interned(&agent.name), workflow, FlowVersion { version, of });
            }
        }
        match &self.depth {
            Some(depth) => builder.depth(depth.value),
            None => builder,
        }
    }

    /// Registers what a workflow was in an earlier version, for runs that have begun under it. One that cannot be read any more
    /// is not registered, and its runs say so.
    pub fn install_earlier(&self, builder: Builder, source: Source, version: u32) -> Builder {
        earlier(source).into_iter().fold(builder, |builder, workflow| register(builder, workflow, version))
    }

    /// As [`Project::install_earlier`], of what answered for an agent that a flow answers for now too.
    pub fn install_earlier_flow(&self, builder: Builder, agent: &str, source: Source, version: FlowVersion) -> Builder {
        let by_flow = self.agent(agent).is_some_and(|agent| agent.flow().is_some());
        let flows = earlier(source).into_iter().filter(|_| by_flow);
        flows.fold(builder, |builder, flow| register_flow(builder, interned(agent), &flow, version))
    }

    fn declare(&self, builder: Builder) -> Builder {
        let mut builder = self.persons.iter().fold(builder, |builder, person| builder.person(person.value.clone()));
        for (name, members) in &self.departments {
            builder = builder.department(name.value.clone(), members.iter().map(|it| it.value.clone()));
        }
        for channel in self.channels.iter().filter(|it| matches!(it.kind, ChannelKind::Console)) {
            builder = builder.channel(channel.name.value.clone(), Channel::console());
        }
        for agent in &self.agents {
            let mut declared = Agent::named(agent.name.value.clone()).metadata(agent.metadata.clone());
            declared = agent.grants.iter().fold(declared, |declared, grant| declared.grant(grant.to_grant()));
            declared = agent.departments.iter().fold(declared, |it, name| it.grant_department(name.value.clone()));
            declared = agent.at_most.into_iter().fold(declared, Agent::at_most);
            declared = agent.describe.iter().fold(declared, |it, text| it.describe(text.clone()));
            declared = declared.subagents(agent.subagents);
            if matches!(agent.kind, AgentKind::Worker) {
                declared = declared.by_workers().attempts(agent.attempts);
            }
            builder = builder.agent(declared);
        }
        builder
    }
}

/// The versions of what answers for an agent.
#[derive(Clone, Copy, Debug)]
pub struct FlowVersion {
    /// As what answers for it.
    pub version: u32,
    /// Of the workflow that it is, and so of the steps that are written down in it.
    pub of: u32,
}

/// Something that is installed, of which there may be several versions.
#[derive(Clone, Copy, Debug)]
pub enum Installed<'a> {
    /// A workflow.
    Workflow(&'a Definition),
    /// What answers for the agent of this name.
    Flow(&'a str, &'a Definition),
}

/// The workflows of an earlier text; none if it cannot be read any more.
fn earlier(source: Source) -> Vec<Arc<Definition>> {
    let mut found = Diagnostics::default();
    let earlier = read::project(vec![source], &mut found);
    if found.has_errors() { Vec::new() } else { earlier.workflows }
}

/// The metadata that a definition declares, for as long as the process lives.
fn declares(definition: &Definition) -> &'static [&'static str] {
    let names: Vec<&'static str> = definition.metadata.iter().map(|name| interned(name)).collect();
    if names.is_empty() { &[] } else { Vec::leak(names) }
}

/// Registers a definition as what answers for an agent: for jobs of any name, for tasks, and for turns of conversations.
fn register_flow(
    builder: Builder,
    agent: &'static str,
    definition: &Arc<Definition>,
    versions: FlowVersion,
) -> Builder {
    let FlowVersion { version, of } = versions;
    let names = declares(definition);
    let (for_jobs, for_tasks, for_turns) = (definition.clone(), definition.clone(), definition.clone());
    let jobs = Job::<Value, Value>::of(agent).version(version).metadata(names);
    let tasks = Job::<Task, Value>::tasks(agent).version(version).metadata(names);
    let turns = Job::<Turn, Value>::turns(agent).version(version).metadata(names);
    builder
        .job(&jobs, move |ctx, input| answer(for_jobs.clone(), of, ctx, input))
        .job(&tasks, move |ctx, task: Task| {
            let asked = declared(&for_tasks, [("task", json!(task.description))]);
            answer(for_tasks.clone(), of, ctx, asked)
        })
        .job(&turns, move |ctx, turn: Turn| {
            let (text, Turn { from, number, .. }) = (turn.text(), turn);
            let said = [("message", json!(text)), ("from", json!(from)), ("number", json!(number))];
            answer(for_turns.clone(), of, ctx, declared(&for_turns, said))
        })
}

/// What a flow declares of what there is to know.
fn declared<const N: usize>(flow: &Definition, known: [(&str, Value); N]) -> Value {
    let wanted = |name: &str| flow.input.iter().any(|field| field.name.value == name);
    // One that declares nothing is given everything, and nobody of whom nothing is known.
    let fields = known.into_iter().filter(|(name, value)| (flow.input.is_empty() || wanted(name)) && !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What an agent says whose flow this is.
async fn answer(flow: Arc<Definition>, version: u32, ctx: Context, input: Value) -> Result<Value, Failure> {
    fits(&flow, &input)?;
    interpret(flow, version, ctx, input).await.map(Tagged::untag)
}

/// Whether an input is what a definition declares, where it declares any.
fn fits(definition: &Definition, input: &Value) -> Result<(), Failure> {
    if definition.input.is_empty() {
        return Ok(());
    }
    misfit(&definition.name, &Schema::new(&accepted(&definition.input))?.problems(input))
}

fn misfit(name: &str, problems: &[String]) -> Result<(), Failure> {
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!("the input does not fit what {name:?} declares: {}", problems.join("; "));
    let kind = rejoin_machine::FailureKind::Refused;
    Err(Failure::make(kind, "bad-input".to_owned(), message, json!(problems), false))
}

/// Registers a definition under a version of its name.
fn register(builder: Builder, definition: Arc<Definition>, version: u32) -> Builder {
    let names = declares(&definition);
    let mut workflow = Workflow::<Value, Value>::named(interned(&definition.name)).version(version).metadata(names);
    if let Some(text) = &definition.describe {
        workflow = workflow.describe(interned(text));
    }
    if definition.reentrant {
        workflow = workflow.reentrant();
    }
    if definition.requires_user {
        workflow = workflow.requires_user();
    }
    let check = checked(&definition);
    let input = (!definition.input.is_empty()).then(|| schema(&definition.input));
    let running = definition.clone();
    let handler = move |ctx, input: Value| interpret(running.clone(), version, ctx, input);
    builder.checked_workflow(&workflow, Handler { check, input, ..Handler::new(workflow.traits, handler) })
}

/// Whether an input fits what the definition declares.
fn checked(definition: &Definition) -> Box<crate::registry::Check> {
    if definition.input.is_empty() {
        return Box::new(|_| Ok(()));
    }
    let name = definition.name.value.clone();
    let schema = Schema::new(&accepted(&definition.input));
    Box::new(move |input| {
        let schema = schema.as_ref().map_err(Clone::clone)?;
        let input: Value = crate::failure::decode("the input", input)?;
        misfit(&name, &schema.problems(&input))
    })
}

/// The JSON Schema of an object with these fields, and no others.
pub(super) fn schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.value.clone(), field.schema.clone())).collect();
    let required: Vec<&str> =
        fields.iter().filter(|field| field.required).map(|field| field.name.value.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// As [`schema`], for whoever gives what another run was given: what that was not given it reads as null, and passes on as that.
fn accepted(fields: &[Field]) -> Value {
    let mut schema = schema(fields);
    for field in fields.iter().filter(|field| !field.required && field.default.is_none()) {
        let own = &mut schema["properties"][&field.name.value];
        match own.get("type").cloned() {
            Some(Value::String(kind)) if own.get("enum").is_none() && own.get("const").is_none() => {
                own["type"] = json!([kind, "null"]);
            }
            _ => *own = json!({ "anyOf": [own.take(), { "type": "null" }] }),
        }
    }
    schema
}
