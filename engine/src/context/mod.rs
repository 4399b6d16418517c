//! What handlers are written against.
//!
//! A handler is executed again from its history after every crash. What goes through [`Context`] is recorded once and
//! replayed; what does not is executed again. Operations take their number when they are called for, not when they
//! are polled, and enter the outbox; when the handler rests, the outbox is sequenced.

mod approval;
mod call;
mod conversation;
mod group;
mod operation;
pub(crate) mod options;
mod step;
mod task;
mod waker;

pub(crate) use approval::EXPIRED;
pub use approval::{Approval, Decision};
pub use call::{Call, Spawned};
pub use conversation::{Contact, HandingOff, Release, Releasing, Shown, Telling};
pub use group::{Answer, Answers, Group, GroupError};
pub use operation::{Signal, SignalWithin, Sleep};
pub use step::{Attempt, IntoStep, Step};
pub use task::Assign;

pub(crate) use conversation::refused;
pub(crate) use step::{Body, Execute, Work};
pub(crate) use task::TASK;
pub(crate) use waker::{ForeignWake, RootWaker};

use crate::activation::Surroundings;
use crate::conversation::Reader;
use crate::failure::{Failure, decode, encode};
use crate::registry::{Callable, Registry};
use crate::report::{Action, TaskResult, TaskUsage};
use crate::runtime::LARGEST_PROGRESS;
use operation::Operation;
use rejoin_machine::brief::{Brief, Thread};
use rejoin_machine::human::Verdict;
use rejoin_machine::retry::Policy;
use rejoin_machine::{Answer as Told, Issue, OpNo, Parent, Payload, Run, RunId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The door of a handler to everything durable. Cheap to clone; stays on the handler's thread.
///
/// It cannot be taken into a step: a step is one recorded side effect, and what it does inside is its own affair.
#[derive(Clone)]
pub struct Context {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    state: RefCell<State>,
    registry: Arc<Registry>,
    run: RunId,
    of: About,
}

/// The signal that answers a job whose handler waits for that. Others cannot bear its name.
pub(crate) const ANSWER: &str = "$answer";

/// An answer that comes from outside.
#[derive(Serialize, serde::Deserialize)]
pub(crate) enum Deferred {
    Completed(serde_json::Value),
    Failed { code: String, message: String, details: serde_json::Value },
}

/// What a handler may know of its run.
struct About {
    /// The workflow or agent.
    name: String,
    depth: u32,
    parent: Option<Parent>,
    brief: Brief,
    project: String,
    /// The conversation that it is a part of.
    thread: Option<Thread>,
    /// Where what it refers to is read from.
    log: Reader,
    /// When it was called.
    began: Timestamp,
    /// The metadata that the handler's target declares.
    declares: &'static [&'static str],
}

/// Answers that the handler has not taken, and questions that the engine has not sequenced.
struct State {
    next_op: u32,
    outbox: VecDeque<Issue>,
    slots: HashMap<OpNo, Slot>,
    bodies: HashMap<OpNo, Body>,
    now: Timestamp,
    history: u32,
    random: Random,
    /// Patches that the history marks, up to the record that is being replayed.
    patches: BTreeSet<String>,
    /// Patches that the handler has marked.
    marked: BTreeSet<String>,
    /// Whether what is being handed to the handler comes from the history.
    replaying: bool,
    /// The engine is dropping the handler: that is no decision of the handler's.
    discarding: bool,
    misuse: Option<String>,
    polls: Polls,
    /// How many parts the run has given to subagents.
    subagents: u32,
    /// How far it has said to be, since that was last taken.
    progress: Vec<Payload>,
    /// What it has made beside its answer.
    artefacts: BTreeMap<String, Value>,
    /// Why it is cancelled, once it has been told.
    cancelled: Option<Failure>,
}

/// An operation that the handler holds.
#[derive(Default)]
struct Slot {
    answer: Option<Reply>,
    waker: Option<Waker>,
}

/// An answer, with the content of a signal.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Resolved(Result<Payload, Failure>),
    NoSignal,
    Spawned(RunId),
    Decided(Verdict),
}

/// In which order pending operations were polled.
#[derive(Default)]
struct Polls {
    round: u64,
    /// Operations that were found pending in this round, in order.
    pending: Vec<OpNo>,
    /// When an operation was last found pending: round, place in the round.
    last: HashMap<OpNo, (u64, usize)>,
}

/// A sequence of numbers that depends on the run and its seed alone.
struct Random {
    seed: [u8; 28],
    drawn: u64,
}

impl Random {
    fn next(&mut self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed).update(&self.drawn.to_le_bytes());
        self.drawn += 1;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        bytes
    }
}

impl Context {
    pub(crate) fn new(run: &rejoin_machine::Run, around: &Surroundings) -> Context {
        let registry = around.registry.clone();
        let mut seed = [0; 28];
        // One that does another run again draws what that one has drawn.
        let (of, incarnation) = match run.retries() {
            Some((of, last)) => (of, last + run.incarnation()),
            None => (run.id(), run.incarnation()),
        };
        seed[..16].copy_from_slice(&of.0);
        seed[16..24].copy_from_slice(&run.trigger().seed.to_le_bytes());
        seed[24..].copy_from_slice(&incarnation.to_le_bytes());
        let state = State {
            next_op: 0,
            outbox: VecDeque::new(),
            slots: HashMap::new(),
            bodies: HashMap::new(),
            now: run.time(),
            history: run.history(),
            random: Random { seed, drawn: 0 },
            patches: BTreeSet::new(),
            marked: BTreeSet::new(),
            replaying: false,
            discarding: false,
            misuse: None,
            polls: Polls::default(),
            subagents: 0,
            progress: Vec::new(),
            artefacts: BTreeMap::new(),
            cancelled: None,
        };
        let trigger = run.trigger();
        let of = About {
            name: trigger.target.name.clone(),
            depth: trigger.depth,
            parent: trigger.parent,
            brief: run.brief().clone(),
            project: trigger.project.clone(),
            thread: run.thread(),
            log: around.log.clone(),
            began: run.time(),
            declares: registry.get(&trigger.target, run.brief()).map_or(&[], |handler| handler.declares()),
        };
        let inner = Inner { state: RefCell::new(state), registry, run: run.id(), of };
        Context { inner: Rc::new(inner) }
    }

    /// Executes a side effect once and records its result: after a crash the result is read from the log.
    ///
    /// The step is a function that returns a `Result`, async or not, with or without a parameter of type [`Attempt`]
    /// (its idempotency key and number). It runs on a pool, apart from the handler. A crash while it is under way makes it
    /// run again with the same key. A transient failure is tried again, as [`Step::retry`] and [`Step::retry_policy`] say;
    /// by default as often as it takes.
    ///
    /// ```
    /// # use rejoin::{Context, Failure};
    /// async fn handler(ctx: Context, path: String) -> Result<String, Failure> {
    ///     ctx.step("read", move || std::fs::read_to_string(&path)).retry(3).await
    /// }
    /// ```
    pub fn step<M, F: IntoStep<M>>(&self, name: &str, step: F) -> Step<F::Output> {
        let op = self.inner.number();
        let mut state = self.inner.state.borrow_mut();
        state.bodies.insert(op, Body::Here(step.into_body().0));
        state.outbox.push_back(Issue::Step { op, name: name.to_owned(), policy: Policy::default(), timeout: None });
        drop(state);
        Step::new(self.operation(op))
    }

    /// The job is done by a worker; what it answers is the answer.
    pub(crate) async fn serve(self) -> Result<Payload, Failure> {
        let attempts = self.inner.registry.agent(&self.inner.of.name).map(|agent| agent.attempts);
        let op = self.inner.number();
        let policy = Policy { max_attempts: attempts, ..Policy::default() };
        self.inner.state.borrow_mut().bodies.insert(op, Body::Worker);
        self.inner.push_issue(Issue::Step { op, name: "serve".to_owned(), policy, timeout: None });
        let mut operation = self.operation(op);
        match std::future::poll_fn(|task| operation.poll(task)).await {
            Reply::Resolved(result) => result,
            Reply::NoSignal | Reply::Spawned(_) | Reply::Decided(_) => {
                Err(Failure::permanent("an answer of another kind"))
            }
        }
    }

    /// Sleeps, for days if need be, over any restart.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().after(duration.into()))
    }

    /// Sleeps until a point in time; not at all if that has passed.
    pub fn sleep_until(&self, until: Timestamp) -> Sleep {
        let op = self.inner.number();
        self.inner.state.borrow_mut().outbox.push_back(Issue::Sleep { op, until });
        Sleep::new(self.operation(op))
    }

    /// Waits for a signal of this name. One that came before it was asked for is kept.
    pub fn signal<T: DeserializeOwned>(&self, name: &str) -> Signal<T> {
        let op = self.inner.number();
        let issue = Issue::Await { op, name: name.to_owned(), timeout: None };
        self.inner.state.borrow_mut().outbox.push_back(issue);
        Signal::new(self.operation(op))
    }

    /// Shows a piece of the result to whoever reads the run's [stream](crate::RunHandle::stream), before the whole is there. It
    /// is recorded once.
    pub fn emit<T: Serialize + ?Sized>(&self, chunk: &T) -> Result<(), Failure> {
        let chunk = encode("a piece of a stream", chunk)?;
        self.inner.push_issue(Issue::Emit { chunk });
        Ok(())
    }

    /// Says how far the work is, to whoever [asks](crate::RunHandle::progress) or [waits](crate::RunHandle::next_progress). The
    /// latest few are kept, in memory: progress is no part of the history.
    pub fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let value = encode("the progress", value)?;
        if value.len() > LARGEST_PROGRESS {
            let message = format!("progress of {} bytes is over the limit of {LARGEST_PROGRESS}", value.len());
            return Err(Failure::business("too-large", message));
        }
        let mut state = self.inner.state.borrow_mut();
        if !state.replaying {
            state.progress.push(value);
        }
        Ok(())
    }

    /// Something that a task makes beside its answer: it is in the [result](crate::TaskResult::artefacts), by name.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if it has no JSON.
    pub fn artefact<T: Serialize + ?Sized>(&self, name: impl Into<String>, value: &T) -> Result<(), Failure> {
        let value = serde_json::to_value(value).map_err(|error| Failure::payload("the artefact", &error))?;
        self.inner.state.borrow_mut().artefacts.insert(name.into(), value);
        Ok(())
    }

    /// The answer to this job, which comes from outside and later: see [`RunHandle::answer`](crate::RunHandle::answer). One
    /// that came before it was asked for is kept.
    ///
    /// # Errors
    ///
    /// What [`RunHandle::refuse`](crate::RunHandle::refuse) said, or that the job was cancelled.
    pub async fn deferred<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self.signal::<Deferred>(ANSWER).await? {
            Deferred::Completed(value) => {
                serde_json::from_value(value).map_err(|error| Failure::payload("the answer", &error))
            }
            Deferred::Failed { code, message, details } => {
                Err(Failure::make(rejoin_machine::FailureKind::Application, code, message, details, false))
            }
        }
    }

    /// The time: when the event happened that the handler is answering. The same in every replay.
    pub fn now(&self) -> Timestamp {
        self.inner.state.borrow().now
    }

    /// How many events the history of this incarnation has. A handler that loops for long continues as new before the
    /// limit, which is 50,000 unless the settings say otherwise.
    pub fn history_length(&self) -> u32 {
        self.inner.state.borrow().history
    }

    /// A random number between 0 and 1, the same in every replay. Not for secrets.
    pub fn random(&self) -> f64 {
        let bytes = self.inner.state.borrow_mut().random.next();
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        // The 53 bits that a float between 0 and 1 can tell apart.
        (u64::from_le_bytes(low) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A random UUID (version 4), the same in every replay, as text.
    pub fn uuid(&self) -> String {
        let mut bytes = self.inner.state.borrow_mut().random.next();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        RunId(bytes).to_string()
    }

    /// Whether to take the new way at a change of the handler's code. Runs whose history went past this place before
    /// the change take the old one.
    ///
    /// ```
    /// # use rejoin::{Context, Failure};
    /// # async fn old() -> Result<(), Failure> { Ok(()) }
    /// # async fn new() -> Result<(), Failure> { Ok(()) }
    /// async fn handler(ctx: Context, _: ()) -> Result<(), Failure> {
    ///     if ctx.patched("send-by-queue") {
    ///         ctx.step("send", new).await
    ///     } else {
    ///         ctx.step("send", old).await
    ///     }
    /// }
    /// ```
    pub fn patched(&self, id: &str) -> bool {
        let mut state = self.inner.state.borrow_mut();
        if state.replaying && !state.patches.contains(id) {
            return false;
        }
        // One mark is enough for all places that ask; the first one issues it, live and in replay.
        if state.marked.insert(id.to_owned()) {
            state.outbox.push_back(Issue::Patch { id: id.to_owned() });
        }
        true
    }

    /// Begins anew under the same run id with another input and an empty history; to be returned as the handler's
    /// error. Caller, key, deadline, signals that nobody asked for, and live children go along.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, time::days};
    /// async fn every_day(ctx: Context, count: u64) -> Result<(), Failure> {
    ///     ctx.sleep(days(1)).await?;
    ///     Err(ctx.continue_as_new(count + 1))
    /// }
    /// ```
    pub fn continue_as_new<I: Serialize>(&self, input: I) -> Failure {
        match encode("the input", &input) {
            Ok(input) => Failure::continue_as_new(input),
            Err(failure) => failure,
        }
    }

    /// The run's id.
    pub fn run_id(&self) -> RunId {
        self.inner.run
    }

    /// The run that called this one, where one did.
    pub fn parent(&self) -> Option<RunId> {
        self.inner.of.parent.map(|parent| parent.run)
    }

    /// What the run's agent may trigger, by its grants, with the words that say what each is and when to use it: what a model is
    /// shown as its tools. Nothing for a workflow, which needs no grants.
    pub fn callable(&self) -> Vec<Callable> {
        self.inner.registry.callable_by(&self.inner.of.name, &self.inner.of.brief)
    }

    /// Whether the handler has been told that its run is cancelled: what it does from then on undoes things, and has to end
    /// within the grace.
    pub fn is_cancelled(&self) -> bool {
        self.inner.state.borrow().cancelled.is_some()
    }

    /// Why the run is cancelled, once the handler has been told: what it fails with if nothing else is to be said.
    pub fn cancellation(&self) -> Option<Failure> {
        self.inner.state.borrow().cancelled.clone()
    }

    /// How many triggers stand above the run, as far as they count: what an agent triggers, and a workflow's trigger of a
    /// workflow.
    pub fn depth(&self) -> u32 {
        self.inner.of.depth
    }

    /// Which of the agent's jobs this is.
    pub fn job_name(&self) -> Option<&str> {
        self.inner.of.brief.job.as_deref()
    }

    /// What was said about the occasion, beside the input.
    pub fn occasion(&self) -> Option<&str> {
        self.inner.of.brief.message.as_deref()
    }

    /// A value of the metadata, which no model can see or change. Only names that the workflow or job declares can be read.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if the name is not declared, or the value is of another type.
    pub fn metadata<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let about = &self.inner.of;
        match about.brief.metadata(name).filter(|_| about.declares.contains(&name)) {
            Some(value) => decode("the metadata", value),
            None => {
                let message =
                    format!("{} does not declare the metadata {name:?}; name it with .metadata(&[..])", about.name);
                Err(Failure::business("metadata-undeclared", message))
            }
        }
    }

    /// What there is of a visitor's, by name.
    pub fn visitor_names(&self) -> impl Iterator<Item = &str> {
        self.inner.of.brief.visitor.iter().map(|(name, _)| name.as_str())
    }

    /// What a visitor's browser said of itself, where the caller shared that. Not to be trusted.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if the value is of another type.
    pub fn visitor<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let value = self.inner.of.brief.visitor.iter().find(|(known, _)| known == name);
        value.map(|(_, value)| decode("the visitor's data", value)).transpose()
    }

    /// The user in whose conversation the run happens; `None` for headless work.
    pub fn user(&self) -> Option<&str> {
        self.inner.of.brief.user.as_deref()
    }

    fn operation(&self, op: OpNo) -> Operation {
        self.inner.state.borrow_mut().slots.insert(op, Slot::default());
        Operation::new(self.inner.clone(), op)
    }
}

// The engine's side.
impl Inner {
    fn number(&self) -> OpNo {
        let mut state = self.state.borrow_mut();
        let op = OpNo(state.next_op);
        state.next_op += 1;
        op
    }

    /// Changes the issue of an operation, while it has not been sequenced.
    fn amend(&self, op: OpNo, amend: impl FnOnce(&mut Issue)) {
        let mut state = self.state.borrow_mut();
        let issue = state.outbox.iter_mut().rev().find(|issue| operation_of(issue) == Some(op));
        match issue {
            Some(issue) => amend(issue),
            None => {
                let message =
                    format!("operation {op} was given an option after it had been sequenced; set options at once");
                state.misuse.get_or_insert(message);
            }
        }
    }

    /// What a task returns: its answer, and what was done for it.
    pub(crate) fn report(&self, run: &Run, output: &Payload, actions: Vec<Action>) -> Result<Payload, Failure> {
        let conversation = self.of.thread.as_ref().map_or(self.run, |thread| thread.conversation);
        let value = |payload: &Payload| decode::<Value>("the metadata", payload).unwrap_or_default();
        let metadata = self.of.brief.metadata.iter().map(|(name, known)| (name.clone(), value(known)));
        let result = TaskResult {
            output: decode("the output", output)?,
            conversation,
            run: self.run,
            artefacts: std::mem::take(&mut self.state.borrow_mut().artefacts),
            actions,
            metadata: metadata.collect(),
            usage: TaskUsage::new(run.usage(), run.time().0 - self.of.began.0),
        };
        encode("the report", &result)
    }

    /// Takes how far the handler has said to be.
    pub(crate) fn take_progress(&self) -> Vec<Payload> {
        std::mem::take(&mut self.state.borrow_mut().progress)
    }

    /// Takes what the handler asked for first.
    pub(crate) fn take_issue(&self) -> Option<Issue> {
        self.state.borrow_mut().outbox.pop_front()
    }

    pub(crate) fn push_issue(&self, issue: Issue) {
        self.state.borrow_mut().outbox.push_back(issue);
    }

    /// What a step is to execute, as often as it is tried.
    pub(crate) fn body(&self, op: OpNo) -> Option<Body> {
        self.state.borrow().bodies.get(&op).cloned()
    }

    pub(crate) fn forget_body(&self, op: OpNo) {
        let body = self.state.borrow_mut().bodies.remove(&op);
        drop(body);
    }

    pub(crate) fn set_now(&self, now: Timestamp, history: u32) {
        let mut state = self.state.borrow_mut();
        (state.now, state.history) = (now, history);
    }

    /// What comes next is from the history, from a record that marks these patches; or live (`None`).
    pub(crate) fn set_replaying(&self, patches: Option<&[String]>) {
        let mut state = self.state.borrow_mut();
        state.replaying = patches.is_some();
        state.patches.extend(patches.into_iter().flatten().cloned());
    }

    /// Hands an answer to the operation that waits for it. A signal's content comes beside it.
    pub(crate) fn answer(&self, answer: &Told, signal: Option<Payload>, cancel: Option<&Failure>) {
        let mut wakers = Vec::new();
        let mut state = self.state.borrow_mut();
        match answer {
            Told::Start => {}
            Told::Resolved { op, result } => {
                let result = result.clone().map_err(Failure::from_stored);
                state.resolve(*op, Reply::Resolved(result), &mut wakers);
            }
            Told::Signal { op, .. } => {
                let payload = signal.unwrap_or_else(|| Payload::from(Vec::new()));
                state.resolve(*op, Reply::Resolved(Ok(payload)), &mut wakers);
            }
            Told::NoSignal { op } => state.resolve(*op, Reply::NoSignal, &mut wakers),
            Told::Decided { op, verdict } => state.resolve(*op, Reply::Decided((**verdict).clone()), &mut wakers),
            Told::Spawned { op, child } => state.resolve(*op, Reply::Spawned(*child), &mut wakers),
            Told::Cancel => {
                let failure = cancel.cloned().unwrap_or_else(|| Failure::permanent("cancelled"));
                state.cancelled = Some(failure.clone());
                let mut open: Vec<OpNo> = state.slots.keys().copied().collect();
                open.sort_unstable();
                for op in open {
                    state.resolve(op, Reply::Resolved(Err(failure.clone())), &mut wakers);
                }
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// To be called before the handler is polled.
    pub(crate) fn begin_poll(&self) {
        let mut state = self.state.borrow_mut();
        state.polls.round += 1;
        state.polls.pending.clear();
    }

    /// What the handler did that it may not do, if anything.
    pub(crate) fn take_misuse(&self) -> Option<String> {
        self.state.borrow_mut().misuse.take()
    }

    /// To be called when the handler rests: what it did that it may not do.
    pub(crate) fn end_poll(&self) -> Option<String> {
        let mut state = self.state.borrow_mut();
        if let Some(misuse) = state.misuse.take() {
            return Some(misuse);
        }
        let waits = state.slots.values().any(|slot| slot.waker.is_some());
        if !waits {
            return Some(
                "the handler waits for something that did not come from its context; use ctx.step, ctx.sleep or \
                 ctx.signal instead, so that the wait is recorded"
                    .to_owned(),
            );
        }
        state.check_order()
    }

    /// The handler has ended: what it still held goes down with it.
    pub(crate) fn discard_slots(&self) {
        self.state.borrow_mut().discarding = true;
    }

    /// A number for the next incarnation to draw its own from.
    pub(crate) fn next_seed(&self) -> u64 {
        let bytes = self.state.borrow_mut().random.next();
        let mut seed = [0; 8];
        seed.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(seed)
    }

    /// The engine drops the handler. Operations that go down with it are not dropped by the handler.
    pub(crate) fn discard(&self) {
        let mut state = self.state.borrow_mut();
        state.discarding = true;
        let bodies = std::mem::take(&mut state.bodies);
        let slots = std::mem::take(&mut state.slots);
        drop(state);
        drop((bodies, slots));
    }
}

impl State {
    fn resolve(&mut self, op: OpNo, reply: Reply, wakers: &mut Vec<Waker>) {
        // An operation that the handler dropped has no slot any more, and wants no answer.
        if let Some(slot) = self.slots.get_mut(&op)
            && slot.answer.is_none()
        {
            slot.answer = Some(reply);
            wakers.extend(slot.waker.take());
        }
    }

    /// Two operations that were pending in the same earlier round must be polled in the same order again: whoever
    /// shuffles them (`tokio::join!`, an unbiased `select!`) decides something that the log does not know.
    fn check_order(&mut self) -> Option<String> {
        let Polls { round, pending, last } = &mut self.polls;
        // A loop may poll an operation again within the round; its first place counts.
        if pending.len() > 1 {
            let mut seen = HashSet::new();
            pending.retain(|op| seen.insert(*op));
        }
        let mut shuffled = None;
        for pair in pending.windows(2) {
            if let (Some(first), Some(second)) = (last.get(&pair[0]), last.get(&pair[1]))
                && first.0 == second.0
                && first.1 > second.1
            {
                shuffled = Some((pair[0], pair[1]));
            }
        }
        for (place, op) in pending.iter().enumerate() {
            last.insert(*op, (*round, place));
        }
        if last.len() > 4 * self.slots.len() + 64 {
            let slots = &self.slots;
            last.retain(|op, _| slots.contains_key(op));
        }
        let (first, second) = shuffled?;
        Some(format!(
            "operations {second} and {first} are polled in another order than before; use rejoin::join and \
             rejoin::select, or a biased select, in place of ones that rotate or randomise"
        ))
    }
}

fn operation_of(issue: &Issue) -> Option<OpNo> {
    match issue {
        Issue::Step { op, .. }
        | Issue::Call { op, .. }
        | Issue::Sleep { op, .. }
        | Issue::Await { op, .. }
        | Issue::Ask { op, .. }
        | Issue::Tell { op, .. }
        | Issue::HandOff { op, .. }
        | Issue::Group { op, .. } => Some(*op),
        Issue::Emit { .. }
        | Issue::Say { .. }
        | Issue::Use(_)
        | Issue::CancelCall { .. }
        | Issue::Drop { .. }
        | Issue::Patch { .. }
        | Issue::Return(_)
        | Issue::ContinueAsNew { .. } => None,
    }
}

fn take<T: DeserializeOwned>(what: &str, reply: Reply) -> Result<T, Failure> {
    match reply {
        Reply::Resolved(result) => decode(what, &result?),
        Reply::NoSignal | Reply::Spawned(_) | Reply::Decided(_) => Err(Failure::permanent("an answer of another kind")),
    }
}
