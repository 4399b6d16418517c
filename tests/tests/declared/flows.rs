//! Agents that answer by a flow: conversations through definitions.

use super::{app, project, read};
use rejoin::definition::{FlowVersion, Source};
use rejoin::testkit::{Dialogue, Simulation, World};
use rejoin::{Context, Conversation, Job, RunStatus, Sent, Speaker};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{builder, start};
use serde_json::{Value, json};

const PROJECT: &str = "
agents:
  echo: { rust: true }
  judge: { rust: true }
  broken: { rust: true }
  caller: { rust: true }
  double: { rust: true }
  support: { flow: talk, grants: [refund, colleague, later] }
  colleague: { flow: aside }
  later: { flow: elsewhere }
persons: [ann, bob]
channels: { desk: console }
";

const TALK: &str = "
workflow: talk
input: { message: string, number: integer }
nodes:
  what:
    choose:
      refund: input.message.contains('refund')
      person: input.message.contains('person')
      gone: input.message.contains('forever')
      aside: input.message.contains('aside')
      inline: input.message.contains('inline')
      asks: input.message.contains('order')
    route: { asks: which, refund: refund, person: handing, gone: leaving, aside: aside, inline: inline, else: hello }
  refund: { trigger: refund, input: { reason: '{{ input.message }}' }, route: { completed: paid, failed: sorry } }
  paid: { end: 'You get {{ refund.sum }} back.' }
  sorry: { end: 'That did not work: {{ status.refund.code }}.' }
  handing: { handoff: One moment., contact: { email: help@example.com }, ending: I am back., then: back }
  back: { end: '{{ handing.by }} has settled that.' }
  leaving: { handoff: A colleague will write to you., contact: { phone: '+1 555 0100' } }
  aside: { call: colleague, input: { ask: it }, history: true, visitor: true, then: told }
  told: { end: 'They say: {{ aside }}' }
  inline: { call: colleague, mode: inline, input: { ask: it }, then: said }
  said: { end: Was that of help? }
  which: { ask: Which order?, within: 1d, route: { completed: sure, late: never } }
  sure: { ask: 'Order {{ which }}, is that right?', route: { completed: right } }
  right: { end: 'Order {{ which }}: {{ sure }}.' }
  never: { end: Another time. }
  hello: { end: 'Message {{ input.number }}.' }
";

const REFUND: &str = "
workflow: refund
input: { reason: string }
nodes:
  late: { choose: { late: \"input.reason.contains('late')\" }, route: { late: no, else: pause } }
  no: { fail: too-late }
  pause: { wait: 1h, then: paid }
  paid: { end: { sum: 49 } }
";

const ASIDE: &str = "
workflow: aside
input: { ask: string }
nodes:
  spoken: { say: Here I am., route: { completed: seen, refused: seen } }
  seen: { end: \"{{ status.spoken.outcome }}, {% if 'lang' in visitor %}{{ visitor.lang }}{% else %}nothing known{% endif %}\" }
";

const ELSEWHERE: &str = "
workflow: elsewhere
nodes: { it: { end: done } }
";

const FILES: [&str; 5] = [PROJECT, TALK, REFUND, ASIDE, ELSEWHERE];

struct Chat {
    simulation: Simulation,
    with: Conversation,
}

impl Chat {
    fn begin() -> Chat {
        Chat::within(&World::new(1), &FILES)
    }

    fn within(world: &World, files: &[&str]) -> Chat {
        let mut simulation = start(world, app(files));
        let engine = simulation.engine();
        let opened = simulation.block_on(async move { engine.conversation("support").user("ann").key("one").await });
        Chat { simulation, with: opened.unwrap().unwrap() }
    }

    fn say(&mut self, text: &str) -> Sent {
        let (with, text) = (self.with.clone(), text.to_owned());
        let said = self.simulation.block_on(async move { with.say(&text).visitor("lang", "de").await });
        said.unwrap().unwrap()
    }

    fn transcript(&self) -> Vec<String> {
        let who = |speaker: Speaker| match speaker {
            Speaker::User(name) | Speaker::Agent(name) | Speaker::Person(name) | Speaker::Workflow(name) => name,
            Speaker::Anonymous => "somebody".to_owned(),
        };
        let messages = self.with.messages(0).unwrap();
        messages.into_iter().map(|it| format!("{}: {}", who(it.speaker.clone()), it.text())).collect()
    }
}

#[test]
fn spec_c2_what_a_flow_triggers_comes_back_to_its_conversation() {
    Dialogue::with("support", app(&FILES))
        .user("ann")
        .says("hello")
        .calls_nothing()
        .replies("Message 1.")
        .says("a refund, please")
        .calls("refund", &json!({ "reason": "a refund, please" }))
        .returning(&json!({ "sum": 49 }))
        .replies("You get 49 back.")
        .says("a refund, though late")
        .calls("refund", &json!({ "reason": "a refund, though late" }))
        .failing("too-late")
        .replies("That did not work: too-late.")
        .play();
}

#[test]
fn spec_c7_messages_go_on_while_a_flow_waits() {
    let mut chat = Chat::begin();
    let refund = chat.say("a refund, please");
    chat.say("hello");
    chat.simulation.block_on(async move { refund.settled().await }).unwrap().unwrap();
    // The turn that waits has released the conversation, and its reply comes when it comes.
    let expected = ["ann: a refund, please", "ann: hello", "support: Message 2.", "support: You get 49 back."];
    assert_eq!(chat.transcript(), expected);
}

#[test]
fn spec_e4_a_handoff_node_goes_on_when_the_person_gives_it_back() {
    let mut chat = Chat::begin();
    chat.say("a person, please");
    chat.simulation.settle();
    let shown = chat.with.messages(0).unwrap()[1].content.clone().unwrap();
    assert_eq!(shown, json!({ "text": "One moment.", "contact": { "email": "help@example.com" } }));
    assert_eq!(chat.simulation.engine().review_queue().unwrap().len(), 1);
    let with = chat.with.clone();
    let settled = chat.simulation.block_on(async move {
        with.claim("bob").await?;
        with.reply("bob", "Hello, I am Bob.").await?;
        with.release("bob", None).await
    });
    settled.unwrap().unwrap();
    chat.simulation.settle();
    assert!(chat.simulation.engine().review_queue().unwrap().is_empty());
    let said = chat.with.messages(0).unwrap();
    assert_eq!(said[2].text(), "Hello, I am Bob.");
    assert_eq!(said[3].content.clone().unwrap()["text"], "I am back.");
    assert_eq!(said[4].text(), "bob has settled that.");
}

#[test]
fn spec_e3_a_handoff_node_without_an_end_ends_the_flow() {
    let mut chat = Chat::begin();
    chat.say("goodbye forever");
    chat.simulation.settle();
    chat.say("anybody there?");
    chat.simulation.settle();
    // Nobody answers while people have it.
    assert_eq!(chat.transcript().len(), 3, "{:?}", chat.transcript());
    assert_eq!(chat.simulation.engine().review_queue().unwrap().len(), 1);
    let turn = super::runs_of(&chat.simulation, "support").remove(0);
    assert_eq!(turn.row.status, RunStatus::Completed);
}

#[test]
fn spec_e2_a_call_says_what_it_shares() {
    let mut chat = Chat::begin();
    chat.say("aside");
    chat.simulation.settle();
    chat.say("inline");
    chat.simulation.settle();
    let expected = [
        "ann: aside",
        "support: They say: refused, de",
        "ann: inline",
        "colleague: Here I am.",
        "colleague: completed, nothing known",
        "support: Was that of help?",
    ];
    assert_eq!(chat.transcript(), expected);
}

#[test]
fn spec_f10_a_flow_counts_as_its_agent_does() {
    let deep =
        |name: &str, next: &str| format!("workflow: {name}\nnodes: {{ it: {{ trigger: {next}, then: end }} }}\n");
    let files = [
        "agents: { first: { flow: a, grants: [second] }, second: { flow: b, grants: [c] } }\n".to_owned(),
        deep("a", "second"),
        deep("b", "c"),
        deep("c", "d"),
        "workflow: d\nnodes: { it: { end: done } }\n".to_owned(),
    ];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (project, found) = read(&files);
    let text = found.text(&project.sources);
    assert!(text.contains("R107") && text.contains("depth 3: a -> second -> c -> d"), "{text}");
}

#[test]
fn spec_c4_a_flow_needs_the_grants_of_its_agent() {
    let files = [
        "agents: { a: { flow: talk } }\n",
        "workflow: talk\nnodes: { it: { trigger: other, then: end } }\n",
        "workflow: other\nnodes: { it: { end: done } }\n",
    ];
    let (it, found) = read(&files);
    assert!(found.text(&it.sources).contains("R109"), "{}", found.text(&it.sources));
    let granted = files.map(|text| text.replace("flow: talk }", "flow: talk, grants: [other] }"));
    project(&granted.each_ref().map(String::as_str));
}

#[test]
fn a_flow_may_do_what_its_own_steps_are() {
    let files = |flow: &str| {
        [
            "agents: { a: { flow: talk }, echo: { rust: true } }\n".to_owned(),
            format!("workflow: talk\nnodes: {{ it: {flow} }}\n"),
        ]
    };
    let wrong = |flow: &str| {
        let files = files(flow);
        let (project, found) = read(&files.each_ref().map(String::as_str));
        found.text(&project.sources)
    };
    assert_eq!(wrong("{ command: cat, route: { completed: end } }"), "");
    // A task is asked of an agent like anything else.
    assert!(wrong("{ task: hello, agent: echo, then: end }").contains("R109"));
    // Also where it may trigger nothing, and as deep as there is anything.
    let [project, flow] = files("{ command: cat, route: { completed: end } }");
    let flow = flow + "output: '= it'\n";
    let main = "workflow: main\nnodes: { one: { trigger: deeper, route: { completed: end } } }\noutput: '= one'\n";
    let deeper = "workflow: deeper\nnodes: { two: { trigger: deepest, route: { completed: end } } }\noutput: '= two'\n";
    let deepest = "workflow: deepest\nstart: work\nstages: { work: { assign: [{ agent: a, task: hello }], then: end } }\noutput: '= work'\n";
    let step = Job::<Value, Value>::of("talk.it");
    let app = app(&[&project, &flow, main, deeper, deepest])
        .job(&step, |ctx: Context, _: Value| async move { Ok(json!({ "done": ctx.depth() })) });
    let (mut simulation, run) = super::begin(app, json!({}));
    let said = simulation.block_on(run.result()).unwrap().unwrap();
    assert!(said.to_string().contains(r#""done":2"#), "{said}");
}

#[test]
fn spec_a15_a_turn_stays_with_the_flow_that_it_began_with() {
    let flow = |name: &str| {
        format!(
            "workflow: {name}\ninput: {{ message: string }}\nnodes: {{ pause: {{ wait: 1h, then: it }}, it: {{ end: {name} }} }}\n"
        )
    };
    let files = |name: &str| [format!("agents: {{ bot: {{ flow: {name} }} }}\npersons: [ann]\n"), flow(name)];
    let of = |name: &str| project(&files(name).each_ref().map(String::as_str));
    let begin = |world: &World, builder| {
        let mut simulation = start(world, builder);
        let engine = simulation.engine();
        let opened = simulation.block_on(async move { engine.conversation("bot").user("ann").key("one").await });
        Chat { simulation, with: opened.unwrap().unwrap() }
    };
    let world = World::new(1);
    let mut chat = begin(&world, of("old").install(builder(), |_| 1));
    chat.say("first");
    chat.simulation.settle();
    drop(chat);
    let earlier = Source { name: "old".to_owned(), text: flow("old") };
    let now = of("new");
    let app =
        now.install_earlier_flow(now.install(builder(), |_| 2), "bot", earlier, FlowVersion { version: 1, of: 1 });
    let mut chat = begin(&world.crash(Outcome::Kept, 1), app);
    let second = chat.say("second");
    chat.simulation.block_on(async move { second.settled().await }).unwrap().unwrap();
    chat.simulation.settle();
    assert_eq!(chat.transcript(), ["ann: first", "ann: second", "bot: old", "bot: new"]);
}

#[test]
fn spec_c1_what_does_not_fit_a_flow_is_refused() {
    let mut chat = Chat::begin();
    let engine = chat.simulation.engine();
    let asked = chat.simulation.block_on(async move {
        engine.job_json("colleague", None, &json!({ "task": "it" })).await.unwrap().result().await
    });
    let failure = asked.unwrap().expect_err("it is refused").to_string();
    assert!(failure.contains("ask"), "{failure}");
}

#[test]
fn spec_c7_what_a_flow_asks_is_answered_by_the_next_message() {
    let mut chat = Chat::begin();
    chat.say("My order is late.");
    chat.simulation.settle();
    let second = chat.say("4711");
    assert!(second.turn.is_none(), "it is an answer, and begins no turn");
    chat.simulation.settle();
    chat.say("yes");
    chat.simulation.settle();
    chat.say("Thanks.");
    chat.simulation.settle();
    let told = [
        "ann: My order is late.",
        "support: Which order?",
        "ann: 4711",
        "support: Order 4711, is that right?",
        "ann: yes",
        "support: Order 4711: yes.",
        "ann: Thanks.",
        "support: Message 7.",
    ];
    assert_eq!(chat.transcript(), told);
}

#[test]
fn spec_c7_whoever_asked_last_is_answered_and_a_call_that_is_over_hears_nothing() {
    // The colleague asks two things at once, and nobody waits for it any more when the answers come.
    let project = PROJECT.replace("colleague: { flow: aside }", "colleague: { flow: asks }");
    let asks = "workflow: asks\nnodes:\n  both: { parallel: { a: { ask: First? }, b: { ask: Second? } }, then: end }\n";
    let talk =
        TALK.replace("mode: inline, input: { ask: it }, then: said }", "mode: inline, timeout: 1h, then: said }");
    let world = World::new(1);
    let mut chat = Chat::within(&world, &[&project, &talk, REFUND, ELSEWHERE, asks]);
    chat.say("inline");
    chat.simulation.settle();
    chat.say("My order is late.");
    chat.simulation.settle();
    let told = [
        "ann: inline",
        "colleague: First?",
        "colleague: Second?",
        // This one answers the first of them.
        "ann: My order is late.",
    ];
    assert_eq!(chat.transcript(), told);
    world.pass(rejoin::time::hours(2));
    chat.simulation.settle();
    chat.say("Is anybody there?");
    chat.simulation.settle();
    assert_eq!(chat.transcript()[4..], ["support: Was that of help?", "ann: Is anybody there?", "support: Message 6."]);
}

#[test]
fn spec_c7_in_the_conversation_of_a_task_nobody_is_asked() {
    let main = "workflow: main\nnodes: { it: { task: Find the order., agent: support, route: { completed: end, failed: why, refused: why } }, why: { end: '{{ status.it.code }}' } }\n";
    let talk = TALK
        .replace("input: { message: string, number: integer }\n", "")
        .replace("    choose:\n", "    choose:\n      task: \"'task' in input\"\n")
        .replace("route: { asks: which,", "route: { task: which, asks: which,");
    let (mut simulation, run) = super::begin(app(&[PROJECT, &talk, REFUND, ASIDE, ELSEWHERE, main]), json!({}));
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), json!("no-conversation"));
}

#[test]
fn spec_c7_who_answers_too_late_begins_a_turn() {
    let world = World::new(1);
    let mut chat = Chat::within(&world, &FILES);
    chat.say("My order is late.");
    chat.simulation.settle();
    world.pass(rejoin::time::hours(25));
    chat.simulation.settle();
    chat.say("4711");
    chat.simulation.settle();
    let told = [
        "ann: My order is late.",
        "support: Which order?",
        "support: Another time.",
        "ann: 4711",
        "support: Message 4.",
    ];
    assert_eq!(chat.transcript(), told);
}
