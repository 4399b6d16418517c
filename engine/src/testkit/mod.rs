//! The real runtime and the real journal on a simulated world: virtual time, a disk that forgets, one thread.
//!
//! A [`World`] outlives crashes: it has the disk, the time and the chance. A [`Simulation`] is one life of a process in
//! it. Tasks are executed in the order in which they became ready; when nothing is ready, time jumps to the next
//! timer, so that a workflow that sleeps for a month takes a moment.
//!
//! ```
//! use rejoin::testkit::{Simulation, World};
//! use rejoin::{Context, Engine, Failure, Workflow, time::days};
//!
//! const NAP: Workflow<u64, String> = Workflow::named("nap");
//! async fn nap(ctx: Context, length: u64) -> Result<String, Failure> {
//!     ctx.sleep(days(length)).await?;
//!     Ok(format!("slept {length} days"))
//! }
//!
//! let world = World::new(1);
//! let mut simulation = Simulation::start(&world, Engine::open("simulated").workflow(&NAP, nap))?;
//! let engine = simulation.engine();
//! let slept = simulation.block_on(async move { engine.trigger(&NAP, 30).await?.result().await.map_err(rejoin::Error::from) });
//! assert_eq!(slept.expect("it wakes up")?, "slept 30 days");
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! Above that stand tests of workflows: [`simulate`] lives once under virtual time, [`crash_everywhere`] kills a workflow
//! at each of its commits, [`Dialogue`] plays a conversation with an agent, [`golden`] holds today's handlers against the histories of yesterday. `docs/testing.md` is
//! the guide.
//!
//! Steps of a simulated process may not wait for anything outside it, such as a network or a real timer.

pub mod chaos;
pub mod checks;
mod commits;
mod crash;
mod dialogue;
mod history;
mod ledger;
mod life;
mod replay;
mod report;
mod script;
mod simulate;
mod tap;
mod tasks;
mod trace;
mod world;

pub use crate::report::Called;
pub use crash::{CrashTest, Summary, crash_everywhere};
pub use dialogue::{Dialogue, Played};
pub use history::{History, HistoryError, golden};
pub use ledger::{By, Ledger, LedgerEntry};
pub use life::{Simulation, Stuck};
pub use replay::replay;
pub use report::{Finding, Report};
pub use simulate::{RunTest, Simulated, simulate};
pub use tap::Moment;
pub use trace::{ListedRun, Listing, Refused, Seen, Told, Trace, Written};
pub use world::{Chance, World};
