//! Flips random bits of a large store, one at a time, and says what each did.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin flips -- [--flips 10000] [--seed 1] [--from 0] [--seconds S] [--megabytes 50]
//! ```
//!
//! A flip that is neither reported nor harmless is printed, and the exit status is 1. The same seed flips the same bits; one that was
//! stopped goes on with `--from`.

use clap::Parser;
use rejoin_tests::flips::{Count, Counts, Original, Settings, run};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Flips random bits of a large store, one at a time
#[derive(Parser)]
struct Arguments {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    flips: u64,
    /// What they are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How long at most.
    #[arg(long)]
    seconds: Option<u64>,
    /// How large the log is.
    #[arg(long, default_value_t = 50)]
    megabytes: u64,
}

fn table(original: &Original, counts: &Counts) {
    println!("{:<14}{:>12}{:>10}{:>10}{:>10}{:>8}", "region", "bytes", "flips", "reported", "harmless", "silent");
    let line = |name: &str, bytes: usize, count: Count| {
        let Count { reported, harmless, silent } = count;
        let flips = reported + harmless + silent;
        println!("{name:<14}{bytes:>12}{flips:>10}{reported:>10}{harmless:>10}{silent:>8}");
    };
    let (mut bytes, mut sum) = (0, Count::default());
    for (region, count) in &counts.regions {
        let of_region = original.regions.bytes(*region);
        line(&format!("{region:?}"), of_region, *count);
        bytes += of_region;
        sum.reported += count.reported;
        sum.harmless += count.harmless;
        sum.silent += count.silent;
    }
    line("all", bytes, sum);
    println!("{} of them judged by opening the store, {} by reading all of it", counts.opened, counts.inspected);
}

fn main() -> ExitCode {
    let Arguments { flips, seed, from, seconds, megabytes } = Arguments::parse();
    let began = Instant::now();
    let original = Original::make(megabytes.max(1) << 20);
    let names: Vec<&str> = original.files.iter().map(|(name, _)| name.as_str()).collect();
    eprintln!("{:.1} s: {}; {:?}", began.elapsed().as_secs_f64(), names.join(" "), original.report);
    let time = seconds.map_or(Duration::MAX, Duration::from_secs);
    let settings = Settings { seed, from, until: from.saturating_add(flips), time };
    let counts = run(&original, settings, |done| {
        eprint!("\r{done} of {} flips, {:.0} s ", settings.until, began.elapsed().as_secs_f64());
    });
    eprintln!();
    table(&original, &counts);
    if counts.next < settings.until {
        println!("stopped; go on with --seed {seed} --from {} --flips {}", counts.next, settings.until - counts.next);
    }
    counts.silent.iter().for_each(|what| println!("SILENT: {what}"));
    if counts.silent.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
