//! `rejoin test`: the tests of a project, played.

use super::check::sound;
use crate::error::Trouble;
use crate::output::{Console, printable, shorten};
use crate::play::{self, Lived, Proof, Proven, Script, live};
use crate::project::{self, Variants};
use clap::Args;
use serde::Serialize;
use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const HELP: &str = "\
A test is a file in the folder tests: a conversation (agent: NAME) or a run (workflow: NAME) with the steps of play:

  agent: support
  user: carla
  metadata: { order: A-1001 }
  play:
    - say: I want my money back.
    - { call: refund, input: { reason: \"= it.size() > 3\" }, gives: { sum: 49 } }
    - reply: You get 49 EUR back.

  say TEXT; decide ANSWER (by, comment, question); claim PERSON, write TEXT (by), release PERSON (note)
  pass TIME: so much time passes, say 3d, as soon as nothing goes on, and what is due meanwhile happens
  call NAME (input, gives or fails); reply TEXT; result VALUE, or fails CODE, of a run

What begins with = is a condition on what came (it); of an object the fields that are named must fit. Whoever names one call or
reply names all of them. Each test has a copy of the folder and a store of its own, and the project's agents.

With --crash each test is played again and again, and its process is killed before and after every commit of the log; another
process goes on. In the end there must be the same messages, the same calls of all runs, and the same results. What programs do
outside is theirs to do once, by the key that each piece of work has.
Exit status: 0 all as it should be; 1 a test goes another way, or something is wrong.";

/// Plays the tests of a project, and with --crash shows that they survive a crash at every commit.
#[derive(Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Test {
    /// The folder with rejoin.yaml, workflows and tests.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    variants: Variants,
    /// Only those with this in their names.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Kills the process before and after every commit, and compares.
    #[arg(long)]
    crash: bool,
    /// How many seconds anything may take that must come.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Prints a line of JSON for each test: name, file, passed, seconds, deaths, step, why.
    #[arg(long)]
    json: bool,
    /// Plays one file in the folder itself, and prints what came of it.
    #[arg(long, value_name = "FILE", hide = true)]
    life: Option<PathBuf>,
}

/// How much of a value is shown.
const SHOWN: usize = 120;

/// What is told of a test.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    file: String,
    passed: bool,
    seconds: f64,
    /// How many crashes it has survived.
    deaths: u32,
    step: Option<usize>,
    why: Option<String>,
    #[serde(skip)]
    lived: Lived,
}

impl Test {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let project = sound(&self.path, &self.variants)?;
        let folder = project::folder(&self.path);
        let scripts = play::read(&folder)?;
        let patience = Duration::from_secs(self.patience);
        if let Some(file) = &self.life {
            let script = scripts.iter().find(|script| script.path == *file);
            let script = script.ok_or_else(|| Trouble::Start(format!("there is no test {}", file.display())))?;
            return console.json(&live(&project, &folder, script, patience)?);
        }
        let wanted = |script: &&Script| self.only.as_ref().is_none_or(|only| script.name.contains(only));
        let chosen: Vec<&Script> = scripts.iter().filter(wanted).collect();
        if chosen.is_empty() {
            return Err(Trouble::NoTests { folder: folder.join("tests").display().to_string() });
        }
        let mut failed = 0;
        for script in &chosen {
            let told = self.told(script, patience);
            failed += usize::from(!told.passed);
            if self.json { console.json(&told)? } else { show(&told, console)? }
        }
        match failed {
            0 => Ok(()),
            failed => Err(Trouble::Tests { failed, of: chosen.len() }),
        }
    }

    /// One that cannot be played is told like one that goes another way, and the others are played all the same.
    fn told<'a>(&self, script: &'a Script, patience: Duration) -> Told<'a> {
        self.played(script, patience).unwrap_or_else(|trouble| Told {
            name: &script.name,
            file: script.path.display().to_string(),
            passed: false,
            seconds: 0.0,
            deaths: 0,
            step: None,
            why: Some(trouble.to_string()),
            lived: Lived::default(),
        })
    }

    fn played<'a>(&self, script: &'a Script, patience: Duration) -> Result<Told<'a>, Trouble> {
        let began = Instant::now();
        let folder = project::folder(&self.path);
        let proof = Proof { folder: &folder, script, patience, with: &self.variants.with };
        let proven = match self.crash {
            true => proof.prove(|deaths| meter(&script.name, deaths))?,
            false => Proven { lived: proof.play()?, deaths: 0, broken: None },
        };
        let Proven { lived, deaths, broken } = proven;
        let (step, why) = match (&lived.departure, broken) {
            (Some((step, why)), _) => (Some(*step), Some(why.clone())),
            (None, broken) => (None, broken),
        };
        let seconds = began.elapsed().as_secs_f64();
        let file = script.path.display().to_string();
        Ok(Told { name: &script.name, file, passed: why.is_none(), seconds, deaths, step, why, lived })
    }
}

/// How far a proof is, on one line that goes away.
fn meter(name: &str, deaths: u32) {
    if stderr().is_terminal() {
        // With stderr gone there is nobody to tell.
        let _ = write!(stderr(), "\r\u{1b}[K… {}: survived {deaths} crashes\r", printable(name));
        let _ = stderr().flush();
    }
}

fn show(told: &Told<'_>, console: &mut Console) -> Result<(), Trouble> {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\u{1b}[K");
    }
    let mark = if told.passed { "✔" } else { "✖" };
    let crashes = if told.deaths > 0 { format!(", {} crashes survived", told.deaths) } else { String::new() };
    console.line(format_args!("{mark} {} ({:.1} s{crashes})", printable(told.name), told.seconds))?;
    let Some(why) = &told.why else { return Ok(()) };
    for (speaker, text) in &told.lived.seen.messages {
        console.line(format_args!("    {}: {}", printable(speaker), printable(text)))?;
    }
    for (name, input, ended) in &told.lived.seen.calls {
        let (input, ended) = (shorten(&input.to_string(), SHOWN), shorten(&ended.to_string(), SHOWN));
        console.line(format_args!("    calls {name} with {input}: {ended}"))?;
    }
    let step = told.step.map(|step| format!("step {step}: ")).unwrap_or_default();
    console.line(format_args!("  {}: {step}{}", told.file, printable(why)))
}
