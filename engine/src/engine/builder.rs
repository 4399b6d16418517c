//! From settings and handlers to a running engine.

use super::{Engine, Shared, participant};
use crate::activation::Surroundings;
use crate::agent::{Agent, Job};
use crate::channel::Channel;
use crate::context::Context;
use crate::error::StartError;
use crate::failure::Failure;
use crate::projection::Projection;
use crate::registry::{Handler, Registry, Taken};
use crate::runtime::tokio::{self, SystemClock, SystemEntropy, TokioSpawn};
use crate::runtime::{Busy, Clock, Inbox, IndexKind, Ports, Settings, Shard, Sizes, Watchers};
use crate::workflow::Workflow;
use futures_channel::oneshot;
use rejoin_machine::Limits;
use rejoin_store::disk::{Disk, Folder};
use rejoin_store::index::{Backend, Fjall, Home, Sled};
use rejoin_store::journal::{Journal, Options, Progress};
use rejoin_store::{Log, OpenError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Wrap = Box<dyn FnOnce(Folder) -> Arc<dyn Disk> + Send>;

/// An engine that has not been started.
#[must_use = "an engine does nothing until it is started"]
pub struct Builder {
    folder: PathBuf,
    registry: Registry,
    twice: Option<(String, u32)>,
    settings: Settings,
    journal: Options,
    project: String,
    retention: Option<Duration>,
    disk: Option<Wrap>,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(super) fn new(folder: PathBuf) -> Builder {
        Builder {
            folder,
            registry: Registry::default(),
            twice: None,
            settings: Settings::default(),
            journal: Options { fold: Arc::new(Projection), ..Options::default() },
            project: "default".to_owned(),
            retention: None,
            disk: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Registers a handler. Several versions of a workflow may be registered beside each other: runs keep theirs.
    pub fn workflow<I, O, F, Fut>(mut self, workflow: &Workflow<I, O>, handler: F) -> Self
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + 'static,
    {
        let added = self.registry.add_workflow(workflow, Handler::new(workflow.traits, handler));
        self.note(added)
    }

    /// As [`Builder::workflow`], with a check of inputs of its own.
    #[cfg(feature = "definitions")]
    pub(crate) fn checked_workflow<I, O>(mut self, workflow: &Workflow<I, O>, handler: Handler) -> Self {
        let added = self.registry.add_workflow(workflow, handler);
        self.note(added)
    }

    /// Registers a handler for a job of an agent. It is written as a workflow's is: an agent that triggers something in the
    /// middle of a job suspends and resumes like any other run.
    pub fn job<I, O, F, Fut>(mut self, job: &Job<I, O>, handler: F) -> Self
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + 'static,
    {
        let added = self.registry.add_job(job, Handler::new(job.traits, handler));
        self.note(added)
    }

    /// Declares an agent of the project: its grants, and how much it does at a time. One that has handlers and is not
    /// declared has no grants, and no limit.
    pub fn agent(mut self, agent: Agent) -> Self {
        let declared = self.registry.declare(agent);
        self.note(declared)
    }

    /// Members of a department, a set of workflows and agents that can be granted as a whole. Called again, it adds members.
    pub fn department<N: Into<String>>(
        mut self,
        name: impl Into<String>,
        members: impl IntoIterator<Item = N>,
    ) -> Self {
        self.registry.add_department(name.into(), members.into_iter().map(Into::into));
        self
    }

    /// Declares a person of the project, who can be asked and can take over conversations.
    pub fn person(mut self, name: impl Into<String>) -> Self {
        self.registry.add_person(name.into());
        self
    }

    /// Declares a way to reach people, see [`Approval::through`](crate::Approval::through).
    pub fn channel(mut self, name: impl Into<String>, channel: Channel) -> Self {
        self.registry.add_channel(name.into(), channel);
        self
    }

    fn note(mut self, registered: Result<(), Taken>) -> Self {
        if let Err(Taken { name, version }) = registered {
            self.twice.get_or_insert((name, version));
        }
        self
    }

    /// The project that triggers of this engine belong to; `default` where none is named.
    pub fn project(mut self, name: impl Into<String>) -> Self {
        self.project = name.into();
        self
    }

    /// Settings other than the defaults.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Another library for the index than sled.
    pub fn index(mut self, index: IndexKind) -> Self {
        self.settings.index = index;
        self
    }

    /// How long trees of this engine's project are kept that have ended; for ever where nothing is said. See also
    /// [`Settings::retention`].
    pub fn retention(mut self, keep: Duration) -> Self {
        self.retention = Some(keep);
        self
    }

    /// How long after a deletion the log is cleaned, where it is worth it; five seconds where nothing is said.
    pub fn clean_after(mut self, pause: Duration) -> Self {
        self.journal.clean_after = pause;
        self
    }

    /// Is told how far the index is where it must be made again from the log at the start, which takes a while for millions of
    /// runs.
    pub fn on_progress(mut self, report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.journal.progress = Some(Arc::new(report));
        self
    }

    /// How many triggers deep runs go; three where nothing is said.
    pub fn depth(mut self, limit: u32) -> Self {
        self.settings.limits.depth = limit;
        self
    }

    /// Limits other than the defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How large the log's files are: the first one, and the largest, in bytes.
    pub fn segments(mut self, first: u64, largest: u64) -> Self {
        (self.journal.first_segment, self.journal.largest_segment) = (first, largest);
        self
    }

    /// Puts something of your own between the engine and the disk, for tests of crashes and failures.
    pub fn wrap_disk<D: Disk + 'static>(mut self, wrap: impl FnOnce(Folder) -> D + Send + 'static) -> Self {
        self.disk = Some(Box::new(move |folder| Arc::new(wrap(folder))));
        self
    }

    /// Takes the time from this clock, and not from the system's: for tests in which days pass.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What a check of histories needs of it.
    pub(crate) fn into_handlers(self) -> Result<(PathBuf, Registry), StartError> {
        match self.twice {
            Some((name, version)) => Err(StartError::RegisteredTwice { name, version }),
            None => Ok((self.folder, self.registry)),
        }
    }

    /// What a simulation needs of it.
    #[cfg(feature = "testkit")]
    pub(crate) fn into_parts(self) -> Result<Parts, StartError> {
        let Builder { registry, twice, settings, journal, project, .. } = self.settled();
        match twice {
            Some((name, version)) => Err(StartError::RegisteredTwice { name, version }),
            None => Ok(Parts { registry, settings, journal, project }),
        }
    }

    /// What concerns the engine's project, in the settings.
    fn settled(mut self) -> Builder {
        let keep = self.retention.take();
        self.settings.retention.extend(keep.map(|keep| (self.project.clone(), keep)));
        self
    }

    /// Starts the engine: opens the log, takes over its runs, and goes on with those that are unfinished.
    ///
    /// # Errors
    ///
    /// [`StartError`]: the folder is in use, damaged, of a newer version or cannot be written; or there is no tokio
    /// runtime around.
    pub async fn start(self) -> Result<Engine, StartError> {
        self.settled().start_settled().await
    }

    async fn start_settled(self) -> Result<Engine, StartError> {
        if let Some((name, version)) = self.twice {
            return Err(StartError::RegisteredTwice { name, version });
        }
        let spawn = TokioSpawn::current().ok_or(StartError::NoRuntime)?;
        let ports = Ports { clock: self.clock, spawn: Arc::new(spawn), entropy: Arc::new(SystemEntropy::new()) };
        let inbox = Inbox::new(self.settings.waiting_requests);
        let (watchers, busy) = (Arc::new(Watchers::default()), Arc::new(Busy::default()));
        let registry = Arc::new(self.registry);
        let around = Surroundings { registry: registry.clone(), foreign: inbox.clone(), log: None };
        let (ready, opened) = oneshot::channel();
        let (settings, clock, seal_after) = (self.settings.clone(), ports.clock.clone(), self.settings.seal_after);
        let make = {
            let (ports, inbox, watchers, busy) = (ports.clone(), inbox.clone(), watchers.clone(), busy.clone());
            let (folder, disk, options) = (self.folder, self.disk, self.journal);
            move || {
                let options = Options { index: home(settings.index, &folder), ..options };
                let at = folder.clone();
                let log = open_log(folder, disk, options)?;
                let secret = participant::secret(&at)?;
                let mut shard = Shard::new(log.clone(), ports, settings, around, inbox, watchers, busy);
                shard.recover()?;
                Ok::<_, StartError>((shard, (log, secret)))
            }
        };
        let shard = tokio::start(inbox.clone(), clock, seal_after, make, ready)?;
        let (log, secret) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StartError::Thread(std::io::Error::other("it ended before it was ready"))),
        };
        tokio::watch(&busy, ports.clock.clone(), self.settings.watchdog)?;
        let shared = Shared {
            inbox,
            log,
            registry,
            ports,
            watchers,
            project: self.project,
            settings: self.settings,
            secret,
            sizes: Sizes::default(),
            shard: Mutex::new(Some(shard)),
        };
        Ok(Engine::new(shared))
    }
}

/// A builder's parts, apart from its disk.
#[cfg(feature = "testkit")]
pub(crate) struct Parts {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) journal: Options,
    pub(crate) project: String,
}

fn home(kind: IndexKind, folder: &Path) -> Home {
    let backend: Arc<dyn Backend> = match kind {
        IndexKind::Sled => Arc::new(Sled),
        IndexKind::Fjall => Arc::new(Fjall),
        IndexKind::Memory => return Home::Memory,
    };
    Home::Folder { backend, path: folder.join("index") }
}

fn open_log(folder: PathBuf, wrap: Option<Wrap>, options: Options) -> Result<Arc<dyn Log>, OpenError> {
    let folder = Folder::create(&folder)
        .map_err(|source| OpenError::NotWritable { folder: folder.display().to_string(), source: Arc::new(source) })?;
    let journal = match wrap {
        Some(wrap) => Journal::open_on(wrap(folder), options)?,
        None => Journal::open(folder, options)?,
    };
    if let Some(cut) = journal.cut() {
        tracing::warn!(
            file = %cut.file,
            offset = cut.offset,
            bytes = cut.bytes,
            "the log ended in a write that was never acknowledged; it was cut off"
        );
    }
    if let Some(reason) = journal.index_rebuilt() {
        tracing::debug!(reason, "the index was made again from the log");
    }
    Ok(Arc::new(journal))
}
