//! Processors and memory.

use converge_model::Value;

use super::{Source, integer, map, text};

/// How many processors are online, and what they are.
pub(super) fn cpu(source: &Source<'_>) -> Value {
    let processor = source.processor();
    let field = |name: &str| {
        let mut lines = processor.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let online = source.text("sys/devices/system/cpu/online").and_then(|ranges| count(&ranges));
    let count =
        online.or_else(|| std::thread::available_parallelism().ok().and_then(|count| i64::try_from(count.get()).ok()));
    map([
        ("count", Value::Integer(count.unwrap_or(1))),
        ("model", text(field("model name").or_else(|| field("Model")).or_else(|| field("cpu model")))),
        ("vendor", text(field("vendor_id"))),
    ])
}

/// All memory and all swap, in bytes.
pub(super) fn memory() -> Value {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    // The width of the fields differs between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let bytes = |count: u64| integer(count.checked_mul(unit));
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    map([("total", bytes(info.totalram as u64)), ("swap", bytes(info.totalswap as u64))])
}

/// How many numbers a list such as `0-3,8` holds.
fn count(ranges: &str) -> Option<i64> {
    ranges.split(',').try_fold(0, |count, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (i64, i64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (last >= first).then(|| count + last - first + 1)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn processors_are_counted_over_gaps() {
        for (ranges, count) in [("0", Some(1)), ("0-3", Some(4)), ("0-1,4,6-7\n", Some(5)), ("", None), ("3-1", None)] {
            assert_eq!(super::count(ranges), count, "{ranges:?}");
        }
    }
}
