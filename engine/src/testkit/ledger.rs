//! The outside world, as a test gives it to steps.

use super::tasks;
use crate::context::Attempt;
use rejoin_machine::{OpNo, RunId};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The outside world, as a test gives it to steps: it survives every crash, and notes who did what.
///
/// Clones are the same ledger.
///
/// ```
/// use rejoin::testkit::{Ledger, RunTest};
/// use rejoin::{Attempt, Context, Engine, Failure, Workflow};
///
/// const PAY: Workflow<u32, ()> = Workflow::named("pay");
///
/// let app = |ledger: &Ledger| {
///     let bank = ledger.clone();
///     Engine::open("simulated").workflow(&PAY, move |ctx: Context, amount: u32| {
///         let bank = bank.clone();
///         async move {
///             let charge = move |attempt: Attempt| {
///                 bank.once(attempt.idempotency_key(), format!("charged {amount} EUR"));
///                 Ok::<(), Failure>(())
///             };
///             ctx.step("charge", charge).await
///         }
///     })
/// };
/// assert_eq!(RunTest::new(app, &PAY, 5).run().ledger.effects(), ["charged 5 EUR"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<LedgerEntry>,
    life: u32,
    commits: u64,
    client: bool,
}

/// Something that was done to the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What.
    pub what: String,
    /// The idempotency key that the service was given.
    pub key: Option<String>,
    /// Who did it.
    pub by: By,
    /// In which life of the process, counted from 1.
    pub life: u32,
    /// How many commits that life had made.
    pub commits: u64,
}

/// Who did something to the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// An attempt of a step.
    Step(Attempt),
    /// A handler itself, outside its steps.
    Handler,
    /// What the test does beside the workflow.
    Client,
}

impl Ledger {
    /// An untouched world.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// A service that takes no idempotency key: every call is another effect.
    pub fn effect(&self, what: impl Into<String>) {
        self.note(None, what.into());
    }

    /// A service that takes an idempotency key: the same key again is the same effect. The same key for something else is
    /// a conflict.
    pub fn once(&self, key: impl Display, what: impl Into<String>) {
        self.note(Some(key.to_string()), what.into());
    }

    /// What happened to the world, in order: every call without a key, and the first with each key.
    pub fn effects(&self) -> Vec<String> {
        let book = self.lock();
        let mut known = BTreeSet::new();
        let mut fresh = |entry: &&LedgerEntry| entry.key.as_ref().is_none_or(|key| known.insert(key.clone()));
        book.entries.iter().filter(|entry| fresh(entry)).map(|entry| entry.what.clone()).collect()
    }

    /// Every call, in order.
    pub fn entries(&self) -> Vec<LedgerEntry> {
        self.lock().entries.clone()
    }

    /// Another life of the process begins.
    pub(super) fn begin(&self, life: u32) {
        let mut book = self.lock();
        (book.life, book.commits) = (life, 0);
    }

    /// The process has made so many commits.
    pub(super) fn reached(&self, commits: u64) {
        self.lock().commits = commits;
    }

    /// What happens inside is the client's doing.
    pub(super) fn as_client<T>(&self, act: impl FnOnce() -> T) -> T {
        self.lock().client = true;
        let done = act();
        self.lock().client = false;
        done
    }

    fn note(&self, key: Option<String>, what: String) {
        let mut book = self.lock();
        let by = match tasks::executing() {
            Some(attempt) => By::Step(attempt),
            None if book.client => By::Client,
            None => By::Handler,
        };
        let (life, commits) = (book.life, book.commits);
        book.entries.push(LedgerEntry { what, key, by, life, commits });
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerEntry {
    /// The step that did it: run, incarnation, operation.
    pub(super) fn step(&self) -> Option<(RunId, u32, OpNo)> {
        match &self.by {
            By::Step(attempt) => Some((attempt.run, attempt.incarnation, attempt.op)),
            By::Handler | By::Client => None,
        }
    }
}
