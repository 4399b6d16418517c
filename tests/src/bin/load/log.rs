//! The bare log against the journal: the same records, in the same commits.

use crate::arguments::One;
use crate::bare::{self, median};
use crate::error::{Error, Result};
use crate::figures::millis;
use crate::index::Index;
use crate::quiet::{Quiet, Watch};
use crate::recording::Recording;
use rejoin_store::Log;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Journal, Options};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the journal is given to fill its next file.
const FILLED_AFTER: Duration = Duration::from_millis(1500);

/// How often both are measured, in turn.
const ROUNDS: usize = 5;

/// What both showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogFigures {
    /// How many records W1 wrote.
    pub records: usize,
    /// In how many commits.
    pub commits: usize,
    /// How many bytes, as the engine's log framed them.
    pub bytes: u64,
    /// The bare log.
    pub bare: Rates,
    /// The journal.
    pub journal: Rates,
    /// Speed of the journal, in that of the bare log of the same round: the median.
    pub ratio: f64,
    /// Whether others used the machine too.
    pub quiet: Quiet,
}

/// The speed of a log: the median of the rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rates {
    /// Commits in a second.
    pub commits_per_s: f64,
    /// Records in a second.
    pub records_per_s: f64,
    /// Megabytes in a second, of the bytes above.
    pub mb_per_s: f64,
    /// How long each round took.
    pub rounds_ms: Vec<f64>,
}

impl Rates {
    fn of(recording: &Recording, mut rounds: Vec<Duration>) -> Rates {
        let rounds_ms = rounds.iter().copied().map(millis).collect();
        rounds.sort_unstable();
        let seconds = median(&rounds).as_secs_f64();
        Rates {
            commits_per_s: recording.commits.len() as f64 / seconds,
            records_per_s: recording.records.len() as f64 / seconds,
            mb_per_s: recording.bytes() as f64 / 1e6 / seconds,
            rounds_ms,
        }
    }
}

/// Runs W1, and then writes what it wrote, to both logs in turn.
pub async fn measure(folder: &Path, index: Index, one: &One) -> Result<LogFigures> {
    let watch = Watch::begin(folder, Duration::ZERO)?;
    let recording = Recording::make(&folder.join("recording"), index, one).await?;
    let file = bare::log(folder, &recording)?;
    let (mut bares, mut journals) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each goes first in turn.
        if round % 2 == 0 {
            bares.push(bare::write(&file, &recording)?);
        }
        journals.push(append(&folder.join("journal"), &recording)?);
        if round % 2 != 0 {
            bares.push(bare::write(&file, &recording)?);
        }
    }
    let mut ratios: Vec<f64> =
        bares.iter().zip(&journals).map(|(bare, journal)| bare.as_secs_f64() / journal.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    Ok(LogFigures {
        records: recording.records.len(),
        commits: recording.commits.len(),
        bytes: recording.bytes(),
        bare: Rates::of(&recording, bares),
        journal: Rates::of(&recording, journals),
        ratio: median(&ratios),
        quiet: watch.end()?,
    })
}

/// Appends the records to a new journal, each as a batch of its own, and commits where the engine did.
fn append(folder: &Path, recording: &Recording) -> Result<Duration> {
    let options = Options { first_segment: 64 << 20, ..Options::default() };
    let journal = Journal::open(Folder::create(folder)?, options)?;
    // The bare log's file is filled before it is timed; so are the journal's, the next one by a thread that takes a moment.
    std::thread::sleep(FILLED_AFTER);
    let began = Instant::now();
    for commit in &recording.commits {
        for (record, _) in &recording.records[commit.records.clone()] {
            journal.append(std::slice::from_ref(record))??;
        }
        journal.commit()?;
    }
    let took = began.elapsed();
    let durable = journal.durable().0;
    if durable != recording.records.len() as u64 {
        return Err(Error::Wrong(format!("{} records were committed, {durable} are durable", recording.records.len())));
    }
    drop(journal);
    fs::remove_dir_all(folder)?;
    Ok(took)
}
