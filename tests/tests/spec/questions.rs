//! C7: questions in a conversation that are over before they are answered.

use super::conversations::{open, say, transcript};
use rejoin::testkit::{Simulation, World};
use rejoin::time::{minutes, seconds};
use rejoin::{Agent, Builder, Context, Either, Failure, Filter, Job, OnTimeout, RunStatus, Task, Turn, select};
use rejoin_tests::lives::{MAIN, builder, start};
use serde_json::json;

const SUPPORT: Job<Turn, String> = Job::turns("support");
const FINDER: Job<Task, String> = Job::tasks("support");
const HELPER: Job<String, String> = Job::of("helper");

/// It asks, and takes its time where that is cancelled; then it asks once more.
async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
    match turn.text().as_str() {
        "undo" => match ctx.ask::<String>("Which order?")?.await {
            Ok(order) => Ok(format!("Order {order}.")),
            Err(cancelled) => {
                ctx.sleep(seconds(10)).await?;
                let sure: Option<String> = ctx.ask("Is that all?")?.within(seconds(10)).await?;
                ctx.say(&format!("{sure:?}"))?;
                Err(cancelled)
            }
        },
        // It asks, waits no longer than a minute, and goes on in its next incarnation.
        "again" => match select(ctx.ask::<String>("Which order?")?, ctx.sleep(minutes(1))).await {
            Either::First(order) => Ok(format!("Order {}.", order?)),
            Either::Second(_) => Err(ctx.continue_as_new(Turn { message: json!("next"), ..turn })),
        },
        // The same, and nothing is dropped.
        "alive" => {
            std::mem::forget(ctx.ask::<String>("Which order?")?);
            ctx.sleep(minutes(1)).await?;
            Err(ctx.continue_as_new(Turn { message: json!("next"), ..turn }))
        }
        "next" => {
            let order: String = ctx.ask("Which order, please?")?.await?;
            ctx.sleep(minutes(1)).await?;
            Ok(format!("Order {order}."))
        }
        text => Ok(format!("You said {text}.")),
    }
}

fn app() -> Builder {
    builder().person("ann").agent(Agent::named("support")).job(&SUPPORT, support)
}

fn wait(simulation: &mut Simulation, time: std::time::Duration) {
    simulation.settle();
    simulation.world().clone().pass(time);
    simulation.settle();
}

#[test]
fn spec_c7_a_cancelled_turn_takes_no_message_any_more() {
    let mut simulation = start(&World::new(1), app());
    let chat = open(&mut simulation, "support", "one");
    let turn = say(&mut simulation, &chat, "undo").turn.expect("a turn");
    simulation.settle();
    simulation.block_on(async move { turn.cancel("never mind").await }).unwrap().unwrap();
    simulation.settle();
    // It undoes what it has done, and what is said meanwhile is not for it.
    assert!(say(&mut simulation, &chat, "hello").turn.is_some(), "it begins a turn");
    wait(&mut simulation, seconds(10));
    // What it asks by then is.
    assert!(say(&mut simulation, &chat, "yes").turn.is_none());
    simulation.settle();
    let told = [
        "ann: undo",
        "support: Which order?",
        "ann: hello",
        "support: You said hello.",
        "support: Is that all?",
        "ann: yes",
        "support: Some(\"yes\")",
    ];
    assert_eq!(transcript(&chat)[..7], told);
}

#[test]
fn spec_c7_who_goes_on_as_new_waits_for_what_it_asks_then() {
    for how in ["again", "alive"] {
        let mut simulation = start(&World::new(1), app());
        let chat = open(&mut simulation, "support", "one");
        say(&mut simulation, &chat, how);
        wait(&mut simulation, minutes(1));
        assert!(say(&mut simulation, &chat, "4711").turn.is_none());
        simulation.settle();
        assert!(say(&mut simulation, &chat, "thanks").turn.is_some(), "nobody waits for it any more");
        wait(&mut simulation, minutes(1));
        let told = ["ann: 4711", "ann: thanks", "support: You said thanks.", "support: Order 4711."];
        assert_eq!(transcript(&chat)[3..], told, "{how}");
    }
}

/// A helper that asks, called in the middle of a conversation, and one that nobody waits for any more.
fn helped(timeout: std::time::Duration) -> Builder {
    builder()
        .person("ann")
        .agent(Agent::named("support").grant("helper"))
        .agent(Agent::named("helper"))
        .job(&HELPER, |ctx: Context, what: String| async move {
            if what == "later" {
                ctx.sleep(minutes(2)).await?;
            }
            ctx.ask::<String>("Which order?")?.await
        })
        .job(&SUPPORT, move |ctx: Context, turn: Turn| async move {
            let called = ctx.job(&HELPER, turn.text()).inline().timeout(timeout).on_timeout(OnTimeout::Detach);
            Ok(called.await.unwrap_or_else(|failure| failure.code().to_owned()))
        })
        .job(&FINDER, |ctx: Context, _: Task| async move {
            let called = ctx.job(&HELPER, "it".to_owned()).inline().await;
            Ok(called.unwrap_or_else(|failure| failure.message().to_owned()))
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move { Ok(ctx.task("support", "Find it.").await?.text()) })
}

#[test]
fn spec_c7_whoever_is_called_for_a_task_asks_nobody_and_waits_for_nobody() {
    let said = super::said(helped(minutes(1)));
    assert!(said.contains("nobody answers in its conversation"), "{said}");
}

#[test]
fn spec_c7_a_conversation_that_ends_leaves_nobody_waiting_for_its_messages() {
    for what in ["now", "later"] {
        let mut simulation = start(&World::new(1), helped(minutes(1)));
        let chat = open(&mut simulation, "support", "one");
        say(&mut simulation, &chat, what);
        wait(&mut simulation, minutes(1));
        let closing = chat.clone();
        simulation.block_on(async move { closing.close().await }).unwrap().unwrap();
        wait(&mut simulation, minutes(2));
        let runs = simulation.engine().list(&Filter::default(), None, 100).unwrap().runs;
        let statuses: Vec<RunStatus> = runs.iter().map(|run| run.row.status).collect();
        assert!(statuses.iter().all(|status| status.is_closed()), "{what}: {statuses:?}");
    }
}
