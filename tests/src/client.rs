//! The client of the `loaded` program, over many of its lives: it remembers what it was told, and what the log said, and
//! finds out where a later log says something else. Runs may be deleted with age; all else stays.

use crate::checks::{Histories, end, violations};
use crate::life::{Dead, How, Life, Said};
use crate::process::{self, Key};
use rejoin::history::Entry;
use rejoin::{Event, RunId};
use rejoin_machine::Timestamp;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{self, Report};
use rejoin_store::{OpenError, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// What a record takes beside its payload.
const RECORD_HEADER: u64 = 88;

/// A log, as a stopped process left it.
#[derive(Default)]
pub struct Log {
    /// The runs that exist.
    pub histories: Histories,
    /// What was found.
    pub report: Report,
    /// How many bytes the records of these runs have.
    pub live: u64,
}

/// What is known of a data folder.
pub struct Client {
    program: PathBuf,
    data: PathBuf,
    /// Where the client's own files are: the ledger, and which numbers are done.
    own: PathBuf,
    /// What each acknowledged number got: "trigger", "signal", "result".
    pub acknowledged: BTreeSet<(u64, String)>,
    histories: Histories,
    /// When each run that is gone was first seen to be.
    pub gone: BTreeMap<RunId, Timestamp>,
    lines: usize,
    /// What was found that should not be.
    pub wrong: Vec<String>,
    /// Steps that were executed again since their result was lost before it was recorded, with the same key.
    pub repeated: usize,
}

/// Reads the log that a stopped process left.
///
/// # Panics
///
/// If it is damaged.
pub fn read(data: &Path) -> Log {
    let mut log = Log::default();
    let Ok(folder) = Folder::existing(data) else { return log };
    let Log { histories, live, .. } = &mut log;
    let inspected = journal::inspect(&folder, |record: &Record| {
        let entry = Entry::decode(record).expect("a record of the log decodes");
        histories.entry(RunId(record.stream.0)).or_default().push(entry);
        *live += RECORD_HEADER + record.payload.len() as u64;
    });
    match inspected {
        Ok(report) => Log { report, ..log },
        // It ended before there was a store.
        Err(OpenError::Missing { .. }) => log,
        Err(error) => panic!("{}: {error}", data.display()),
    }
}

/// Which numbers were triggered, got their signal, got their result; and the run of each.
pub fn numbers(all: &Histories) -> BTreeMap<u64, (RunId, BTreeSet<&'static str>)> {
    let mut numbers = BTreeMap::new();
    for (run, history) in all {
        let Some(number) = number(history) else { continue };
        let what = |event: &Event| match event {
            Event::Triggered(_) => Some("trigger"),
            Event::SignalReceived { .. } => Some("signal"),
            Event::Completed { .. } => Some("result"),
            _ => None,
        };
        let got = history.iter().flat_map(|entry| &entry.transition.events).filter_map(what).collect();
        numbers.insert(number, (*run, got));
    }
    numbers
}

fn begin(history: &[Entry]) -> Option<&rejoin_machine::Trigger> {
    match history.first()?.transition.events.first()? {
        Event::Triggered(trigger) => Some(trigger),
        _ => None,
    }
}

fn number(history: &[Entry]) -> Option<u64> {
    begin(history)?.key.as_ref()?.strip_prefix('k')?.parse().ok()
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(now.as_micros() as i64)
}

impl Client {
    /// A client of a program over a data folder, with files of its own in another one.
    pub fn new(program: impl Into<PathBuf>, data: PathBuf, own: PathBuf) -> Client {
        Client {
            program: program.into(),
            data,
            own,
            acknowledged: BTreeSet::new(),
            histories: Histories::new(),
            gone: BTreeMap::new(),
            lines: 0,
            wrong: Vec::new(),
            repeated: 0,
        }
    }

    fn results(&self) -> BTreeSet<u64> {
        self.acknowledged.iter().filter(|(_, what)| what == "result").map(|(number, _)| *number).collect()
    }

    fn ledger(&self) -> PathBuf {
        self.own.join("ledger")
    }

    /// What the processes said of what went wrong.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.own.join("stderr")).unwrap_or_default()
    }

    /// Starts a process that triggers everything that was not acknowledged, and more for ever or up to a number.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(&self, how: How, until: Option<u64>) -> Life {
        self.launch(how, until, false)
    }

    fn launch(&self, how: How, until: Option<u64>, list: bool) -> Life {
        let done: String = self.results().iter().map(|number| format!("{number}\n")).collect();
        let file = self.own.join("done");
        fs::write(&file, done).expect("the client's folder can be written");
        let stderr = File::options().create(true).append(true).open(self.own.join("stderr")).expect("a file");
        let mut command = Command::new(&self.program);
        command.arg(&self.data).arg(self.ledger()).arg("0").args(until.map(|until| until.to_string()));
        command.env("REJOIN_DONE", file).env("REJOIN_INDEX", how.index);
        command.env_remove("REJOIN_KEEP_MS").env_remove("REJOIN_LIST");
        command.envs(how.keep.map(|keep| ("REJOIN_KEEP_MS", keep.as_millis().to_string())));
        command.envs(list.then_some(("REJOIN_LIST", "1")));
        Life::begin(how, command.stderr(stderr))
    }

    /// Lets a process do everything that is left; then every run has ended, and every result was acknowledged.
    ///
    /// # Panics
    ///
    /// If it fails, or takes too long.
    pub fn finish(&mut self, index: &'static str) {
        let known = numbers(&self.histories);
        let until = known.keys().chain(self.results().last()).max().map_or(0, |number| number + 1);
        let dead = self.start(How { index, keep: None }, Some(until)).end();
        assert!(dead.status.success(), "{}: {}", dead.status, self.complaints());
        self.look(dead);
        let results = self.results();
        let open = (0..until).filter(|number| !results.contains(number));
        self.wrong.extend(open.map(|number| format!("A6: the result of k{number} never came")));
        let open = self.histories.iter().filter(|(_, history)| end(history).is_none());
        self.wrong.extend(open.map(|(run, _)| format!("A6: run {run} has not ended")));
        let lines = process::ledger(&self.ledger());
        self.wrong.extend(process::steps_with_several_keys(&lines));
        let executed: BTreeSet<&Key> = lines.iter().map(|line| &line.key).collect();
        let recorded = process::recorded_steps(&self.histories);
        let unreal = recorded.keys().filter(|key| !executed.contains(key));
        self.wrong.extend(unreal.map(|key| format!("E7: step {key} is recorded and was never executed")));
        self.repeated = lines.len() - executed.len();
    }

    /// Opens the folder as a process does that finds it as it is, and compares what its index lists with the log.
    ///
    /// # Panics
    ///
    /// If the process fails.
    pub fn list(&mut self, index: &'static str) {
        let mut dead = self.launch(How { index, keep: None }, Some(0), true).end();
        assert!(dead.status.success(), "{}: {}", dead.status, self.complaints());
        let lines: Vec<Said> = dead.said.drain(..).collect();
        self.look(dead);
        let mut listed = BTreeSet::new();
        for Said { line, .. } in lines {
            let run = line.strip_prefix("listed ").and_then(|run| run.parse().ok());
            let run: RunId = run.unwrap_or_else(|| panic!("the process said {line:?}"));
            if !listed.insert(run) {
                self.wrong.push(format!("S8: run {run} is listed twice"));
            }
            if !self.histories.contains_key(&run) {
                self.wrong.push(format!("S8: run {run} is listed, and is not in the log"));
            }
        }
        let missing = self.histories.keys().filter(|run| !listed.contains(run));
        self.wrong.extend(missing.map(|run| format!("S8: run {run} is in the log, and is not listed")));
    }

    /// Compares the log and the ledger with what was there before, and with what the process said.
    pub fn look(&mut self, dead: Dead) -> Log {
        let log = read(&self.data);
        let now = now();
        let (results, known) = (self.results(), numbers(&self.histories));
        let back = numbers(&log.histories).into_keys().filter(|n| results.contains(n) && !known.contains_key(n));
        self.wrong.extend(back.map(|number| format!("A14: the run of k{number} was gone, and came back")));
        self.hear(&dead, &log.histories, now);
        self.compare(&log.histories, dead.how.keep, now);
        self.wrong.extend(violations(&log.histories));
        let same = |run: &RunId| starts_with(&log.histories, run, &self.histories);
        let mut recorded = process::recorded_steps(&self.histories);
        recorded.retain(|key, _| key.split('/').next().and_then(|run| run.parse().ok()).is_some_and(|run| same(&run)));
        let lines = process::ledger(&self.ledger());
        let again = lines[self.lines..].iter().filter(|line| recorded.contains_key(&line.key));
        self.wrong.extend(again.map(|line| format!("E7: {} ({}) was recorded, and ran again", line.step, line.key)));
        self.lines = lines.len();
        self.histories.clone_from(&log.histories);
        log
    }

    /// Every acknowledgement is in the log, or its run had ended and was kept long enough.
    fn hear(&mut self, dead: &Dead, later: &Histories, now: Timestamp) {
        let (known, earlier) = (numbers(later), numbers(&self.histories));
        for Said { line, at } in &dead.said {
            let Some((what, number)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(" k")) else {
                panic!("the process said {line:?}");
            };
            let number: u64 = number.parse().expect("a number");
            // The reader may have been late.
            let old = |keep: Duration| dead.died - *at >= keep.mul_f32(0.4);
            let told = |other: &Said| other.line == format!("ack result k{number}");
            let told_long_ago = |keep| dead.said.iter().any(|other| told(other) && old(keep));
            let had_ended = |keep| earlier.get(&number).is_some_and(|(run, _)| aged(&self.histories[run], keep, now));
            let may_be_gone = |keep| !known.contains_key(&number) && (told_long_ago(keep) || had_ended(keep));
            let is_known = known.get(&number).is_some_and(|(_, got)| got.contains(what));
            if !is_known && !dead.how.keep.is_some_and(may_be_gone) {
                self.wrong.push(format!("S1: {line:?} was said before it was durable"));
            }
            self.acknowledged.insert((number, what.to_owned()));
        }
    }

    /// Records stay as they are, until their whole tree has ended and was kept long enough; and what is gone stays so.
    fn compare(&mut self, later: &Histories, keep: Option<Duration>, now: Timestamp) {
        let results = self.results();
        for (run, history) in &self.histories {
            if starts_with(later, run, &self.histories) {
                continue;
            }
            let parent = begin(history).and_then(|trigger| trigger.parent.as_ref()).map(|parent| parent.run);
            let root = self.histories.get(&parent.unwrap_or(*run)).unwrap_or(history);
            let had_ended = end(root).is_some() || number(root).is_some_and(|number| results.contains(&number));
            let until = later.get(run).map_or(now, |history| history[0].time);
            let old = |keep: Duration| until.0 - history[history.len() - 1].time.0 >= keep.as_micros() as i64;
            if !had_ended || !keep.is_some_and(old) {
                let length = history.len();
                self.wrong.push(format!("S1: the {length} records of run {run} are not what they were"));
            }
            self.gone.insert(*run, until);
        }
        for (run, since) in std::mem::take(&mut self.gone) {
            match later.get(&run) {
                Some(history) if history[0].time < since => self.wrong.push(format!("A14: run {run} came back")),
                Some(_) => {}
                None => drop(self.gone.insert(run, since)),
            }
        }
    }
}

/// Whether a run's later history begins with the earlier one.
fn starts_with(later: &Histories, run: &RunId, earlier: &Histories) -> bool {
    let earlier = earlier.get(run).map_or(&[][..], |history| history);
    later.get(run).is_some_and(|later| later.starts_with(earlier))
}

/// Whether a run has ended so long ago that it may be gone.
fn aged(history: &[Entry], keep: Duration, now: Timestamp) -> bool {
    let last = history.last().map_or(now, |entry| entry.time);
    end(history).is_some() && now.0 - last.0 >= keep.as_micros() as i64
}
