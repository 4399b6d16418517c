//! What the maps of the index cost, as the index uses them.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rejoin_store::index::{Backend, Entry, Fjall, Key, Map, MemoryMap, Row, Sled};
use std::hint::black_box;
use std::ops::Bound;
use std::time::Duration;
use tempfile::TempDir;

/// How many rows change in one write.
const CHANGED: u64 = 1_000;
/// How many rows there are.
const ROWS: u64 = 50_000;
/// How many entries a page of a list has.
const PAGE: usize = 64;

fn key(place: u8, n: u64) -> Key {
    let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    [&[place][..], &id, &n.to_be_bytes()].concat()
}

/// A row that changes, the entry that it had in a list, and the one that it has now.
fn change(n: u64, round: u64) -> [Entry; 3] {
    let listed = |round: u64| [&[3][..], &round.to_be_bytes(), &key(3, n)].concat();
    let row = Row::from([&round.to_be_bytes()[..], &[7; 192]].concat());
    let id = Row::from(&key(0, n)[1..]);
    [(key(1, n), Some(row)), (listed(round.wrapping_sub(1)), None), (listed(round), Some(id))]
}

fn write(map: &dyn Map, rows: impl Iterator<Item = u64>, round: u64) {
    let mut entries: Vec<Entry> = rows.flat_map(|n| change(n, round)).collect();
    entries.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    map.write(entries).expect("a write");
}

fn maps() -> Vec<(&'static str, Box<dyn Map>, Option<TempDir>)> {
    let open = |backend: &dyn Backend| {
        let folder = tempfile::tempdir().expect("a folder");
        (backend.name(), backend.open(folder.path()).expect("a map"), Some(folder))
    };
    vec![("memory", Box::new(MemoryMap::default()), None), open(&Sled), open(&Fjall)]
}

fn index(criterion: &mut Criterion) {
    for (name, map, _folder) in maps() {
        for first in (0..ROWS).step_by(CHANGED as usize) {
            write(&*map, first..first + CHANGED, 0);
        }
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(CHANGED));
        let mut round = 0;
        group.bench_function("apply 1,000 changed rows", |bencher| {
            bencher.iter(|| {
                round += 1;
                write(&*map, 0..CHANGED, round);
            });
        });
        group.throughput(Throughput::Elements(1));
        let mut n = 0;
        group.bench_function("get a row", |bencher| {
            bencher.iter(|| {
                n = (n + 7_919) % ROWS;
                black_box(map.get(&key(1, n)).expect("a read"))
            });
        });
        group.throughput(Throughput::Elements(PAGE as u64));
        group.bench_function("scan a page", |bencher| {
            bencher
                .iter(|| black_box(map.range((Bound::Included(&[3]), Bound::Excluded(&[4])), PAGE).expect("a read")));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = index
}
criterion_main!(benches);
