//! An overlay must answer as the machine would, had everything been done for real.

mod assumed;
mod operations;
mod same;
