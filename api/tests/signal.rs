//! Signals from another terminal.

mod common;

use common::{Said, command, folder, rejoin};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use tempfile::TempDir;

const MAIN: &str = "
workflow: main
start: news
nodes:
  news: { signal: news, then: more }
  more: { signal: more, then: end }
output: '{{ news.title }}, {{ more }}'
";

fn signal(folder: &TempDir, arguments: &[&str]) -> Said {
    let folder = folder.path().to_str().unwrap();
    rejoin(["signal", "--project", folder].iter().chain(arguments))
}

/// A run at work, and the command that it says sends what it waits for.
fn waiting(folder: &TempDir) -> (Child, BufReader<std::process::ChildStderr>, Vec<String>) {
    let mut run = command(["run", folder.path().to_str().unwrap(), "--no-tty"]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("rejoin signal") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ends without a word of the signal");
    }
    let words = line[line.find("rejoin signal").unwrap()..].split_whitespace().map(str::to_owned).collect();
    (run, said, words)
}

#[test]
fn spec_h2_a_run_goes_on_with_the_signals_that_somebody_sends() {
    let folder = folder(&[("workflows/main.yaml", MAIN)]);
    let (run, mut said, words) = waiting(&folder);
    assert_eq!((&*words[3], words.len()), ("news", 5), "{words:?}");
    let sent = signal(&folder, &[&words[2], "news", r#"{"title":"It rains"}"#]);
    assert_eq!((sent.status, &*sent.out, &*sent.err), (0, "", ""), "{sent:?}");
    // What is no JSON is a text. It may come before it is waited for.
    assert_eq!(signal(&folder, &[&words[2], "more", "all day"]).status, 0);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "It rains, all day", "{rest}");
    // It has ended, and nobody is there any more.
    let late = signal(&folder, &[&words[2], "news"]);
    assert!(
        late.status == 1 && late.err.contains("nothing works in") && late.err.contains("rejoin resume"),
        "{late:?}"
    );
}

#[test]
fn a_signal_for_nobody_says_so() {
    let empty = TempDir::new().unwrap();
    let none = "00000000-0000-0000-0000-000000000001";
    let said = signal(&empty, &[none, "news"]);
    assert!(said.status == 1 && said.err.contains("nothing works in"), "{said:?}");
    let folder = folder(&[("workflows/main.yaml", MAIN)]);
    let (mut run, _said, _) = waiting(&folder);
    let said = signal(&folder, &[none, "news"]);
    assert!(said.status == 1 && said.err.contains(none), "{said:?}");
    assert_eq!(signal(&folder, &["it", "news"]).status, 2);
    run.kill().unwrap();
    run.wait().unwrap();
}
