//! `rejoin run` and `resume` over the end of their process: what goes on, what is shown, and what is left of programs.

mod common;

use common::{Said, command, folder, rejoin};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn run(folder: &TempDir, more: &[&str]) -> Said {
    rejoin(["run", folder.path().to_str().unwrap(), "--no-tty"].iter().chain(more))
}

fn begin(folder: &TempDir, more: &[&str]) -> Child {
    let mut begun = command(["run", folder.path().to_str().unwrap(), "--no-tty"].iter().chain(more));
    begun.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(20));
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A program that pays once, as far as it is alone: what it has paid it looks up first.
const PAY: &str = "
agents:
  pay: { command: 'echo $$ >> begun; grep -q \"$REJOIN_KEY\" paid || { until [ -e go ]; do sleep 0.1; done; echo \"$REJOIN_KEY\" >> paid; }' }
";

/// Whether processes that are started here do not hear that, as under nohup.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn spec_a5_no_program_works_beside_the_one_that_is_started_in_its_place() {
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL].into_iter().filter(|signal| !is_ignored(*signal)) {
        let folder = folder(&[
            ("rejoin.yaml", PAY),
            ("workflows/main.yaml", "workflow: main\nnodes: { a: { trigger: pay, then: end } }\n"),
            ("paid", ""),
        ]);
        let file = |name: &str| folder.path().join(name);
        let mut first = begin(&folder, &[]);
        until("it begins", || lines(&file("begun")).len() == 1);
        kill_process(Pid::from_child(&first), signal).unwrap();
        if signal != Signal::KILL {
            end(&mut first, signal);
        }
        first.wait().unwrap();
        let mut second = begin(&folder, &[]);
        until("it begins again", || lines(&file("begun")).len() == 2);
        fs::write(file("go"), "").unwrap();
        assert!(second.wait().unwrap().success());
        sleep(Duration::from_millis(300));
        assert_eq!(lines(&file("paid")).len(), 1, "{signal:?}");
    }
}

/// Asks it to end: it hears that as it hears Ctrl-C, the second time too.
fn end(process: &mut Child, signal: Signal) {
    until("it ends", || {
        let _ = kill_process(Pid::from_child(process), signal);
        process.try_wait().unwrap().is_some()
    });
    assert_eq!(process.wait().unwrap().code(), Some(130), "{signal:?}");
}

/// Whether a process of that id works.
fn is_alive(id: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[test]
fn who_asks_it_to_end_is_heard_from_the_start() {
    for _ in 0..5 {
        let folder = folder(&[
            ("rejoin.yaml", PAY),
            ("workflows/main.yaml", "workflow: main\nnodes: { a: { trigger: pay, then: end } }\n"),
            ("paid", ""),
        ]);
        let mut begun = begin(&folder, &[]);
        until("it opens the store", || folder.path().join(".rejoin").exists());
        end(&mut begun, Signal::TERM);
        for program in lines(&folder.path().join("begun")) {
            until("the program is ended", || !is_alive(&program));
        }
    }
}

#[test]
fn a_test_that_is_interrupted_leaves_no_program() {
    let folder = folder(&[]);
    let pid = folder.path().join("pid");
    let agent = format!("agents: {{ it: {{ command: 'echo $$ > {}; sleep 100' }} }}\npersons: [ann]\n", pid.display());
    fs::write(folder.path().join("rejoin.yaml"), agent).unwrap();
    fs::create_dir(folder.path().join("tests")).unwrap();
    fs::write(folder.path().join("tests/it.yaml"), "agent: it\nuser: ann\nplay:\n  - say: Go.\n  - reply: done\n")
        .unwrap();
    let mut tests = command(["test", folder.path().to_str().unwrap()]);
    let mut tests =
        tests.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the program begins", || !lines(&pid).is_empty());
    // As Ctrl-C does.
    kill_process_group(Pid::from_child(&tests), Signal::INT).unwrap();
    tests.wait().unwrap();
    until("the program is ended", || !is_alive(&lines(&pid)[0]));
}

#[test]
fn spec_a15_a_step_is_done_as_it_was_written_when_its_run_began() {
    let steps = |said: &str| {
        let asks = "{ approve: Go on?, persons: [ann], answers: [ok, no], route: { ok: it, no: it } }";
        format!(
            "workflow: main\nstart: note\nnodes:\n  note: {{ command: 'echo x >> begun', then: go }}\n  go: {asks}\n  it: {{ command: 'echo {said}', then: end }}\noutput: '= it'\n"
        )
    };
    let answers = |said: &str| {
        format!("workflow: talk\nnodes: {{ say: {{ command: 'echo {said}', then: end }} }}\noutput: '= say'\n")
    };
    let folder = folder(&[
        ("rejoin.yaml", "agents: { bot: { flow: talk } }\nmain: main\npersons: [ann]\n"),
        ("workflows/main.yaml", &steps("old")),
        ("workflows/talk.yaml", &answers("old")),
    ]);
    let change = |name: &str, text: &str| fs::write(folder.path().join("workflows").join(name), text).unwrap();
    let path = folder.path().to_str().unwrap();
    let chat = || rejoin(["chat", "bot", path, "--say", "hi"]);
    let mut begun = begin(&folder, &[]);
    until("it begins", || !lines(&folder.path().join("begun")).is_empty());
    kill_process(Pid::from_child(&begun), Signal::KILL).unwrap();
    begun.wait().unwrap();
    assert!(chat().out.contains("old"));
    change("main.yaml", &steps("new"));
    change("talk.yaml", &answers("new"));
    let said = chat();
    assert!(said.out.contains("new") && said.status == 0, "{said:?}");
    // Also where there is no such step any more.
    change("main.yaml", "workflow: main\nnodes: { it: { end: newest } }\n");
    let resumed = rejoin(["resume", path, "--no-tty", "--answer", "ok"]);
    assert_eq!((resumed.status, resumed.out.trim()), (0, "old"), "{resumed:?}");
    let said = run(&folder, &["--anew"]);
    assert_eq!((said.status, said.out.trim()), (0, "newest"), "{said:?}");
}

const ASKS: &str = "
workflow: main
input: { topic: string }
nodes:
  go: { approve: 'Publish {{ input.topic }}?', persons: [ann], answers: [ok, no], route: { ok: out, no: out } }
  out: { end: '{{ input.topic }}: {{ go.answer }}, {{ go.comment }}' }
";

#[test]
fn what_has_not_ended_is_shown_one_after_the_other() {
    let folder = folder(&[("rejoin.yaml", "persons: [ann]\n"), ("workflows/main.yaml", ASKS)]);
    let path = folder.path().to_str().unwrap();
    for (topic, others) in [("a", ""), ("b", "1 other run goes on"), ("c", "2 other runs go on")] {
        // It says that it waits, by a line for a question; then it is to rest.
        let mut begun = command(["run", path, "--no-tty", "--input", &format!("topic={topic}")]);
        let mut begun = begun.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut from = BufReader::new(begun.stderr.take().unwrap());
        while !said.contains("Publish") {
            assert!(from.read_line(&mut said).unwrap() > 0, "{said}");
        }
        assert!(said.contains(others), "{said}");
        kill_process(Pid::from_child(&begun), Signal::INT).unwrap();
        assert_eq!(begun.wait().unwrap().code(), Some(130));
    }
    let resumed = rejoin(["resume", path, "--no-tty", "--answer", "ok: at once"]);
    assert_eq!((resumed.status, &*resumed.out), (0, "c: ok, at once\nb: ok, at once\na: ok, at once\n"), "{resumed:?}");
    let nothing = rejoin(["resume", path, "--no-tty"]);
    assert!(nothing.status == 1 && nothing.err.contains("every run has ended"), "{nothing:?}");
}

#[test]
fn an_answer_that_is_none_ends_the_command_and_leaves_the_question() {
    let folder = folder(&[("rejoin.yaml", "persons: [ann]\n"), ("workflows/main.yaml", ASKS)]);
    let said = run(&folder, &["--input", "topic=a", "--answer", "perhaps"]);
    assert!(said.status == 1 && said.err.contains("--answer perhaps") && said.err.contains("resume"), "{said:?}");
    let said = run(&folder, &["--input", "topic=a", "--answer", "no: not yet"]);
    assert_eq!((said.status, said.out.trim()), (0, "a: no, not yet"), "{said:?}");
}

#[test]
fn an_input_that_is_given_twice_is_refused() {
    let folder = folder(&[("rejoin.yaml", "persons: [ann]\n"), ("workflows/main.yaml", ASKS)]);
    let said = run(&folder, &["--input", "topic=a", "--input", "topic=b"]);
    assert!(said.status == 1 && said.err.contains("\"topic\" is given twice"), "{said:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn data_that_cannot_be_written_is_no_success() {
    let folder = folder(&[("workflows/main.yaml", "workflow: main\nnodes: { it: { end: done } }\n")]);
    let path = folder.path().to_str().unwrap();
    let mut full = command(["run", path, "--json"]);
    let full = full.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&full.stderr);
    assert!(full.status.code() == Some(1) && said.contains("failed to write to stdout"), "{said}");
}

#[test]
fn spec_e1_what_nobody_waits_for_goes_on_and_is_not_harmed_by_an_end_of_the_command() {
    let folder = folder(&[
        (
            "rejoin.yaml",
            "agents: { a: { command: 'echo start >> log; sleep 1; echo done >> log', attempts: 1 } }\nmain: main\n",
        ),
        (
            "workflows/child.yaml",
            "workflow: child\nnodes: { w: { wait: 1s, then: e }, e: { task: Go., agent: a, then: end } }\n",
        ),
        (
            "workflows/main.yaml",
            "workflow: main\nnodes: { s: { trigger: child, wait: false, then: e }, e: { end: begun } }\n",
        ),
    ]);
    let said = run(&folder, &[]);
    assert_eq!((said.status, said.out.trim()), (0, "begun"), "{said:?}");
    assert!(said.err.contains("not ended: 1 run; rejoin resume goes on"), "{said:?}");
    // It is due by now: whatever opens the store begins it.
    sleep(Duration::from_millis(1200));
    let said = run(&folder, &["--anew"]);
    assert_eq!(said.status, 0, "{said:?}");
    let path = folder.path().to_str().unwrap();
    let said = rejoin(["resume", path, "--no-tty"]);
    assert_eq!((said.status, &*said.err.contains("failed").to_string()), (0, "false"), "{said:?}");
    let ends = |what: &str| lines(&folder.path().join("log")).iter().filter(|line| *line == what).count();
    assert_eq!((ends("start"), ends("done")), (2, 2));
}

#[test]
fn a_file_of_a_project_is_run_with_what_stands_beside_it() {
    let folder = folder(&[
        ("rejoin.yaml", "main: a\n"),
        ("workflows/a.yaml", "workflow: a\nnodes: { it: { end: of a } }\n"),
        ("workflows/b.yaml", "workflow: b\nnodes: { a_one: { trigger: a, then: it }, it: { end: '= a_one' } }\n"),
    ]);
    let file = folder.path().join("workflows/b.yaml");
    let said = rejoin(["run", file.to_str().unwrap(), "--no-tty"]);
    assert_eq!((said.status, said.out.trim()), (0, "of a"), "{said:?}");
    let said = rejoin(["run", file.to_str().unwrap(), "--no-tty", "--person", "nobody"]);
    assert!(said.status == 1 && said.err.contains("no person \"nobody\""), "{said:?}");
}
