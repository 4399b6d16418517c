//! Given events, when a command comes, then events or a rejection: the one place that touches the machine's interface.
//!
//! Times are whole seconds after [`at`]`(0)`. Every event that a case applies is also replayed from the first one:
//! each test proves on its way that replay gives the state that was reached live.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod build;

pub use build::*;

use rejoin_machine::{Command, Effect, Event, IllegalEvent, Limits, Rejection, Run, Span, StepTask, Timestamp};

/// The run that the tests speak of.
pub const RUN: rejoin_machine::RunId = rejoin_machine::RunId([7; 16]);

/// A point in time, in seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp(1_800_000_000_000_000 + seconds * 1_000_000)
}

/// A length of time.
pub fn seconds(seconds: u64) -> Span {
    Span(seconds * 1_000_000)
}

/// A run, its limits and its history.
pub struct Case {
    run: Run,
    limits: Limits,
    history: Vec<(Event, Timestamp)>,
}

/// Whether a run begins with this event.
pub fn begins(event: &Event) -> bool {
    Run::begin(RUN, event, at(0)).is_ok()
}

/// A run that these first events made, all at second 0.
pub fn given(events: impl IntoIterator<Item = Event>) -> Case {
    let mut events = events.into_iter();
    let first = events.next().expect("a run begins with an event");
    let run = Run::begin(RUN, &first, at(0)).expect("the first event begins a run");
    let mut case = Case { run, limits: Limits::default(), history: vec![(first, at(0))] };
    case.given(0, events);
    case
}

/// A run whose handler was not called yet.
pub fn created() -> Case {
    given([triggered()])
}

/// A run whose handler works.
pub fn running() -> Case {
    given([triggered(), Event::Started])
}

impl Case {
    /// The same run under other limits.
    pub fn limited(mut self, change: impl FnOnce(&mut Limits)) -> Case {
        change(&mut self.limits);
        self
    }

    /// More happened, at that second.
    pub fn given(&mut self, second: i64, events: impl IntoIterator<Item = Event>) -> &mut Case {
        for event in events {
            self.apply(event, at(second));
        }
        self
    }

    /// A command comes at that second.
    pub fn when(&mut self, second: i64, command: impl Into<Command>) -> When<'_> {
        let command = command.into();
        let before = self.run.clone();
        let decision = self.run.decide(command.clone(), at(second), &self.limits);
        assert_eq!(self.run.decide(command, at(second), &self.limits), decision, "the same question, the same answer");
        assert_eq!(self.run, before, "deciding changes nothing");
        When { case: self, now: at(second), decision }
    }

    /// Asserts that this event does not fit.
    #[track_caller]
    pub fn illegal(&mut self, second: i64, event: Event) -> &mut Case {
        let refused = IllegalEvent { event: event.name(), state: self.run.state_name() };
        assert_eq!(self.run.clone().apply(&event, at(second)), Err(refused));
        self
    }

    /// Asserts what the world owes the run.
    #[track_caller]
    pub fn owes(&mut self, effects: impl IntoIterator<Item = Effect>) -> &mut Case {
        let owed: Vec<Effect> = self.run.outstanding().collect();
        assert_eq!(owed, effects.into_iter().collect::<Vec<_>>());
        let steps = self.run.operations().filter_map(|(op, _)| self.run.outstanding_step(op));
        let owed = owed.into_iter().filter(|effect| matches!(effect, Effect::RunStep(_)));
        assert_eq!(owed.collect::<Vec<_>>(), steps.map(Effect::RunStep).collect::<Vec<_>>());
        self
    }

    /// Asserts the state's name.
    #[track_caller]
    pub fn is(&mut self, state: &str) -> &mut Case {
        assert_eq!(self.run.state_name(), state);
        self
    }

    /// Asserts, for a given second, at which second something will be due.
    #[track_caller]
    pub fn due(&mut self, second: i64, due: Option<i64>) -> &mut Case {
        assert_eq!(self.run.next_due(at(second)), due.map(at));
        self
    }

    /// The run, for what only one test asks.
    pub fn run(&self) -> &Run {
        &self.run
    }

    fn apply(&mut self, event: Event, now: Timestamp) {
        self.run.apply(&event, now).unwrap_or_else(|error| panic!("{error}: {event:?}"));
        if matches!(event, Event::ContinuedAsNew(_)) {
            assert_eq!(
                Run::begin(RUN, &event, now).as_ref(),
                Ok(&self.run),
                "an incarnation begins with its first event"
            );
        }
        self.history.push((event, now));
        assert_eq!(self.replayed(), self.run, "replay gives what was reached live");
    }

    fn replayed(&self) -> Run {
        let mut events = self.history.iter();
        let (first, time) = events.next().expect("a run begins with an event");
        let mut run = Run::begin(RUN, first, *time).expect("the first event begins a run");
        for (event, time) in events {
            run.apply(event, *time).expect("what was applied live can be replayed");
        }
        run
    }
}

/// What a command meant.
#[must_use = "say what follows"]
pub struct When<'a> {
    case: &'a mut Case,
    now: Timestamp,
    decision: Result<Vec<Event>, Rejection>,
}

impl<'a> When<'a> {
    /// Exactly these events, and nothing for any child to hear.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = Event>) -> &'a mut Case {
        self.then_tells(events, [])
    }

    /// Exactly these events, and exactly these effects on children.
    #[track_caller]
    pub fn then_tells(
        self,
        events: impl IntoIterator<Item = Event>,
        effects: impl IntoIterator<Item = Effect>,
    ) -> &'a mut Case {
        assert_eq!(self.decision, Ok(events.into_iter().collect::<Vec<_>>()));
        let mut told = Vec::new();
        for event in self.decision.into_iter().flatten() {
            told.extend(self.case.run.consequences(&event));
            self.case.apply(event, self.now);
        }
        assert_eq!(told, effects.into_iter().collect::<Vec<_>>());
        self.case
    }

    /// No events: this rejection.
    #[track_caller]
    pub fn refused(self, rejection: Rejection) -> &'a mut Case {
        assert_eq!(self.decision, Err(rejection));
        self.case
    }
}

/// An attempt that is owed, with the second it begins and the one it must have ended by.
pub fn attempt(op: u32, attempt: u32, begins: i64, deadline: Option<i64>) -> Effect {
    Effect::RunStep(StepTask { op: op_no(op), attempt, at: at(begins), deadline: deadline.map(at) })
}
