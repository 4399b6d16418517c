//! Any bytes as an export: reading never panics, and what is accepted is written and read again as the same records.
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo fuzz run import --sanitizer none -- -max_total_time=60 -rss_limit_mb=512
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_tests::fuzz::import;

fuzz_target!(|data: &[u8]| {
    import::check(data);
});
