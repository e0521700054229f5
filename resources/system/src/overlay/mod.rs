//! A machine whose changes are kept in memory, on top of another: where a plan runs.
