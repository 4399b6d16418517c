//! What the test kit finds in workflows: nothing in one that is right, and the mistake, with how to mend it, in others.

use rejoin::testkit::{CrashTest, Finding, Ledger, Report, crash_everywhere};
use rejoin::time::{days, minutes};
use rejoin::{Attempt, Builder, Context, Engine, Failure, Step, Workflow, join_all};
use std::sync::atomic::{AtomicU64, Ordering};

const ORDER: Workflow<u32, String> = Workflow::named("order");
const PARCEL: Workflow<u32, String> = Workflow::named("parcel");
const GUIDE: &str = include_str!("../../docs/testing.md");

const OUTSIDE: &str = r#"workflow "order" does not survive every crash
  killed before commit 2 (StepCompleted, step "charge"), restarted
  "mailed the receipt" was done by the handler itself, outside a step, and happened 2 times
      on the way to commit 2 (StepCompleted, step "charge")
  a handler is executed again after a crash; put it into a step: ctx.step("..", ..).await?
  to see it again: REJOIN_CRASH=2- cargo test an_order_is_paid_once
"#;

const ASKED: &str = r#"workflow "order" goes wrong without a crash
  workflow "order" does not fit its own history:
      at event 1.2 the history has step "charge 0" (operation 0), the handler step "charge 1" (operation 0)
  executed again, a handler must ask for the same:
  take time from ctx.now(), chance from ctx.random() or ctx.uuid();
  what else comes from outside (files, clocks, the order of a HashMap) belongs into a step
"#;

const DONE: &str = r#"workflow "order" goes wrong without a crash
  step "charge" is not the same in two lives without a crash:
      first   "charged 5 EUR"
      second  "charged 3 EUR"
  take time from ctx.now(), chance from ctx.random() or ctx.uuid();
  what else comes from outside (files, clocks, the order of a HashMap) belongs into a step
  if it is a service that answers differently each time, give the test one that does not
"#;

const KEYS: &str = r#"workflow "order" does not survive every crash
  killed before commit 2 (StepCompleted, step "charge"), restarted
  step "charge" was executed again, with different keys, and "charged 5 EUR" happened 2 times:
      #1  key uuid-5  before the kill
      #2  key uuid-6  after the restart
  hand the service the key that stays the same:
  ctx.step("..", |attempt: Attempt| ..), attempt.idempotency_key()
  to see it again: REJOIN_CRASH=2- cargo test an_order_is_paid_once
"#;

/// A step that does something to the world under its own key.
fn act(ctx: &Context, world: &Ledger, name: &str, what: String) -> Step<String> {
    let world = world.clone();
    ctx.step(name, move |attempt: Attempt| {
        world.once(attempt.idempotency_key(), what.clone());
        Ok::<_, Failure>(what.clone())
    })
}

fn app_of<F, Fut>(handler: F) -> impl Fn(&Ledger) -> Builder + Clone + 'static
where
    F: Fn(Context, u32, Ledger) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<String, Failure>> + 'static,
{
    move |ledger| {
        let ledger = ledger.clone();
        Engine::open("simulated").workflow(&ORDER, move |ctx: Context, n: u32| handler(ctx, n, ledger.clone()))
    }
}

/// A test of its own name, on whatever thread the tests are executed.
fn named<T: Send + 'static>(name: &str, test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(test).expect("a thread");
    thread.join().expect("the test comes to an end")
}

fn report_of<F, Fut>(handler: F) -> Report
where
    F: Fn(Context, u32, Ledger) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<String, Failure>> + 'static,
{
    named("an_order_is_paid_once", move || {
        CrashTest::new(app_of(handler), &ORDER, 5).check().expect_err("it is broken")
    })
}

/// Compares the whole message, which stands in the guide.
#[track_caller]
fn says(report: &Report, golden: &str) {
    assert_eq!(report.to_string(), golden);
    assert!(GUIDE.contains(golden), "the guide shows the message as it is printed");
}

/// Another number each time, as a clock, a random number or a new UUID would be.
struct Outside(AtomicU64);

impl Outside {
    const fn new() -> Outside {
        Outside(AtomicU64::new(0))
    }

    fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

#[test]
fn an_effect_outside_a_step() {
    let report = report_of(|ctx, amount, world| async move {
        act(&ctx, &world, "charge", format!("charged {amount} EUR")).await?;
        world.effect("mailed the receipt");
        act(&ctx, &world, "ship", "shipped".to_owned()).await
    });
    assert!(matches!(report.findings[0], Finding::OutsideStep { times: 2, .. }), "{report:?}");
    says(&report, OUTSIDE);
}

#[test]
fn an_effect_outside_a_step_that_no_crash_repeats() {
    let report = report_of(|ctx, _, world| async move {
        act(&ctx, &world, "charge", "charged".to_owned()).await?;
        world.once("one key", "mailed the receipt");
        Ok(String::new())
    });
    assert!(matches!(report.findings[0], Finding::OutsideStep { .. }), "{report:?}");
}

#[test]
fn chance_in_what_is_asked_for() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, amount, world| async move {
        let name = format!("charge {}", CHANCE.draw());
        act(&ctx, &world, &name, format!("charged {amount} EUR")).await
    });
    says(&report, ASKED);
}

#[test]
fn chance_in_what_a_step_does() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, amount, world| async move {
        let discount = CHANCE.draw();
        act(&ctx, &world, "charge", format!("charged {} EUR", u64::from(amount) - discount)).await
    });
    says(&report, DONE);
}

#[test]
fn chance_that_only_a_crash_shows() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, amount, world| async move {
        // The first two lives and the replay see the same.
        let discount = CHANCE.draw().saturating_sub(2);
        act(&ctx, &world, "charge", format!("charged {} EUR", u64::from(amount).wrapping_sub(discount))).await
    });
    let [Finding::Changed { step, .. }] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(step, "step \"charge\"");
}

#[test]
fn chance_in_the_result() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, amount, world| async move {
        act(&ctx, &world, "charge", format!("charged {amount} EUR")).await?;
        Ok(format!("order {}", CHANCE.draw()))
    });
    let [Finding::Unrepeatable { place, .. }] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(place, "workflow \"order\"");
}

#[test]
fn chance_in_the_result_that_only_a_crash_shows() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, _, world| async move {
        let number = CHANCE.draw().saturating_sub(2);
        act(&ctx, &world, "charge", "charged".to_owned()).await?;
        Ok(format!("order {number}"))
    });
    assert!(matches!(report.findings[..], [Finding::OtherResult { .. }]), "{report:?}");
}

#[test]
fn a_step_that_only_a_crash_leads_to() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, _, world| async move {
        match CHANCE.draw() {
            0..3 => act(&ctx, &world, "charge", "charged".to_owned()).await,
            _ => Ok("charged".to_owned()),
        }
    });
    assert!(matches!(report.findings[..], [Finding::Missing { .. }]), "{report:?}");
}

#[test]
fn a_handler_that_a_crash_leads_elsewhere() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, _, world| async move {
        let name = if CHANCE.draw() % 5 == 4 { "refund" } else { "charge" };
        act(&ctx, &world, name, "done".to_owned()).await
    });
    let wedged = matches!(&report.findings[0], Finding::Wedged { reason, .. } if reason.contains("refund"));
    assert!(wedged && report.crash.is_some(), "{report:?}");
}

#[test]
fn a_child_that_nobody_waits_for_and_that_never_ends() {
    let app = |world: &Ledger| {
        let wait = |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await };
        let leave = |ctx: Context, n: u32, _: Ledger| async move {
            ctx.spawn(&PARCEL, n).await?;
            Ok("left".to_owned())
        };
        app_of(leave)(world).workflow(&PARCEL, wait)
    };
    let report = CrashTest::new(app, &ORDER, 5).check().expect_err("it is broken");
    assert!(matches!(&report.findings[..], [Finding::Unended { workflow, .. }] if workflow == "parcel"), "{report:?}");
}

#[test]
fn a_client_that_fails() {
    let app = app_of(|ctx, _, _| async move { ctx.sleep(days(1)).await.map(|()| String::new()) });
    let fail = |_| async { Err(rejoin::Error::from(std::io::Error::other("no mail today"))) };
    let report = CrashTest::new(app, &ORDER, 5).during(fail).check().expect_err("the client fails");
    assert!(report.to_string().contains("no mail today"), "{report}");
}

#[test]
fn a_new_key_for_each_attempt() {
    static CHANCE: Outside = Outside::new();
    let report = report_of(|ctx, amount, world| async move {
        let charge = move || {
            world.once(format!("uuid-{}", CHANCE.draw()), format!("charged {amount} EUR"));
            Ok::<_, Failure>("paid".to_owned())
        };
        ctx.step("charge", charge).await
    });
    says(&report, KEYS);
}

#[test]
fn an_effect_without_a_key() {
    let report = report_of(|ctx, amount, world| async move {
        let charge = move || {
            world.effect(format!("charged {amount} EUR"));
            Ok::<_, Failure>("paid".to_owned())
        };
        ctx.step("charge", charge).await
    });
    let [Finding::Repeated { executions, .. }] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(executions[..], [(None, 1), (None, 2)]);
}

#[test]
fn one_key_for_two_effects() {
    let report = report_of(|ctx, _, world| async move {
        let charge = move |attempt: Attempt| {
            world.once(&attempt, "charged");
            world.once(&attempt, "mailed");
            Ok::<_, Failure>(String::new())
        };
        ctx.step("charge", charge).await
    });
    assert!(report.to_string().contains("was used for two things"), "{report}");
}

#[test]
fn a_signal_that_nobody_sends() {
    let report = report_of(|ctx, _, _| async move { ctx.signal("approve").await });
    assert!(report.to_string().contains("it waits for signal \"approve\""), "{report}");
}

#[test]
fn a_handler_that_waits_for_something_else() {
    let report = report_of(|_, _, _| std::future::pending::<Result<String, Failure>>());
    assert!(matches!(report.findings[0], Finding::Wedged { .. }), "{report}");
}

#[test]
fn a_step_that_waits_for_something_else() {
    let report =
        report_of(|ctx, _, _| async move { ctx.step("ask", std::future::pending::<Result<String, Failure>>).await });
    assert!(report.to_string().contains("it waits for attempt 1 of step \"ask\""), "{report}");
}

#[test]
fn a_workflow_without_an_end() {
    let report = report_of(|ctx, n, _| async move {
        ctx.sleep(days(1)).await?;
        Err(ctx.continue_as_new(n))
    });
    assert!(report.to_string().contains("comes to no end"), "{report}");
}

#[test]
fn a_failure_that_nobody_expects() {
    let lost = |_: Context, _: u32, _: Ledger| async { Err::<String, _>(Failure::business("lost", ())) };
    assert!(matches!(report_of(lost).findings[..], [Finding::Failed { .. }]));
    let summary = CrashTest::new(app_of(lost), &ORDER, 5).may_fail().run();
    assert_eq!(summary.effects, 0);
}

#[test]
fn one_crash_alone() {
    let fine = app_of(|ctx, _, world| async move { act(&ctx, &world, "charge", "charged".to_owned()).await });
    let only = |crash| CrashTest::new(fine.clone(), &ORDER, 5).only(crash);
    assert_eq!(only("1").run().crashes, 2);
    assert_eq!(only("2-").run().crashes, 2);
    assert_eq!(only("2-,1+").run().crashes, 4);
    assert!(only("the second").check().is_err());
}

/// Everything that a workflow may do: steps, children, signals, timers, retries, compensation, continue-as-new.
fn shop(world: &Ledger) -> Builder {
    let (orders, parcels) = (world.clone(), world.clone());
    Engine::open("simulated")
        .workflow(&ORDER, move |ctx: Context, n: u32| order(ctx, n, orders.clone()))
        .workflow(&PARCEL, move |ctx: Context, n: u32| parcel(ctx, n, parcels.clone()))
}

async fn parcel(ctx: Context, number: u32, world: Ledger) -> Result<String, Failure> {
    let stubborn = {
        let world = world.clone();
        move |attempt: Attempt| {
            if attempt.number() < 3 {
                return Err(Failure::transient("the printer is busy"));
            }
            world.once(&attempt, format!("printed label {number}"));
            Ok(attempt.number())
        }
    };
    ctx.step("print", stubborn).retry(3).await?;
    ctx.sleep(days(1)).await?;
    if number > 2 {
        act(&ctx, &world, "call back", format!("called parcel {number} back")).await?;
        return Err(Failure::business("lost", number));
    }
    act(&ctx, &world, "send", format!("sent parcel {number}")).await
}

async fn order(ctx: Context, round: u32, world: Ledger) -> Result<String, Failure> {
    let id = ctx.uuid();
    act(&ctx, &world, "reserve", format!("reserved {round}")).await?;
    let calls =
        (1..=3).map(|number| ctx.call(&PARCEL, number).key(format!("parcel {round}.{number}")).timeout(days(2)));
    let sent = join_all(calls).await.into_iter().filter(Result::is_ok).count();
    let approved: Option<bool> = ctx.signal(&format!("approve {round}")).within(minutes(5)).await?;
    if approved != Some(true) {
        act(&ctx, &world, "release", format!("released {round}")).await?;
    }
    if round < 1 { Err(ctx.continue_as_new(round + 1)) } else { Ok(format!("{id}: {sent} sent at {}", ctx.now().0)) }
}

#[test]
fn a_workflow_that_is_right_survives_every_crash() {
    let summary = CrashTest::new(shop, &ORDER, 0)
        .during(|run| async move {
            run.signal("approve 0", &true).id("by hand").await?;
            Ok(())
        })
        .run();
    assert!(summary.commits > 12 && summary.crashes > 3 * summary.commits, "{summary}");
    assert_eq!((summary.runs, summary.effects), (7, 15));
}

#[test]
fn one_line_is_a_test() {
    let app = app_of(|ctx, _, world| async move { act(&ctx, &world, "charge", "charged".to_owned()).await });
    assert_eq!(crash_everywhere(app, &ORDER, 5).to_string(), "runs: 1, commits: 2, effects: 1, crashes survived: 16");
}
