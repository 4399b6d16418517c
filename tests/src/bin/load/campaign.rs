//! All measurements, one after another, each in a process of its own.

use crate::arguments::{Arguments, Part, Workload};
use crate::bare;
use crate::error::Result;
use crate::figures::{Figures, Suspended, millis};
use crate::goals;
use crate::plan::{Measurement, plan};
use crate::process::Process;
use crate::report::{Report, Row, Shown};
use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measures everything that was asked for, and prints it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("load-").tempdir_in(&arguments.folder)?;
    let bare_sync_ms = millis(bare::sync(folder.path(), Duration::ZERO)?);
    let mut report = Report { scale: arguments.scale, bare_sync_ms, rows: Vec::new() };
    let plan = plan(arguments);
    for (number, measurement) in plan.iter().enumerate() {
        let (name, index) = (measurement.name(), measurement.index.name());
        eprint!("[{}/{}] {name}, {} in flight, {index}: ", number + 1, plan.len(), measurement.in_flight);
        let began = Instant::now();
        let row = measure(measurement, folder.path());
        match &row.shown {
            Shown::Error(error) => eprintln!("FAILED: {error}"),
            Shown::Log(_) | Shown::Load(_) => eprintln!("{:.1} s", began.elapsed().as_secs_f64()),
        }
        report.rows.push(row);
    }
    if let Some(path) = &arguments.json {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, &report)?;
        file.flush()?;
    }
    stdout().write_all(report.text().as_bytes())?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(measurement: &Measurement, folder: &Path) -> Row {
    let measurement = measurement.clone();
    match show(&measurement, folder) {
        Ok((shown, verdicts)) => Row { measurement, shown, verdicts },
        Err(error) => Row { measurement, shown: Shown::Error(error.to_string()), verdicts: Vec::new() },
    }
}

fn show(measurement: &Measurement, folder: &Path) -> Result<(Shown, Vec<goals::Verdict>)> {
    let folder = tempfile::tempdir_in(folder)?;
    let start = |part| Process::start(part, measurement, folder.path());
    let figures: Figures = match measurement.workload {
        Workload::Log => {
            let figures = start(Part::Log)?.finish()?;
            let verdicts = goals::of_log(&figures);
            return Ok((Shown::Log(figures), verdicts));
        }
        Workload::W0 => start(Part::W0)?.finish()?,
        Workload::W1 => start(Part::W1)?.finish()?,
        Workload::W2 => start(Part::W2)?.finish()?,
        Workload::W3 => start(Part::W3)?.finish()?,
        Workload::W5 => start(Part::W5)?.finish()?,
        Workload::W6 => start(Part::W6)?.finish()?,
        Workload::W4 => {
            let mut first = start(Part::W4Suspend)?;
            let suspended: Suspended = first.figures()?;
            first.kill()?;
            let figures: Figures = start(Part::W4Recover)?.finish()?;
            Figures { suspended: Some(suspended), ..figures }
        }
    };
    let verdicts = goals::of_load(measurement, &figures);
    Ok((Shown::Load(Box::new(figures)), verdicts))
}
