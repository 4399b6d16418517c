//! A workflow, its input and its clients, to be lived through in any world.

use super::commits::Records;
use super::world::mix;
use super::{Ledger, Moment, Simulation, World};
use crate::engine::{Builder, RunHandle, Wait};
use crate::error::RunError;
use crate::runtime::Entropy;
use crate::workflow::Workflow;
use rejoin_machine::{Event, RunId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

/// The key under which the run is triggered, in every life.
const KEY: &str = "the run under test";

/// How many rounds a life may have: enough for ten thousand steps.
const ROUNDS: u32 = 50_000;

type ClientFuture = Pin<Box<dyn Future<Output = crate::Result<()>>>>;
type Client<O> = Box<dyn Fn(RunHandle<O>) -> ClientFuture>;

/// What is lived through.
pub(super) struct Script<I, O> {
    app: Box<dyn Fn(&Ledger) -> Builder>,
    pub(super) workflow: Workflow<I, O>,
    input: I,
    client: Option<Client<O>>,
}

/// A life that is over.
pub(super) struct Lived {
    pub(super) end: End,
    pub(super) records: Records,
    pub(super) began: Timestamp,
    /// The process as it stands: a crash comes before it is dropped, which would close the store.
    pub(super) simulation: Option<Simulation>,
}

/// How a life ended.
pub(super) enum End {
    /// At the moment that was chosen for it.
    Died,
    /// With the run's result, and everything else at rest.
    Ended { result: Result<Value, RunError>, at: Timestamp, unended: Vec<Unended> },
    /// Nothing is left to be done, or there is no end of it, and the run has not ended.
    Still { endless: bool, unended: Vec<Unended> },
    /// Something was refused.
    Refused(String),
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unended {
    pub(super) workflow: String,
    /// Why its handler does not fit its history, if that is so.
    pub(super) wedged: Option<String>,
    pub(super) waits: Vec<Wait>,
}

impl<I: Serialize + Clone + 'static, O: 'static> Script<I, O> {
    pub(super) fn new(app: impl Fn(&Ledger) -> Builder + 'static, workflow: &Workflow<I, O>, input: I) -> Self {
        Script { app: Box::new(app), workflow: *workflow, input, client: None }
    }

    pub(super) fn during<F>(&mut self, client: impl Fn(RunHandle<O>) -> F + 'static)
    where
        F: Future<Output = crate::Result<()>> + 'static,
    {
        self.client = Some(Box::new(move |run| Box::pin(client(run))));
    }

    pub(super) fn app(&self, ledger: &Ledger) -> Builder {
        (self.app)(ledger)
    }

    /// One life, to its end or to that moment. Lives are counted from 1.
    pub(super) fn live(&self, world: &World, ledger: &Ledger, life: u32, until: Option<Moment>) -> Lived {
        ledger.begin(life);
        let began = world.now();
        let entropy = Arc::new(Steady { life, drawn: AtomicU64::new(0) });
        let mut simulation = match Simulation::start_with(world, self.app(ledger), until, entropy) {
            Ok(simulation) => simulation,
            Err(error) => {
                // If it is not the chosen end, the life after this one meets it again.
                let end = if until.is_some() { End::Died } else { End::Refused(error.to_string()) };
                return Lived { end, records: Records::new(world.trace(), Vec::new()), began, simulation: None };
            }
        };
        let mut driver = Driver { simulation: &mut simulation, ledger, rounds: 0 };
        let end = self.drive(&mut driver, world);
        let records = Records::new(world.trace(), simulation.tap.last_records());
        let unended = |_| unended(&simulation, &records);
        let end = match end {
            _ if simulation.is_dead() => End::Died,
            End::Ended { result, at, .. } => End::Ended { result, at, unended: unended(()) },
            End::Still { endless, .. } => End::Still { endless, unended: unended(()) },
            end @ (End::Died | End::Refused(_)) => end,
        };
        Lived { end, records, began, simulation: Some(simulation) }
    }

    fn drive(&self, driver: &mut Driver<'_>, world: &World) -> End {
        let engine = driver.simulation.engine();
        let trigger = pin!(engine.trigger(&self.workflow, self.input.clone()).key(KEY).into_future());
        let run = match driver.until(trigger) {
            Some(Ok(run)) => run,
            Some(Err(error)) => return End::Refused(error.to_string()),
            None => return driver.still(),
        };
        let mut client = self.client.as_ref().map(|client| client(run.clone()));
        let of_any = engine.run::<Value>(run.id());
        let mut result = pin!(of_any.result());
        let mut refused = None;
        let both = std::future::poll_fn(|task| {
            let ended = result.as_mut().poll(task);
            if let Some(going) = &mut client
                && let Poll::Ready(said) = going.as_mut().poll(task)
            {
                client = None;
                refused = said.err();
            }
            ended
        });
        let Some(result) = driver.until(pin!(both)) else { return driver.still() };
        let at = world.now();
        // A client of a later life may come when the run has ended.
        if let Some(error) = refused.filter(|error| !matches!(error, crate::Error::Run(RunError::Rejected(_)))) {
            return End::Refused(format!("the client's part failed: {error}"));
        }
        while driver.round() {}
        if driver.rounds < ROUNDS { End::Ended { result, at, unended: Vec::new() } } else { driver.still() }
    }
}

/// Chance that a crash does not change: the first number, which becomes the run's seed, is the same in all lives, as
/// are the lower halves, which become the pauses before attempts. The rest tells one id from another.
struct Steady {
    life: u32,
    drawn: AtomicU64,
}

impl Entropy for Steady {
    fn next(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst);
        let life = if drawn == 0 { 0 } else { u64::from(self.life) };
        mix(life << 32 | drawn) << 32 | u64::from(u32::MAX / 2)
    }
}

struct Driver<'a> {
    simulation: &'a mut Simulation,
    ledger: &'a Ledger,
    rounds: u32,
}

impl Driver<'_> {
    fn round(&mut self) -> bool {
        self.rounds += 1;
        let more = self.rounds < ROUNDS && self.simulation.advance();
        self.ledger.reached(self.simulation.commits());
        more
    }

    /// The output, or `None` if it cannot come any more.
    fn until<F: Future>(&mut self, mut future: Pin<&mut F>) -> Option<F::Output> {
        let mut task = TaskContext::from_waker(Waker::noop());
        loop {
            let polled = self.ledger.as_client(|| future.as_mut().poll(&mut task));
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            if !self.round() {
                // A last answer may have come with the round that found nothing more to do.
                return match self.ledger.as_client(|| future.as_mut().poll(&mut task)) {
                    Poll::Ready(output) => Some(output),
                    Poll::Pending => None,
                };
            }
        }
    }

    fn still(&self) -> End {
        End::Still { endless: self.rounds >= ROUNDS, unended: Vec::new() }
    }
}

fn unended(simulation: &Simulation, records: &Records) -> Vec<Unended> {
    let describe = |run: RunId, wedged| {
        let waits = simulation.engine().describe(run).map(|info| info.waits).unwrap_or_default();
        Unended { workflow: records.workflow(run), wedged, waits }
    };
    let mut unended = Vec::new();
    for history in records.histories() {
        let (mut ended, mut wedged) = (false, None);
        for event in history.entries.iter().flat_map(|entry| &entry.transition.events) {
            match event {
                Event::Wedged { reason } => wedged = Some(reason.clone()),
                Event::Unwedged => wedged = None,
                event => ended |= event.is_terminal(),
            }
        }
        // A conversation in which nothing happens, and a document, go on for ever.
        let idle = || simulation.engine().describe(history.run).is_ok_and(|info| info.row.is_idle());
        if !ended && !idle() {
            unended.push(describe(history.run, wedged));
        }
    }
    unended
}
