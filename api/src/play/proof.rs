//! A script that is played undisturbed, and then again with a crash before and after every commit: whatever dies where, what
//! there is to see in the end is the same.

use super::dying::Death;
use super::life::{DEATH, Lived};
use super::scene::Seen;
use super::script::Script;
use super::stage;
use crate::error::Trouble;
use crate::output::shorten;
use serde::Serialize;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::slice;
use std::time::Duration;

/// The most commits that are died at.
const COMMITS: u32 = 1000;

/// How much of what is another is shown.
const SHOWN: usize = 300;

/// What is played, and with what.
pub(crate) struct Proof<'a> {
    /// The project's folder.
    pub(crate) folder: &'a Path,
    pub(crate) script: &'a Script,
    pub(crate) patience: Duration,
    /// The variants of the project.
    pub(crate) with: &'a [String],
}

/// What came of it.
pub(crate) struct Proven {
    pub(crate) lived: Lived,
    /// How many deaths it has survived.
    pub(crate) deaths: u32,
    /// What was another in which life.
    pub(crate) broken: Option<String>,
}

impl Proof<'_> {
    /// Plays it once.
    pub(crate) fn play(&self) -> Result<Lived, Trouble> {
        let stage = stage::copy(self.folder)?;
        self.live(stage.path(), None)?.ok_or_else(|| Trouble::Start("the process that plays it was killed".to_owned()))
    }

    /// Plays it with all crashes; `tell` hears of each.
    pub(crate) fn prove(&self, mut tell: impl FnMut(u32)) -> Result<Proven, Trouble> {
        let mut proven = Proven { lived: self.play()?, deaths: 0, broken: None };
        if proven.lived.departure.is_some() {
            return Ok(proven);
        }
        if let Some(why) = difference(&proven.lived.seen, &self.play()?) {
            proven.broken = Some(format!("played again, undisturbed: {why}"));
            return Ok(proven);
        }
        for commit in 1..=COMMITS {
            let mut died = false;
            for is_durable in [false, true] {
                let death = Death { commit, is_durable };
                let (dies, lived) = self.survive(death)?;
                died |= dies;
                proven.deaths += u32::from(dies);
                tell(proven.deaths);
                if let Some(why) = difference(&proven.lived.seen, &lived) {
                    proven.broken = Some(format!("killed {death}: {why}"));
                    return Ok(proven);
                }
            }
            // There are no more commits than that.
            if !died {
                break;
            }
        }
        Ok(proven)
    }

    /// A life to this moment, and another one to the end; whether it came to that.
    fn survive(&self, death: Death) -> Result<(bool, Lived), Trouble> {
        let stage = stage::copy(self.folder)?;
        if let Some(lived) = self.live(stage.path(), Some(death))? {
            return Ok((false, lived));
        }
        let lived = self.live(stage.path(), None)?;
        lived.map(|lived| (true, lived)).ok_or_else(|| Trouble::Start(format!("killed again, {death}")))
    }

    /// A process of its own; nothing if it was killed.
    fn live(&self, stage: &Path, death: Option<Death>) -> Result<Option<Lived>, Trouble> {
        let start = |error: std::io::Error| Trouble::Start(error.to_string());
        let mut command = Command::new(std::env::current_exe().map_err(start)?);
        command.arg("test").arg(stage).arg("--life").arg(self.staged(stage));
        command.arg("--patience").arg(self.patience.as_secs().to_string());
        command.args(self.with.iter().flat_map(|name| ["--with", name]));
        command.stdin(Stdio::null()).env_remove(DEATH);
        if let Some(death) = death {
            command.env(DEATH, death.text());
        }
        let output = command.output().map_err(start)?;
        let said = String::from_utf8_lossy(&output.stderr);
        match outcome(output.status) {
            Outcome::Killed => Ok(None),
            Outcome::Failed => Err(Trouble::Start(said.trim().trim_start_matches("error: ").to_owned())),
            Outcome::Ended => serde_json::from_slice(&output.stdout)
                .map(Some)
                .map_err(|error| Trouble::Start(format!("the process that plays it says what is no answer: {error}"))),
        }
    }

    /// Where the script stands in a copy.
    fn staged(&self, stage: &Path) -> PathBuf {
        let within = self.script.path.strip_prefix(self.folder).unwrap_or(&self.script.path);
        stage.join(within)
    }
}

enum Outcome {
    Ended,
    Killed,
    Failed,
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.success(), status.signal()) {
        (true, _) => Outcome::Ended,
        (false, Some(9)) => Outcome::Killed,
        (false, _) => Outcome::Failed,
    }
}

/// What is another than undisturbed.
fn difference(undisturbed: &Seen, lived: &Lived) -> Option<String> {
    if let Some((step, why)) = &lived.departure {
        return Some(format!("step {step}: {why}"));
    }
    // Of what goes on side by side, one thing is called first here and another there.
    let (seen, other) = (sorted(&lived.seen), sorted(undisturbed));
    let messages = first_difference("message", &seen.messages, &other.messages);
    let calls = || first_difference("call", &seen.calls, &other.calls);
    let result = || first_difference("result", slice::from_ref(&seen.result), slice::from_ref(&other.result));
    messages.or_else(calls).or_else(result)
}

fn sorted(seen: &Seen) -> Seen {
    let mut seen = seen.clone();
    seen.calls.sort_by_key(|call| serde_json::to_string(call).unwrap_or_default());
    seen
}

/// The first of several things that is another.
fn first_difference<T: PartialEq + Serialize>(what: &str, these: &[T], undisturbed: &[T]) -> Option<String> {
    let text = |one: Option<&T>| {
        let text = one.map_or_else(|| "nothing".to_owned(), |one| serde_json::to_string(one).unwrap_or_default());
        shorten(&text, SHOWN)
    };
    let at = (0..these.len().max(undisturbed.len())).find(|at| these.get(*at) != undisturbed.get(*at))?;
    let (this, other) = (text(these.get(at)), text(undisturbed.get(at)));
    Some(format!("{what} {} is {this}, and undisturbed it is {other}", at + 1))
}
