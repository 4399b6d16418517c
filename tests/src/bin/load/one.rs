//! One measurement, in this process: prints its figures as one line of JSON.

use crate::arguments::{Arguments, Part};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::{described, log, recovery, throughput, timers};
use serde::Serialize;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

/// Measures one part, in the folder of the arguments and with the first index of them.
pub fn measure(part: Part, arguments: &Arguments) -> Result<ExitCode> {
    // One worker: the shard has the other core.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(dispatch(part, arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn dispatch(part: Part, arguments: &Arguments) -> Result<()> {
    let (folder, one) = (arguments.folder.as_path(), &arguments.one);
    let index = arguments.index.first().copied().unwrap_or(Index::Memory);
    match part {
        Part::Log => say(&log::measure(folder, index, one).await?),
        Part::W0 | Part::W1 | Part::W2 | Part::W3 => say(&throughput::measure(part, folder, index, one).await?),
        Part::W4Recover => say(&recovery::recover(folder, index, one).await?),
        Part::W5 => say(&timers::measure(folder, index, one).await?),
        Part::W6 => say(&described::measure(folder, index, one).await?),
        Part::W4Suspend => {
            let (engine, seen) = recovery::suspend(folder, index, one).await?;
            say(&seen)?;
            // The kill comes as soon as that line was read.
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(engine);
            Err(Error::Process("nobody came to kill this process".to_owned()))
        }
    }
}

fn say(figures: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(figures)?;
    line.push(b'\n');
    stdout().lock().write_all(&line)?;
    Ok(())
}
