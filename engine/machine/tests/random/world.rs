//! A run in a random world: every command is decided, applied, checked and written down.

use super::model::Model;
use super::{Dice, RUN, commands};
use rejoin_machine::cancel::{Cancel, Cause};
use rejoin_machine::{
    Command, Effect, Event, Limits, OpNo, Outcome, Payload, Run, Span, Status, Timestamp, Transition,
};

pub struct World {
    pub run: Run,
    pub limits: Limits,
    pub now: Timestamp,
    /// What happened, and what the run was like after it.
    pub history: Vec<(Event, Timestamp, Run)>,
    pub model: Model,
}

impl World {
    /// A run that was just triggered.
    pub fn new(dice: &mut Dice<'_>) -> World {
        let limits = commands::limits(dice);
        let now = dice.pick(&[Timestamp(0), Timestamp(i64::MAX - 10_000_000), Timestamp(i64::MIN)]);
        let trigger = commands::trigger(dice, now);
        let model = Model::new(trigger.deadline);
        let event = Event::Triggered(Box::new(trigger));
        let run = Run::begin(RUN, &event, now).expect("a trigger begins a run");
        let mut world = World { limits, now, model, history: vec![(event, now, run.clone())], run };
        if dice.once_in(2) {
            world.happen(Event::Briefed(Box::new(commands::brief(dice, now))));
        }
        world
    }

    /// Time goes on, and something is asked.
    pub fn go_on(&mut self, dice: &mut Dice<'_>) {
        let command = self.next(dice);
        self.ask(command);
    }

    /// Time goes on; what is asked next.
    pub fn next(&mut self, dice: &mut Dice<'_>) -> Command {
        let passed = if dice.once_in(32) { dice.span() } else { Span(dice.below(4) as u64 * 500_000) };
        self.now = self.now.after(passed);
        commands::command(dice, &self.run, OpNo(self.model.next), self.now)
    }

    /// Decides a command and makes it happen. Whether it meant anything.
    pub fn ask(&mut self, command: Command) -> bool {
        let before = self.run.clone();
        let decision = self.run.decide(command.clone(), self.now, &self.limits);
        assert_eq!(self.run.decide(command, self.now, &self.limits), decision, "the same question, the same answer");
        assert_eq!(self.run, before, "deciding changes nothing");
        let Ok(events) = decision else { return false };
        assert!(!events.is_empty(), "a command that means nothing is refused");
        let transition = Transition {
            resumed: before.is_suspended(),
            suspended: false,
            due: self.run.next_due(self.now),
            events: events.clone(),
        };
        assert_eq!(round_trip(&transition), transition);
        for event in events {
            self.happen(event);
        }
        self.model.check(&self.run, self.now);
        true
    }

    fn happen(&mut self, event: Event) {
        let told = self.run.consequences(&event);
        let children = told.iter().filter(|effect| matches!(effect, Effect::CancelChild { .. })).count();
        assert!(children == 0 || self.run.children().next().is_some(), "no other run is cancelled");
        let speaks = self.run.brief().thread.is_some() || matches!(event, Event::PersonTold { .. });
        assert!(told.len() == children || speaks, "nobody else is told");
        self.model.take(&event, self.now);
        self.run.apply(&event, self.now).unwrap_or_else(|error| panic!("decided, but {error}: {event:?}"));
        self.history.push((event, self.now, self.run.clone()));
    }

    /// Replays what happened from the bytes of its events, and finds the very states that there were: from the trigger, and
    /// from the first event of the last incarnation.
    pub fn replay(&self) {
        let mut replayed: Option<Run> = None;
        let mut incarnation: Option<Run> = None;
        for (event, time, live) in &self.history {
            let event: Event = round_trip(event);
            let begun = Run::begin(RUN, &event, *time).ok();
            for run in [&mut replayed, &mut incarnation].into_iter().flatten() {
                assert_eq!(run.apply(&event, *time), Ok(()));
            }
            incarnation = begun.clone().or(incarnation);
            replayed = replayed.or(begun);
            for run in [&replayed, &incarnation] {
                assert_eq!(run.as_ref(), Some(live));
                let run = run.as_ref().expect("it was just compared");
                assert!(run.outstanding().eq(live.outstanding()));
                assert_eq!(run.next_due(*time), live.next_due(*time));
                assert_eq!(run.is_suspended(), live.is_suspended());
            }
        }
    }

    /// Whatever came before: once its children have ended and its grace is over, a cancelled run has ended.
    pub fn end(&mut self) {
        let (by, reason) = ("the test".to_string(), "enough".to_string());
        self.ask(Command::Cancel { cause: Cause::Request, by, reason, grace: Some(Span(1_000_000)) });
        for child in self.model.awaited.clone() {
            if !self.model.has_ended() && self.run.holds_answers() {
                let outcome = Outcome::Completed(Payload::from(Vec::new()));
                assert!(self.ask(Command::ResolveCall { child, outcome }), "the end of {child} means something");
            }
        }
        self.now = Timestamp(i64::MAX);
        let mut wakes = 0;
        while !self.model.has_ended() {
            assert!(self.ask(Command::Wake { jitter: 0 }), "a run that lives has something due: {:?}", self.run);
            wakes += 1;
            if wakes == 1_000 {
                // At the end of time no time passes between attempts, and a grace that ends then may never end.
                let until = |status: &Status| matches!(status, Status::Cancelling(Cancel { until: Some(at), .. }) if *at == self.now);
                assert!(until(self.run.status()), "the end of the grace comes: {:?}", self.run);
                let (by, reason) = (String::new(), String::new());
                assert!(self.ask(Command::Cancel { cause: Cause::Request, by, reason, grace: Some(Span(0)) }));
            }
        }
        assert!(!self.ask(Command::Wake { jitter: 0 }));
    }
}

/// Asks everything that can be asked.
pub fn examine(run: &Run, now: Timestamp) {
    let _ = (run.outstanding().count(), run.next_due(now), run.is_suspended(), run.children().count());
    let (by, reason) = (String::new(), String::new());
    let commands = [
        Command::Start,
        Command::Wake { jitter: u32::MAX },
        Command::Cancel { cause: Cause::Tree, by, reason, grace: None },
        Command::Unwedge,
    ];
    for command in commands {
        let Ok(events) = run.decide(command, now, &Limits::default()) else { continue };
        let mut next = run.clone();
        for event in events.iter().filter(|_| now >= run.time()) {
            next.apply(event, now).unwrap_or_else(|error| panic!("decided, but {error}: {event:?} for {run:?}"));
        }
    }
}

pub fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let bytes = bincode::serialize(value).expect("everything stored has bytes");
    bincode::deserialize(&bytes).expect("and is read back from them")
}
