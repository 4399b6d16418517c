//! A loaded process, killed at random and started again, over and over.
//!
//! `REJOIN_KILL_SECONDS` says for how long (10), `REJOIN_SEED` under which seed.

use rejoin::Event;
use rejoin_tests::checks::{Histories, violations};
use rejoin_tests::process::{self, Key, Line};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

const KILLED: i32 = 9;
/// How long a process lives, in milliseconds.
const LIFE: std::ops::Range<u64> = 50..400;
/// How many processes share a data folder: every death reads the whole log, so it should not grow for ever.
const DEATHS: usize = 20;
/// How long the last process of a folder may take for what is left.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found over all folders.
#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    acknowledged: usize,
    runs: usize,
    /// Steps that a kill interrupted, or whose result it took: executed again, with the same key.
    repeated: usize,
    lost: Vec<String>,
    doubled: Vec<String>,
}

/// A data folder and what is known of it.
struct Place {
    folder: TempDir,
    /// What each acknowledged number got: "trigger", "signal", "result".
    acknowledged: BTreeSet<(u64, String)>,
    histories: Histories,
    lines: usize,
}

/// Random numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().expect("a folder for the test");
        Place { folder, acknowledged: BTreeSet::new(), histories: Histories::new(), lines: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, from: u64, until: Option<u64>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loaded"));
        command.arg(self.path("data")).arg(self.path("ledger")).arg(from.to_string());
        command.args(until.map(|until| until.to_string())).stdout(Stdio::piped());
        command.spawn().expect("the loaded process starts")
    }

    /// The first number whose result was not acknowledged.
    fn next(&self) -> u64 {
        (0..).find(|n| !self.acknowledged.contains(&(*n, "result".to_owned()))).unwrap_or(0)
    }

    /// Lets a process live for a while, kills it, and looks at what it left.
    fn live_and_die(&mut self, life: Duration, figures: &mut Figures) {
        let mut child = self.start(self.next(), None);
        let reader = listen(&mut child);
        thread::sleep(life);
        child.kill().expect("the process can be killed");
        let status = child.wait().expect("the process has ended");
        assert_eq!(status.signal(), Some(KILLED), "the process ended by itself: {status}");
        figures.kills += 1;
        self.look(reader.join().expect("the reader has ended"), figures);
    }

    /// Lets a process do everything that is left.
    fn finish(&mut self, figures: &mut Figures) {
        let until = numbers(&self.histories).into_keys().max().map_or(0, |n| n + 1);
        let mut child = self.start(0, Some(until));
        let reader = listen(&mut child);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the process can be asked") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().expect("the process can be killed");
                panic!("runs did not end: {:?}", self.folder.path());
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
        self.look(reader.join().expect("the reader has ended"), figures);
        let is_open = |(_, history): &(_, &Vec<rejoin::history::Entry>)| {
            history.iter().flat_map(|entry| &entry.transition.events).filter(|event| event.is_terminal()).count() != 1
        };
        let open = self.histories.iter().filter(is_open);
        figures.lost.extend(open.map(|(run, _)| format!("A6: run {run} has not ended")));
        let lines = process::ledger(&self.path("ledger"));
        figures.doubled.extend(process::steps_with_several_keys(&lines));
        let executed: BTreeSet<&Key> = lines.iter().map(|line| &line.key).collect();
        let recorded = process::recorded_steps(&self.histories);
        let unreal = recorded.keys().filter(|key| !executed.contains(key));
        figures.lost.extend(unreal.map(|key| format!("E7: step {key} is recorded and was never executed")));
        figures.repeated += lines.len() - executed.len();
        figures.runs += self.histories.len();
    }

    /// Compares the log and the ledger with what was there before, and with what the process said.
    fn look(&mut self, said: Vec<String>, figures: &mut Figures) {
        let histories = process::histories_of(&self.path("data"));
        figures.lost.extend(process::lost_records(&self.histories, &histories));
        figures.doubled.extend(violations(&histories));

        let known = numbers(&histories);
        for line in said {
            let Some((what, number)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(" k")) else {
                panic!("the process said {line:?}");
            };
            let number: u64 = number.parse().expect("a number");
            if !known.get(&number).is_some_and(|got| got.contains(what)) {
                figures.lost.push(format!("S1: {line:?} was said before it was durable"));
            }
            figures.acknowledged += usize::from(self.acknowledged.insert((number, what.to_owned())));
        }

        let recorded = process::recorded_steps(&self.histories);
        let lines = process::ledger(&self.path("ledger"));
        let again = lines[self.lines..].iter().filter(|line| recorded.contains_key(&line.key));
        figures
            .doubled
            .extend(again.map(|Line { step, key }| format!("E7: {step} ({key}) was recorded, and ran again")));
        self.lines = lines.len();
        self.histories = histories;
    }
}

/// Which numbers were triggered, got their signal, got their result.
fn numbers(all: &Histories) -> BTreeMap<u64, BTreeSet<&'static str>> {
    let mut numbers: BTreeMap<u64, BTreeSet<&'static str>> = BTreeMap::new();
    for history in all.values() {
        let mut number = None;
        for event in history.iter().flat_map(|entry| &entry.transition.events) {
            let what = match event {
                Event::Triggered(trigger) => {
                    number = trigger.key.as_ref().and_then(|key| key.strip_prefix('k')?.parse().ok());
                    "trigger"
                }
                Event::SignalReceived { .. } => "signal",
                Event::Completed { .. } => "result",
                _ => continue,
            };
            if let Some(number) = number {
                numbers.entry(number).or_default().insert(what);
            }
        }
    }
    numbers
}

/// Collects the whole lines that a process says.
fn listen(child: &mut Child) -> thread::JoinHandle<Vec<String>> {
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|length| length > 0) {
            if let Some(whole) = line.strip_suffix('\n') {
                lines.push(whole.to_owned());
            }
            line.clear();
        }
        lines
    })
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {value:?}")))
}

#[test]
fn spec_a5_random_kills_under_load() {
    let lasts = Duration::from_secs(setting("REJOIN_KILL_SECONDS").unwrap_or(10));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = setting("REJOIN_SEED").unwrap_or(now.as_micros() as u64);
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut figures = Figures::default();
    let began = Instant::now();
    while began.elapsed() < lasts {
        let mut place = Place::new();
        for _ in 0..DEATHS {
            let life = Duration::from_millis(LIFE.start + random.below(LIFE.end - LIFE.start));
            place.live_and_die(life, &mut figures);
            if began.elapsed() >= lasts {
                break;
            }
        }
        place.finish(&mut figures);
        let Figures { kills, acknowledged, runs, repeated, lost, doubled } = &figures;
        let (lost, doubled) = (lost.len(), doubled.len());
        println!(
            "kills {kills}, acknowledged {acknowledged}, runs {runs}, steps repeated {repeated}, lost {lost}, doubled {doubled}"
        );
        let wrong: Vec<&String> = figures.lost.iter().chain(&figures.doubled).take(20).collect();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    }
    let proved = figures.kills > 0 && figures.acknowledged > 0 && figures.repeated > 0;
    assert!(proved, "no kill hit anything: {figures:?}");
}
