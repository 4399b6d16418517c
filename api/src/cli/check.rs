//! `rejoin check`: what is wrong with definitions, before anything runs.

use crate::error::Trouble;
use crate::output::{Console, counted, printable};
use crate::project::{self, Variants};
use clap::Args;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use rejoin::definition::{Diagnostic, Project, Severity, Source};
use serde::Serialize;
use std::path::{Path, PathBuf};

const FIELDS: &str = "\
The codes are explained in docs/diagnostics.md.

JSON: one object a line:
  code, severity   R101 and so on; error or warning
  message, help    what is wrong, and what to do, or null
  file             as it was found
  line, column     where it begins, from 1
  start, end       the same in bytes of the file
Fields may be added.
Exit status: 0 no errors; 1 errors, or warnings with --strict.";

/// Checks the definitions of a project, or of one file.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Check {
    /// The folder with rejoin.yaml and workflows, or one file.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    variants: Variants,
    /// Prints JSON, for programs; --help lists the fields.
    #[arg(long)]
    json: bool,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct View<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    file: &'a str,
    line: usize,
    column: usize,
    start: usize,
    end: usize,
}

impl Check {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let (project, found) = project::read(&self.path, &self.variants)?;
        let all = found.all();
        for diagnostic in all {
            if self.json {
                console.json(&view(diagnostic, &project.sources))?;
            } else {
                console.line(picture(diagnostic, &project.sources))?;
            }
        }
        let errors = all.iter().filter(|it| it.code.severity() == Severity::Error).count();
        let warnings = all.len() - errors;
        if !self.json {
            console.line(summary(&project, errors, warnings))?;
        }
        if errors > 0 || (self.strict && warnings > 0) {
            return Err(Trouble::Definitions { errors, warnings });
        }
        Ok(())
    }
}

fn summary(project: &Project, errors: usize, warnings: usize) -> String {
    let (workflows, agents) = (project.workflows.len(), project.agents.len());
    let found = match (errors, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    format!("{}, {}: {found}", counted(workflows, "workflow"), counted(agents, "agent"))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The project, if it is sound. What is only doubtful is told.
pub(super) fn sound(path: &Path, variants: &Variants) -> Result<Project, Trouble> {
    let (project, found) = project::read(path, variants)?;
    for diagnostic in found.all() {
        eprintln!("{}", picture(diagnostic, &project.sources));
    }
    let errors = found.all().iter().filter(|it| it.code.severity() == Severity::Error).count();
    match errors {
        0 => Ok(project),
        errors => Err(Trouble::Definitions { errors, warnings: found.all().len() - errors }),
    }
}

fn view<'a>(it: &'a Diagnostic, sources: &'a [Source]) -> View<'a> {
    let (file, line, column) = it.at.line(sources);
    View {
        code: it.code.text(),
        severity: severity(it.code.severity()),
        message: &it.message,
        help: it.help.as_deref(),
        file,
        line,
        column,
        start: it.at.span.0,
        end: it.at.span.1,
    }
}

/// The longest line that is shown, in bytes.
const LONGEST: usize = 400;

/// The place in its file, with what is wrong there.
pub(crate) fn picture(it: &Diagnostic, sources: &[Source]) -> String {
    let (name, text) = sources.get(it.at.file).map_or(("?", ""), |source| (&source.name, &source.text));
    let start = it.at.span.0.min(text.len());
    let length = it.at.span.1.min(text.len()).saturating_sub(start);
    let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    if text.get(line_start..).unwrap_or("").lines().next().is_some_and(|line| line.len() > LONGEST) {
        // Nobody reads such a line, and everything before it scrolls away.
        let (name, line, column) = it.at.line(sources);
        return printable(&format!("{}: {name}:{line}:{column}: {}", it.code, it.message));
    }
    let level = match it.code.severity() {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let mut diagnostic = MietteDiagnostic::new(printable(&it.message))
        .with_code(it.code.to_string())
        .with_severity(level)
        .with_label(LabeledSpan::new(Some(it.code.what().to_owned()), start, length));
    if let Some(help) = &it.help {
        diagnostic = diagnostic.with_help(printable(help));
    }
    let report = Report::new(diagnostic).with_source_code(NamedSource::new(name, printable_text(text)));
    let mut picture = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(120);
    match handler.render_report(&mut picture, report.as_ref()) {
        Ok(()) => picture,
        // What cannot be drawn is said.
        Err(_) => format!("{name}: {} {}", it.code, it.message),
    }
}

/// A file without what would command the terminal, of the same length.
fn printable_text(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') && c.len_utf8() == 1 { ' ' } else { c })
        .collect()
}
