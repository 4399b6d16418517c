//! Tests of projects: what is played, what is told where it goes another way, and crashes at every commit of every example.

mod common;

use common::{Said, folder, rejoin};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn test(folder: &Path, more: &[&str]) -> Said {
    let arguments = ["test", folder.to_str().unwrap()];
    rejoin(arguments.into_iter().chain(more.iter().copied()))
}

/// A project with an agent that is a script, and a test.
fn project(agent: &str, play: &str) -> TempDir {
    folder(&[
        ("rejoin.yaml", "agents: { it: { command: [sh, it.sh], grants: [double] } }\npersons: [ann]\n"),
        ("workflows/double.yaml", "workflow: double\ninput: { n: integer }\nnodes: { it: { end: '= input.n * 2' } }\n"),
        ("it.sh", agent),
        ("tests/it.yaml", play),
    ])
}

const DOUBLES: &str = r#"echo "that is $("$REJOIN_BIN" trigger double --input n=21)""#;

#[test]
fn spec_i4_a_test_checks_what_is_called_and_what_comes_back() {
    let play = "
agent: it
user: ann
play:
  - say: Double it.
  - { call: double, input: { n: 21 }, gives: 42 }
  - reply: that is 42
";
    let said = test(project(DOUBLES, play).path(), &[]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.starts_with("✔ it ("), "{said:?}");
    let said = test(project(DOUBLES, play).path(), &["--json"]);
    let told: Value = said.json().remove(0);
    assert_eq!((&told["passed"], &told["why"]), (&Value::Bool(true), &Value::Null), "{said:?}");
}

#[test]
fn spec_i4_a_task_is_named_by_what_is_to_be_done_while_it_is_done_too() {
    let folder = folder(&[
        (
            "rejoin.yaml",
            "agents: { bad: { command: 'echo \"{\\\"error\\\": {\\\"code\\\": \\\"nope\\\"}}\"', attempts: 1 }, slow: { command: 'sleep 1; echo ok' } }\n",
        ),
        (
            "workflows/main.yaml",
            "workflow: main\nnodes: { a: { task: Do cats., agent: bad, route: { failed: b }, then: b }, b: { task: Do dogs., agent: slow, then: end } }\n",
        ),
        (
            "tests/it.yaml",
            "workflow: main\nplay: [{ call: bad, input: Do cats., fails: nope }, { call: slow, input: Do dogs. }, { result: ok }]\n",
        ),
    ]);
    let said = test(folder.path(), &[]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
}

/// Three days pass in no time, each thing at its own: two reminders, then whoever asks gives up.
const DAYS: &str = "
workflow: days
nodes:
  begin: { set: { days: 0 }, then: sleep }
  sleep: { wait: 1d, then: count }
  count: { set: { days: '= days + 1' }, then: more }
  more: { choose: { more: days < 2 }, route: { more: sleep, else: asked } }
  asked: { approve: Is it right?, persons: [ann], answers: [approve, reject], route: { approve: quiet, reject: quiet }, within: 20h, late: reject }
  quiet: { wait: 1h, then: told }
  told: { end: { days: '= days', said: '= asked.answer' } }
limits: { visits: 100 }
";

#[test]
fn spec_i4_time_passes_from_one_thing_that_is_due_to_the_next() {
    let play = "workflow: days\nplay:\n  - pass: 71h\n  - result: { days: 2, said: reject }\n";
    let folder =
        folder(&[("rejoin.yaml", "persons: [ann]\n"), ("workflows/days.yaml", DAYS), ("tests/days.yaml", play)]);
    let said = test(folder.path(), &["--crash"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    // An hour less, and it still waits; after two days somebody answers in time.
    for (play, why) in [
        ("[{ pass: 68h }, { result: { days: 2 } }]", Some("step 2: it should end, and does not")),
        ("[{ pass: 47h }, { decide: approve }, { result: { days: 2 } }]", Some("step 2: nobody is asked anything")),
        ("[{ pass: 2d }, { decide: approve }, { pass: 1h }, { result: { days: 2 } }]", None),
    ] {
        fs::write(folder.path().join("tests/days.yaml"), format!("workflow: days\nplay: {play}\n")).unwrap();
        let said = test(folder.path(), &["--patience", "2"]);
        assert_eq!(
            (said.status, why.is_none_or(|why| said.out.contains(why))),
            (i32::from(why.is_some()), true),
            "{said:?}"
        );
    }
}

#[test]
fn spec_i4_a_test_that_goes_another_way_says_where() {
    for (step, why) in [
        ("{ call: triple }", "step 2: it should call triple, and calls double with {\"n\":21}"),
        ("{ call: double, input: { n: 20 } }", "step 2: the input of double: n: it should be 20, and is 21"),
        ("{ call: double, gives: '= it > 50' }", "step 2: double: `it > 50` does not hold for 42"),
        ("{ call: double, fails: late }", "step 2: double should fail with late, and gives 42"),
        ("{ reply: that is 43 }", "step 2: the reply: it should be \"that is 43\", and is \"that is 42\""),
        ("{ claim: ann }\n  - { reply: x }", "step 2: nobody is asked to take over"),
        ("{ decide: approve }\n  - { reply: x }", "step 2: nobody is asked anything"),
        (
            "{ reply: that is 42 }\n  - { call: double }\n  - { call: double }",
            "step 4: it should call double, and calls nothing",
        ),
        ("{ reply: that is 42 }\n  - { reply: more }", "step 3: it should answer, and says nothing more"),
        ("{ say: And again. }\n  - { reply: that is 42 }", "step 4: it should say nothing more, and says"),
    ] {
        let play = format!("agent: it\nuser: ann\nplay:\n  - say: Double it.\n  - {step}\n");
        let said = test(project(DOUBLES, &play).path(), &[]);
        assert_eq!(said.status, 1, "{step}: {said:?}");
        assert!(said.out.contains("ann: Double it.") && said.out.contains(why), "{step}: {said:?}");
        assert!(said.err.contains("1 of 1 tests go another way"), "{said:?}");
    }
}

#[test]
fn what_is_no_test_is_told() {
    let folder = project(DOUBLES, "agent: it\nplay:\n  - sing: loudly\n");
    let said = test(folder.path(), &[]);
    assert_eq!(said.status, 1);
    assert!(said.err.contains("tests/it.yaml cannot be played") && said.err.contains("sing"), "{said:?}");
    let said = test(folder.path(), &["--only", "other"]);
    assert_eq!(said.status, 1);
    fs::remove_dir_all(folder.path().join("tests")).unwrap();
    let said = test(folder.path(), &[]);
    assert!(said.status == 1 && said.err.contains("tests"), "{said:?}");
    let said = test(project(DOUBLES, "agent: nobody\nplay:\n  - say: x\n  - reply: x\n").path(), &[]);
    assert!(said.status == 1 && said.out.contains("nobody"), "{said:?}");
}

#[test]
fn a_test_whose_run_does_not_end_does_not_pass() {
    for (play, why) in [
        ("agent: it\nplay:\n  - say: x\n  - call: double\n", "step 3: it should have ended, and has not after 1 s"),
        ("agent: it\nplay:\n  - say: x\n  - { call: double, gives: 42 }\n  - reply: x\n", "step 3: it should answer"),
    ] {
        let folder = project(&format!("{DOUBLES}; sleep 3"), play);
        let said = test(folder.path(), &["--patience", "1"]);
        assert!(said.status == 1 && said.out.contains(why), "{said:?}");
    }
}

#[test]
fn one_that_cannot_be_played_does_not_stop_the_others() {
    let folder = project(DOUBLES, "agent: it\nplay:\n  - say: x\n  - reply: that is 42\n");
    fs::write(folder.path().join("tests/a.yaml"), "agent: nobody\nplay:\n  - say: x\n  - reply: y\n").unwrap();
    let said = test(folder.path(), &[]);
    assert!(said.status == 1 && said.out.contains("✖ a (") && said.out.contains("✔ it ("), "{said:?}");
    assert!(said.out.contains("tests/a.yaml: ") && said.out.contains("nobody"), "{said:?}");
}

#[test]
fn calls_of_several_turns_are_told_apart() {
    let agent = r#"
case $("$REJOIN_BIN" pick message) in
    two) "$REJOIN_BIN" trigger double --input n=1 >/dev/null; sleep 0.3; "$REJOIN_BIN" trigger double --input n=2 ;;
    *) "$REJOIN_BIN" trigger double --input n=3 ;;
esac"#;
    let play = "
agent: it
play:
  - say: two
  - say: one
  - { call: double, input: { n: 1 } }
  - { call: double, input: { n: 2 } }
  - { call: double, input: { n: 3 } }
  - reply: '4'
  - reply: '6'
";
    let said = test(project(agent, play).path(), &[]);
    assert_eq!(said.status, 0, "{said:?}");
}

/// An agent that answers another thing when it is asked again is found out: a killed process asks again.
#[test]
fn a_crash_finds_what_does_not_come_out_the_same() {
    let counting = "echo x >> begun; echo $(wc -l < begun)";
    let folder = project(counting, "agent: it\nplay:\n  - say: How often?\n  - reply: '= it.size() == 1'\n");
    assert_eq!(test(folder.path(), &[]).status, 0);
    let said = test(folder.path(), &["--crash"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains(": killed ") && said.out.contains("undisturbed it is"), "{said:?}");
    // And so is one that never answers the same.
    let random = "cat /proc/sys/kernel/random/uuid";
    let folder = project(random, "agent: it\nplay:\n  - say: Who are you?\n  - reply: '= it.size() > 1'\n");
    let said = test(folder.path(), &["--crash"]);
    assert!(said.status == 1 && said.out.contains("played again, undisturbed: message 2"), "{said:?}");
}

/// Each test of an example, with its process killed before and after every commit.
#[track_caller]
fn survives(name: &str) {
    let said = test(&example(name), &["--crash", "--json"]);
    assert_eq!(said.status, 0, "{said:?}");
    for line in said.out.lines() {
        let told: Value = serde_json::from_str(line).unwrap();
        assert!(told["deaths"].as_u64().unwrap() > 10, "{told}");
    }
}

#[test]
fn inv_e3_the_newsletter_survives_a_crash_at_every_commit() {
    survives("newsletter");
}

#[test]
fn inv_e3_the_content_review_survives_a_crash_at_every_commit() {
    survives("content-review");
}

#[test]
fn inv_e3_the_support_survives_a_crash_at_every_commit() {
    survives("support");
}

#[test]
fn inv_e3_the_debate_survives_a_crash_at_every_commit() {
    survives("debate");
}

#[test]
fn inv_e3_the_invoices_survive_a_crash_at_every_commit() {
    survives("invoices");
}

#[test]
fn inv_e3_the_audit_survives_a_crash_at_every_commit() {
    survives("compliance");
}

#[test]
fn inv_e3_the_swarm_survives_a_crash_at_every_commit() {
    survives("swarm");
}

#[test]
fn steps_call_programs_without_an_agent() {
    let folder = project(
        "cat",
        "
workflow: steps
input: { words: [one, three] }
play:
  - { call: steps.all.step1, input: { word: one }, gives: 3 }
  - { call: steps.all.step1, gives: 5 }
  - { call: steps.broken, fails: exit-64 }
  - result: { lengths: [3, 5], code: exit-64 }
",
    );
    let steps = r#"
workflow: steps
input: { words: array }
nodes:
  all: { each: input.words, do: { command: 'printf %s "$("$REJOIN_BIN" pick input.word)" | wc -c', input: { word: '= item' } }, then: broken }
  broken: { command: [sh, -c, exit 64], attempts: 1, route: { completed: end, failed: end } }
output: { lengths: '= all', code: '= status.broken.code' }
"#;
    fs::write(folder.path().join("workflows/steps.yaml"), steps).unwrap();
    let said = test(folder.path(), &[]);
    assert_eq!(said.status, 0, "{said:?}");
    // It fails like anything else that nobody has a route for.
    fs::write(folder.path().join("workflows/steps.yaml"), steps.replace("failed: end", "refused: end")).unwrap();
    let said = test(folder.path(), &[]);
    assert!(said.status == 1 && said.out.contains("the result fails with exit-64"), "{said:?}");
}

#[test]
fn inv_e3_a_flow_that_asks_survives_a_crash_at_every_commit() {
    let talk = "
workflow: talk
start: which
nodes:
  which: { ask: Which order?, then: sum }
  sum: { trigger: look-up, input: { order: '= which' }, route: { completed: sure, failed: sorry } }
  sure: { ask: '{{ sum }} EUR, is that right?', within: 1d, route: { completed: told, late: told } }
  told: { end: '{{ which }}: {{ sure }}' }
  sorry: { end: 'There is no order {{ which }}.' }
";
    let look_up = "workflow: look-up\ninput: { order: string }\nnodes: { it: { end: '= input.order.size() * 10' } }\n";
    let play = "
agent: desk
user: ann
play:
  - say: My order is late.
  - reply: Which order?
  - say: '4711'
  - { call: look-up, input: { order: '4711' }, gives: 40 }
  - reply: 40 EUR, is that right?
  - say: Yes.
  - reply: '4711: Yes.'
";
    let folder = folder(&[
        ("rejoin.yaml", "agents: { desk: { flow: talk, grants: [look-up] } }\npersons: [ann]\n"),
        ("workflows/talk.yaml", talk),
        ("workflows/look-up.yaml", look_up),
        ("tests/asked.yaml", play),
    ]);
    let said = test(folder.path(), &["--crash"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    let crashes: u32 = said.out.split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // Commits share a write when they come together, so their number is the machine's, within bounds.
    assert!(crashes > 10, "{said:?}");
}
