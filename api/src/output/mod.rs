//! How things are shown: where they go, tables, trees, times and texts.

mod console;
mod meter;
mod table;
mod text;
pub(crate) mod tree;

pub(crate) use console::{Console, INTERRUPTED};
pub(crate) use meter::Meter;
pub(crate) use table::{Column, Fit, Table};
pub(crate) use text::{counted, printable, shorten, time};
