//! What records cost: encoding and decoding a transition, and folding a history of six into its row.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rejoin::{Event, OpNo, Payload, Projection, RetryPolicy, Transition, codec};
use rejoin_machine::{Origin, Target, Trigger};
use rejoin_store::index::Fold;
use rejoin_store::{GENESIS, Lsn, Record, StreamId, Version};
use std::hint::black_box;
use std::time::Duration;

fn payload(length: usize) -> Payload {
    Payload::from("x".repeat(length).as_bytes())
}

fn triggered() -> Event {
    Event::Triggered(Box::new(Trigger {
        project: "default".to_owned(),
        target: Target { name: "order".to_owned(), version: 1 },
        input: payload(100),
        origin: Origin::Api,
        key: Some("monday".to_owned()),
        parent: None,
        depth: 0,
        path: vec!["order".to_owned()],
        deadline: None,
        labels: vec![("team".to_owned(), "sales".to_owned())],
        seed: 1,
    }))
}

fn scheduled(op: u32) -> Event {
    Event::StepScheduled { op: OpNo(op), name: "reserve".to_owned(), policy: RetryPolicy::default(), timeout: None }
}

fn completed(op: u32) -> Event {
    Event::StepCompleted { op: OpNo(op), output: payload(100) }
}

/// A run of four steps, a record for each turn.
fn history() -> Vec<Transition> {
    let mut turns = vec![vec![triggered()], vec![Event::Started, scheduled(0)]];
    turns.extend((0..3).map(|op| vec![completed(op), scheduled(op + 1)]));
    turns.push(vec![completed(3), Event::Completed { output: payload(50) }]);
    turns.into_iter().map(|events| Transition { events, ..Transition::default() }).collect()
}

fn records() -> Vec<Record> {
    let record = |(number, transition): (u64, &Transition)| Record {
        lsn: Lsn(number),
        stream: StreamId([7; 16]),
        version: Version(number),
        time: number as i64,
        format: codec::TRANSITION,
        chain: GENESIS,
        payload: codec::encode(transition).expect("a transition"),
    };
    (1..).zip(&history()).map(record).collect()
}

fn records_and_rows(criterion: &mut Criterion) {
    let transition = history().swap_remove(2);
    let bytes = codec::encode(&transition).expect("a transition");
    let records = records();
    assert_eq!(records.len(), 6);
    assert!(Projection.fold(None, &records).is_some_and(|row| !Projection.is_live(&row)), "it ends");
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| codec::encode(black_box(&transition))));
    group.bench_function("decode", |bencher| bencher.iter(|| codec::decode(codec::TRANSITION, black_box(&bytes))));
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("fold", |bencher| bencher.iter(|| Projection.fold(None, black_box(&records))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = records_and_rows
}
criterion_main!(benches);
