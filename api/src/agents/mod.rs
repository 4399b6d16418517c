//! Agents that do their work elsewhere: programs, and endpoints on the network.
//!
//! Each of them is served by an ordinary handler of this process, see [`elsewhere`]. What is asked of it goes out as one JSON
//! object ([`assignment`]), what comes back is recorded once ([`answer`]), and what went wrong has a name ([`trouble`]).

mod answer;
mod assignment;
pub(crate) mod command;
mod elsewhere;
pub(crate) mod http;
mod line;
pub(crate) mod model;
mod progress;
pub(crate) mod redact;
pub(crate) mod secret;
pub(crate) mod toolbox;
mod trouble;
pub(crate) mod webhook;
