//! Between callers and the engine: requests and answers, which may be late, doubled, out of order or lost.

use super::faults::{Fault, Faults};
use crate::context::Attempt;
use crate::error::{RunError, TriggerError, WorkerError};
use crate::runtime::{Assignment, FromWorker, Input, Shard, StepDone};
use crate::testkit::trace::{Refused, Seen, Told, Trace};
use crate::testkit::world::Chance;
use futures_channel::oneshot;
use rejoin_machine::cancel::Cause;
use rejoin_machine::conversation::Command as Talk;
use rejoin_machine::{CallKey, Command, Span, Timestamp};

/// What is on its way to the engine.
enum Parcel {
    Input(Input),
    /// An answer of a step that came before.
    Again(StepDone),
}

/// What is seen of a reply.
type Describe<T, E> = Box<dyn Fn(&Result<T, E>) -> Told>;

/// A reply on its way back to a caller.
struct Relay<T, E> {
    from: oneshot::Receiver<Result<T, E>>,
    to: Option<oneshot::Sender<Result<T, E>>>,
    told: Describe<T, E>,
}

trait Passing {
    /// Passes the reply on, once it is there; `false` when there is nothing more to be done.
    fn pass(&mut self, trace: &Trace, faults: &mut Faults) -> bool;
}

impl<T, E> Passing for Relay<T, E> {
    fn pass(&mut self, trace: &Trace, faults: &mut Faults) -> bool {
        match self.from.try_recv() {
            Ok(Some(answer)) => {
                trace.see(Seen::Told((self.told)(&answer)));
                // A reply that is lost leaves its caller waiting for as long as the process lives.
                let lost = faults.strikes(Fault::LostReply);
                if let Some(to) = self.to.take_if(|_| !lost) {
                    // Whoever asked may be gone.
                    let _ = to.send(answer);
                }
                lost
            }
            Ok(None) => true,
            Err(_) => self.to.is_some(),
        }
    }
}

/// Everything that is on its way, either way.
#[derive(Default)]
pub(super) struct Pool {
    parcels: Vec<(Timestamp, Parcel)>,
    replies: Vec<Box<dyn Passing>>,
}

impl Pool {
    /// Takes what was put into the inbox.
    pub(super) fn post(&mut self, inputs: Vec<Input>, now: Timestamp, faults: &mut Faults, chance: &mut Chance) {
        for input in inputs {
            let kind = if matches!(input, Input::StepDone(_)) { Fault::LateAnswer } else { Fault::LateRequest };
            // A pause that came after its end, or twice, would last for ever.
            if matches!(input, Input::Command { command: Command::Pause { .. }, .. }) {
                let input = self.watch(input);
                self.parcels.push((now, Parcel::Input(input)));
                continue;
            }
            let at = if faults.strikes(kind) { now.after(delay(chance)) } else { now };
            if let Some(again) = copy(&input, faults) {
                self.parcels.push((now.after(delay(chance)), again));
            }
            let input = self.watch(input);
            self.parcels.push((at, Parcel::Input(input)));
        }
    }

    /// The request, with a reply that is seen.
    fn watch(&mut self, input: Input) -> Input {
        match input {
            Input::Trigger { id: run, commission, reply } => {
                let input = commission.trigger.input.digest();
                let told = move |answer: &Result<(), TriggerError>| Told::Triggered {
                    run,
                    input,
                    answer: answer.clone().map_err(|error| refused_trigger(&error)),
                };
                Input::Trigger { id: run, commission, reply: self.relay(reply, told) }
            }
            Input::Command { run, command, reply } => {
                let signal = if let Command::Signal { id, .. } = &command { Some(*id) } else { None };
                let tree = matches!(&command, Command::Cancel { cause: Cause::Tree, .. });
                let by_person = by_person(&command);
                let told = move |answer: &Result<(), RunError>| {
                    let answer = answer.clone().map_err(|error| refused(&error));
                    if let Some(event) = by_person {
                        return Told::Asked { run, event, answer };
                    }
                    match signal {
                        Some(id) => Told::Signalled { run, id, answer },
                        None => Told::Cancelled { run, tree, answer },
                    }
                };
                Input::Command { run, command, reply: self.relay(reply, told) }
            }
            Input::Participate { run, call, reply } => {
                let child = run.child(&CallKey::of_participant(&call.key));
                let told = move |answer: &Result<(), RunError>| Told::Participated {
                    run,
                    child,
                    answer: answer.clone().map_err(|error| refused(&error)),
                };
                Input::Participate { run, call, reply: self.relay(reply, told) }
            }
            Input::Delete { run, reply } => {
                let told = move |answer: &Result<(), RunError>| Told::Deleted {
                    run,
                    answer: answer.clone().map_err(|error| refused(&error)),
                };
                Input::Delete { run, reply: self.relay(reply, told) }
            }
            Input::Await { run, reply } => {
                let told = move |answer: &Result<_, RunError>| Told::Ended {
                    run,
                    answer: answer.as_ref().map(|outcome| format!("{outcome:?}")).map_err(refused),
                };
                Input::Await { run, reply: self.relay(reply, told) }
            }
            Input::Worker(FromWorker::Next { agent, worker, reply }) => {
                Input::Worker(FromWorker::Next { agent, worker, reply: self.relay(reply, assigned) })
            }
            other @ (Input::StepDone(_)
            | Input::Woken { .. }
            | Input::Worker(_)
            | Input::Say { .. }
            | Input::Progress { .. }
            | Input::Stop { .. }) => other,
        }
    }

    fn relay<T: 'static, E: 'static>(
        &mut self,
        to: oneshot::Sender<Result<T, E>>,
        told: impl Fn(&Result<T, E>) -> Told + 'static,
    ) -> oneshot::Sender<Result<T, E>> {
        let (reply, from) = oneshot::channel();
        self.replies.push(Box::new(Relay { from, to: Some(to), told: Box::new(told) }));
        reply
    }

    /// Whether something has arrived.
    pub(super) fn has_arrived(&self, now: Timestamp) -> bool {
        self.parcels.iter().any(|(at, _)| *at <= now)
    }

    /// When the next thing arrives.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.parcels.iter().map(|(at, _)| *at).min()
    }

    /// Hands the engine some of what has arrived, in any order.
    pub(super) fn deliver(&mut self, now: Timestamp, shard: &mut Shard, trace: &Trace, chance: &mut Chance) {
        let (mut arrived, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parcels).into_iter().partition(|(at, _)| *at <= now && chance.often(700));
        self.parcels = rest;
        while !arrived.is_empty() {
            let next = chance.below(arrived.len() as u64) as usize;
            match arrived.swap_remove(next).1 {
                Parcel::Input(input) => {
                    if let Input::StepDone(done) = &input {
                        trace.see(Seen::Returned { attempt: attempt_of(done) });
                    }
                    shard.accept(vec![input]);
                }
                Parcel::Again(done) => shard.answer_again(done),
            }
        }
    }

    /// Sees what the engine has answered, and passes it on.
    pub(super) fn reply(&mut self, trace: &Trace, faults: &mut Faults) {
        self.replies.retain_mut(|reply| reply.pass(trace, faults));
    }

    /// The process has ended: requests and replies are gone with it, but those who execute steps may still answer the next one.
    pub(super) fn process_ended(&mut self, chance: &mut Chance) {
        self.replies.clear();
        self.parcels.retain(|(_, parcel)| matches!(parcel, Parcel::Again(_)) && chance.often(500));
    }
}

/// From nothing worth mentioning to two hours.
pub(super) fn delay(chance: &mut Chance) -> Span {
    let most = *chance.pick(&[1_000, 1_000_000, 60_000_000, 7_200_000_000]);
    Span(chance.below(most))
}

/// What a worker was given.
fn assigned(answer: &Result<Assignment, WorkerError>) -> Told {
    match answer {
        Ok(Assignment { held, .. }) => {
            let (run, op, attempt, worker) = (held.run, held.op, held.attempt, held.worker.clone());
            Told::Assigned { run, op, attempt, worker }
        }
        Err(_) => Told::Nothing,
    }
}

/// The event that a person's request makes.
fn by_person(command: &Command) -> Option<&'static str> {
    match command {
        Command::Decide { .. } => Some("ApprovalDecided"),
        Command::Pause { .. } => Some("Paused"),
        Command::Unpause { .. } => Some("Unpaused"),
        Command::Conversation(command) => match &**command {
            Talk::Say(_) | Talk::Reply { .. } => Some("MessageAdded"),
            Talk::Claim { .. } => Some("ReviewClaimed"),
            Talk::EndReview { .. } => Some("ReviewEnded"),
            Talk::Close => Some("Completed"),
            // Only runs ask for the rest.
            _ => None,
        },
        _ => None,
    }
}

/// What arrives once more, if a fault wants it to.
fn copy(input: &Input, faults: &mut Faults) -> Option<Parcel> {
    match input {
        Input::StepDone(done) if done.result.is_some() => {
            faults.strikes(Fault::AnswerTwice).then(|| Parcel::Again(done.clone()))
        }
        Input::Trigger { id, commission, .. } => faults.strikes(Fault::RequestTwice).then(|| {
            let (reply, _) = oneshot::channel();
            Parcel::Input(Input::Trigger { id: *id, commission: commission.clone(), reply })
        }),
        Input::Delete { run, .. } => faults.strikes(Fault::RequestTwice).then(|| {
            let (reply, _) = oneshot::channel();
            Parcel::Input(Input::Delete { run: *run, reply })
        }),
        Input::Participate { run, call, .. } => faults.strikes(Fault::RequestTwice).then(|| {
            let (reply, _) = oneshot::channel();
            Parcel::Input(Input::Participate { run: *run, call: call.clone(), reply })
        }),
        Input::Worker(FromWorker::Done { held, result, .. }) => faults.strikes(Fault::AnswerTwice).then(|| {
            let (reply, _) = oneshot::channel();
            let said = FromWorker::Done { held: held.clone(), result: result.clone(), reply };
            Parcel::Input(Input::Worker(said))
        }),
        Input::Command { run, command, .. } => faults.strikes(Fault::RequestTwice).then(|| {
            let (reply, _) = oneshot::channel();
            Parcel::Input(Input::Command { run: *run, command: command.clone(), reply })
        }),
        _ => None,
    }
}

fn attempt_of(done: &StepDone) -> Attempt {
    Attempt { run: done.run, incarnation: done.incarnation, op: done.op, number: done.attempt }
}

fn refused_trigger(error: &TriggerError) -> Refused {
    match error {
        TriggerError::KeyConflict { .. } => Refused::KeyConflict,
        TriggerError::DiskFull | TriggerError::Overloaded(_) => Refused::Later,
        TriggerError::Store(failure) if failure.is_disk_full() => Refused::Later,
        TriggerError::Store(_) | TriggerError::Stopped => Refused::Down,
        other => Refused::Other(other.to_string()),
    }
}

fn refused(error: &RunError) -> Refused {
    match error {
        RunError::NotFound(_) => Refused::NotFound,
        RunError::Overloaded(_) => Refused::Later,
        RunError::Store(failure) if failure.is_disk_full() => Refused::Later,
        RunError::Store(_) | RunError::Stopped => Refused::Down,
        other => Refused::Other(other.to_string()),
    }
}
