//! The disk by itself: one synced write, and the log that writes what it is given and nothing else.

use crate::recording::Recording;
use rejoin_store::{GENESIS, NewRecord, link};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One synced write of 4 KiB into a file that is filled already, and as much more as each sync of the engine's is made
/// slower: the median of some hundred.
pub fn sync(folder: &Path, added: Duration) -> io::Result<Duration> {
    const WRITES: u64 = 500;
    let count = if added.is_zero() { WRITES } else { WRITES / 5 };
    let path = folder.join("bare-sync");
    let file = zero_filled(&path, WRITES * 4096)?;
    let mut times = Vec::new();
    for n in 0..count {
        let began = Instant::now();
        file.write_all_at(&[1; 4096], n * 4096)?;
        if !added.is_zero() {
            sleep(added);
        }
        file.sync_data()?;
        times.push(began.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(median(&times))
}

/// The middle one.
pub fn median<T: Copy + Default>(sorted: &[T]) -> T {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The file of a bare log, with room for all that was recorded.
pub fn log(folder: &Path, recording: &Recording) -> io::Result<File> {
    zero_filled(&folder.join("bare-log"), recording.bytes())
}

/// Writes the recorded commits: hashed, chained and checksummed as the journal does it, one write and one sync each.
/// Returns how long that took.
pub fn write(file: &File, recording: &Recording) -> io::Result<Duration> {
    let mut chains = vec![GENESIS; recording.streams];
    let (mut offset, mut frame) = (0, Vec::new());
    let began = Instant::now();
    for commit in &recording.commits {
        frame.clear();
        for (record, stream) in &recording.records[commit.records.clone()] {
            // The recording numbers its streams from 0.
            encode(&mut frame, record, &mut chains[*stream]);
        }
        // What the engine's commit had; the fields are not framed quite alike.
        frame.resize(commit.bytes, 0);
        file.write_all_at(&frame, offset)?;
        file.sync_data()?;
        offset += frame.len() as u64;
    }
    Ok(began.elapsed())
}

/// A record with the fields that the journal gives it.
fn encode(frame: &mut Vec<u8>, record: &NewRecord, chain: &mut [u8; 32]) {
    let NewRecord { stream, expected, time, format, payload } = record;
    *chain = link(chain, *stream, expected.next(), *time, *format, payload);
    let start = frame.len();
    frame.extend_from_slice(&payload.len().to_le_bytes());
    frame.extend_from_slice(&stream.0);
    frame.extend_from_slice(&expected.0.to_le_bytes());
    frame.extend_from_slice(&time.to_le_bytes());
    frame.extend_from_slice(&format.to_le_bytes());
    frame.extend_from_slice(chain);
    frame.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&frame[start..]);
    frame.extend_from_slice(&checksum.to_le_bytes());
}

/// A file that has all its blocks, on the disk: what is there already is synced in half the time.
fn zero_filled(path: &Path, bytes: u64) -> io::Result<File> {
    const PIECE: usize = 1 << 18;
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    for piece in 0..bytes.div_ceil(PIECE as u64) {
        file.write_all_at(&[0; PIECE], piece * PIECE as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}
