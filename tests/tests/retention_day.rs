//! A day of retention in fast motion: a loaded process deletes what has ended some seconds ago, and is killed at random. At each
//! stop the log is in order, and no larger than what lives allows.
//!
//! `REJOIN_DAY_SECONDS` says how long the day is (20), `REJOIN_SEED` under which seed it is, `REJOIN_INDEX` which library keeps
//! the index.

use rejoin_tests::chance::{Random, setting};
use rejoin_tests::client::Client;
use rejoin_tests::life::How;
use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For how long runs are kept that have ended.
const KEEP: Duration = Duration::from_millis(2000);
/// How long a process lives, in milliseconds.
const LIFE: Range<u64> = 300..2000;
/// Until then there is nothing to delete, or not for long.
const WARM: Duration = Duration::from_secs(5);
/// The largest segment.
const SEGMENT: u64 = 1 << 20;
/// What the log may have beside three times what lives: the open segment, its spare, and some that wait to be cleaned.
const BESIDE: u64 = 8 * SEGMENT;
/// What an index may have whatever lives: fjall keeps so much of what it did.
const INDEX: u64 = 64 << 20;

/// What is there at a stop, in bytes.
struct Stop {
    at: Duration,
    live: u64,
    segments: u64,
    index: u64,
}

/// How many bytes the files of a folder have, and of those in it.
fn size(folder: &Path, counts: &dyn Fn(&str) -> bool) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size_of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path(), counts),
        Ok(found) if counts(&entry.file_name().to_string_lossy()) => found.len(),
        Ok(_) | Err(_) => 0,
    };
    entries.flatten().map(size_of).sum()
}

impl Stop {
    fn of(data: &Path, at: Duration, live: u64) -> Stop {
        let segments = size(data, &|name| name.ends_with(".seg"));
        Stop { at, live, segments, index: size(&data.join("index"), &|_| true) }
    }
}

/// The mean of some sizes.
fn mean(sizes: impl Iterator<Item = u64>) -> u64 {
    let (count, sum) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
    sum / u64::max(count, 1)
}

/// Whether a size has grown from the first half of the stops to the second, by more than it may vary.
fn grows(name: &str, stops: &[Stop], size: fn(&Stop) -> u64, varies: u64) -> Option<String> {
    let warm: Vec<u64> = stops.iter().filter(|stop| stop.at >= WARM).map(size).collect();
    let (first, second) = warm.split_at(warm.len() / 2);
    let (before, after) = (mean(first.iter().copied()), mean(second.iter().copied()));
    println!("{name}: {before} bytes at the stops of the first half, {after} at those of the second");
    (after > 2 * before + varies).then(|| format!("A14: {name} grows: from {before} to {after} bytes"))
}

#[test]
fn spec_a14_a_day_of_retention_under_kills() {
    let day = Duration::from_secs(setting("REJOIN_DAY_SECONDS").unwrap_or(20));
    let index = if env::var("REJOIN_INDEX").is_ok_and(|index| index == "fjall") { "fjall" } else { "sled" };
    let mut random = Random::new();
    let folder = TempDir::new().expect("a folder for the test");
    let data = folder.path().join("data");
    let mut client = Client::new(env!("CARGO_BIN_EXE_loaded"), data.clone(), folder.path().to_owned());
    let began = Instant::now();
    let mut stops = Vec::new();
    while began.elapsed() < day {
        let mut life = client.start(How { index, keep: Some(KEEP) }, None);
        thread::sleep(random.millis(LIFE));
        assert!(life.is_alive(), "{}", client.complaints());
        let dead = life.kill();
        let at = began.elapsed();
        let log = client.look(dead);
        let stop = Stop::of(&data, at, log.live);
        let Stop { live, segments, index, .. } = stop;
        let (runs, gone) = (log.histories.len(), client.gone.len());
        println!(
            "{at:.1?}: {runs} runs, {gone} gone; bytes: {live} live, {segments} in segments, {index} in the index"
        );
        // What was deleted a moment ago is not cleaned away yet.
        let lived = stops.last().map_or(live, |before: &Stop| live.max(before.live));
        if segments > 3 * lived + BESIDE {
            client.wrong.push(format!("A14: the segments have {segments} bytes, and {live} of them live"));
        }
        stops.push(stop);
        assert!(client.wrong.is_empty(), "seed {}: {:#?}", random.seed, &client.wrong[..client.wrong.len().min(20)]);
    }
    let beside = |stop: &Stop| stop.segments.saturating_sub(stop.live);
    client.wrong.extend(grows("the log beside what lives", &stops, beside, BESIDE));
    client.wrong.extend(grows("the index", &stops, |stop| stop.index, INDEX));
    client.list(index);
    client.finish(index);
    client.list(index);
    assert!(client.wrong.is_empty(), "seed {}: {:#?}", random.seed, &client.wrong[..client.wrong.len().min(20)]);
    assert!(!client.gone.is_empty(), "nothing was deleted");
    println!("{} stops, {} acknowledged, {} runs gone", stops.len(), client.acknowledged.len(), client.gone.len());
}
