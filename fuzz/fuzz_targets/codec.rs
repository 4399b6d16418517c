//! Any bytes as a record: decoding never panics, and what decodes encodes to the same bytes.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo fuzz run codec --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rejoin_tests::fuzz::codec::check(data);
});
