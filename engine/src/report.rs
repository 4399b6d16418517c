//! Tasks as agents get them, and what comes back: the result, and a report of what was done for it.

use crate::context::TASK;
use crate::conversation::text_of;
use crate::history::Entry;
use rejoin_machine::{Event, OpNo, Payload, RunId, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an agent is to do: the input of its job `task`, see [`Job::tasks`](crate::Job::tasks).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What is to be done, in words.
    pub description: String,
    /// The JSON Schema of the result, where it must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What was wrong with the answer before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<Complaint>,
}

/// An answer that does not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complaint {
    /// The answer.
    pub answer: Value,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// What the agent answers: a text, or what its schema says.
    pub output: Value,
    /// The conversation that it happened in: another task may go on there.
    #[serde(with = "as_text")]
    pub conversation: RunId,
    /// The run.
    #[serde(with = "as_text")]
    pub run: RunId,
    /// What the agent has made beside the answer, by name.
    pub artefacts: BTreeMap<String, Value>,
    /// What it did, in order.
    pub actions: Vec<Action>,
    /// The metadata that it had.
    pub metadata: BTreeMap<String, Value>,
    /// What it has cost.
    pub usage: TaskUsage,
}

impl TaskResult {
    /// The answer as a text; of one that is none, its JSON.
    pub fn text(&self) -> String {
        text_of(&self.output)
    }
}

/// What a task has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUsage {
    /// Tokens that models read.
    pub input_tokens: u64,
    /// Tokens that they wrote.
    pub output_tokens: u64,
    /// Money, in millionths.
    pub cost_micros: u64,
    /// Time from its start, in microseconds.
    pub micros: i64,
}

impl TaskUsage {
    pub(crate) fn new(usage: Usage, micros: i64) -> TaskUsage {
        let Usage { input_tokens, output_tokens, cost_micros } = usage;
        TaskUsage { input_tokens, output_tokens, cost_micros, micros }
    }
}

/// A call that a run made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Called {
    /// What was called.
    pub name: String,
    /// Whether it is a task for an agent.
    pub is_task: bool,
    /// What it was given.
    pub input: Value,
    /// What came of it: a value, or the code of a failure; `None` if nobody waited for it, or it has not ended.
    pub ended: Option<Result<Value, String>>,
}

impl Called {
    /// Those of a history, in order; `read` gives that of a child.
    pub(crate) fn of<E>(history: &[Entry], read: impl Fn(RunId) -> Result<Vec<Entry>, E>) -> Result<Vec<Called>, E> {
        let mut calls: Vec<Called> = Vec::new();
        let mut open = BTreeMap::new();
        for event in history.iter().flat_map(|entry| &entry.transition.events) {
            let (op, ended) = match event {
                Event::ChildTriggered { op, target, child, .. } => {
                    open.insert(*op, calls.len());
                    let child = read(*child)?;
                    let (is_task, input) = (is_task(&child), given(&child));
                    calls.push(Called { name: target.name.clone(), is_task, input, ended: None });
                    continue;
                }
                // Nobody tells the run: how that ended stands in the child's own history.
                Event::ParticipantCalled { target, child, .. } => {
                    let child = read(*child)?;
                    let (is_task, input, ended) = (is_task(&child), given(&child), ended(&child));
                    calls.push(Called { name: target.name.clone(), is_task, input, ended });
                    continue;
                }
                Event::ChildRefused { name, failure, .. } | Event::ParticipantRefused { name, failure, .. } => {
                    let ended = Some(Err(failure.code.clone()));
                    calls.push(Called { name: name.clone(), is_task: false, input: Value::Null, ended });
                    continue;
                }
                Event::ChildCompleted { op, output } => (op, Ok(json(output))),
                Event::ChildFailed { op, failure }
                | Event::ChildTimedOut { op, failure, .. }
                | Event::ChildCancelled { op, failure } => (op, Err(failure.code.clone())),
                _ => continue,
            };
            if let Some(called) = open.get(op).and_then(|at| calls.get_mut(*at)) {
                called.ended = Some(ended);
            }
        }
        Ok(calls)
    }
}

/// What the run of this history was given.
fn given(history: &[Entry]) -> Value {
    match history.first().and_then(|entry| entry.transition.events.first()) {
        Some(Event::Triggered(trigger)) => json(&trigger.input),
        _ => Value::Null,
    }
}

/// Whether the run of this history is a task.
fn is_task(history: &[Entry]) -> bool {
    let mut events = history.iter().take(1).flat_map(|entry| &entry.transition.events);
    events.any(|event| matches!(event, Event::Briefed(brief) if brief.job.as_deref() == Some(TASK)))
}

/// How the run of this history ended, if it has.
fn ended(history: &[Entry]) -> Option<Result<Value, String>> {
    history.last()?.transition.events.iter().rev().find_map(|event| match event {
        Event::Completed { output, .. } => Some(Ok(json(output))),
        Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => {
            Some(Err(failure.code.clone()))
        }
        _ => None,
    })
}

fn json(payload: &Payload) -> Value {
    serde_json::from_slice(payload.bytes()).unwrap_or_default()
}

/// Something that a run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What sort of thing.
    pub sort: ActionSort,
    /// The step's name, or what was called.
    pub name: String,
    /// How it ended.
    pub status: ActionStatus,
}

/// What sort of thing a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionSort {
    /// It executed a step.
    Step,
    /// It triggered a workflow or asked an agent.
    Call,
    /// It asked people.
    Approval,
    /// It wrote to a person.
    Message,
    /// It asked a person to take over.
    Handoff,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionStatus {
    /// It has not.
    Open,
    /// As it should.
    Done,
    /// It failed, timed out or was cancelled.
    Failed,
    /// It was refused before it began.
    Refused,
}

/// The actions of a run, as its events tell them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    all: Vec<Action>,
    open: BTreeMap<OpNo, usize>,
}

impl Actions {
    /// Those of a history.
    pub(crate) fn of(history: &[Entry]) -> Vec<Action> {
        let mut actions = Actions::default();
        history.iter().flat_map(|entry| &entry.transition.events).for_each(|event| actions.note(event));
        actions.all
    }

    pub(crate) fn all(&self) -> &[Action] {
        &self.all
    }

    pub(crate) fn note(&mut self, event: &Event) {
        use ActionStatus::{Done, Failed, Refused};
        match event {
            Event::StepScheduled { op, name, .. } => self.begin(*op, ActionSort::Step, name),
            Event::ChildTriggered { op, target, .. } => self.begin(*op, ActionSort::Call, &target.name),
            Event::ParticipantCalled { target, .. } => self.add(ActionSort::Call, &target.name, Done),
            Event::ApprovalRequested { op, approval } => self.begin(*op, ActionSort::Approval, &approval.question),
            Event::HandoffStarted { op, .. } => self.begin(*op, ActionSort::Handoff, ""),
            Event::PersonTold { notice, .. } => {
                self.add(ActionSort::Message, notice.opening.user.as_deref().unwrap_or_default(), Done);
            }
            Event::ChildRefused { name, .. } | Event::ParticipantRefused { name, .. } => {
                self.add(ActionSort::Call, name, Refused);
            }
            Event::StepCompleted { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ApprovalDecided { op, .. }
            | Event::HandoffEnded { op, .. } => self.end(*op, Done),
            Event::StepFailed { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::ApprovalExpired { op }
            | Event::OperationDropped { op } => self.end(*op, Failed),
            // Operations are counted anew.
            Event::ContinuedAsNew(_) => self.open.clear(),
            _ => {}
        }
    }

    fn begin(&mut self, op: OpNo, sort: ActionSort, name: &str) {
        self.open.insert(op, self.all.len());
        self.add(sort, name, ActionStatus::Open);
    }

    fn add(&mut self, sort: ActionSort, name: &str, status: ActionStatus) {
        self.all.push(Action { sort, name: name.to_owned(), status });
    }

    fn end(&mut self, op: OpNo, status: ActionStatus) {
        if let Some(action) = self.open.remove(&op).and_then(|at| self.all.get_mut(at)) {
            action.status = status;
        }
    }
}

/// Ids as texts.
mod as_text {
    use rejoin_machine::RunId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(id: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
