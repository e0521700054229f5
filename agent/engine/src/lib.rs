//! One run: order, guards, observe, diff, apply, verify, notifications, journal, events, report.
