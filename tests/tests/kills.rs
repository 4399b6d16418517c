//! A loaded process, killed at random and started again, over and over.
//!
//! `REJOIN_KILL_SECONDS` says for how long (10), `REJOIN_SEED` under which seed.

use rejoin_tests::chance::{Random, setting};
use rejoin_tests::checks::{Histories, violations};
use rejoin_tests::client::numbers;
use rejoin_tests::life::{How, Life, Said};
use rejoin_tests::process::{self, Key, Line};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KILLED: i32 = 9;
/// How long a process lives, in milliseconds.
const LIFE: std::ops::Range<u64> = 50..400;
/// How many processes share a data folder: every death reads the whole log, so it should not grow for ever.
const DEATHS: usize = 20;
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

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().expect("a folder for the test");
        Place { folder, acknowledged: BTreeSet::new(), histories: Histories::new(), lines: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, from: u64, until: Option<u64>) -> Life {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loaded"));
        command.arg(self.path("data")).arg(self.path("ledger")).arg(from.to_string());
        Life::begin(How { index: "sled", keep: None }, command.args(until.map(|until| until.to_string())))
    }

    /// The first number whose result was not acknowledged.
    fn next(&self) -> u64 {
        (0..).find(|n| !self.acknowledged.contains(&(*n, "result".to_owned()))).unwrap_or(0)
    }

    /// Lets a process live for a while, kills it, and looks at what it left.
    fn live_and_die(&mut self, life: Duration, figures: &mut Figures) {
        let process = self.start(self.next(), None);
        thread::sleep(life);
        let dead = process.kill();
        assert_eq!(dead.status.signal(), Some(KILLED), "the process ended by itself: {}", dead.status);
        figures.kills += 1;
        self.look(&dead.said, figures);
    }

    /// Lets a process do everything that is left.
    fn finish(&mut self, figures: &mut Figures) {
        let until = numbers(&self.histories).into_keys().max().map_or(0, |n| n + 1);
        let dead = self.start(0, Some(until)).end();
        assert!(dead.status.success(), "{}", dead.status);
        self.look(&dead.said, figures);
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
    fn look(&mut self, said: &[Said], figures: &mut Figures) {
        let histories = process::histories_of(&self.path("data"));
        figures.lost.extend(process::lost_records(&self.histories, &histories));
        figures.doubled.extend(violations(&histories));

        let known = numbers(&histories);
        for Said { line, .. } in said {
            let Some((what, number)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(" k")) else {
                panic!("the process said {line:?}");
            };
            let number: u64 = number.parse().expect("a number");
            if !known.get(&number).is_some_and(|(_, got)| got.contains(what)) {
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

#[test]
fn spec_a5_random_kills_under_load() {
    let lasts = Duration::from_secs(setting("REJOIN_KILL_SECONDS").unwrap_or(10));
    let mut random = Random::new();
    let seed = random.seed;
    let mut figures = Figures::default();
    let began = Instant::now();
    while began.elapsed() < lasts {
        let mut place = Place::new();
        for _ in 0..DEATHS {
            place.live_and_die(random.millis(LIFE), &mut figures);
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
