//! Any text as an expression on any JSON: it never panics, ends, and gives the same again.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo fuzz run expression --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rejoin_tests::fuzz::expression::check(data);
});
