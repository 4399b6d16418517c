//! `rejoin run`: a workflow of a project, in the terminal, on a store of its own.

use super::check::sound;
use super::trigger::field;
use crate::error::Trouble;
use crate::host::{self, Host};
use crate::live::asking::find;
use crate::live::interrupts::Interrupts;
use crate::live::{self, Ending, View};
use crate::output::{Console, counted, printable};
use crate::project::{self, Variants};
use clap::Args;
use rejoin::definition::model::{Field, Workflow};
use rejoin::definition::{Project, interned};
use rejoin::{Engine, Failure, Filter, OpenApproval, RunId, RunInfo, RunStatus, Tagged};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashSet};
use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HELP: &str = "\
What it does is kept in the folder .rejoin beside the project: killed at any moment, the same command goes on where it was.
Ctrl-C lets it rest; a run that has ended is not run again by going on, but anew.
Exit status: 0 completed; 1 failed, or something is wrong; 130 interrupted.";

/// The label by which a run is found again that was begun with the same input.
const LABEL: &str = "rejoin-run";

/// Runs a workflow in the terminal, or goes on with it.
#[derive(Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Run {
    #[command(flatten)]
    place: Place,
    /// Which workflow, where there are several.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// A field of the input; what is no text is written as JSON.
    #[arg(long, value_name = "NAME=VALUE")]
    input: Vec<String>,
    /// The input, as a file of JSON; - is stdin.
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// Metadata of the run, which goes past every agent to what declares it. A value that is JSON is taken as that, any other as text.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    metadata: Vec<(String, Value)>,
    /// Begins anew, also where a run with the same input has not ended.
    #[arg(long)]
    anew: bool,
}

/// Goes on with whatever has not ended, one after the other, the newest first.
#[derive(Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Resume {
    #[command(flatten)]
    place: Place,
}

/// Where a project is, and how it is shown.
#[derive(Args)]
struct Place {
    /// The folder with rejoin.yaml and workflows, or one file.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    variants: Variants,
    /// The folder that the log is kept in; .rejoin beside the project where nothing is said.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port on this machine where agents that answer later find it again; one that is free where nothing is said.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    listen: u16,
    /// Prints a line of JSON for each event.
    #[arg(long)]
    json: bool,
    /// Prints a line for what begins and ends, in place of a tree.
    #[arg(long)]
    no_tty: bool,
    /// In whose name questions are answered.
    #[arg(long, value_name = "PERSON")]
    person: Option<String>,
    /// Answers the next question that people are asked, for scripts; given several times, one question after the other.
    #[arg(long, value_name = "ANSWER")]
    answer: Vec<String>,
}

impl Run {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let project = sound(&self.place.path, &self.place.variants)?;
        let workflow = chosen(&project, &self.place.path, self.workflow.as_deref())?;
        let input = self.read_input(workflow)?;
        // What was begun with other metadata is another run.
        let digest = digest(&if self.metadata.is_empty() { input.clone() } else { json!([input, self.metadata]) });
        let (anew, shown) = (self.anew, self.place.shown());
        let mut first = true;
        self.place.host(&project, console, async |engine| {
            if !std::mem::take(&mut first) {
                return Ok(None);
            }
            if let Some(run) = begun(engine, &shown.all(), &workflow.name, &digest)?.filter(|_| !anew) {
                return Ok(Some(run));
            }
            let named = rejoin::Workflow::<Value, Value>::named(interned(&workflow.name));
            let trigger = engine.trigger(&named, input.clone()).label(LABEL, digest.clone());
            let trigger = self.metadata.iter().fold(trigger, |it, (name, value)| it.metadata(name, value));
            let triggered = trigger.await;
            triggered.map(|run| Some(run.id())).map_err(|error| Trouble::Refused(error.to_string()))
        })
    }

    /// The fields that were given, with a file's below them.
    fn read_input(&self, workflow: &Workflow) -> Result<Value, Trouble> {
        let mut input = match &self.input_file {
            None => Map::new(),
            Some(path) => read_file(path)?,
        };
        let mut names = BTreeSet::new();
        for given in &self.input {
            let bad = || Trouble::BadInput { given: given.clone() };
            let (name, value) = given.split_once('=').ok_or_else(bad)?;
            if !names.insert(name) {
                return Err(Trouble::GivenTwice { name: name.to_owned() });
            }
            let field = workflow.input.iter().find(|field| field.name.value == name);
            input.insert(name.to_owned(), typed(field, value));
        }
        Ok(Value::Object(input))
    }
}

impl Resume {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let project = sound(&self.place.path, &self.place.variants)?;
        let shown = self.place.shown();
        let mut any = false;
        self.place.host(&project, console, async |engine| {
            let next = match unfinished(engine)?.first() {
                Some(run) => Some(run.id),
                None => unseen(engine, &shown.all())?,
            };
            match next {
                None if !any => Err(Trouble::Refused("every run has ended; rejoin run begins one".to_owned())),
                next => {
                    any = true;
                    Ok(next)
                }
            }
        })
    }
}

impl Place {
    /// Opens the store, and shows to its end whatever is next.
    fn host(
        &self,
        project: &Project,
        console: &mut Console,
        next: impl AsyncFnMut(&Engine) -> Result<Option<RunId>, Trouble>,
    ) -> Result<(), Trouble> {
        if let Some(person) =
            self.person.as_ref().filter(|person| !project.persons.iter().any(|known| known.value == **person))
        {
            let names = project.persons.iter().map(|person| person.value.clone()).collect();
            return Err(Trouble::NoPerson { name: person.clone(), names });
        }
        let (folder, data) = (project::folder(&self.path), self.data());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Trouble::Start(error.to_string()))?;
        let ended: Result<_, Trouble> = runtime.block_on(async {
            let mut interrupts = Interrupts::listen();
            let opening = Host::open(project, &folder, &data, self.listen);
            let host = host::patiently(opening, &mut interrupts, console).await?;
            let ended = self.follow(&host.engine, &mut interrupts, console, next).await;
            let programs = host.programs();
            host.close_patiently(&mut interrupts, console).await;
            Ok((ended, programs))
        });
        let (ended, programs) = ended?;
        host::end(runtime, &programs);
        ended
    }

    async fn follow(
        &self,
        engine: &Engine,
        interrupts: &mut Interrupts,
        console: &mut Console,
        mut next: impl AsyncFnMut(&Engine) -> Result<Option<RunId>, Trouble>,
    ) -> Result<(), Trouble> {
        let mut told = false;
        while let Some(run) = next(engine).await? {
            let is_other = |other: &&RunInfo| other.id != run && other.row.parent != Some(run);
            let others = unfinished(engine)?.iter().filter(is_other).count();
            if others > 0 && !std::mem::replace(&mut told, true) {
                let (runs, go) = if others == 1 { ("run", "goes") } else { ("runs", "go") };
                console.note(format_args!(
                    "{others} other {runs} {go} on meanwhile; rejoin resume shows what has not ended"
                ));
            }
            let ended = self.watch(engine, run, interrupts).await?;
            let interrupted = matches!(ended, Ending::Interrupted);
            if let Err(trouble) = self.show(ended, console) {
                console.complain(&trouble);
            }
            if interrupted {
                return Ok(());
            }
            self.shown().add(run);
        }
        let left = unfinished(engine)?.len();
        if left > 0 && !told {
            console.note(format_args!("not ended: {}; rejoin resume goes on", counted(left, "run")));
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| project::folder(&self.path).join(".rejoin"))
    }

    fn shown(&self) -> Shown {
        Shown(self.data().join("shown"))
    }

    async fn watch(&self, engine: &Engine, run: RunId, interrupts: &mut Interrupts) -> Result<Ending, Trouble> {
        let tty = stderr().is_terminal() && !self.no_tty && !self.json;
        let color = tty && std::env::var_os("NO_COLOR").is_none();
        let view = View { tty, color, json: self.json, person: self.person.clone() };
        let mut unanswered = None;
        let interrupted = async {
            tokio::select! {
                () = interrupts.next() => {}
                Err(why) = answer(engine, run, &self.answer, self.person.as_ref()) => unanswered = Some(why),
            }
        };
        let ended = live::watch(engine, run, view, interrupted).await;
        match unanswered {
            Some(why) => Err(Trouble::Refused(why)),
            None => ended,
        }
    }

    fn show(&self, ended: Ending, console: &mut Console) -> Result<(), Trouble> {
        match ended {
            // The last event has it too.
            Ending::Completed(_) if self.json => Ok(()),
            Ending::Completed(value) => match Tagged::untag(value) {
                Value::Null => Ok(()),
                Value::String(text) if stdout().is_terminal() => console.line(harmless(text.trim_end())),
                Value::String(text) => console.line(text.trim_end()),
                other => console.line(serde_json::to_string_pretty(&other).unwrap_or_default()),
            },
            Ending::Failed(failure) => Err(Trouble::RunFailed(told(&failure))),
            Ending::Interrupted => {
                console.note("it rests here; the same command goes on with it");
                console.interrupted();
                Ok(())
            }
        }
    }
}

/// A text of several lines as a terminal may be given it.
fn harmless(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// How often it is looked whether there is a question.
const LOOK: Duration = Duration::from_millis(50);

/// Answers the questions of a run, as they come.
///
/// # Errors
///
/// Why one was not taken: whoever gave it cannot mean it for the next question either.
async fn answer(engine: &Engine, root: RunId, answers: &[String], person: Option<&String>) -> Result<(), String> {
    for given in answers {
        let is_asked = |open: &OpenApproval| person.is_none_or(|person| open.persons.contains(person));
        let open = loop {
            let open = engine.approvals().unwrap_or_default();
            match open.into_iter().find(|open| open.root == root && is_asked(open)) {
                Some(open) => break open,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        let (answer, comment) = find(given, &open.answers).unwrap_or((given, None));
        let person = person.or(open.persons.first()).cloned().unwrap_or_default();
        if let Err(error) = engine.decide(open.token, &person, answer, comment).await {
            return Err(format!("--answer {given}: {error}; the question stays, and rejoin resume goes on with it"));
        }
    }
    Ok(())
}

/// A failure with its code, which stands in its message already where somebody chose it.
fn told(failure: &Failure) -> String {
    let (code, reason) = (failure.code(), failure.reason());
    if code == reason { code.to_owned() } else { format!("{code}: {reason}") }
}

/// The workflow that is meant: the one that is named, or the one of the file, or the main one, or the only one.
pub(super) fn chosen<'a>(project: &'a Project, path: &Path, named: Option<&str>) -> Result<&'a Workflow, Trouble> {
    let names = || project.workflows.iter().map(|workflow| workflow.name.value.clone()).collect();
    // A file that is given alone is what is meant, whatever the project's main workflow is.
    let of_file =
        path.is_file().then(|| project.workflows.first()).flatten().map(|workflow| workflow.name.value.as_str());
    let main = project.main.as_ref().map(|main| main.value.as_str());
    match named.or(of_file).or(main) {
        Some(name) => {
            let found = project.workflow(name).map(|workflow| &**workflow);
            found.ok_or_else(|| Trouble::NoWorkflow { name: name.to_owned(), names: names() })
        }
        None => match &project.workflows[..] {
            [only] => Ok(only),
            [] => Err(Trouble::NoProject(format!("{} holds no workflow to run", path.display()))),
            _ => Err(Trouble::WhichWorkflow { path: path.display().to_string(), names: names() }),
        },
    }
}

/// A value on the command line: as its field has it.
fn typed(field: Option<&Field>, value: &str) -> Value {
    let text = field.and_then(|field| field.schema.get("type")).is_some_and(|kind| kind == "string");
    let json = (!text).then(|| serde_json::from_str(value).ok()).flatten();
    json.unwrap_or_else(|| Value::String(value.to_owned()))
}

fn read_file(path: &Path) -> Result<Map<String, Value>, Trouble> {
    let bad = |reason: String| Trouble::InputFile { path: path.display().to_string(), reason };
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => stdin().read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| bad(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(bad("it is no object of fields".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn digest(input: &Value) -> String {
    rejoin::Payload::from(input.to_string().into_bytes()).digest().to_string()
}

/// The runs of which somebody has seen the end: a file beside the log, with a line for each.
struct Shown(PathBuf);

impl Shown {
    fn all(&self) -> HashSet<RunId> {
        let seen = std::fs::read_to_string(&self.0).unwrap_or_default();
        seen.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Without it the end is shown once more, and nothing else.
    fn add(&self, run: RunId) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.0);
        let _ = file.and_then(|mut file| writeln!(file, "{run}"));
    }
}

/// Runs that nobody triggered from above and that have not ended, the newest first.
fn unfinished(engine: &Engine) -> Result<Vec<RunInfo>, Trouble> {
    let mut all = Vec::new();
    for status in RunStatus::ALL.into_iter().filter(|status| !status.is_closed()) {
        let filter = Filter { status: Some(status), ..Filter::default() };
        find_run(engine, &filter, |run| {
            // Whoever is not waited for goes on by itself.
            let is_waited_for = run.row.parent.is_some_and(|parent| !has_ended(engine, parent));
            all.extend((!is_waited_for).then(|| run.clone()));
            false
        })?;
    }
    all.sort_by_key(|run| std::cmp::Reverse(run.row.triggered_at));
    Ok(all)
}

fn has_ended(engine: &Engine, run: RunId) -> bool {
    // One that is not there any more waits for nobody.
    engine.describe(run).map_or(true, |described| described.row.status.is_closed())
}

/// The newest run of this workflow and input that has not ended, or of which nobody has seen the end.
fn begun(engine: &Engine, shown: &HashSet<RunId>, name: &str, digest: &str) -> Result<Option<RunId>, Trouble> {
    let label = Some((LABEL.to_owned(), digest.to_owned()));
    let filter = Filter { workflow: Some(name.to_owned()), label, ..Filter::default() };
    find_run(engine, &filter, |run| {
        run.row.parent.is_none() && (!run.row.status.is_closed() || !shown.contains(&run.id))
    })
}

/// The newest run that was begun from a terminal and of which nobody has seen the end.
fn unseen(engine: &Engine, shown: &HashSet<RunId>) -> Result<Option<RunId>, Trouble> {
    find_run(engine, &Filter::default(), |run| {
        let begun_here = run.row.labels.iter().any(|(name, _)| name == LABEL);
        begun_here && run.row.parent.is_none() && run.row.status.is_closed() && !shown.contains(&run.id)
    })
}

/// The first run of a list that is wanted.
fn find_run(
    engine: &Engine,
    filter: &Filter,
    mut wanted: impl FnMut(&RunInfo) -> bool,
) -> Result<Option<RunId>, Trouble> {
    let mut from = None;
    loop {
        let page = engine.list(filter, from.as_deref(), 100).map_err(|error| Trouble::Refused(error.to_string()))?;
        match (page.runs.iter().find(|run| wanted(run)), page.next) {
            (Some(run), _) => return Ok(Some(run.id)),
            (None, None) => return Ok(None),
            (None, next) => from = next,
        }
    }
}
