//! What the machine costs: a run with five steps, each command decided and each event applied.

#![allow(missing_docs, reason = "the macros of criterion make functions without")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rejoin::{Event, Limits, OpNo, Payload, RetryPolicy, RunId, Timestamp};
use rejoin_machine::{Command, Issue, Origin, Run, Target, Trigger};
use std::hint::black_box;
use std::time::Duration;

const STEPS: u32 = 5;
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn trigger() -> Event {
    Event::Triggered(Box::new(Trigger {
        project: "default".to_owned(),
        target: Target { name: "order".to_owned(), version: 1 },
        input: Payload::from(&b"{\"item\":\"lamp\"}"[..]),
        origin: Origin::Api,
        key: None,
        parent: None,
        depth: 0,
        path: vec!["order".to_owned()],
        deadline: None,
        labels: Vec::new(),
        seed: 1,
    }))
}

fn commands() -> Vec<Command> {
    let payload = || Payload::from(&b"\"done\""[..]);
    let mut commands = vec![Command::Start];
    for op in (0..STEPS).map(OpNo) {
        let policy = RetryPolicy::default();
        commands.push(Command::Issue(Issue::Step { op, name: "step".to_owned(), policy, timeout: None }));
        commands.push(Command::EndAttempt { op, attempt: 1, result: Ok(payload()), jitter: 0 });
    }
    commands.push(Command::Issue(Issue::Return(Ok(payload()))));
    commands
}

/// Returns how many events happened.
fn life(trigger: &Event, commands: &[Command], limits: &Limits) -> usize {
    let mut run = Run::begin(RunId([7; 16]), trigger, NOW).expect("a run begins");
    let mut happened = 1;
    for command in commands {
        let events = run.decide(command.clone(), NOW, limits).expect("it may be asked for");
        for event in &events {
            run.apply(event, NOW).expect("what was decided can happen");
        }
        happened += events.len();
    }
    happened
}

fn machine(criterion: &mut Criterion) {
    let (trigger, commands, limits) = (trigger(), commands(), Limits::default());
    let mut group = criterion.benchmark_group("machine");
    group.throughput(Throughput::Elements(life(&trigger, &commands, &limits) as u64));
    group.bench_function("a run of five steps", |bencher| {
        bencher.iter(|| black_box(life(&trigger, &commands, &limits)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = machine
}
criterion_main!(benches);
