//! A project at work: its definitions in an engine of this process, with what answers for its agents.

use crate::agents::secret::SecretRef;
use crate::agents::webhook::Webhook;
use crate::agents::{command, http, model, webhook};
use crate::endpoint::Door;
use crate::error::Trouble;
use crate::live::interrupts::Interrupts;
use crate::output::{Console, INTERRUPTED};
use crate::project::{Step, Versions};
use rejoin::definition::Project;
use rejoin::definition::model::{Agent, AgentKind, ChannelKind, Model, Secret};
use rejoin::{Builder, Engine};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use std::{fs, io};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The file in the data folder that has the address of the endpoint, while an engine has the folder open; afterwards nobody is there.
pub(crate) const ADDRESS: &str = "address";

/// An engine that has a project.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    door: Door,
    /// The file with its address.
    address: PathBuf,
    /// For temporary files.
    scratch: TempDir,
}

impl Host {
    /// Starts an engine on a data folder; the paths of the project are meant in `folder`. Unfinished runs go on by themselves.
    /// Programs and endpoints find it on this port; 0 is one that is free.
    pub(crate) async fn open(project: &Project, folder: &Path, data: &Path, port: u16) -> Result<Host, Trouble> {
        Host::open_with(project, folder, data, port, |builder| builder).await
    }

    /// As [`Host::open`], with an engine that is prepared.
    pub(crate) async fn open_with(
        project: &Project,
        folder: &Path,
        data: &Path,
        port: u16,
        prepare: impl FnOnce(Builder) -> Builder,
    ) -> Result<Host, Trouble> {
        let start = |error: &dyn std::fmt::Display| Trouble::Start(error.to_string());
        fs::create_dir_all(data)
            .map_err(|error| Trouble::Folder { folder: data.display().to_string(), reason: error.to_string() })?;
        let taken = |error: io::Error| Trouble::Start(format!("port {port} of this machine cannot be used: {error}"));
        let door = Door::open(port).await.map_err(taken)?;
        let (mut builder, steps) = Versions::open(data)?.install(project, prepare(Engine::open(data)))?;
        for channel in &project.channels {
            if let ChannelKind::Webhook { url, secret: signed, allow_inner } = &channel.kind {
                let signed = signed.as_ref().map(|it| secret(it, folder));
                let webhook = Webhook { url: url.clone(), secret: signed, allow_inner: *allow_inner };
                builder = builder.channel(channel.name.value.clone(), webhook::channel(webhook, door.clone()));
            }
        }
        let scratch = scratch(data).map_err(|error| start(&format!("{}: {error}", data.join("tmp").display())))?;
        let folders = Folders { project: folder, scratch: scratch.path() };
        for agent in &project.agents {
            builder = answer(builder, agent, 1, &folders, &door)?;
        }
        for Step { version, agent } in &steps {
            builder = answer(builder, agent, *version, &folders, &door)?;
        }
        let engine = builder.start().await.map_err(|error| start(&error))?;
        // No program starts before that.
        command::end_programs(scratch.path().parent().unwrap_or(data), Some(scratch.path()));
        door.serve(engine.clone());
        if let Err(error) = tidy(&scratch) {
            tracing::warn!(%error, "temporary files of a process that was killed could not be removed");
        }
        // Nothing here needs it: who does says that it is not there.
        let address = data.join(ADDRESS);
        if let Err(error) = fs::write(&address, door.url()) {
            tracing::warn!(%error, "the address of the endpoint could not be written");
        }
        Ok(Host { engine, door, address, scratch })
    }

    /// Where the programs of its agents have their temporary files.
    pub(crate) fn programs(&self) -> PathBuf {
        self.scratch.path().to_owned()
    }

    /// As [`Host::close`], and tells whoever waits for that. They need not.
    pub(crate) async fn close_patiently(self, interrupts: &mut Interrupts, console: &mut Console) {
        let mut closing = pin!(self.close());
        if timeout(UNNOTICED, &mut closing).await.is_err() {
            // One intention may have been told twice.
            interrupts.forget().await;
            console.note(
                "what is under way may take ten seconds more to end; Ctrl-C breaks it off, and it is done again later",
            );
            tokio::select! {
                () = closing => {}
                () = interrupts.next() => {}
            }
        }
    }

    /// Lets what is under way end, and seals the log.
    pub(crate) async fn close(self) {
        // Before the folder is anybody else's. One that cannot be removed leads to nobody.
        let _ = fs::remove_file(&self.address);
        // What is under way may need the door to end.
        self.engine.shutdown().await;
        self.door.close();
    }
}

/// Waits until it is open. Whoever asks it to end is heard then; who asks twice does not want to wait for that: the process ends as
/// kill would end it, and nothing is lost.
pub(crate) async fn patiently(
    opening: impl Future<Output = Result<Host, Trouble>>,
    interrupts: &mut Interrupts,
    console: &mut Console,
) -> Result<Host, Trouble> {
    let mut opening = pin!(opening);
    tokio::select! {
        host = &mut opening => return host,
        () = interrupts.next() => {}
    }
    console.note("the store is being opened; Ctrl-C once more ends that at once");
    tokio::select! {
        host = opening => {
            interrupts.keep();
            host
        }
        () = interrupts.next() => std::process::exit(INTERRUPTED.into()),
    }
}

/// How long nobody wonders what a process is waiting for.
const UNNOTICED: Duration = Duration::from_millis(500);

/// Ends what an engine was executed on, and the [programs](Host::programs) of its agents.
pub(crate) fn end(runtime: Runtime, programs: &Path) {
    // A thread may be reading stdin.
    runtime.shutdown_background();
    command::end_programs(programs, None);
}

/// Where agents work.
struct Folders<'a> {
    project: &'a Path,
    scratch: &'a Path,
}

/// The folder for temporary files of the programs of this process, among those of others.
fn scratch(data: &Path) -> io::Result<TempDir> {
    let all = data.join("tmp");
    fs::create_dir_all(&all)?;
    tempfile::tempdir_in(all.canonicalize()?)
}

/// Removes what processes have left that were killed: only one at a time has the data folder, and that is this one.
fn tidy(scratch: &TempDir) -> io::Result<()> {
    let Some(all) = scratch.path().parent() else { return Ok(()) };
    for other in fs::read_dir(all)? {
        let other = other?.path();
        if other != scratch.path() {
            fs::remove_dir_all(other)?;
        }
    }
    Ok(())
}

/// Registers what answers for an agent.
fn answer(
    builder: Builder,
    agent: &Agent,
    version: u32,
    folders: &Folders<'_>,
    door: &Door,
) -> Result<Builder, Trouble> {
    let folder = folders.project;
    let (name, timeout, attempts) = (agent.name.value.clone(), agent.timeout, agent.attempts);
    Ok(match &agent.kind {
        AgentKind::Command { program, environment, memory_bytes, output_bytes } => {
            let agent = command::CommandAgent {
                name,
                version,
                program: program.clone(),
                folder: folder.to_owned(),
                scratch: folders.scratch.to_owned(),
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
                version,
                url: url.clone(),
                secret: signed.as_ref().map(|it| secret(it, folder)),
                headers: open.chain(closed).collect(),
                timeout,
                attempts,
                allow_inner: *allow_inner,
            };
            http::register(builder, agent, door.clone())
        }
        AgentKind::Model(model) => {
            let agent = of_model(agent, model, folder);
            agent.check().map_err(|error| Trouble::Start(error.to_string()))?;
            model::register(builder, agent, door.clone())
        }
        // Flows are installed with the workflows, workers come by themselves, and functions are registered by the program that
        // has them.
        AgentKind::Flow(_) | AgentKind::Worker | AgentKind::Rust => builder,
    })
}

fn of_model(agent: &Agent, of: &Model, folder: &Path) -> model::ModelAgent {
    model::ModelAgent {
        name: agent.name.value.clone(),
        url: of.url.clone(),
        model: of.model.clone(),
        key: of.key.as_ref().map(|it| secret(it, folder)),
        instructions: of.instructions.clone(),
        temperature: of.temperature,
        output: None,
        asks: of.asks.iter().map(|person| person.value.clone()).collect(),
        within: of.within.unwrap_or(model::WITHIN),
        max_turns: of.max_turns.unwrap_or(model::MAX_TURNS),
        token_budget: of.token_budget,
        timeout: agent.timeout,
        attempts: agent.attempts,
        allow_inner: of.allow_inner,
    }
}

fn secret(of: &Secret, folder: &Path) -> SecretRef {
    match of {
        Secret::Environment(name) => SecretRef::Environment(name.clone()),
        Secret::File(path) => SecretRef::File(folder.join(path)),
    }
}
