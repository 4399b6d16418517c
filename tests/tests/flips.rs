//! Random bits of a log of two megabytes, as the tool `flips` does it with fifty.

use rejoin_tests::chance::Random;
use rejoin_tests::flips::{Original, Region, Settings, run};
use std::time::Duration;

#[test]
fn inv_s7_random_flips_in_a_larger_log_show_or_do_no_harm() {
    let original = Original::make(2 << 20);
    let gone = original.entries.iter().filter(|entry| entry.bytes == 0).count();
    let rewritten = original.entries.iter().filter(|entry| entry.generation > 0).count();
    assert!(gone > 0 && rewritten > 0 && original.report.dead > 0 && original.report.segments > 5);
    let counts =
        run(&original, Settings { seed: Random::new().seed, from: 0, until: 300, time: Duration::MAX }, |_| {});
    assert!(counts.silent.is_empty(), "{:#?}", counts.silent);
    for region in [Region::Manifest, Region::Header, Region::FrameHeader, Region::Record, Region::Footer] {
        let count = counts.regions[&region];
        assert!(count.reported > 0 && count.harmless == 0, "{region:?}: {count:?}");
    }
    assert!(counts.regions[&Region::Padding].harmless > 0 && counts.opened > 100 && counts.inspected == 3);
}
