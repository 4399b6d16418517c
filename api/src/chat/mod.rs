//! A conversation with an agent of a project: at a prompt on a terminal, or line by line.
//!
//! | file | its one idea |
//! |---|---|
//! | `opening` | which conversation it is |
//! | `room` | how it stands, as its records say: turns, questions, who has taken over |
//! | `cards` | the trees of the turns that are under way |
//! | `commands` | what a line means that somebody gives |
//! | `deeds` | and carrying it out |
//! | `words` | messages as lines for people, and as JSON |
//! | `terminal` | messages that scroll away above cards and a prompt |
//! | `plain` | lines in, lines out |

mod cards;
mod commands;
mod deeds;
mod opening;
mod plain;
mod room;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

use crate::error::Trouble;
use crate::live::interrupts::Interrupts;
use crate::output::Console;
use plain::{Lines, Plain};
use rejoin::{Busy, Engine, RunError};
use room::Room;
use serde_json::Value;
use terminal::Terminal;

/// How many messages are shown of what was said before.
const RECENT: usize = 10;

/// What somebody wants to talk about, with whom, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) agent: String,
    /// The user whom it is with.
    pub(crate) person: Option<String>,
    /// The outside key; where there is none, it is made of agent and person.
    pub(crate) key: Option<String>,
    /// Another conversation than the last one.
    pub(crate) anew: bool,
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) when_busy: Option<Busy>,
}

/// How it is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// At a prompt, with cards; otherwise line by line.
    pub(crate) tty: bool,
    pub(crate) color: bool,
    /// A line of JSON for each message.
    pub(crate) json: bool,
    /// What is said in place of what stdin has.
    pub(crate) say: Vec<String>,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody has said all there is to say.
    Over,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// Talks with an agent until somebody has had enough. What has not ended by then rests, and goes on with the next engine.
pub(crate) async fn talk(
    engine: &Engine,
    wish: Wish,
    view: View,
    interrupts: &mut Interrupts,
    console: &mut Console,
) -> Result<(), Trouble> {
    let refused = |error: RunError| Trouble::Refused(error.to_string());
    let (chat, begun) = opening::open(engine, &wish).await?;
    let (mut room, messages) = Room::open(engine, chat, &wish, view.tty).await.map_err(refused)?;
    let end = match view.tty {
        true => {
            let mut terminal = Terminal::new(&mut room, view.color).await;
            terminal.greet(&wish.agent, begun, messages);
            let end = until_interrupted(interrupts, terminal.talk()).await;
            terminal.close().await;
            end
        }
        false => {
            let mut plain = Plain::new(&mut room, view.json, console);
            plain.greet(&wish.agent, begun, messages).await;
            let lines = if view.say.is_empty() { Lines::of_stdin() } else { Lines::given(view.say) };
            let end = until_interrupted(interrupts, plain.talk(lines)).await;
            plain.close().await;
            end
        }
    };
    let end = end.map_err(refused)?;
    for note in room.left(end == End::Interrupted) {
        console.note(note);
    }
    if end == End::Interrupted {
        console.interrupted();
    }
    Ok(())
}

async fn until_interrupted(
    interrupts: &mut Interrupts,
    talked: impl Future<Output = Result<(), RunError>>,
) -> Result<End, RunError> {
    tokio::select! {
        biased;
        () = interrupts.next() => Ok(End::Interrupted),
        talked = talked => talked.map(|()| End::Over),
    }
}
