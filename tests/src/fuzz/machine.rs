//! Any life of a run: what the properties of the machine's own tests promise, with the fuzzer's bytes as dice.

#[path = "../../../engine/machine/tests/random/mod.rs"]
mod random;

use random::world::{World, examine, round_trip};
use random::{Dice, RUN, events};
use rejoin_machine::{Run, Timestamp};

/// The most moves of a life: each is compared with all that came before it.
const MOVES: usize = 120;

/// Lives a life, checks it at each event against a model of what a run may do, and replays it from its beginning. Then
/// ends it, or brings events on it that nobody has decided. Whether something happened in it.
///
/// # Panics
///
/// If a promise is broken.
pub fn check(data: &[u8]) -> bool {
    let Some((mode, data)) = data.split_first() else { return false };
    let (beginning, moves) = data.split_at(data.len().min(16));
    let (moves, foreign) = if mode.is_multiple_of(2) { (moves, None) } else { halves(moves) };
    let mut world = World::new(&mut Dice::new(beginning));
    moves.chunks(24).take(MOVES).for_each(|bytes| world.go_on(&mut Dice::new(bytes)));
    world.replay();
    let lived = world.history.len() > 1;
    match foreign {
        Some(foreign) => bring(world.run, foreign),
        None => {
            world.end();
            let ends = world.history.iter().filter(|(event, _, _)| event.is_terminal()).count();
            assert_eq!(ends, 1, "a run ends once");
        }
    }
    lived
}

/// The moves of a life, and the bytes of the events that follow.
fn halves(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (moves, foreign) = data.split_at(data.len() / 2);
    (moves, Some(foreign))
}

/// Brings events on a run that no machine decided. Each is refused, or applied to a run that can be asked anything.
fn bring(mut run: Run, foreign: &[u8]) {
    for bytes in foreign.chunks(32).take(MOVES) {
        let dice = &mut Dice::new(bytes);
        let later = run.time().after(rejoin_machine::Span(1_000_000));
        let now = dice.pick(&[later, run.time(), Timestamp(0), Timestamp(i64::MAX), Timestamp(i64::MIN)]);
        let event = events::event(dice, now);
        assert_eq!(round_trip(&event), event);
        let _ = (run.consequences(&event), Run::begin(RUN, &event, now).is_ok());
        let mut next = run.clone();
        let applied = next.apply(&event, now);
        examine(&next, now);
        if applied.is_ok() {
            assert!(now >= run.time(), "time goes on");
            run = next;
        }
    }
}
