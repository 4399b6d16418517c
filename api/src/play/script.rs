//! The files of tests: what is said and done, and what must come of it.

use crate::error::Trouble;
use rejoin::definition::{Pattern, length};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder in a project where they are.
const FOLDER: &str = "tests";

/// The most bytes of one.
const LARGEST: u64 = 1 << 20;

/// A test.
#[derive(Debug)]
pub(crate) struct Script {
    /// What it shows, in words; the file's name where it does not say.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: PathBuf,
    pub(super) about: About,
    pub(super) steps: Vec<Step>,
}

/// What it is about.
#[derive(Debug)]
pub(super) enum About {
    /// A conversation with an agent.
    Chat { agent: String, user: Option<String>, metadata: BTreeMap<String, Value> },
    /// A run of a workflow.
    Run { workflow: String, input: Value, metadata: BTreeMap<String, Value> },
}

/// Something that is done, or that must come.
#[derive(Debug)]
pub(super) enum Step {
    /// The user says something.
    Say { text: String, by: Option<String> },
    /// A question is answered.
    Decide { answer: String, by: Option<String>, comment: Option<String>, question: Option<Pattern> },
    /// A person takes over.
    Claim { by: String },
    /// The person who has taken over says something.
    Write { text: String, by: String },
    /// They give it back.
    Release { by: String, note: Option<Value> },
    /// Time passes.
    Pass(Duration),
    /// Something is called next.
    Call { name: String, input: Option<Pattern>, ends: Option<Ends> },
    /// An agent says this next.
    Reply(Pattern),
    /// The run ends so.
    Result(Ends),
}

/// How something ends.
#[derive(Debug)]
pub(super) enum Ends {
    /// With a value like this.
    Gives(Pattern),
    /// With a failure of this code.
    Fails(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    test: Option<String>,
    agent: Option<String>,
    user: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
    workflow: Option<String>,
    #[serde(default)]
    input: Map<String, Value>,
    play: Vec<RawStep>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStep {
    say: Option<String>,
    decide: Option<String>,
    claim: Option<String>,
    write: Option<String>,
    release: Option<String>,
    pass: Option<String>,
    call: Option<String>,
    #[serde(deserialize_with = "present")]
    reply: Option<Value>,
    #[serde(deserialize_with = "present")]
    result: Option<Value>,
    by: Option<String>,
    comment: Option<String>,
    #[serde(deserialize_with = "present")]
    question: Option<Value>,
    note: Option<Value>,
    #[serde(deserialize_with = "present")]
    input: Option<Value>,
    #[serde(deserialize_with = "present")]
    gives: Option<Value>,
    fails: Option<String>,
}

/// A field that is there; null is a value like any other.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// The tests of a project's folder, by the names of their files.
pub(crate) fn read(folder: &Path) -> Result<Vec<Script>, Trouble> {
    let tests = folder.join(FOLDER);
    let unread = |error: io::Error| Trouble::Script { path: tests.display().to_string(), reason: error.to_string() };
    if !tests.is_dir() {
        return Err(Trouble::NoTests { folder: tests.display().to_string() });
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(&tests).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| script(path)).collect()
}

fn script(path: &Path) -> Result<Script, Trouble> {
    let bad = |reason: String| Trouble::Script { path: path.display().to_string(), reason };
    let unread = |error: io::Error| bad(error.to_string());
    if fs::metadata(path).map_err(unread)?.len() > LARGEST {
        return Err(bad(format!("it is longer than {LARGEST} bytes")));
    }
    let text = fs::read_to_string(path).map_err(unread)?;
    let mut options = serde_saphyr::Options::default();
    (options.with_snippet, options.strict_booleans) = (false, true);
    let raw: RawScript = serde_saphyr::from_str_with_options(&text, options).map_err(|error| bad(error.to_string()))?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    raw.script(name, path).map_err(bad)
}

impl RawScript {
    fn script(self, file: String, path: &Path) -> Result<Script, String> {
        let RawScript { test, agent, user, metadata, workflow, input, play } = self;
        let is_chat = agent.is_some();
        let about = match (agent, workflow) {
            (Some(agent), None) if input.is_empty() => About::Chat { agent, user, metadata },
            (None, Some(workflow)) if user.is_none() => About::Run { workflow, input: Value::Object(input), metadata },
            (Some(_), None) => return Err("a conversation has no input; it begins with say".to_owned()),
            (None, Some(_)) => return Err("a run has no user; conversations have: agent: NAME".to_owned()),
            _ => return Err("say what it is about: agent: NAME, or workflow: NAME".to_owned()),
        };
        let numbered = play.into_iter().enumerate();
        let read = |(at, raw): (usize, RawStep)| raw.step(is_chat).map_err(|why| format!("step {}: {why}", at + 1));
        let steps = numbered.map(read).collect::<Result<Vec<_>, _>>()?;
        if steps.is_empty() {
            return Err("nothing is played".to_owned());
        }
        if !steps.iter().any(|step| matches!(step, Step::Call { .. } | Step::Reply(_) | Step::Result(_))) {
            return Err("nothing must come; say what: call, reply or result".to_owned());
        }
        Ok(Script { name: test.unwrap_or(file), path: path.to_owned(), about, steps })
    }
}

/// What a step may be.
const KINDS: [&str; 10] = ["say", "decide", "claim", "write", "release", "pass", "call", "reply", "result", "fails"];

impl RawStep {
    fn step(mut self, is_chat: bool) -> Result<Step, String> {
        let step = match () {
            () if let Some(text) = self.say.take() => Step::Say { text, by: self.by.take() },
            () if let Some(answer) = self.decide.take() => Step::Decide {
                answer,
                by: self.by.take(),
                comment: self.comment.take(),
                question: pattern(self.question.take())?,
            },
            () if let Some(by) = self.claim.take() => Step::Claim { by },
            () if let Some(text) = self.write.take() => {
                Step::Write { text, by: self.by.take().ok_or("say who writes: by: PERSON")? }
            }
            () if let Some(by) = self.release.take() => Step::Release { by, note: self.note.take() },
            () if let Some(time) = self.pass.take() => {
                let passes =
                    length(&time).ok_or_else(|| format!("{time:?} is no length of time; write 90s, 2h30m or 7d"));
                Step::Pass(passes?)
            }
            () if let Some(name) = self.call.take() => {
                Step::Call { name, input: pattern(self.input.take())?, ends: self.ends()? }
            }
            () if let Some(it) = self.reply.take() => Step::Reply(Pattern::parse(&it)?),
            () if let Some(it) = self.result.take() => Step::Result(Ends::Gives(Pattern::parse(&it)?)),
            () => Step::Result(self.ends()?.ok_or_else(|| format!("it is one of {}", KINDS.join(", ")))?),
        };
        if let Some(left) = self.left() {
            return Err(format!("{left} does not belong to what it does"));
        }
        match (is_chat, &step) {
            (true, Step::Result(_)) => Err("a conversation has no result; say what comes: reply".to_owned()),
            (false, Step::Decide { .. } | Step::Pass(_) | Step::Call { .. } | Step::Result(_)) | (true, _) => Ok(step),
            (false, _) => Err("that belongs to conversations: agent: NAME".to_owned()),
        }
    }

    fn ends(&mut self) -> Result<Option<Ends>, String> {
        match (self.gives.take(), self.fails.take()) {
            (None, None) => Ok(None),
            (Some(it), None) => Ok(Some(Ends::Gives(Pattern::parse(&it)?))),
            (None, Some(code)) => Ok(Some(Ends::Fails(code))),
            (Some(_), Some(_)) => Err("it gives something or fails, not both".to_owned()),
        }
    }

    /// A field that nothing has taken.
    fn left(&self) -> Option<&'static str> {
        let texts = [
            ("say", &self.say),
            ("decide", &self.decide),
            ("claim", &self.claim),
            ("write", &self.write),
            ("release", &self.release),
            ("pass", &self.pass),
            ("call", &self.call),
            ("by", &self.by),
            ("comment", &self.comment),
            ("fails", &self.fails),
        ];
        let values = [
            ("reply", &self.reply),
            ("result", &self.result),
            ("question", &self.question),
            ("note", &self.note),
            ("input", &self.input),
            ("gives", &self.gives),
        ];
        let text = texts.into_iter().find(|(_, text)| text.is_some()).map(|(name, _)| name);
        text.or_else(|| values.into_iter().find(|(_, value)| value.is_some()).map(|(name, _)| name))
    }
}

fn pattern(value: Option<Value>) -> Result<Option<Pattern>, String> {
    value.map(|value| Pattern::parse(&value)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Script, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.yaml");
        fs::write(&path, text).unwrap();
        script(&path).map_err(|trouble| trouble.to_string())
    }

    #[test]
    fn a_script_is_a_list_of_things_that_are_done_and_that_come() {
        let script = of("
agent: support
user: carla
metadata: { order: A-1 }
play:
  - say: I want my money back.
  - { call: refund, input: { reason: '= it.size() > 3' }, gives: { sum: 49 } }
  - { decide: yes, by: ann, question: 'Pay?' }
  - { call: refund, fails: too-late }
  - pass: 2h30m
  - { claim: bob }
  - { write: hello, by: bob }
  - { release: bob, note: { settled: true } }
  - reply: You get it.
")
        .unwrap();
        assert_eq!((script.name.as_str(), script.steps.len()), ("it", 9));
        assert!(matches!(&script.steps[2], Step::Decide { answer, .. } if answer == "yes"));
        let script =
            of("{ test: x, workflow: w, input: { a: 1 }, play: [{ result: done }, { fails: late }] }").unwrap();
        assert_eq!((script.name.as_str(), script.steps.len()), ("x", 2));
        let script = of("{ workflow: w, play: [{ result: null }, { call: x, gives: null }] }").unwrap();
        let [Step::Result(Ends::Gives(nothing)), Step::Call { ends: Some(Ends::Gives(too)), .. }] = &script.steps[..]
        else {
            panic!("{script:?}")
        };
        assert!(nothing.mismatch(&Value::Null).is_none() && too.mismatch(&Value::from(1)).is_some());
    }

    #[test]
    fn what_is_wrong_with_a_script_is_told() {
        for (text, why) in [
            ("play: []", "say what it is about"),
            ("{ agent: a, workflow: b, play: [] }", "say what it is about"),
            ("{ agent: a, play: [] }", "nothing is played"),
            ("{ agent: a, input: { x: 1 }, play: [] }", "a conversation has no input"),
            ("{ agent: a, play: [{}] }", "step 1: it is one of say"),
            ("{ agent: a, play: [{ say: x, claim: y }] }", "claim does not belong"),
            ("{ agent: a, play: [{ say: x, gives: 1 }] }", "gives does not belong"),
            ("{ agent: a, play: [{ result: x }] }", "a conversation has no result"),
            ("{ workflow: a, play: [{ say: x }] }", "belongs to conversations"),
            ("{ agent: a, play: [{ reply: '= it +' }] }", "step 1"),
            ("{ agent: a, play: [{ pass: some days }] }", "step 1: \"some days\" is no length of time"),
            ("{ agent: a, play: [{ cry: x }] }", "cry"),
            ("{ agent: a, play: [{ say: x }] }", "nothing must come"),
            ("{ agent: a, play: [{ call: x, gives: 1, fails: y }] }", "not both"),
            ("agent: [", "it.yaml"),
        ] {
            let said = of(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
