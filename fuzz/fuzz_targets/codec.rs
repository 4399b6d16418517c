//! Any bytes as a record: decoding never panics, and what decodes encodes to the same bytes.
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo fuzz run codec --sanitizer none -- -max_total_time=60
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin::codec;

fuzz_target!(|data: &[u8]| {
    let Some((tag, bytes)) = data.split_at_checked(2) else { return };
    let format = u16::from_le_bytes([tag[0], tag[1]]);
    if let Ok(transition) = codec::decode(format, bytes) {
        let again = codec::encode(&transition).expect("what was decoded can be encoded");
        assert_eq!(again, bytes, "one value has two encodings");
    }
});
