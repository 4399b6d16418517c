//! The endpoint for those who act for a run while it works: on this machine alone, by the run's token.
//!
//! It is there before the engine is, since handlers need its address to be registered; who comes before the engine waits for it.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /v1/run` | says which run it is, and what it may trigger |
//! | `POST /v1/run/trigger` | triggers something in the run's name and waits for the result |

mod body;
mod door;
mod error;
mod holder;
mod routes;

pub(crate) use door::Door;
