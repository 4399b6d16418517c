//! Any bytes as the files of a project: reading and checking them never panics, and finds the same again.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo fuzz run definition --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rejoin_tests::fuzz::definition::check(data);
});
