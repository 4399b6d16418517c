//! Those who use the engine: futures that may be given up and begun again at any moment.

use super::Subject;
use crate::engine::Engine;
use crate::testkit::trace::{Seen, Trace};
use rejoin_machine::RunId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

/// What a caller does. `Err`: it has to begin again, because the engine was down, or full, or in another way not of a mind to.
pub type Caller = Pin<Box<dyn Future<Output = Result<(), String>>>>;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future, and whether it was woken.
struct Seat {
    future: Option<Caller>,
    woken: Arc<Flag>,
    done: bool,
    trouble: Option<String>,
}

impl Seat {
    fn new(future: Caller) -> Seat {
        Seat { future: Some(future), woken: Arc::new(Flag(AtomicBool::new(true))), done: false, trouble: None }
    }

    fn is_ready(&self) -> bool {
        self.future.is_some() && self.woken.0.load(Ordering::SeqCst)
    }

    fn poll(&mut self) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.woken.clone());
        let Some(future) = &mut self.future else { return };
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Pending => {}
            Poll::Ready(end) => {
                self.future = None;
                self.done = end.is_ok();
                self.trouble = end.err();
            }
        }
    }
}

/// How far the follower has read; it outlives every process.
#[derive(Default)]
pub(super) struct Place {
    cursor: u64,
    /// How many records of each run it has seen.
    pub(super) seen: BTreeMap<RunId, u64>,
    /// Records that came twice, or too early.
    pub(super) wrong: Vec<(RunId, String)>,
}

impl Place {
    fn note(&mut self, run: RunId, version: u64, cursor: u64) {
        let before = self.seen.insert(run, version).unwrap_or(0);
        // A run that was deleted may begin again.
        if version != before + 1 && version != 1 {
            self.wrong.push((run, format!("record {version} of run {run} was read after record {before}")));
        }
        self.cursor = cursor;
    }
}

/// All callers of one process, and one who follows everything that happens.
pub(super) struct Callers {
    seats: Vec<Seat>,
    follower: Seat,
}

impl Callers {
    pub(super) fn begin(
        subject: &dyn Subject,
        engine: &Engine,
        place: &Rc<RefCell<Place>>,
        trace: &Arc<Trace>,
    ) -> Callers {
        let seats = (0..subject.callers()).map(|number| Seat::new(subject.caller(number, engine.clone()))).collect();
        Callers { seats, follower: Seat::new(follow(engine.clone(), place.clone(), trace.clone())) }
    }

    /// Which of them can go on; the follower comes behind the last.
    pub(super) fn ready(&self) -> Vec<usize> {
        let all = self.seats.iter().chain([&self.follower]).enumerate();
        all.filter(|(_, seat)| seat.is_ready()).map(|(number, _)| number).collect()
    }

    pub(super) fn poll(&mut self, number: usize) {
        match self.seats.get_mut(number) {
            Some(seat) => seat.poll(),
            None => self.follower.poll(),
        }
    }

    /// Those that are not done and should be, each with what it has said last.
    pub(super) fn unfinished<'a>(&'a self, subject: &'a dyn Subject) -> impl Iterator<Item = Option<&'a str>> {
        let open = self.seats.iter().enumerate().filter(|(number, seat)| !seat.done && !subject.is_servant(*number));
        open.map(|(_, seat)| seat.trouble.as_deref())
    }

    /// Those that have given up and have to begin again do so; `false` if there are none.
    pub(super) fn begin_again(&mut self, subject: &dyn Subject, engine: &Engine) -> bool {
        let mut any = false;
        for (number, seat) in self.seats.iter_mut().enumerate() {
            if seat.future.is_none() && !seat.done {
                *seat = Seat::new(subject.caller(number, engine.clone()));
                any = true;
            }
        }
        any
    }

    /// One of them gives up and begins again; the follower goes on where it was.
    pub(super) fn give_up(
        &mut self,
        number: usize,
        subject: &dyn Subject,
        engine: &Engine,
        place: &Rc<RefCell<Place>>,
        trace: &Arc<Trace>,
    ) {
        match self.seats.get_mut(number) {
            Some(seat) => *seat = Seat::new(subject.caller(number, engine.clone())),
            None => self.follower = Seat::new(follow(engine.clone(), place.clone(), trace.clone())),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.seats.len() + 1
    }
}

/// Lets others go first.
async fn rest_once() {
    let mut rested = false;
    std::future::poll_fn(move |task| {
        task.waker().wake_by_ref();
        if std::mem::replace(&mut rested, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Reads everything from where an earlier follower ended.
fn follow(engine: Engine, place: Rc<RefCell<Place>>, trace: Arc<Trace>) -> Caller {
    Box::pin(async move {
        let mut feed = engine.follow_all(place.borrow().cursor);
        while let Some((run, entry)) = feed.next().await.map_err(|error| error.to_string())? {
            place.borrow_mut().note(run, entry.version, feed.cursor());
            trace.see(Seen::Read { run, version: entry.version });
            // It may be given up between any two records.
            rest_once().await;
        }
        Ok(())
    })
}
