//! Durable workflows in one process: a caller suspends while its children run, survives any crash, and resumes exactly once.
//!
//! A **workflow** is an async function over a [`Context`]. What goes through the context (steps, calls, sleeps, signals) is
//! recorded in an append-only log, once; after a crash the function is executed again and takes what is recorded from
//! there. State is only ever what replaying the log gives.
//!
//! ```
//! use rejoin::{Context, Engine, Failure, Workflow, time::minutes};
//!
//! const DOUBLE: Workflow<u32, u32> = Workflow::named("double");
//! const REPORT: Workflow<u32, String> = Workflow::named("report");
//!
//! async fn double(ctx: Context, n: u32) -> Result<u32, Failure> {
//!     ctx.step("compute", move || async move { Ok::<u32, Failure>(n * 2) }).retry(3).await
//! }
//!
//! async fn report(ctx: Context, n: u32) -> Result<String, Failure> {
//!     let doubled = ctx.call(&DOUBLE, n).timeout(minutes(5)).await?; // suspends here, survives anything
//!     Ok(format!("{n} doubled is {doubled}"))
//! }
//!
//! # fn main() -> rejoin::Result<()> {
//! # let folder = std::env::temp_dir().join(format!("rejoin-doc-{}", std::process::id()));
//! # let folder = folder.to_str().unwrap_or("rejoin-doc").to_owned();
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let engine = Engine::open(&folder).workflow(&DOUBLE, double).workflow(&REPORT, report).start().await?;
//! let run = engine.trigger(&REPORT, 21).key("the-answer").await?; // twice: the same run
//! assert_eq!(run.result().await?, "21 doubled is 42");
//! engine.shutdown().await;
//! # let _ = std::fs::remove_dir_all(&folder);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! What is not here: a clock or chance that a handler may use outside its context, a service to operate, and any way to
//! change a run other than by an event in the log.

mod activation;
mod agent;
mod channel;
pub mod codec;
mod combine;
mod context;
mod conversation;
#[cfg(feature = "definitions")]
pub mod definition;
mod engine;
mod error;
pub mod export;
mod failure;
pub mod history;
mod listing;
mod projection;
mod registry;
mod replay;
mod report;
mod results;
mod retry;
mod runtime;
mod schema;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod upgrade;
pub mod why;
mod workflow;

pub use agent::{Agent, Grant, Job};
pub use channel::{Announcement, Channel};
pub use combine::{
    Either, Join2, Join3, Join4, Join5, Join6, Joinable, Unordered, join, join_all, select, try_join_all,
};
pub use context::{
    Answer, Answers, Approval, Assign, Attempt, Call, Contact, Context, Decision, Group, GroupError, HandingOff,
    IntoStep, Release, Releasing, Shown, Signal, SignalWithin, Sleep, Spawned, Step, Telling,
};
pub use conversation::{Busy, Document, Message, Sort, Speaker, Thread, Turn};
pub use engine::{
    ApprovalToken, Builder, CancelRequest, Conversation, ConversationFilter, ConversationInfo, ConversationPage,
    Engine, Filter, Follow, Open, OpenApproval, Page, Participant, ParticipantCall, RunHandle, RunInfo, RunToken,
    Saying, Sent, SignalRequest, StreamCursor, StreamItem, StreamReader, TriggerRequest, Wait, Worker, WorkerTask,
};
pub use error::{Error, RunError, StartError, TriggerError, WorkerError};
pub use failure::Failure;
pub use projection::{Projection, RunRow, RunStatus, TalkRow};
pub use registry::Callable;
pub use rejoin_machine::call::OnTimeout;
pub use rejoin_machine::retry::Policy as RetryPolicy;
pub use rejoin_machine::{
    CallKey, Event, FailureKind, Limits, OpNo, Payload, Rejection, RunId, Timestamp, Transition, Usage,
};
/// The disk under the log, for those who put something of their own between: see [`Builder::wrap_disk`].
pub use rejoin_store::disk;
pub use rejoin_store::journal::Progress;
pub use report::{Action, ActionSort, ActionStatus, Called, Complaint, Task, TaskResult, TaskUsage};
pub use results::{Results, Tagged};
pub use runtime::{Clock, Entropy, IndexKind, Ports, Presence, Running, Settings, Spawn, SystemClock, Update};
pub use upgrade::Upgrade;
pub use why::Why;
pub use workflow::Workflow;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

// And those of the guide to testing.
#[cfg(all(doctest, feature = "testkit"))]
#[doc = include_str!("../../docs/testing.md")]
struct TestingGuide;

// And those of the guide to agents.
#[cfg(all(doctest, feature = "testkit"))]
#[doc = include_str!("../../docs/agents.md")]
struct AgentsGuide;
