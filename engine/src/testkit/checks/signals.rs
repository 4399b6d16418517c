//! E10: each signal is taken once, delivered once to who waits for its name, in the order of arrival, and none is lost.

use super::{Report, events};
use crate::history::Entry;
use rejoin_machine::{Event, OpNo, SignalId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Default)]
struct Signals {
    seen: BTreeSet<SignalId>,
    /// Those that nobody has got, oldest first, by name.
    waiting: BTreeMap<String, VecDeque<SignalId>>,
    order: VecDeque<SignalId>,
    asked: BTreeMap<OpNo, String>,
    silent: bool,
}

impl Signals {
    fn deliver(&mut self, op: OpNo, id: SignalId, record: u64, report: &mut Report<'_>) {
        let Some(name) = self.asked.remove(&op) else {
            return report
                .say("E10", format_args!("record {record}: a signal for operation {op}, which does not wait for one"));
        };
        let queue = self.waiting.entry(name.clone()).or_default();
        match queue.iter().position(|waiting| *waiting == id) {
            Some(0) => drop(queue.pop_front()),
            Some(at) => {
                queue.remove(at);
                report.say("E10", format_args!("record {record}: a later signal {name:?} was delivered first"));
            }
            None => report.say(
                "E10",
                format_args!(
                    "record {record}: a signal {name:?} was delivered that is not there, or was delivered before"
                ),
            ),
        }
        self.order.retain(|waiting| *waiting != id);
    }

    fn take(&mut self, event: &Event, record: u64, report: &mut Report<'_>) {
        match event {
            Event::SignalReceived { id, name, .. } => {
                if !self.seen.insert(*id) {
                    report.say("E10", format_args!("record {record}: a signal {name:?} came twice"));
                }
                self.waiting.entry(name.clone()).or_default().push_back(*id);
                self.order.push_back(*id);
            }
            Event::SignalAwaited { op, name, .. } => drop(self.asked.insert(*op, name.clone())),
            Event::SignalDelivered { op, id } => self.deliver(*op, *id, record, report),
            Event::SignalTimedOut { op } | Event::OperationDropped { op } => drop(self.asked.remove(op)),
            Event::CancelRequested { .. } => self.silent = true,
            Event::CancelDelivered { .. } => {
                self.silent = false;
                self.asked.clear();
            }
            Event::ContinuedAsNew(boundary) => {
                let carried: Vec<SignalId> = boundary.signals.iter().map(|signal| signal.id).collect();
                if !self.order.iter().eq(&carried) {
                    report.say(
                        "E10",
                        format_args!(
                            "record {record}: {} signals were waiting, {} were carried over",
                            self.order.len(),
                            carried.len()
                        ),
                    );
                }
                if self.seen != boundary.signals_seen.iter().copied().collect() {
                    report.say(
                        "E10",
                        format_args!("record {record}: the next incarnation does not know all signals that came"),
                    );
                }
                self.asked.clear();
            }
            event if event.is_terminal() => {
                self.asked.clear();
                self.waiting.clear();
            }
            _ => {}
        }
    }
}

pub(super) fn check(history: &[Entry], report: &mut Report<'_>) {
    let mut signals = Signals::default();
    let mut last = 0;
    for (entry, event) in events(history) {
        signals.take(event, entry.version, report);
        last = entry.version;
        let delivered_next = matches!(event, Event::SignalReceived { .. } | Event::SignalAwaited { .. });
        if delivered_next || signals.silent {
            continue;
        }
        let lost =
            signals.asked.values().find(|name| signals.waiting.get(*name).is_some_and(|queue| !queue.is_empty()));
        if let Some(name) = lost {
            report.say(
                "E10",
                format_args!("record {last}: a signal {name:?} is there, and who waits for it does not get it"),
            );
            return;
        }
    }
    let lost = signals.asked.values().find(|name| signals.waiting.get(*name).is_some_and(|queue| !queue.is_empty()));
    if let (Some(name), false) = (lost, signals.silent) {
        report.say(
            "E10",
            format_args!("record {last}: a signal {name:?} is there, and who waits for it does not get it"),
        );
    }
}
