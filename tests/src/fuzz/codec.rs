//! Any bytes as a record: decoding never panics, and what decodes encodes to the same bytes.

use rejoin::codec;

/// Whether the bytes are a record, two bytes of format before it.
///
/// # Panics
///
/// If they are read as something that has other bytes too.
pub fn check(data: &[u8]) -> bool {
    let Some((tag, bytes)) = data.split_at_checked(2) else { return false };
    let format = u16::from_le_bytes([tag[0], tag[1]]);
    let Ok(transition) = codec::decode(format, bytes) else { return false };
    let again = codec::encode(&transition).expect("what was decoded can be encoded");
    assert_eq!(again, bytes, "one value has two encodings");
    true
}
