//! The commands. One file each; what they print is made in [`crate::output`] and [`crate::wire`].

mod chat;
mod check;
mod conversation;
mod conversations;
mod doctor;
mod events;
mod export;
mod graph;
mod head;
mod import;
mod mcp;
mod new;
mod participant;
mod pick;
mod reindex;
mod replay;
mod run;
mod runs;
mod signal;
mod subagents;
mod test;
mod trigger;
mod verify;
mod why;

use crate::output::Console;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const STATUS: &str = "\
Data goes to stdout, everything else to stderr.
Exit status: 0 all is well; 1 something is wrong, and named on stderr; 2 the command was not understood.";

/// Durable workflows: runs projects, and reads, checks and mends the log of a stopped engine.
#[derive(Parser)]
#[command(name = "rejoin", version, after_help = STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(new::New),
    Run(run::Run),
    Resume(run::Resume),
    Chat(chat::Chat),
    Signal(signal::Signal),
    Check(check::Check),
    Test(test::Test),
    Graph(graph::Graph),
    Pick(pick::Pick),
    Verify(verify::Verify),
    Runs(runs::Runs),
    Events(events::Events),
    Conversations(conversations::Conversations),
    Conversation(conversation::Conversation),
    Replay(replay::Replay),
    Why(why::Why),
    Doctor(doctor::Doctor),
    Head(head::Head),
    Export(export::Export),
    Import(import::Import),
    Reindex(reindex::Reindex),
    Trigger(trigger::Trigger),
    Subagents(subagents::Subagents),
    Mcp(mcp::Mcp),
}

/// What is read, and how it is shown: the same for all commands.
#[derive(Args)]
struct Source {
    /// The data folder; no engine may have it open. Nothing in it is changed.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Prints JSON, for programs; --help lists the fields.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main() -> ExitCode {
    let mut console = Console::default();
    let done = match Cli::parse().command {
        Command::New(new) => new.execute(&mut console),
        Command::Run(run) => run.execute(&mut console),
        Command::Resume(resume) => resume.execute(&mut console),
        Command::Chat(chat) => chat.execute(&mut console),
        Command::Check(check) => check.execute(&mut console),
        Command::Test(test) => test.execute(&mut console),
        Command::Graph(graph) => graph.execute(&mut console),
        Command::Pick(pick) => pick.execute(&mut console),
        Command::Verify(verify) => verify.execute(&mut console),
        Command::Runs(runs) => runs.execute(&mut console),
        Command::Events(events) => events.execute(&mut console),
        Command::Conversations(conversations) => conversations.execute(&mut console),
        Command::Conversation(conversation) => conversation.execute(&mut console),
        Command::Replay(replay) => replay.execute(&mut console),
        Command::Why(why) => why.execute(&mut console),
        Command::Doctor(doctor) => doctor.execute(&mut console),
        Command::Head(head) => head.execute(&mut console),
        Command::Export(export) => export.execute(&mut console),
        Command::Import(import) => import.execute(&mut console),
        Command::Reindex(reindex) => reindex.execute(&mut console),
        Command::Signal(signal) => return signal.execute(console),
        Command::Trigger(trigger) => return trigger.execute(console),
        Command::Subagents(subagents) => return subagents.execute(console),
        Command::Mcp(mcp) => return mcp.execute(console),
    };
    if let Err(trouble) = done {
        console.complain(&trouble);
    }
    console.finish()
}
