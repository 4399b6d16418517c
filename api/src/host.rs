//! A project at work: its definitions in an engine of this process, with what answers for its agents.

use crate::agents::secret::SecretRef;
use crate::agents::webhook::Webhook;
use crate::agents::{command, http, model, webhook};
use crate::endpoint::Door;
use crate::error::Trouble;
use crate::project::Versions;
use rejoin::definition::Project;
use rejoin::definition::model::{Agent, AgentKind, ChannelKind, Secret};
use rejoin::{Builder, Engine};
use std::path::Path;

/// An engine that has a project.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    door: Door,
}

impl Host {
    /// Starts an engine on a data folder; the paths of the project are meant in `folder`. Unfinished runs go on by themselves.
    pub(crate) async fn open(project: &Project, folder: &Path, data: &Path) -> Result<Host, Trouble> {
        let start = |error: &dyn std::fmt::Display| Trouble::Start(error.to_string());
        std::fs::create_dir_all(data)
            .map_err(|error| Trouble::Folder { folder: data.display().to_string(), reason: error.to_string() })?;
        let door = Door::open().await.map_err(|error| start(&error))?;
        let mut builder = Versions::open(data)?.install(project, Engine::open(data))?;
        for channel in &project.channels {
            if let ChannelKind::Webhook { url, secret: signed, allow_inner } = &channel.kind {
                let signed = signed.as_ref().map(|it| secret(it, folder));
                let webhook = Webhook { url: url.clone(), secret: signed, allow_inner: *allow_inner };
                builder = builder.channel(channel.name.value.clone(), webhook::channel(webhook, door.clone()));
            }
        }
        for agent in &project.agents {
            builder = answer(builder, project, agent, folder, &door)?;
        }
        let engine = builder.start().await.map_err(|error| start(&error))?;
        door.serve(engine.clone());
        Ok(Host { engine, door })
    }

    /// Lets what is under way end, and seals the log.
    pub(crate) async fn close(self) {
        self.door.close();
        self.engine.shutdown().await;
    }
}

/// Registers what answers for an agent.
fn answer(builder: Builder, project: &Project, agent: &Agent, folder: &Path, door: &Door) -> Result<Builder, Trouble> {
    let (name, timeout, attempts) = (agent.name.value.clone(), agent.timeout, agent.attempts);
    Ok(match &agent.kind {
        AgentKind::Command { program, environment, memory_bytes, output_bytes } => {
            let agent = command::CommandAgent {
                name,
                program: program.clone(),
                folder: folder.to_owned(),
                environment: environment.clone(),
                secrets: agent.secrets.iter().map(|(name, it)| (name.clone(), secret(it, folder))).collect(),
                timeout,
                memory_bytes: *memory_bytes,
                output_bytes: *output_bytes,
                attempts,
            };
            command::register(builder, agent, door.clone())
        }
        AgentKind::Http { url, secret: signed, headers, allow_inner } => {
            let open = headers.iter().map(|(name, text)| (name.clone(), http::Header::Plain(text.clone())));
            let closed =
                agent.secrets.iter().map(|(name, it)| (name.clone(), http::Header::Secret(secret(it, folder))));
            let agent = http::HttpAgent {
                name,
                url: url.clone(),
                secret: signed.as_ref().map(|it| secret(it, folder)),
                headers: open.chain(closed).collect(),
                timeout,
                attempts,
                allow_inner: *allow_inner,
            };
            http::register(builder, agent)
        }
        AgentKind::Model { url, model: of, key, instructions, token_budget, allow_inner } => {
            let agent = model::ModelAgent {
                name,
                url: url.clone(),
                model: of.clone(),
                key: key.as_ref().map(|it| secret(it, folder)),
                instructions: instructions.clone(),
                temperature: None,
                output: None,
                persons: project.persons.iter().map(|person| person.value.clone()).collect(),
                max_turns: model::MAX_TURNS,
                token_budget: *token_budget,
                timeout,
                attempts,
                allow_inner: *allow_inner,
            };
            agent.check().map_err(|error| Trouble::Start(error.to_string()))?;
            model::register(builder, agent)
        }
        // Workers come by themselves, and functions are registered by the program that has them.
        AgentKind::Worker | AgentKind::Rust => builder,
    })
}

fn secret(of: &Secret, folder: &Path) -> SecretRef {
    match of {
        Secret::Environment(name) => SecretRef::Environment(name.clone()),
        Secret::File(path) => SecretRef::File(folder.join(path)),
    }
}
