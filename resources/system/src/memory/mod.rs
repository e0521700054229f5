//! A whole machine in memory, with a fault plan: what tests run on.
