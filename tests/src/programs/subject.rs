//! Programs in a simulated world: who triggers them, who answers their questions, and what must have come of them.

use super::chat::{self, Chat, chats, take_over, talk};
use super::interpreter::{Deploy, IN_ORDER, LEVELS, TERMS, WRONG, app, carried_child, let_go};
use super::language::{Do, Order, Program, Root, generate};
use super::ledger::Ledger;
use super::model::{End, forecast};
use rejoin::history::Entry;
use rejoin::testkit::Chance;
use rejoin::testkit::chaos::{Caller, Deployed, End as Finish, Subject};
use rejoin::testkit::checks::{self, Violation};
use rejoin::time::{hours, seconds};
use rejoin::{
    Builder, Document, Engine, Event, Failure, FailureKind, Rejection, RunError, RunHandle, RunId, TriggerError,
    WorkerError, WorkerTask, join,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The programs of a seed, in the world of one execution.
pub struct Programs {
    roots: Arc<Vec<Root>>,
    chats: Arc<Vec<Chat>>,
    ledger: Ledger,
    /// Roots that were deleted.
    deleted: Arc<Mutex<BTreeSet<usize>>>,
    upgrade: u32,
    keep: Option<Duration>,
}

impl Programs {
    /// The programs that a seed gives; with a `size` of up to so many things that each root does.
    pub fn new(seed: u64, size: u64) -> Programs {
        let mut programs = Programs::of(seed, generate(&mut Chance::new(seed ^ 0x9806), size));
        // A conversation that was forgotten takes the same message once more.
        if programs.keep.is_none() {
            programs.chats = Arc::new(chats(&mut Chance::new(seed ^ 0xc4a7), size));
        }
        programs
    }

    /// These programs.
    pub fn of(seed: u64, roots: Vec<Root>) -> Programs {
        let mut chance = Chance::new(seed ^ 0x5e77);
        Programs {
            roots: Arc::new(roots),
            chats: Arc::default(),
            ledger: Ledger::default(),
            deleted: Arc::default(),
            upgrade: if chance.often(300) { chance.below(4) as u32 } else { u32::MAX },
            keep: chance.often(200).then(|| *chance.pick(&[hours(1), hours(100)])),
        }
    }

    /// Programs for a real process, with a ledger of their own: nothing is deleted, time passes faster.
    pub fn real(seed: u64, size: u64, roots: usize, ledger: Ledger) -> Programs {
        let mut chance = Chance::new(seed);
        let mut all = Vec::new();
        while all.len() < roots {
            all.extend(generate(&mut chance, size));
        }
        all.truncate(roots);
        all.iter_mut().for_each(|root| root.delete = false);
        let chats = (0..roots / 4).flat_map(|_| chats(&mut chance, size)).collect();
        Programs {
            roots: Arc::new(all),
            chats: Arc::new(chats),
            ledger,
            deleted: Arc::default(),
            upgrade: u32::MAX,
            keep: None,
        }
    }

    /// Whether a root may have more than one life: a request that comes late may find that its run was deleted, and begins
    /// another one, which nobody serves.
    fn may_begin_again(&self) -> bool {
        self.keep.is_some() || self.roots.iter().any(|root| root.delete)
    }

    /// What is wrong with what the lives of a root have counted: one has counted all of it, others perhaps less.
    fn differs(&self, root: &Root, lives: &[BTreeMap<u8, u64>]) -> Option<String> {
        let counts = forecast(root).counts;
        if !self.may_begin_again() || lives.len() == 1 {
            return lives.iter().find_map(|life| counts.differs(life));
        }
        let whole = lives.iter().filter_map(|life| counts.differs(life)).collect::<Vec<_>>();
        let part = lives.iter().find_map(|life| counts.cut_short().differs(life));
        part.or_else(|| whole.into_iter().nth(lives.len() - 1))
    }

    /// What they are.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let_go();
    }
}

impl Subject for Programs {
    fn builder(&self, deployed: Deployed) -> Builder {
        let deploy = Deploy { life: deployed.life, upgrade: self.upgrade, other: deployed.other, pace: 1 };
        let builder = app(Engine::open("simulated"), &self.ledger, deploy);
        match self.keep {
            Some(keep) => builder.retention(keep),
            None => builder,
        }
    }

    /// One for each root and chat, one that answers questions, and two workers.
    fn callers(&self) -> usize {
        self.roots.len() + self.chats.len() + 3
    }

    fn is_servant(&self, number: usize) -> bool {
        number >= self.roots.len() + self.chats.len()
    }

    fn caller(&self, number: usize, engine: Engine) -> Caller {
        let clients = self.roots.len() + self.chats.len();
        if (self.roots.len()..clients).contains(&number) {
            let (chats, number) = (self.chats.clone(), number - self.roots.len());
            return Box::pin(
                async move { talk(&engine, number, &chats[number]).await.map_err(|error| error.to_string()) },
            );
        }
        if number == clients {
            let ledger = self.ledger.clone();
            return Box::pin(async move { answer(engine, ledger).await.map_err(|error| error.to_string()) });
        }
        if let Some(worker) = number.checked_sub(clients + 1) {
            let ledger = self.ledger.clone();
            return Box::pin(async move { work(engine, worker, ledger).await.map_err(|error| error.to_string()) });
        }
        let (roots, ledger, deleted) = (self.roots.clone(), self.ledger.clone(), self.deleted.clone());
        let may_begin_again = self.may_begin_again();
        let steady = !may_begin_again && self.upgrade == u32::MAX;
        Box::pin(async move {
            let root = &roots[number];
            // Another version may do other things.
            let retry = root.retry() && steady;
            let client = Client { root, number, ledger, deleted, may_begin_again, retry };
            client.use_engine(engine).await.map_err(|error| error.to_string())
        })
    }

    fn judge(&self, end: &Finish<'_>) -> Vec<Violation> {
        let mut found = self.judge_counters();
        if self.may_begin_again() {
            return found;
        }
        let is_run = |history: &[Entry]| match history.first().and_then(|entry| entry.transition.events.first()) {
            Some(Event::Triggered(trigger)) => !trigger.target.name.starts_with('$'),
            _ => true,
        };
        let open = end.histories.iter().flatten().filter(|(_, history)| checks::end(history).is_none());
        let open = open.filter(|(_, history)| is_run(history));
        found.extend(open.map(|(run, _)| Violation { id: "A6", what: format!("run {run} has not ended") }));
        found
    }
}

impl Programs {
    /// What the counters show, against what the model says.
    pub fn judge_counters(&self) -> Vec<Violation> {
        let mut found: Vec<Violation> =
            self.ledger.wrong().into_iter().map(|(id, what)| Violation { id, what }).collect();
        let mut families = self.ledger.counters();
        for (number, root) in self.roots.iter().enumerate() {
            let of_root = format!("{number}:");
            let lives = families.extract_if(.., |family, _| family.starts_with(&of_root));
            let mut lives: Vec<BTreeMap<u8, u64>> = lives.map(|(_, life)| life).collect();
            if lives.is_empty() {
                lives.push(BTreeMap::new());
            }
            found.extend(
                self.differs(root, &lives).map(|what| Violation { id: "E13", what: format!("root {number}: {what}") }),
            );
        }
        for (number, chat) in self.chats.iter().enumerate() {
            let family = chat::family(number);
            let counted = families.remove(&family).unwrap_or_default();
            let what = chat.forecast().differs(&counted);
            found.extend(what.map(|what| Violation { id: "E13", what: format!("{family} {what}") }));
        }
        found
    }
}

/// Who triggers one root and sees to its end.
struct Client<'a> {
    root: &'a Root,
    number: usize,
    ledger: Ledger,
    deleted: Arc<Mutex<BTreeSet<usize>>>,
    may_begin_again: bool,
    retry: bool,
}

impl Client<'_> {
    async fn use_engine(&self, engine: Engine) -> Result<(), RunError> {
        if self.deleted.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.number) {
            return Ok(());
        }
        let Some(run) = self.trigger(&engine).await? else { return Ok(()) };
        self.send_early(&run).await?;
        self.pause(&run).await?;
        self.cancel(&run).await?;
        self.compare(run.result().await)?;
        if self.retry {
            self.compare(run.retry().await?.result().await)?;
        }
        // Those that nobody waited for may be alive.
        self.cancel(&run).await?;
        if self.root.delete {
            // All at once: the run that is triggered in between must not be taken for the one that has ended.
            let (deleted, (triggered, _)) = join((run.delete(), join((self.trigger(&engine), run.delete())))).await;
            triggered?;
            match deleted {
                Ok(()) | Err(RunError::NotFound(_)) => {
                    // The key is free again, and whoever deletes twice must not meet the next run. Nobody serves that one.
                    self.trigger(&engine).await?;
                    self.deleted.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number);
                }
                // Something that nobody waited for goes on.
                Err(RunError::Kept { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn send_early(&self, run: &RunHandle<BTreeMap<u8, u64>>) -> Result<(), RunError> {
        for number in 0..self.root.early {
            match run.signal("early", &number).id(&format!("early {number}")).await {
                // There is room again when the program has taken one.
                Err(full @ RunError::Rejected(Rejection::TooMany { .. })) => return Err(full),
                // Who comes again after a crash may come after the end.
                Ok(()) | Err(RunError::Rejected(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Makes it stand still for a moment. Who comes again after a crash makes it go on.
    async fn pause(&self, run: &RunHandle<BTreeMap<u8, u64>>) -> Result<(), RunError> {
        if !self.root.pause {
            return Ok(());
        }
        for result in [run.pause("a client", "a moment").await, run.resume("a client").await] {
            match result {
                Ok(()) | Err(RunError::Rejected(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn cancel(&self, run: &RunHandle<BTreeMap<u8, u64>>) -> Result<(), RunError> {
        let Some((tree, grace)) = self.root.cancel else { return Ok(()) };
        let mut request = run.cancel("no longer wanted").by("a client");
        if tree {
            request = request.tree();
        }
        if let Some(grace) = grace {
            request = request.grace(seconds(grace.into()));
        }
        match request.await {
            Ok(()) | Err(RunError::Rejected(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn trigger(&self, engine: &Engine) -> Result<Option<RunHandle<BTreeMap<u8, u64>>>, RunError> {
        let key = format!("root {}", self.number);
        // One that is done again must give its children the same: nothing that is drawn anew.
        let family = if self.retry { format!("{}:", self.number) } else { String::new() };
        let documents = keep(engine).await?;
        let with = |ops| {
            let program = Program { family: family.clone(), ..Program::root(ops, self.number) };
            let mut request = engine
                .trigger(&LEVELS[0], program)
                .document(&documents)
                .key(&key)
                .metadata("root", &self.number)
                .label("number", self.number.to_string());
            if let Some(deadline) = self.root.deadline {
                request = request.deadline(seconds(deadline.into()));
            }
            request
        };
        let later = |error: TriggerError| RunError::Payload(error.to_string());
        let again = || RunError::Payload("the key stood for another program".to_owned());
        match with(self.root.program.clone()).await {
            Ok(run) => match with(vec![Do::Fail; 2]).await {
                Err(TriggerError::KeyConflict { .. }) => Ok(Some(run)),
                // The run was deleted in between.
                Ok(other) => self.withdraw(other).await.and(Err(again())),
                Err(other) => Err(later(other)),
            },
            Err(TriggerError::KeyConflict { .. }) => match engine.find(&LEVELS[0], &key) {
                Some(other) => self.withdraw(other).await.and(Err(again())),
                None => Err(again()),
            },
            Err(other) => Err(later(other)),
        }
    }

    /// The other program that stands for the key since the run was deleted makes room.
    async fn withdraw(&self, other: RunHandle<BTreeMap<u8, u64>>) -> Result<(), RunError> {
        match other.result().await {
            Ok(_) | Err(RunError::Failed(_)) => other.delete().await,
            Err(error) => Err(error),
        }
    }

    fn compare(&self, result: Result<BTreeMap<u8, u64>, RunError>) -> Result<(), RunError> {
        let mut expected = forecast(self.root);
        if self.may_begin_again {
            // A signal that was sent to an earlier life may arrive in this one.
            expected.seen.perhaps_as(IN_ORDER, WRONG);
        }
        let kind = match result {
            Ok(seen) => {
                if let Some(what) = expected.seen.differs(&seen) {
                    self.ledger.complain("E13", format!("root {}: {what}", self.number));
                }
                None
            }
            Err(RunError::Failed(failure)) => Some(failure.kind()),
            Err(other) => return Err(other),
        };
        let fits = match expected.end {
            End::Any => true,
            End::Completed => kind.is_none(),
            End::Failed => kind == Some(FailureKind::Application),
            End::Cancelled => kind == Some(FailureKind::Cancelled),
        };
        // The run may have been deleted, and the program that only asks whether the key is taken stands in its place.
        let another = self.may_begin_again && kind == Some(FailureKind::Application);
        if !fits && !another {
            let what = format!("root {} should end as {:?}, and ended with {kind:?}", self.number, expected.end);
            self.ledger.complain("E13", what);
        }
        Ok(())
    }
}

/// Keeps the document that goes along with what is triggered from outside.
pub(super) async fn keep(engine: &Engine) -> Result<Document, RunError> {
    let kept = engine.keep_document("terms", TERMS).await;
    kept.map_err(|error| RunError::Payload(error.to_string()))
}

/// Answers every question that is asked, and cancels who asks for it.
async fn answer(engine: Engine, ledger: Ledger) -> Result<(), RunError> {
    let mut feed = engine.follow_all(0);
    while let Some((run, entry)) = feed.next().await? {
        for event in &entry.transition.events {
            let done = match event {
                Event::SignalAwaited { op, name, .. } => {
                    respond(&engine, run, name, &format!("{} {op}", entry.version)).await
                }
                Event::ApprovalRequested { .. } => approve(&engine, run, &ledger).await,
                // A pause may come late, after whoever sent it has made the run go on.
                Event::Paused { .. } => engine.run::<()>(run).resume("a client").await,
                Event::HandoffStarted { .. } => take_over(&engine, run).await.map(|stolen| {
                    if stolen {
                        ledger.complain("E4", format!("run {run} got its conversation back from somebody else"));
                    }
                }),
                _ => continue,
            };
            match done {
                // It has ended meanwhile, or is gone.
                Ok(()) | Err(RunError::Rejected(_) | RunError::NotFound(_)) => {}
                Err(other) => return Err(other),
            }
        }
    }
    Ok(())
}

/// Does the jobs of the agent that workers serve: vanishes, fails, gives back and answers twice, as each says.
async fn work(engine: Engine, number: usize, ledger: Ledger) -> Result<(), WorkerError> {
    let worker = engine.worker("hand").named(format!("hand {number}"));
    let mut silent: Vec<WorkerTask> = Vec::new();
    let mut given_back = BTreeSet::new();
    let done = |task: WorkerTask, order: Order| {
        let (ledger, engine) = (ledger.clone(), engine.clone());
        async move {
            if order.calls {
                let input = Program { family: order.family.clone(), ..Program::root(carried_child(), order.root) };
                let input = serde_json::to_value(input).map_err(|error| WorkerError::Payload(error.to_string()))?;
                let participant = engine.participant(task.token())?;
                let call = participant.call("from the hand", LEVELS[2].name(), None, &input).timeout(hours(1_000_000));
                match call.await {
                    // This process does not know it; another one will.
                    Err(RunError::Failed(unknown)) if unknown.code() == "unknown-workflow" => {
                        return Err(WorkerError::Run(RunError::Failed(unknown)));
                    }
                    // It may have failed or been cancelled, and the job be another worker's, or have ended.
                    Ok(_) | Err(RunError::Failed(_) | RunError::Rejected(_) | RunError::NotFound(_)) => {}
                    Err(other) => return Err(WorkerError::Run(other)),
                }
            }
            ledger.add(&order.family, &task.idempotency_key(), order.counter, order.by.into());
            held(task.complete(&order.by).await)
        }
    };
    loop {
        let task = worker.next().await?;
        let order: Order = task.input()?;
        let (vanishes, fails) = (u32::from(order.vanish), u32::from(order.vanish) + u32::from(order.failures));
        for late in std::mem::take(&mut silent) {
            let order = late.input()?;
            done(late, order).await?;
        }
        if task.attempt() <= vanishes {
            silent.push(task);
        } else if task.attempt() <= fails {
            held(task.fail(Failure::transient("not yet")).await)?;
        } else if order.back && given_back.insert(task.run_id()) {
            held(task.give_back().await)?;
        } else {
            held(task.heartbeat().await)?;
            done(task.clone(), order.clone()).await?;
            if task.complete(&(order.by + 1)).await.is_ok() {
                ledger.complain("E8", format!("job {} took a second answer", task.run_id()));
            }
        }
    }
}

/// The attempt may have gone to another worker.
fn held(told: Result<(), WorkerError>) -> Result<(), WorkerError> {
    match told {
        Err(WorkerError::NotHeld { .. }) => Ok(()),
        told => told,
    }
}

/// Answers what a run asks people. Somebody who is not asked has no say, and a second answer is none.
async fn approve(engine: &Engine, run: RunId, ledger: &Ledger) -> Result<(), RunError> {
    for open in engine.approvals()?.into_iter().filter(|open| open.run == run) {
        if !open.persons.iter().any(|person| person == "bob")
            && let Ok(()) = engine.decide(open.token, "bob", "yes", None).await
        {
            // He may have been asked in between.
            let asked = engine.history(run)?.iter().any(|entry| {
                entry.transition.events.iter().any(|event| matches!(event, Event::ApprovalEscalated { .. }))
            });
            if !asked {
                ledger.complain("E4", format!("run {run} was answered by somebody who is not asked"));
            }
        }
        match engine.decide(open.token, "ann", "yes", None).await {
            Ok(()) | Err(RunError::Rejected(_) | RunError::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
        if let Ok(()) = engine.decide(open.token, "ann", "no", None).await {
            ledger.complain("E4", format!("run {run} took a second answer"));
        }
    }
    Ok(())
}

async fn respond(engine: &Engine, run: RunId, name: &str, id: &str) -> Result<(), RunError> {
    let run = engine.run::<()>(run);
    match name.strip_prefix("ask ") {
        Some(number) => run.signal(name, &number.parse::<u8>().unwrap_or(u8::MAX)).id(id).await,
        None if name == "cancel me" => run.cancel("it asked for it").by("a client").grace(hours(1000)).await,
        None => Ok(()),
    }
}
