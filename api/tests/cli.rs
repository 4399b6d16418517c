//! The command line, as those who type it see it.

mod common;

use common::{Said, Store, block_on, command, engine, events, overwrite, picture, rejoin, said, triggered, written};
use rejoin::{Event, Payload, RunId};
use rejoin_machine::OpNo;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const SEGMENT: &str = "000000000001.seg";

fn on(folder: &Path, before: &[&str], after: &[&str]) -> Said {
    let folder = folder.to_str().unwrap();
    rejoin(before.iter().chain([&folder]).chain(after))
}

/// The commands that change nothing, in both formats, each on a run that exists.
fn all(run: RunId) -> Vec<(&'static str, Vec<String>)> {
    let of_run = ["events", "replay", "why", "export"].map(|name| (name, Some(run.to_string())));
    let commands = [[("verify", None), ("runs", None), ("doctor", None), ("head", None)], of_run].concat();
    let formats = [vec![], vec!["--json".to_owned()]];
    let with = |(name, run): &(_, Option<String>), format: &Vec<String>| {
        (*name, run.iter().chain(format).cloned().collect::<Vec<_>>())
    };
    formats.iter().flat_map(|format| commands.iter().map(move |command| with(command, format))).collect()
}

fn each(folder: &Path, run: RunId) -> Vec<Said> {
    let commands = all(run);
    let arguments = |after: &[String]| after.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let ask = |(name, after): &(&str, Vec<String>)| {
        on(folder, &[name], &arguments(after).split_whitespace().collect::<Vec<_>>())
    };
    commands.iter().map(ask).collect()
}

#[test]
fn verify_says_what_it_checked() {
    let store = Store::new();
    let said = on(store.path(), &["verify"], &[]);
    assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");
    for line in ["segments   1", "runs       4", "torn tail  none", "histories  all can be applied"] {
        assert!(said.out.lines().any(|printed| printed == line), "{said:?}");
    }
    let said = on(store.path(), &["verify"], &["--json"]);
    let [found] = &said.json()[..] else { panic!("{said:?}") };
    let length = fs::metadata(store.path().join(SEGMENT)).unwrap().len();
    assert_eq!(found["ok"], true);
    assert_eq!((&found["segments"], &found["bytes"], &found["runs"]), (&1.into(), &length.into(), &4.into()));
    let listed = on(store.path(), &["runs"], &["--json"]).json();
    assert_eq!(found["records"], listed.iter().map(|row| row["records"].as_u64().unwrap()).sum::<u64>());
    assert!(found["torn"].is_null() && found["damage"].is_null() && found["faults"] == serde_json::json!([]));
}

#[test]
fn nothing_in_the_folder_is_changed() {
    let store = Store::new();
    let before = picture(store.path());
    for said in each(store.path(), store.report) {
        assert_eq!((said.status, &*said.err), (0, ""));
    }
    assert!(picture(store.path()) == before, "something was changed");

    // A copy without its lock file, in a folder that nobody may write.
    fs::remove_file(store.path().join("LOCK")).unwrap();
    for entry in fs::read_dir(store.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(store.path(), Permissions::from_mode(0o555)).unwrap();
    let before = picture(store.path());
    for said in each(store.path(), store.report) {
        assert_eq!((said.status, &*said.err), (0, ""));
    }
    assert!(picture(store.path()) == before, "something was changed");
    fs::set_permissions(store.path(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_flipped_byte_is_named_with_its_file_and_place() {
    let store = Store::new();
    let segment = store.path().join(SEGMENT);
    let bytes = fs::read(&segment).unwrap();
    let place = bytes.windows(6).position(|window| window == b"weekly").unwrap();
    overwrite(&segment, |bytes| bytes[place] ^= 1);
    for (said, (name, after)) in each(store.path(), store.report).iter().zip(all(store.report)) {
        assert_eq!(said.status, 1, "{said:?}");
        assert!(said.err.starts_with(&format!("error: {SEGMENT} is damaged at byte ")), "{said:?}");
        assert!(said.err.contains("restore the folder from a copy"), "{said:?}");
        if name == "verify" && after == ["--json"] {
            let found = &said.json()[0];
            assert_eq!((&found["ok"], &found["damage"]["file"]), (&false.into(), &SEGMENT.into()));
            let offset = found["damage"]["offset"].as_u64().unwrap() as usize;
            assert!(offset <= place && place - offset < 4096, "{found}");
            assert!(!found["damage"]["what"].as_str().unwrap().is_empty() && found["segments"].is_null());
        } else {
            assert_eq!(said.out, "", "what is not the whole log is not shown");
        }
    }
}

#[test]
fn a_torn_tail_is_told_and_no_error() {
    let store = Store::new();
    overwrite(&store.path().join(SEGMENT), |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 4096;
        bytes[end..end + 3].fill(1);
    });
    let said = on(store.path(), &["verify"], &[]);
    assert_eq!((said.status, &*said.err), (0, ""));
    assert!(said.out.contains(&format!("torn tail  3 bytes in {SEGMENT} from byte ")), "{said:?}");
    let found = &on(store.path(), &["verify"], &["--json"]).json()[0];
    assert_eq!((&found["ok"], &found["torn"]["bytes"]), (&true.into(), &3.into()));
}

#[test]
fn a_history_that_cannot_have_happened_is_named_with_its_place() {
    let [good, bad, odd, late] = [1, 2, 3, 4].map(|first| RunId([first; 16]));
    let step = Event::StepCompleted { op: OpNo(0), output: Payload::from(&b"1"[..]) };
    let folder = written(&[
        (good, 1, events([triggered("good"), Event::Started])),
        (bad, 1, events([triggered("bad")])),
        (bad, 1, events([Event::Started, step])),
        (bad, 1, events([Event::Unwedged])),
        (odd, 1, events([triggered("odd")])),
        (odd, 9, vec![1, 2, 3]),
        (late, 1, events([Event::Started])),
        (good, 1, events([Event::Completed { output: Payload::from(&b"2"[..]) }])),
        (good, 1, events([Event::Started])),
    ]);
    let said = on(folder.path(), &["verify"], &["--json"]);
    assert_eq!(said.status, 1);
    let found = &said.json()[0];
    assert_eq!((&found["ok"], &found["records"], &found["runs"]), (&false.into(), &9.into(), &4.into()));
    let faults: Vec<_> = found["faults"].as_array().unwrap().iter().collect();
    let expected = [(bad, 2, Some(1)), (odd, 2, None), (late, 1, Some(0)), (good, 3, Some(0))];
    assert_eq!(faults.len(), expected.len(), "{found}");
    for (fault, (run, version, index)) in faults.iter().zip(expected) {
        let place = (&fault["run"], &fault["version"], &fault["index"]);
        assert_eq!(place, (&run.to_string().into(), &version.into(), &index.into()));
    }
    for (fault, (run, place, reason)) in faults
        .iter()
        .zip([(bad, "event 2.1", "StepCompleted cannot happen"), (odd, "record 2", "format 9 is not known")])
    {
        let offset = fault["offset"].as_u64().unwrap();
        let named = format!("error: run {run}, {place} ({SEGMENT}, byte {offset}): {reason}");
        assert!(said.err.contains(&named), "{named}: {said:?}");
        let bytes = fs::read(folder.path().join(SEGMENT)).unwrap();
        assert_eq!(bytes[offset as usize + 8..offset as usize + 24], run.0, "the record stands there");
    }
    assert!(on(folder.path(), &["verify"], &[]).out.contains("histories  4 cannot be applied"));

    let said = on(folder.path(), &["runs"], &["--json"]);
    assert_eq!((said.status, said.err.lines().count()), (1, 2), "what cannot be read: {said:?}");
    let trouble =
        |run: RunId| said.json().into_iter().find(|row| row["id"] == *run.to_string()).unwrap()["trouble"].clone();
    assert!(trouble(odd).as_str().unwrap().starts_with("unreadable from record 2 on: format 9"));
    assert!(trouble(bad).is_null());

    let said = on(folder.path(), &["events"], &["0303", "--json"]);
    assert_eq!((said.status, said.json().len()), (1, 1), "{said:?}");
    assert!(said.err.contains("record 2 (") && said.err.contains("format 9 is not known"), "{said:?}");
}

#[test]
fn runs_are_listed_newest_first_with_children_below() {
    let store = Store::new();
    let said = on(store.path(), &["runs"], &[]);
    assert_eq!((said.status, &*said.err), (0, ""));
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let titles = ["ID", "STATUS", "WORKFLOW", "VERSION", "RECORDS", "TRIGGERED", "UPDATED", "TROUBLE"];
    assert_eq!(lines[0], titles);
    assert_eq!(lines[1][..4], [&*store.wait.to_string(), "suspended", "wait", "1"]);
    assert_eq!(lines[2][..4], [&*store.order.to_string(), "failed", "order", "2"]);
    assert!(said.out.lines().nth(2).unwrap().ends_with("no-stock: a \"red\" lamp"), "{said:?}");
    assert_eq!(lines[3][..4], [&*store.report.to_string(), "completed", "report", "1"]);
    assert_eq!(lines[4][1..5], ["completed", "└─", "double", "1"]);
    assert_eq!(lines.len(), 5);
    let said = on(store.path(), &["runs"], &["--workflow", "double"]);
    assert!(said.out.contains("… double"), "its parent is not listed: {said:?}");
}

#[test]
fn runs_as_json_and_by_status_and_workflow() {
    let store = Store::new();
    let list = |filter: &[&str]| {
        let said = on(store.path(), &["runs", "--json"], filter);
        assert_eq!(said.status, 0, "{said:?}");
        said.json()
    };
    let rows = list(&[]);
    let names: Vec<_> = rows.iter().map(|row| row["workflow"].as_str().unwrap()).collect();
    assert_eq!(names, ["wait", "order", "double", "report"]);
    let (double, report) = (&rows[2], &rows[3]);
    assert_eq!((&report["id"], &double["parent"]), (&store.report.to_string().into(), &report["id"]));
    assert_eq!((&report["key"], &report["depth"], &double["depth"]), (&"weekly".into(), &0.into(), &1.into()));
    assert_eq!(report["labels"], serde_json::json!([{"name": "team", "value": "sales"}]));
    let time = report["triggered_at"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert_eq!(rows[1]["trouble"], "no-stock: a \"red\" lamp");

    let ids =
        |filter: &[&str]| list(filter).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&["--status", "suspended"]), [store.wait.to_string()]);
    assert_eq!(ids(&["--workflow", "order"]), [store.order.to_string()]);
    assert_eq!(ids(&["--workflow", "order", "--status", "completed"]), [""; 0]);
    let none = on(store.path(), &["runs", "--workflow", "nobody"], &[]);
    assert_eq!((none.status, &*none.out, &*none.err), (0, "", "note: no such runs\n"));
}

#[test]
fn events_are_shown_in_order_with_what_they_say() {
    let store = Store::new();
    let said = on(store.path(), &["events"], &[&store.report.to_string()]);
    assert_eq!((said.status, &*said.err), (0, ""));
    let line = |name: &str| {
        let found: Vec<_> = said.out.lines().filter(|line| line.split_whitespace().nth(2) == Some(name)).collect();
        assert_eq!(found.len(), 1, "{name} in {}", said.out);
        found[0].to_owned()
    };
    assert!(line("Triggered").starts_with("1.0"));
    assert!(line("Triggered").contains("workflow=report version=1 origin=api key=weekly"));
    assert!(line("Triggered").ends_with("input=21"));
    assert!(line("ChildTriggered").contains("op=0 workflow=double version=1 child="));
    assert!(line("ChildTriggered").contains("call_key=the-call mode=wait"));
    assert!(line("ChildCompleted").contains("op=0 workflow=double") && line("ChildCompleted").ends_with("output=42"));
    assert!(line("Completed").ends_with("output=\"21 doubled is 42\""));
    let names: Vec<_> = said.out.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    let place = |name| names.iter().position(|listed| *listed == name).unwrap();
    assert_eq!(place("Suspended"), place("ChildTriggered") + 1);
    assert_eq!(place("Resumed"), place("ChildCompleted") - 1);

    let said = on(store.path(), &["events"], &[&store.order.to_string()]);
    let failed = "step=reserve attempt=1 code=error message=\"the line is busy\" retry_at=2";
    assert!(said.out.contains(failed), "{said:?}");
    assert!(said.out.contains("step=reserve attempt=2 code=no-stock message=\"no-stock: a \\\"red\\\" lamp\""));
}

#[test]
fn events_as_json_have_a_place_a_time_and_details() {
    let store = Store::new();
    let said = on(store.path(), &["events", "--json"], &[&store.order.to_string()]);
    assert_eq!(said.status, 0, "{said:?}");
    let views = said.json();
    let named = |name: &str| views.iter().find(|view| view["name"] == name).unwrap();
    let first = &views[0];
    assert_eq!((&first["run"], &first["name"]), (&store.order.to_string().into(), &"Triggered".into()));
    assert_eq!((&first["version"], &first["index"]), (&1.into(), &0.into()));
    assert_eq!((&first["details"]["version"], &first["details"]["input"]), (&2.into(), &"a \"red\" lamp".into()));
    let attempt = &named("StepAttemptFailed")["details"];
    assert_eq!(
        (&attempt["attempt"], &attempt["kind"], &attempt["retryable"]),
        (&1.into(), &"application".into(), &true.into())
    );
    let last = &named("StepFailed")["details"];
    assert_eq!((&last["attempt"], &last["code"], &last["step"]), (&2.into(), &"no-stock".into(), &"reserve".into()));
    assert_eq!(last["failure_details"], "a \"red\" lamp");

    let views = on(store.path(), &["events", "--json"], &[&store.wait.to_string()]).json();
    let last = views.last().unwrap();
    assert_eq!((&last["name"], &last["index"]), (&"Suspended".into(), &serde_json::Value::Null));
    let awaited = &views[views.len() - 2];
    assert_eq!((&awaited["name"], &awaited["details"]["signal"]), (&"SignalAwaited".into(), &"go".into()));
}

#[test]
fn a_run_is_found_by_a_beginning_that_only_it_has() {
    let [mut one, mut two, other] = [0xab, 0xab, 0xcd].map(|first| [first; 16]);
    (one[3], two[3]) = (0x10, 0x20);
    let folder = written(&[one, two, other].map(|id| (RunId(id), 1, events([triggered("a")]))));
    for given in ["cd", "CDCD", "abababab-ab"] {
        let said = on(folder.path(), &["events"], &[given]);
        match given {
            "abababab-ab" => said.refused(1, &["no run in ", " begins with abababab-ab", "`rejoin runs "]),
            _ => assert_eq!((said.status, said.out.lines().count()), (0, 2), "{said:?}"),
        }
    }
    let [one, two] = [one, two].map(|id| RunId(id).to_string());
    on(folder.path(), &["events"], &["ab"])
        .refused(1, &["ab is the beginning of 2 run ids", "more digits", &one, &two]);
    assert_eq!(on(folder.path(), &["events"], &[&one[..7]]).status, 0);
    assert_eq!(on(folder.path(), &["events"], &[&two]).status, 0);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let (nowhere, file) = (folder.path().join("nowhere"), folder.path().join("file"));
    File::create(&file).unwrap();
    for (name, after) in all(RunId([1; 16])) {
        let after: Vec<_> = after.iter().map(String::as_str).collect();
        on(&nowhere, &[name], &after).refused(1, &["nowhere cannot be read (No such file", "give the data folder"]);
        on(&file, &[name], &after).refused(1, &["file cannot be read (Not a directory", "give the data folder"]);
        on(folder.path(), &[name], &after).refused(1, &["holds no store; give the folder"]);
    }
    assert_eq!(picture(folder.path()).len(), 2, "the folder and the file");
}

#[test]
fn a_folder_in_use_is_refused() {
    let store = Store::new();
    block_on(async {
        let engine = engine(store.path()).await;
        for said in each(store.path(), store.report) {
            said.refused(1, &["is in use by another process", "stop that process"]);
        }
        engine.shutdown().await;
    });
}

#[test]
fn a_newer_format_is_named_and_not_called_damage() {
    let store = Store::new();
    overwrite(&store.path().join("MANIFEST"), |bytes| {
        bytes[8] = 99;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    });
    for said in each(store.path(), store.report) {
        said.refused(1, &["has format version 99", "use a newer rejoin"]);
    }
}

#[test]
fn bad_usage_has_a_status_of_its_own() {
    let folder = TempDir::new().unwrap();
    rejoin(["bogus"]).refused(2, &["bogus"]);
    rejoin(["verify"]).refused(2, &["DIR"]);
    on(folder.path(), &["events"], &[]).refused(2, &["RUN"]);
    on(folder.path(), &["events"], &["not-a-run"]).refused(2, &["hexadecimal digits"]);
    on(folder.path(), &["runs"], &["--status", "asleep"]).refused(2, &["asleep", "suspended", "timed-out"]);
    assert_eq!(rejoin([""; 0]).status, 2);
}

#[test]
fn help_names_the_fields_of_json() {
    let store = Store::new();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let help = ["verify", "runs", "events"].map(|name| rejoin([name, "--help"]).out);
    let (found, runs) = (on(store.path(), &["verify"], &["--json"]), on(store.path(), &["runs"], &["--json"]));
    let runs_views = runs.json();
    let of_events = runs_views.iter().flat_map(|run| {
        let views = on(store.path(), &["events", "--json"], &[run["id"].as_str().unwrap()]).json();
        views.into_iter().flat_map(|view| [fields(&view), fields(&view["details"])].concat()).collect::<Vec<_>>()
    });
    let shown = [fields(&found.json()[0]), fields(&runs_views[0]), of_events.collect()];
    for (help, field) in
        help.iter().zip(&shown).flat_map(|(help, fields)| fields.iter().map(move |field| (help, field)))
    {
        let words = help.split(|character: char| !character.is_alphanumeric() && character != '_');
        assert!(words.into_iter().any(|word| word == field), "{field} is not in {help}");
    }
    for (name, field) in [("verify", "damage"), ("runs", "triggered_at"), ("events", "version")] {
        let said = rejoin([name, "--help"]);
        assert_eq!((said.status, &*said.err), (0, ""));
        assert!(said.out.contains("JSON: one object") && said.out.contains(field), "{said:?}");
    }
    assert!(rejoin(["--help"]).out.contains("Exit status: 0"));
}

#[test]
fn a_reader_that_has_had_enough_is_no_error_and_a_full_disk_is_one() {
    let store = Store::new();
    for (name, after) in all(store.report) {
        let run = |out: std::process::Stdio| {
            let mut command = command([name, store.path().to_str().unwrap()]);
            said(command.args(&after).stdout(out))
        };
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let piped = run(writer.into());
        assert_eq!((piped.status, &*piped.err), (0, ""), "{name} {after:?}");
        let full = run(File::options().write(true).open("/dev/full").unwrap().into());
        full.refused(1, &["failed to write to stdout"]);
    }
}
