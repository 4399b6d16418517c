//! Concurrency inside a handler, in an order that depends on the history alone.
//!
//! The combinators of async runtimes rotate or randomise the order in which they poll; these do not. The ones for many
//! futures poll only those that were woken, so that a thousand children cost a thousand polls and not a million.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Runs two or more futures to their ends, in turn, and returns their outputs as a tuple.
///
/// ```
/// # use rejoin::{Context, Failure, join, time::seconds};
/// async fn handler(ctx: Context, _: ()) -> Result<(), Failure> {
///     let (slept, signalled) = join((ctx.sleep(seconds(5)), ctx.signal::<String>("go"))).await;
///     slept?;
///     signalled.map(drop)
/// }
/// ```
pub fn join<T: Joinable>(futures: T) -> T::Joined {
    futures.joined()
}

/// A tuple of futures that [`join`] takes: two to six.
pub trait Joinable {
    /// The future of all their outputs.
    type Joined: Future;
    /// Makes it.
    fn joined(self) -> Self::Joined;
}

enum Part<F: Future> {
    Pending(Pin<Box<F>>),
    Done(Option<F::Output>),
}

impl<F: Future> Part<F> {
    /// Whether it has ended.
    fn advance(&mut self, task: &mut Context<'_>) -> bool {
        if let Part::Pending(future) = self
            && let Poll::Ready(output) = future.as_mut().poll(task)
        {
            *self = Part::Done(Some(output));
        }
        matches!(self, Part::Done(_))
    }

    fn take(&mut self) -> Option<F::Output> {
        match self {
            Part::Pending(_) => None,
            Part::Done(output) => output.take(),
        }
    }
}

macro_rules! joinable {
    ($joined:ident: $($name:ident $part:ident),+) => {
        /// The future of [`join`].
        pub struct $joined<$($name: Future),+> {
            $($part: Part<$name>),+
        }

        // The parts are boxed; nothing inside is pinned by this struct.
        impl<$($name: Future),+> Unpin for $joined<$($name),+> {}

        impl<$($name: Future),+> Joinable for ($($name,)+) {
            type Joined = $joined<$($name),+>;
            fn joined(self) -> Self::Joined {
                let ($($part,)+) = self;
                $joined { $($part: Part::Pending(Box::pin($part))),+ }
            }
        }

        impl<$($name: Future),+> Future for $joined<$($name),+> {
            type Output = ($($name::Output,)+);
            fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
                let mut done = true;
                $(done &= self.$part.advance(task);)+
                if !done {
                    return Poll::Pending;
                }
                match ($(self.$part.take(),)+) {
                    ($(Some($part),)+) => Poll::Ready(($($part,)+)),
                    // Polled again after its end, which no caller does.
                    _ => Poll::Pending,
                }
            }
        }
    };
}

joinable!(Join2: A a, B b);
joinable!(Join3: A a, B b, C c);
joinable!(Join4: A a, B b, C c, D d);
joinable!(Join5: A a, B b, C c, D d, E e);
joinable!(Join6: A a, B b, C c, D d, E e, F f);

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// Runs two futures until one has ended, and drops the other: its pending operations are cancelled. If both could end at
/// once, the first one has.
///
/// ```
/// # use rejoin::{Context, Either, Failure, select, time::days};
/// async fn handler(ctx: Context, _: ()) -> Result<bool, Failure> {
///     match select(ctx.signal::<bool>("approve"), ctx.sleep(days(2))).await {
///         Either::First(answer) => answer,
///         Either::Second(slept) => slept.map(|()| false),
///     }
/// }
/// ```
pub async fn select<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    std::future::poll_fn(move |task| {
        if let Poll::Ready(output) = first.as_mut().poll(task) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(task).map(Either::Second)
    })
    .await
}

/// Runs all futures to their ends and returns their outputs in the order in which they were given.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut set = Unordered::new();
    futures.into_iter().for_each(|future| set.push(future));
    let mut outputs: Vec<Option<F::Output>> = set.futures.iter().map(|_| None).collect();
    while let Some((index, output)) = set.next_indexed().await {
        outputs[index] = Some(output);
    }
    outputs.into_iter().flatten().collect()
}

/// Runs all futures until all have succeeded or one has failed, and drops the rest.
///
/// # Errors
///
/// The first failure.
pub async fn try_join_all<T, E, F: Future<Output = Result<T, E>>>(
    futures: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, E> {
    let mut set = Unordered::new();
    futures.into_iter().for_each(|future| set.push(future));
    let mut outputs: Vec<Option<T>> = set.futures.iter().map(|_| None).collect();
    while let Some((index, output)) = set.next_indexed().await {
        outputs[index] = Some(output?);
    }
    Ok(outputs.into_iter().flatten().collect())
}

/// A set of futures whose outputs are taken in the order in which they end.
///
/// ```
/// # use rejoin::{Context, Failure, Unordered, time::seconds};
/// async fn handler(ctx: Context, _: ()) -> Result<u32, Failure> {
///     let mut set = Unordered::new();
///     for n in 0..10 {
///         set.push(ctx.step("square", move || async move { Ok::<u32, Failure>(n * n) }));
///     }
///     let mut sum = 0;
///     while let Some(square) = set.next().await {
///         sum += square?;
///     }
///     Ok(sum)
/// }
/// ```
pub struct Unordered<F> {
    futures: Vec<Option<Pin<Box<F>>>>,
    pending: usize,
    gate: Arc<Gate>,
}

/// Which futures of a set were woken, and who is to be told.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    ready: BTreeSet<usize>,
    parent: Option<Waker>,
}

impl Gate {
    fn with<T>(&self, with: impl FnOnce(&mut GateState) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Member {
    gate: Arc<Gate>,
    index: usize,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        let parent = self.gate.with(|gate| {
            gate.ready.insert(self.index);
            gate.parent.take()
        });
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

impl<F: Future> Unordered<F> {
    /// An empty set.
    pub fn new() -> Self {
        Unordered { futures: Vec::new(), pending: 0, gate: Arc::default() }
    }

    /// Adds a future.
    pub fn push(&mut self, future: F) {
        self.gate.with(|gate| gate.ready.insert(self.futures.len()));
        self.futures.push(Some(Box::pin(future)));
        self.pending += 1;
    }

    /// How many have not ended.
    pub fn len(&self) -> usize {
        self.pending
    }

    /// Whether all have ended.
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// The output of the next one that ends; `None` when all have.
    pub async fn next(&mut self) -> Option<F::Output> {
        self.next_indexed().await.map(|(_, output)| output)
    }

    pub(crate) async fn next_indexed(&mut self) -> Option<(usize, F::Output)> {
        std::future::poll_fn(|task| self.poll_next(task)).await
    }

    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        self.gate.with(|gate| gate.parent = Some(task.waker().clone()));
        while let Some(index) = self.gate.with(|gate| gate.ready.pop_first()) {
            let Some(future) = &mut self.futures[index] else { continue };
            let waker = Waker::from(Arc::new(Member { gate: self.gate.clone(), index }));
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.futures[index] = None;
                self.pending -= 1;
                return Poll::Ready(Some((index, output)));
            }
        }
        if self.pending == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<F: Future> Default for Unordered<F> {
    fn default() -> Self {
        Unordered::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::future::{pending, poll_fn, ready};
    use std::rc::Rc;

    fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn select_prefers_the_first() {
        let mut both = Box::pin(select(ready(1), ready(2)));
        assert_eq!(poll(&mut both), Poll::Ready(Either::First(1)));
        let mut second = Box::pin(select(pending::<i32>(), ready(2)));
        assert_eq!(poll(&mut second), Poll::Ready(Either::Second(2)));
    }

    #[test]
    fn join_all_keeps_the_order_in_which_futures_were_given() {
        let mut all = Box::pin(join_all((0..5).map(ready)));
        assert_eq!(poll(&mut all), Poll::Ready(vec![0, 1, 2, 3, 4]));
        let mut none = Box::pin(join_all(Vec::<std::future::Ready<i32>>::new()));
        assert_eq!(poll(&mut none), Poll::Ready(vec![]));
    }

    #[test]
    fn only_woken_futures_are_polled_again() {
        let polls = Rc::new(RefCell::new(Vec::new()));
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let future = |index: usize| {
            let (polls, wakers) = (polls.clone(), wakers.clone());
            poll_fn(move |task: &mut Context<'_>| {
                polls.borrow_mut().push(index);
                wakers.borrow_mut().push(task.waker().clone());
                if polls.borrow().iter().filter(|polled| **polled == index).count() > 1 {
                    Poll::Ready(index)
                } else {
                    Poll::Pending
                }
            })
        };
        let mut all = Box::pin(join_all((0..100).map(future)));
        assert!(poll(&mut all).is_pending());
        polls.borrow_mut().truncate(100);
        let woken = wakers.borrow()[42].clone();
        woken.wake();
        assert!(poll(&mut all).is_pending());
        assert_eq!(polls.borrow()[100..], [42]);
    }

    #[test]
    fn try_join_all_ends_with_the_first_failure() {
        let mut failing = Box::pin(try_join_all([Ok(1), Err("no"), Ok(3)].map(ready)));
        assert_eq!(poll(&mut failing), Poll::Ready(Err("no")));
    }
}
