//! The built-in agent that is a language model: any endpoint that speaks the chat completions API.

#![allow(dead_code, reason = "the agent that is made of these parts is not there yet")]

mod address;
mod secret;
mod stream;
mod wire;
