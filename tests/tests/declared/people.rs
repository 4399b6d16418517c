//! Questions to people, in stages and nodes.

use super::{AGENTS, app, begin, gives};
use rejoin::RunHandle;
use rejoin::testkit::Simulation;
use serde_json::{Value, json};

const REVIEW: &str = r#"
workflow: main
start: draft
stages:
  draft:
    assign: { agent: judge, task: '{"text":"a draft"}' }
    exit: { ask: ann, via: desk, text: 'Publish {{ stage.text }}?', answers: [approve, revise, reject], within: 2d, late: reject }
    route: { approve: published, revise: draft, reject: end }
nodes:
  published: { end: { text: '= draft.text', status: '= status.draft.outcome', by: '= status.draft.by' } }
output: rejected
"#;

/// Answers what is asked, as often as there are answers.
fn answer(simulation: &mut Simulation, answers: &[&str]) -> Vec<String> {
    let mut asked = Vec::new();
    for answer in answers {
        simulation.settle();
        let engine = simulation.engine();
        let answer = (*answer).to_owned();
        let question = simulation.block_on(async move {
            let open = engine.approvals().unwrap();
            engine.decide(open[0].token, "ann", &answer, None).await.unwrap();
            open[0].question.clone()
        });
        asked.push(question.unwrap());
    }
    asked
}

fn result(simulation: &mut Simulation, run: &RunHandle<Value>) -> Value {
    simulation.block_on(run.result()).unwrap().unwrap()
}

#[test]
fn spec_f7_an_exit_question_makes_the_outcome() {
    let (mut simulation, run) = begin(app(&[AGENTS, REVIEW]), json!({}));
    let asked = answer(&mut simulation, &["revise", "approve"]);
    assert_eq!(asked, ["Publish a draft?", "Publish a draft?"]);
    assert_eq!(result(&mut simulation, &run), json!({ "text": "a draft", "status": "approve", "by": "ann" }));
}

#[test]
fn spec_f7_the_expiry_of_a_question_can_be_routed() {
    assert_eq!(gives(&[AGENTS, REVIEW], json!({})), json!("rejected"));
}

#[test]
fn spec_f7_an_entry_question_comes_before_the_work() {
    let main = "
workflow: main
start: work
stages:
  work:
    entry: { ask: ann, answers: [begin, skip] }
    assign: { agent: echo, task: done }
    route: { skip: skipped, completed: end }
nodes:
  skipped: { end: skipped }
output: '= work.text'
";
    let (mut simulation, run) = begin(app(&[AGENTS, main]), json!({}));
    answer(&mut simulation, &["begin"]);
    assert_eq!(result(&mut simulation, &run), json!("done"));
    let (mut simulation, run) = begin(app(&[AGENTS, main]), json!({}));
    answer(&mut simulation, &["skip"]);
    assert_eq!(result(&mut simulation, &run), json!("skipped"));
}

#[test]
fn spec_h1_an_approval_is_a_node_too() {
    let main = "
workflow: main
start: ok
nodes:
  ok: { approve: 'Pay {{ input.sum }}?', persons: [ann, bob], answers: [yes, no], route: { yes: paid, no: end } }
  paid: { end: 'paid, as {{ ok.by }} said' }
output: not paid
";
    let (mut simulation, run) = begin(app(&[AGENTS, main]), json!({ "sum": 3 }));
    assert_eq!(answer(&mut simulation, &["yes"]), ["Pay 3?"]);
    assert_eq!(result(&mut simulation, &run), json!("paid, as ann said"));
}
