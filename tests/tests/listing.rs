//! Lists of runs: each page in order, no run twice, none missing, whatever is asked for, while runs are live and after a
//! restart, with every library that can keep the index.

use rejoin::testkit::World;
use rejoin::{
    Builder, Context, Engine, Failure, Filter, IndexKind, RunHandle, RunId, RunInfo, RunStatus, Timestamp, Workflow,
};
use rejoin_tests::lives::{builder, start};
use std::collections::BTreeSet;
use std::path::Path;

/// Ends well, calls a child, waits, or fails, by its input.
const ORDER: Workflow<u32, u32> = Workflow::named("order");
/// A name that begins as another one does.
const ORDERLY: Workflow<u32, u32> = Workflow::named("order-line");
const RUNS: u32 = 60;
const PAGES: [usize; 5] = [1, 2, 7, 64, 1_000];

fn app(builder: Builder) -> Builder {
    builder
        .workflow(&ORDERLY, |ctx: Context, n: u32| async move {
            if n.is_multiple_of(2) { ctx.signal::<u32>("go").await } else { Ok(n) }
        })
        .workflow(&ORDER, |ctx: Context, n: u32| async move {
            match n % 5 {
                0 => ctx.call(&ORDERLY, n).await,
                1 => Ok(n),
                2 => Err(Failure::business("refused", n)),
                3 => ctx.signal::<u32>("go").await,
                _ => {
                    for part in 0..3 {
                        ctx.spawn(&ORDERLY, n + part).await?;
                    }
                    ctx.step("work", move || async move { Ok::<u32, Failure>(n) }).await
                }
            }
        })
}

/// Triggers runs, and cancels some of those that wait.
async fn trigger(engine: &Engine, runs: std::ops::Range<u32>) -> Vec<RunHandle<u32>> {
    let mut handles = Vec::new();
    for n in runs {
        let colour = ["red", "green", "re"][n as usize % 3];
        let run = engine.trigger(&ORDER, n).key(format!("run {n}")).label("colour", colour);
        let run = if n % 4 == 0 { run.label("size", "large") } else { run };
        handles.push(run.await.unwrap());
    }
    for run in handles.iter().step_by(6) {
        // Those that have ended refuse it.
        let _ = run.cancel("the test says so").await;
    }
    handles
}

/// Every run that the log knows, apart from the index.
fn everything(engine: &Engine, triggered: &[RunHandle<u32>]) -> BTreeSet<RunId> {
    let children = |run: &RunHandle<u32>| {
        let history = run.history().unwrap();
        let events = history.into_iter().flat_map(|entry| entry.transition.events);
        events
            .filter_map(|event| match event {
                rejoin::Event::ChildTriggered { child, .. } => Some(child),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let runs: BTreeSet<RunId> = triggered.iter().flat_map(|run| children(run).into_iter().chain([run.id()])).collect();
    assert!(runs.iter().all(|run| engine.describe(*run).is_ok()));
    runs
}

fn pages(engine: &Engine, filter: &Filter, size: usize) -> Vec<RunInfo> {
    let (mut runs, mut from) = (Vec::new(), None);
    loop {
        let page = engine.list(filter, from.as_deref(), size).unwrap();
        assert!(page.runs.len() <= size);
        assert!(page.next.is_none() || page.runs.len() == size, "only the last page is short");
        runs.extend(page.runs);
        match page.next {
            Some(next) => from = Some(next),
            None => return runs,
        }
    }
}

/// The time that a run is listed by.
fn time(run: &RunInfo) -> Timestamp {
    if run.row.status.is_closed() { run.row.updated_at } else { run.row.triggered_at }
}

fn wants(filter: &Filter, run: &RunInfo) -> bool {
    filter.status.is_none_or(|status| run.row.status == status)
        && filter.workflow.as_ref().is_none_or(|workflow| run.row.workflow == *workflow)
        && filter.parent.is_none_or(|parent| run.row.parent == Some(parent))
        && filter.label.as_ref().is_none_or(|label| run.row.labels.contains(label))
        && filter.from.is_none_or(|from| time(run) >= from)
        && filter.until.is_none_or(|until| time(run) < until)
}

/// Everything that may be asked for.
fn filters(all: &[RunInfo]) -> Vec<Filter> {
    let mut filters = vec![Filter::default()];
    let statuses = RunStatus::ALL.map(|status| Filter { status: Some(status), ..Filter::default() });
    let names = ["order", "order-line", "orde", "nobody"];
    let workflows = names.map(|name| Filter { workflow: Some(name.to_owned()), ..Filter::default() });
    let labels = [("colour", "red"), ("colour", "re"), ("size", "large"), ("size", "red"), ("", "")];
    let labels =
        labels.map(|(name, value)| Filter { label: Some((name.to_owned(), value.to_owned())), ..Filter::default() });
    let parents: BTreeSet<RunId> = all.iter().filter_map(|run| run.row.parent).collect();
    let parents = parents.into_iter().take(3).chain([RunId([9; 16])]);
    filters.extend(statuses);
    filters.extend(workflows);
    filters.extend(labels);
    filters.extend(parents.map(|parent| Filter { parent: Some(parent), ..Filter::default() }));
    let both = Filter { status: Some(RunStatus::Completed), workflow: Some("order".to_owned()), ..Filter::default() };
    filters.push(both);
    let mut times: Vec<Timestamp> = all.iter().map(time).collect();
    times.sort();
    let (early, late) = (times[times.len() / 4], times[times.len() * 3 / 4]);
    let within = |filter: &Filter| {
        let spans = [(Some(early), None), (None, Some(late)), (Some(early), Some(late)), (Some(late), Some(early))];
        spans.map(|(from, until)| Filter { from, until, ..filter.clone() })
    };
    let timed: Vec<_> = filters.iter().flat_map(within).collect();
    filters.extend(timed);
    filters
}

/// Holds every list against everything.
fn check(engine: &Engine, known: &BTreeSet<RunId>) -> Vec<RunInfo> {
    let all = engine.list(&Filter::default(), None, usize::MAX).unwrap().runs;
    assert_eq!(all.len(), known.len(), "no run twice, none missing");
    assert_eq!(all.iter().map(|run| run.id).collect::<BTreeSet<_>>(), *known);
    assert!(all.is_sorted_by_key(|run| (std::cmp::Reverse(time(run)), run.id.0)), "newest first");
    for run in &all {
        assert_eq!(run.row, engine.describe(run.id).unwrap().row, "lists and descriptions agree");
    }
    for filter in filters(&all) {
        let expected: Vec<_> = all.iter().filter(|run| wants(&filter, run)).cloned().collect();
        for size in PAGES {
            assert_eq!(pages(engine, &filter, size), expected, "{filter:?} in pages of {size}");
        }
    }
    all
}

#[test]
fn inv_e13_lists_are_everything_filtered_in_a_simulation() {
    let world = World::new(5);
    let mut simulation = start(&world, app(builder()));
    let mut handles = Vec::new();
    for part in 0..4 {
        let engine = simulation.engine();
        let runs = RUNS / 4 * part..RUNS / 4 * (part + 1);
        handles.extend(simulation.block_on(async move { trigger(&engine, runs).await }).unwrap());
        // Runs are under way here.
        let engine = simulation.engine();
        check(&engine, &everything(&engine, &handles));
        simulation.settle();
        world.pass(std::time::Duration::from_secs(60));
        simulation.settle();
    }
    let engine = simulation.engine();
    let known = everything(&engine, &handles);
    let before = check(&engine, &known);
    let statuses: BTreeSet<_> = before.iter().map(|run| run.row.status.name()).collect();
    for status in ["suspended", "completed", "failed", "cancelled"] {
        assert!(statuses.contains(status), "{statuses:?}");
    }
    drop((engine, handles, simulation));
    let mut simulation = start(&world, app(builder()));
    simulation.settle();
    assert_eq!(check(&simulation.engine(), &known), before, "a restart changes nothing");
}

async fn started(folder: &Path, kind: IndexKind) -> Engine {
    app(Engine::open(folder)).index(kind).segments(64 << 10, 64 << 10).start().await.unwrap()
}

/// Waits until no run is under way.
async fn rest(engine: &Engine) {
    loop {
        let all = engine.list(&Filter::default(), None, usize::MAX).unwrap().runs;
        if all.iter().all(|run| run.row.status.is_closed() || run.row.status == RunStatus::Suspended) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[test]
fn inv_e13_lists_are_everything_filtered_with_each_library() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for kind in [IndexKind::Sled, IndexKind::Fjall] {
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let engine = started(folder.path(), kind).await;
            let mut handles = trigger(&engine, 0..RUNS / 2).await;
            rest(&engine).await;
            check(&engine, &everything(&engine, &handles));
            handles.extend(trigger(&engine, RUNS / 2..RUNS).await);
            rest(&engine).await;
            let known = everything(&engine, &handles);
            let before = check(&engine, &known);
            drop(handles);
            engine.shutdown().await;
            drop(engine);
            for kind in [kind, IndexKind::Memory, kind] {
                let engine = started(folder.path(), kind).await;
                assert_eq!(check(&engine, &known), before, "a restart changes nothing");
                engine.shutdown().await;
            }
        });
    }
}
