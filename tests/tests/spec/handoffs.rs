//! E3, E4: a person takes over a conversation, and gives it back.

use super::conversations::{open, rejected, say, transcript, try_say};
use rejoin::testkit::{Simulation, World};
use rejoin::time::{hours, minutes};
use rejoin::{Agent, Builder, Context, Conversation, Failure, Job, Rejection, RunError, RunStatus, Turn};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{builder, start};
use serde_json::{Value, json};

const SUPPORT: Job<Turn, Value> = Job::turns("support");
const BILLING: Job<Turn, Value> = Job::turns("billing");

/// Support hands disputes to billing, which hands them to a person; the end of it is where billing goes on.
fn app() -> Builder {
    builder()
        .person("ann")
        .person("bob")
        .person("cleo")
        .agent(Agent::named("support").grant("billing"))
        .job(&SUPPORT, |ctx: Context, turn: Turn| async move {
            match turn.text().as_str() {
                "dispute" => ctx.job(&BILLING, turn).inline().await.map(|settled| json!(format!("so {settled}"))),
                "give up" => Err(ctx.hand_off("A colleague will look into this.").email("help@example.com").for_good()),
                "delegate" => match ctx.job(&BILLING, Turn { message: json!("give up"), ..turn }).inline().await {
                    Err(failure) if failure.is_handed_off() => Ok(json!("somebody else has it")),
                    other => other,
                },
                "bad link" => ctx.hand_off("x").url("javascript:alert(1)").await.map(|_| Value::Null),
                text => Ok(json!(format!("you said {text}"))),
            }
        })
        .job(&BILLING, |ctx: Context, turn: Turn| async move {
            if turn.text() == "give up" {
                return Err(ctx.hand_off("Somebody will call.").phone("+49 30 1234").for_good());
            }
            let back = ctx
                .hand_off("I am connecting you with our team.")
                .email("billing@example.com")
                .url("https://example.com/help")
                .ending("Thanks for waiting.")
                .await?;
            Ok(json!(format!("{} noted {}", back.by, back.note.unwrap_or_default())))
        })
}

fn ask<F>(simulation: &mut Simulation, chat: &Conversation, act: impl FnOnce(Conversation) -> F) -> Result<(), RunError>
where
    F: Future<Output = Result<(), RunError>> + Send + 'static,
{
    simulation.block_on(act(chat.clone())).expect("an answer")
}

fn claim(simulation: &mut Simulation, chat: &Conversation, who: &'static str) -> Result<(), RunError> {
    ask(simulation, chat, |chat| async move { chat.claim(who).await })
}

fn release(simulation: &mut Simulation, chat: &Conversation, who: &'static str) -> Result<(), RunError> {
    ask(simulation, chat, |chat| async move { chat.release(who, Some(&json!("refunded"))).await })
}

fn queue(simulation: &Simulation) -> Vec<rejoin::ConversationInfo> {
    simulation.engine().review_queue().expect("a list")
}

#[test]
fn spec_e3_a_handoff_is_shown_and_queued_and_messages_meanwhile_are_kept() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "dispute");
    simulation.settle();
    let flagged = queue(&simulation);
    assert_eq!((flagged.len(), flagged[0].id, flagged[0].row.owner.as_deref()), (1, chat.id(), None));
    let shown = chat.messages(0).unwrap()[1].content.clone().unwrap();
    let contact = json!({ "email": "billing@example.com", "url": "https://example.com/help" });
    assert_eq!(shown, json!({ "text": "I am connecting you with our team.", "contact": contact }));
    assert!(say(&mut simulation, &chat, "anybody there?").turn.is_none(), "no agent answers");
    // All of it holds over a restart.
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    simulation.settle();
    let chat = simulation.engine().find_conversation(chat.id()).unwrap();
    assert_eq!(queue(&simulation)[0].id, chat.id());
    say(&mut simulation, &chat, "hello?");
    simulation.settle();
    assert_eq!(chat.messages(0).unwrap().len(), 4);
    let billing = super::runs_of(&simulation, "billing").remove(0);
    let why = simulation.engine().why(billing.id).unwrap();
    assert!(!why.is_stuck(), "{why:?}");
}

#[test]
fn spec_e3_one_owner_at_a_time() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    assert_eq!(rejected(claim(&mut simulation, &chat, "bob")), Rejection::NoReview);
    say(&mut simulation, &chat, "dispute");
    simulation.settle();
    assert!(matches!(claim(&mut simulation, &chat, "zoe"), Err(RunError::UnknownPerson { .. })));
    let reply = |chat: Conversation| async move { chat.reply("bob", "let me see").await };
    assert!(matches!(rejected(ask(&mut simulation, &chat, reply)), Rejection::NotTheOwner { owner: None }));
    claim(&mut simulation, &chat, "bob").unwrap();
    assert_eq!(rejected(claim(&mut simulation, &chat, "cleo")), Rejection::NotTheOwner { owner: Some("bob".into()) });
    assert!(matches!(rejected(release(&mut simulation, &chat, "cleo")), Rejection::NotTheOwner { .. }));
    ask(&mut simulation, &chat, reply).unwrap();
    simulation.settle();
    assert_eq!(queue(&simulation)[0].row.owner.as_deref(), Some("bob"));
    assert_eq!(transcript(&chat).last().unwrap(), "bob: let me see");
}

#[test]
fn spec_e4_a_release_goes_on_at_the_end_of_the_handoff() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "dispute");
    simulation.settle();
    claim(&mut simulation, &chat, "bob").unwrap();
    world.pass(hours(30));
    release(&mut simulation, &chat, "bob").unwrap();
    simulation.settle();
    let lines = transcript(&chat);
    assert_eq!(lines[2], "billing: Thanks for waiting.");
    let told = chat.messages(0).unwrap()[2].content.clone().unwrap();
    assert_eq!(told["contact"]["email"], "billing@example.com", "{told}");
    assert_eq!(lines[3], r#"billing: bob noted "refunded""#);
    assert_eq!(lines[4], r#"support: so "bob noted \"refunded\"""#);
    assert!(queue(&simulation).is_empty());
    assert_eq!(rejected(release(&mut simulation, &chat, "bob")), Rejection::NoReview);
    say(&mut simulation, &chat, "thanks");
    simulation.settle();
    assert_eq!(transcript(&chat).last().unwrap(), r#"support: you said thanks"#);
}

#[test]
fn spec_e4_a_handoff_without_an_end_completes_the_run_as_handed_off() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    let turn = say(&mut simulation, &chat, "give up").turn.unwrap();
    simulation.settle();
    let row = turn.describe().unwrap().row;
    assert_eq!((row.status, row.trouble.as_deref()), (RunStatus::Completed, Some("it was handed over to a person")));
    let ended = simulation.block_on(async move { turn.result().await }).unwrap();
    assert!(matches!(ended, Err(RunError::Failed(failure)) if failure.is_handed_off()));
    claim(&mut simulation, &chat, "bob").unwrap();
    release(&mut simulation, &chat, "bob").unwrap();
    say(&mut simulation, &chat, "and now?");
    simulation.settle();
    assert_eq!(transcript(&chat).last().unwrap(), "support: you said and now?");
    // Its parent sees that too.
    say(&mut simulation, &chat, "delegate");
    simulation.settle();
    assert_eq!(transcript(&chat).last().unwrap(), "support: somebody else has it");
    assert_eq!(queue(&simulation).len(), 1);
}

#[test]
fn spec_e3_what_cannot_be_handed_over_is_refused() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "bad link");
    simulation.settle();
    let failed = chat.messages(0).unwrap()[1].content.clone().expect_err("refused");
    assert_eq!(failed.code(), "bad-contact");
    assert!(queue(&simulation).is_empty());
    // A run that is in no conversation has nothing to hand over.
    let engine = simulation.engine();
    let headless = async move {
        let turn = Turn { message: json!("give up"), from: None, number: 1 };
        engine.job(&SUPPORT, turn).await.unwrap().result().await
    };
    let failed: Result<Value, RunError> = simulation.block_on(headless).unwrap();
    assert!(matches!(failed, Err(RunError::Failed(failure)) if failure.code() == "no-conversation"));
}

#[test]
fn spec_e4_turns_that_waited_come_when_the_person_has_given_it_back() {
    let app = builder().person("ann").person("bob").job(&SUPPORT, |ctx: Context, turn: Turn| async move {
        if turn.text() == "help" {
            ctx.step("think", || Err::<(), _>(Failure::transient("busy"))).retry(2).await.ok();
            ctx.hand_off("a moment").await?;
        }
        Ok(json!(turn.text()))
    });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "help");
    simulation.settle();
    let second = try_say(&mut simulation, &chat, "second").unwrap();
    assert!(second.turn.is_some(), "it waits for the first");
    for _ in 0..5 {
        world.pass(minutes(5));
        simulation.settle();
    }
    assert_eq!(transcript(&chat), ["ann: help", "ann: second", "support: a moment"]);
    claim(&mut simulation, &chat, "bob").unwrap();
    release(&mut simulation, &chat, "bob").unwrap();
    simulation.settle();
    let mut lines = transcript(&chat).split_off(3);
    lines.sort();
    assert_eq!(lines, ["support: help", "support: second"]);
}
