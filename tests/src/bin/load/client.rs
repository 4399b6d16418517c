//! The client: some tasks, each of which triggers a run, waits for its result, and begins again.

use crate::error::{Error, Result};
use rejoin::{Engine, Filter, RunStatus, Workflow};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A workflow whose result is the number that it was given and a known number more.
pub struct Load<I: 'static = u32> {
    /// The workflow.
    pub workflow: &'static Workflow<I, u32>,
    /// How it is given a number.
    pub input: fn(u32) -> I,
    /// What it adds to its input.
    pub adds: u32,
    /// How many steps one run executes, children's included.
    pub steps: u32,
}

impl<I> Clone for Load<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Load<I> {}

impl<I: Serialize> Load<I> {
    /// One run, from its trigger to its result.
    async fn run(self, engine: &Engine, input: u32) -> Result<Duration> {
        let began = Instant::now();
        let run = engine.trigger(self.workflow, (self.input)(input)).await?;
        let result = run.result().await?;
        let took = began.elapsed();
        if result == input.wrapping_add(self.adds) {
            Ok(took)
        } else {
            let name = self.workflow.name();
            Err(Error::Wrong(format!("run {} of {name:?} with the input {input} resulted in {result}", run.id())))
        }
    }
}

/// Runs `runs` workflows, `in_flight` at a time, and returns how long each took.
pub async fn drive<I: Serialize>(
    engine: &Engine,
    load: Load<I>,
    runs: usize,
    in_flight: usize,
) -> Result<Vec<Duration>> {
    side_by_side(runs, in_flight, move |inputs| {
        let engine = engine.clone();
        async move {
            let mut latencies = Vec::with_capacity(inputs.len());
            for input in inputs {
                latencies.push(load.run(&engine, input).await?);
            }
            Ok(latencies)
        }
    })
    .await
}

/// Deals the numbers from 0 to `count` out to `tasks` tasks, and gathers what these return.
pub async fn side_by_side<T, F>(count: usize, tasks: usize, task: impl Fn(Vec<u32>) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<Vec<T>>> + Send + 'static,
{
    let share = |first: usize| (first..count).step_by(tasks).filter_map(|n| u32::try_from(n).ok()).collect();
    let running: Vec<_> = (0..tasks).map(|first| tokio::spawn(task(share(first)))).collect();
    let mut all = Vec::with_capacity(count);
    for task in running {
        all.extend(task.await??);
    }
    Ok(all)
}

/// Waits until the index has everything that was committed: a read of it does.
pub fn drain(engine: &Engine) -> Result<Duration> {
    let began = Instant::now();
    engine.list(&Filter::default(), None, 1)?;
    Ok(began.elapsed())
}

/// Waits until no run is under way: all have ended, or wait for something else than a step.
pub async fn all_at_rest(engine: &Engine) -> Result<()> {
    for status in [RunStatus::Created, RunStatus::Running] {
        let filter = Filter { status: Some(status), ..Filter::default() };
        while !engine.list(&filter, None, 1)?.runs.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}
