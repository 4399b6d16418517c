//! Signals: messages to a run, kept until its handler asks for them.
//!
//! A signal is received once (its id tells it from others) and delivered once, in the order of arrival, to the oldest
//! wait of its name.

use crate::error::Rejection;
use crate::event::Event;
use crate::id::{OpNo, Payload, SignalId};
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Due, Run};
use crate::time::{Span, Timestamp};
use alloc::string::String;
use alloc::vec;
use serde::{Deserialize, Serialize};

/// A signal that came before its handler asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffered {
    /// Its id.
    pub id: SignalId,
    /// Its name.
    pub name: String,
    /// Its content.
    pub payload: Payload,
}

impl Run {
    pub(crate) fn receive_signal(&self, id: SignalId, name: String, payload: Payload, limits: &Limits) -> Decision {
        // Asked first: whoever sends it again because the answer was lost is told that it came, also after the end.
        if self.signals_seen.contains(&id) {
            return Err(Rejection::DuplicateSignal);
        }
        self.check_alive()?;
        Rejection::check_size("a signal's name", name.len(), limits.name_bytes)?;
        Rejection::check_size("a signal", payload.len(), limits.payload_bytes)?;
        // A cancelled run takes signals too, but hands nothing on until its cancellation is delivered.
        let waiting = if self.holds_answers() { None } else { self.oldest_wait(&name) };
        if waiting.is_none() {
            Rejection::check_count("buffered signals", self.signals.len(), limits.buffered_signals)?;
        }
        let mut events = vec![Event::SignalReceived { id, name, payload }];
        events.extend(waiting.map(|op| Event::SignalDelivered { op, id }));
        Ok(events)
    }

    pub(crate) fn await_signal(
        &self,
        op: OpNo,
        name: String,
        timeout: Option<Span>,
        now: Timestamp,
        limits: &Limits,
    ) -> Decision {
        self.check_new_operation(op, limits)?;
        Rejection::check_size("a signal's name", name.len(), limits.name_bytes)?;
        // An older wait of the same name takes what came first; nothing is buffered while it waits.
        let early = self.signals.iter().find(|signal| signal.name == name).map(|signal| signal.id);
        let deadline = timeout.map(|timeout| now.after(timeout));
        let mut events = vec![Event::SignalAwaited { op, name, deadline }];
        events.extend(early.map(|id| Event::SignalDelivered { op, id }));
        Ok(events)
    }

    fn oldest_wait(&self, name: &str) -> Option<OpNo> {
        self.waits.get(name)?.first().copied()
    }

    pub(crate) fn add_wait(&mut self, op: OpNo, name: &str, deadline: Option<Timestamp>) -> bool {
        if let Some(deadline) = deadline {
            self.due.insert((deadline, Due::Op(op)));
        }
        self.waits.entry(name.into()).or_default().insert(op);
        self.open(op, Op::Signal { name: name.into(), deadline })
    }

    pub(crate) fn add_signal(&mut self, signal: Buffered) -> bool {
        let new = self.signals_seen.insert(signal.id);
        self.signals.push_back(signal);
        new
    }

    /// The content of a buffered signal; of one that is being delivered, before the delivery is applied.
    pub fn signal(&self, id: SignalId) -> Option<&Payload> {
        self.signals.iter().find(|signal| signal.id == id).map(|signal| &signal.payload)
    }

    pub(crate) fn deliver_signal(&mut self, op: OpNo, id: SignalId) -> bool {
        let Some(at) = self.signals.iter().position(|signal| signal.id == id) else { return false };
        if !matches!(self.ops.get(&op), Some(Op::Signal { name, .. }) if *name == self.signals[at].name) {
            return false;
        }
        self.signals.remove(at);
        self.close(op).is_some()
    }

    pub(crate) fn signal_timed_out(&mut self, op: OpNo, time: Timestamp) -> bool {
        matches!(self.ops.get(&op), Some(Op::Signal { .. })) && self.time_is_up(op, time) && self.close(op).is_some()
    }
}
