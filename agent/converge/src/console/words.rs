//! Numbers and times as people say them.

use converge_model::{Outcome, Timestamp};
use std::collections::BTreeMap;

/// `3 updated, 40 up to date`: every outcome that occurs, the eventful ones first.
pub(crate) fn counts(counts: &BTreeMap<Outcome, u64>) -> String {
    let order = [
        Outcome::Failed,
        Outcome::Unprocessed,
        Outcome::Updated,
        Outcome::WouldUpdate,
        Outcome::Skipped,
        Outcome::UpToDate,
    ];
    let parts: Vec<String> = order
        .into_iter()
        .filter_map(|outcome| {
            counts.get(&outcome).filter(|count| **count > 0).map(|count| format!("{count} {outcome}"))
        })
        .collect();
    if parts.is_empty() { "no resources".to_owned() } else { parts.join(", ") }
}

/// `1.2 s`, `35 ms`.
pub(crate) fn millis(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", millis as f64 / 1_000.0),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

/// `now`, `5 min ago`, `3 days ago`, or in the future by a clock that differs.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let (seconds, suffix) = match now.0 - then.0 {
        past if past >= 0 => (past / 1_000, "ago"),
        ahead => (-ahead / 1_000, "ahead of this clock"),
    };
    match seconds {
        0..5 => "now".to_owned(),
        5..120 => format!("{seconds} s {suffix}"),
        120..7_200 => format!("{} min {suffix}", seconds / 60),
        7_200..172_800 => format!("{} h {suffix}", seconds / 3_600),
        _ => format!("{} days {suffix}", seconds / 86_400),
    }
}

/// `in 5 min`, or `now`.
pub(crate) fn in_time(then: Timestamp, now: Timestamp) -> String {
    match ago(now, then).strip_suffix(" ago") {
        Some(span) => format!("in {span}"),
        None => "now".to_owned(),
    }
}

/// `300 bytes`, `12.0 kB`, `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A moment in UTC, to the second: `2026-11-23 05:50:00`.
pub(crate) fn moment(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = Timestamp(1_000_000_000);
        for (then, said) in [
            (now.0, "now"),
            (now.0 - 90_000, "90 s ago"),
            (now.0 - 600_000, "10 min ago"),
            (now.0 - 86_400_000, "24 h ago"),
            (now.0 + 600_000, "10 min ahead of this clock"),
        ] {
            assert_eq!(ago(Timestamp(then), now), said);
        }
        for (then, said) in [(now.0, "now"), (now.0 + 600_000, "in 10 min"), (now.0 - 600_000, "now")] {
            assert_eq!(in_time(Timestamp(then), now), said);
        }
        assert_eq!((size(7), size(12_000), size(1_250_000)), ("7 bytes".into(), "12.0 kB".into(), "1.2 MB".into()));
        assert_eq!((millis(7), millis(1_250), millis(61_000)), ("7 ms".into(), "1.2 s".into(), "1 min 1 s".into()));
        assert_eq!(counts(&BTreeMap::new()), "no resources");
    }
}
