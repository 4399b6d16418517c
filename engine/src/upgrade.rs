//! Whether the histories of a folder fit a program, before it is started on them.

use crate::activation::{ReplayError, Surroundings};
use crate::context::ForeignWake;
use crate::engine::Builder;
use crate::error::StartError;
use crate::history::Entry;
use crate::replay::{self, Stop};
use rejoin_machine::{Event, RunId, Target};
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Seen, inspect_with};
use rejoin_store::{OpenError, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What [`Builder::check_upgrade`] found: a line for every run that has not ended.
///
/// ```
/// use rejoin::{Context, Engine, Failure, Workflow};
///
/// const WAIT: Workflow<(), String> = Workflow::named("wait");
/// async fn wait(ctx: Context, (): ()) -> Result<String, Failure> {
///     ctx.signal("go").await
/// }
///
/// # let folder = std::env::temp_dir().join(format!("rejoin-upgrade-{}", std::process::id()));
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// # let engine = Engine::open(&folder).workflow(&WAIT, wait).start().await?;
/// # engine.trigger(&WAIT, ()).await?;
/// # engine.shutdown().await;
/// # Ok::<(), rejoin::Error>(())
/// # })?;
/// // In the new program, before it is deployed, on a copy of the folder or while nothing has it open:
/// let upgrade = Engine::open(&folder).workflow(&WAIT, wait).check_upgrade()?;
/// println!("{upgrade}");
/// assert!(upgrade.is_compatible());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), rejoin::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says whether runs would be wedged"]
pub struct Upgrade {
    runs: Vec<Checked>,
}

/// A run that was held against the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The run.
    pub run: RunId,
    /// Its workflow's name; empty where the history does not say.
    pub workflow: String,
    /// Its workflow's version.
    pub version: u32,
    /// What came of it.
    pub verdict: Verdict,
}

/// Whether a run fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with this program.
    Compatible,
    /// The handler asks for something else than the history has.
    Diverges {
        /// The record.
        version: u64,
        /// The event in it, from 0; as many as it has events: behind the last one.
        index: usize,
        /// What the history has there, and what the handler asked for.
        reason: String,
    },
    /// The program has no handler of that name and version.
    NotRegistered,
    /// Its history cannot be read or applied, whatever the handler.
    Unusable(String),
}

impl Upgrade {
    /// Whether every run goes on.
    pub fn is_compatible(&self) -> bool {
        self.misfits().next().is_none()
    }

    /// All runs that have not ended, by id.
    pub fn runs(&self) -> &[Checked] {
        &self.runs
    }

    /// Those that would not go on.
    pub fn misfits(&self) -> impl Iterator<Item = &Checked> {
        self.runs.iter().filter(|checked| checked.verdict != Verdict::Compatible)
    }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misfits = self.misfits().count();
        write!(f, "live runs  {}\ncompatible {}", self.runs.len(), self.runs.len() - misfits)?;
        for Checked { run, workflow, version, verdict } in self.misfits() {
            write!(f, "\n{run}  {workflow} version {version}  {verdict}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Compatible => f.write_str("compatible"),
            Verdict::Diverges { version, index, reason } => write!(f, "diverges at event {version}.{index}: {reason}"),
            Verdict::NotRegistered => f.write_str("is not registered in this program"),
            Verdict::Unusable(reason) => write!(f, "cannot be read: {reason}"),
        }
    }
}

struct Nobody;

impl ForeignWake for Nobody {
    fn woken(&self, _: RunId) {}
}

impl Builder {
    /// Holds every run of the folder that has not ended against the handlers of this program: each thing that a handler asks
    /// for against what the history says it asked for. No step is executed, and nothing in the folder is changed; no
    /// process may have it open. In memory are the histories of the runs that have not ended.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`], where the folder cannot be read or a handler is registered twice.
    pub fn check_upgrade(self) -> Result<Upgrade, StartError> {
        let (folder, registry) = self.into_handlers()?;
        let around = Surroundings { registry: Arc::new(registry), foreign: Arc::new(Nobody), log: None };
        let missing = |_| OpenError::Missing { folder: folder.display().to_string() };
        let disk = Folder::existing(&folder).map_err(missing)?;
        let mut live: BTreeMap<RunId, Vec<Record>> = BTreeMap::new();
        inspect_with(&disk, &mut |seen: &Seen<'_>| gather(&mut live, seen), |_| {})?;
        let runs = live.into_iter().map(|(run, records)| check(run, &records, &around));
        // Conversations and documents have no handler.
        let runs = runs.filter(|checked| !checked.workflow.starts_with('$')).collect();
        Ok(Upgrade { runs })
    }
}

/// Keeps the records of the present incarnation of runs that have not ended. What cannot be read is kept too.
fn gather(live: &mut BTreeMap<RunId, Vec<Record>>, seen: &Seen<'_>) {
    let run = RunId(seen.stream.0);
    let events = crate::codec::decode(seen.format, seen.payload).map(|transition| transition.events);
    let events = events.unwrap_or_default();
    if events.iter().any(Event::is_terminal) {
        live.remove(&run);
        return;
    }
    let records = live.entry(run).or_default();
    if events.iter().any(|event| matches!(event, Event::ContinuedAsNew(_))) {
        records.clear();
    }
    records.push(seen.to_record());
}

fn check(run: RunId, records: &[Record], around: &Surroundings) -> Checked {
    let unusable = |reason| {
        let verdict = Verdict::Unusable(reason);
        Checked { run, workflow: String::new(), version: 0, verdict }
    };
    let history: Vec<Entry> = match records.iter().map(Entry::decode).collect() {
        Ok(history) => history,
        Err(error) => return unusable(error.to_string()),
    };
    let target = history.iter().flat_map(|entry| &entry.transition.events).find_map(|event| match event {
        Event::Triggered(trigger) => Some(trigger.target.clone()),
        Event::ContinuedAsNew(boundary) => Some(boundary.trigger.target.clone()),
        _ => None,
    });
    let Some(target) = target else { return unusable("it does not begin with a trigger".to_owned()) };
    let brief = history.iter().flat_map(|entry| &entry.transition.events).find_map(|event| match event {
        Event::Briefed(brief) => Some((**brief).clone()),
        _ => None,
    });
    let verdict = if around.registry.get(&target, &brief.unwrap_or_default()).is_none() {
        Verdict::NotRegistered
    } else {
        match replay::activate_to(run, &history, around) {
            Ok(_) => Verdict::Compatible,
            Err(Stop { error: ReplayError::Diverged(reason), version, index }) => {
                Verdict::Diverges { version, index, reason }
            }
            Err(Stop { error: ReplayError::Illegal(error), version, index }) => {
                Verdict::Unusable(format!("event {version}.{index}: {error}"))
            }
        }
    };
    let Target { name: workflow, version } = target;
    Checked { run, workflow, version, verdict }
}
