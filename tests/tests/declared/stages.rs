//! Stages: assignments side by side, outcomes, routes, guards.

use super::{AGENTS, app, begin, ends, gives, runs_of};
use rejoin::definition::{Code, Project, Source};
use serde_json::json;

#[test]
fn spec_f7_agents_of_a_stage_work_side_by_side_and_their_results_are_merged() {
    let main = r#"
workflow: main
stages:
  draft:
    assign:
      - { agent: judge, as: first, task: '{"topic":"rust","views":9}', output: { topic: string, views: integer } }
      - { agent: judge, as: second, task: '{"topic":"databases"}' }
      - { agent: echo, task: 'a word' }
    then: end
output: { topic: '= draft.topic', views: '= draft.views', by: '= draft.by.first.topic', conflicts: '= draft.by.conflicts' }
"#;
    let conflicts = json!({ "topic": [["first", "rust"], ["second", "databases"]] });
    let all = json!({ "topic": "databases", "views": 9, "by": "rust", "conflicts": conflicts });
    assert_eq!(gives(&[AGENTS, main], json!({})), all);
}

#[test]
fn spec_f2_without_a_declared_output_what_agents_shared_is_the_result() {
    let text = "workflow: main\nstages: { draft: { assign: { agent: echo, task: 'a word' }, then: end } }\n";
    assert_eq!(gives(&[AGENTS, text], json!({})), json!({ "result": "text", "text": "a word" }));
    let fields = text.replace("agent: echo, task: 'a word'", "agent: judge, task: '{\"a\":1}'");
    assert_eq!(gives(&[AGENTS, &fields], json!({})), json!({ "result": "structured", "value": { "a": 1 } }));
    let nothing = "workflow: main\nnodes: { pause: { wait: 1s } }\n";
    assert_eq!(gives(&[AGENTS, nothing], json!({}))["result"], json!("none"));
}

#[test]
fn spec_f4_an_outcome_leads_to_a_workflow_and_on_whatever_came_of_it() {
    let child =
        "workflow: publish\ninput: { text: string }\nnodes: { it: { end: { url: 'https://x/{{ input.text }}' } } }\n";
    let broken = "workflow: publish\ninput: { text: string }\nnodes: { it: { fail: no-space } }\n";
    let main = r#"
workflow: main
start: review
stages:
  review:
    assign: { agent: judge, task: '{"outcome":"approve","text":"it"}' }
    route:
      approve: { workflow: publish, input: { text: '= review.text' }, continue: told }
      revise: end
nodes:
  told: { end: '= [publish == null ? "" : publish.url, status.publish.status]' }
"#;
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!(["https://x/it", "completed"]));
    assert_eq!(gives(&[AGENTS, main, broken], json!({})), json!(["", "failed"]));
    let routed = main.replace("continue: told", "continue: end, failed: told");
    assert_eq!(gives(&[AGENTS, &routed, broken], json!({})), json!(["", "failed"]));
    let ended = main.replace("continue: told", "continue: told, failed: end");
    assert_eq!(gives(&[AGENTS, &ended, broken], json!({}))["result"], json!("structured"));
}

#[test]
fn spec_f7_an_outcome_that_no_route_names_fails_the_run() {
    let main = r#"
workflow: main
stages:
  review:
    assign: { agent: judge, task: '{"outcome":"who knows"}' }
    route: { approve: end }
"#;
    assert_eq!(ends(&[AGENTS, main], json!({})).unwrap_err().code(), "outcome-without-route");
}

#[test]
fn spec_f7_a_failed_assignment_is_an_outcome_that_can_be_routed() {
    let main = "
workflow: main
start: work
stages:
  work:
    assign: [{ agent: broken, task: x }, { agent: echo, task: y }]
    route: { completed: end, failed: told }
nodes:
  told: { end: '= status.work.code' }
";
    assert_eq!(gives(&[AGENTS, main], json!({})), json!("broken"));
    let bare = main.replace("route: { completed: end, failed: told }", "then: told");
    assert_eq!(ends(&[AGENTS, &bare], json!({})).unwrap_err().code(), "broken");
}

#[test]
fn spec_f8_going_round_too_often_is_an_outcome() {
    let main = "
workflow: main
start: draft
limits: { visits: 3 }
stages:
  draft:
    assign: { agent: judge, task: '{\"outcome\":\"again\"}' }
    route: { again: draft, done: end }
";
    let failure = ends(&[AGENTS, main], json!({})).unwrap_err();
    assert_eq!(failure.code(), "too-many-visits");
    let routed =
        main.replace("done: end }", "done: end, too-many-visits: enough }\nnodes: { enough: { end: enough } }");
    let (mut simulation, run) = begin(app(&[AGENTS, &routed]), json!({}));
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), json!("enough"));
    assert_eq!(runs_of(&simulation, "judge").len(), 3);
    let cycles = main.replace("visits: 3", "visits: 100, cycles: 7");
    assert_eq!(ends(&[AGENTS, &cycles], json!({})).unwrap_err().code(), "too-many-cycles");
    let routed = routed.replace("visits: 3", "visits: 100, cycles: 2").replace("too-many-visits", "too-many-cycles");
    assert_eq!(ends(&[AGENTS, &routed], json!({})).unwrap(), json!("enough"));
    // A way that only leads back to itself ends all the same.
    let round = routed.replace("too-many-cycles: enough", "too-many-cycles: draft");
    assert_eq!(ends(&[AGENTS, &round], json!({})).unwrap_err().code(), "too-many-cycles");
}

#[test]
fn spec_f8_a_long_way_is_no_round() {
    let nodes: String =
        (0..60).map(|number| format!("  n{number}: {{ set: {{ x: {number} }}, then: n{} }}\n", number + 1)).collect();
    let main = format!("workflow: main\nnodes:\n{nodes}  n60: {{ end: '= x' }}\n");
    assert_eq!(ends(&[&main], json!({})).unwrap(), json!(59));
}

#[test]
fn spec_d4_no_unit_takes_the_place_of_the_metadata() {
    for node in [
        "metadata: { set: { a: 1 } }",
        "a: { set: { metadata: 1 } }",
        "a: { each: '= [1]', item: status, do: [{ set: { b: 1 } }] }",
    ] {
        let text = format!("workflow: main\nnodes: {{ {node} }}\n");
        let source = Source { name: "main.yaml".to_owned(), text };
        let found = Project::read(vec![source]).1;
        assert!(found.all().iter().any(|it| it.code == Code::BadName), "{node}: {:?}", found.all());
    }
}

#[test]
fn spec_f6_an_assignment_says_whether_it_may_trigger() {
    let child = "workflow: child\nnodes: { it: { end: '{{ message }}' } }\n";
    let main = "
workflow: main
stages:
  work: { assign: { agent: caller, task: child, may: [trigger] }, then: end }
";
    let agents = &AGENTS.replace("caller: { rust: true }", "caller: { rust: true, grants: [child] }");
    let told = gives(&[agents, main, child], json!({}));
    assert_eq!(told, json!({ "result": "text", "text": "by an agent" }));
    let not = main.replace(", may: [trigger]", "");
    assert_eq!(ends(&[agents, &not, child], json!({})).unwrap_err().kind(), rejoin::FailureKind::Refused);
}

#[test]
fn spec_f5_a_workflow_runs_by_hand_as_it_does_as_a_child() {
    let child = "workflow: child\ninput: { n: integer }\nnodes: { it: { end: '= input.n * 2' } }\n";
    let main = "workflow: main\nnodes: { it: { trigger: child, input: { n: 4 }, then: end } }\noutput: '= it'\n";
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!(8));
    let by_hand = child.replace("workflow: child", "workflow: main");
    assert_eq!(gives(&[AGENTS, &by_hand], json!({ "n": 4 })), json!(8));
}

#[test]
fn spec_e1_what_was_left_out_may_be_left_out_below() {
    let child = "workflow: child\ninput: { n: { type: integer, optional: true } }\nnodes: { it: { end: '= input.n == null' } }\n";
    let main = "
workflow: main
input: { n: { type: integer, optional: true } }
nodes:
  below: { trigger: child, input: { n: '= input.n' }, then: it }
  it: { end: '= below' }
";
    assert_eq!(ends(&[child, main], json!({})).unwrap(), json!(true));
    assert_eq!(ends(&[child, main], json!({ "n": 3 })).unwrap(), json!(false));
}

#[test]
fn spec_e5_an_answer_that_counts_when_it_is_late_is_one_of_the_answers() {
    let question = |more: &str| {
        let text = format!("workflow: main\nnodes: {{ it: {{ approve: Go?, persons: [ann], {more}, then: end }} }}\n");
        let project = Source { name: "rejoin.yaml".to_owned(), text: "persons: [ann]\n".to_owned() };
        let source = Source { name: "workflows/main.yaml".to_owned(), text };
        Project::read(vec![project, source]).1.all().iter().map(|it| it.code).collect::<Vec<_>>()
    };
    assert_eq!(question("answers: [yes, no], within: 1d, late: no"), []);
    assert_eq!(question("answers: [yes, no], within: 1d, late: maybe"), [Code::LateWithoutRoute]);
    assert_eq!(question("answers: [yes, no], late: no"), [Code::UnknownField]);
    assert_eq!(question("answers: [yes, yes]"), [Code::NoAnswers]);
}
