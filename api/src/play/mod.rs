//! Tests of a project: scripted conversations and runs, played on an engine of their own with the project's agents.
//!
//! | file | its one idea |
//! |---|---|
//! | `script` | the files: what is said and done, and what must come of it |
//! | `scene` | what a script is about, a conversation or a run, and what there is to see of it |
//! | `player` | step by step through a script, once, however often the process dies on the way |
//! | `memory` | which steps have been done, beside the log |
//! | `time` | the clock of a test, which can be put forward |
//! | `stage` | a copy of the project's folder for each life |
//! | `dying` | a disk that ends the process at a commit |
//! | `life` | one process that plays a script |
//! | `proof` | the same script with a crash at every commit, held against the undisturbed one |

mod dying;
mod life;
mod memory;
mod player;
mod proof;
mod scene;
mod script;
mod stage;
mod time;

pub(crate) use life::{Lived, live};
pub(crate) use proof::{Proof, Proven};
pub(crate) use script::{Script, read};
