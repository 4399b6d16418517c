//! Everything that was measured, for people and as JSON.

use crate::figures::Figures;
use crate::goals::Verdict;
use crate::log::LogFigures;
use crate::plan::Measurement;
use crate::quiet::Quiet;
use crate::table::{Table, number};
use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How much of each workload.
    pub scale: f64,
    /// One synced write of 4 KiB, at the beginning.
    pub bare_sync_ms: f64,
    /// In the order of the plan.
    pub rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub measurement: Measurement,
    /// What it showed.
    pub shown: Shown,
    /// How that stands to the goals.
    pub verdicts: Vec<Verdict>,
}

/// What a measurement showed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// The logs.
    Log(LogFigures),
    /// A workload.
    Load(Box<Figures>),
    /// Nothing, and why.
    Error(String),
}

impl Shown {
    fn quiet(&self) -> Option<&Quiet> {
        match self {
            Shown::Log(figures) => Some(&figures.quiet),
            Shown::Load(figures) => Some(&figures.quiet),
            Shown::Error(_) => None,
        }
    }
}

const HEADER: [&str; 21] = [
    "",
    "index",
    "in flight",
    "runs",
    "runs/s",
    "steps/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "p50/sync",
    "drain ms",
    "CPU us/run",
    "syncs/run",
    "B/run",
    "B/event",
    "peak MB",
    "judged",
    "figure",
    "goal",
    "figure/goal",
    "",
];
const INTRODUCTION: &str = "\
W0: empty runs. W1: 5 steps in sequence. W2: a parent and its child. W3: 1,000 children of one parent. W4: runs that wait
for a signal over a kill. W5: timers due at one instant; their ms are how late they came. W6: a workflow in a file, with
three children; CPU/Rust is against the same in Rust.
A run is one that the client triggered, with its children. Rates count until the index has everything; drain is what it
took for that at the end. CPU is that of engine, steps and client. B/event is bytes written to segments by events in
histories (of the first 20,000 records). p50/sync is in bare syncs of the same process, made as slow as the engine's are.
";
/// The columns before the goals.
const FIGURES: usize = 16;
/// The columns of words.
const LEFT: [usize; 4] = [0, 1, FIGURES, HEADER.len() - 1];

impl Report {
    /// Whether every measurement came to an end.
    pub fn is_complete(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.shown, Shown::Error(_)))
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut table = Table::new(&LEFT);
        for row in &self.rows {
            if let Shown::Log(figures) = &row.shown {
                log_rows(&mut table, figures, &row.verdicts);
            }
        }
        table.row(HEADER.map(str::to_owned));
        for row in &self.rows {
            match &row.shown {
                Shown::Log(_) => {}
                Shown::Load(figures) => load_rows(&mut table, &row.measurement, figures, &row.verdicts),
                Shown::Error(error) => {
                    table.row([row.measurement.name(), row.measurement.index.name().to_owned()]);
                    table.line(format!("    FAILED <<<<<<  {error}"));
                }
            }
        }
        let missed = self.rows.iter().flat_map(|row| &row.verdicts).filter(|verdict| !verdict.met).count();
        let judged: usize = self.rows.iter().map(|row| row.verdicts.len()).sum();
        let disturbed = self.rows.iter().filter(|row| row.shown.quiet().is_some_and(|quiet| !quiet.is_quiet())).count();
        let rows = self.rows.len();
        format!(
            "{}\n{table}\n{missed} of {judged} goals missed; the machine was not quiet in {disturbed} of {rows} \
             measurements\n",
            self.introduction()
        )
    }

    fn introduction(&self) -> String {
        format!("One bare synced write of 4 KiB: {} ms.\n{INTRODUCTION}", number(self.bare_sync_ms))
    }
}

fn log_rows(table: &mut Table, figures: &LogFigures, verdicts: &[Verdict]) {
    table.line(format!(
        "The log of W1: {} records in {} commits of {} bytes, hashed, chained, checksummed and synced",
        figures.records,
        figures.commits,
        number(figures.bytes as f64 / figures.commits.max(1) as f64),
    ));
    let header = ["", "", "commits/s", "records/s", "MB/s", "", "", "", "", "", "", "", "", "", "", ""];
    table.row(header.iter().chain(&HEADER[FIGURES..]).map(|text| (*text).to_owned()));
    for (name, rates, verdicts) in [("bare", &figures.bare, &[][..]), ("journal", &figures.journal, verdicts)] {
        let mut cells = vec![name.to_owned(), String::new()];
        cells.extend([rates.commits_per_s, rates.records_per_s, rates.mb_per_s].map(number));
        with_verdicts(table, cells, verdicts);
    }
    disturbance(table, &figures.quiet);
    table.line(String::new());
}

fn load_rows(table: &mut Table, measurement: &Measurement, figures: &Figures, verdicts: &[Verdict]) {
    let or_none = |value: f64| if value == 0.0 { "-".to_owned() } else { number(value) };
    let cells = vec![
        measurement.name(),
        measurement.index.name().to_owned(),
        measurement.in_flight.to_string(),
        figures.runs.to_string(),
        number(figures.runs_per_s),
        or_none(figures.steps_per_s),
        number(figures.p50_ms),
        number(figures.p99_ms),
        number(figures.max_ms),
        number(figures.p50_ms / figures.quiet.sync_ms()),
        number(figures.drain_ms),
        number(figures.cpu_us_per_run),
        number(figures.syncs_per_run),
        number(figures.bytes_per_run),
        number(figures.bytes_per_run / figures.events_per_run),
        number(figures.peak_mb),
    ];
    with_verdicts(table, cells, verdicts);
    disturbance(table, &figures.quiet);
    if let Some(text) = life_and_death(figures) {
        table.line(text);
    }
}

/// The first verdict beside the figures, the others below it.
fn with_verdicts(table: &mut Table, cells: Vec<String>, verdicts: &[Verdict]) {
    let mut cells = cells;
    for verdict in verdicts {
        cells.resize(FIGURES, String::new());
        let mark = if verdict.met { "" } else { "MISSED <<<<<<" };
        let goal = verdict.bound.sign().to_owned() + &number(verdict.goal);
        let judged = [verdict.what.to_owned(), number(verdict.figure), goal, number(verdict.ratio), mark.to_owned()];
        table.row(cells.drain(..).chain(judged));
    }
    if !cells.is_empty() {
        table.row(cells);
    }
}

/// Says where others used the machine.
fn disturbance(table: &mut Table, quiet: &Quiet) {
    if !quiet.is_quiet() {
        let [before, after, others] = [quiet.sync_before_ms, quiet.sync_after_ms, quiet.others_cores].map(number);
        table.line(format!(
            "    NOT QUIET <<<<<<  others used {others} cores; a bare sync took {before} ms before, {after} ms after"
        ));
    }
}

/// What only W4 shows.
fn life_and_death(figures: &Figures) -> Option<String> {
    let (before, after) = (figures.suspended.as_ref()?, figures.recovery.as_ref()?);
    Some(format!(
        "    {} runs: all triggered in {} s, suspended in {} s, with {} MB of memory ({} before) and {} bytes of log \
         each; killed; started in {} ms,\n    first new run done after {} ms; all signalled and done in {} s; {} \
         effects, each once",
        figures.runs,
        number(before.submitted_s),
        number(before.suspended_s),
        number(before.suspended_mb),
        number(before.empty_mb),
        number(before.bytes_per_run),
        number(after.start_ms),
        number(after.first_run_ms),
        number(after.all_done_s),
        after.effects,
    ))
}
