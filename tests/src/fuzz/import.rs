//! Any bytes as an export.

use rejoin::export::{Line, Reader, Writer};

/// Reads the bytes; what is accepted is written, and read again as the same records. Says whether it was accepted.
///
/// # Panics
///
/// If it is not so.
pub fn check(data: &[u8]) -> bool {
    let read = |bytes: &[u8]| Reader::new(bytes).collect::<Result<Vec<Line>, _>>();
    let Ok(lines) = read(data) else { return false };
    let mut writer = Writer::new(Vec::new()).expect("memory can be written");
    for line in &lines {
        writer.record(line, &()).expect("memory can be written");
    }
    let written = writer.finish().expect("memory can be written");
    assert_eq!(read(&written).expect("what was accepted is accepted again"), lines);
    true
}
