//! Random programs in a real process that is killed again and again: in the end every counter shows what the model says.
//!
//! `REJOIN_PROGRAM_SECONDS` says for how long (10), `REJOIN_SEED` under which seed.

use rejoin_tests::chance::{Random, setting};
use rejoin_tests::checks::violations;
use rejoin_tests::life::{How, Life};
use rejoin_tests::process::histories_of;
use rejoin_tests::programs::{Ledger, Programs};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ROOTS: u64 = 40;
const SIZE: u64 = 40;
/// How often a process is killed before one may come to the end.
const DEATHS: usize = 6;

#[test]
fn inv_e13_programs_in_a_process_that_is_killed_count_what_the_model_says() {
    let lasts = Duration::from_secs(setting("REJOIN_PROGRAM_SECONDS").unwrap_or(10));
    let mut random = Random::new();
    let (mut programs, mut kills, mut runs) = (0, 0, 0);
    let began = Instant::now();
    while began.elapsed() < lasts {
        let seed = random.below(u64::MAX);
        let folder = TempDir::new().expect("a folder for the test");
        let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
        let start = |index| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_programs"));
            let numbers = [seed, ROOTS, SIZE].map(|number| number.to_string());
            Life::begin(How { index, keep: None }, command.arg(&data).arg(&ledger).args(numbers))
        };
        for _ in 0..DEATHS {
            let mut process = start("sled");
            thread::sleep(random.millis(30..400));
            if !process.is_alive() {
                break;
            }
            process.kill();
            kills += 1;
        }
        let dead = start("sled").end();
        let said: Vec<&str> = dead.said.iter().map(|said| said.line.as_str()).collect();
        assert!(dead.status.success(), "seed {seed}: {}: {said:#?}", dead.status);
        let histories = histories_of(&data);
        assert_eq!(violations(&histories), Vec::<String>::new(), "seed {seed}");
        let judged = Programs::real(seed, SIZE, ROOTS as usize, Ledger::open(&ledger)).judge_counters();
        assert!(judged.is_empty(), "seed {seed}: {judged:#?}");
        programs += ROOTS;
        runs += histories.len();
    }
    println!("{programs} programs, {runs} runs, {kills} kills: every counter as the model says");
    assert!(kills > 0);
}
