//! The command line of Rejoin.

fn main() {}
