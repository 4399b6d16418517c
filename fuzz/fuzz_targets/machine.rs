//! Any life of a run: no panic, a legal life, and replay passes through the states that there were.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo fuzz run machine --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rejoin_tests::fuzz::machine::check(data);
});
