//! What the numbers of operations stand for: events name an operation only where it begins.

use super::details::Details;
use rejoin_machine::{OpNo, RunId};
use std::collections::HashMap;

/// The operations of a run, as far as its events have named them.
#[derive(Default)]
pub(crate) struct Operations(HashMap<OpNo, Operation>);

enum Operation {
    Step { name: String, attempt: u32 },
    Call { workflow: String, child: RunId },
    Timer,
    Signal { name: String },
}

impl Operations {
    pub(super) fn step(&mut self, op: OpNo, name: &str) {
        self.0.insert(op, Operation::Step { name: name.to_owned(), attempt: 1 });
    }

    pub(super) fn call(&mut self, op: OpNo, workflow: &str, child: RunId) {
        self.0.insert(op, Operation::Call { workflow: workflow.to_owned(), child });
    }

    pub(super) fn timer(&mut self, op: OpNo) {
        self.0.insert(op, Operation::Timer);
    }

    pub(super) fn signal(&mut self, op: OpNo, name: &str) {
        self.0.insert(op, Operation::Signal { name: name.to_owned() });
    }

    /// The next attempt of a step is under way.
    pub(super) fn again(&mut self, op: OpNo) {
        if let Some(Operation::Step { attempt, .. }) = self.0.get_mut(&op) {
            *attempt = attempt.saturating_add(1);
        }
    }

    /// A new incarnation counts its operations from the beginning.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// The operation, as an event about it shows it.
    pub(super) fn details(&self, op: OpNo) -> Details {
        let details = Details::default().op(op);
        match self.0.get(&op) {
            Some(Operation::Step { name, attempt }) => details.text("step", name).number("attempt", *attempt),
            Some(Operation::Call { workflow, child }) => details.text("workflow", workflow).run("child", *child),
            Some(Operation::Signal { name }) => details.text("signal", name),
            Some(Operation::Timer) | None => details,
        }
    }
}
