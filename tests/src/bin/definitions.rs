//! Broken definitions without end: each is read and checked, and what is left of it drawn up; none may panic or take long.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin definitions -- 1000000
//! ```

use rejoin::definition::{Project, Source};
use rejoin::testkit::Chance;
use rejoin_tests::definitions::{broken, sound};
use std::time::{Duration, Instant};

/// What broken ones are made of.
const SEEDS: [&str; 4] = [
    include_str!("../../../examples/newsletter/rejoin.yaml"),
    include_str!("../../../examples/newsletter/workflows/write-newsletter.yaml"),
    include_str!("../../../docs/definitions.md"),
    "workflow: w\nnodes: { a: { set: { x: '= [1, 2].map(i, i * 2)', y: '{% for i in x %}{{ i }}{% endfor %}' }, then: end } }\n",
];

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut chance = Chance::new(1);
    let (mut slowest, mut accepted, mut found) = (Duration::ZERO, 0_u64, 0_u64);
    let began = Instant::now();
    for number in 0..count {
        let fresh = sound(&mut chance).text;
        let seeds: Vec<&str> = SEEDS.into_iter().chain([fresh.as_str()]).collect();
        let text = broken(&mut chance, &seeds);
        let name = if number % 4 == 0 { "rejoin.yaml" } else { "w.yaml" };
        let one = Instant::now();
        let (_, diagnostics) = Project::read(vec![Source { name: name.to_owned(), text: text.clone() }]);
        let took = one.elapsed();
        if took > slowest {
            slowest = took;
        }
        assert!(took < Duration::from_secs(1), "this takes {took:?}:\n{text}");
        accepted += u64::from(!diagnostics.has_errors());
        found += diagnostics.all().len() as u64;
    }
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned();
    println!(
        "{count} broken definitions in {:.1} s: {accepted} sound all the same, {found} diagnostics, the slowest {:.1} ms, {memory} at most",
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3
    );
}
