//! A project as the engine has it: its agents are declared, and its workflows are handlers.

use super::diagnostic::Diagnostics;
use super::interpret::interpret;
use super::model::{AgentKind, ChannelKind, Field, Project, Workflow as Definition};
use super::read;
use super::source::Source;
use crate::agent::Agent;
use crate::channel::Channel;
use crate::engine::Builder;
use crate::failure::Failure;
use crate::registry::Handler;
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
    /// Declares everything to an engine, and registers its workflows, each in the version that `version` says. What answers for
    /// agents that are no workers is for the caller to register, and so are channels that are no consoles.
    pub fn install(&self, builder: Builder, version: impl Fn(&Definition) -> u32) -> Builder {
        let mut builder = self.declare(builder);
        if let Some(name) = &self.name {
            builder = builder.project(name.value.clone());
        }
        for workflow in &self.workflows {
            builder = register(builder, workflow.clone(), version(workflow));
        }
        match &self.depth {
            Some(depth) => builder.depth(depth.value),
            None => builder,
        }
    }

    /// Registers what a workflow was in an earlier version, for runs that have begun under it. One that cannot be read any more
    /// is not registered, and its runs say so.
    pub fn install_earlier(&self, builder: Builder, source: Source, version: u32) -> Builder {
        let mut found = Diagnostics::default();
        let earlier = read::project(vec![source], &mut found);
        let sound = earlier.workflows.into_iter().filter(|_| !found.has_errors());
        sound.fold(builder, |builder, workflow| register(builder, workflow, version))
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
            declared = agent.grants.iter().fold(declared, |declared, (name, when)| match when {
                Some(when) => declared.grant_when(name.value.clone(), when.clone()),
                None => declared.grant(name.value.clone()),
            });
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

/// Registers a definition under a version of its name.
fn register(builder: Builder, definition: Arc<Definition>, version: u32) -> Builder {
    let names: Vec<&'static str> = definition.metadata.iter().map(|name| interned(name)).collect();
    let mut workflow = Workflow::<Value, Value>::named(interned(&definition.name)).version(version);
    if !names.is_empty() {
        workflow = workflow.metadata(Vec::leak(names));
    }
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
    let running = definition.clone();
    let handler = move |ctx, input: Value| interpret(running.clone(), ctx, input);
    builder.checked_workflow(&workflow, Handler { check, ..Handler::new(workflow.traits, handler) })
}

/// Whether an input fits what the definition declares.
fn checked(definition: &Definition) -> Box<crate::registry::Check> {
    if definition.input.is_empty() {
        return Box::new(|_| Ok(()));
    }
    let name = definition.name.value.clone();
    let schema = Schema::new(&schema(&definition.input));
    Box::new(move |input| {
        let schema = schema.as_ref().map_err(Clone::clone)?;
        let input: Value = crate::failure::decode("the input", input)?;
        let problems = schema.problems(&input);
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("the input does not fit what {name:?} declares: {}", problems.join("; "));
        Err(Failure::make(
            rejoin_machine::FailureKind::Refused,
            "bad-input".to_owned(),
            message,
            json!(problems),
            false,
        ))
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
