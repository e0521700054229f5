//! Converge: a configuration agent for Linux fleets.
fn main() {}
