//! Groups: calls that are made together, and settled together.

use super::call::Call;
use super::operation::Handle;
use super::{Context, Sleep};
use crate::combine::{Either, Unordered, select};
use crate::failure::Failure;
use rejoin_machine::FailureKind;
use rejoin_machine::Issue;
use rejoin_machine::call::GroupMode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How a call ended, of which there may be several in a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// With a value.
    Completed(T),
    /// The workflow or agent said no.
    Failed(Failure),
    /// Its handler broke.
    Error(Failure),
    /// It was cancelled; that is an answer too.
    Cancelled(Failure),
    /// Its time ran out, or that of the group.
    TimedOut(Failure),
}

/// How a call ended, for a flow that goes on either way and asks for the status.
impl<T> From<Result<T, Failure>> for Answer<T> {
    fn from(result: Result<T, Failure>) -> Answer<T> {
        match result {
            Ok(value) => Answer::Completed(value),
            Err(failure) => match failure.kind() {
                FailureKind::Cancelled => Answer::Cancelled(failure),
                FailureKind::TimedOut => Answer::TimedOut(failure),
                FailureKind::Application if !failure.is_transient() => Answer::Failed(failure),
                FailureKind::Refused | FailureKind::HandedOff => Answer::Failed(failure),
                FailureKind::Application | FailureKind::Panic | FailureKind::Limit | FailureKind::Payload => {
                    Answer::Error(failure)
                }
            },
        }
    }
}

impl<T> Answer<T> {
    /// The value, of a call that completed.
    pub fn value(&self) -> Option<&T> {
        match self {
            Answer::Completed(value) => Some(value),
            Answer::Failed(_) | Answer::Error(_) | Answer::Cancelled(_) | Answer::TimedOut(_) => None,
        }
    }

    /// Why there is no value.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Answer::Completed(_) => None,
            Answer::Failed(failure)
            | Answer::Error(failure)
            | Answer::Cancelled(failure)
            | Answer::TimedOut(failure) => Some(failure),
        }
    }

    /// A word for how it ended: completed, failed, error, cancelled or timed-out.
    pub fn status(&self) -> &'static str {
        match self {
            Answer::Completed(_) => "completed",
            Answer::Failed(_) => "failed",
            Answer::Error(_) => "error",
            Answer::Cancelled(_) => "cancelled",
            Answer::TimedOut(_) => "timed-out",
        }
    }

    /// Whether it makes a group fail.
    fn is_error(&self) -> bool {
        matches!(self, Answer::Failed(_) | Answer::Error(_) | Answer::TimedOut(_))
    }
}

/// The answers of a group, by the names of its items, in the order in which they were added.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers<T> {
    items: Vec<(String, Answer<T>)>,
    places: BTreeMap<String, usize>,
}

impl<T> Answers<T> {
    fn new(items: Vec<(String, Answer<T>)>) -> Answers<T> {
        let places = items.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Answers { items, places }
    }

    /// The answer of an item.
    pub fn get(&self, name: &str) -> Option<&Answer<T>> {
        self.places.get(name).map(|place| &self.items[*place].1)
    }

    /// All answers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Answer<T>)> {
        self.items.iter().map(|(name, answer)| (name.as_str(), answer))
    }

    /// The values of those that completed.
    pub fn values(&self) -> impl Iterator<Item = (&str, &T)> {
        self.iter().filter_map(|(name, answer)| answer.value().map(|value| (name, value)))
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// As JSON: how each item ended, and why.
    fn outcomes(&self) -> Value {
        let one = |(name, answer): (&str, &Answer<T>)| {
            let mut outcome = json!({ "status": answer.status() });
            if let Some(failure) = answer.failure() {
                outcome["code"] = failure.code().into();
                outcome["message"] = failure.message().into();
            }
            (name.to_owned(), outcome)
        };
        Value::Object(self.iter().map(one).collect())
    }
}

/// A group that did not come to what was asked of it. As a [`Failure`] its details have the outcome of each item.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupError<T> {
    /// Why.
    pub failure: Failure,
    /// How each item ended.
    pub answers: Answers<T>,
}

impl<T> fmt::Display for GroupError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl<T> From<GroupError<T>> for Failure {
    fn from(error: GroupError<T>) -> Failure {
        error.failure
    }
}

impl Context {
    /// A group of calls that are made together and settled together. Each item has a name of its own, and is a call like any
    /// other, with its own target, input, timeout and metadata.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Job, time::seconds};
    /// const ARGUE: Job<String, String> = Job::of("debater");
    /// async fn debate(ctx: Context, topic: String) -> Result<Vec<String>, Failure> {
    ///     let mut group = ctx.group("debate").timeout(seconds(30));
    ///     for role in ["advocate", "critic", "analyst"] {
    ///         group.add(role, ctx.job(&ARGUE, format!("{role}: {topic}")));
    ///     }
    ///     let answers = group.all().await?;
    ///     Ok(answers.values().map(|(role, text)| format!("{role}: {text}")).collect())
    /// }
    /// ```
    pub fn group<T>(&self, name: impl Into<String>) -> Group<T> {
        Group { ctx: self.clone(), name: name.into(), items: Vec::new(), timeout: None, cancel_on_error: true }
    }
}

/// Calls that are made together. Settled by [`Group::all`], [`Group::collect`], [`Group::first`] or [`Group::quorum`]; dropped
/// before that, or while it is being settled, it cancels its calls.
#[must_use = "a group that is dropped cancels its calls; settle it"]
pub struct Group<T> {
    ctx: Context,
    name: String,
    items: Vec<(String, Call<T>)>,
    timeout: Option<Duration>,
    cancel_on_error: bool,
}

/// When a group is settled.
struct Rule {
    mode: GroupMode,
    /// How many must complete.
    wanted: usize,
    /// Whether the first error settles it.
    hasty: bool,
    /// Whether errors matter at all in the end.
    strict: bool,
}

impl<T: DeserializeOwned> Group<T> {
    /// Adds an item.
    pub fn add(&mut self, name: impl Into<String>, call: Call<T>) {
        self.items.push((name.into(), call));
    }

    /// How long the whole may take: what has not ended by then is cancelled, and counts as timed out.
    pub fn timeout(self, limit: Duration) -> Self {
        Group { timeout: Some(limit), ..self }
    }

    /// Whether the first item that fails, breaks or times out cancels the others and makes the group fail, as it does where
    /// nothing is said. Otherwise all answers are collected.
    pub fn cancel_on_error(self, cancel: bool) -> Self {
        Group { cancel_on_error: cancel, ..self }
    }

    /// Waits until all have completed.
    ///
    /// # Errors
    ///
    /// [`GroupError`] once all have ended, if one failed, broke or timed out.
    pub async fn all(self) -> Result<Answers<T>, GroupError<T>> {
        let (wanted, cancel) = (self.items.len(), self.cancel_on_error);
        let mode = if cancel { GroupMode::All } else { GroupMode::Collect };
        self.settle(Rule { mode, wanted, hasty: cancel, strict: cancel }).await
    }

    /// Waits until all have ended, however they do.
    ///
    /// # Errors
    ///
    /// [`GroupError`] if two items have one name.
    pub async fn collect(self) -> Result<Answers<T>, GroupError<T>> {
        let wanted = self.items.len();
        self.settle(Rule { mode: GroupMode::Collect, wanted, hasty: false, strict: false }).await
    }

    /// Waits until one has completed, and cancels the others.
    ///
    /// # Errors
    ///
    /// [`GroupError`] if none has completed, or there is none.
    pub async fn first(self) -> Result<Answers<T>, GroupError<T>> {
        self.settle(Rule { mode: GroupMode::First, wanted: 1, hasty: false, strict: true }).await
    }

    /// Waits until so many have completed, and cancels the others.
    ///
    /// # Errors
    ///
    /// [`GroupError`] if that can no longer be reached, or the number is zero or more than there are items.
    pub async fn quorum(self, of: usize) -> Result<Answers<T>, GroupError<T>> {
        let mode = GroupMode::Quorum(u32::try_from(of).unwrap_or(u32::MAX));
        self.settle(Rule { mode, wanted: of, hasty: false, strict: true }).await
    }

    async fn settle(self, rule: Rule) -> Result<Answers<T>, GroupError<T>> {
        if let Err(failure) = self.check(&rule) {
            return Err(GroupError { failure, answers: Answers::new(Vec::new()) });
        }
        let Group { ctx, name, items, timeout, .. } = self;
        let handles: Vec<Handle> = items.iter().map(|(_, call)| call.handle()).collect();
        let names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
        let members = names.iter().cloned().zip(handles.iter().map(|handle| handle.op)).collect();
        let (op, mode) = (ctx.inner.number(), rule.mode);
        ctx.inner.push_issue(Issue::Group { op, name: name.clone(), mode, members });
        let mut timer = timeout.map(|limit| ctx.sleep(limit));
        let mut calls = Unordered::new();
        items.into_iter().for_each(|(_, call)| calls.push(call));
        let (answers, open) = (names.iter().map(|_| None).collect(), names.len());
        let mut settling = Settling { handles, answers, completed: 0, open, stopped: None };
        while let Some(next) = next(&mut calls, &mut timer).await {
            match next {
                Some((place, result)) => settling.answered(place, result, &rule),
                None => settling.stop("the group's time is up", true),
            }
        }
        // A timer that is not needed any more.
        drop(timer);
        let answers = names.into_iter().zip(settling.answers.into_iter().flatten()).collect();
        rule.verdict(&name, Answers::new(answers))
    }

    fn check(&self, rule: &Rule) -> Result<(), Failure> {
        let refuse = |code: &str, message: String| {
            Err(Failure::make(FailureKind::Refused, code.to_owned(), message, Value::Null, false))
        };
        let group = &self.name;
        let mut seen = BTreeSet::new();
        if let Some((name, _)) = self.items.iter().find(|(name, _)| !seen.insert(name)) {
            return refuse("duplicate-item", format!("group {group:?} has two items of the name {name:?}"));
        }
        let items = self.items.len();
        match rule.mode {
            GroupMode::Quorum(0) => refuse("zero-quorum", format!("group {group:?}: a quorum is one at least")),
            GroupMode::First | GroupMode::Quorum(_) if rule.wanted > items => refuse(
                "quorum-too-large",
                format!("group {group:?} has {items} items, and {} are to complete", rule.wanted),
            ),
            GroupMode::All | GroupMode::Collect | GroupMode::First | GroupMode::Quorum(_) => Ok(()),
        }
    }
}

/// The next call that ends, or `None` inside when the time is up; `None` when all have ended.
async fn next<T: DeserializeOwned>(
    calls: &mut Unordered<Call<T>>,
    timer: &mut Option<Sleep>,
) -> Option<Option<(usize, Result<T, Failure>)>> {
    let Some(running) = timer else { return calls.next_indexed().await.map(Some) };
    match select(running, calls.next_indexed()).await {
        // A cancelled run tells its calls too.
        Either::First(_) => {
            *timer = None;
            Some(None)
        }
        Either::Second(ended) => ended.map(Some),
    }
}

/// A group on the way to its end.
struct Settling<T> {
    handles: Vec<Handle>,
    answers: Vec<Option<Answer<T>>>,
    /// How many have completed, and how many have not ended.
    completed: usize,
    open: usize,
    /// Nobody wants more answers; whether because the time was up.
    stopped: Option<bool>,
}

impl<T> Settling<T> {
    fn answered(&mut self, place: usize, result: Result<T, Failure>, rule: &Rule) {
        let answer = match (Answer::from(result), self.stopped) {
            (Answer::Cancelled(failure), Some(true)) => Answer::TimedOut(failure),
            (answer, _) => answer,
        };
        let is_error = answer.is_error();
        self.completed += usize::from(answer.value().is_some());
        self.open -= 1;
        self.answers[place] = Some(answer);
        if is_error && rule.hasty {
            return self.stop("another item of its group has failed", false);
        }
        if matches!(rule.mode, GroupMode::First | GroupMode::Quorum(_)) {
            if self.completed >= rule.wanted {
                self.stop("enough items of its group have completed", false);
            } else if self.completed + self.open < rule.wanted {
                self.stop("too few items of its group can still complete", false);
            }
        }
    }

    /// Ends what has not ended. Their ends are waited for: nobody works unseen.
    fn stop(&mut self, reason: &str, timed_out: bool) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(timed_out);
        for (handle, _) in self.handles.iter().zip(&self.answers).filter(|(_, answer)| answer.is_none()) {
            handle.cancel(reason);
        }
    }
}

impl Rule {
    fn verdict<T>(&self, group: &str, answers: Answers<T>) -> Result<Answers<T>, GroupError<T>> {
        let completed = answers.values().count();
        let few = matches!(self.mode, GroupMode::First | GroupMode::Quorum(_)) && completed < self.wanted;
        let failed = self.hasty.then(|| answers.iter().find(|(_, answer)| answer.is_error())).flatten();
        if !self.strict || (!few && failed.is_none()) {
            return Ok(answers);
        }
        let message = match failed.and_then(|(name, answer)| Some((name, answer, answer.failure()?))) {
            Some((name, answer, failure)) => {
                format!("group {group:?}: {name:?} {}: {}", answer.status(), failure.message())
            }
            None => {
                format!("group {group:?}: {completed} of {} items completed, {} were to", answers.len(), self.wanted)
            }
        };
        let details = json!({ "items": answers.outcomes() });
        let failure = Failure::make(FailureKind::Application, "group".to_owned(), message, details, false);
        Err(GroupError { failure, answers })
    }
}
