//! What a commit costs, beside a bare write and sync of as many bytes.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Journal, Options};
use rejoin_store::{Log, NewRecord, StreamId, Version};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const PAYLOAD: usize = 300;
/// How far ahead the file of the bare writes is filled with zeros, as the journal's are.
const AHEAD: usize = 64 << 20;

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for records in [1usize, 64, 512] {
        group.throughput(Throughput::Elements(records as u64));
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Folder::create(folder.path()).expect("a disk");
        let journal = Journal::open(disk, Options::default()).expect("a journal");
        let mut next = 0u128;
        group.bench_function(BenchmarkId::new("journal", records), |bencher| {
            bencher.iter(|| {
                for _ in 0..records {
                    next += 1;
                    let (stream, payload) = (StreamId(next.to_be_bytes()), vec![7; PAYLOAD]);
                    let record = NewRecord { stream, expected: Version::NONE, time: 0, format: 1, payload };
                    journal.append(&[record]).expect("room").expect("a new stream");
                }
                journal.commit().expect("a commit")
            });
        });
        let file = File::create(folder.path().join("bare")).expect("a file");
        file.write_all_at(&vec![0; AHEAD], 0).expect("zeros");
        file.sync_all().expect("a sync");
        let (bytes, mut offset) = (vec![7; records * PAYLOAD], 0);
        group.bench_function(BenchmarkId::new("pwrite and fdatasync", records), |bencher| {
            bencher.iter(|| {
                file.write_all_at(&bytes, offset as u64).expect("a write");
                file.sync_data().expect("a sync");
                offset = (offset + bytes.len()) % (AHEAD - bytes.len());
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = commits
}
criterion_main!(benches);
