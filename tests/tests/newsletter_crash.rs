//! The newsletter example as a real process, killed right after each of its commits and started again.
//!
//! The processes run once; each test below looks at what they left from one side.

use rejoin::history::Entry;
use rejoin::{Event, RunId};
use rejoin_tests::checks::{Histories, violations};
use rejoin_tests::process::{self, Line};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// When the review comes, in seconds: before anybody asks for it, and when everything else waits for it.
const REVIEWS: [&str; 2] = ["0", "0.1"];
const STEPS: usize = 7;
const KILLED: i32 = 9;

/// A folder with everything that the processes of one newsletter share.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: TempDir::new().expect("a folder for the test") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program to its end, whatever that is.
    fn start(&self, review_after: &str, die_at: Option<u64>) -> Output {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let mut command = Command::new(PROGRAM.get_or_init(|| process::example("newsletter")));
        command.current_dir(self.folder.path()).args(["--data", "data", "--review-after", review_after]);
        if let Some(commit) = die_at {
            command.args(["--die-at", &commit.to_string()]);
        }
        command.output().expect("the example starts")
    }

    fn histories(&self) -> Histories {
        process::histories_of(&self.path("data"))
    }

    fn lines(&self) -> Vec<Line> {
        process::ledger(&self.path("steps.ledger"))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path("newsletter.md")).unwrap_or_default()
    }
}

/// A process that was killed, and the one that was started after it.
struct Crash {
    /// In words, for messages.
    when: String,
    said: String,
    histories_at_kill: Histories,
    lines_at_kill: Vec<Line>,
    histories: Histories,
    lines: Vec<Line>,
    text: String,
}

/// One crash for every commit that a process makes, for early and late reviews.
fn crashes() -> &'static [Crash] {
    static CRASHES: OnceLock<Vec<Crash>> = OnceLock::new();
    CRASHES.get_or_init(|| {
        let crashes = |review| (1..).map_while(move |commit| crash(review, commit));
        let all: Vec<Crash> = REVIEWS.into_iter().flat_map(crashes).collect();
        println!("{} crashes", all.len());
        all
    })
}

/// Kills a process right after its commit number `commit`; `None` if it does not make that many.
fn crash(review_after: &str, commit: u64) -> Option<Crash> {
    let place = Place::new();
    let when = format!("killed after commit {commit}, review after {review_after} s");
    let first = place.start(review_after, Some(commit));
    if first.status.success() {
        println!("with the review after {review_after} s there are {} commits", commit - 1);
        return None;
    }
    assert_eq!(first.status.signal(), Some(KILLED), "{when}: {first:?}");
    let (histories_at_kill, lines_at_kill) = (place.histories(), place.lines());
    let second = place.start(review_after, None);
    assert!(second.status.success(), "{when}, then started again: {second:?}");
    Some(Crash {
        when,
        said: String::from_utf8_lossy(&first.stdout).into_owned(),
        histories_at_kill,
        lines_at_kill,
        histories: place.histories(),
        lines: place.lines(),
        text: place.text(),
    })
}

/// What an undisturbed process writes.
fn undisturbed() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let place = Place::new();
        let output = place.start("0.1", None);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(violations(&place.histories()), Vec::<String>::new());
        assert_eq!(place.lines().len(), STEPS);
        place.text()
    })
}

fn events(history: &[Entry]) -> impl Iterator<Item = &Event> {
    history.iter().flat_map(|entry| &entry.transition.events)
}

/// The run that nobody called.
fn root(all: &Histories) -> Option<(&RunId, &Vec<Entry>)> {
    all.iter().find(
        |(_, history)| matches!(events(history).next(), Some(Event::Triggered(trigger)) if trigger.parent.is_none()),
    )
}

fn assert_each(what: impl Fn(&Crash) -> Vec<String>) {
    for crash in crashes() {
        assert_eq!(what(crash), Vec::<String>::new(), "{}", crash.when);
    }
}

#[test]
fn spec_a5_the_newsletter_is_the_same_wherever_the_process_dies() {
    assert!(undisturbed().contains("# What our readers cared about"));
    assert!(crashes().len() > 8, "too few commits to prove anything: {}", crashes().len());
    for crash in crashes() {
        assert_eq!(crash.text, undisturbed(), "{}", crash.when);
    }
}

#[test]
fn spec_a5_processes_that_all_die_at_their_first_commit_get_there_in_the_end() {
    let place = Place::new();
    let mut earlier = Histories::new();
    let mut deaths = 0;
    while !place.start("0", Some(1)).status.success() {
        deaths += 1;
        assert!(deaths < 50, "no progress: {:?}", place.histories());
        let histories = place.histories();
        assert_eq!(process::lost_records(&earlier, &histories), Vec::<String>::new());
        assert_eq!(violations(&histories), Vec::<String>::new());
        earlier = histories;
    }
    println!("{deaths} processes died");
    assert_eq!(place.text(), undisturbed());
    assert_eq!(process::steps_with_several_keys(&place.lines()), Vec::<String>::new());
}

#[test]
fn inv_s1_what_was_recorded_or_acknowledged_at_the_kill_stays() {
    assert_each(|crash| {
        let mut lost = process::lost_records(&crash.histories_at_kill, &crash.histories);
        let root = root(&crash.histories_at_kill);
        let signals = root.map_or(0, |(_, history)| {
            events(history).filter(|event| matches!(event, Event::SignalReceived { .. })).count()
        });
        for line in crash.said.lines() {
            let is_there = match line.strip_prefix("triggered run ") {
                Some(id) => root.is_some_and(|(run, _)| run.to_string() == id),
                None => line != "review sent" || signals == 1,
            };
            if !is_there {
                lost.push(format!("S1: the process said {line:?} before that was durable"));
            }
        }
        lost
    });
    let acknowledged = |line: &str| crashes().iter().any(|crash| crash.said.contains(line));
    assert!(acknowledged("triggered run ") && acknowledged("review sent"), "nothing was acknowledged before a kill");
}

#[test]
fn inv_e2_each_run_is_legal_and_ends_once() {
    assert_each(|crash| violations(&crash.histories_at_kill));
    assert_each(|crash| violations(&crash.histories));
    assert_each(|crash| {
        let ends = |history: &Vec<Entry>| events(history).filter(|event| event.is_terminal()).count();
        let wrong = crash.histories.iter().filter(|(_, history)| ends(history) != 1);
        wrong.map(|(run, history)| format!("E2: run {run} ended {} times", ends(history))).collect()
    });
}

#[test]
fn inv_e3_each_call_has_one_child_and_one_result() {
    assert_each(|crash| {
        let Some((_, history)) = root(&crash.histories) else { return vec!["E3: no root".to_owned()] };
        let mut called = BTreeSet::new();
        let mut open = BTreeSet::new();
        let mut wrong = Vec::new();
        for event in events(history) {
            match event {
                Event::ChildTriggered { op, child, .. } if called.insert(*child) => drop(open.insert(*op)),
                Event::ChildCompleted { op, .. } if open.remove(op) => {}
                Event::ChildTriggered { .. }
                | Event::ChildCompleted { .. }
                | Event::ChildFailed { .. }
                | Event::ChildTimedOut { .. }
                | Event::ChildCancelled { .. }
                | Event::ResultIgnored { .. } => wrong.push(format!("E3: one too many: {}", event.name())),
                _ => {}
            }
        }
        if !open.is_empty() || called.len() != 4 || crash.histories.len() != 5 {
            wrong.push(format!(
                "E3: {} runs, {} called, {} not resolved",
                crash.histories.len(),
                called.len(),
                open.len()
            ));
        }
        wrong
    });
}

#[test]
fn inv_e4_each_suspension_is_followed_by_one_resume() {
    assert_each(|crash| {
        let mut wrong = Vec::new();
        let mut suspensions = 0;
        for (run, history) in &crash.histories {
            let mut is_suspended = false;
            for Entry { version, transition, .. } in history {
                let cause = transition.events.first().is_some_and(|event| {
                    // A signal is received and then delivered: the second event is the one that is answered.
                    matches!(event, Event::SignalReceived { .. }) || event.answer().is_some()
                });
                if transition.resumed && !(is_suspended && cause) {
                    wrong.push(format!("E4: run {run}, record {version}: resumed without suspension or cause"));
                }
                is_suspended &= !transition.resumed;
                if transition.suspended && is_suspended {
                    wrong.push(format!("E4: run {run}, record {version}: suspended twice"));
                }
                is_suspended |= transition.suspended;
                suspensions += usize::from(transition.suspended);
            }
            if is_suspended {
                wrong.push(format!("E4: run {run} was suspended and never resumed"));
            }
        }
        if suspensions == 0 {
            wrong.push("E4: nothing was ever suspended".to_owned());
        }
        wrong
    });
}

#[test]
fn inv_e7_recorded_steps_do_not_run_again_and_others_run_with_the_key_that_they_had() {
    assert_each(|crash| {
        let mut at_kill = process::steps(&crash.histories_at_kill);
        at_kill.retain(|_, step| step.completed == 0);
        let recorded = process::recorded_steps(&crash.histories_at_kill);
        let (before, after) = crash.lines.split_at(crash.lines_at_kill.len());
        let mut wrong = process::steps_with_several_keys(&crash.lines);
        let again = after.iter().filter(|line| recorded.contains_key(&line.key));
        wrong.extend(again.map(|line| format!("E7: step {:?} was recorded, and ran again", line.step)));
        let unrecorded = before.iter().filter(|line| !recorded.contains_key(&line.key)).cloned();
        let scheduled = at_kill.into_iter().map(|(key, step)| Line { step: step.name, key });
        let gone = unrecorded.chain(scheduled).filter(|line| !after.contains(line));
        wrong
            .extend(gone.map(|Line { step, key }| format!("E7: {step:?} ({key}) was in flight and did not run again")));
        let steps: BTreeSet<&str> = crash.lines.iter().map(|line| line.step.as_str()).collect();
        let at_end = process::steps(&crash.histories);
        if steps.len() != STEPS || at_end.len() != STEPS || at_end.values().any(|step| step.completed != 1) {
            wrong.push(format!("E7: {steps:?} were executed, {at_end:?} recorded"));
        }
        wrong
    });
    let in_flight = crashes().iter().flat_map(|crash| process::steps(&crash.histories_at_kill).into_values());
    let in_flight = in_flight.filter(|step| step.completed == 0).count();
    assert!(in_flight > 0, "no kill hit a step in flight");
    println!("{in_flight} steps were in flight at a kill");
}
