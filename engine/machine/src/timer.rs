//! A timer: the handler sleeps until a point in time.

use crate::event::Event;
use crate::id::OpNo;
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Due, Run};
use crate::time::Timestamp;
use alloc::vec;

impl Run {
    pub(crate) fn set_timer(&self, op: OpNo, at: Timestamp, limits: &Limits) -> Decision {
        self.check_new_operation(op, limits)?;
        Ok(vec![Event::TimerSet { op, at }])
    }

    pub(crate) fn add_timer(&mut self, op: OpNo, at: Timestamp) -> bool {
        self.due.insert((at, Due::Op(op)));
        self.open(op, Op::Timer { at })
    }
}
