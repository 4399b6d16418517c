//! What can go wrong, how often it does under a seed, and what went wrong.

use crate::testkit::world::{Chance, mix};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The process ends between two of its actions.
    Crash,
    /// The machine dies at an operation of the disk.
    DiskDies,
    /// An operation of the disk fails.
    DiskFails,
    /// The disk is full for a while.
    DiskFull,
    /// Opening the log is cut short.
    OpenCut,
    /// A sync takes long.
    SlowSync,
    /// The process is stopped in good order.
    Stop,
    /// The clock jumps ahead.
    ClockAhead,
    /// The clock is put back.
    ClockBack,
    /// A step takes long.
    SlowStep,
    /// A step never returns.
    StepHangs,
    /// A step's answer takes long to arrive.
    LateAnswer,
    /// A step's answer arrives again.
    AnswerTwice,
    /// A request takes long to arrive.
    LateRequest,
    /// A request arrives twice.
    RequestTwice,
    /// The answer to a request is lost.
    LostReply,
    /// A caller gives up and begins again.
    GiveUp,
    /// A process with other code is deployed.
    OtherCode,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 18] = [
        Fault::Crash,
        Fault::DiskDies,
        Fault::DiskFails,
        Fault::DiskFull,
        Fault::OpenCut,
        Fault::SlowSync,
        Fault::Stop,
        Fault::ClockAhead,
        Fault::ClockBack,
        Fault::SlowStep,
        Fault::StepHangs,
        Fault::LateAnswer,
        Fault::AnswerTwice,
        Fault::LateRequest,
        Fault::RequestTwice,
        Fault::LostReply,
        Fault::GiveUp,
        Fault::OtherCode,
    ];

    /// How often it strikes where it may, in ten thousand, at most.
    fn usual(self) -> u64 {
        match self {
            Fault::Crash | Fault::Stop => 60,
            Fault::DiskDies => 250,
            Fault::DiskFails => 80,
            Fault::ClockAhead | Fault::ClockBack => 100,
            Fault::DiskFull => 250,
            Fault::OpenCut | Fault::OtherCode => 4000,
            Fault::SlowSync | Fault::LateRequest | Fault::RequestTwice => 1500,
            Fault::SlowStep | Fault::LateAnswer | Fault::AnswerTwice => 3000,
            Fault::StepHangs => 200,
            Fault::LostReply => 800,
            Fault::GiveUp => 150,
        }
    }

    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// One fault: its kind, and which opportunity for it was taken, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strike {
    /// What.
    pub fault: Fault,
    /// At which opportunity.
    pub at: u64,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.fault.name(), self.at)
    }
}

impl FromStr for Strike {
    type Err = String;
    fn from_str(text: &str) -> Result<Strike, String> {
        let wrong = || format!("{text:?} is no fault; they look like Crash@3");
        let (name, at) = text.split_once('@').ok_or_else(wrong)?;
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(wrong)?;
        Ok(Strike { fault, at: at.parse().map_err(|_| wrong())? })
    }
}

/// Which faults strike: by chance, or only those that are named.
pub(super) struct Faults {
    seed: u64,
    /// How often each kind strikes under this seed, in ten thousand.
    rates: BTreeMap<Fault, u64>,
    /// How many opportunities there were.
    counts: BTreeMap<Fault, u64>,
    only: Option<Vec<Strike>>,
    pub(super) struck: Vec<Strike>,
    pub(super) over: bool,
}

impl Faults {
    /// Each seed has a mix of its own: some kinds not at all, others often.
    pub(super) fn new(seed: u64, only: Option<Vec<Strike>>) -> Faults {
        let mut chance = Chance::new(seed ^ 0xfa17);
        let mut rate = |fault: Fault| match chance.below(4) {
            0 | 1 => 0,
            2 => fault.usual() / 4,
            _ => fault.usual(),
        };
        let rates = Fault::ALL.into_iter().map(|fault| (fault, rate(fault))).collect();
        Faults { seed, rates, counts: BTreeMap::new(), only, struck: Vec::new(), over: false }
    }

    /// An opportunity: whether the fault strikes. What is drawn depends on the seed, the kind and the number of the opportunity
    /// alone, so that leaving out one fault leaves the others where they are.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        if self.over {
            return false;
        }
        let count = self.counts.entry(fault).or_default();
        *count += 1;
        let strike = Strike { fault, at: *count };
        let strikes = match &self.only {
            Some(only) => only.contains(&strike),
            None => mix(self.seed ^ mix((fault as u64) << 32 | *count)) % 10_000 < self.rates[&fault],
        };
        if strikes {
            self.struck.push(strike);
        }
        strikes
    }
}
