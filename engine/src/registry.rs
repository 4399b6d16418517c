//! Everything that can be triggered in a project: handlers by name and version, agents, departments.

use crate::agent::{Agent, Grant, Job};
use crate::channel::Channel;
use crate::context::Context;
use crate::failure::{Failure, decode, encode};
use crate::workflow::{Traits, Workflow};
use rejoin_machine::brief::{Brief, Callee, Kind};
use rejoin_machine::{FailureKind, Payload, Rejection, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Payload, Failure>>>>;

type Call = dyn Fn(Context, &Payload) -> Result<HandlerFuture, Failure> + Send + Sync;
pub(crate) type Check = dyn Fn(&Payload) -> Result<(), Failure> + Send + Sync;

/// The version of what workers do: no handler of a process has it, so one never takes over the runs of the other.
const BY_WORKERS: u32 = 0;

/// A handler without its types.
pub(crate) struct Handler {
    pub(crate) traits: Traits,
    pub(crate) call: Box<Call>,
    /// Whether an input is of the handler's type.
    pub(crate) check: Box<Check>,
    /// The JSON Schema of the input, where one is declared.
    pub(crate) input: Option<Value>,
}

/// All that is registered.
#[derive(Default)]
pub(crate) struct Registry {
    targets: BTreeMap<String, Entry>,
    departments: BTreeMap<String, BTreeSet<String>>,
    persons: BTreeSet<String>,
    channels: BTreeMap<String, Channel>,
}

/// One name: a workflow, or an agent with its jobs.
#[derive(Default)]
struct Entry {
    agent: Option<Agent>,
    /// By job and version. A workflow has its versions where an agent has its default handler.
    handlers: BTreeMap<Option<String>, BTreeMap<u32, Handler>>,
}

/// What a name leads to.
pub(crate) struct Resolved<'a> {
    pub(crate) target: Target,
    pub(crate) handler: &'a Handler,
    pub(crate) callee: Callee,
    /// Whether an agent's default handler takes a job that has no handler of its own.
    pub(crate) by_default: bool,
}

/// Something that an agent may trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callable {
    /// Its name.
    pub name: String,
    /// Whether it is an agent; a workflow otherwise.
    pub is_agent: bool,
    /// What it does.
    pub description: Option<String>,
    /// When to use it, as the grant says.
    pub when: Option<String>,
    /// How long it may take, where whoever calls it does not say.
    pub timeout: Duration,
    /// The JSON Schema of its input, where one is declared; of an agent, of what it is asked without a job's name.
    pub input: Option<Value>,
    /// An agent's jobs, and what each of them is.
    pub jobs: Vec<(String, Option<String>)>,
}

/// Something is registered under a name, version or kind that is taken.
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) version: u32,
}

impl Handler {
    pub(crate) fn new<I, O, F, Fut>(traits: Traits, handler: F) -> Handler
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + 'static,
    {
        let call = move |ctx: Context, input: &Payload| -> Result<HandlerFuture, Failure> {
            let running = handler(ctx, decode::<I>("the input", input)?);
            Ok(Box::pin(async move { encode("the output", &running.await?) }))
        };
        let check = |input: &Payload| decode::<I>("the input", input).map(drop);
        Handler { traits, call: Box::new(call), check: Box::new(check), input: None }
    }

    /// The handler of an agent that workers serve: it hands on what comes.
    fn of_workers() -> Handler {
        let call = |ctx: Context, _: &Payload| -> Result<HandlerFuture, Failure> { Ok(Box::pin(ctx.serve())) };
        Handler { traits: Traits::NEW, call: Box::new(call), check: Box::new(|_| Ok(())), input: None }
    }
}

impl Handler {
    /// The metadata that it may read.
    pub(crate) fn declares(&self) -> &'static [&'static str] {
        self.traits.declares
    }
}

impl Registry {
    pub(crate) fn add_workflow<I, O>(&mut self, workflow: &Workflow<I, O>, handler: Handler) -> Result<(), Taken> {
        let entry = self.targets.entry(workflow.name().to_owned()).or_default();
        let taken = || Taken { name: workflow.name().to_owned(), version: workflow.number() };
        if entry.agent.is_some() {
            return Err(taken());
        }
        let versions = entry.handlers.entry(None).or_default();
        versions.insert(workflow.number(), handler).map_or(Ok(()), |_| Err(taken()))
    }

    /// Adds a handler for a job; its agent is declared with it, unless it was or is declared elsewhere.
    pub(crate) fn add_job<I, O>(&mut self, job: &Job<I, O>, handler: Handler) -> Result<(), Taken> {
        let entry = self.targets.entry(job.agent().to_owned()).or_default();
        let taken = || Taken { name: job.agent().to_owned(), version: job.traits.version };
        if entry.agent.is_none() {
            if !entry.handlers.is_empty() {
                return Err(taken());
            }
            entry.agent = Some(Agent::named(job.agent()));
        }
        if entry.agent.as_ref().is_some_and(|agent| agent.by_workers) {
            return Err(taken());
        }
        let versions = entry.handlers.entry(job.name().map(str::to_owned)).or_default();
        versions.insert(job.traits.version, handler).map_or(Ok(()), |_| Err(taken()))
    }

    /// Declares an agent.
    pub(crate) fn declare(&mut self, agent: Agent) -> Result<(), Taken> {
        let entry = self.targets.entry(agent.name.clone()).or_default();
        let has_handlers = !entry.handlers.is_empty();
        let by_workers = entry.agent.as_ref().is_some_and(|known| known.by_workers);
        if has_handlers && (entry.agent.is_none() || agent.by_workers || by_workers) {
            return Err(Taken { name: agent.name, version: BY_WORKERS });
        }
        if agent.by_workers {
            entry.handlers.insert(None, BTreeMap::from([(BY_WORKERS, Handler::of_workers())]));
        }
        entry.agent = Some(agent);
        Ok(())
    }

    pub(crate) fn add_department(&mut self, name: String, members: impl IntoIterator<Item = String>) {
        self.departments.entry(name).or_default().extend(members);
    }

    pub(crate) fn add_channel(&mut self, name: String, channel: Channel) {
        self.channels.insert(name, channel);
    }

    pub(crate) fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }

    pub(crate) fn add_person(&mut self, name: String) {
        self.persons.insert(name);
    }

    pub(crate) fn is_person(&self, name: &str) -> bool {
        self.persons.contains(name)
    }

    /// The handler of a run that exists.
    pub(crate) fn get(&self, target: &Target, brief: &Brief) -> Option<&Handler> {
        let job = brief.job.clone().filter(|_| !brief.by_default);
        self.targets.get(&target.name)?.handlers.get(&job)?.get(&target.version)
    }

    /// What a name leads to: the newest version of it.
    ///
    /// # Errors
    ///
    /// The refusal that whoever asks for it is told.
    pub(crate) fn resolve(&self, name: &str, job: Option<&str>) -> Result<Resolved<'_>, Failure> {
        let entry = self.targets.get(name).ok_or_else(|| self.unknown(name))?;
        let own = entry.handlers.get(&job.map(str::to_owned));
        let (versions, by_default) = match (own, entry.handlers.get(&None)) {
            (Some(own), _) => (own, false),
            (None, Some(default)) if entry.agent.is_some() => (default, true),
            (None, Some(_)) => return Err(refused("unknown-job", format!("{name:?} is a workflow and has no jobs"))),
            (None, None) => return Err(entry.unknown_job(name, job)),
        };
        let (version, handler) = versions.last_key_value().ok_or_else(|| self.unknown(name))?;
        let target = Target { name: name.to_owned(), version: *version };
        Ok(Resolved { callee: entry.callee(handler), target, handler, by_default })
    }

    /// What a step leads to that is written down in this version of a definition.
    pub(crate) fn resolve_part(&self, name: &str, version: u32) -> Result<Resolved<'_>, Failure> {
        let entry = self.targets.get(name).ok_or_else(|| self.unknown(name))?;
        let handler = entry.handlers.get(&None).and_then(|versions| versions.get(&version));
        let handler = handler.ok_or_else(|| self.unknown(name))?;
        let callee = Callee { part: true, ..entry.callee(handler) };
        Ok(Resolved { target: Target { name: name.to_owned(), version }, handler, callee, by_default: false })
    }

    /// A subagent of the same agent stands in no queue of it: who waits for it has the place that it would wait for.
    pub(crate) fn beside_itself(&self, callee: &mut Callee) {
        let queue = callee.queue.take();
        callee.queue = queue.filter(|name| self.agent(name).is_some_and(|agent| agent.by_workers));
    }

    /// Whether an agent may have so many subagents in one job.
    pub(crate) fn check_subagents(&self, agent: &str, count: u32) -> Result<(), Failure> {
        // What is no agent is refused for that.
        let most = self.agent(agent).map_or(u32::MAX, |agent| agent.subagents);
        if count <= most {
            return Ok(());
        }
        let refusal = Rejection::TooManySubagents { name: agent.to_owned(), most };
        Err(refused(refusal.code(), refusal.to_string()))
    }

    /// Whether the grants of `agent` name `callee`.
    pub(crate) fn is_granted(&self, agent: &str, callee: &str) -> bool {
        let is_member = |name: &String| self.departments.get(name).is_some_and(|members| members.contains(callee));
        self.grant(agent, callee).is_some()
            || self.agent(agent).is_some_and(|agent| agent.departments.iter().any(is_member))
    }

    /// How long what an agent triggers may take, where it does not say.
    pub(crate) fn patience(&self, agent: &str, callee: &str) -> Duration {
        self.grant(agent, callee).map_or_else(|| Grant::of(callee).timeout, |grant| grant.timeout)
    }

    fn grant(&self, agent: &str, callee: &str) -> Option<&Grant> {
        self.agent(agent)?.grants.iter().rfind(|grant| grant.name == callee)
    }

    /// What a run of this agent may trigger.
    pub(crate) fn callable_by(&self, agent: &str, brief: &Brief) -> Vec<Callable> {
        if brief.triggers_nothing {
            return Vec::new();
        }
        let mut all = self.callable(agent);
        all.retain(|callable| brief.only.as_ref().is_none_or(|only| only.contains(&callable.name)));
        all
    }

    /// How many subagents a run of this agent may have.
    pub(crate) fn subagents_of(&self, agent: &str, brief: &Brief) -> u32 {
        if brief.subagent { 0 } else { self.agent(agent).map_or(0, |agent| agent.subagents) }
    }

    /// What the grants of an agent name, by name; what is not registered is not there.
    fn callable(&self, agent: &str) -> Vec<Callable> {
        let Some(declared) = self.agent(agent) else { return Vec::new() };
        let members = declared.departments.iter().filter_map(|name| self.departments.get(name)).flatten();
        let mut found: BTreeMap<&str, Grant> = members.map(|member| (member.as_str(), Grant::of(member))).collect();
        found.extend(declared.grants.iter().map(|grant| (grant.name.as_str(), grant.clone())));
        let shown = |(name, grant): (&str, Grant)| Some(self.targets.get(name)?.shown(grant));
        found.into_iter().filter_map(shown).collect()
    }

    pub(crate) fn agent(&self, name: &str) -> Option<&Agent> {
        self.targets.get(name)?.agent.as_ref()
    }

    /// How much agents do at a time, of those for which that is limited.
    #[cfg(feature = "testkit")]
    pub(crate) fn limits(&self) -> BTreeMap<String, u32> {
        let agents = self.targets.values().filter_map(|entry| entry.agent.as_ref());
        agents.filter_map(|agent| Some((agent.name.clone(), agent.limit?))).collect()
    }

    /// The highest version of a workflow, or of an agent's job.
    pub(crate) fn newest(&self, target: &Target, brief: &Brief) -> Option<u32> {
        let job = brief.job.clone().filter(|_| !brief.by_default);
        let versions = self.targets.get(&target.name)?.handlers.get(&job)?;
        versions.last_key_value().map(|(version, _)| *version)
    }

    /// The failure of a call to a name that nothing is registered under.
    pub(crate) fn unknown(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.targets.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { format!("there are {}", known.join(", ")) };
        refused("unknown-workflow", format!("no workflow {name:?} is registered ({known})"))
    }
}

impl Entry {
    fn callee(&self, handler: &Handler) -> Callee {
        let traits = &handler.traits;
        Callee {
            kind: if self.agent.is_some() { Kind::Agent } else { Kind::Workflow },
            reentrant: traits.reentrant,
            declares: self.declares(traits),
            requires_user: traits.requires_user,
            granted: true,
            part: false,
            queue: self.agent.as_ref().and_then(|agent| agent.queue()).map(str::to_owned),
            missing: None,
        }
    }

    fn shown(&self, Grant { name, when, timeout }: Grant) -> Callable {
        let newest = |job: &Option<String>| self.handlers.get(job)?.last_key_value().map(|(_, handler)| handler);
        let words = |job: &Option<String>| newest(job)?.traits.describes.map(str::to_owned);
        let of_agent = self.agent.as_ref().and_then(|agent| agent.describe.clone());
        let jobs = self.handlers.keys().filter_map(|job| Some((job.clone()?, words(job))));
        Callable {
            name,
            is_agent: self.agent.is_some(),
            description: of_agent.or_else(|| words(&None)),
            when,
            timeout,
            input: newest(&None).and_then(|handler| handler.input.clone()),
            jobs: jobs.collect(),
        }
    }

    fn declares(&self, traits: &Traits) -> Vec<String> {
        let by_workers = self.agent.as_ref().filter(|agent| agent.by_workers);
        let of_agent = by_workers.map(|agent| agent.declares.clone());
        of_agent.unwrap_or_else(|| traits.declares.iter().map(|name| (*name).to_owned()).collect())
    }

    fn unknown_job(&self, agent: &str, job: Option<&str>) -> Failure {
        let known: Vec<&str> = self.handlers.keys().flatten().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let asked = job.map_or("a job without a name".to_owned(), |job| format!("job {job:?}"));
        refused(
            "unknown-job",
            format!("agent {agent:?} has no handler for {asked} and no default one (its jobs: {known})"),
        )
    }
}

fn refused(code: &str, message: String) -> Failure {
    Failure::make(FailureKind::Refused, code.to_owned(), message, Value::Null, false)
}
