//! Runs from the log into memory: at opening, and when a run that rests is woken.

use super::batch::work_of;
use super::shard::{Active, Owed, Refusal, Shard, Work};
use crate::activation::{Activation, ReplayError};
use crate::history::Entry;
use crate::listing::{self, Merged, Times};
use crate::projection::{RunRow, RunStatus, tables};
use crate::replay;
use rejoin_machine::{Command, Effect, Event, Outcome, RunId, Timestamp, Transition};
use rejoin_store::{Failure, Log, Record, StreamId, Version};

impl Shard {
    /// Takes over the runs of the log: those that something must be done for are loaded, the others wait where they are.
    pub(crate) fn recover(&mut self) -> Result<(), Failure> {
        let now = self.ports.clock.now();
        self.timers.refill(&*self.log, now, self.sizes.timers)?;
        let log = self.log.clone();
        let active = || RunStatus::ALL.into_iter().filter(|status| status.is_active());
        let groups = listing::groups(&*log, &[])?;
        let heads = groups.iter().flat_map(|group| active().map(|status| listing::with_status(group, status)));
        let mut found = Merged::new(&*log, self.sizes.listed, tables::LIST, heads.collect(), Times::default(), None)?;
        self.recover_queues()?;
        // All of them first: what goes on moves in the list.
        let mut runs = Vec::new();
        while let Some((_, listed)) = found.next()? {
            runs.push(RunId(listed.stream.0));
        }
        for run in runs {
            self.resume_or_stall(run, now);
        }
        self.work_off();
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Goes on with a run, as soon as the disk has room for it.
    pub(super) fn resume_or_stall(&mut self, run: RunId, now: Timestamp) {
        match self.resume(run, now) {
            Ok(()) => {}
            // Only one that is wedged has something to write down at once.
            Err(Refusal::Store(failure)) if failure.is_disk_full() => {
                self.stall(Work::Command(run, Command::Unwedge), &failure);
            }
            Err(refusal) => self.give_up(run, &refusal),
        }
    }

    /// Goes on with a run: what the world owes it is done.
    fn resume(&mut self, id: RunId, now: Timestamp) -> Result<(), Refusal> {
        let loaded = match self.load(id) {
            Err(Refusal::Misuse { reason, .. }) => return self.wedge(id, reason),
            loaded => loaded?,
        };
        let wedged = loaded.run.wedged().is_some();
        self.put_active(id, Active::new(loaded));
        if wedged {
            self.unwedge(id)?;
        }
        let active = self.take_active(id)?;
        self.put_active(id, active);
        let Some(active) = self.runs.get(&id) else { return Ok(()) };
        let run = &active.activation.run;
        self.timers.keep(id, run.next_due(now));
        for effect in run.outstanding() {
            match effect {
                Effect::Start => self.later.push_back(Work::Command(id, Command::Start)),
                Effect::RunStep(task) if task.is_due(now) => self.owed.push(Owed::Step(id, task)),
                // Its pause is not over; the timer brings it.
                Effect::RunStep(_) => {}
                other @ (Effect::CancelChild { .. } | Effect::Tell { .. } | Effect::Open { .. }) => {
                    self.later.extend(work_of(other, id));
                }
            }
        }
        Ok(())
    }

    /// A run with its handler, read from the log; one that has ended or is wedged, without.
    pub(super) fn load(&mut self, id: RunId) -> Result<Activation, Refusal> {
        let history = self.history(id)?;
        let state = replay::state(id, &history).map_err(|error| unusable(id, error))?;
        if state.outcome().is_some() || state.run.wedged().is_some() {
            return Ok(state);
        }
        self.with_handler(id, &history)
    }

    /// A run with its handler, read from the log, even if it is wedged.
    pub(super) fn load_with_handler(&mut self, id: RunId) -> Result<Activation, Refusal> {
        let history = self.history(id)?;
        self.with_handler(id, &history)
    }

    fn with_handler(&self, id: RunId, history: &[Entry]) -> Result<Activation, Refusal> {
        match replay::activate(id, history, &self.around) {
            Ok(activation) => Ok(activation),
            Err(ReplayError::Diverged(reason)) => Err(Refusal::Misuse { run: id, reason }),
            Err(error) => Err(unusable(id, error)),
        }
    }

    /// A run without its handler, read from the log.
    pub(super) fn load_state(&mut self, id: RunId) -> Result<Activation, Refusal> {
        let history = self.history(id)?;
        replay::state(id, &history).map_err(|error| unusable(id, error))
    }

    fn history(&mut self, id: RunId) -> Result<Vec<Entry>, Refusal> {
        let head = self.log.head(StreamId(id.0)).ok_or(Refusal::NotFound(id))?;
        if head.lsn > self.log.durable() {
            // Reads show durable records only, and this run has others.
            self.log.commit().map_err(Refusal::Store)?;
        }
        history(&*self.log, id)
    }

    /// How a run ended, if the log says so.
    pub(super) fn durable_outcome(&self, id: RunId) -> Result<Option<Outcome>, Refusal> {
        let head = self.log.head(StreamId(id.0)).ok_or(Refusal::NotFound(id))?;
        let last = self.log.read(StreamId(id.0), head.version, 1).map_err(Refusal::Store)?;
        let Some(record) = last.first() else { return Ok(None) };
        let outcome = outcome_of(&decode(id, record)?.transition);
        match outcome {
            // It may have been handed over to a person before it ended.
            Some(Outcome::Completed(output)) if output.bytes() == b"null" => {
                let history = history(&*self.log, id)?;
                let state = replay::state(id, &history).map_err(|error| unusable(id, error))?;
                Ok(state.outcome().cloned())
            }
            outcome => Ok(outcome),
        }
    }
}

fn unusable(run: RunId, error: ReplayError) -> Refusal {
    let reason = match error {
        ReplayError::Illegal(error) => error.to_string(),
        ReplayError::Diverged(reason) => reason,
    };
    Refusal::History { run, reason }
}

fn decode(run: RunId, record: &Record) -> Result<Entry, Refusal> {
    Entry::decode(record).map_err(|error| Refusal::History { run, reason: error.to_string() })
}

/// The durable history of a run's present incarnation. Where that begins is looked up in the index and checked.
pub(super) fn history(log: &dyn Log, id: RunId) -> Result<Vec<Entry>, Refusal> {
    let stream = StreamId(id.0);
    let row = match log.row(stream) {
        // Without an index all of it is read.
        Err(Failure::Index(_)) => None,
        row => row.map_err(Refusal::Store)?.and_then(|row| RunRow::decode(&row)),
    };
    let base = row.map_or(1, |row| row.base);
    let read = |from| -> Result<Vec<Entry>, Refusal> {
        let records = log.read(stream, Version(from), usize::MAX).map_err(Refusal::Store)?;
        records.iter().map(|record| decode(id, record)).collect()
    };
    let history = read(base)?;
    let begins = |entry: &Entry| {
        entry.transition.events.iter().any(|event| matches!(event, Event::Triggered(_) | Event::ContinuedAsNew(_)))
    };
    if history.first().is_some_and(begins) { Ok(history) } else { read(1) }
}

/// How a run ended, if it did with this transition.
pub(crate) fn outcome_of(transition: &Transition) -> Option<Outcome> {
    let for_good = |event: &Event| matches!(event, Event::HandoffStarted { handoff, .. } if handoff.for_good);
    let handed_off = transition.events.iter().any(for_good);
    transition.events.iter().rev().find_map(|event| match event {
        Event::Completed { .. } if handed_off => Some(Outcome::HandedOff(rejoin_machine::handed_off())),
        Event::Completed { output } => Some(Outcome::Completed(output.clone())),
        Event::Failed { failure } => Some(Outcome::Failed(failure.clone())),
        Event::TimedOut { failure } => Some(Outcome::TimedOut(failure.clone())),
        Event::Cancelled { failure } => Some(Outcome::Cancelled(failure.clone())),
        _ => None,
    })
}
