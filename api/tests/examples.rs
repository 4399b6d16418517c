//! The examples, as somebody would run them: the binary on a copy of the folder, and killed in the middle of its work.

mod common;

use common::{Said, command, rejoin};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// All of them.
const EXAMPLES: [&str; 7] = ["compliance", "content-review", "debate", "invoices", "newsletter", "support", "swarm"];

/// Stands between the engine and an agent's program: notes for which run and which engine that is begun.
const NOTED: &str = r#"echo "$REJOIN_RUN $PPID" >> ledger; exec sh "$@""#;

fn original(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// A copy of an example, in which the start of each program is noted.
struct Example {
    folder: TempDir,
}

impl Example {
    fn new(name: &str) -> Example {
        let folder = TempDir::new().unwrap();
        copy(&original(name), folder.path());
        let declaration = folder.path().join("rejoin.yaml");
        let text = fs::read_to_string(&declaration).unwrap();
        let noting = text.replace("[sh, agents/", "[sh, noted.sh, agents/");
        assert_ne!(noting, text, "{name} has no program");
        fs::write(declaration, noting).unwrap();
        fs::write(folder.path().join("noted.sh"), NOTED).unwrap();
        Example { folder }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let folder = self.folder.path().to_str().unwrap();
        ["run", folder, "--no-tty"].into_iter().chain(more.iter().copied()).collect()
    }

    fn run(&self, more: &[&str]) -> Said {
        rejoin(self.arguments(more))
    }

    /// What a run to the end prints, which is JSON.
    #[track_caller]
    fn gives(&self, more: &[&str]) -> Value {
        let said = self.run(more);
        assert_eq!(said.status, 0, "{said:?}");
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    #[track_caller]
    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    /// What the log has, the oldest run last; nothing where there is no log yet.
    fn runs(&self) -> Vec<Value> {
        let data = self.folder.path().join(".rejoin");
        rejoin(["runs", data.to_str().unwrap(), "--json"]).json()
    }

    /// For which run and by which engine programs were begun, in their order.
    fn begun(&self) -> Vec<(String, u32)> {
        let ledger = fs::read_to_string(self.folder.path().join("ledger")).unwrap_or_default();
        let read = |line: &str| {
            let (run, engine) = line.split_once(' ')?;
            Some((run.to_owned(), engine.parse().ok()?))
        };
        ledger.lines().filter_map(read).collect()
    }

    /// Starts the command.
    fn start(&self, more: &[&str]) -> Child {
        let mut command = command(self.arguments(more));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        // What somebody has tried there is no part of it.
        if name == "out" || name == ".rejoin" {
            continue;
        }
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(name)),
            false => drop(fs::copy(entry.path(), to.join(name)).unwrap()),
        }
    }
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}

#[test]
fn nothing_is_wrong_with_any_example() {
    let mut found: Vec<String> = fs::read_dir(original("")).unwrap().map(Result::unwrap).filter_map(project).collect();
    found.sort();
    assert_eq!(found, EXAMPLES);
    for name in EXAMPLES {
        let said = rejoin(["check", original(name).to_str().unwrap()]);
        assert_eq!(said.status, 0, "{name}: {said:?}");
        assert!(said.out.contains("nothing is wrong"), "{name}: {said:?}");
    }
}

fn project(entry: fs::DirEntry) -> Option<String> {
    entry.path().join("rejoin.yaml").is_file().then(|| entry.file_name().into_string().unwrap())
}

#[test]
fn spec_f1_the_newsletter_is_written_from_what_another_workflow_found() {
    let example = Example::new("newsletter");
    let said = example.run(&[]);
    assert_eq!((said.status, said.out.trim()), (0, "The week of agents is in out/newsletter.md"), "{said:?}");
    newsletter(&example);
    let said = example.run(&["--input", "week=2026-W46"]);
    assert_eq!((said.status, said.out.trim()), (0, "The week of databases is in out/newsletter.md"), "{said:?}");
}

#[track_caller]
fn newsletter(example: &Example) {
    let text = example.file("out/newsletter.md");
    assert!(text.starts_with("# What you read in 2026-W47\n"), "{text}");
    let topics: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(topics, ["agents", "rust", "databases"]);
    assert!(text.contains("699 readers, 5.3 minutes each."), "{text}");
}

const PUBLISHED: &str = "out/published/heat-pumps-in-old-houses.md";
const ARCHIVED: &str = "out/archive/heat-pumps-in-old-houses.md";
const DOUBTFUL: &str = "Nine out of ten owners";

#[test]
fn spec_f4_an_approved_draft_is_published_by_another_workflow() {
    let example = Example::new("content-review");
    let told = example.gives(&["--answer", "approve"]);
    assert_eq!(told, json!({ "outcome": "published", "path": PUBLISHED }));
    published(&example);
    let mut workflows: Vec<String> = example.runs().iter().map(|run| text(run, "workflow").to_owned()).collect();
    workflows.sort();
    assert_eq!(workflows, ["fact-checker", "publish", "publisher", "review-content", "writer"]);
}

#[track_caller]
fn published(example: &Example) {
    let text = example.file(PUBLISHED);
    assert!(
        text.starts_with("# Heat pumps in old houses\n\nA heat pump moves heat") && text.contains(DOUBTFUL),
        "{text}"
    );
    assert!(!example.has("out/archive"));
}

#[test]
fn spec_f7_a_rejected_draft_goes_to_the_archive() {
    let example = Example::new("content-review");
    let told = example.gives(&["--answer", "reject", "--person", "bob"]);
    assert_eq!(told, json!({ "outcome": "archived", "path": ARCHIVED }));
    let text = example.file(ARCHIVED);
    assert!(text.contains("Not published: reject\n") && text.contains(DOUBTFUL), "{text}");
    assert!(!example.has("out/published"));
}

#[test]
fn spec_f7_a_revised_draft_comes_back_without_what_was_doubtful() {
    let example = Example::new("content-review");
    let told = example.gives(&["--answer", "revise", "--answer", "approve"]);
    assert_eq!(told, json!({ "outcome": "published", "path": PUBLISHED }));
    let text = example.file(PUBLISHED);
    assert!(text.contains("A heat pump moves heat") && !text.contains(DOUBTFUL), "{text}");
    let asked = |said: &Said| said.err.lines().filter(|line| line.contains("  asks  ")).map(str::to_owned).collect();
    let said = example.run(&["--answer", "revise", "--answer", "approve"]);
    let asked: Vec<String> = asked(&said);
    assert!(asked[0].contains("1 doubtful") && asked[0].contains("ann, bob may answer"), "{asked:?}");
    assert_eq!(asked.len(), 2);
}

#[test]
fn spec_f8_after_three_drafts_the_last_one_is_still_there_for_the_archive() {
    let example = Example::new("content-review");
    let told = example.gives(&["--answer", "revise", "--answer", "revise", "--answer", "revise"]);
    assert_eq!(told, json!({ "outcome": "archived", "path": ARCHIVED }));
    let text = example.file(ARCHIVED);
    assert!(text.contains("Not published: too-many-visits\n") && text.contains("A heat pump moves heat"), "{text}");
    assert_eq!(example.runs().iter().filter(|run| run["workflow"] == "writer").count(), 3);
}

#[test]
fn spec_f7_a_stage_that_fails_fails_the_run_with_its_code_told_once() {
    let example = Example::new("content-review");
    let said = example.run(&["--input", "topic=perpetual motion"]);
    let last = said.err.lines().last().unwrap_or_default();
    assert_eq!((said.status, &*said.out), (1, ""), "{said:?}");
    assert_eq!(last, "error: no-notes: there are no notes on this topic in data/notes");
}

#[test]
fn spec_f7_a_debate_is_held_side_by_side_and_summed_up() {
    let example = Example::new("debate");
    let told = example.gives(&[]);
    assert_eq!((&told["topic"], &told["verdict"]), (&json!("a four-day week"), &json!("for")));
    let said: Vec<&str> = told["said"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(said.len(), 3);
    for (said, role) in said.iter().zip(["for: ", "against: ", "figures: "]) {
        let part = said.strip_prefix(role).unwrap_or_else(|| panic!("{said:?} is not {role:?}"));
        assert!(text(&told, "synthesis").contains(part), "{part:?} is not in {told}");
    }
    // What is given may have any character in it.
    assert_eq!(example.gives(&["--input", r#"topic=a "b" \ {{ c }}"#])["topic"], r#"a "b" \ {{ c }}"#);
}

#[test]
fn spec_d3_invoices_are_read_into_fields_and_what_does_not_fit_is_read_again() {
    let example = Example::new("invoices");
    let told = example.gives(&[]);
    assert_eq!(told["invoices"], 7);
    assert_eq!(told["matches"], json!(["INV-0412", "2026-118", "CH-9004"]));
    let found: Vec<_> = told["discrepancies"].as_array().unwrap().iter().collect();
    let found: Vec<_> = found.iter().map(|it| (text(it, "invoice"), text(it, "kind"), text(it, "text"))).collect();
    let all = [
        ("BL-77", "other-amount", "645.50, and PO-1002 is over 620.50"),
        ("INV-0412", "paid-twice", "again in acme-0412-copy.txt: on 2026-09-16 and on 2026-09-28"),
        ("PW-551", "missing-order", "it names no order"),
        ("HF-A17", "missing-order", "there is no order PO-1005"),
    ];
    assert_eq!(found, all);
    let report = example.file("out/report.md");
    assert_eq!(report.lines().filter(|line| line.starts_with("- ")).count(), 3 + all.len(), "{report}");
    assert!(report.contains("- PW-551, missing-order: it names no order\n"), "{report}");
    // Seven, and the one whose total was no number once more.
    assert_eq!(example.runs().iter().filter(|run| run["workflow"] == "extractor").count(), 8);
}

#[test]
fn spec_d1_an_audit_assigns_a_task_that_leads_to_the_collection_of_evidence() {
    let example = Example::new("compliance");
    let told = example.gives(&[]);
    let all = json!({ "period": "2026-Q3", "passed": false, "proven": ["AC-2", "CP-9", "CM-3"], "unproven": ["IR-4"], "files": 3 });
    assert_eq!(told, all);
    for name in ["AC-2_2026-Q3.csv", "CP-9_2026-Q3.log", "CM-3_2026-Q3.csv"] {
        let kept = example.file(&format!("out/evidence/{name}"));
        assert_eq!(kept, example.file(&format!("data/evidence/{name}")));
    }
    assert!(!example.has("out/evidence/AC-2_2026-Q2.csv"));
    let runs = example.runs();
    let depth = |name: &str| runs.iter().find(|run| run["workflow"] == name).map(|run| run["depth"].clone());
    assert_eq!(
        (depth("audit"), depth("collect-evidence"), depth("collector")),
        (Some(json!(0)), Some(json!(1)), Some(json!(1)))
    );
    let files = example.gives(&["--workflow", "collect-evidence", "--input", "period=2026-Q2"]);
    assert_eq!(files, json!([{ "name": "AC-2_2026-Q2.csv", "checksum": 1_253_219_586_u32, "bytes": 69 }]));
}

#[test]
fn spec_f6_without_may_trigger_the_audit_triggers_nothing() {
    let example = Example::new("compliance");
    let path = example.folder.path().join("workflows/audit-controls.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("    may: [trigger]\n"));
    fs::write(&path, text.replace("    may: [trigger]\n", "")).unwrap();
    let said = example.run(&[]);
    assert_eq!((said.status, &*said.out), (1, ""), "{said:?}");
    assert!(!example.has("out"));
    assert!(example.runs().iter().all(|run| run["workflow"] != "collect-evidence"));
}

#[test]
fn spec_f9_a_swarm_of_subagents_surveys_all_regions_at_once() {
    let example = Example::new("swarm");
    let told = example.gives(&[]);
    assert_eq!(told["regions"], json!(["west", "south", "north", "east", "islands"]));
    assert_eq!((&told["best"], &told["revenue"][0]), (&json!("west"), &json!(85214.55)));
    let ranking = example.file("out/ranking.csv");
    assert_eq!(ranking.lines().nth(1), Some("1,west,85214.55,856,2026-07"));
    assert_eq!(ranking.lines().count(), 6);
    let surveys = |runs: &[Value]| runs.iter().filter(|run| run["workflow"] == "survey-region").count();
    assert_eq!(surveys(&example.runs()), 5);
    // Another file is another region; one that cannot be surveyed is the end of it.
    let region =
        |name: &str, text: &str| fs::write(example.folder.path().join("data/regions").join(name), text).unwrap();
    region("coast.csv", "month,orders,revenue\n2026-07,1,99000\n");
    assert_eq!(example.gives(&[])["best"], "coast");
    region("Bad Name.csv", "month,orders,revenue\n");
    let said = example.run(&[]);
    assert_eq!((said.status, &*said.out), (1, ""), "{said:?}");
    assert!(said.err.contains("bad-input"), "{said:?}");
}

/// When an engine is killed.
#[derive(Clone, Copy, Debug)]
enum When {
    After(Duration),
    /// When that many programs have been begun, counted from its start.
    Begun(usize),
}

/// The most engines that one of them takes to its end.
const LIVES: usize = 20;

/// Lives of an example that are cut short one after the other, and what must hold after each and at the end.
struct Lives {
    example: Example,
    more: &'static [&'static str],
    root: BTreeSet<String>,
    /// What the log had as completed, and how many engines had been started by then.
    completed: BTreeMap<String, usize>,
    engines: Vec<u32>,
}

impl Lives {
    fn new(name: &str, more: &'static [&'static str]) -> Lives {
        let example = Example::new(name);
        Lives { example, more, root: BTreeSet::new(), completed: BTreeMap::new(), engines: Vec::new() }
    }

    /// Starts an engine and kills it; whether the run had ended by then.
    fn cut(&mut self, when: When) -> bool {
        let before = self.example.begun().len();
        let mut engine = self.example.start(self.more);
        self.engines.push(engine.id());
        match when {
            When::After(length) => sleep(length),
            When::Begun(count) => {
                while engine.try_wait().unwrap().is_none() && self.example.begun().len() < before + count {
                    sleep(Duration::from_millis(1));
                }
            }
        }
        // It may have ended by itself.
        let _ = engine.kill();
        engine.wait().unwrap();
        self.look()
    }

    /// Goes on to the end.
    fn end(&mut self) {
        for _ in 0..LIVES {
            let mut engine = self.example.start(self.more);
            self.engines.push(engine.id());
            let status = engine.wait().unwrap();
            if self.look() {
                return assert!(status.success(), "{status}");
            }
        }
        panic!("{:?} has not ended after {LIVES} lives", self.example.runs());
    }

    fn look(&mut self) -> bool {
        let runs = self.example.runs();
        let roots: Vec<&Value> = runs.iter().filter(|run| run["parent"].is_null()).collect();
        self.root.extend(roots.iter().map(|run| text(run, "id").to_owned()));
        for run in runs.iter().filter(|run| run["status"] == "completed") {
            self.completed.entry(text(run, "id").to_owned()).or_insert(self.engines.len());
        }
        roots.iter().any(|run| run["status"] == "completed")
    }

    /// One run, of as many parts as if nothing had happened, and nothing was begun again that the log had as done.
    #[track_caller]
    fn hold(&self, parts: usize) {
        assert_eq!(self.root.len(), 1, "{:?}", self.example.runs());
        let runs = self.example.runs();
        assert_eq!(runs.len(), parts, "{runs:?}");
        assert!(runs.iter().all(|run| run["status"] == "completed"), "{runs:?}");
        let begun = self.example.begun();
        for (run, by) in &begun {
            // A program whose engine was killed may note its start late: it counts for its own engine.
            let Some(life) = self.engines.iter().position(|engine| engine == by) else { continue };
            let done = self.completed[run];
            assert!(life < done, "{run} was done after life {done}, and begun again in life {}", life + 1);
        }
        let programs: BTreeSet<&String> = begun.iter().map(|(run, _)| run).collect();
        assert!(programs.len() >= 2, "{begun:?}");
    }
}

/// Each moment by itself, and all of them one after the other in the same run.
fn killed(name: &str, more: &'static [&'static str], parts: usize, check: fn(&Example)) {
    let times = [5, 20, 40, 60, 80, 120, 200].map(|millis| When::After(Duration::from_millis(millis)));
    let programs = [1, 2, 3, 4].map(When::Begun);
    let mut plans: Vec<Vec<When>> = times.into_iter().chain(programs).map(|when| vec![when]).collect();
    plans.push(times.to_vec());
    plans.push(vec![When::Begun(1); 6]);
    for plan in plans {
        let mut lives = Lives::new(name, more);
        let ended = plan.iter().any(|when| lives.cut(*when));
        if !ended {
            lives.end();
        }
        lives.hold(parts);
        check(&lives.example);
    }
}

#[test]
fn spec_a5_a_newsletter_that_is_killed_anywhere_is_written_once() {
    killed("newsletter", &[], 5, newsletter);
}

#[test]
fn spec_a5_a_review_that_is_killed_anywhere_is_one_review() {
    killed("content-review", &["--answer", "approve"], 5, published);
}
