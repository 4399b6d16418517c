//! Agents that do their work elsewhere, and the endpoint that programs among them ask: with real processes and real sockets.

#[path = "../../src/agents/mod.rs"]
mod agents;
mod channels;
mod doors;
#[path = "../../src/endpoint/mod.rs"]
mod endpoint;
mod endpoints;
#[path = "../../src/outside/mod.rs"]
mod outside;
mod parts;
mod programs;
mod stage;
