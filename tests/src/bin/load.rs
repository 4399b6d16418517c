//! The load tool: how many durable steps a second, at what latency, with how much CPU and how many syncs.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin load [-- --runs N] [--folder DIR]
//! ```
//!
//! W1 is a workflow of five sequential steps, each of which returns 200 bytes of JSON; with 64 runs in flight, and with one.
//! Beside the engine's figures stands what one bare synced write costs on the same disk in the same minute.

use rejoin::{Context, Engine, Failure, Workflow};
use rejoin_tests::hooked::{Happening, Hooked};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const STEPS: u32 = 5;
const W1: Workflow<u32, u32> = Workflow::named("steps");

/// What a step returns: about 200 bytes of JSON.
#[derive(Serialize, Deserialize)]
struct Item {
    number: u32,
    title: String,
    text: String,
}

async fn steps(ctx: Context, seed: u32) -> Result<u32, Failure> {
    let mut sum = seed;
    for number in 0..STEPS {
        let item = ctx
            .step("item", move || async move {
                let text =
                    "a recorded result of the size that a small record has in practice, and a little more, so that \
                            it comes to the two hundred bytes"
                        .to_owned();
                Ok::<_, Failure>(Item { number, title: format!("item {number} of {seed}"), text })
            })
            .await?;
        sum = sum.wrapping_add(item.number);
    }
    Ok(sum)
}

/// What was written to segment files, and how often a commit of them was synced. Closing a segment and beginning the next
/// is no commit; it comes once in 64 MiB.
#[derive(Default)]
struct Counts {
    syncs: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn count(&self, file: &str, happening: Happening) {
        let (bytes, syncs) = match happening {
            _ if !file.ends_with(".seg") => (0, 0),
            Happening::Write(bytes) => (bytes as u64, 0),
            Happening::SyncData => (0, 1),
            Happening::SyncAll => (0, 0),
        };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.syncs.fetch_add(syncs, Ordering::Relaxed);
    }
}

/// What one load showed.
struct Figures {
    in_flight: usize,
    runs: usize,
    wall: Duration,
    cpu: Duration,
    syncs: u64,
    bytes: u64,
    latencies: Vec<Duration>,
}

impl Figures {
    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[at]
    }

    fn row(&self, bare: Duration) -> String {
        let runs = self.runs as f64;
        format!(
            "{:>9} {:>8} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>9.1} {:>9.3} {:>10.0} {:>9.1}",
            self.in_flight,
            self.runs,
            runs * f64::from(STEPS) / self.wall.as_secs_f64(),
            millis(self.percentile(50)),
            millis(self.percentile(99)),
            millis(self.percentile(100)),
            self.cpu.as_secs_f64() * 1e6 / runs,
            self.syncs as f64 / runs,
            self.bytes as f64 / runs,
            self.percentile(50).as_secs_f64() / bare.as_secs_f64(),
        )
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs `runs` workflows, `in_flight` at a time.
async fn load(folder: &Path, runs: usize, in_flight: usize) -> rejoin::Result<Figures> {
    let counts = Arc::new(Counts::default());
    let counter = counts.clone();
    let engine = Engine::open(folder)
        .workflow(&W1, steps)
        .wrap_disk(move |folder| {
            Hooked::new(folder, move |file, happening| {
                counter.count(file, happening);
                Ok(())
            })
        })
        .start()
        .await?;
    // Warm, and past the first segments.
    drive(&engine, runs / 10 + in_flight, in_flight).await?;
    let (syncs, bytes) = (counts.syncs.load(Ordering::Relaxed), counts.bytes.load(Ordering::Relaxed));
    let (cpu_before, began) = (cpu(), Instant::now());
    let mut latencies = drive(&engine, runs, in_flight).await?;
    let wall = began.elapsed();
    latencies.sort_unstable();
    let figures = Figures {
        in_flight,
        runs: latencies.len(),
        wall,
        cpu: cpu() - cpu_before,
        syncs: counts.syncs.load(Ordering::Relaxed) - syncs,
        bytes: counts.bytes.load(Ordering::Relaxed) - bytes,
        latencies,
    };
    engine.shutdown().await;
    Ok(figures)
}

async fn drive(engine: &Engine, runs: usize, in_flight: usize) -> rejoin::Result<Vec<Duration>> {
    let mut clients = Vec::new();
    for client in 0..in_flight {
        let engine = engine.clone();
        let share = runs / in_flight + usize::from(client < runs % in_flight);
        clients.push(tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(share);
            for n in 0..share {
                let began = Instant::now();
                engine.trigger(&W1, n as u32).await?.result().await?;
                latencies.push(began.elapsed());
            }
            Ok::<_, rejoin::Error>(latencies)
        }));
    }
    let mut all = Vec::with_capacity(runs);
    for client in clients {
        all.extend(client.await.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// One synced write of 4 KiB into a file that is filled already: the median of 500.
fn bare_sync(folder: &Path) -> io::Result<Duration> {
    let path = folder.join("bare");
    let file: File = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![0; 4 << 20], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for n in 0..500_u64 {
        let began = Instant::now();
        file.write_all_at(&[1; 4096], n * 4096)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

struct Arguments {
    runs: usize,
    folder: Option<PathBuf>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments { runs: 40_000, folder: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--runs" => found.runs = value.parse().map_err(|_| format!("--runs: {value:?} is no number"))?,
            "--folder" => found.folder = Some(value.into()),
            _ => return Err(format!("{word} is not known; there are --runs N and --folder DIR")),
        }
    }
    if found.runs < 100 { Err("--runs must be 100 or more".to_owned()) } else { Ok(found) }
}

async fn measure(arguments: Arguments) -> rejoin::Result<()> {
    let folder = match &arguments.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir_in(".")?,
    };
    let bare = bare_sync(folder.path())?;
    println!("W1: a workflow of {STEPS} sequential steps; one bare synced write of 4 KiB takes {:.3} ms", millis(bare));
    println!(
        "{:>9} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}",
        "in flight", "runs", "steps/s", "p50 ms", "p99 ms", "max ms", "CPU us/r", "syncs/run", "bytes/run", "p50/sync"
    );
    for (name, runs, in_flight) in [("one", arguments.runs / 20, 1), ("many", arguments.runs, 64)] {
        let figures = load(&folder.path().join(name), runs, in_flight).await?;
        println!("{}", figures.row(bare));
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("error: {usage}");
            return 2.into();
        }
    };
    // One worker: the shard has the other core.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let measured = runtime.map_err(rejoin::Error::from).and_then(|runtime| runtime.block_on(measure(arguments)));
    match measured {
        Ok(()) => 0.into(),
        Err(error) => {
            eprintln!("error: {error}");
            1.into()
        }
    }
}
