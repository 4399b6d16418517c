//! Lives without a disturbance, and histories that are kept in files.

use rejoin::testkit::{By, History, HistoryError, Ledger, RunTest, golden, simulate};
use rejoin::time::days;
use rejoin::{Attempt, Builder, Context, Engine, Event, Failure, RunError, Workflow};
use rejoin_tests::lives::double;
use tempfile::TempDir;

const MONTH: Workflow<u32, u32> = Workflow::named("month");
const DAY: Workflow<u32, u32> = Workflow::named("day");

fn app_with(step: &'static str) -> impl Fn(&Ledger) -> Builder + 'static {
    move |ledger| {
        let ledger = ledger.clone();
        Engine::open("simulated").workflow(&DAY, day).workflow(&MONTH, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                ctx.sleep(days(30)).await?;
                let note = move |attempt: Attempt| {
                    ledger.once(&attempt, "noted");
                    ledger.effect(format!("looked at {n}"));
                    Ok::<_, Failure>(())
                };
                ctx.step(step, note).await?;
                let more: u32 = ctx.signal("more").await?;
                ctx.call(&DAY, n + more).await
            }
        })
    }
}

async fn day(ctx: Context, n: u32) -> Result<u32, Failure> {
    ctx.step("double", move || double(n)).await
}

fn month() -> rejoin::testkit::Simulated<u32> {
    let test = RunTest::new(app_with("note"), &MONTH, 1);
    test.during(|run| async move {
        run.signal("more", &1).await?;
        Ok(())
    })
    .run()
}

#[test]
fn a_life_shows_what_it_did_and_how_long_it_took() {
    let lived = month();
    assert_eq!(lived.result.expect("it completes"), 4);
    assert_eq!(lived.passed, days(30));
    assert_eq!(lived.ledger.effects(), ["noted", "looked at 1"]);
    let entries = lived.ledger.entries();
    assert!(entries.iter().all(|entry| matches!(&entry.by, By::Step(attempt) if attempt.number() == 1)), "{entries:?}");
    assert!(matches!(lived.history.entries[0].transition.events[0], Event::Triggered(_)));
    assert_eq!(lived.children.len(), 1);
}

#[test]
fn a_failure_is_the_result_of_a_life() {
    let app = |_: &Ledger| {
        Engine::open("simulated").workflow(&DAY, |_, _: u32| async { Err::<u32, _>(Failure::business("lost", ())) })
    };
    let failed = simulate(app, &DAY, 1).expect_err("it fails");
    assert!(matches!(failed, RunError::Failed(failure) if failure.code() == "lost"));
}

#[test]
fn a_life_that_cannot_end_says_what_it_waits_for() {
    let report = RunTest::new(app_with("note"), &MONTH, 1).check().expect_err("nobody sends the signal");
    assert!(report.to_string().contains("it waits for signal \"more\""), "{report}");
}

#[test]
fn histories_are_the_same_after_a_file() {
    let folder = TempDir::new().expect("a folder");
    let lived = month();
    for (index, history) in [&lived.history].into_iter().chain(&lived.children).enumerate() {
        let file = folder.path().join(format!("{index}.jsonl"));
        history.save(&file).expect("it is written");
        assert_eq!(History::load(&file).expect("it is read"), *history);
    }
    assert_eq!(golden(folder.path(), app_with("note")), 2);
    let other = std::panic::catch_unwind(|| golden(folder.path(), app_with("another")));
    let message = *other.expect_err("a step has another name").downcast::<String>().expect("a message");
    assert!(message.starts_with("1 of 2 histories do not fit") && message.contains("0.jsonl: at event"), "{message}");
}

#[test]
fn a_file_that_is_no_history_is_named_with_its_line() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("month.jsonl");
    month().history.save(&file).expect("it is written");
    let text = std::fs::read_to_string(&file).expect("text");
    for (from, to, line) in
        [("\"run\"", "\"nur\"", 1), ("\"record\":\"", "\"record\":\"z", 2), ("\"format\":1", "\"format\":9", 2)]
    {
        std::fs::write(&file, text.replacen(from, to, 1)).expect("it is written");
        let wrong = History::load(&file).expect_err("it is damaged");
        assert!(matches!(wrong, HistoryError::Line { line: at, .. } if at == line), "{wrong}");
    }
    let missing = History::load(folder.path().join("none.jsonl")).expect_err("there is none");
    assert!(matches!(missing, HistoryError::File { .. }));
}

#[test]
#[should_panic(expected = "there is no history")]
fn a_folder_without_histories_tests_nothing() {
    golden(TempDir::new().expect("a folder").path(), app_with("note"));
}
