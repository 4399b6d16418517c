//! C1 to C3, C7, D5, D8, E2: conversations with agents.

use rejoin::testkit::{Simulation, World};
use rejoin::time::{days, minutes, seconds};
use rejoin::{
    Agent, Busy, Context, Conversation, ConversationFilter, ConversationInfo, Failure, Job, Message, Rejection,
    RunError, Sent, Sort, Speaker, TriggerError, Turn, Workflow,
};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{builder, start};
use serde_json::{Value, json};

const SUPPORT: Job<Turn, String> = Job::turns("support");
const BILLING: Job<Turn, String> = Job::turns("billing");
const ORDER: Workflow<String, String> = Workflow::named("look-up-order");

pub fn open(simulation: &mut Simulation, agent: &str, key: &str) -> Conversation {
    let (engine, agent, key) = (simulation.engine(), agent.to_owned(), key.to_owned());
    let opened = simulation.block_on(async move { engine.conversation(agent).user("ann").key(key).await });
    opened.expect("an answer").expect("a conversation")
}

pub fn try_say(simulation: &mut Simulation, chat: &Conversation, text: &str) -> Result<Sent, RunError> {
    let (chat, text) = (chat.clone(), text.to_owned());
    simulation.block_on(async move { chat.say(&text).await }).expect("an answer")
}

pub fn say(simulation: &mut Simulation, chat: &Conversation, text: &str) -> Sent {
    try_say(simulation, chat, text).expect("it is taken")
}

/// Who said what, a line each.
pub fn transcript(chat: &Conversation) -> Vec<String> {
    let line = |message: &Message| {
        let who = match &message.speaker {
            Speaker::User(name) | Speaker::Agent(name) | Speaker::Person(name) | Speaker::Workflow(name) => name,
            Speaker::Anonymous => "somebody",
        };
        format!("{who}: {}", message.text())
    };
    chat.messages(0).expect("messages").iter().map(line).collect()
}

pub fn rejected<T>(result: Result<T, RunError>) -> Rejection {
    match result {
        Err(RunError::Rejected(rejection)) => rejection,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// An agent that takes a minute for each message.
async fn slowly(ctx: Context, turn: Turn) -> Result<String, Failure> {
    ctx.step("think", || async { Ok::<_, Failure>(()) }).await?;
    ctx.step(turn.text().as_str(), || Err::<(), _>(Failure::transient("not yet")))
        .retry(2)
        .timeout(seconds(20))
        .await
        .ok();
    Ok(format!("as to {}", turn.text()))
}

fn app() -> rejoin::Builder {
    builder()
        .person("ann")
        .person("bob")
        .agent(Agent::named("support").grant("look-up-order").grant("billing"))
        .job(&SUPPORT, |ctx: Context, turn: Turn| async move {
            match turn.text().as_str() {
                "where is it?" => {
                    let found = ctx.call(&ORDER, "4711".to_owned()).timeout(minutes(5)).await?;
                    Ok(format!("it is {found}"))
                }
                "lost?" => match ctx.call(&ORDER, "lost".to_owned()).await {
                    Ok(found) => Ok(found),
                    Err(failure) => Ok(format!("I could not find it ({}); shall I ask somebody?", failure.code())),
                },
                "break" => Err(Failure::business("broken", "down")),
                "how many?" => {
                    let thread = ctx.conversation().expect("a conversation");
                    let count = ctx.step("count", move || thread.messages().map(|messages| messages.len())).await?;
                    Ok(format!("{count} so far"))
                }
                "bill" => {
                    ctx.transfer("billing", "about a bill").await?;
                    Ok("billing will help you".to_owned())
                }
                text => Ok(format!("you said {text}")),
            }
        })
        .job(&BILLING, |_: Context, turn: Turn| async move { Ok(format!("billing on {}", turn.text())) })
        .workflow(&ORDER, |ctx: Context, order: String| async move {
            ctx.sleep(seconds(40)).await?;
            if order == "lost" { Err(Failure::business("no-such-order", order)) } else { Ok("on its way".to_owned()) }
        })
}

#[test]
fn spec_c2_the_result_comes_back_to_the_agent_and_the_conversation_goes_on() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    let sent = say(&mut simulation, &chat, "where is it?");
    let reply = simulation.block_on(async move { sent.reply::<String>().await }).unwrap().unwrap();
    assert_eq!(reply, "it is on its way");
    say(&mut simulation, &chat, "thanks");
    simulation.settle();
    let expected = ["ann: where is it?", "support: it is on its way", "ann: thanks", "support: you said thanks"];
    assert_eq!(transcript(&chat), expected);
}

#[test]
fn spec_c3_a_failure_is_told_in_the_conversation_and_never_silent() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    let sent = say(&mut simulation, &chat, "lost?");
    let world = simulation.world().clone();
    simulation.settle();
    world.pass(minutes(1));
    simulation.block_on(async move { sent.settled().await }).unwrap().unwrap();
    say(&mut simulation, &chat, "break");
    simulation.settle();
    let messages = chat.messages(0).unwrap();
    assert_eq!(messages[1].text(), "I could not find it (no-such-order); shall I ask somebody?");
    let failed = messages[3].content.as_ref().expect_err("the turn failed");
    assert_eq!((failed.code(), messages[3].run, messages[3].sort), ("broken", messages[2].run, Sort::Reply));
    say(&mut simulation, &chat, "still there?");
    simulation.settle();
    assert_eq!(transcript(&chat).last().unwrap(), "support: you said still there?");
}

#[test]
fn spec_c7_a_suspended_turn_releases_the_conversation_and_its_reply_comes_when_it_comes() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "where is it?");
    simulation.settle();
    say(&mut simulation, &chat, "hello");
    simulation.settle();
    assert_eq!(transcript(&chat), ["ann: where is it?", "ann: hello", "support: you said hello"]);
    // It waits over a restart too.
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    simulation.settle();
    simulation.world().pass(minutes(1));
    simulation.settle();
    let chat = simulation.engine().find_conversation(chat.id()).unwrap();
    assert_eq!(transcript(&chat)[3], "support: it is on its way");
    let turns = chat.info().unwrap().row.turns;
    let runs: Vec<_> = chat.messages(0).unwrap().iter().filter_map(|message| message.run).collect();
    let row = simulation.engine().describe(runs[0]).unwrap().row;
    assert_eq!((turns, row.depth, row.parent), (0, 0, None), "each turn is a run at depth 0");
}

/// A conversation in which a turn works, that must be tried again in a while.
fn busy(policy: Busy) -> (Simulation, Conversation) {
    let app = builder().person("ann").job(&SUPPORT, slowly);
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let opened = async move { engine.conversation("support").user("ann").when_busy(policy).await };
    let chat = simulation.block_on(opened).unwrap().unwrap();
    say(&mut simulation, &chat, "one");
    simulation.settle();
    (simulation, chat)
}

fn finish(simulation: &mut Simulation) {
    for _ in 0..10 {
        simulation.world().pass(minutes(10));
        simulation.settle();
    }
}

#[test]
fn spec_c7_a_message_that_comes_while_a_turn_works_waits() {
    let (mut simulation, chat) = busy(Busy::Queue);
    let second = say(&mut simulation, &chat, "two").turn.expect("a turn of its own");
    let third = say(&mut simulation, &chat, "three").turn.expect("a turn of its own");
    let why = second.why().unwrap();
    assert!(!why.is_stuck(), "{why:?}");
    assert_eq!(third.describe().unwrap().row.status.name(), "queued");
    finish(&mut simulation);
    let expected =
        ["ann: one", "ann: two", "ann: three", "support: as to one", "support: as to two", "support: as to three"];
    assert_eq!(transcript(&chat), expected);
}

#[test]
fn spec_c7_a_busy_conversation_may_refuse_coalesce_or_interrupt() {
    let (mut simulation, chat) = busy(Busy::Reject);
    assert_eq!(rejected(try_say(&mut simulation, &chat, "two")), Rejection::ConversationBusy);
    finish(&mut simulation);
    assert_eq!(transcript(&chat), ["ann: one", "support: as to one"]);

    let (mut simulation, chat) = busy(Busy::Coalesce);
    assert!(say(&mut simulation, &chat, "two").turn.is_some());
    assert!(say(&mut simulation, &chat, "three").turn.is_none(), "the turn that waits answers it as well");
    finish(&mut simulation);
    let expected = ["ann: one", "ann: two", "ann: three", "support: as to one", "support: as to two"];
    assert_eq!(transcript(&chat), expected);
    let messages = chat.messages(0).unwrap();
    assert_eq!(messages[1].run, messages[2].run);

    // One that brings something of its own has a turn that is given it.
    let (mut simulation, chat) = busy(Busy::Coalesce);
    say(&mut simulation, &chat, "two");
    let (engine, own) = (simulation.engine(), chat.clone());
    let sent = simulation.block_on(async move {
        let terms = engine.keep_document("terms", b"all terms").await.unwrap();
        own.say("three").document(&terms).await.unwrap()
    });
    let turn = sent.unwrap().turn.expect("a turn of its own");
    let history = simulation.engine().history(turn.id()).unwrap();
    let given = history[0].transition.events.iter().find_map(|event| match event {
        rejoin::Event::Briefed(brief) => Some(brief.documents[0].name.clone()),
        _ => None,
    });
    assert_eq!(given.as_deref(), Some("terms"));

    let (mut simulation, chat) = busy(Busy::Interrupt);
    say(&mut simulation, &chat, "two");
    finish(&mut simulation);
    let messages = chat.messages(0).unwrap();
    assert!(messages[2].content.as_ref().is_err_and(Failure::is_cancelled), "{messages:?}");
    assert_eq!(transcript(&chat)[3], "support: as to two");
}

#[test]
fn spec_c7_each_tool_says_whether_an_interruption_cancels_it() {
    const TOOL: Workflow<u32, u32> = Workflow::named("tool");
    for outlasts in [true, false] {
        let app = builder()
            .person("ann")
            .agent(Agent::named("support").grant("tool"))
            .job(&SUPPORT, move |ctx: Context, turn: Turn| async move {
                if turn.text() != "research" {
                    return Ok("yes?".to_owned());
                }
                let kept = ctx.call(&TOOL, 1);
                let kept = if outlasts { kept.outlasting_interruption() } else { kept };
                let (kept, other) = rejoin::join((kept, ctx.call(&TOOL, 2))).await;
                Ok(format!("{:?} {}", kept?, other.map_or_else(|failure| failure.code().to_owned(), |n| n.to_string())))
            })
            .workflow(&TOOL, |ctx: Context, n: u32| async move { ctx.sleep(minutes(9)).await.map(|()| n) });
        let mut simulation = start(&World::new(1), app);
        let engine = simulation.engine();
        let opened = async move { engine.conversation("support").user("ann").when_busy(Busy::Interrupt).await };
        let chat = simulation.block_on(opened).unwrap().unwrap();
        say(&mut simulation, &chat, "research");
        simulation.settle();
        say(&mut simulation, &chat, "hello?");
        finish(&mut simulation);
        let lines = transcript(&chat);
        if outlasts {
            let expected = ["ann: research", "ann: hello?", "support: yes?", "support: 1 cancelled"];
            assert_eq!(lines, expected, "the other tool was cancelled alone");
        } else {
            assert!(lines.iter().any(|line| line.contains("a message interrupted the turn")), "{lines:?}");
        }
    }
}

#[test]
fn spec_c7_a_message_is_taken_once_and_its_metadata_reaches_the_turn() {
    const CHECKED: Job<Turn, String> = Job::turns("support").metadata(&["tenant"]);
    let app = builder()
        .person("ann")
        .job(&CHECKED, |ctx: Context, _: Turn| async move { Ok(format!("for {}", ctx.metadata::<String>("tenant")?)) });
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "support", "one");
    assert!(matches!(rejected(try_say(&mut simulation, &chat, "hi")), Rejection::MetadataMissing { .. }));
    for _ in 0..3 {
        let chat = chat.clone();
        simulation
            .block_on(async move { chat.say("hi").id("delivery-1").metadata("tenant", "acme").await })
            .unwrap()
            .unwrap();
        simulation.settle();
    }
    assert_eq!(transcript(&chat), ["ann: hi", "support: for acme"]);
}

#[test]
fn spec_c7_a_turn_reads_the_conversation_as_it_was_when_it_was_admitted() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    for text in ["a", "b", "how many?"] {
        say(&mut simulation, &chat, text);
        simulation.settle();
    }
    assert_eq!(transcript(&chat)[5], "support: 5 so far");
}

#[test]
fn spec_b1_a_conversation_is_transferred_from_agent_to_agent() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "bill");
    simulation.settle();
    say(&mut simulation, &chat, "well?");
    simulation.settle();
    let expected = [
        "ann: bill",
        "support: billing will help you",
        "billing: billing on about a bill",
        "ann: well?",
        "billing: billing on well?",
    ];
    assert_eq!(transcript(&chat), expected);
    let messages = chat.messages(0).unwrap();
    let row = |at: usize| simulation.engine().describe(messages[at].run.unwrap()).unwrap().row;
    assert_eq!((row(2).depth, row(4).depth), (1, 0), "a transfer counts, and the next message begins anew");
}

#[test]
fn spec_f10_a_chain_of_transfers_ends_at_the_limit() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut app = builder().person("ann");
    for (at, name) in NAMES.into_iter().enumerate() {
        let next = NAMES[(at + 1) % 4];
        app = app.agent(Agent::named(name).grant(next)).job(
            &Job::<Turn, String>::turns(name),
            move |ctx: Context, _: Turn| async move {
                match ctx.transfer(next, "yours").await {
                    Ok(_) => Ok(format!("to {next}")),
                    Err(failure) => Ok(format!("{}: {}", failure.code(), failure.message())),
                }
            },
        );
    }
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "a", "one");
    say(&mut simulation, &chat, "hi");
    simulation.settle();
    let expected =
        ["ann: hi", "a: to b", "b: to c", "c: depth-limit: call chain deeper than the limit of 3: a -> b -> c -> d"];
    assert_eq!(transcript(&chat), expected);
}

#[test]
fn spec_d5_conversations_are_listed_filtered_and_found_by_their_outside_key() {
    let mut simulation = start(&World::new(1), app());
    let one = open(&mut simulation, "support", "slack:1");
    let two = open(&mut simulation, "billing", "slack:2");
    assert_eq!(open(&mut simulation, "support", "slack:1").id(), one.id(), "the same key, the same conversation");
    say(&mut simulation, &two, "hi");
    simulation.settle();
    simulation.world().pass(seconds(5));
    say(&mut simulation, &one, "where is it?");
    finish(&mut simulation);
    let list = |filter: &ConversationFilter| -> Vec<ConversationInfo> {
        simulation.engine().conversations(filter, None, 10).unwrap().conversations
    };
    let all = list(&ConversationFilter::default());
    assert_eq!(all.iter().map(|info| info.id).collect::<Vec<_>>(), [one.id(), two.id()], "the latest first");
    assert_eq!((all[0].row.messages, all[0].key.as_deref()), (2, Some("slack:1")));
    assert_eq!(list(&ConversationFilter { agent: Some("billing".into()), ..Default::default() })[0].id, two.id());
    assert_eq!(list(&ConversationFilter { user: Some("ann".into()), ..Default::default() }).len(), 2);
    assert!(list(&ConversationFilter { user: Some("bob".into()), ..Default::default() }).is_empty());
    assert!(list(&ConversationFilter { task: Some(true), ..Default::default() }).is_empty());
    let page = simulation.engine().conversations(&ConversationFilter::default(), None, 1).unwrap();
    let next = simulation.engine().conversations(&ConversationFilter::default(), page.next.as_deref(), 1).unwrap();
    assert_eq!((next.conversations[0].id, next.next), (two.id(), None));
    let turn = one.messages(0).unwrap()[1].run.unwrap();
    let actions = simulation.engine().actions(turn).unwrap();
    assert_eq!(actions.iter().map(|action| action.name.as_str()).collect::<Vec<_>>(), ["look-up-order"]);
    let runs = simulation.engine().list(&rejoin::Filter::default(), None, 100).unwrap().runs;
    assert!(runs.iter().all(|run| !run.row.workflow.starts_with('$')), "a conversation is no run");
}

#[test]
fn spec_d5_what_makes_no_sense_is_refused() {
    let mut simulation = start(&World::new(1), app());
    let engine = simulation.engine();
    let unknown = async move {
        let nobody = engine.conversation("nobody").await.err();
        let person = engine.conversation("support").user("zoe").await.err();
        (nobody, person)
    };
    let (nobody, person) = simulation.block_on(unknown).unwrap();
    assert!(matches!(nobody, Some(TriggerError::UnknownWorkflow(_))), "{nobody:?}");
    assert!(matches!(person, Some(TriggerError::UnknownPerson { .. })), "{person:?}");
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "where is it?");
    simulation.settle();
    let closing = |chat: Conversation| async move { chat.close().await };
    assert_eq!(rejected(simulation.block_on(closing(chat.clone())).unwrap()), Rejection::ConversationBusy);
    finish(&mut simulation);
    simulation.block_on(closing(chat.clone())).unwrap().unwrap();
    assert!(matches!(rejected(try_say(&mut simulation, &chat, "hi")), Rejection::Closed(_)));
    let long = "x".repeat(3 << 20);
    let other = open(&mut simulation, "support", "two");
    assert!(matches!(rejected(try_say(&mut simulation, &other, &long)), Rejection::TooLarge { .. }));
    assert!(simulation.engine().find_conversation(rejoin::RunId([1; 16])).is_err());
}

#[test]
fn spec_d5_idle_conversations_are_forgotten_after_a_time() {
    let world = World::new(1);
    let app = || app().retention(days(10));
    let mut simulation = start(&world, app());
    let old = open(&mut simulation, "support", "old");
    let live = open(&mut simulation, "support", "live");
    say(&mut simulation, &old, "hi");
    simulation.settle();
    for _ in 0..12 {
        world.pass(days(1));
        say(&mut simulation, &live, "hi");
        simulation.settle();
    }
    assert!(matches!(old.info(), Err(RunError::NotFound(_))));
    assert_eq!(live.info().unwrap().row.messages, 24);
    // What was forgotten can be begun again.
    let again = open(&mut simulation, "support", "old");
    assert_eq!((again.id(), again.info().unwrap().row.messages), (old.id(), 0));
}

#[test]
fn spec_d8_an_app_event_opens_a_conversation_and_the_answer_continues_it() {
    const RENEW: Workflow<String, Value> = Workflow::named("renewals");
    let app = app().workflow(&RENEW, |ctx: Context, person: String| async move {
        match ctx.tell(&person, "support", "your plan ends soon").await {
            Ok(id) => Ok(json!(id.to_string())),
            Err(failure) => Ok(json!(failure.code())),
        }
    });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let send = |engine: rejoin::Engine, person: &str| {
        let person = person.to_owned();
        async move { engine.trigger(&RENEW, person).await.unwrap().result().await.unwrap() }
    };
    let id = simulation.block_on(send(engine.clone(), "ann")).unwrap();
    simulation.block_on(send(engine.clone(), "ann")).unwrap();
    assert_eq!(simulation.block_on(send(engine.clone(), "zoe")).unwrap(), "unknown-person");
    let chat = engine.find_conversation(id.as_str().unwrap().parse().unwrap()).unwrap();
    say(&mut simulation, &chat, "then renew it");
    simulation.settle();
    let expected = [
        "support: your plan ends soon",
        "support: your plan ends soon",
        "ann: then renew it",
        "support: you said then renew it",
    ];
    assert_eq!(transcript(&chat), expected);
    assert_eq!(chat.info().unwrap().row.user.as_deref(), Some("ann"));
}

#[test]
fn spec_e2_a_call_shares_the_history_or_speaks_in_the_conversation_or_neither() {
    const HELPER: Job<String, String> = Job::named("helper", "help");
    let app = builder()
        .person("ann")
        .agent(Agent::named("support").grant("helper"))
        .job(&SUPPORT, |ctx: Context, turn: Turn| async move {
            let call = ctx.job(&HELPER, turn.text());
            let call = match turn.text().as_str() {
                "inline" => call.inline(),
                "background" => call.sharing_history(),
                _ => call,
            };
            let answer = call.timeout(minutes(5)).await?;
            Ok(format!("helper says {answer}"))
        })
        .job(&HELPER, |ctx: Context, _: String| async move {
            let said = ctx.say("one moment").map_or_else(|failure| failure.code().to_owned(), |()| "spoke".to_owned());
            let read = match ctx.conversation() {
                Some(thread) => ctx.step("read", move || thread.messages().map(|all| all.len())).await?.to_string(),
                None => "nothing".to_owned(),
            };
            Ok(format!("{said}, read {read}"))
        });
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "support", "one");
    for text in ["inline", "background", "alone"] {
        say(&mut simulation, &chat, text);
        simulation.settle();
    }
    let expected = [
        "ann: inline",
        "helper: one moment",
        "helper: spoke, read 1",
        "support: helper says spoke, read 1",
        "ann: background",
        "support: helper says no-conversation, read 5",
        "ann: alone",
        "support: helper says no-conversation, read nothing",
    ];
    assert_eq!(transcript(&chat), expected);
}

#[test]
fn spec_e2_what_a_run_has_cost_is_recorded_and_adds_up() {
    let app = builder().person("ann").job(&SUPPORT, |ctx: Context, _: Turn| async move {
        for tokens in [100, 20] {
            ctx.record_usage(rejoin::Usage { input_tokens: tokens, output_tokens: 5, cost_micros: 30 });
        }
        Ok("done".to_owned())
    });
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "support", "one");
    let turn = say(&mut simulation, &chat, "hi").turn.unwrap();
    simulation.settle();
    let usage = simulation.engine().usage(turn.id()).unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_micros), (120, 10, 60));
}
