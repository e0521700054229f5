//! Services: what the service manager knows, and what it is told to do.
