//! The endpoint for those who act for a run while it works: on this machine alone, by the run's token.
//!
//! It is there before the engine is, since handlers need its address to be registered; who comes before the engine waits for it.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /v1/run` | says which run it is, and what it may trigger |
//! | `POST /v1/run/trigger` | triggers something in the run's name and waits for the result |
//! | `POST /v1/run/subagents` | gives parts of the run's work to its agent once more, side by side, and waits for the answers |
//! | `/v1/run/mcp` | the same as tools, by the Model Context Protocol |
//! | `POST /v1/run/answer` | the result of a run whose agent has said that it comes later |
//! | `POST /v1/run/signal` | sends the run a signal |
//! | `POST /v1/approvals/TOKEN` | the answer to a question, by the token of that alone |

mod body;
mod door;
mod error;
mod holder;
mod mcp;
mod routes;

pub(crate) use door::Door;
