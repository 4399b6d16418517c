//! `rejoin chat`: a conversation with an agent of a project, in the terminal.

use super::check::sound;
use super::trigger::field;
use crate::chat::{self, View, Wish};
use crate::error::Trouble;
use crate::host::{self, Host};
use crate::live::interrupts::Interrupts;
use crate::output::Console;
use crate::project::{self, Variants};
use clap::{Args, ValueEnum};
use rejoin::Busy;
use rejoin::definition::Project;
use serde_json::Value;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::PathBuf;

const HELP: &str = "\
Everything is kept in the folder .rejoin beside the project: killed at any moment, the same command goes on with the same
conversation. What is typed is durable once it was taken; one can type on while the agent works.

Lines that begin with a slash are commands:
  /answer ANSWER[: COMMENT]  answers the question that waits
  /claim PERSON              takes the conversation over, in that person's name, when people are asked to
  /reply TEXT                says something as who has taken over
  /release [NOTE]            gives it back to the agent, with a note for it
  /quit, /help
  //TEXT                     says a text that begins with a slash

Whoever runs this speaks in any name: it is for those who have the project. A line that was taken is in the conversation, whatever is
killed then; the same command says its own lines (--say, stdin) again.

Without a terminal each line of stdin is a message or a command, which is taken once what came before has settled: its turns
have ended, or wait for people. Messages are lines on stdout, everything else goes to stderr.

JSON: one object a line for each message:
  number, at, run  its number, when it came, the turn that answers it or said it
  speaker          user, anonymous, agent, person or workflow
  name             who it was, or null
  sort             said, reply, task, handoff or handoff-end
  text             what was said; or, of a turn that failed, failure: {code, message}
Times are RFC 3339 in UTC. Fields may be added.

Exit status: 0 all was said; 1 a line was refused, or something is wrong; 2 bad usage; 130 interrupted.";

/// Talks with an agent in the terminal, or goes on with the conversation.
#[derive(Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Chat {
    /// The agent.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// The folder with rejoin.yaml and workflows, or one file.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    variants: Variants,
    /// The folder that the log is kept in; .rejoin beside the project where nothing is said.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port on this machine where agents that answer later find it again; one that is free where nothing is said.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    listen: u16,
    /// Whom the conversation is with: a person of the project.
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// The outside key of the conversation; where nothing is said, it is made of agent and person.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Begins another conversation.
    #[arg(long)]
    anew: bool,
    /// Metadata of the conversation, which no agent can see or change. A value that is JSON is taken as that, any other as text.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    metadata: Vec<(String, Value)>,
    /// What becomes of a message that comes while the agent works; it waits in the queue where nothing is said.
    #[arg(long, value_name = "POLICY", value_enum)]
    when_busy: Option<WhenBusy>,
    /// Says this in place of what stdin has; given several times, one after the other.
    #[arg(long, value_name = "TEXT")]
    say: Vec<String>,
    /// Prints a line of JSON for each message.
    #[arg(long)]
    json: bool,
    /// Prints a line for each message, without a prompt.
    #[arg(long)]
    no_tty: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum WhenBusy {
    /// It waits until the agent is free.
    Queue,
    /// It is refused.
    Reject,
    /// What the agent does is interrupted.
    Interrupt,
    /// The turn that waits already answers it as well.
    Coalesce,
}

impl Chat {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let project = sound(&self.path, &self.variants)?;
        self.check(&project)?;
        let folder = project::folder(&self.path);
        let data = self.data.clone().unwrap_or_else(|| folder.join(".rejoin"));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Trouble::Start(error.to_string()))?;
        let (wish, view) = (self.wish(), self.view());
        let talked: Result<_, Trouble> = runtime.block_on(async {
            let mut interrupts = Interrupts::listen();
            let opening = Host::open(&project, &folder, &data, self.listen);
            let host = host::patiently(opening, &mut interrupts, console).await?;
            let talked = chat::talk(&host.engine, wish, view, &mut interrupts, console).await;
            let programs = host.programs();
            host.close_patiently(&mut interrupts, console).await;
            Ok((talked, programs))
        });
        let (talked, programs) = talked?;
        host::end(runtime, &programs);
        talked
    }

    /// Whether the project has who is named.
    fn check(&self, project: &Project) -> Result<(), Trouble> {
        let agents = project.agents.iter().map(|agent| agent.name.value.clone()).collect::<Vec<_>>();
        let persons = project.persons.iter().map(|person| person.value.clone()).collect::<Vec<_>>();
        if !agents.contains(&self.agent) {
            return Err(Trouble::NoAgent { name: self.agent.clone(), names: agents });
        }
        match self.person.as_ref().filter(|person| !persons.contains(person)) {
            Some(person) => Err(Trouble::NoPerson { name: person.clone(), names: persons }),
            None => Ok(()),
        }
    }

    fn wish(&self) -> Wish {
        Wish {
            agent: self.agent.clone(),
            person: self.person.clone(),
            key: self.key.clone(),
            anew: self.anew,
            metadata: self.metadata.clone(),
            when_busy: self.when_busy.map(Busy::from),
        }
    }

    fn view(&self) -> View {
        let typed = stdin().is_terminal() && self.say.is_empty();
        let tty = typed && stdout().is_terminal() && stderr().is_terminal() && !self.no_tty && !self.json;
        let color = tty && std::env::var_os("NO_COLOR").is_none();
        View { tty, color, json: self.json, say: self.say.clone() }
    }
}

impl From<WhenBusy> for Busy {
    fn from(given: WhenBusy) -> Busy {
        match given {
            WhenBusy::Queue => Busy::Queue,
            WhenBusy::Reject => Busy::Reject,
            WhenBusy::Interrupt => Busy::Interrupt,
            WhenBusy::Coalesce => Busy::Coalesce,
        }
    }
}
