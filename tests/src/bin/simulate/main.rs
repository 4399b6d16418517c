//! The simulator: random programs, many lives, and almost everything that can go wrong.
//!
//! ```sh
//! cargo run --profile prove -p rejoin-tests --bin simulate                       # 10,000 seeds
//! cargo run --profile prove -p rejoin-tests --bin simulate -- --seeds 1000000 --state seeds.state   # many; go on with the same command
//! cargo run --profile prove -p rejoin-tests --bin simulate -- --seed 4711        # one, with all that was seen
//! cargo run --profile prove -p rejoin-tests --bin simulate -- --seeds 1000 --size 120   # fewer and larger programs
//! ```
//!
//! A seed that fails is printed with the command that shows it again, with the fewest faults that it takes.

mod one;
mod state;

use clap::Parser;
use rejoin::testkit::chaos::Strike;
use rejoin_tests::campaign::{Campaign, Outcome};
use state::State;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Executes seeds of the simulator.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many things a program does at most.
    #[arg(long, default_value_t = 30)]
    size: u64,
    /// Ends after so many seconds, whatever is left.
    #[arg(long)]
    seconds: Option<u64>,
    /// A file that remembers how far it came: the same command goes on there.
    #[arg(long)]
    state: Option<PathBuf>,
    /// One seed only, with all that was seen.
    #[arg(long)]
    seed: Option<u64>,
    /// Of that seed, only these faults: `Crash@3,SlowSync@1`, or `none`.
    #[arg(long, value_delimiter = ',', requires = "seed")]
    faults: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match execute(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn execute(args: &Args) -> Result<ExitCode, String> {
    if let Some(seed) = args.seed {
        let faults = args.faults.as_ref().map(|faults| faults.iter().filter(|fault| *fault != "none"));
        let only = faults.map(|faults| faults.map(|fault| fault.parse::<Strike>()).collect()).transpose()?;
        return Ok(one::show(seed, args.size, only));
    }
    let state = args.state.as_deref().map(|path| State::read(path, args.size)).transpose()?;
    let from = state.as_ref().map_or(args.from, |state| state.reached.max(args.from));
    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let campaign = Campaign { seeds: from..args.from + args.seeds.max(1), size: args.size, until };
    if campaign.seeds.is_empty() {
        println!("all {} seeds were executed before", args.seeds);
        return Ok(ExitCode::SUCCESS);
    }
    // What panics is told as a finding.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let outcome = campaign.execute(|outcome| progress(outcome, &campaign, began));
    clear();
    if let Some(path) = &args.state {
        let reached = outcome.failure.as_ref().map_or(outcome.reached, |failure| failure.seed);
        State { reached }.write(path, args.size)?;
    }
    Ok(tell(&outcome, &campaign, began.elapsed()))
}

fn tell(outcome: &Outcome, campaign: &Campaign, took: Duration) -> ExitCode {
    let years = outcome.passed as f64 / (365.25 * 86_400.0);
    println!(
        "{} seeds ({} to {}), each twice, in {:.1} s: {} lives, {} faults, {} records, {years:.1} simulated years",
        outcome.seeds,
        campaign.seeds.start,
        outcome.reached,
        took.as_secs_f64(),
        outcome.lives,
        outcome.faults,
        outcome.records
    );
    let Some(failure) = &outcome.failure else {
        println!("no violation");
        return ExitCode::SUCCESS;
    };
    for violation in failure.violations.iter().take(10) {
        println!("FAILED {} {violation}", failure.seed);
    }
    println!("it takes: {}", failure.command(campaign.size));
    ExitCode::FAILURE
}

fn progress(outcome: &Outcome, campaign: &Campaign, began: Instant) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let total = campaign.seeds.end - campaign.seeds.start;
    let rate = outcome.seeds as f64 / began.elapsed().as_secs_f64().max(0.1);
    let left = (total - outcome.seeds) as f64 / rate.max(1.0);
    eprint!("\r{} of {total} seeds, {rate:.0}/s, {left:.0} s left   ", outcome.seeds);
    let _ = std::io::stderr().flush();
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r{:60}\r", "");
    }
}
