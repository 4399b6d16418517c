//! Handlers that do what a program says, and return what they have seen.

use super::language::{Do, Order, Program, Settle};
use super::ledger::Ledger;
use rejoin::time::{millis, seconds};
use rejoin::{
    Agent, Assign, Attempt, Builder, Call, Context, Either, Failure, Job, OnTimeout, RetryPolicy, Task, TaskResult,
    Turn, Unordered, Usage, Workflow, join, join_all, select, try_join_all,
};
use serde_json::Value;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

/// What a program has seen: sums of its own counts and of its children's.
pub type Seen = BTreeMap<u8, u64>;

/// Children that ended in a failure, as far as their callers saw it.
pub const FAILED: u8 = 100;
/// Steps that failed for good.
pub const LOST: u8 = 101;
/// Calls that were refused.
pub const REFUSED: u8 = 102;
/// Questions that were answered.
pub const ANSWERED: u8 = 103;
/// Questions that nobody answered in time.
pub const IN_VAIN: u8 = 104;
/// Early signals that came in their order.
pub const IN_ORDER: u8 = 105;
/// Things that came out other than they can.
pub const WRONG: u8 = 106;
/// Things that were late, and calls that timed out.
pub const LATE: u8 = 107;

/// The document that goes along.
pub(super) const TERMS: &[u8] = b"all there is to know";

/// For how many rounds a child's result waits until it is asked for.
const PATIENT: u32 = 2;

/// The workflows of the three layers.
pub const LEVELS: [Workflow<Program, Seen>; 3] =
    [Workflow::named("level 0"), Workflow::named("level 1"), Workflow::named("level 2")];

/// The agents of the lower layers: what they are asked they do as the workflows of their layer would. The first one does two
/// things at a time, the second one after the other.
pub const AGENTS: [Job<Program, Seen>; 3] = [Job::of("nobody"), Job::of("agent 1"), Job::of("agent 2")];

/// The agent that workers serve.
pub const HAND: Job<Order, u64> = Job::of("hand");

thread_local! {
    /// Calls that one incarnation begins and the next one waits for.
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Forgets what was kept for handlers of this thread; all of them must be gone.
pub fn let_go() {
    KEPT.with_borrow_mut(Vec::clear);
}

/// Under which code handlers are executed.
#[derive(Clone)]
struct Code {
    ledger: Ledger,
    level: usize,
    version: u32,
    life: u32,
    other: bool,
    patching: bool,
    pace: u32,
}

/// Which code a process has.
#[derive(Clone, Copy, Debug)]
pub struct Deploy {
    /// How many processes there were before.
    pub life: u32,
    /// From this life on there is a second version of every workflow.
    pub upgrade: u32,
    /// Handlers ask for other steps than the log has, of runs that began before.
    pub other: bool,
    /// How many times faster than it says time passes for programs.
    pub pace: u32,
}

/// The engine with the workflows of the three layers.
pub fn app(builder: Builder, ledger: &Ledger, deploy: Deploy) -> Builder {
    let Deploy { life, upgrade, other, pace } = deploy;
    let mut builder = builder;
    for (level, workflow) in LEVELS.into_iter().enumerate() {
        let newest = if life >= upgrade { 2 } else { 1 };
        // Wrong code may also be code that does not know the old version any more.
        let oldest = if other && life % 2 == 1 { 2 } else { 1 };
        for version in oldest..=newest {
            let patching = life >= upgrade;
            let code = Code { ledger: ledger.clone(), level, version, life, other, patching, pace };
            let of_agent = code.clone();
            builder =
                builder.workflow(&workflow.version(version), move |ctx, program| handle(code.clone(), ctx, program));
            if level > 0 {
                let (of_task, of_turn) = (of_agent.clone(), of_agent.clone());
                let agent = AGENTS[level].agent();
                builder = builder
                    .job(&AGENTS[level].version(version), move |ctx, program| handle(of_agent.clone(), ctx, program))
                    .job(&Job::tasks(agent).version(version), move |ctx, task: Task| {
                        in_words(of_task.clone(), ctx, Guise::Task, task.description)
                    })
                    .job(&Job::turns(agent).version(version), move |ctx, turn: Turn| {
                        in_words(of_turn.clone(), ctx, Guise::Turn, turn.text())
                    });
            }
        }
    }
    // A busy machine must not look like a worker that has vanished.
    let lease = (seconds(30) / pace).max(millis(1500));
    builder
        .person("ann")
        .person("bob")
        .agent(Agent::named("agent 1").at_most(2).grant("level 2").grant("agent 2").grant("hand"))
        .agent(Agent::named("agent 2").sequential().grant("hand"))
        .agent(Agent::named("hand").by_workers().grant("level 2").lease(lease).attempts(u32::MAX))
}

/// What a program comes as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guise {
    Plain,
    Task,
    Turn,
}

/// A program that comes as a text.
async fn in_words(code: Code, ctx: Context, guise: Guise, text: String) -> Result<Seen, Failure> {
    handle_as(code, ctx, guise, serde_json::from_str(&text)?).await
}

/// One execution of a handler.
#[derive(Clone)]
struct Running {
    code: Code,
    ctx: Context,
    round: u32,
    root: usize,
    family: String,
    strange: bool,
}

async fn handle(code: Code, ctx: Context, program: Program) -> Result<Seen, Failure> {
    handle_as(code, ctx, Guise::Plain, program).await
}

async fn handle_as(code: Code, ctx: Context, guise: Guise, program: Program) -> Result<Seen, Failure> {
    let round = program.round;
    // Drawn once in the life of a root, and handed down. A trigger that arrives twice has the same chance both times.
    let family = if program.family.is_empty() {
        format!("{}:{}:{}", program.root, ctx.uuid(), ctx.now().0)
    } else {
        program.family
    };
    let of = format!("{family} {}", ctx.run_id());
    let strange = code.other && code.ledger.began_before(of, round, code.life);
    let running = Running { code, ctx, round, root: program.root, family, strange };
    running.read_documents()?;
    let mut seen = program.seen;
    let mut early = program.early;
    let mut carried = program.carried;
    if carried.is_some_and(|began| began + PATIENT <= round) {
        running.ask(&mut carried, &mut seen).await;
    }
    let mut rest = program.ops.into_iter();
    while let Some(next) = rest.next() {
        match next {
            Do::Anew { with_child } => {
                let round = round + 1;
                if with_child {
                    running.ask(&mut carried, &mut seen).await;
                    let call = running.ctx.call(&LEVELS[running.code.level + 1], running.child(carried_child()));
                    // Dropped, it would be cancelled: it is to outlive this incarnation.
                    KEPT.with_borrow_mut(|kept| kept.push(Box::new(call.key(format!("carried {round}")))));
                    carried = Some(round);
                }
                let (root, family) = (running.root, running.family.clone());
                let next = Program { ops: rest.collect(), round, early, seen, carried, root, family };
                return Err(running.begin_anew(guise, next)?);
            }
            Do::Early => {
                let number: u32 = running.ctx.signal("early").await?;
                *seen.entry(if number == early { IN_ORDER } else { WRONG }).or_default() += 1;
                early += 1;
            }
            Do::CancelMe { counter } => {
                running.ask(&mut carried, &mut seen).await;
                return running.cancel_me(counter).await;
            }
            Do::Fail => {
                running.ask(&mut carried, &mut seen).await;
                // Another than that of any other run, so that it is known where it comes from.
                return Err(Failure::business(format!("generated by {}", running.ctx.run_id()), ()));
            }
            Do::Break { program, agent } => {
                running.ask(&mut carried, &mut seen).await;
                merge(&mut seen, Ok(running.begin(program, agent).await?));
            }
            next => merge(&mut seen, Ok(running.one(next).await?)),
        }
    }
    running.ask(&mut carried, &mut seen).await;
    Ok(seen)
}

/// What a child does that one incarnation begins and the next one asks for.
pub(super) fn carried_child() -> Vec<Do> {
    vec![Do::Count { counter: 3, by: 1, failures: 0, hasty: false }]
}

fn merge(seen: &mut Seen, result: Result<Seen, Failure>) {
    match result {
        Ok(more) => more.into_iter().for_each(|(counter, by)| *seen.entry(counter).or_default() += by),
        Err(failure) if failure.is_timeout() => *seen.entry(LATE).or_default() += 1,
        Err(_) => *seen.entry(FAILED).or_default() += 1,
    }
}

fn one_of(counter: u8) -> Seen {
    Seen::from([(counter, 1)])
}

impl Running {
    /// Asks for the result of a child that an earlier incarnation began: it comes to whoever asks by the key.
    async fn ask(&self, carried: &mut Option<u32>, seen: &mut Seen) {
        if let Some(began) = carried.take() {
            let call = self.ctx.call(&LEVELS[self.code.level + 1], self.child(carried_child()));
            merge(seen, call.key(format!("carried {began}")).await);
        }
    }

    /// What was given to it is there, and what it was.
    fn read_documents(&self) -> Result<(), Failure> {
        let documents = self.ctx.documents();
        if self.code.level == 0 && documents.len() != 1 {
            self.code.ledger.complain("D2", format!("run {} was given {documents:?}", self.ctx.run_id()));
        }
        for document in documents {
            if document.read()? != TERMS {
                self.code.ledger.complain("D2", format!("{document:?} is not what was kept"));
            }
        }
        Ok(())
    }

    /// The next incarnation, as what this one came.
    fn begin_anew(&self, guise: Guise, next: Program) -> Result<Failure, Failure> {
        let text = || serde_json::to_string(&next);
        Ok(match guise {
            Guise::Plain => self.ctx.continue_as_new(next),
            Guise::Task => self.ctx.continue_as_new(Task { description: text()?, output: None, complaint: None }),
            Guise::Turn => self.ctx.continue_as_new(Turn { message: Value::String(text()?), from: None, number: 0 }),
        })
    }

    fn millis(&self, length: u32) -> Duration {
        millis(length.into()) / self.code.pace
    }

    /// What a child is given.
    fn child(&self, ops: Vec<Do>) -> Program {
        Program { family: self.family.clone(), ..Program::root(ops, self.root) }
    }

    fn sequence(self, ops: Vec<Do>) -> Pin<Box<dyn Future<Output = Result<Seen, Failure>>>> {
        Box::pin(async move {
            let mut seen = Seen::new();
            for op in ops {
                merge(&mut seen, Ok(self.one(op).await?));
            }
            Ok(seen)
        })
    }

    async fn one(&self, op: Do) -> Result<Seen, Failure> {
        match op {
            Do::Count { counter, by, failures, hasty } => self.count(counter, by, failures, hasty).await,
            Do::Lose { by_code } => Ok(self.lose(by_code).await),
            Do::Draw => {
                let (number, uuid) = (self.ctx.random(), self.ctx.uuid());
                // Code that is deployed later has a patch, which runs that went this way before must not take.
                if self.code.patching {
                    self.ctx.patched("a patch");
                }
                self.count_named(&format!("draw {number} {uuid}"), 3, 0, 0, false).await?;
                Ok(Seen::new())
            }
            Do::Together { branches } => self.together(branches).await,
            Do::Race { program } => {
                match select(self.clone().sequence(program), self.ctx.signal::<u8>("in vain")).await {
                    Either::First(seen) => seen,
                    Either::Second(answer) => answer.map(|_| one_of(WRONG)),
                }
            }
            Do::Within { millis: limit, program } => {
                match select(self.clone().sequence(program), self.ctx.sleep(self.millis(limit))).await {
                    Either::First(seen) => seen,
                    Either::Second(slept) => slept.map(|()| one_of(LATE)),
                }
            }
            Do::Group { members, settle, patience } => self.group(members, settle, patience).await,
            Do::Serve { counter, by, vanish, failures, back, calls } => {
                let (family, root) = (self.family.clone(), self.root);
                let order = Order { family, counter, by, vanish, failures, back, calls, root };
                let mut seen = Seen::new();
                merge(&mut seen, self.ctx.job(&HAND, order).await.map(|by| Seen::from([(counter, by)])));
                Ok(seen)
            }
            Do::Assign { tasks } => self.assign(tasks).await,
            talk @ (Do::Say | Do::HandOff | Do::AskThere { .. } | Do::Transfer { .. } | Do::Tell) => {
                self.talk(talk).await
            }
            call @ (Do::Call { .. } | Do::Spawn { .. } | Do::CallSelf) => self.call(call).await,
            wait => self.wait(wait).await,
        }
    }

    /// Several things at once, in each way that there is.
    async fn together(&self, branches: Vec<Vec<Do>>) -> Result<Seen, Failure> {
        let mut running: Vec<_> = branches.into_iter().map(|branch| self.clone().sequence(branch)).collect();
        let results = match (running.pop(), running.pop()) {
            (Some(second), Some(first)) if running.is_empty() => <[_; 2]>::from(join((first, second)).await).to_vec(),
            (Some(last), Some(middle)) if running.len() == 1 => {
                running.extend([middle, last]);
                try_join_all(running).await?.into_iter().map(Ok).collect()
            }
            rest => {
                let mut set = Unordered::new();
                running.into_iter().chain(rest.1).chain(rest.0).for_each(|branch| set.push(branch));
                let mut results = Vec::new();
                while let Some(result) = set.next().await {
                    results.push(result);
                }
                results
            }
        };
        let mut seen = Seen::new();
        for result in results {
            merge(&mut seen, Ok(result?));
        }
        Ok(seen)
    }

    /// A call of the next layer: of its workflow or of its agent.
    fn begin(&self, program: Vec<Do>, agent: bool) -> Call<Seen> {
        let next = self.code.level + 1;
        let call = if agent {
            self.ctx.job(&AGENTS[next], self.child(program))
        } else {
            self.ctx.call(&LEVELS[next], self.child(program))
        };
        self.ctx.documents().iter().fold(call, Call::document)
    }

    /// Children that are settled together.
    async fn group(
        &self,
        members: Vec<(Vec<Do>, bool)>,
        settle: Settle,
        patience: Option<u16>,
    ) -> Result<Seen, Failure> {
        if self.code.level + 1 == LEVELS.len() {
            return Ok(Seen::new());
        }
        let mut group = self.ctx.group("group");
        if let Some(patience) = patience {
            group = group.timeout(seconds(patience.into()) / self.code.pace);
        }
        let of = members.len().min(2);
        for (number, (program, agent)) in members.into_iter().enumerate() {
            group.add(number.to_string(), self.begin(program, agent));
        }
        let settled = match settle {
            Settle::All => group.all().await,
            Settle::Collect => group.collect().await,
            Settle::First => group.first().await,
            Settle::Quorum => group.quorum(of).await,
        };
        let answers = settled.unwrap_or_else(|error| error.answers);
        let mut seen = Seen::new();
        for (_, answer) in answers.iter() {
            let result = answer.value().cloned().ok_or_else(|| answer.failure().cloned());
            merge(&mut seen, result.map_err(|failure| failure.unwrap_or_else(|| Failure::permanent("none"))));
        }
        Ok(seen)
    }

    /// Tasks: one, and then others in its conversation.
    async fn assign(&self, tasks: Vec<Vec<Do>>) -> Result<Seen, Failure> {
        let mut seen = Seen::new();
        let Some(agent) = AGENTS.get(self.code.level + 1) else { return Ok(seen) };
        let mut tasks = tasks.into_iter();
        let documents = self.ctx.documents();
        let task = |ops| {
            let task = self.ctx.task(agent.agent(), serde_json::to_string(&self.child(ops))?);
            Ok::<_, Failure>(documents.iter().fold(task, Assign::document))
        };
        let Some(first) = tasks.next() else { return Ok(seen) };
        let result = |done: TaskResult| serde_json::from_value::<Seen>(done.output).map_err(Failure::from);
        match task(first)?.await {
            Ok(done) => {
                let conversation = done.conversation;
                merge(&mut seen, result(done));
                let mut others = Vec::new();
                for ops in tasks {
                    others.push(task(ops)?.conversation(conversation).into_future());
                }
                for done in join_all(others).await {
                    merge(&mut seen, done.and_then(result));
                }
            }
            Err(failure) => merge(&mut seen, Err(failure)),
        }
        Ok(seen)
    }

    /// What is done in a conversation.
    async fn talk(&self, op: Do) -> Result<Seen, Failure> {
        let ctx = &self.ctx;
        Ok(match op {
            Do::Say => {
                ctx.say("so far so good")?;
                Seen::new()
            }
            Do::HandOff => {
                let back = ctx.hand_off("a moment").email("help@example.com").ending("here I am again").await?;
                one_of(if back.by == "ann" { ANSWERED } else { WRONG })
            }
            Do::AskThere { millis } => {
                // Whatever is said next, if anything is; in the conversation of a task nobody is there.
                if let Ok(answer) = ctx.ask::<Value>("and what else?") {
                    answer.within(self.millis(millis)).await?;
                }
                Seen::new()
            }
            Do::Transfer { program } => {
                let next = serde_json::to_string(&self.child(program))?;
                ctx.transfer(AGENTS[2].agent(), next).await?;
                Seen::new()
            }
            _ => {
                ctx.tell("bob", AGENTS[1].agent(), "for your information").await?;
                Seen::new()
            }
        })
    }

    /// Calls of children.
    async fn call(&self, op: Do) -> Result<Seen, Failure> {
        let child = LEVELS.get(self.code.level + 1);
        match (op, child) {
            (Do::Call { program, agent, named, patience, let_go }, Some(_)) => {
                let mut call = self.begin(program, agent);
                if let Some(number) = named {
                    call = call.key(format!("child {number}"));
                }
                if let Some(patience) = patience {
                    let then = if let_go { OnTimeout::Detach } else { OnTimeout::Cancel };
                    call = call.timeout(seconds(patience.into()) / self.code.pace).on_timeout(then);
                }
                let mut seen = Seen::new();
                merge(&mut seen, call.await);
                Ok(seen)
            }
            (Do::Spawn { program, agent, named }, Some(child)) => {
                let spawned = if agent {
                    self.ctx.request_job(&AGENTS[self.code.level + 1], self.child(program))
                } else {
                    self.ctx.spawn(child, self.child(program))
                };
                match named {
                    Some(number) => spawned.key(format!("spawned {number}")).await?,
                    None => spawned.await?,
                };
                Ok(Seen::new())
            }
            // What stands above it cannot be overridden either.
            (Do::CallSelf, Some(child)) if self.round.is_multiple_of(2) => {
                let call = self.ctx.call(child, self.child(vec![])).metadata("root", &(self.root + 1));
                Ok(one_of(if call.await.is_err() { REFUSED } else { WRONG }))
            }
            (Do::CallSelf, _) => match self.ctx.call(&LEVELS[self.code.level], self.child(vec![])).await {
                Err(_) => Ok(one_of(REFUSED)),
                Ok(_) => Ok(one_of(WRONG)),
            },
            // The lowest layer calls nobody.
            _ => Ok(Seen::new()),
        }
    }

    /// Sleeps and questions.
    async fn wait(&self, op: Do) -> Result<Seen, Failure> {
        let ctx = &self.ctx;
        Ok(match op {
            Do::Sleep { millis: length } => {
                let before = ctx.now();
                ctx.sleep(self.millis(length)).await?;
                let slept = ctx.now().since(before).duration();
                if slept < self.millis(length) { one_of(WRONG) } else { Seen::new() }
            }
            Do::Ask { name } => {
                let answer: u8 = ctx.signal(&format!("ask {name}")).await?;
                one_of(if answer == name { ANSWERED } else { WRONG })
            }
            Do::AskInVain { millis: length } => match ctx.signal::<u8>("in vain").within(self.millis(length)).await? {
                None => one_of(IN_VAIN),
                Some(_) => one_of(WRONG),
            },
            Do::Approve { escalate } => {
                let mut asked = ctx.approval("may it?").answers(["yes", "no"]).persons(["ann"]);
                if escalate {
                    asked = asked.escalate(self.millis(90_000), ["bob"]);
                }
                one_of(if asked.await?.answer == "yes" { ANSWERED } else { WRONG })
            }
            Do::Emit => {
                ctx.emit("a piece")?;
                ctx.record_usage(Usage { input_tokens: 3, output_tokens: 2, cost_micros: 1 });
                Seen::new()
            }
            // The rest only the top of a program may do.
            _ => Seen::new(),
        })
    }

    async fn count(&self, counter: u8, by: u8, failures: u8, hasty: bool) -> Result<Seen, Failure> {
        self.count_named("count", counter, by.into(), failures, hasty).await?;
        Ok(Seen::from([(counter, by.into())]))
    }

    /// A step that adds to a counter, and says by its result which attempt it was.
    async fn count_named(&self, name: &str, counter: u8, by: u64, failures: u8, hasty: bool) -> Result<(), Failure> {
        let (ledger, life, round) = (self.code.ledger.clone(), self.code.life, self.round);
        let family = self.family.clone();
        let body = move |attempt: Attempt| {
            let (ledger, family) = (ledger.clone(), family.clone());
            async move {
                ledger.begun(format!("{family} {}", attempt.run_id()), round, life);
                if attempt.number() <= u32::from(failures) {
                    return Err(Failure::transient("not yet"));
                }
                if by > 0 {
                    ledger.add(&family, &attempt.idempotency_key(), counter, by);
                }
                Ok(attempt.number())
            }
        };
        let strange = if self.strange { "other " } else { "" };
        let step = self.ctx.step(&format!("{strange}{name} v{}", self.code.version), body);
        let number = if hasty { step.timeout(seconds(1)).await? } else { step.await? };
        // One that was cut short by its timeout is tried again under a higher number.
        if number <= u32::from(failures) || (!hasty && number != u32::from(failures) + 1) {
            self.code
                .ledger
                .complain("E8", format!("attempt {number} of a step that fails {failures} times has its result"));
        }
        Ok(())
    }

    async fn lose(&self, by_code: bool) -> Seen {
        let (ledger, life, round) = (self.code.ledger.clone(), self.code.life, self.round);
        let family = self.family.clone();
        let body = move |attempt: Attempt| {
            ledger.begun(format!("{family} {}", attempt.run_id()), round, life);
            if by_code { Err::<(), _>(Failure::business("final", ())) } else { Err(Failure::transient("never")) }
        };
        let policy = RetryPolicy { max_attempts: Some(2), final_codes: vec!["final".into()], ..RetryPolicy::default() };
        let strange = if self.strange { "other " } else { "" };
        match self.ctx.step(&format!("{strange}lose"), body).retry_policy(policy).await {
            Err(_) => one_of(LOST),
            Ok(()) => one_of(WRONG),
        }
    }

    /// Waits until it is cancelled, and counts then. One that is by now would wait for the end of its grace: nobody cancels twice.
    async fn cancel_me(&self, counter: u8) -> Result<Seen, Failure> {
        if let Some(cancelled) = self.ctx.cancellation() {
            return Err(cancelled);
        }
        match self.ctx.signal::<u8>("cancel me").await {
            Err(failure) => {
                self.count(counter, 1, 0, false).await?;
                Err(failure)
            }
            Ok(_) => Ok(one_of(WRONG)),
        }
    }
}
