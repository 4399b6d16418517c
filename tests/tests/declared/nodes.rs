//! Nodes: one thing each, and where its outcome leads.

use super::{AGENTS, app, begin, ends, gives, project, runs_of};
use rejoin::definition::{Project, Source};
use rejoin::testkit::World;
use rejoin::time::days;
use rejoin_tests::lives::{builder, start};
use serde_json::json;

#[test]
fn spec_e1_a_trigger_maps_inputs_and_keeps_what_came_of_it() {
    let main = "
workflow: main
input: { n: integer }
nodes:
  doubled: { trigger: double, input: { n: '= input.n + 1' }, then: end }
output: { result: '= doubled', status: '= status.doubled.status' }
";
    assert_eq!(gives(&[AGENTS, main], json!({ "n": 20 })), json!({ "result": 42, "status": "completed" }));
}

#[test]
fn spec_e1_an_unset_source_is_an_error_before_the_start() {
    let main = "
workflow: main
nodes:
  asked: { trigger: double, input: { n: '= input.n' }, then: end }
";
    let (mut simulation, run) = begin(app(&[AGENTS, main]), json!({}));
    let failure = simulation.block_on(run.result()).unwrap().expect_err("there is no n");
    assert!(failure.to_string().contains("input.n"), "{failure}");
    assert!(runs_of(&simulation, "double").is_empty());
}

#[test]
fn spec_e1_a_flow_goes_on_after_failure_and_can_tell() {
    let child = "workflow: child\ninput: { n: integer }\nnodes: { stop: { fail: no-stock, message: 'none of {{ input.n }}' } }\n";
    let main = "
workflow: main
start: order
nodes:
  order: { trigger: child, input: { n: 3 }, then: say }
  say: { set: { text: '{{ status.order.status }}: {{ status.order.code }}', value: '= order' }, then: end }
output: '= [text, value]'
";
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!(["failed: no-stock", null]));
    let routed = main.replace("then: say", "route: { failed: say, refused: end }");
    assert_eq!(gives(&[AGENTS, &routed, child], json!({})), json!(["failed: no-stock", null]));
}

#[test]
fn spec_e1_a_trigger_that_is_not_waited_for_goes_on_at_once() {
    let child = "workflow: child\nnodes: { pause: { wait: 2d } }\n";
    let main =
        "workflow: main\nnodes: { sent: { trigger: child, wait: false, then: end } }\noutput: '= size(sent.run) > 0'\n";
    let (mut simulation, run) = begin(app(&[AGENTS, main, child]), json!({}));
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), json!(true));
    assert!(!runs_of(&simulation, "child")[0].row.status.is_closed());
}

#[test]
fn spec_e1_a_trigger_that_takes_too_long_is_timed_out() {
    let child = "workflow: child\nnodes: { pause: { wait: 2d } }\n";
    let main = "
workflow: main
start: sent
nodes:
  sent: { trigger: child, timeout: 5m, route: { completed: end, timed-out: late } }
  late: { end: '= status.sent.status' }
";
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!("timed-out"));
}

#[test]
fn spec_e5_choices_lead_by_the_first_condition_that_holds() {
    let main = "
workflow: main
input: { n: integer }
start: size
nodes:
  size:
    choose: { small: 'input.n < 10', large: 'input.n > 100' }
    route: { small: small, large: large, else: end }
  small: { end: 'small {{ input.n }}' }
  large: { end: large }
output: between
";
    for (n, size) in [(3, json!("small 3")), (300, json!("large")), (50, json!("between"))] {
        assert_eq!(gives(&[AGENTS, main], json!({ "n": n })), size);
    }
}

#[test]
fn spec_b2_things_go_on_side_by_side_and_over_lists() {
    let main = "
workflow: main
input: { items: {} }
start: both
nodes:
  both:
    parallel:
      pause: { wait: 1h }
      sums:
        each: '= input.items'
        item: it
        at_most: 2
        do:
          - { as: twice, trigger: double, input: { n: '= it' } }
          - { end_: 1, as: x, set: { y: '= twice + number' } }
    then: end
output: '= both.sums.map(s, s.y)'
"
    .replace("end_: 1, ", "");
    assert_eq!(gives(&[AGENTS, &main], json!({ "items": [1, 2, 3] })), json!([2, 5, 8]));
    let failure = ends(&[AGENTS, &main], json!({ "items": { "no": "list" } })).unwrap_err();
    assert_eq!(failure.code(), "no-items");
}

#[test]
fn spec_c1_inputs_are_checked_against_what_a_definition_declares() {
    let child = "workflow: child\ninput: { n: { type: integer, minimum: 1 }, who: { type: string, default: ann } }\n\
                 nodes: { it: { end: '= input.who' } }\n";
    let main = "
workflow: main
input: { n: {} }
start: asked
nodes:
  asked: { trigger: child, input: { n: '= input.n' }, then: told }
  told: { end: '= [asked, status.asked.status, has(status.asked.message) ? status.asked.message : \"\"]' }
";
    assert_eq!(gives(&[AGENTS, main, child], json!({ "n": 1 })), json!(["ann", "completed", ""]));
    let told = gives(&[AGENTS, main, child], json!({ "n": "many" }));
    assert_eq!(told[1], json!("refused"));
    assert!(told[2].as_str().unwrap().contains("/n"), "{told}");
}

#[test]
fn spec_f10_a_workflow_that_calls_itself_is_refused_the_second_time() {
    let main = "
workflow: main
start: again
nodes:
  again: { trigger: main, route: { completed: end, refused: told, failed: told } }
  told: { end: '= status.again.code' }
";
    let (project, found) = super::read(&[AGENTS, main]);
    assert_eq!(found.all()[0].code.text(), "R108");
    let app = super::agents(project.install(builder(), |_| 1));
    let (mut simulation, run) = begin(app, json!({}));
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), json!("recursion"));
}

#[test]
fn spec_d4_metadata_goes_beside_the_input() {
    let child = "workflow: child\nmetadata: [order_id]\nnodes: { it: { end: '{{ metadata.order_id }}' } }\n";
    let main = "workflow: main\nnodes: { sent: { trigger: child, metadata: { order_id: A-1 }, then: end } }\noutput: '= sent'\n";
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!("A-1"));
}

#[test]
fn spec_a15_a_run_goes_on_under_the_definition_that_it_began_with() {
    let text = |said: &str| {
        format!(
            "workflow: main\nstart: pause\nnodes:\n  pause: {{ wait: 2d, then: said }}\n  said: {{ end: {said} }}\n"
        )
    };
    let world = World::new(1);
    let mut simulation = start(&world, super::agents(project(&[AGENTS, &text("old")]).install(builder(), |_| 1)));
    let engine = simulation.engine();
    let run =
        simulation.block_on(async move { engine.trigger(&super::MAIN, json!({})).key("old").await }).unwrap().unwrap();
    simulation.settle();
    drop(simulation);
    let world = world.crash(rejoin_store::simulated::Outcome::Kept, 1);
    let project: Project = project(&[AGENTS, &text("new")]);
    let earlier = Source { name: "main, version 1".into(), text: text("old") };
    let app = project.install_earlier(project.install(builder(), |_| 2), earlier, 1);
    let mut simulation = start(&world, super::agents(app));
    let engine = simulation.engine();
    let next =
        simulation.block_on(async move { engine.trigger(&super::MAIN, json!({})).key("new").await }).unwrap().unwrap();
    world.pass(days(3));
    simulation.settle();
    let engine = simulation.engine();
    let id = run.id();
    let old = simulation.block_on(async move { engine.run::<serde_json::Value>(id).result().await }).unwrap().unwrap();
    assert_eq!((old, simulation.block_on(next.result()).unwrap().unwrap()), (json!("old"), json!("new")));
}

#[test]
fn spec_h2_a_signal_is_waited_for_and_may_be_late() {
    let main = "
workflow: main
start: word
nodes:
  word: { signal: word, within: 2h, route: { completed: said, late: end } }
  said: { end: '= word.text' }
output: nobody spoke
";
    assert_eq!(gives(&[AGENTS, main], json!({})), json!("nobody spoke"));
    let (mut simulation, run) = begin(app(&[AGENTS, main]), json!({}));
    simulation.settle();
    let (engine, id) = (simulation.engine(), run.id());
    let sent = async move { engine.run::<()>(id).signal("word", &json!({ "text": "hello" })).id("1").await };
    simulation.block_on(sent).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), json!("hello"));
}

#[test]
fn spec_b10_a_cancelled_flow_begins_nothing_more() {
    let child = "workflow: child\nnodes: { pause: { wait: 2d } }\n";
    let main = "
workflow: main
nodes:
  all: { each: '= [1, 2, 3, 4, 5, 6]', at_most: 2, do: [ { trigger: child }, { trigger: child } ], then: end }
";
    let (mut simulation, run) = begin(app(&[AGENTS, main, child]), json!({}));
    simulation.settle();
    let (engine, id) = (simulation.engine(), run.id());
    simulation.block_on(async move { engine.run::<()>(id).cancel("enough").await }).unwrap().unwrap();
    let failure = simulation.block_on(run.result()).unwrap().expect_err("it is cancelled");
    assert!(failure.to_string().contains("cancelled"), "{failure}");
    assert_eq!(runs_of(&simulation, "child").len(), 2);
}

#[test]
fn a_declared_output_is_never_taken_for_a_tagged_one() {
    let child = "workflow: child\nnodes: { it: { end: { result: text, pages: 3 } } }\n";
    let main = "workflow: main\nnodes: { it: { trigger: child, then: end } }\noutput: '= it'\n";
    assert_eq!(gives(&[AGENTS, main, child], json!({})), json!({ "result": "text", "pages": 3 }));
}
