//! Chats: what a person says to an agent, each message a program of its own.

use super::interpreter::AGENTS;
use super::language::{Do, Program, sequence};
use super::model::{Counts, End, program};
use super::subject::keep;
use rejoin::testkit::Chance;
use rejoin::{Busy, Engine, Event, RunError, RunId};

/// What a person says to the first agent, one message after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// What each message asks for.
    pub messages: Vec<Vec<Do>>,
    /// What becomes of one that comes while a turn works.
    pub busy: Busy,
}

/// The chats of a seed: none, as a rule.
pub fn chats(chance: &mut Chance, size: u64) -> Vec<Chat> {
    if !chance.often(350) {
        return Vec::new();
    }
    let busy = *chance.pick(&[Busy::Queue, Busy::Queue, Busy::Reject, Busy::Coalesce, Busy::Interrupt]);
    let mut budget = 2 + chance.below(size);
    let mut messages: Vec<Vec<Do>> = Vec::new();
    for _ in 0..1 + chance.below(4) {
        messages.push(in_conversation(chance, 1, &mut budget));
    }
    // Whoever takes over answers everything that is said later.
    if let Some(last) = messages.last_mut().filter(|_| chance.often(300)) {
        last.retain(|op| !matches!(op, Do::Fail | Do::CancelMe { .. } | Do::Anew { .. }));
        last.push(Do::Transfer { program: in_conversation(chance, 2, &mut budget) });
    }
    vec![Chat { messages, busy }]
}

/// A program that also speaks in its conversation, and has a person take it over.
pub(super) fn in_conversation(chance: &mut Chance, level: usize, budget: &mut u64) -> Vec<Do> {
    let mut ops = sequence(chance, level, true, budget);
    for (often, op) in [(300, Do::Say), (300, Do::HandOff)] {
        if chance.often(often) {
            ops.insert(chance.below(ops.len() as u64 + 1) as usize, op);
        }
    }
    if chance.often(300) {
        let millis = 1 + chance.below(20_000) as u32;
        ops.insert(chance.below(ops.len() as u64 + 1) as usize, Do::AskThere { millis });
    }
    ops
}

impl Chat {
    /// What comes of it.
    pub(super) fn forecast(&self) -> Counts {
        let mut counts = Counts::default();
        let takes = |op: &Do| matches!(op, Do::HandOff | Do::AskThere { .. });
        let waits = |op: &Do| match op {
            Do::Transfer { program } => program.iter().any(takes),
            op => takes(op),
        };
        // What is said while a person has the conversation is kept, and nobody answers it; what a turn waits for begins none.
        let handed_over = self.messages.iter().flatten().any(waits);
        for message in &self.messages {
            let of_turn = program(message, 1);
            // One that is interrupted may be cut short anywhere, one that another turn answers too never begins.
            let certain = matches!(self.busy, Busy::Queue | Busy::Reject) && !handed_over;
            let exact = certain && of_turn.end != End::Any;
            counts.also(&if exact { of_turn.counts } else { of_turn.counts.cut_short() });
        }
        counts
    }
}

/// The family of counters of a chat.
pub(super) fn family(number: usize) -> String {
    format!("chat {number}:")
}

/// Says everything, twice, and waits for the answers. Whoever comes again after a crash says it once more.
pub(super) async fn talk(engine: &Engine, number: usize, chat: &Chat) -> Result<(), RunError> {
    let later = |error: rejoin::TriggerError| RunError::Payload(error.to_string());
    let open = engine.conversation(AGENTS[1].agent()).user("ann").key(format!("chat {number}")).when_busy(chat.busy);
    let conversation = open.metadata("root", &number).await.map_err(later)?;
    let terms = keep(engine).await?;
    let mut sent = Vec::new();
    for (at, ops) in chat.messages.iter().enumerate() {
        let message = Program { family: family(number), ..Program::root(ops.clone(), number) };
        for _ in 0..2 {
            // One that is refused for now is said again later.
            let mut saying = conversation.say(&message).id(&format!("chat {number} message {at}"));
            // One that brings something of its own is no answer to a turn that asks, and may interrupt it.
            if at % 2 == 0 {
                saying = saying.document(&terms);
            }
            sent.push(saying.await?);
        }
    }
    for message in sent {
        message.settled().await?;
    }
    Ok(())
}

/// A person takes over a conversation, and gives it back. Whether somebody else could.
pub(super) async fn take_over(engine: &Engine, run: RunId) -> Result<bool, RunError> {
    let history = engine.history(run)?;
    let thread = history.iter().flat_map(|entry| &entry.transition.events).find_map(|event| match event {
        Event::Briefed(brief) => brief.thread.as_ref().map(|thread| thread.conversation),
        _ => None,
    });
    let Some(id) = thread else { return Ok(false) };
    let conversation = engine.find_conversation(id)?;
    let told = |result: Result<(), RunError>| match result {
        Ok(()) => Ok(true),
        Err(RunError::Rejected(_)) => Ok(false),
        Err(other) => Err(other),
    };
    told(conversation.claim("ann").await)?;
    told(conversation.reply("ann", "let me see").await)?;
    let stolen = told(conversation.release("bob", None).await)?;
    told(conversation.release("ann", None).await)?;
    Ok(stolen)
}
