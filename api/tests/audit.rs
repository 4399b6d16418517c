//! What an audit finds: logs that were changed by somebody who knows the format, heads, exports, and runs that are stuck.

mod common;
mod forger;

use common::{Said, Store, block_on, engine, events, picture, rejoin, said_with, starting_none, triggered, written};
use forger::{Forged, Forger};
use rejoin::export::Line;
use rejoin::{Event, OpNo, Projection, RunId};
use rejoin_machine::call::{Mode, OnTimeout};
use rejoin_machine::{CallKey, Target};
use rejoin_store::disk::Folder;
use rejoin_store::index::{Backend, Sled};
use rejoin_store::journal::{Journal, Options};
use rejoin_store::{Log, NewRecord, StreamId, Version};
use std::fs::{self, File};
use std::ops::Bound;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;

fn on(command: &str, folder: &Path, after: &[&str]) -> Said {
    rejoin([command, folder.to_str().unwrap()].iter().chain(after))
}

fn good(said: Said) -> Said {
    assert_eq!(said.status, 0, "{said:?}");
    said
}

/// Asserts that it failed, and said all of this.
#[track_caller]
fn names(said: &Said, parts: &[&str]) {
    assert_eq!(said.status, 1, "{said:?}");
    parts.iter().for_each(|part| assert!(said.err.contains(part), "{part:?} is not in {said:?}"));
}

fn plain(run: RunId) -> String {
    run.to_string().replace('-', "")
}

/// The store without its index, which would tell of a shorter log too.
fn without_index(store: &Store) -> &Path {
    let _ = fs::remove_dir_all(store.path().join("index"));
    store.path()
}

fn kept(folder: &Path, text: &str) -> String {
    let path = folder.join("kept");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn spec_a11_a_log_that_was_written_anew_as_it_is_passes() {
    let store = Store::new();
    Forger::open(store.path()).write();
    good(on("verify", without_index(&store), &[]));
}

#[test]
fn spec_a11_a_removed_event_shows_though_every_number_and_checksum_fits() {
    let store = Store::new();
    let run = store.order;
    let mut forger = Forger::open(store.path());
    forger.each(|records| records.retain(|record| record.stream() != run.0 || record.version() != 2)).write();
    let said = on("verify", without_index(&store), &[]);
    names(&said, &["000000000001.seg is damaged at byte ", &plain(run), "version 2 breaks the stream's hash chain"]);
}

#[test]
fn spec_a11_two_swapped_events_show_though_every_checksum_fits() {
    let store = Store::new();
    let run = store.report;
    let mut forger = Forger::open(store.path());
    let mut taken: Vec<Forged> = Vec::new();
    let of_run = |record: &Forged, versions: &[u64]| record.stream() == run.0 && versions.contains(&record.version());
    forger.each(|records| taken.extend(records.iter().filter(|record| of_run(record, &[1, 2])).cloned()));
    let [one, two] = &mut taken[..] else { panic!("{} records", taken.len()) };
    one.swap_contents(two);
    forger.each(|records| {
        for record in records.iter_mut().filter(|record| of_run(record, &[1, 2])) {
            *record = taken[record.version() as usize - 1].clone();
        }
    });
    forger.write();
    let said = on("verify", without_index(&store), &["--json"]);
    names(&said, &["is damaged at byte ", &plain(run), "version 1 breaks the stream's hash chain"]);
    let found = &said.json()[0];
    assert_eq!((&found["ok"], &found["damage"]["file"]), (&false.into(), &"000000000001.seg".into()));
}

#[test]
fn spec_a11_a_changed_event_shows_though_every_checksum_fits() {
    let store = Store::new();
    let mut forger = Forger::open(store.path());
    let change = |record: &mut Forged| {
        let found = record.0.windows(6).position(|window| window == b"weekly");
        found.into_iter().for_each(|at| record.0[at] = b'W');
    };
    forger.each(|records| records.iter_mut().for_each(change)).write();
    names(&on("verify", without_index(&store), &[]), &[&plain(store.report), "version 1 breaks"]);
}

#[test]
fn spec_a11_a_removed_segment_is_named() {
    let folder = TempDir::new().unwrap();
    {
        let _none = starting_none();
        let options = Options { first_segment: 1024, largest_segment: 1024, ..Options::default() };
        let journal = Journal::open(Folder::create(folder.path()).unwrap(), options).unwrap();
        for run in 1..40 {
            let (stream, payload) = (StreamId([run; 16]), events([triggered("a")]));
            let record = NewRecord { stream, expected: Version(0), time: 1, format: 1, payload };
            journal.append(&[record]).unwrap().unwrap();
        }
        journal.commit().unwrap();
    }
    good(on("verify", folder.path(), &[]));
    fs::remove_file(folder.path().join("000000000003.seg")).unwrap();
    names(&on("verify", folder.path(), &[]), &["000000000003.seg is damaged at byte 0: the file is missing"]);
}

#[test]
fn spec_a11_a_cut_tail_shows_against_a_head_that_was_kept() {
    let (store, elsewhere) = (Store::new(), TempDir::new().unwrap());
    let head = kept(elsewhere.path(), &good(on("head", store.path(), &[])).out);
    let checked = good(on("verify", store.path(), &["--head", &head]));
    assert!(checked.out.contains("heads      4 of 4 are there"), "{checked:?}");
    let mut forger = Forger::open(store.path());
    let frames = forger.frames();
    forger.cut(frames - 1).write();
    names(
        &on("verify", store.path(), &[]),
        &["the index has seen the log up to record", "records that were acknowledged"],
    );
    good(on("verify", without_index(&store), &[]));
    let said = on("verify", store.path(), &["--head", &head]);
    let versions = |said: Said| said.json().into_iter().skip(1).collect::<Vec<_>>();
    let was = versions(good(rejoin(["head", store.path().to_str().unwrap()])));
    names(&said, &["the log ends at record", "its tail was cut off", "error: run ", ", version "]);
    assert!(was.iter().any(|line| said.err.contains(line["run"].as_str().unwrap())) || was.len() < 4, "{said:?}");
}

#[test]
fn spec_a11_a_folder_that_was_replaced_or_rolled_back_shows_and_is_named() {
    let (store, other, elsewhere) = (Store::new(), Store::new(), TempDir::new().unwrap());
    let head = kept(elsewhere.path(), &good(on("head", other.path(), &[])).out);
    let said = on("verify", store.path(), &["--head", &head, "--json"]);
    names(
        &said,
        &["the folder holds store", &format!("error: run {}, version", other.wait), "nothing in the log says"],
    );
    let found = &said.json()[0];
    // Runs with a key have the same id everywhere, and another history.
    assert_eq!((&found["ok"], &found["heads"]["checked"]), (&false.into(), &4.into()));
    assert!(said.err.contains(&format!("run {}", store.report)) && said.err.contains("it was replaced"), "{said:?}");
    let cut = fs::read_to_string(&head).unwrap();
    let head = kept(elsewhere.path(), &cut[..cut.trim_end().rfind('\n').unwrap() + 1]);
    on("verify", store.path(), &["--head", &head]).refused(1, &["is no file of heads", "names 4 runs, and it has 3"]);
}

#[test]
fn spec_a11_a_run_that_was_deleted_since_is_noted_and_not_wrong() {
    let (store, elsewhere) = (Store::new(), TempDir::new().unwrap());
    let head = kept(elsewhere.path(), &good(on("head", store.path(), &[])).out);
    {
        let _none = starting_none();
        block_on(async {
            let engine = engine(store.path()).await;
            engine.run::<()>(store.order).delete().await.unwrap();
            engine.shutdown().await;
        });
    }
    let said = good(on("verify", store.path(), &["--head", &head]));
    assert!(said.err.contains(&format!("note: run {}, version", store.order)), "{said:?}");
    assert!(said.err.contains("it was deleted since") && said.out.contains("3 of 4 are there"), "{said:?}");
}

#[test]
fn spec_a11_an_index_that_does_not_hold_what_the_log_gives_is_found_out() {
    let store = Store::new();
    let said = good(on("verify", store.path(), &["--json"]));
    assert_eq!((&said.json()[0]["index"]["state"], &said.json()[0]["index"]["rows"]), (&"same".into(), &1.into()));
    {
        let _none = starting_none();
        let map = Sled.open(&store.path().join("index").join("rows")).unwrap();
        let all = map.range((Bound::Included(&[2, 1]), Bound::Excluded(&[2, 2])), 100).unwrap();
        assert_eq!(all.len(), 4, "each run is listed once");
        let ours = all.iter().find(|(_, value)| value[..16] == store.order.0).unwrap();
        map.write(vec![(ours.0.clone(), None)]).unwrap();
        map.flush().unwrap();
    }
    let said = on("verify", store.path(), &["--json"]);
    let named = format!("run {}: a key that lists it is missing from the index", store.order);
    names(&said, &["the index holds what the log does not give", &named, "`rejoin reindex`"]);
    assert_eq!(said.json()[0]["index"]["differences"][0]["run"], store.order.to_string());
    fs::write(store.path().join("index").join("STATE"), "nonsense").unwrap();
    assert!(good(on("verify", store.path(), &[])).out.contains("index      not trusted"));
}

fn import(folder: &Path, text: &str) -> Said {
    let elsewhere = TempDir::new().unwrap();
    let file = File::open(kept(elsewhere.path(), text)).unwrap();
    let mut command = common::command(["import", folder.to_str().unwrap(), "--json"]);
    said_with(command.stdout(Stdio::piped()), file.into())
}

fn heads(folder: &Path) -> Vec<String> {
    good(on("head", folder, &[])).out.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn spec_a11_an_export_imports_to_the_same_states_and_chains() {
    let (store, folder) = (Store::new(), TempDir::new().unwrap());
    let text = good(on("export", store.path(), &[])).out;
    let copy = folder.path().join("copy");
    let done = &good(import(&copy, &text)).json()[0];
    assert_eq!(
        (&done["records"], &done["skipped"], &done["runs"]),
        (&(text.lines().count() - 2).into(), &0.into(), &4.into())
    );
    assert_eq!(good(on("export", &copy, &[])).out, text);
    assert_eq!(heads(&copy), heads(store.path()));
    good(on("verify", &copy, &[]));
    for command in ["runs", "doctor"] {
        assert_eq!(good(on(command, &copy, &["--json"])).out, good(on(command, store.path(), &["--json"])).out);
    }
    let again = &good(import(&copy, &text)).json()[0];
    assert_eq!((&again["records"], &again["skipped"]), (&0.into(), &done["records"]));
    // The run that waits goes on in the copy.
    {
        let _none = starting_none();
        block_on(async {
            let engine = engine(&copy).await;
            engine.run::<String>(store.wait).signal("go", "now").await.unwrap();
            assert_eq!(engine.run::<String>(store.wait).result().await.unwrap(), "now");
            engine.shutdown().await;
        });
    }
    good(on("verify", &copy, &[]));
    // The copy is ahead now: what it has is skipped, and nothing is wrong.
    assert_eq!(good(import(&copy, &text)).json()[0]["records"], 0);
}

#[test]
fn spec_a11_an_import_that_was_interrupted_is_gone_on_with() {
    let store = Store::new();
    let text = good(on("export", store.path(), &[])).out;
    let lines: Vec<&str> = text.lines().collect();
    let records: Vec<Line> =
        lines[1..lines.len() - 1].iter().map(|line| Line::parse(line.as_bytes()).unwrap()).collect();
    for written in 0..records.len() {
        let folder = TempDir::new().unwrap();
        {
            let _none = starting_none();
            let options = Options { fold: Arc::new(Projection), ..Options::default() };
            let journal = Journal::open(Folder::create(folder.path()).unwrap(), options).unwrap();
            for Line { run, version, time, format, payload, .. } in records[..written].iter().cloned() {
                let expected = Version(version - 1);
                let record = NewRecord { stream: StreamId(run.0), expected, time, format, payload };
                journal.append(&[record]).unwrap().unwrap();
            }
            journal.commit().unwrap();
        }
        let done = &good(import(folder.path(), &text)).json()[0];
        assert_eq!((&done["skipped"], &done["records"]), (&written.into(), &(records.len() - written).into()));
        assert_eq!(good(on("export", folder.path(), &[])).out, text);
    }
}

#[test]
fn spec_a11_what_does_not_fit_is_refused_by_name_before_anything_is_written() {
    let (store, folder) = (Store::new(), TempDir::new().unwrap());
    let text = good(on("export", store.path(), &[])).out;
    let copy = folder.path().join("copy");
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len() - 2;
    let without: String =
        lines.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line.to_string() + "\n").collect();
    let changed = text.replacen("\"time\":", "\"time\":1", 1);
    let short: String = lines[..last].iter().map(|line| line.to_string() + "\n").collect();
    for (bad, parts) in [
        (&without, ["line ", ", run "]),
        (&changed, ["line 2, run ", "version 1: it breaks the run's hash chain"]),
        (&short, ["the file ends here", "its end was cut off"]),
        (&"rubbish\n".to_owned(), ["line 1", "give a file that `rejoin export` wrote"]),
    ] {
        let said = import(&copy, bad);
        said.refused(1, &parts);
        said.refused(1, &["nothing was imported"]);
        assert!(!copy.exists(), "something was written");
    }
    // Another history of a run with the same id.
    let other = Store::new();
    let before = picture(other.path());
    let said = import(other.path(), &text);
    said.refused(1, &["line ", ", run ", ", version ", "the folder has another history of this run"]);
    assert!(picture(other.path()) == before, "something was written");
}

#[test]
fn spec_a11_an_export_of_a_run_has_its_whole_tree() {
    let store = Store::new();
    let all = good(on("runs", store.path(), &["--json"])).json();
    let child = all.iter().find(|row| row["workflow"] == "double").unwrap()["id"].as_str().unwrap().to_owned();
    let text = good(on("export", store.path(), &[&store.report.to_string()])).out;
    assert_eq!(good(on("export", store.path(), &[&child])).out, text);
    let folder = TempDir::new().unwrap();
    good(import(folder.path(), &text));
    let copied = good(on("runs", folder.path(), &["--json"])).json();
    assert_eq!(copied.iter().map(|row| &row["workflow"]).collect::<Vec<_>>(), ["double", "report"]);
}

#[test]
fn spec_a11_replay_shows_the_state_after_each_event() {
    let store = Store::new();
    let run = store.order.to_string();
    let views = good(on("replay", store.path(), &[&run[..13], "--json"])).json();
    let states: Vec<_> =
        views.iter().map(|view| (view["name"].as_str().unwrap(), view["state"].as_str().unwrap())).collect();
    let expected = [
        ("Triggered", "created"),
        ("Started", "suspended"),
        ("StepScheduled", "running"),
        ("StepAttemptFailed", "running"),
        ("StepFailed", "suspended"),
        ("Failed", "failed"),
    ];
    assert_eq!(states, expected);
    let again = &views[3];
    assert_eq!((&again["open"][0]["kind"], &again["open"][0]["attempt"]), (&"step".into(), &2.into()));
    assert!(again["due_at"].is_string() && views[5]["due_at"].is_null());
    let some = good(on("replay", store.path(), &[&run, "--at", "1", "--json"])).json();
    assert!(some.len() < views.len() && some.iter().all(|view| view["version"] == 1));
    on("replay", store.path(), &[&run, "--at", "99"]).refused(1, &["has no record 99; its last one is"]);
    let table = good(on("replay", store.path(), &[&store.wait.to_string()]));
    assert!(table.out.contains("op=0 kind=signal name=go"), "{table:?}");
}

#[test]
fn spec_a10_why_says_what_is_waited_for_and_who_can_bring_it() {
    let store = Store::new();
    let said = good(on("why", store.path(), &[&store.wait.to_string()]));
    for part in [
        "waits for signal \"go\"",
        "can still happen: yes",
        &format!("to answer, while the project is at work: rejoin signal {} \"go\" JSON", store.wait),
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let view = &good(on("why", store.path(), &[&store.wait.to_string(), "--json"])).json()[0];
    assert_eq!((&view["stuck"], &view["waits"][0]["by"]), (&false.into(), &"sender".into()));
    let said = good(on("why", store.path(), &[&store.report.to_string()]));
    assert!(said.out.contains("it has ended, and waits for nothing"), "{said:?}");
    let table = good(on("doctor", store.path(), &[]));
    assert!(table.out.contains("signal \"go\"") && table.out.lines().count() == 2, "{table:?}");
}

#[test]
fn spec_a10_doctor_names_what_can_never_move() {
    let [lost, wedged, fine] = [1, 2, 3].map(|first| RunId([first; 16]));
    let called = Event::ChildTriggered {
        op: OpNo(0),
        target: Target { name: "part".to_owned(), version: 1 },
        child: RunId([9; 16]),
        key: CallKey::Named("a".to_owned()),
        input_digest: 0,
        mode: Mode::Wait,
        deadline: None,
        on_timeout: OnTimeout::Cancel,
    };
    let awaited = Event::SignalAwaited { op: OpNo(0), name: "go".to_owned(), deadline: None };
    let reason = "at event 1.1 the history has nothing".to_owned();
    let folder = written(&[
        (lost, 1, events([triggered("a"), Event::Started, called])),
        (wedged, 1, events([triggered("a"), Event::Started, Event::Wedged { reason }])),
        (fine, 1, events([triggered("a"), Event::Started, awaited])),
    ]);
    let said = on("doctor", folder.path(), &["--json"]);
    assert_eq!((said.status, said.err.lines().count(), said.json().len()), (1, 2, 3), "{said:?}");
    names(&said, &[&format!("run {lost} can never move: it waits for child"), "which is missing"]);
    names(&said, &[&format!("run {wedged} can never move"), "at event 1.1 the history has nothing"]);
    let stuck: Vec<_> = said.json().iter().map(|view| view["stuck"].as_bool().unwrap()).collect();
    assert_eq!(stuck, [true, true, false]);
    let said = good(on("why", folder.path(), &["01"]));
    assert!(said.out.contains("no: of that run nothing more will come") && said.out.contains("nothing moves it"));
}

#[test]
fn help_names_the_fields_of_json() {
    let store = Store::new();
    for (command, after) in [
        ("replay", vec![store.order.to_string()]),
        ("why", vec![store.wait.to_string()]),
        ("doctor", vec![]),
        ("head", vec![]),
        ("export", vec![]),
    ] {
        let help = good(rejoin([command, "--help"])).out;
        let after: Vec<&str> = after.iter().map(String::as_str).chain(["--json"]).collect();
        for line in good(on(command, store.path(), &after)).json() {
            for field in line.as_object().unwrap().keys() {
                let mut words = help.split(|character: char| !character.is_alphanumeric() && character != '_');
                assert!(words.any(|word| word == field), "{field} is not in the help of {command}");
            }
        }
    }
}
