//! Real booted Debian machines for system tests.
