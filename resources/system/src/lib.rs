//! The only door to Linux, the overlay that plans, and the in-memory machine that tests use.
