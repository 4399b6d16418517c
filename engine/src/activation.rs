//! A run in memory: its machine, and its handler as far as its history has brought it.
//!
//! One rule says when the handler is told something, live and in replay: before the next thing that it asks for is looked
//! at, every unfed answer is fed, one at a time, and the handler polled until it rests. Live, what it asks for then is
//! decided and becomes events; in replay it is held against the events that are there.

use crate::context::{Context, ForeignWake, RootWaker};
use crate::conversation::{Reader, TURN, Turn};
use crate::failure::{Failure, encode, panic_message};
use crate::history::Entry;
use crate::registry::{HandlerFuture, Registry};
use crate::replay::{self, Place};
use crate::report::Actions;
use crate::retry::{Memo, Recall};
use rejoin_machine::brief::{Brief, Given, Kind, Terms};
use rejoin_machine::conversation::{self, Change, Opening};
use rejoin_machine::{
    Answer, Command, Effect, Event, Failure as StoredFailure, FailureKind, IllegalEvent, Issue, Limits, Notice, OpNo,
    Outcome, Payload, Rejection, Run, RunId, Status, Timestamp, Transition, Trigger,
};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use tracing::Span;

/// How often a handler may wake itself before it counts as one that never rests.
const SELF_WAKES: usize = 10_000;

/// A run in memory.
pub(crate) struct Activation {
    pub(crate) run: Run,
    /// How many records the run has, sequenced ones included.
    pub(crate) records: u64,
    /// The workflow's name.
    pub(crate) workflow: Arc<str>,
    handler: Option<Handling>,
    /// Answers that the handler has not been fed.
    unfed: VecDeque<(Answer, Option<Payload>)>,
    /// Answers that came while the run was wedged.
    held: VecDeque<(Answer, Option<Payload>)>,
    /// While replaying: the patches that the present record marks.
    replaying: Option<Vec<String>>,
    /// What the run knew that this one does again, while it begins.
    memo: Memo,
    /// What it did, where it is a task and says so in the end.
    actions: Actions,
    span: Span,
}

/// A handler that is being executed.
struct Handling {
    ctx: Context,
    future: Option<HandlerFuture>,
    waker: Arc<RootWaker>,
}

/// What handlers need from around them.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) registry: Arc<Registry>,
    pub(crate) foreign: Arc<dyn ForeignWake>,
    /// Where what runs refer to is read from.
    pub(crate) log: Reader,
}

/// What a command did.
#[derive(Default)]
pub(crate) struct Advance {
    pub(crate) transition: Transition,
    /// What it makes the run do to its children.
    pub(crate) effects: Vec<Effect>,
    /// Children that it triggered.
    pub(crate) children: Vec<(RunId, Commission)>,
    /// How far it says to be.
    pub(crate) progress: Vec<Payload>,
}

/// What makes a run: its trigger, and what it is given beside the input.
#[derive(Clone, Debug)]
pub(crate) struct Commission {
    pub(crate) trigger: Trigger,
    pub(crate) brief: Brief,
    /// How it begins, if it is a conversation.
    pub(crate) opening: Option<Opening>,
    /// The run that it does again, and that one's last incarnation.
    pub(crate) retries: Option<(RunId, u32)>,
}

impl Commission {
    /// A run that has a handler.
    pub(crate) fn of_run(trigger: Trigger, brief: Brief) -> Commission {
        Commission { trigger, brief, opening: None, retries: None }
    }

    /// A conversation, with what every turn of it is given.
    pub(crate) fn of_conversation(trigger: Trigger, brief: Brief, opening: Opening) -> Commission {
        Commission {
            trigger,
            brief: Brief { kind: Kind::Conversation, ..brief },
            opening: Some(opening),
            retries: None,
        }
    }

    /// The events that a run begins with.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Triggered(Box::new(self.trigger.clone()))];
        if self.brief != Brief::default() {
            events.push(Event::Briefed(Box::new(self.brief.clone())));
        }
        events.extend(self.retries.map(|(run, incarnation)| Event::Retries { run, incarnation }));
        let opened = |opening: &Opening| Event::Conversation(Box::new(Change::Opened(opening.clone())));
        events.extend(self.opening.as_ref().map(opened));
        events
    }
}

/// What a run may be told of others, when it asks for something.
pub(crate) trait Lookup {
    /// What a call in a project speaks of and is not there, in words.
    fn missing(&self, project: &str, given: &Given) -> Option<String>;

    /// Why a message to a person cannot be written.
    fn untold(&self, project: &str, notice: &Notice) -> Option<StoredFailure>;
}

/// Why a message cannot be written beside those of the same transition, whose conversations nobody can look up yet.
fn contradicts(notice: &Notice, events: &[Event]) -> Option<StoredFailure> {
    let other = |event: &Event| {
        matches!(event, Event::PersonTold { notice: told, .. }
        if told.conversation == notice.conversation && told.opening.user != notice.opening.user)
    };
    events.iter().any(other).then(another_person)
}

/// The refusal to write to one person in the conversation of another.
pub(crate) fn another_person() -> StoredFailure {
    StoredFailure::new(FailureKind::Refused, "another-person", "the conversation with this key is with somebody else")
}

/// Why a command did nothing.
pub(crate) enum Trouble {
    /// The command means nothing in this state.
    Rejected(Rejection),
    /// The handler did what it may not do. The activation is of no further use.
    Misuse(String),
}

/// A history that cannot be replayed.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// The history itself makes no sense.
    Illegal(IllegalEvent),
    /// The handler does not fit it.
    Diverged(String),
}

impl Activation {
    /// A run that has just been triggered. Its handler is called by [`Command::Start`].
    pub(crate) fn new(run: Run) -> Activation {
        let span = tracing::info_span!("run", id = %run.id(), workflow = %run.trigger().target.name);
        Activation {
            workflow: run.trigger().target.name.as_str().into(),
            run,
            records: 0,
            handler: None,
            unfed: VecDeque::new(),
            held: VecDeque::new(),
            replaying: None,
            memo: Memo::default(),
            actions: Actions::default(),
            span,
        }
    }

    /// A run from the events that it begins with.
    pub(crate) fn begin(id: RunId, events: &[Event], now: Timestamp) -> Result<Activation, IllegalEvent> {
        let Some((first, rest)) = events.split_first() else {
            return Err(IllegalEvent { event: "nothing", state: "not triggered" });
        };
        let mut run = Run::begin(id, first, now)?;
        rest.iter().try_for_each(|event| run.apply(event, now))?;
        Ok(Activation::new(run))
    }

    /// Executes `command` at `now`: decides it, applies what follows, lets the handler answer.
    pub(crate) fn advance(
        &mut self,
        command: Command,
        now: Timestamp,
        limits: &Limits,
        around: &Surroundings,
        lookup: &dyn Lookup,
    ) -> Result<Advance, Trouble> {
        let mut advance = Advance::default();
        let was_suspended = self.run.is_suspended();
        let mut command = command;
        let call = match &mut command {
            Command::Participate(call) => {
                call.terms.callee.missing = lookup.missing(&self.run.trigger().project, &call.terms.given);
                Some((call.input.clone(), call.terms.clone()))
            }
            Command::Conversation(command) => self.answerer(command, around, lookup),
            _ => None,
        };
        for event in self.run.decide(command, now, limits).map_err(Trouble::Rejected)? {
            self.commission(&event, &call, now, &mut advance);
            self.happen(event, now, &mut advance);
        }
        let fed = !self.unfed.is_empty();
        self.settle(now, around).map_err(Trouble::Misuse)?;
        loop {
            while let Some(issue) = self.next_issue() {
                self.decide_issue(issue, now, limits, lookup, &mut advance);
                self.settle(now, around).map_err(Trouble::Misuse)?;
            }
            if !self.recollect(now, limits, &mut advance) {
                break;
            }
            self.settle(now, around).map_err(Trouble::Misuse)?;
        }
        if let Some(handler) = &self.handler {
            advance.progress = handler.ctx.inner.take_progress();
        }
        let closed = matches!(self.run.status(), Status::Closed(_));
        let went_on = |event: &Event| matches!(event, Event::Unwedged | Event::Unpaused { .. });
        let unwedged = advance.transition.events.iter().any(went_on);
        advance.transition.resumed = was_suspended && (fed || closed || unwedged);
        advance.transition.suspended = self.run.is_suspended() && (!was_suspended || advance.transition.resumed);
        advance.transition.due = self.run.next_due(now);
        self.records += 1;
        self.memo = Memo::default();
        Ok(advance)
    }

    /// What it is to know as the run did that it does again; for as long as it begins.
    pub(crate) fn remember(&mut self, memo: Memo) {
        self.memo = memo;
    }

    /// The record of a run that is announced now and started later.
    pub(crate) fn announce(&mut self, now: Timestamp) -> Advance {
        self.records += 1;
        let transition = Transition { due: self.run.next_due(now), ..Transition::default() };
        Advance { transition, ..Advance::default() }
    }

    /// Decides what the handler asks for. What is not allowed ends the run with the reason.
    fn decide_issue(
        &mut self,
        mut issue: Issue,
        now: Timestamp,
        limits: &Limits,
        lookup: &dyn Lookup,
        advance: &mut Advance,
    ) {
        let call = match &mut issue {
            Issue::Call { input, terms, .. } => {
                terms.callee.missing = lookup.missing(&self.run.trigger().project, &terms.given);
                Some((input.clone(), (**terms).clone()))
            }
            Issue::Tell { notice, .. } => {
                let project = &self.run.trigger().project;
                let told = &advance.transition.events;
                let untold = |it: &Notice| contradicts(it, told).or_else(|| lookup.untold(project, it));
                if let Some(failure) = notice.as_ref().ok().and_then(untold) {
                    *notice = Err(failure);
                }
                None
            }
            _ => None,
        };
        let known = advance.children.len();
        let (asked, retries) = match self.memo.recall(&issue) {
            Recall::Anew => (Command::Issue(issue), None),
            Recall::Answer { op, what, answer } => (Command::Recall { op, what, answer }, None),
            Recall::InTurn { op, what, input } => (Command::AwaitRecall { op, what, input }, None),
            Recall::Child(child) => (Command::Issue(issue), Some(child)),
        };
        let decided = self.run.decide(asked, now, limits).or_else(|rejection| {
            let failure = StoredFailure::new(FailureKind::Limit, rejection.code(), rejection.to_string());
            self.run.decide(Command::Issue(Issue::Return(Err(failure))), now, limits)
        });
        for event in decided.unwrap_or_default() {
            self.commission(&event, &call, now, advance);
            self.happen(event, now, advance);
        }
        if let (Some(of), Some((_, child))) = (retries, advance.children.get_mut(known)) {
            // Which incarnation that was is looked up when it begins.
            child.retries = Some((of, 0));
        }
        if matches!(self.run.status(), Status::Closed(_)) {
            self.discard_handler();
        }
    }

    /// Gives a handler that asks for nothing more the next of what the run knew that this one does again. Whether there was
    /// something.
    fn recollect(&mut self, now: Timestamp, limits: &Limits, advance: &mut Advance) -> bool {
        let due = self.memo.next(&self.run);
        let mut some = false;
        for (op, answer) in due {
            for event in self.run.decide(Command::DeliverRecall { op, answer }, now, limits).unwrap_or_default() {
                self.happen(event, now, advance);
                some = true;
            }
        }
        some
    }

    fn is_task(&self) -> bool {
        self.run.brief().thread.as_ref().is_some_and(|thread| thread.task)
    }

    /// What the handler asks for next. What a task returns goes with a report of what was done for it.
    fn next_issue(&self) -> Option<Issue> {
        let inner = &self.handler.as_ref()?.ctx.inner;
        match inner.take_issue()? {
            Issue::Return(Ok(output)) if self.is_task() && !self.run.is_handed_off() => {
                let report = inner.report(&self.run, &output, self.actions.all().to_vec());
                Some(Issue::Return(report.map_err(|failure| failure.to_stored())))
            }
            issue => Some(issue),
        }
    }

    /// What a call makes, if the event is one.
    fn commission(&self, event: &Event, call: &Option<(Payload, Terms)>, now: Timestamp, advance: &mut Advance) {
        let Some((input, terms)) = call else { return };
        let Some(child) = event.child() else { return };
        if let Some((trigger, brief)) = self.run.child_of(event, input.clone(), terms.clone(), now) {
            advance.effects.extend(Run::thread_of(child, &trigger, &brief));
            advance.children.push((child, Commission::of_run(trigger, brief)));
        }
    }

    /// Looks up what answers a message: the job of the conversation's present agent. Gives the turn's input and terms.
    fn answerer(
        &self,
        command: &mut conversation::Command,
        around: &Surroundings,
        lookup: &dyn Lookup,
    ) -> Option<(Payload, Terms)> {
        let (conversation::Command::Say(say), Some(talk)) = (command, self.run.talk()) else { return None };
        let by = say.by.as_ref().or(talk.opening.user.as_ref());
        let turn = Turn::from_message(by, talk.messages + 1, &say.content);
        let input = turn.and_then(|turn| encode("the message", &turn));
        let resolved = around.registry.resolve(&talk.agent, Some(TURN));
        let answer = input.and_then(|input| {
            let resolved = resolved?;
            (resolved.handler.check)(&input)?;
            Ok((input, resolved))
        });
        match answer {
            Ok((input, resolved)) => {
                say.target = Ok(resolved.target);
                say.terms.callee = resolved.callee;
                say.terms.callee.missing = lookup.missing(&self.run.trigger().project, &say.terms.given);
                (say.terms.given.job, say.terms.given.by_default) = (Some(TURN.to_owned()), resolved.by_default);
                Some((input, say.terms.clone()))
            }
            Err(failure) => {
                say.target = Err(failure.to_stored());
                None
            }
        }
    }

    /// Applies a decided event.
    fn happen(&mut self, event: Event, now: Timestamp, advance: &mut Advance) {
        advance.effects.extend(self.run.consequences(&event));
        let applied = self.absorb(&event, now);
        debug_assert!(applied.is_ok(), "a decided event applies: {applied:?}");
        advance.transition.events.push(event);
    }

    /// Applies an event, live or from the history, and queues what the handler is to be told of it.
    fn absorb(&mut self, event: &Event, time: Timestamp) -> Result<(), IllegalEvent> {
        let signal = match event {
            Event::SignalDelivered { id, .. } => self.run.signal(*id).cloned(),
            _ => None,
        };
        // Between a request to cancel and its delivery the handler is told nothing; the delivery cancels everything.
        let silent = self.run.holds_answers() && !matches!(event, Event::CancelDelivered { .. });
        self.run.apply(event, time)?;
        if self.is_task() {
            self.actions.note(event);
        }
        if let Some(answer) = event.answer().filter(|_| !silent) {
            if answer == Answer::Cancel {
                // What the handler has not been told by now it is not told any more: it would go on with it.
                self.held.clear();
                self.unfed.clear();
            }
            if self.run.is_held() {
                self.held.push_back((answer, signal));
            } else {
                self.unfed.push_back((answer, signal));
            }
        }
        match event {
            // Until it is told of its cancellation it is told nothing else, and then everything pending is cancelled.
            Event::CancelRequested { .. } if self.run.holds_answers() => {
                self.held.clear();
                self.unfed.clear();
            }
            Event::Unwedged | Event::Unpaused { .. } if !self.run.is_held() && !self.run.holds_answers() => {
                self.unfed.append(&mut self.held);
            }
            Event::ContinuedAsNew(_) => self.discard_handler(),
            Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } => self.forget_body(*op),
            _ => {}
        }
        Ok(())
    }

    fn forget_body(&self, op: OpNo) {
        if let Some(handler) = &self.handler {
            // The step is the user's, and so is what its destructor does.
            let _ = catch_unwind(AssertUnwindSafe(|| handler.ctx.inner.forget_body(op)));
        }
    }

    /// Feeds the handler one answer after the other. What it has asked for and nobody has looked at yet, it may still take
    /// back: a wait that it drops then never took a signal.
    fn settle(&mut self, now: Timestamp, around: &Surroundings) -> Result<(), String> {
        while let Some((answer, signal)) = self.unfed.pop_front() {
            if answer == Answer::Start {
                self.call_handler(around)?;
            }
            let Some(handler) = &mut self.handler else { continue };
            let cancel = match self.run.status() {
                Status::Cancelling(cancel) => Some(Failure::from_stored(cancel.failure())),
                Status::Created | Status::Running | Status::Closed(_) => None,
            };
            handler.ctx.inner.set_now(now, self.run.history());
            let _entered = self.span.enter();
            handler.feed(&answer, signal, cancel)?;
        }
        Ok(())
    }

    /// Calls the handler, unless there is none of this version: the run then waits for one.
    fn call_handler(&mut self, around: &Surroundings) -> Result<(), String> {
        let ctx = Context::new(&self.run, around);
        ctx.inner.set_replaying(self.replaying.as_deref());
        let trigger = self.run.trigger();
        let handler = around.registry.get(&trigger.target, self.run.brief());
        let handler = handler.ok_or_else(|| replay::unregistered(&self.run, &around.registry))?;
        let call = AssertUnwindSafe(|| (handler.call)(ctx.clone(), &trigger.input));
        let called = catch_unwind(call).unwrap_or_else(|panic| Err(Failure::panic(panic_message(&*panic))));
        let waker = RootWaker::new(self.run.id(), around.foreign.clone());
        let future = match called {
            Ok(future) => Some(future),
            Err(failure) => {
                ctx.inner.push_issue(Issue::Return(Err(failure.to_stored())));
                None
            }
        };
        self.handler = Some(Handling { ctx, future, waker });
        Ok(())
    }

    /// Replays an event: holds it against what the handler asks for, if it is of that kind, and applies it.
    pub(crate) fn replay(
        &mut self,
        event: &Event,
        place: &Place<'_>,
        around: &Surroundings,
    ) -> Result<(), ReplayError> {
        if place.index == 0 || self.replaying.is_none() {
            self.begin_record(place.entry);
        }
        if let Some(expected) = replay::asked(event) {
            self.settle(place.entry.time, around).map_err(ReplayError::Diverged)?;
            match self.next_issue() {
                Some(issue) if replay::fits(&issue, event) => {}
                Some(issue) => return Err(place.diverged(&expected, &replay::asks(&issue))),
                None => return Err(place.diverged(&expected, "nothing")),
            }
        }
        self.absorb(event, place.entry.time).map_err(ReplayError::Illegal)
    }

    fn begin_record(&mut self, entry: &Entry) {
        let patch = |event: &Event| match event {
            Event::PatchMarked { id } => Some(id.clone()),
            _ => None,
        };
        let patches: Vec<String> = entry.transition.events.iter().filter_map(patch).collect();
        if let Some(handler) = &self.handler {
            handler.ctx.inner.set_replaying(Some(&patches));
        }
        self.replaying = Some(patches);
    }

    /// The end of a replayed record: the handler must have nothing more to ask.
    pub(crate) fn end_record(&mut self, entry: &Entry, around: &Surroundings) -> Result<(), ReplayError> {
        self.settle(entry.time, around).map_err(ReplayError::Diverged)?;
        if matches!(self.run.status(), Status::Closed(_)) {
            self.discard_handler();
        }
        match self.next_issue() {
            None => Ok(()),
            Some(issue) => {
                let place = Place { entry, index: entry.transition.events.len() };
                Err(place.diverged("nothing more", &replay::asks(&issue)))
            }
        }
    }

    /// What comes next is new.
    pub(crate) fn go_live(&mut self) {
        self.replaying = None;
        if let Some(handler) = &self.handler {
            handler.ctx.inner.set_replaying(None);
        }
    }

    /// Drops the handler; its pending operations are not dropped by that.
    fn discard_handler(&mut self) {
        if let Some(Handling { ctx, future, waker }) = self.handler.take() {
            // Destructors of the handler's own values may panic, or wake it: neither is anybody else's business.
            let discard = || {
                ctx.inner.discard();
                drop(future);
            };
            let _ = waker.busy(|| catch_unwind(AssertUnwindSafe(discard)));
        }
        self.unfed.clear();
    }

    /// What a step of this run is to execute, if its handler is at hand.
    pub(crate) fn body(&self, op: OpNo) -> Option<crate::context::Body> {
        self.handler.as_ref()?.ctx.inner.body(op)
    }

    /// The run alone.
    pub(crate) fn take_run(self) -> Run {
        self.run.clone()
    }

    /// How the run ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self.run.status() {
            Status::Closed(outcome) => Some(outcome),
            Status::Created | Status::Running | Status::Cancelling(_) => None,
        }
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        self.discard_handler();
    }
}

impl Handling {
    /// Hands the handler an answer and polls it until it rests; what it returns enters the outbox.
    fn feed(&mut self, answer: &Answer, signal: Option<Payload>, cancel: Option<Failure>) -> Result<(), String> {
        let Some(future) = &mut self.future else { return Ok(()) };
        let (inner, root) = (&self.ctx.inner, &self.waker);
        root.busy(|| inner.answer(answer, signal, cancel.as_ref()));
        let waker = Waker::from(root.clone());
        let mut task = TaskContext::from_waker(&waker);
        for _ in 0..SELF_WAKES {
            // Waking is how a context tells futures which of them to poll; the handler itself is polled anyway.
            root.woken();
            inner.begin_poll();
            let polled = root.busy(|| catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut task))));
            let result = match polled {
                Ok(Poll::Pending) if root.woken() => continue,
                Ok(Poll::Pending) => return inner.end_poll().map_or(Ok(()), Err),
                Ok(Poll::Ready(result)) => result,
                Err(panic) => Err(Failure::panic(panic_message(&*panic))),
            };
            if let Some(misuse) = inner.take_misuse() {
                return Err(misuse);
            }
            inner.discard_slots();
            self.future = None;
            inner.push_issue(match result {
                Ok(output) => Issue::Return(Ok(output)),
                Err(failure) => match failure.0.anew.clone() {
                    Some(input) => Issue::ContinueAsNew { input, seed: inner.next_seed() },
                    None if failure.0.handed_off => Issue::Return(Ok(Payload::from(&b"null"[..]))),
                    None => Issue::Return(Err(failure.to_stored())),
                },
            });
            return Ok(());
        }
        Err(format!("the handler woke itself {SELF_WAKES} times without resting"))
    }
}
