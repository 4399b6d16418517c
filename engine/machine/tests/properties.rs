//! Promises that hold for any life of a run, whatever is asked of it and in whatever order.

mod random;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use random::world::{World, examine, round_trip};
use random::{Dice, RUN, events};
use rejoin_machine::{IllegalEvent, Run, Timestamp};
use std::fmt;
use std::sync::mpsc::channel;
use std::thread;

/// The bytes of a world and of what is asked of it, one array a command.
#[derive(Clone)]
struct Life {
    beginning: [u8; 16],
    moves: Vec<[u8; 24]>,
}

impl Life {
    fn lived(&self) -> World {
        let mut world = World::new(&mut Dice::new(&self.beginning));
        self.moves.iter().for_each(|bytes| world.go_on(&mut Dice::new(bytes)));
        world
    }
}

/// For a failing case: what happened until it failed. Lived again in a thread of its own, which may panic.
impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (life, (tell, told)) = (self.clone(), channel());
        let lives = thread::spawn(move || {
            let mut world = World::new(&mut Dice::new(&life.beginning));
            let _ = tell.send(format!("{:?}\n{:?}", world.limits, world.run));
            for bytes in &life.moves {
                let known = world.history.len();
                let command = world.next(&mut Dice::new(bytes));
                let _ = tell.send(format!("{:>10} {command:?}", world.now.0));
                world.ask(command);
                world.history[known..].iter().for_each(|(event, _, _)| drop(tell.send(format!("    {event:?}"))));
            }
        });
        let _ = lives.join();
        told.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn life() -> impl Strategy<Value = Life> {
    (any::<[u8; 16]>(), vec(any::<[u8; 24]>(), 0..120)).prop_map(|(beginning, moves)| Life { beginning, moves })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// The model holds each event against what came before: legal life (E2), each child once (E3), steps that ended
    /// never again (E7), nothing early (E9), each signal once and in order (E10), leaves first and silence between
    /// request and delivery (E15). Every decided event applies, and nothing panics.
    #[test]
    fn inv_e2_e3_e7_e9_e10_e15_any_life_keeps_the_promises(life in life()) {
        let world = life.lived();
        let ends = world.history.iter().filter(|(event, _, _)| event.is_terminal()).count();
        prop_assert!(ends <= 1);
    }

    /// Replayed from the bytes of its events, a run passes through the very states that it had live: from its trigger,
    /// and from the first event of its last incarnation.
    #[test]
    fn inv_e1_replay_equals_live_cut_at_every_event(life in life()) {
        life.lived().replay();
    }

    #[test]
    fn spec_a6_any_life_can_be_ended_and_ends_once(life in life()) {
        let mut world = life.lived();
        world.end();
        let ends = world.history.iter().filter(|(event, _, _)| event.is_terminal()).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(world.history.last().is_some_and(|(event, _, _)| event.is_terminal()));
    }

    /// Events that no machine decided are refused or applied, and never panic; nor does anything asked afterwards.
    #[test]
    fn inv_e2_any_events_are_applied_or_refused(moves in vec(any::<[u8; 32]>(), 0..80)) {
        let mut run: Option<Run> = None;
        for bytes in &moves {
            let dice = &mut Dice::new(bytes);
            let now = dice.pick(&[Timestamp(0), Timestamp(10_000_000), Timestamp(i64::MAX), Timestamp(i64::MIN)]);
            let event = events::event(dice, now);
            prop_assert_eq!(&round_trip(&event), &event);
            let Some(known) = &mut run else {
                run = Run::begin(RUN, &event, now).ok();
                continue;
            };
            let _ = known.consequences(&event);
            let mut next = known.clone();
            let applied = next.apply(&event, now);
            examine(&next, now);
            if applied.is_ok() {
                prop_assert!(now >= known.time());
                *known = next;
            } else {
                prop_assert_eq!(applied, Err(IllegalEvent { event: event.name(), state: next.state_name() }));
            }
        }
    }
}
