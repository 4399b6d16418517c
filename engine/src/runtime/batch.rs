//! From one piece of work to one batch.
//!
//! One command to one run leads to others: a child's end resolves its parent's call, a cancelled parent cancels its
//! children. All that follows at once is decided in one worklist, in fixed order, and appended as one batch.

use super::shard::{Active, Owed, Refusal, Shard, Work};
use super::turns::{instead, join, starts};
use super::watch::Holder;
use crate::activation::{Activation, Advance, Commission, Trouble};
use crate::codec;
use crate::projection::tables;
use rejoin_machine::brief::{Brief, Kind};
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Command, Effect, Event, IllegalEvent, Rejection, RunId, Timestamp, conversation};
use rejoin_store::index::prefix;
use rejoin_store::{NewRecord, StreamId, Version};
use std::collections::{BTreeSet, VecDeque};

#[derive(Default)]
pub(super) struct Batch {
    records: Vec<NewRecord>,
    /// Each record's run, and what it did.
    done: Vec<Done>,
    queue: VecDeque<Work>,
    later: Vec<Work>,
    /// A handler misbehaved on the first try: new runs are now recorded before their handlers are called.
    careful: bool,
}

impl Batch {
    /// Makes it ready for the next: what it has grown to stays.
    fn clear(&mut self) {
        self.records.clear();
        self.done.clear();
        self.queue.clear();
        self.later.clear();
    }
}

struct Done {
    run: RunId,
    /// When it happened, for the run: not before what happened to it last, also if the clock was put back.
    time: Timestamp,
    events: Vec<Event>,
    due: Option<Timestamp>,
}

impl Shard {
    /// Does one piece of work and all that follows from it at once, as one batch.
    ///
    /// Where a handler does not fit its history, or does what it may not, nothing of the batch happens; its run is wedged
    /// and the work is done again, with that handler out of the way.
    pub(super) fn transact(&mut self, work: Work) -> Result<(), Refusal> {
        let mut careful = false;
        loop {
            match self.try_transact(&work, careful) {
                // One that is not in the log yet cannot be wedged: it is recorded first, and its handler called later.
                Err(Refusal::Misuse { run, .. }) if !careful && self.is_new(run) => {}
                Err(Refusal::Misuse { run, reason }) => self.wedge(run, reason)?,
                result => return result,
            }
            careful = true;
        }
    }

    /// Goes on with a wedged run, if its handler fits its history again.
    pub(super) fn unwedge(&mut self, id: RunId) -> Result<(), Refusal> {
        let work = Work::Command(id, Command::Unwedge);
        let mut careful = false;
        loop {
            match self.try_transact(&work, careful) {
                Err(Refusal::Misuse { run, reason }) if run == id => {
                    tracing::warn!(%run, %reason, "the run stays wedged");
                    return Ok(());
                }
                Err(Refusal::Misuse { run, .. }) if !careful && self.is_new(run) => {}
                Err(Refusal::Misuse { run, reason }) => self.wedge(run, reason)?,
                Ok(()) => {
                    tracing::info!(run = %id, "the handler fits the history again");
                    return Ok(());
                }
                Err(refusal) => return Err(refusal),
            }
            careful = true;
        }
    }

    fn try_transact(&mut self, work: &Work, careful: bool) -> Result<(), Refusal> {
        let mut batch = std::mem::take(&mut self.scratch);
        batch.careful = careful;
        let result = self.fill_and_append(work, &mut batch);
        batch.clear();
        self.scratch = batch;
        result
    }

    fn fill_and_append(&mut self, work: &Work, batch: &mut Batch) -> Result<(), Refusal> {
        if let Err(refusal) = self.decide(work, batch) {
            self.forget(batch);
            return Err(refusal);
        }
        while let Some(work) = batch.queue.pop_front() {
            match self.decide(&work, batch) {
                // A child that has ended already, a parent that does not wait any more.
                Ok(()) => {}
                Err(Refusal::Rejected(_) | Refusal::NotFound(_)) => batch.queue.extend(instead(work)),
                Err(refusal @ (Refusal::Misuse { .. } | Refusal::History { .. } | Refusal::Store(_))) => {
                    self.forget(batch);
                    return Err(refusal);
                }
            }
        }
        self.append(batch)
    }

    fn append(&mut self, batch: &mut Batch) -> Result<(), Refusal> {
        if !batch.records.is_empty() {
            match self.log.append(&batch.records) {
                Ok(Ok(_)) => {}
                Ok(Err(conflict)) => {
                    self.forget(batch);
                    tracing::error!(%conflict, "somebody else appended to a run of this shard");
                    return Err(Refusal::Rejected(Rejection::Stale));
                }
                Err(failure) => {
                    self.forget(batch);
                    return Err(Refusal::Store(failure));
                }
            }
        }
        self.later.extend(batch.later.drain(..));
        for done in batch.done.drain(..) {
            self.sequenced(done);
        }
        Ok(())
    }

    /// What was decided did not come into the log: memory is read again from it when it is needed.
    fn forget(&mut self, batch: &Batch) {
        for done in &batch.done {
            // Taken, so that it leaves the list of parked runs too; a failure to load it again is of no interest here.
            if self.runs.contains_key(&done.run) {
                drop(self.take_active(done.run));
            }
        }
    }

    fn decide(&mut self, work: &Work, batch: &mut Batch) -> Result<(), Refusal> {
        match work {
            // It is there already.
            Work::Open(id, _) if self.knows(*id) => Ok(()),
            Work::Trigger(id, commission) | Work::Open(id, commission) => self.decide_trigger(*id, commission, batch),
            Work::Command(id, command) => self.decide_command(*id, command, batch),
            Work::Of(incarnation, id, command) => {
                if !self.runs.contains_key(id) {
                    let active = self.take_active(*id)?;
                    if active.activation.outcome().is_some() {
                        // It ended meanwhile, and is of no further use in memory.
                        return Err(Refusal::Rejected(Rejection::Stale));
                    }
                    self.put_active(*id, active);
                }
                let present = self.runs.get(id).map(|active| active.activation.run.incarnation());
                if present == Some(*incarnation) {
                    self.decide_command(*id, command, batch)
                } else {
                    Err(Refusal::Rejected(Rejection::Stale))
                }
            }
        }
    }

    /// A new run: its trigger and its handler's first answer share a record.
    fn decide_trigger(&mut self, id: RunId, commission: &Commission, batch: &mut Batch) -> Result<(), Refusal> {
        let now = self.ports.clock.now();
        let prepared = self.prepare(commission);
        let commission = prepared.as_ref().unwrap_or(commission);
        let events = commission.events();
        let begin = || Activation::begin(id, &events, now).map_err(|error| illegal(id, &error));
        let mut activation = begin()?;
        self.remember(&mut activation);
        let mut advance = if activation.run.waits_to_begin() || activation.run.talk().is_some() {
            // Whoever keeps the queue, or the conversation, begins it.
            activation.announce(now)
        } else if batch.records.len() < self.sizes.batch && !batch.careful {
            match self.advance(&mut activation, Command::Start, now) {
                Ok(advance) => advance,
                Err(Trouble::Rejected(rejection)) => return Err(Refusal::Rejected(rejection)),
                // Nothing else has happened to it: it begins again, wedged.
                Err(Trouble::Misuse(reason)) => {
                    activation = begin()?;
                    self.advance(&mut activation, Command::Wedge { reason }, now).map_err(|trouble| trouble.of(id))?
                }
            }
        } else {
            batch.later.push(Work::Command(id, Command::Start));
            activation.announce(now)
        };
        advance.transition.events.splice(0..0, events);
        let joins = join(&activation.run);
        self.put_active(id, Active::new(activation));
        self.record(id, now, advance, batch)?;
        if commission.brief.kind == Kind::Document {
            // It is read from the log, and needs no place in memory.
            drop(self.take_active(id)?);
        }
        batch.queue.extend(joins);
        Ok(())
    }

    fn decide_command(&mut self, id: RunId, command: &Command, batch: &mut Batch) -> Result<(), Refusal> {
        if let (Command::Admit { messages, start: true }, true) = (command, batch.careful) {
            let admitted = Command::Admit { messages: *messages, start: false };
            self.decide_command(id, &admitted, batch)?;
            if self.runs.get(&id).is_some_and(|active| !active.activation.run.waits_to_begin()) {
                batch.later.push(Work::Command(id, Command::Start));
            }
            return Ok(());
        }
        let cold = !self.runs.contains_key(&id);
        if !cold && matches!(command, Command::Unwedge) {
            drop(self.take_active(id)?);
        }
        let mut active = match command {
            // The handler is needed, and a wedged run in memory has none.
            Command::Unwedge => Active::new(self.load_with_handler(id)?),
            _ => self.take_active(id)?,
        };
        let now = self.ports.clock.now().max(active.activation.run.time());
        if starts(command, &active.activation.run) {
            self.remember(&mut active.activation);
        }
        match self.advance(&mut active.activation, command.clone(), now) {
            Ok(advance) => {
                let mut forgotten = self.forgotten_children(&active, command)?;
                let asks = |event: &Event| matches!(event, Event::CancelRequested { .. });
                if is_tree_cancel(command) && !advance.transition.events.iter().any(asks) {
                    // It was being cancelled alone, and ends now: its children have not been told of the tree.
                    forgotten.extend(active.activation.run.children());
                }
                self.put_active(id, active);
                self.record(id, now, advance, batch)?;
                batch.queue.extend(forgotten.into_iter().map(|child| Work::Command(child, command.clone())));
                Ok(())
            }
            Err(Trouble::Misuse(reason)) => Err(Refusal::Misuse { run: id, reason }),
            Err(Trouble::Rejected(rejection)) => {
                let result = if is_tree_cancel(command) {
                    // It has ended, or is being cancelled already; but children that it did not wait for may be alive.
                    let mut children = self.forgotten_children(&active, command)?;
                    children.extend(active.activation.run.children());
                    batch.queue.extend(children.into_iter().map(|child| Work::Command(child, command.clone())));
                    Ok(())
                } else {
                    Err(Refusal::Rejected(rejection))
                };
                // A run that has ended and was only looked up for this is of no further use in memory.
                if !cold || active.activation.outcome().is_none() {
                    self.put_active(id, active);
                }
                result
            }
        }
    }

    /// For a cancel of the whole tree: children that the run has forgotten, since they have ended. What they started and did
    /// not wait for may be alive. A list of the index, which shows durable runs; those that are not are in memory.
    fn forgotten_children(&self, active: &Active, command: &Command) -> Result<Vec<RunId>, Refusal> {
        if !is_tree_cancel(command) {
            return Ok(Vec::new());
        }
        let run = &active.activation.run;
        let parent = run.id().0;
        let mut end = Vec::new();
        let listed = self.log.scan(tables::CHILDREN, prefix(&parent, &mut end), usize::MAX).map_err(Refusal::Store)?;
        let known: BTreeSet<RunId> = run.children().collect();
        Ok(listed.into_iter().map(|(_, stream)| RunId(stream.0)).filter(|child| !known.contains(child)).collect())
    }

    fn advance(&self, activation: &mut Activation, command: Command, now: Timestamp) -> Result<Advance, Trouble> {
        let (run, workflow) = (activation.run.id(), activation.workflow.clone());
        self.busy.set(Some(Holder { run, workflow, since: now }));
        let result = activation.advance(command, now, &self.settings.limits, &self.around, self);
        self.busy.set(None);
        result
    }

    /// Puts a transition into the batch, and what follows from it into the queue.
    fn record(&mut self, id: RunId, now: Timestamp, advance: Advance, batch: &mut Batch) -> Result<(), Refusal> {
        let Advance { transition, effects, children, progress } = advance;
        for value in progress {
            self.progress.push(id, value, now);
        }
        let payload = match codec::encode(&transition) {
            Ok(payload) => payload,
            Err(error) => {
                // Memory is ahead of what the log can take: it is read again, and the run says why it stands still.
                drop(self.take_active(id)?);
                return Err(Refusal::Misuse { run: id, reason: format!("a transition cannot be recorded: {error}") });
            }
        };
        let Some(active) = self.runs.get(&id) else { return Err(Refusal::NotFound(id)) };
        let run = &active.activation.run;
        let expected = Version(active.activation.records - 1);
        let stream = StreamId(id.0);
        batch.records.push(NewRecord { stream, expected, time: now.0, format: codec::TRANSITION, payload });
        let (opens, effects): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Open { .. }));
        // First of all: nobody else may write to a conversation that is about to be there, and is not known yet.
        for work in opens.into_iter().rev().filter_map(|effect| work_of(effect, id)) {
            batch.queue.push_front(work);
        }
        for (child, commission) in children {
            batch.queue.push_back(Work::Trigger(child, Box::new(commission)));
        }
        for effect in effects {
            let work = work_of(effect, id);
            // A run that waits for its children's ends tells them again when it is read from the log; others do not.
            let again = run.holds_answers();
            if batch.records.len() >= self.sizes.batch && again {
                batch.later.extend(work)
            } else {
                batch.queue.extend(work)
            }
        }
        if let (Some(outcome), Some(parent)) = (active.activation.outcome(), run.trigger().parent)
            && parent.awaited
        {
            let command = Command::ResolveCall { child: id, outcome: outcome.clone() };
            batch.queue.push_back(Work::Command(parent.run, command));
        }
        if let Some(thread) = run.thread().filter(|thread| thread.role.is_turn() && transition.suspended) {
            let release = conversation::Command::Release { run: id };
            batch.queue.push_back(Work::Command(thread.conversation, Command::Conversation(Box::new(release))));
        }
        if transition.events.iter().any(|event| matches!(event, Event::ContinuedAsNew(_))) {
            batch.later.push(Work::Command(id, Command::Start));
        }
        self.warn_of_length(id, transition.events.len());
        batch.done.push(Done { run: id, time: now, events: transition.events, due: transition.due });
        Ok(())
    }

    /// Says once that a history comes near its limit.
    fn warn_of_length(&self, run: RunId, added: usize) {
        let Some(active) = self.runs.get(&run) else { return };
        let (length, limit) = (active.activation.run.history(), self.settings.limits.history);
        let near = limit - limit / 5;
        if length >= near && (length as usize) < near as usize + added {
            tracing::warn!(%run, events = length, limit, "the history comes near its limit; continue as new before that");
        }
    }

    /// A transition has its place in the log: what it owes the world is noted for when it is durable.
    fn sequenced(&mut self, done: Done) {
        let Done { run, time, events, due } = done;
        self.timers.set(run, due, time);
        self.touched.push(run);
        let Some(active) = self.runs.get(&run) else { return };
        let machine = &active.activation.run;
        if let Some(queue) = &machine.brief().queue {
            let name = (machine.trigger().project.clone(), queue.clone());
            self.queues.note(name, run, &events);
        }
        let mut goes_on = false;
        for event in &events {
            match event {
                Event::StepScheduled { op, .. } => {
                    let task = machine.outstanding_step(*op);
                    self.owed.extend(task.map(|task| Owed::Step(run, task)));
                }
                Event::StepAttemptFailed { op, .. }
                | Event::StepCompleted { op, .. }
                | Event::StepFailed { op, .. }
                | Event::OperationDropped { op } => {
                    self.steps.stop(run, *op);
                    self.workers.stop(run, *op);
                }
                Event::AttemptReturned { op, .. } => {
                    self.workers.stop(run, *op);
                    let task = machine.outstanding_step(*op);
                    self.owed.extend(task.map(|task| Owed::Step(run, task)));
                }
                Event::CancelRequested { .. } | Event::Paused { .. } => self.steps.begin_no_more(run),
                Event::Unpaused { .. } => goes_on = true,
                Event::CancelDelivered { .. } | Event::ContinuedAsNew(_) => {
                    self.steps.stop_all(run);
                    self.workers.stop_all(run);
                }
                event if event.is_terminal() => {
                    self.timers.keep(run, None);
                    self.steps.stop_all(run);
                    self.workers.stop_all(run);
                    self.owed.push(Owed::Closed(run));
                }
                _ => {}
            }
        }
        if goes_on {
            self.owe_steps(run, time);
        }
    }

    /// Parks a run whose handler is of no use: what is known of it is what the log says.
    pub(super) fn wedge(&mut self, run: RunId, reason: String) -> Result<(), Refusal> {
        if self.runs.contains_key(&run) {
            drop(self.take_active(run)?);
        }
        tracing::error!(%run, %reason, "the run is wedged: nothing is lost, and it goes on when its code is mended");
        let active = Active::new(self.load_state(run)?);
        self.put_active(run, active);
        self.steps.stop_all(run);
        self.workers.stop_all(run);
        let mut batch = Batch::default();
        match self.decide_command(run, &Command::Wedge { reason }, &mut batch) {
            Ok(()) => self.append(&mut batch),
            // It was wedged or has ended before.
            Err(Refusal::Rejected(_)) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}

impl Trouble {
    fn of(self, run: RunId) -> Refusal {
        match self {
            Trouble::Rejected(rejection) => Refusal::Rejected(rejection),
            Trouble::Misuse(reason) => Refusal::Misuse { run, reason },
        }
    }
}

fn is_tree_cancel(command: &Command) -> bool {
    matches!(command, Command::Cancel { cause: Cause::Tree, .. })
}

/// What is asked of a child, or of another run or conversation.
pub(super) fn work_of(effect: Effect, by: RunId) -> Option<Work> {
    match effect {
        Effect::CancelChild { child, cause, reason, grace } => {
            Some(Work::Command(child, Command::Cancel { cause, by: by.to_string(), reason, grace }))
        }
        Effect::Tell { to, command } => Some(Work::Command(to, *command)),
        Effect::Open { conversation, trigger, opening } => {
            let commission = Commission::of_conversation(*trigger, Brief::default(), opening);
            Some(Work::Open(conversation, Box::new(commission)))
        }
        Effect::Start | Effect::RunStep(_) => None,
    }
}

fn illegal(run: RunId, error: &IllegalEvent) -> Refusal {
    Refusal::History { run, reason: error.to_string() }
}
