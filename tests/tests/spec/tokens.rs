//! C6: whoever acts for a run from outside its handler, by the run's token.

use super::runs_of;
use rejoin::testkit::{Simulation, World};
use rejoin::time::{hours, seconds};
use rejoin::{Agent, Builder, Context, Event, Failure, Job, Participant, RunError, RunToken, WorkerTask, Workflow};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{builder, start};
use serde_json::{Value, json};

const CODER: Job<String, String> = Job::of("coder");
const BUILD: Workflow<String, String> = Workflow::named("build").metadata(&["order"]);
const SECRET: Workflow<String, String> = Workflow::named("secret");

fn app() -> Builder {
    builder()
        .agent(Agent::named("coder").by_workers().grant("build").lease(seconds(30)))
        .workflow(&SECRET, |_, _: String| async move { Ok(String::new()) })
        .workflow(&BUILD, |ctx: Context, what: String| async move {
            ctx.sleep(seconds(if what == "slow" { 100_000 } else { 1 })).await?;
            Ok::<_, Failure>(format!("built {what} for {} at depth {}", ctx.metadata::<u32>("order")?, ctx.depth()))
        })
}

fn job(simulation: &mut Simulation) -> WorkerTask {
    let engine = simulation.engine();
    let taken = async move {
        engine.job(&CODER, "app".to_owned()).metadata("order", &7).await.unwrap();
        engine.worker("coder").named("w").next().await.unwrap()
    };
    simulation.block_on(taken).unwrap()
}

fn participant(simulation: &Simulation, task: &WorkerTask) -> Participant {
    // It travels as text, in an environment say.
    let token: RunToken = task.token().to_string().parse().unwrap();
    simulation.engine().participant(token).unwrap()
}

fn call(
    simulation: &mut Simulation,
    of: &Participant,
    key: &str,
    name: &str,
    input: &Value,
) -> Result<Value, RunError> {
    let call = of.call(key, name, None, input);
    simulation.block_on(async move { call.await }).unwrap()
}

#[test]
fn spec_c6_a_run_token_calls_under_the_depth_grants_and_metadata_of_its_run() {
    let mut simulation = start(&World::new(1), app());
    let task = job(&mut simulation);
    let agent = participant(&simulation, &task);
    let built = call(&mut simulation, &agent, "first", "build", &json!("app")).unwrap();
    assert_eq!(built, json!("built app for 7 at depth 1"));
    let refused = call(&mut simulation, &agent, "second", "secret", &json!("it")).unwrap_err();
    assert!(matches!(&refused, RunError::Failed(failure) if failure.code() == "not-granted"), "{refused}");
    let history = simulation.engine().history(task.run_id()).unwrap();
    let refusal = |event: &Event| matches!(event, Event::ParticipantRefused { name, .. } if name == "secret");
    assert!(history.iter().flat_map(|entry| &entry.transition.events).any(refusal), "it is on the caller's log");
    assert!(runs_of(&simulation, "secret").is_empty());
    let wrong = call(&mut simulation, &agent, "third", "build", &json!({"what": 1})).unwrap_err();
    assert!(matches!(&wrong, RunError::Failed(failure) if failure.message().contains("the input")), "{wrong}");
}

#[test]
fn spec_c6_the_same_key_finds_the_same_child_in_a_later_attempt() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let task = job(&mut simulation);
    let agent = participant(&simulation, &task);
    call(&mut simulation, &agent, "build", "build", &json!("app")).unwrap();
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    // The first worker is gone; another one begins anew, and its call is not made twice.
    let engine = simulation.engine();
    let again =
        simulation.block_on(async move { engine.worker("coder").named("other").next().await }).unwrap().unwrap();
    assert_eq!((again.attempt(), again.run_id()), (2, task.run_id()));
    let agent = participant(&simulation, &again);
    call(&mut simulation, &agent, "build", "build", &json!("app")).unwrap();
    assert_eq!(runs_of(&simulation, "build").len(), 1);
    let other = call(&mut simulation, &agent, "build", "build", &json!("another")).unwrap_err();
    assert!(other.to_string().contains("\"build\""), "another input under the key: {other}");
}

#[test]
fn spec_f1_a_participants_call_takes_five_minutes_where_nothing_is_said() {
    let mut simulation = start(&World::new(1), app());
    let task = job(&mut simulation);
    let agent = participant(&simulation, &task);
    let began = simulation.world().now();
    let slow = agent.call("slow", "build", None, &json!("slow"));
    let late = simulation.block_on(async move { slow.await }).unwrap().unwrap_err();
    assert!(matches!(&late, RunError::Failed(failure) if failure.is_timeout()), "{late}");
    let took = simulation.world().now().since(began).duration();
    assert!(took >= seconds(300) && took < hours(1), "{took:?}");
}

#[test]
fn spec_c6_a_token_that_was_made_up_opens_nothing() {
    let mut simulation = start(&World::new(1), app());
    let task = job(&mut simulation);
    let good = task.token().to_string();
    assert!(!format!("{:?}", task.token()).contains(&good[37..]), "it is not shown in logs");
    let mut forged = good.clone();
    forged.replace_range(good.len() - 2.., if good.ends_with("00") { "01" } else { "00" });
    for bad in [&forged, "run_", "run_1_2", "", "token", &good[..40]] {
        let opened = bad.parse().and_then(|token| simulation.engine().participant(token));
        assert!(matches!(opened.map(drop), Err(RunError::BadToken)), "{bad}");
    }
    // One whose run has ended calls nothing any more.
    let agent = participant(&simulation, &task);
    simulation.block_on(async move { task.complete("done").await }).unwrap().unwrap();
    assert!(matches!(call(&mut simulation, &agent, "late", "build", &json!("app")), Err(RunError::Rejected(_))));
}
