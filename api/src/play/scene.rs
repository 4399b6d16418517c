//! What a script is about, and what there is to see of it.

use super::script::{About, Script};
use crate::error::Trouble;
use rejoin::definition::interned;
use rejoin::why::{By, Waiting};
use rejoin::{
    Called, Conversation, Engine, Filter, Message, OpenApproval, RunError, RunHandle, RunId, RunStatus as Status, Sort,
    Speaker, Tagged, TaskResult, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key under which it begins, in every life.
const KEY: &str = "the test";

/// A conversation or a run.
pub(super) struct Scene<'a> {
    pub(super) engine: &'a Engine,
    of: Of,
}

enum Of {
    Chat(Conversation),
    Run(RunHandle<Value>),
}

/// What there was to see, in the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Who said what.
    pub(crate) messages: Vec<(String, String)>,
    /// What was called at any depth, with its input and how it ended.
    pub(crate) calls: Vec<(String, Value, Value)>,
    /// How the run ended.
    pub(crate) result: Option<Result<Value, String>>,
}

impl<'a> Scene<'a> {
    /// Begins it, or finds what an earlier life began.
    pub(super) async fn begin(engine: &'a Engine, script: &Script) -> Result<Scene<'a>, Trouble> {
        let refused = |error: &dyn std::fmt::Display| Trouble::Refused(error.to_string());
        let of = match &script.about {
            About::Chat { agent, user, metadata } => {
                let mut open = engine.conversation(agent.clone()).key(KEY);
                if let Some(user) = user {
                    open = open.user(user.clone());
                }
                for (name, value) in metadata {
                    open = open.metadata(name.clone(), value);
                }
                Of::Chat(open.await.map_err(|error| refused(&error))?)
            }
            About::Run { workflow, input, metadata } => {
                let named = rejoin::Workflow::<Value, Value>::named(interned(workflow));
                let trigger = engine.trigger(&named, input.clone()).key(KEY);
                let trigger = metadata.iter().fold(trigger, |it, (name, value)| it.metadata(name.clone(), value));
                Of::Run(trigger.await.map_err(|error| refused(&error))?)
            }
        };
        Ok(Scene { engine, of })
    }

    pub(super) fn chat(&self) -> Option<&Conversation> {
        match &self.of {
            Of::Chat(chat) => Some(chat),
            Of::Run(_) => None,
        }
    }

    /// The runs at its root, in order: the run, or the turns.
    fn roots(&self) -> Result<Vec<RunId>, RunError> {
        let Of::Chat(chat) = &self.of else { return Ok(self.run().into_iter().map(RunHandle::id).collect()) };
        let mut roots = Vec::new();
        for run in chat.messages(0)?.iter().filter_map(|message| message.run) {
            if !roots.contains(&run) {
                roots.push(run);
            }
        }
        Ok(roots)
    }

    fn run(&self) -> Option<&RunHandle<Value>> {
        match &self.of {
            Of::Chat(_) => None,
            Of::Run(run) => Some(run),
        }
    }

    /// What each run at the root has called so far, in order.
    pub(super) fn calls(&self) -> Result<Vec<(RunId, Vec<Called>)>, RunError> {
        let calls = |root: RunId| Ok((root, self.engine.calls(root)?.into_iter().map(plain).collect()));
        self.roots()?.into_iter().map(calls).collect()
    }

    /// What all runs have called, also those that were called.
    fn all_calls(&self) -> Result<Vec<Called>, RunError> {
        let (mut runs, mut calls) = (self.roots()?, Vec::new());
        while let Some(run) = runs.pop() {
            calls.extend(self.engine.calls(run)?.into_iter().map(plain));
            let children = Filter { parent: Some(run), ..Filter::default() };
            let mut from = None;
            loop {
                let page = self.engine.list(&children, from.as_deref(), 100)?;
                runs.extend(page.runs.iter().map(|run| run.id));
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
        }
        Ok(calls)
    }

    /// What agents said so far.
    pub(super) fn replies(&self) -> Result<Vec<Message>, RunError> {
        let Of::Chat(chat) = &self.of else { return Ok(Vec::new()) };
        let mut messages = chat.messages(0)?;
        let said = |speaker: &Speaker| matches!(speaker, Speaker::Agent(_) | Speaker::Workflow(_));
        messages.retain(|message| said(&message.speaker) && message.sort != Sort::Task);
        Ok(messages)
    }

    /// A question that waits.
    pub(super) fn question(&self) -> Result<Option<OpenApproval>, RunError> {
        let roots = self.roots()?;
        Ok(self.engine.approvals()?.into_iter().find(|open| roots.contains(&open.root)))
    }

    /// How the run has ended, if it has.
    pub(super) async fn result(&self) -> Result<Option<Result<Value, String>>, RunError> {
        let Some(run) = self.run().filter(|_| self.rests().unwrap_or(false)) else { return Ok(None) };
        match run.result().await {
            Ok(value) => Ok(Some(Ok(Tagged::untag(value)))),
            Err(RunError::Failed(failure)) => Ok(Some(Err(failure.code().to_owned()))),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing more comes by itself.
    pub(super) fn rests(&self) -> Result<bool, RunError> {
        match &self.of {
            Of::Chat(chat) => Ok(chat.info()?.row.turns == 0),
            Of::Run(run) => Ok(run.describe()?.row.status.is_closed()),
        }
    }

    /// When something is due next, if nothing goes on: all that has not ended waits for people, or for time to pass.
    pub(super) fn at_rest(&self, now: Timestamp) -> Result<Option<Option<Timestamp>>, RunError> {
        let (mut from, mut next) = (None, None::<Timestamp>);
        loop {
            let page = self.engine.list(&Filter::default(), from.as_deref(), 100)?;
            for run in page.runs.iter().filter(|run| !run.row.status.is_closed()) {
                let is_due = run.row.due.is_some_and(|due| due <= now);
                if is_due
                    || !matches!(run.row.status, Status::Suspended | Status::Queued | Status::Paused | Status::Open)
                {
                    return Ok(None);
                }
                let works = |waiting: &Waiting| matches!(waiting.by, By::Process | By::Worker);
                if self.engine.why(run.id)?.waits.iter().any(works) {
                    return Ok(None);
                }
                next = next.into_iter().chain(run.row.due).min();
            }
            match page.next {
                Some(page) => from = Some(page),
                None => return Ok(Some(next)),
            }
        }
    }

    pub(super) async fn seen(&self) -> Result<Seen, RunError> {
        let messages = self.chat().map_or(Ok(Vec::new()), |chat| chat.messages(0))?;
        let messages = messages.iter().map(|message| (speaker(&message.speaker), message.text())).collect();
        let calls =
            self.all_calls()?.into_iter().map(|Called { name, input, ended, .. }| (name, input, ended_json(ended)));
        Ok(Seen { messages, calls: calls.collect(), result: self.result().await? })
    }
}

/// A call as a test names it: of a task what is to be done and what was answered; what was done for it, and how long that took,
/// is another each time.
fn plain(called: Called) -> Called {
    let ended = called.ended.map(|ended| ended.map(Tagged::untag));
    if !called.is_task {
        return Called { ended, ..called };
    }
    let output = |value: Value| TaskResult::deserialize(&value).map_or(value, |task| task.output);
    Called { input: called.input["description"].clone(), ended: ended.map(|ended| ended.map(output)), ..called }
}

fn ended_json(ended: Option<Result<Value, String>>) -> Value {
    match ended {
        Some(Ok(value)) => value,
        Some(Err(code)) => Value::String(format!("failed: {code}")),
        None => Value::Null,
    }
}

fn speaker(speaker: &Speaker) -> String {
    match speaker {
        Speaker::User(name) | Speaker::Agent(name) | Speaker::Person(name) | Speaker::Workflow(name) => name.clone(),
        Speaker::Anonymous => "somebody".to_owned(),
    }
}
