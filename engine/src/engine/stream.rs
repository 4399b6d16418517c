//! Streams and progress: what a run shows before it has ended.

use super::RunHandle;
use super::read::Follow;
use super::worker::Task;
use crate::error::{RunError, WorkerError};
use crate::failure::{Failure, decode, encode};
use crate::runtime::{FromWorker, Input, LARGEST_PROGRESS, Update};
use rejoin_machine::{Event, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;

/// Where a reader of a stream is: what it has read is not read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamCursor {
    version: u64,
    index: usize,
    attempt: u32,
}

/// What a stream brings next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// A piece, of this attempt.
    Chunk {
        /// The attempt, from 1; 0: of the handler itself.
        attempt: u32,
        /// Its bytes, JSON.
        payload: Payload,
    },
    /// Another attempt has begun: what came before is void.
    Restart {
        /// The attempt whose pieces follow.
        attempt: u32,
    },
}

impl StreamItem {
    /// The piece's value.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if it is of another type, or this is no piece.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        match self {
            StreamItem::Chunk { payload, .. } => decode("a piece of a stream", payload),
            StreamItem::Restart { .. } => Err(Failure::permanent("the stream begins anew here")),
        }
    }
}

/// A reader of a run's stream. It reads the log: it is never in the way of whoever writes, and loses and repeats nothing.
pub struct StreamReader {
    follow: Follow,
    ready: VecDeque<(StreamCursor, StreamItem)>,
    cursor: StreamCursor,
}

impl StreamReader {
    /// The next item; `None` when the run has ended.
    ///
    /// # Errors
    ///
    /// As [`Follow::next`].
    pub async fn next(&mut self) -> Result<Option<StreamItem>, RunError> {
        loop {
            if let Some((cursor, item)) = self.ready.pop_front() {
                self.cursor = cursor;
                return Ok(Some(item));
            }
            let Some((_, entry)) = self.follow.next().await? else { return Ok(None) };
            let mut present = self.cursor.attempt;
            for (index, event) in entry.transition.events.into_iter().enumerate() {
                let (attempt, chunk) = match event {
                    Event::Streamed { attempt, chunk } => (attempt, Some(chunk)),
                    // Whoever takes it next begins anew, under the same number.
                    Event::AttemptReturned { attempt, .. } if attempt == present => (attempt, None),
                    _ => continue,
                };
                let cursor = StreamCursor { version: entry.version, index: index + 1, attempt };
                if (cursor.version, cursor.index) <= (self.cursor.version, self.cursor.index) {
                    continue;
                }
                let Some(chunk) = chunk else {
                    self.ready.push_back((cursor, StreamItem::Restart { attempt }));
                    continue;
                };
                if attempt > present.max(1) {
                    // Asked again from before it, the mark comes again with its first piece.
                    let before = StreamCursor { index, attempt: present, ..cursor };
                    self.ready.push_back((before, StreamItem::Restart { attempt }));
                }
                present = attempt;
                self.ready.push_back((cursor, StreamItem::Chunk { attempt, payload: chunk }));
            }
        }
    }

    /// Where it is, for a reader that comes back later.
    pub fn cursor(&self) -> StreamCursor {
        self.cursor
    }
}

impl<O> RunHandle<O> {
    /// Reads the run's stream from behind `cursor`; the default one is the beginning.
    pub fn stream(&self, cursor: StreamCursor) -> StreamReader {
        let follow = self.engine.follow_from(self.id(), cursor.version.max(1));
        StreamReader { follow, ready: VecDeque::new(), cursor }
    }

    /// How far the run says to be: the latest few, oldest first. Progress is kept in memory until the run ends.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the engine has stopped.
    pub async fn progress(&self) -> Result<Vec<Update>, RunError> {
        let run = self.id();
        self.engine.ask(|reply| Input::Progress { run, after: None, reply }).await
    }

    /// Waits for progress behind a number, 0 for any; nothing comes where the run has ended.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::progress`].
    pub async fn next_progress(&self, after: u64) -> Result<Vec<Update>, RunError> {
        let run = self.id();
        self.engine.ask(|reply| Input::Progress { run, after: Some(after), reply }).await
    }
}

impl Update {
    /// What was said.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if it is of another type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        decode("the progress", &self.value)
    }
}

impl Task {
    /// Shows a piece of the result before the whole is there. When that succeeds it is durable.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotHeld`] if the attempt is not this worker's any more, [`WorkerError::Run`] if the stream is too large.
    pub async fn stream<T: Serialize + ?Sized>(&self, chunk: &T) -> Result<(), WorkerError> {
        let chunk = encode("a piece of a stream", chunk).map_err(|failure| too_bad(&failure))?;
        let held = self.held();
        self.engine.ask(|reply| Input::Worker(FromWorker::Stream { held, chunk, reply })).await
    }

    /// Says how far the work is. That is a sign of life too.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotHeld`] if the attempt is not this worker's any more; [`WorkerError::Payload`] over 64 KiB.
    pub async fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), WorkerError> {
        let value = encode("the progress", value).map_err(|failure| too_bad(&failure))?;
        if value.len() > LARGEST_PROGRESS {
            let message = format!("progress of {} bytes is over the limit of {LARGEST_PROGRESS}", value.len());
            return Err(WorkerError::Payload(message));
        }
        let held = self.held();
        self.engine.ask(|reply| Input::Worker(FromWorker::Progress { held, value, reply })).await
    }
}

fn too_bad(failure: &Failure) -> WorkerError {
    WorkerError::Payload(failure.message().to_owned())
}
