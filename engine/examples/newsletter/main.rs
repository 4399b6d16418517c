//! A newsletter from a week's figures: a workflow that calls others, waits for a person, and survives any crash.
//!
//! ```text
//! cargo run --release --example newsletter
//! cargo run --release --example newsletter -- --die-at 3      # and then the same again, without the flag
//! ```
//!
//! `workflows.rs` is the part to read first; `data.rs` computes, `tree.rs` and `screen.rs` show what happens.

mod arguments;
mod data;
mod die;
mod ledger;
mod screen;
mod tree;
mod workflows;

use arguments::{Arguments, Stop};
use die::Mortal;
use ledger::Ledger;
use rejoin::time::millis;
use rejoin::{Engine, Filter, Rejection, RunError, RunHandle, RunStatus};
use screen::Screen;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use workflows::{ANALYZE, NEWSLETTER, Order, Review, SECTION};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(Stop::Help) => {
            print!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(Stop::Wrong(what)) => {
            eprintln!("newsletter: {what}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("newsletter: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> rejoin::Result<()> {
    let order = Order::new(&arguments.csv, &arguments.out)?;
    let key = order.key()?;
    let mut screen = Screen::new();
    let engine = open(&arguments).await?;
    let known = find(&engine, &key)?;

    // The same order gives the same key, and the same key gives the same run: after a crash this finds the unfinished one.
    let run = engine.trigger(&NEWSLETTER, order).key(key).await?;
    match known {
        None => screen.line(&format!("triggered run {}", run.id()))?,
        Some(RunStatus::Completed) => {
            screen.line(&format!("already written by run {}; a new run needs another --data folder", run.id()))?;
        }
        Some(status) if status.is_closed() => {
            screen.line(&format!("run {} {status} before; other figures, or another --data folder?", run.id()))?;
        }
        Some(_) => screen.line(&format!("going on with run {}", run.id()))?,
    }
    if !known.is_some_and(RunStatus::is_closed) {
        watch(&engine, &run, &mut screen, arguments.review_after).await?;
    }

    let text = run.result().await?;
    let mut stdout = io::stdout().lock();
    write!(stdout, "\n{text}")?;
    writeln!(stdout, "\nwritten to {}", arguments.out.display())?;
    drop(stdout);
    engine.shutdown().await;
    Ok(())
}

/// Opens the data folder; from here on its unfinished runs go on by themselves.
async fn open(arguments: &Arguments) -> rejoin::Result<Engine> {
    let [of_parent, of_analysis, of_section] = [(); 3].map(|()| Ledger::new(&arguments.ledger));
    let builder = Engine::open(&arguments.data)
        .workflow(&NEWSLETTER, move |ctx, order| workflows::newsletter(ctx, order, of_parent.clone()))
        .workflow(&ANALYZE, move |ctx, csv| workflows::analyze(ctx, csv, of_analysis.clone()))
        .workflow(&SECTION, move |ctx, section| workflows::section(ctx, section, of_section.clone()));
    let engine = match arguments.die_at {
        Some(commit) => builder.wrap_disk(move |folder| Mortal::new(folder, commit)).start().await?,
        None => builder.start().await?,
    };
    Ok(engine)
}

/// How the run stands that was triggered under this key before, if one was.
fn find(engine: &Engine, key: &str) -> rejoin::Result<Option<RunStatus>> {
    let newsletters = Filter { workflow: Some(NEWSLETTER.name().to_owned()), ..Filter::default() };
    let page = engine.list(&newsletters, None, usize::MAX)?;
    Ok(page.runs.into_iter().find(|run| run.row.key.as_deref() == Some(key)).map(|run| run.row.status))
}

/// Shows the run until it has ended, and sends the review meanwhile.
async fn watch(
    engine: &Engine,
    run: &RunHandle<String>,
    screen: &mut Screen,
    review_after: Duration,
) -> rejoin::Result<()> {
    let mut events = engine.follow_all(0);
    let mut review = pin!(send_review(run, review_after));
    let mut reviewed = false;
    let mut ticks = tokio::time::interval(millis(100));
    screen.show(run.id());
    while !screen.has_ended() {
        tokio::select! {
            event = events.next() => match event? {
                Some((run, entry)) => screen.event(run, &entry)?,
                None => break,
            },
            sent = &mut review, if !reviewed => {
                reviewed = true;
                if sent? {
                    screen.line("review sent")?;
                }
            }
            _ = ticks.tick() => screen.tick()?,
        }
    }
    Ok(())
}

/// Plays the editor. Returns whether there was still something to review.
async fn send_review(run: &RunHandle<String>, after: Duration) -> rejoin::Result<bool> {
    tokio::time::sleep(after).await;
    let review = Review { approved: true, note: "Good. Send it.".to_owned() };
    // A name of its own for the signal: however often the program is started again, it is delivered once.
    match run.signal("review", &review).id("review").await {
        Ok(()) => Ok(true),
        Err(RunError::Rejected(Rejection::Closed(_))) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
