//! A small store, damaged or forged: reading never panics, and shows no shorter log without a word.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo fuzz run segment --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rejoin_tests::fuzz::segment::check(data);
});
