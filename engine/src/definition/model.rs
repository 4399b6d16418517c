//! What a project is: agents, people, and workflows as units that lead to each other.

use super::expression::{Expression, Mapping, Template};
use super::source::{At, Place, Source};
use crate::agent::Grant;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A project, as its files describe it.
#[derive(Debug, Default)]
pub struct Project {
    /// Its name.
    pub name: Option<At<String>>,
    /// The workflow that is run where none is named.
    pub main: Option<At<String>>,
    /// Who does jobs.
    pub agents: Vec<Agent>,
    /// Named sets of workflows and agents.
    pub departments: Vec<(At<String>, Vec<At<String>>)>,
    /// Who can be asked.
    pub persons: Vec<At<String>>,
    /// Ways to reach them.
    pub channels: Vec<Channel>,
    /// How many triggers deep its runs go.
    pub depth: Option<At<u32>>,
    /// What can be run.
    pub workflows: Vec<Arc<Workflow>>,
    /// The files.
    pub sources: Vec<Source>,
}

impl Project {
    /// The agent of that name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name.value == name)
    }

    /// The workflow of that name.
    pub fn workflow(&self, name: &str) -> Option<&Arc<Workflow>> {
        self.workflows.iter().find(|workflow| workflow.name.value == name)
    }

    /// The agents that this workflow answers for.
    pub(super) fn answered_by<'a>(&'a self, workflow: &'a str) -> impl Iterator<Item = &'a Agent> {
        self.agents.iter().filter(move |agent| agent.flow().is_some_and(|flow| flow.value == workflow))
    }

    pub(super) fn has_person(&self, name: &str) -> bool {
        self.persons.iter().any(|person| person.value == name)
    }
}

/// A way to reach people.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: At<String>,
    /// What it is.
    pub kind: ChannelKind,
}

/// What a channel is.
#[derive(Clone, Debug)]
pub enum ChannelKind {
    /// Whoever looks at the engine's open questions.
    Console,
    /// An address that is told, signed.
    Webhook {
        /// Which.
        url: String,
        /// What it is signed with.
        secret: Option<Secret>,
        /// Whether that may be inside the machine's own networks.
        allow_inner: bool,
    },
}

/// Where a secret is found when it is needed; it is nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In a variable of the environment.
    Environment(String),
    /// In a file.
    File(String),
}

/// Who does jobs.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub name: At<String>,
    /// What it does, in words.
    pub describe: Option<String>,
    /// What answers for it.
    pub kind: AgentKind,
    /// What it may trigger, and when that is meant.
    pub grants: Vec<Granted>,
    /// Departments of which it may trigger everything.
    pub departments: Vec<At<String>>,
    /// How many jobs at a time.
    pub at_most: Option<u32>,
    /// How many subagents a job of it may have.
    pub subagents: u32,
    /// The metadata that it declares.
    pub metadata: Vec<String>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How many attempts.
    pub attempts: u32,
    /// Variables that its program or its requests are given, of which the values are found when they are needed.
    pub secrets: BTreeMap<String, Secret>,
}

impl Agent {
    /// The workflow that answers for it, where that is what does.
    pub fn flow(&self) -> Option<&At<String>> {
        match &self.kind {
            AgentKind::Flow(workflow) => Some(workflow),
            _ => None,
        }
    }
}

/// What an agent may trigger.
#[derive(Clone, Debug)]
pub struct Granted {
    /// A workflow or agent.
    pub name: At<String>,
    /// When to use it, in words for the agent.
    pub when: Option<String>,
    /// How long that may take, where the agent does not say.
    pub timeout: Option<Duration>,
}

impl Granted {
    /// Without more said.
    pub(super) fn of(name: At<String>) -> Granted {
        Granted { name, when: None, timeout: None }
    }

    pub(super) fn to_grant(&self) -> Grant {
        let grant = Grant::of(self.name.value.clone());
        let grant = self.when.iter().fold(grant, |grant, text| grant.when(text.clone()));
        self.timeout.into_iter().fold(grant, Grant::timeout)
    }
}

/// What answers for an agent.
#[derive(Clone, Debug)]
pub enum AgentKind {
    /// A program.
    Command {
        /// It, and what it is given on its command line.
        program: Vec<String>,
        /// Variables of its environment.
        environment: BTreeMap<String, String>,
        /// How much memory it may use, in bytes.
        memory_bytes: u64,
        /// How much it may write, in bytes.
        output_bytes: usize,
    },
    /// An address that is asked.
    Http {
        /// Which.
        url: String,
        /// What requests are signed with.
        secret: Option<Secret>,
        /// What requests have in their head.
        headers: BTreeMap<String, String>,
        /// Whether that may be inside the machine's own networks.
        allow_inner: bool,
    },
    /// A language model.
    Model(Model),
    /// A workflow of the project, which answers what the agent is asked.
    Flow(At<String>),
    /// Workers, which come and go.
    Worker,
    /// Handlers of the program that has the engine.
    Rust,
}

/// A language model, behind an endpoint that speaks the chat completions API.
#[derive(Clone, Debug)]
pub struct Model {
    /// The address of its API, up to `/v1`.
    pub url: String,
    /// Which model.
    pub model: String,
    /// What opens it.
    pub key: Option<Secret>,
    /// What it is told first.
    pub instructions: String,
    /// How free it is in its choice of words, from 0 to 2; its endpoint decides where nothing is said.
    pub temperature: Option<f64>,
    /// How often it may be asked for one job.
    pub max_turns: Option<u32>,
    /// How many tokens one piece of work may cost: a task, each repair of its answer, a turn.
    pub token_budget: Option<u64>,
    /// Whom it may ask questions; nobody, and it does not know that it could.
    pub asks: Vec<At<String>>,
    /// How long an answer of theirs is waited for.
    pub within: Option<Duration>,
    /// Whether that may be inside the machine's own networks.
    pub allow_inner: bool,
}

/// What can be run.
#[derive(Debug)]
pub struct Workflow {
    /// Its name.
    pub name: At<String>,
    /// What it does, in words.
    pub describe: Option<String>,
    /// What it is given.
    pub input: Vec<Field>,
    /// The metadata that it declares.
    pub metadata: Vec<At<String>>,
    /// Whether it may trigger itself.
    pub reentrant: bool,
    /// Whether it needs the user of a conversation.
    pub requires_user: bool,
    /// Where it begins.
    pub start: At<String>,
    /// What it consists of.
    pub units: Vec<Unit>,
    /// What it gives; where that is not said, what its agents shared.
    pub output: Option<At<Mapping>>,
    /// How many units it goes through.
    pub cycles: u32,
    /// How often through the same.
    pub visits: u32,
    /// The text that it was read from.
    pub text: String,
}

impl Workflow {
    /// The agents of single steps: what does them is not declared in the project, and is of the version of the workflow.
    pub fn own_agents(&self) -> Vec<&Agent> {
        super::check::targets(self).into_iter().filter_map(|target| target.own.as_deref()).collect()
    }

    /// The unit of that name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name.value == name)
    }
}

/// A field of an input.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: At<String>,
    /// What fits in it.
    pub schema: Value,
    /// Whether it must be given.
    pub required: bool,
    /// What it is where it is not given.
    pub default: Option<Value>,
}

/// A stage or a node: something that is done, and where it leads.
#[derive(Debug)]
pub struct Unit {
    /// Its name, which is also the variable that has what came of it.
    pub name: At<String>,
    /// What is done.
    pub work: Work,
    /// Where each outcome leads.
    pub routes: Vec<(At<String>, Route)>,
    /// Where the rest leads.
    pub then: Option<Route>,
}

/// Where something leads.
#[derive(Debug)]
pub enum Route {
    /// To the end.
    End(Place),
    /// To a stage or node.
    Unit(At<String>),
    /// To another workflow, and from there on.
    Workflow {
        /// What is triggered.
        call: Box<Target>,
        /// Where it goes on; the end, where that is not said.
        then: Option<At<String>>,
        /// Where it goes on if that has not succeeded; the same, where nothing else is said.
        failed: Option<At<String>>,
    },
}

/// Something that is triggered, and what it is given.
#[derive(Debug)]
pub struct Target {
    /// What.
    pub name: At<String>,
    /// Which job of an agent.
    pub job: Option<String>,
    /// What goes in.
    pub input: Option<At<Mapping>>,
    /// What goes beside it.
    pub metadata: Vec<(At<String>, At<Mapping>)>,
    /// A message for whoever looks at it.
    pub message: Option<At<Template>>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it is waited for.
    pub wait: bool,
    /// Whether it is shown the conversation as it is.
    pub shares_history: bool,
    /// Whether it is told what is known of the visitor.
    pub shares_visitor: bool,
    /// A program or an address of this step alone, as an agent that nobody else knows.
    pub own: Option<Box<Agent>>,
    /// Whether it speaks in the conversation itself.
    pub inline: bool,
}

/// A task for an agent.
#[derive(Debug)]
pub struct Assignment {
    /// The name of its result.
    pub key: At<String>,
    /// Who.
    pub agent: At<String>,
    /// What, in words.
    pub task: At<Template>,
    /// The fields of its result; where there are none, that is text.
    pub output: Vec<Field>,
    /// What goes beside it.
    pub metadata: Vec<(At<String>, At<Mapping>)>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it may trigger workflows.
    pub may_trigger: bool,
    /// How often an answer that does not fit goes back.
    pub repairs: u32,
}

/// Agents that work side by side.
#[derive(Debug)]
pub struct Stage {
    /// Who does what.
    pub assign: Vec<Assignment>,
    /// What is asked before.
    pub entry: Option<Question>,
    /// What is asked after.
    pub exit: Option<Question>,
    /// The outcome, where it is computed.
    pub outcome: Option<At<Expression>>,
}

impl Stage {
    pub(super) fn questions(&self) -> impl Iterator<Item = &Question> {
        self.entry.iter().chain(&self.exit)
    }
}

/// A question to people.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub text: At<Template>,
    /// The answers that may be given.
    pub answers: Vec<At<String>>,
    /// Who may answer.
    pub persons: Vec<At<String>>,
    /// How they are reached.
    pub via: Option<At<String>>,
    /// How long they have.
    pub within: Option<Duration>,
    /// The outcome where nobody has answered by then.
    pub late: Option<At<String>>,
}

/// A person takes over.
#[derive(Debug)]
pub struct Handoff {
    /// What is shown.
    pub message: At<Template>,
    /// Whom to reach: by email, phone and URL.
    pub contact: [Option<String>; 3],
    /// Whether that is shown.
    pub show_contact: bool,
    /// What is shown when they give it back; where there is nothing, the flow ends with the handoff.
    pub ending: Option<At<Template>>,
}

/// What is done.
#[derive(Debug)]
pub enum Work {
    /// Agents work side by side, with questions before and after.
    Stage(Box<Stage>),
    /// A workflow or an agent is triggered.
    Trigger(Box<Target>),
    /// One task.
    Task(Box<Assignment>),
    /// Something is said: in the conversation, or to a person.
    Message {
        /// What.
        text: At<Template>,
        /// To whom; in the conversation where that is not said.
        to: Option<At<String>>,
        /// Which agent answers them.
        from: Option<At<String>>,
    },
    /// The first condition that holds is the outcome.
    Choice(Vec<(At<String>, At<Expression>)>),
    /// Several things side by side.
    Parallel(Vec<(At<String>, Vec<Unit>)>),
    /// The same for each item of a list.
    Each {
        /// The list.
        items: At<Expression>,
        /// The variable that has the item.
        item: At<String>,
        /// How many at a time.
        at_most: usize,
        /// What is done for it.
        body: Vec<Unit>,
    },
    /// Time passes.
    Wait(Duration),
    /// A question to whoever the conversation is with; the next message is the answer.
    Ask {
        /// What is asked.
        text: At<Template>,
        /// How long the answer is waited for.
        within: Option<Duration>,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: At<String>,
        /// How long.
        within: Option<Duration>,
    },
    /// A question to people.
    Approval(Box<Question>),
    /// A person takes over the conversation.
    Handoff(Box<Handoff>),
    /// Variables are set.
    Set(Vec<(At<String>, At<Mapping>)>),
    /// The run ends with that.
    End(At<Mapping>),
    /// The run fails with that code and message.
    Fail {
        /// The code.
        code: At<String>,
        /// The message.
        message: Option<At<Template>>,
    },
}

impl Work {
    /// Whether nothing can come after it.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Work::End(_) | Work::Fail { .. } => true,
            Work::Handoff(handoff) => handoff.ending.is_none(),
            _ => false,
        }
    }
}
