//! E5: each code is found where it is, and not where it is not.

use super::{AGENTS, read};
use rejoin::definition::Code;

/// A sound workflow, which each case changes in one place.
const SOUND: &str = "
workflow: main
input: { n: integer }
start: first
stages:
  first:
    assign: { agent: echo, task: 'about {{ input.n }}' }
    then: second
nodes:
  second: { choose: { small: 'input.n < 10' }, route: { small: third, else: end } }
  third: { trigger: child, input: { n: '= input.n' }, then: end }
";

const CHILD: &str = "workflow: child\ninput: { n: integer }\nnodes: { it: { end: '= input.n' } }\n";

/// The codes of what is wrong, each once.
fn codes(files: &[&str]) -> Vec<&'static str> {
    let (_, found) = read(files);
    let mut codes: Vec<_> = found.all().iter().map(|it| it.code.text()).collect();
    codes.dedup();
    codes
}

/// What is replaced by what, and the code that follows.
const CASES: &[(&str, &str, &str)] = &[
    ("workflow: main", "workflow: [", "R001"),
    ("    then: second", "    thne: second", "R002"),
    // A name in a list is none in a table.
    ("second: { choose", "second: { as: x, choose", "R002"),
    ("start: first", "start: [first]", "R003"),
    ("agent: echo, task:", "agent: echo, tasks:", "R004"),
    ("workflow: main", "workflow: 'a/b'", "R005"),
    ("  third: {", "  first: { wait: 1s, then: end }\n  third: {", "R006"),
    ("trigger: child, input", "trigger: child, timeout: soon, input", "R007"),
    ("start: first", "start: first\nlimits: { cycles: 0 }", "R008"),
    ("choose: {", "wait: 1s, choose: {", "R009"),
    ("agent: echo", "agent: ecko", "R101"),
    ("trigger: child", "trigger: chlid", "R102"),
    ("then: second", "then: secnod", "R103"),
    ("then: second", "exit: { ask: anne, answers: [a, b] }\n    then: second", "R104"),
    ("then: second", "exit: { ask: ann, via: dusk, answers: [a, b] }\n    then: second", "R105"),
    ("trigger: child, input: { n: '= input.n' }", "trigger: main, input: { n: '= input.n' }", "R108"),
    ("agent: echo,", "agent: echo, may: [trigger],", "R109"),
    ("  third: {", "  fourth: { wait: 1s, then: end }\n  third: {", "R201"),
    ("    then: second", "    outcome: 'stage.text'", "R202"),
    ("then: end }", "then: third }", "R203"),
    ("route: { small: third, else: end }", "route: { else: third }", "R204"),
    ("route: { small: third, else: end }", "route: { small: third, smal: end, else: end }", "R205"),
    ("route: { small: third, else: end }", "route: { small: third }", "R206"),
    ("  third: {", "  third: { parallel: { a: { wait: 1s, then: end } }, then: end }\n  fifth: {", "R207"),
    ("'about {{ input.n }}'", "'about {{ inptu.n }}'", "R301"),
    ("'about {{ input.n }}'", "'about {{ input.m }}'", "R301"),
    ("'input.n < 10'", "'input.n <'", "R303"),
    ("'about {{ input.n }}'", "'about {{ input.n'", "R304"),
    ("input: { n: '= input.n' }", "input: { n: '= input.n', m: 1 }", "R305"),
    ("input: { n: '= input.n' }", "input: {}", "R306"),
    ("input: { n: '= input.n' }", "input: { n: many }", "R307"),
    ("input: { n: integer }", "input: { n: { type: whole } }", "R308"),
    ("input: { n: integer }", "input: { n: { type: integer, default: x } }", "R309"),
    ("    then: second", "    exit: { ask: ann, answers: [yes] }\n    then: second", "R402"),
    ("    then: second", "    exit: { ask: [], answers: [a, b] }\n    then: second", "R403"),
    ("    then: second", "    exit: { ask: ann, answers: [a, b], within: 2d }\n    then: second", "R404"),
    ("  second: {", "  second: { handoff: 'One moment.', then: end }\n  sixth: {", "R401"),
];

#[test]
fn spec_e5_each_thing_that_is_wrong_has_its_code_and_place() {
    assert_eq!(codes(&[AGENTS, SOUND, CHILD]), Vec::<&str>::new());
    for (from, to, code) in CASES {
        assert!(SOUND.contains(from), "{from:?} does not stand in the sound one");
        let text = SOUND.replacen(from, to, 1);
        let (project, found) = read(&[AGENTS, &text, CHILD]);
        let it = found.all().iter().find(|it| it.code.text() == *code);
        let it = it.unwrap_or_else(|| panic!("{to:?} is no {code}, but:\n{}", found.text(&project.sources)));
        let (_, line, _) = it.at.line(&project.sources);
        assert!(line >= 1 && it.at.span.0 <= text.len(), "{code} stands nowhere: {it:?}");
    }
}

#[test]
fn spec_e5_what_cannot_be_read_is_told_of_once() {
    let half = "workflow: main\nstages: { draft: { assign: { agent: echo }, then: end } }\n";
    assert_eq!(codes(&[AGENTS, half]), ["R004"]);
    assert_eq!(codes(&[AGENTS, "workflow: main\nnodes: { pause: { wait: soon } }\n"]), ["R007"]);
}

#[test]
fn spec_e5_what_is_wrong_over_several_files_is_found_too() {
    let link = |from: &str, to: &str| format!("workflow: {from}\nnodes: {{ it: {{ trigger: {to}, then: end }} }}\n");
    let end = "workflow: d\nnodes: { it: { end: 1 } }\n";
    let (a, b, c) = (link("a", "b"), link("b", "c"), link("c", "d"));
    let (project, found) = read(&[AGENTS, &a, &b, &c, end]);
    let deep: Vec<_> = found.all().iter().filter(|it| it.code == Code::TooDeep).collect();
    assert_eq!(deep.len(), 1, "{}", found.text(&project.sources));
    assert!(deep[0].message.contains("a -> b -> c -> d"), "{}", deep[0].message);
    assert!(codes(&[&format!("{AGENTS}limits: {{ depth: 4 }}\n"), &a, &b, &c, end]).is_empty());

    let user = "workflow: d\nrequires_user: true\nnodes: { it: { end: 1 } }\n";
    assert_eq!(codes(&[AGENTS, &c, user]), ["R405"]);
    let metadata = "workflow: d\nmetadata: [order_id]\nnodes: { it: { end: 1 } }\n";
    assert_eq!(codes(&[AGENTS, &c, metadata]), ["R310"]);
    assert_eq!(codes(&[AGENTS, end, end]), ["R006"]);
    assert_eq!(codes(&["agents: { x: { rust: true, grants: [nothing] } }\n", end]), ["R110"]);
    assert_eq!(codes(&["agents: { x: { rust: true, departments: [nowhere] } }\n", end]), ["R106"]);
    assert_eq!(codes(&["agents: { x: { describe: no hands } }\n", end]), ["R406"]);
    assert_eq!(codes(&["agents: { x: { worker: false } }\n", end]), ["R406"]);
    assert!(codes(&["agents: { x: { worker: false, rust: true } }\n", end]).is_empty());
    assert_eq!(codes(&["agents: { x: { flow: d, subagents: 2 } }\n", end]), ["R002"]);
    let asks = "workflow: d\nnodes: { it: { ask: Which one?, then: end } }\n";
    assert_eq!(codes(&["project: p\n", asks]), ["R405"]);
    assert!(codes(&["agents: { x: { flow: d } }\n", asks]).is_empty());
    assert_eq!(codes(&["project: p\n", "workflow: d\nnodes: { it: { signal: $message, then: end } }\n"]), ["R005"]);
    assert_eq!(codes(&["agents: { x: { rust: true, grants: [d, d] } }\n", end]), ["R006"]);
    assert_eq!(codes(&["project: empty\n"]), ["R010"]);
    assert!(codes(&[AGENTS]).is_empty(), "agents can be talked with");
}

#[test]
fn spec_e5_a_variable_that_is_perhaps_not_set_is_a_warning() {
    let text = "
workflow: main
input: { n: integer }
start: which
nodes:
  which: { choose: { small: 'input.n < 10' }, route: { small: set, else: use } }
  set: { set: { text: small }, then: use }
  use: { end: '{{ text }}' }
";
    let (_, found) = read(&[AGENTS, text]);
    assert_eq!(found.all().len(), 1);
    assert_eq!(found.all()[0].code, Code::PerhapsUnset);
    assert!(!found.has_errors());
}
