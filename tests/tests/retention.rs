//! Deleting what has ended: by request, by age, whole trees only; and giving its disk back.

use rejoin::testkit::{Simulation, World};
use rejoin::time::{days, hours, millis};
use rejoin::{Builder, Context, Engine, Filter, RunError, RunHandle, RunId, Settings, Workflow};
use rejoin_store::disk::Folder;
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, OTHER, builder, start, trigger};
use std::collections::BTreeMap;
use std::path::Path;

/// A parent of two children; each waits for a signal if its input is odd.
fn family() -> Builder {
    builder()
        .workflow(&OTHER, |ctx: Context, n: u32| async move {
            if n % 2 == 1 {
                ctx.signal::<String>("go").await?;
            }
            Ok(format!("child {n}"))
        })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            ctx.call(&OTHER, 2).key("a").await?;
            ctx.call(&OTHER, n + 1).key("b").await
        })
}

fn delete(simulation: &mut Simulation, run: &RunHandle<String>) -> Result<(), RunError> {
    let run = run.clone();
    simulation.block_on(async move { run.delete().await }).expect("an answer")
}

fn listed(simulation: &Simulation) -> usize {
    simulation.engine().list(&Filter::default(), None, 100).expect("a list").runs.len()
}

fn children(simulation: &Simulation, run: RunId) -> Vec<RunHandle<String>> {
    let filter = Filter { parent: Some(run), ..Filter::default() };
    let runs = simulation.engine().list(&filter, None, 10).expect("a list").runs;
    runs.iter().map(|info| simulation.engine().run(info.id)).collect()
}

#[test]
fn spec_a14_a_tree_that_has_ended_is_deleted_by_request() {
    let world = World::new(1);
    let mut simulation = start(&world, family());
    let run = trigger(&mut simulation);
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "child 2");
    let child = children(&simulation, run.id()).remove(0);
    let refused = delete(&mut simulation, &child).unwrap_err().to_string();
    assert!(refused.contains("delete the run that the tree begins with"), "{refused}");
    delete(&mut simulation, &run).unwrap();
    assert!(matches!(run.history(), Err(RunError::NotFound(_))));
    assert!(matches!(child.describe(), Err(RunError::NotFound(_))));
    assert!(matches!(simulation.block_on(run.result()).unwrap(), Err(RunError::NotFound(_))));
    assert!(matches!(delete(&mut simulation, &run), Err(RunError::NotFound(_))));
    assert_eq!(listed(&simulation), 0);
    drop(simulation);

    // The key is free again, after a restart too.
    let mut simulation = start(&world.crash(Outcome::Lost, 3), family());
    assert_eq!(listed(&simulation), 0);
    let again = trigger(&mut simulation);
    assert_eq!(again.id(), run.id());
    assert_eq!(simulation.block_on(again.result()).unwrap().unwrap(), "child 2");
    assert_eq!(listed(&simulation), 3);
}

#[test]
fn spec_a14_a_tree_with_a_run_that_is_alive_stays() {
    let waiting = family().workflow(&Workflow::<u32, String>::named("waiting"), |ctx: Context, n: u32| async move {
        ctx.spawn(&OTHER, n).await?;
        Ok("ended".to_owned())
    });
    let mut simulation = start(&World::new(1), waiting);
    let engine = simulation.engine();
    let request = async move { engine.trigger(&Workflow::<u32, String>::named("waiting"), 1).await };
    let run = simulation.block_on(request).unwrap().unwrap();
    simulation.block_on(run.result()).unwrap().unwrap();
    let refused = delete(&mut simulation, &run).unwrap_err().to_string();
    let child = children(&simulation, run.id()).remove(0);
    assert!(refused.contains(&format!("run {} has not ended", child.id())), "{refused}");
    assert_eq!(listed(&simulation), 2);
    let signalled = child.clone();
    simulation.block_on(async move { signalled.signal("go", "on").await }).unwrap().unwrap();
    simulation.block_on(child.result()).unwrap().unwrap();
    delete(&mut simulation, &run).unwrap();
    assert_eq!(listed(&simulation), 0);
}

#[test]
fn spec_a14_what_is_old_enough_goes_by_itself() {
    let world = World::new(1);
    let mut simulation = start(&world, family().retention(days(7)));
    let run = trigger(&mut simulation);
    simulation.block_on(run.result()).unwrap().unwrap();
    world.pass(days(6));
    simulation.settle();
    assert_eq!(listed(&simulation), 3);
    world.pass(days(1));
    world.pass(hours(20));
    simulation.settle();
    assert_eq!(listed(&simulation), 0);
}

#[test]
fn spec_a14_other_projects_keep_theirs() {
    let retention = BTreeMap::from([("theirs".to_owned(), days(1))]);
    let app = family().project("mine").settings(Settings { retention, ..Settings::default() });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let run = trigger(&mut simulation);
    simulation.block_on(run.result()).unwrap().unwrap();
    world.pass(days(30));
    simulation.settle();
    assert_eq!(listed(&simulation), 3);
}

#[test]
fn a_follower_does_not_go_on_in_another_life_of_its_run() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
            let first = ctx.signal::<String>("first").await?;
            Ok(first + &ctx.signal::<String>("second").await?)
        })
    };
    let mut simulation = start(&World::new(1), app());
    let life = |simulation: &mut Simulation| {
        let run = trigger(simulation);
        for name in ["first", "second"] {
            let run = run.clone();
            simulation.block_on(async move { run.signal(name, name).await }).unwrap().unwrap();
        }
        assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "firstsecond");
        run
    };
    let run = trigger(&mut simulation);
    let mut follower = run.follow();
    assert!(simulation.block_on(follower.next()).unwrap().unwrap().is_some());
    life(&mut simulation);
    delete(&mut simulation, &run).unwrap();
    life(&mut simulation);
    assert!(simulation.block_on(follower.next()).unwrap().unwrap().is_none(), "the life that it followed is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_e8_a_result_that_comes_after_the_end_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(folder.path()).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let step = ctx.step("stubborn", || async move {
            // Nothing can stop it in the middle of that.
            std::thread::sleep(millis(200));
            Ok::<_, rejoin::Failure>(1)
        });
        step.await.map(|one| one.to_string())
    });
    let engine = engine.start().await.expect("it starts");
    let run = engine.trigger(&MAIN, 1).await.expect("a run");
    tokio::time::sleep(millis(50)).await;
    run.cancel("too slow").grace(millis(0)).await.expect("it is cancelled");
    assert!(run.result().await.is_err());
    tokio::time::sleep(millis(400)).await;
    run.delete().await.expect("it has ended");
    assert!(matches!(run.result().await, Err(RunError::NotFound(_))));
}

/// How many bytes the segments of a folder have.
fn segments(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file"));
    let segments = files.filter(|file| file.file_name().to_string_lossy().ends_with(".seg"));
    segments.map(|file| file.metadata().expect("a size").len()).sum()
}

#[tokio::test]
async fn spec_a14_the_disk_is_given_back_while_work_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let open = || {
        Engine::open(&data)
            .workflow(&MAIN, |ctx: Context, n: u32| async move {
                let text = ctx.step("text", move || async move { Ok::<_, rejoin::Failure>("x".repeat(500)) }).await?;
                Ok(format!("{n} {}", text.len()))
            })
            .segments(64 << 10, 64 << 10)
            .clean_after(millis(20))
            .retention(millis(150))
    };
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let engine = open().start().await.expect("it starts");
        for round in 0..4_u32 {
            let mut runs = Vec::new();
            for n in 0..300_u32 {
                runs.push(engine.trigger(&MAIN, round * 300 + n).await.expect("a run"));
            }
            for run in runs {
                // Some are so old by now that they are gone.
                match run.result().await {
                    Ok(_) | Err(RunError::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            tokio::time::sleep(millis(250)).await;
            sizes.push(segments(&data));
        }
        engine.shutdown().await;
        drop(engine);
        let disk = Folder::existing(&data).expect("a folder");
        rejoin_store::journal::inspect(&disk, |_| {}).expect("the log is in order");
    }
    // 3,600 runs of more than a kB each came by; what is there at any time are a few hundred.
    assert!(sizes.iter().all(|size| *size < 1 << 20), "{sizes:?}");
    let engine = open().start().await.expect("it starts");
    tokio::time::sleep(millis(400)).await;
    assert_eq!(engine.list(&Filter::default(), None, 1).expect("a list").runs.len(), 0);
}
