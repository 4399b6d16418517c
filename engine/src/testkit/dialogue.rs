//! Scripted conversations: what somebody says, what the agent must call for it, and what it must answer.

use super::{Simulation, World};
use crate::conversation::Message;
use crate::engine::{Builder, Conversation};
use crate::error::RunError;
use crate::report::Called;
use rejoin_machine::conversation::{Sort, Speaker};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// A conversation that is played, and held against what must come of it. Nothing is said before the turns of the line before
/// have ended; sleeps take no time.
///
/// ```
/// use rejoin::testkit::Dialogue;
/// use rejoin::{Agent, Context, Engine, Failure, Job, Turn, Workflow};
///
/// const SUPPORT: Job<Turn, String> = Job::turns("support");
/// const REFUND: Workflow<String, String> = Workflow::named("refund");
///
/// async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
///     match turn.text().strip_prefix("refund ") {
///         Some(order) => ctx.call(&REFUND, order.to_owned()).await,
///         None => Ok("How can I help?".to_owned()),
///     }
/// }
///
/// async fn refund(_: Context, order: String) -> Result<String, Failure> {
///     Ok(format!("{order} is refunded"))
/// }
///
/// let app = Engine::open("simulated")
///     .agent(Agent::named("support").grant("refund"))
///     .job(&SUPPORT, support)
///     .workflow(&REFUND, refund);
/// Dialogue::with("support", app)
///     .says("hello")
///     .calls_nothing()
///     .replies("How can I help?")
///     .says("refund 4711")
///     .calls("refund", &"4711")
///     .returning(&"4711 is refunded")
///     .replies("4711 is refunded")
///     .play();
/// ```
#[must_use = "it is played when `play` or `check` is called"]
pub struct Dialogue {
    agent: String,
    app: Builder,
    user: Option<String>,
    lines: Vec<Line>,
}

/// Something said, and what must come of it.
struct Line {
    said: Value,
    calls: Option<Vec<Call>>,
    replies: Vec<Expected>,
}

/// A call that must be made.
struct Call {
    name: String,
    input: Value,
    ends: Option<Result<Value, String>>,
}

enum Expected {
    Text(String),
    Part(String),
    Failure(String),
}

/// What was said, and what was called for it.
#[derive(Clone, Debug)]
pub struct Played {
    /// All messages.
    pub messages: Vec<Message>,
    /// What was called, line by line.
    pub calls: Vec<Vec<Called>>,
}

impl Dialogue {
    /// With an agent of this engine, whose folder is not used.
    pub fn with(agent: impl Into<String>, app: Builder) -> Dialogue {
        Dialogue { agent: agent.into(), app, user: None, lines: Vec::new() }
    }

    /// The person whom it is with.
    pub fn user(self, name: impl Into<String>) -> Self {
        Dialogue { user: Some(name.into()), ..self }
    }

    /// They say this.
    pub fn says<T: Serialize + ?Sized>(mut self, message: &T) -> Self {
        self.lines.push(Line { said: json(message), calls: None, replies: Vec::new() });
        self
    }

    /// The agent then calls this, and nothing that is not named; in this order.
    pub fn calls<T: Serialize + ?Sized>(self, name: &str, input: &T) -> Self {
        let call = Call { name: name.to_owned(), input: json(input), ends: None };
        self.amend(|line| line.calls.get_or_insert_default().push(call))
    }

    /// The agent then calls nothing.
    pub fn calls_nothing(self) -> Self {
        self.amend(|line| line.calls = Some(Vec::new()))
    }

    /// This comes back from the call that was named last.
    pub fn returning<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.ending(Ok(json(value)))
    }

    /// The call that was named last fails with this code.
    pub fn failing(self, code: &str) -> Self {
        self.ending(Err(code.to_owned()))
    }

    /// The agent answers this; called again: and then this.
    pub fn replies(self, text: &str) -> Self {
        self.amend(|line| line.replies.push(Expected::Text(text.to_owned())))
    }

    /// The agent's answer has this in it.
    pub fn replies_with(self, part: &str) -> Self {
        self.amend(|line| line.replies.push(Expected::Part(part.to_owned())))
    }

    /// The agent's turn fails with this code.
    pub fn fails(self, code: &str) -> Self {
        self.amend(|line| line.replies.push(Expected::Failure(code.to_owned())))
    }

    fn ending(self, ends: Result<Value, String>) -> Self {
        self.amend(|line| {
            if let Some(call) = line.calls.as_mut().and_then(|calls| calls.last_mut()) {
                call.ends = Some(ends);
            }
        })
    }

    fn amend(mut self, amend: impl FnOnce(&mut Line)) -> Self {
        if let Some(line) = self.lines.last_mut() {
            amend(line);
        }
        self
    }

    /// Plays it.
    ///
    /// # Panics
    ///
    /// If something else comes of it, with what was said so far and where it differs.
    #[track_caller]
    pub fn play(self) -> Played {
        // Not in a closure, so that the panic names the line of the test.
        match self.check() {
            Ok(played) => played,
            Err(what) => panic!("{what}"),
        }
    }

    /// Plays it.
    ///
    /// # Errors
    ///
    /// What was said so far, and where it differs from what must come of it.
    pub fn check(self) -> Result<Played, String> {
        let Dialogue { agent, app, user, lines } = self;
        let mut simulation = Simulation::start(&World::new(1), app).map_err(|error| error.to_string())?;
        let mut open = simulation.engine().conversation(agent);
        if let Some(user) = user {
            open = open.user(user);
        }
        let opened = simulation.block_on(async move { open.await }).map_err(|_| "it is never opened".to_owned())?;
        let conversation = opened.map_err(|error| error.to_string())?;
        let mut played = Played { messages: Vec::new(), calls: Vec::new() };
        for line in &lines {
            let compared = say(&mut simulation, &conversation, line, &mut played).map_err(|error| error.to_string())?;
            compared.map_err(|what| report(&played.messages, &what))?;
        }
        Ok(played)
    }
}

/// Says a line; what differs from what must come of it.
fn say(
    simulation: &mut Simulation,
    conversation: &Conversation,
    line: &Line,
    played: &mut Played,
) -> Result<Result<(), String>, RunError> {
    let (talk, said) = (conversation.clone(), line.said.clone());
    let sent = match simulation.block_on(async move { talk.say(&said).await }) {
        Ok(sent) => sent?,
        Err(_) => return Ok(Err("what was said is never taken".to_owned())),
    };
    let turn = sent.turn.as_ref().map(crate::RunHandle::id);
    // A turn that waits for people or signals rests; what it has said by then is what is looked at.
    let _ = simulation.block_on(async move { sent.settled().await });
    let known = played.messages.len() as u64;
    let new = conversation.messages(known)?;
    let replies: Vec<&Message> = new.iter().filter(|message| is_reply(message)).collect();
    let calls = turn.map_or(Ok(Vec::new()), |turn| simulation.engine().calls(turn))?;
    let compared = compare_calls(line, &calls).and_then(|()| compare_replies(line, &replies));
    played.messages.extend(new);
    played.calls.push(calls);
    Ok(compared)
}

fn is_reply(message: &Message) -> bool {
    matches!(message.speaker, Speaker::Agent(_)) && matches!(message.sort, Sort::Said | Sort::Reply)
}

fn compare_calls(line: &Line, calls: &[Called]) -> Result<(), String> {
    let Some(expected) = &line.calls else { return Ok(()) };
    for (at, call) in expected.iter().enumerate() {
        let Some(called) = calls.get(at) else {
            return Err(format!("it should call {} with {}, and calls nothing more", call.name, call.input));
        };
        if called.name != call.name || called.input != call.input {
            return Err(format!(
                "it should call {} with {}, and calls {} with {}",
                call.name, call.input, called.name, called.input
            ));
        }
        if let Some(ends) = call.ends.as_ref().filter(|ends| called.ended.as_ref() != Some(ends)) {
            return Err(format!("{} should end with {ends:?}, and ends with {:?}", call.name, called.ended));
        }
    }
    match calls.get(expected.len()) {
        None => Ok(()),
        Some(more) => Err(format!("it should call nothing more, and calls {} with {}", more.name, more.input)),
    }
}

fn compare_replies(line: &Line, replies: &[&Message]) -> Result<(), String> {
    if line.replies.is_empty() {
        return Ok(());
    }
    for (at, expected) in line.replies.iter().enumerate() {
        let Some(reply) = replies.get(at) else {
            return Err(format!("it should answer {}, and says nothing more", expected.words()));
        };
        if !expected.fits(reply) {
            return Err(format!("it should answer {}, and says {:?}", expected.words(), reply.text()));
        }
    }
    match replies.get(line.replies.len()) {
        None => Ok(()),
        Some(more) => Err(format!("it should say nothing more, and says {:?}", more.text())),
    }
}

impl Expected {
    fn fits(&self, reply: &Message) -> bool {
        match (self, &reply.content) {
            (Expected::Text(text), Ok(_)) => reply.text() == *text,
            (Expected::Part(part), Ok(_)) => reply.text().contains(part),
            (Expected::Failure(code), Err(failure)) => failure.code() == code,
            (Expected::Text(_) | Expected::Part(_), Err(_)) | (Expected::Failure(_), Ok(_)) => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Expected::Text(text) => format!("{text:?}"),
            Expected::Part(part) => format!("something with {part:?}"),
            Expected::Failure(code) => format!("with the failure {code:?}"),
        }
    }
}

/// What was said so far, and what is wrong with it.
fn report(messages: &[Message], what: &str) -> String {
    let mut text = "the conversation goes another way:\n".to_owned();
    for message in messages {
        let who = match &message.speaker {
            Speaker::User(name) | Speaker::Agent(name) | Speaker::Person(name) | Speaker::Workflow(name) => name,
            Speaker::Anonymous => "somebody",
        };
        let _ = writeln!(text, "  {who}: {}", message.text());
    }
    let _ = write!(text, "  {what}");
    text
}

fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
