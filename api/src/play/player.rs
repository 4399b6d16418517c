//! Goes through a script. What has been done is not done again; what must come is looked for in what there is.

use super::memory::Memory;
use super::scene::Scene;
use super::script::{Ends, Script, Step};
use super::time::TestClock;
use rejoin::definition::Pattern;
use rejoin::{Called, Clock, RunError, RunId, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(10);

/// The most moments at which something is due while time passes.
const HOPS: usize = 10_000;

/// How much of a value is shown.
const SHOWN: usize = 200;

/// Where a script goes another way.
#[derive(Debug)]
pub(super) struct Departure {
    /// In which step, from 1; behind the last one where something is left over.
    pub(super) step: usize,
    pub(super) why: String,
}

/// See the head of this file.
pub(super) struct Player<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) memory: Memory,
    pub(super) clock: &'a TestClock,
    /// How long anything may take.
    pub(super) patience: Duration,
    /// How many calls of each run have been looked at, and how many replies.
    pub(super) calls: BTreeMap<RunId, usize>,
    pub(super) replies: usize,
}

impl Player<'_> {
    pub(super) async fn play(mut self, script: &Script) -> Result<(), Departure> {
        let mut acts = 0;
        for (at, step) in script.steps.iter().enumerate() {
            let departs = |why: String| Departure { step: at + 1, why };
            if step.is_act() {
                if !self.memory.has(acts) {
                    self.act(at, step).await.map_err(departs)?;
                }
                acts += 1;
            } else {
                self.expect(step).await.map_err(departs)?;
            }
        }
        let departs = |why: String| Departure { step: script.steps.len() + 1, why };
        self.nothing_more(script).await.map_err(departs)
    }

    /// Does something, and remembers that.
    async fn act(&mut self, at: usize, step: &Step) -> Result<(), String> {
        let again = self.memory.begun().is_some();
        let done = match step {
            Step::Decide { answer, by, comment, question } => {
                self.decide(answer, by.as_deref(), comment.as_deref(), question.as_ref()).await
            }
            Step::Pass(time) => self.pass(*time).await,
            _ => self.perform(at, step).await,
        };
        match done {
            // It was done by a process that did not live to note it.
            Err(Undone::Refused(RunError::Rejected(_))) if again => {}
            Err(Undone::Refused(error)) => return Err(error.to_string()),
            Err(Undone::Why(why)) => return Err(why),
            Ok(()) => {}
        }
        self.memory.end().map_err(|error| unwritten(&error))
    }

    async fn perform(&mut self, at: usize, step: &Step) -> Result<(), Undone> {
        if let Step::Claim { .. } = step {
            self.handed_over().await?;
        }
        // Where a person wrote, there are more messages than there were.
        let messages = self.scene.chat().map_or(Ok(0), |chat| chat.messages(0).map(|all| all.len()))?;
        let before = self.memory.begun().map(str::to_owned);
        let written = before.as_ref().is_some_and(|before| before.parse().is_ok_and(|before: usize| before < messages));
        if before.is_none() {
            self.memory.begin(&messages.to_string()).map_err(|error| unwritten(&error))?;
        }
        let chat = || self.scene.chat().ok_or_else(|| Undone::Why("there is no conversation".to_owned()));
        match step {
            Step::Say { text, by } => {
                let saying = chat()?.say(text).id(&format!("step {at}"));
                match by {
                    Some(by) => saying.by(by.clone()).await?,
                    None => saying.await?,
                };
            }
            Step::Claim { by } => chat()?.claim(by).await?,
            Step::Write { text, by } => {
                if !written {
                    chat()?.reply(by, text).await?;
                }
            }
            Step::Release { by, note } => chat()?.release(by, note.as_ref()).await?,
            Step::Decide { .. } | Step::Pass(_) | Step::Call { .. } | Step::Reply(_) | Step::Result(_) => {}
        }
        Ok(())
    }

    /// Answers the question that is asked: the very one, also where it is not known whether it has been answered.
    async fn decide(
        &mut self,
        answer: &str,
        by: Option<&str>,
        comment: Option<&str>,
        question: Option<&Pattern>,
    ) -> Result<(), Undone> {
        let noted = self.memory.begun().and_then(|noted| noted.split_once(' ')).map(|(token, by)| (token.parse(), by));
        if let Some((Ok(token), person)) = noted {
            return Ok(self.scene.engine.decide(token, person, answer, comment).await?);
        }
        let Some(open) = self.until(self.patience, async || self.scene.question()).await? else {
            return Err(Undone::Why("nobody is asked anything".to_owned()));
        };
        if let Some(why) = question.and_then(|it| it.mismatch(&Value::String(open.question.clone()))) {
            return Err(Undone::Why(format!("the question: {why}")));
        }
        let person = by.or_else(|| open.persons.first().map(String::as_str)).unwrap_or_default();
        self.memory.begin(&format!("{} {person}", open.token)).map_err(|error| unwritten(&error))?;
        Ok(self.scene.engine.decide(open.token, person, answer, comment).await?)
    }

    /// Lets time pass, from one thing that is due to the next, and what that brings about come to rest in between.
    async fn pass(&mut self, time: Duration) -> Result<(), Undone> {
        let mut due = self.at_rest().await?;
        let until = match self.memory.begun().and_then(|noted| noted.parse().ok()) {
            Some(noted) => Timestamp(noted),
            None => {
                let until = self.clock.now().after(time.into());
                self.memory.begin(&until.0.to_string()).map_err(|error| unwritten(&error))?;
                until
            }
        };
        for _ in 0..HOPS {
            if self.clock.now() >= until {
                return Ok(());
            }
            let next = due.map_or(until, |due| due.min(until));
            self.clock.pass_until(next).map_err(|error| unwritten(&error))?;
            due = self.at_rest().await?;
        }
        Err(Undone::Why(format!("within that time more than {HOPS} things are due, one after the other")))
    }

    /// Waits until nothing goes on; when something is due next.
    async fn at_rest(&self) -> Result<Option<Timestamp>, Undone> {
        let began = Instant::now();
        loop {
            if let Some(due) = self.scene.at_rest(self.clock.now())? {
                return Ok(due);
            }
            if began.elapsed() > self.patience {
                let patience = self.patience.as_secs();
                return Err(Undone::Why(format!("no time can pass: it has not come to rest after {patience} s")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until people are asked to take over.
    async fn handed_over(&self) -> Result<(), Undone> {
        let asked = async || self.waits().map(|waits| waits.then_some(()));
        match self.until(self.patience, asked).await? {
            Some(()) => Ok(()),
            None => Err(Undone::Why("nobody is asked to take over".to_owned())),
        }
    }

    /// Waits for something, and looks at it.
    async fn expect(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Call { name, input, ends } => {
                // Another run may call it yet, so that a call of another name is waited behind.
                let named = async || {
                    let next = self.next_call(name)?;
                    Ok(next.filter(|(_, it)| it.name == *name && (ends.is_none() || it.ended.is_some())))
                };
                let found = self.until(self.patience, named).await.map_err(|error| error.to_string())?;
                let other = || self.next_call(name).map_err(|error| error.to_string());
                let Some((root, called)) = found.map_or_else(other, |found| Ok(Some(found)))? else {
                    return Err(format!("it should call {name}, and calls nothing more"));
                };
                *self.calls.entry(root).or_default() += 1;
                compare_call(name, input.as_ref(), ends.as_ref(), called)
            }
            Step::Reply(pattern) => {
                let at = self.replies;
                self.replies += 1;
                let reply = async || Ok(self.scene.replies()?.into_iter().nth(at));
                match self.until(self.patience, reply).await.map_err(|error| error.to_string())? {
                    Some(reply) => pattern
                        .mismatch(&Value::String(reply.text()))
                        .map_or(Ok(()), |why| Err(format!("the reply: {why}"))),
                    None => Err("it should answer, and says nothing more".to_owned()),
                }
            }
            Step::Result(ends) => {
                let result = async || self.scene.result().await;
                match self.until(self.patience, result).await.map_err(|error| error.to_string())? {
                    Some(result) => compare_end("the result", ends, &result),
                    None => Err("it should end, and does not".to_owned()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The next call of a run: of one that calls this next, or else of the first that calls anything more.
    fn next_call(&self, name: &str) -> Result<Option<(RunId, Called)>, RunError> {
        let seen = |root: &RunId| self.calls.get(root).copied().unwrap_or_default();
        let all = self.scene.calls()?.into_iter();
        let mut next = all.filter_map(|(root, calls)| calls.into_iter().nth(seen(&root)).map(|call| (root, call)));
        let first = next.next();
        match first {
            Some((_, ref call)) if call.name != name => Ok(next.find(|(_, call)| call.name == name).or(first)),
            first => Ok(first),
        }
    }

    /// Whoever names one call or reply names all of them.
    async fn nothing_more(&self, script: &Script) -> Result<(), String> {
        let text = |error: RunError| error.to_string();
        self.until(self.patience, async || Ok(None::<()>)).await.map_err(text)?;
        if !self.scene.rests().map_err(text)? && !self.waits().map_err(text)? {
            return Err(match self.scene.question().map_err(text)? {
                Some(open) => format!("it should have ended, and asks: {}", open.question),
                None => format!("it should have ended, and has not after {} s", self.patience.as_secs()),
            });
        }
        let names = |wanted: fn(&Step) -> bool| script.steps.iter().any(wanted);
        if names(|step| matches!(step, Step::Call { .. }))
            && let Some((_, more)) = self.next_call("").map_err(text)?
        {
            return Err(format!("it should call nothing more, and calls {} with {}", more.name, shown(&more.input)));
        }
        if names(|step| matches!(step, Step::Reply(_)))
            && let Some(more) = self.scene.replies().map_err(text)?.get(self.replies)
        {
            return Err(format!("it should say nothing more, and says {:?}", more.text()));
        }
        Ok(())
    }

    /// What has come, within a time; nothing where everything rests, or a person has the conversation, without it.
    async fn until<T>(
        &self,
        patience: Duration,
        find: impl AsyncFn() -> Result<Option<T>, RunError>,
    ) -> Result<Option<T>, RunError> {
        let began = Instant::now();
        loop {
            // Looked at before: what comes to rest in between has left what it leaves.
            let rests = self.scene.rests()? || self.waits()?;
            let found = find().await?;
            if found.is_some() || rests || began.elapsed() > patience {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a person has the conversation, or is asked for.
    fn waits(&self) -> Result<bool, RunError> {
        self.scene.chat().map_or(Ok(false), |chat| Ok(chat.info()?.row.review.is_some()))
    }
}

impl Step {
    fn is_act(&self) -> bool {
        !matches!(self, Step::Call { .. } | Step::Reply(_) | Step::Result(_))
    }
}

/// Why something was not done.
enum Undone {
    Refused(RunError),
    Why(String),
}

impl From<String> for Undone {
    fn from(why: String) -> Undone {
        Undone::Why(why)
    }
}

impl From<RunError> for Undone {
    fn from(error: RunError) -> Undone {
        Undone::Refused(error)
    }
}

fn unwritten(error: &std::io::Error) -> String {
    format!("what is done cannot be noted: {error}")
}

fn compare_call(name: &str, input: Option<&Pattern>, ends: Option<&Ends>, called: Called) -> Result<(), String> {
    if called.name != name {
        return Err(format!("it should call {name}, and calls {} with {}", called.name, shown(&called.input)));
    }
    if let Some(why) = input.and_then(|input| input.mismatch(&called.input)) {
        return Err(format!("the input of {name}: {why}"));
    }
    match (ends, called.ended) {
        (Some(ends), Some(ended)) => compare_end(name, ends, &ended),
        (Some(_), None) => Err(format!("{name} is called, and does not end")),
        _ => Ok(()),
    }
}

fn compare_end(what: &str, ends: &Ends, ended: &Result<Value, String>) -> Result<(), String> {
    match (ends, ended) {
        (Ends::Gives(pattern), Ok(value)) => {
            pattern.mismatch(value).map_or(Ok(()), |why| Err(format!("{what}: {why}")))
        }
        (Ends::Fails(code), Err(failed)) if code == failed => Ok(()),
        (Ends::Fails(code), Err(failed)) => Err(format!("{what} should fail with {code}, and fails with {failed}")),
        (Ends::Fails(code), Ok(value)) => Err(format!("{what} should fail with {code}, and gives {}", shown(value))),
        (Ends::Gives(_), Err(failed)) => Err(format!("{what} fails with {failed}")),
    }
}

fn shown(value: &Value) -> String {
    crate::output::shorten(&value.to_string(), SHOWN)
}
