//! What the engine is loaded with.

use rejoin::{Builder, Context, Failure, Timestamp, Workflow, try_join_all};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// W0: does nothing.
pub const EMPTY: Workflow<u32, u32> = Workflow::named("empty");
/// W1: [`STEPS`] steps in sequence.
pub const SEQUENCE: Workflow<u32, u32> = Workflow::named("sequence");
/// W2: calls one child.
pub const CALLER: Workflow<u32, u32> = Workflow::named("caller");
/// W3: calls [`CHILDREN`] children and waits for all.
pub const FANOUT: Workflow<u32, u32> = Workflow::named("fanout");
/// The child of W2 and W3: one step.
pub const CHILD: Workflow<u32, u32> = Workflow::named("child");
/// W4: waits for a signal, and leaves a line in a file when it came.
pub const WAITER: Workflow<u32, u32> = Workflow::named("waiter");
/// W5: sleeps until an instant, and returns when it woke.
pub const SLEEPER: Workflow<i64, i64> = Workflow::named("sleeper");

/// Steps of W1.
pub const STEPS: u32 = 5;
/// Children of W3.
pub const CHILDREN: u32 = 1_000;
/// The signal of W4.
pub const GO: &str = "go";

/// The file of effects: each line is one write.
pub type Effects = Arc<File>;

/// What a step returns: about 200 bytes of JSON.
#[derive(Serialize, Deserialize)]
struct Item {
    number: u32,
    title: String,
    text: String,
}

impl Item {
    fn new(number: u32, seed: u32) -> Item {
        const TEXT: &str = "a recorded result of the size that a small record has in practice, and a little more, so \
                            that it comes to the two hundred bytes";
        Item { number, title: format!("item {number} of {seed}"), text: TEXT.to_owned() }
    }
}

async fn item(ctx: &Context, number: u32, seed: u32) -> Result<u32, Failure> {
    let item = ctx.step("item", move || async move { Ok::<_, Failure>(Item::new(number, seed)) }).await?;
    Ok(item.number)
}

async fn empty(_: Context, seed: u32) -> Result<u32, Failure> {
    Ok(seed)
}

async fn sequence(ctx: Context, seed: u32) -> Result<u32, Failure> {
    let mut sum = seed;
    for number in 0..STEPS {
        sum = sum.wrapping_add(item(&ctx, number, seed).await?);
    }
    Ok(sum)
}

async fn caller(ctx: Context, seed: u32) -> Result<u32, Failure> {
    ctx.call(&CHILD, seed).await
}

async fn fanout(ctx: Context, seed: u32) -> Result<u32, Failure> {
    let numbers = try_join_all((0..CHILDREN).map(|n| ctx.call(&CHILD, n))).await?;
    Ok(numbers.into_iter().fold(seed, u32::wrapping_add))
}

async fn child(ctx: Context, seed: u32) -> Result<u32, Failure> {
    Ok(seed.wrapping_add(item(&ctx, 1, seed).await?))
}

async fn waiter(ctx: Context, number: u32, effects: Effects) -> Result<u32, Failure> {
    let answer = ctx.signal::<u32>(GO).await?;
    let line = move || {
        let effects = effects.clone();
        async move {
            (&*effects).write_all(format!("{number}\n").as_bytes())?;
            Ok::<_, io::Error>(answer)
        }
    };
    ctx.step("effect", line).await
}

async fn sleeper(ctx: Context, due: i64) -> Result<i64, Failure> {
    ctx.sleep_until(Timestamp(due)).await?;
    Ok(ctx.now().0)
}

/// Registers all but [`WAITER`], which needs a file.
pub fn register(builder: Builder) -> Builder {
    let builder = builder.workflow(&EMPTY, empty).workflow(&SEQUENCE, sequence).workflow(&CALLER, caller);
    builder.workflow(&FANOUT, fanout).workflow(&CHILD, child).workflow(&SLEEPER, sleeper)
}

/// Registers [`WAITER`].
pub fn register_waiter(builder: Builder, effects: Effects) -> Builder {
    builder.workflow(&WAITER, move |ctx, number| waiter(ctx, number, effects.clone()))
}
