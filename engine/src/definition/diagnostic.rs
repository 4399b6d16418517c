//! What is wrong with definitions: codes, places, and what to do.

use super::source::{Place, Source};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can be run, and is probably not what was meant.
    Warning,
    /// It is not run.
    Error,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $severity:ident, $what:literal;)*) => {
        /// What can be wrong, each with a code that stays what it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $what] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// How it is written.
            pub fn text(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// What it means, in a few words.
            pub fn what(self) -> &'static str {
                match self { $(Code::$name => $what,)* }
            }
        }
    };
}

codes! {
    NotYaml = "R001", Error, "the file is not YAML or JSON";
    UnknownField = "R002", Error, "a field that does not exist there";
    WrongType = "R003", Error, "a value of another type than the field takes";
    MissingField = "R004", Error, "a field that must be there is not";
    BadName = "R005", Error, "a name that cannot be one";
    DuplicateName = "R006", Error, "two things of one name";
    BadDuration = "R007", Error, "a length of time that cannot be read";
    TooLarge = "R008", Error, "a file, list or number beyond its limit";
    WhichKind = "R009", Error, "a unit that is nothing, or several things at once";
    NoFile = "R010", Error, "a file or folder that cannot be read, or holds no workflow";
    UnknownAgent = "R101", Error, "an agent that the project does not declare";
    UnknownWorkflow = "R102", Error, "a workflow that the project does not have";
    UnknownUnit = "R103", Error, "a route to a stage or node that does not exist";
    UnknownPerson = "R104", Error, "a person that the project does not declare";
    UnknownChannel = "R105", Error, "a channel that the project does not declare";
    UnknownDepartment = "R106", Error, "a department that the project does not declare";
    TooDeep = "R107", Error, "a call chain deeper than the limit";
    Recursion = "R108", Error, "a workflow that triggers itself";
    MissingGrant = "R109", Error, "an agent that is to trigger something, and has no grant for it";
    GrantOfNothing = "R110", Warning, "a grant for something that does not exist";
    Unreachable = "R201", Warning, "a stage or node that nothing leads to";
    DeadEnd = "R202", Error, "a stage or node from which nothing leads on";
    EndlessLoop = "R203", Error, "a loop that nothing leads out of";
    OutcomeWithoutRoute = "R204", Error, "an outcome that no route names";
    RouteWithoutOutcome = "R205", Warning, "a route for an outcome that cannot come";
    ChoiceWithoutElse = "R206", Warning, "a choice of which perhaps nothing holds";
    RoutesInside = "R207", Error, "routes where one thing follows the other anyway";
    UnknownVariable = "R301", Error, "a variable that nothing sets";
    PerhapsUnset = "R302", Warning, "a variable that is perhaps not set yet";
    BadExpression = "R303", Error, "an expression that cannot be read";
    BadTemplate = "R304", Error, "a template that cannot be read";
    UndeclaredInput = "R305", Error, "an input field that the target does not declare";
    MissingInput = "R306", Error, "an input field that the target needs";
    TypeMismatch = "R307", Error, "a value of another type than its field declares";
    BadSchema = "R308", Error, "a schema that is none";
    BadDefault = "R309", Error, "a default that does not fit its own field";
    MissingMetadata = "R310", Warning, "metadata that the target declares, and nobody gives";
    MetadataTold = "R311", Warning, "metadata in words that an agent reads";
    NoContact = "R401", Warning, "a handoff that shows nobody whom to reach";
    NoAnswers = "R402", Error, "a question without two different answers";
    NobodyAsked = "R403", Error, "a question that is put to nobody";
    LateWithoutRoute = "R404", Error, "a question that can expire, and nothing says what then";
    NeedsUser = "R405", Error, "headless work that needs the user of a conversation";
    NoAnswerer = "R406", Error, "an agent that has nothing to answer with";
    NotEncrypted = "R407", Error, "a model that is spoken to where others can read along";
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What.
    pub code: Code,
    /// Where.
    pub at: Place,
    /// What exactly.
    pub message: String,
    /// What to do, where that can be said.
    pub help: Option<String>,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

/// As many as anybody wants to read.
const MOST: usize = 1000;

impl Diagnostics {
    pub(super) fn add(&mut self, code: Code, at: Place, message: impl Into<String>) {
        self.push(Diagnostic { code, at, message: message.into(), help: None });
    }

    pub(super) fn advise(&mut self, code: Code, at: Place, message: impl Into<String>, help: impl Into<String>) {
        self.push(Diagnostic { code, at, message: message.into(), help: Some(help.into()) });
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < MOST && !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn sort(&mut self) {
        self.found.sort_by(|a, b| (&a.at, a.code).cmp(&(&b.at, b.code)));
    }

    /// All of it, in the order of the files.
    pub fn all(&self) -> &[Diagnostic] {
        &self.found
    }

    /// Whether something forbids to run it.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|it| it.code.severity() == Severity::Error)
    }

    /// In lines of text, for logs.
    pub fn text(&self, sources: &[Source]) -> String {
        let line = |it: &Diagnostic| {
            let (name, line, column) = it.at.line(sources);
            let help = it.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{name}:{line}:{column}: {} {}{help}", it.code, it.message)
        };
        self.found.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity() {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]", self.text())
    }
}

impl Place {
    /// The file, the line and the column, both from 1.
    pub fn line<'a>(&self, sources: &'a [Source]) -> (&'a str, usize, usize) {
        let Some(source) = sources.get(self.file) else { return ("?", 1, 1) };
        let before = source.text.get(..self.span.0).unwrap_or(&source.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (&source.name, line, column)
    }
}
