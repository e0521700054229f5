//! The same work on many things, spread over the processors.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Below so many small things, starting threads costs more than it gains.
const SERIAL_BELOW: usize = 200;

/// More threads than these only wait for each other and for the disk.
const MOST_THREADS: usize = 16;

/// How many things a thread of [`map`] takes at a time.
const CHUNK: usize = 32;

/// The results of `work` on 0, 1, … `count` - 1, in that order. Where no thread can be had, this one does it all.
pub fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let chunk = |_: &mut (), range: Range<usize>| range.map(&work).collect::<Vec<R>>();
    let mut chunks = chunks(count, CHUNK, || (), chunk).into_iter();
    let mut results = chunks.next().unwrap_or_default();
    results.reserve_exact(count - results.len());
    chunks.for_each(|chunk| results.extend(chunk));
    results
}

/// The results of `work` on 0, 1, … `count` - 1, at most `size` of them at a time, in that order. Each thread makes a
/// `state` for itself, which all of its work shares. Few things are one chunk, whatever `size` is.
pub fn chunks<S, R: Send>(
    count: usize,
    size: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, Range<usize>) -> R + Sync,
) -> Vec<R> {
    match if count < SERIAL_BELOW { 1 } else { processors() } {
        1 => vec![work(&mut state(), 0..count)],
        threads => spread(count, size.max(1), threads, state, work),
    }
}

/// As [`map`], of work that takes long, each time, or waits: few things are spread too.
pub fn map_slow<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let one = |_: &mut (), range: Range<usize>| work(range.start);
    if count == 0 { Vec::new() } else { spread(count, 1, processors().min(count), || (), one) }
}

fn spread<S, R: Send>(
    count: usize,
    size: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, Range<usize>) -> R + Sync,
) -> Vec<R> {
    let range = |chunk: usize| chunk * size..count.min((chunk + 1) * size);
    let total = count.div_ceil(size);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut state = state();
        let mut done = Vec::new();
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= total {
                return done;
            }
            done.push((chunk, work(&mut state, range(chunk))));
        }
    };
    let mut results: Vec<Option<R>> = std::iter::repeat_with(|| None).take(total).collect();
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().name("worker".to_owned()).spawn_scoped(scope, worker).ok();
        let helpers: Vec<_> = (1..threads).filter_map(spawn).collect();
        let own = worker();
        let others = helpers.into_iter().filter_map(|helper| helper.join().ok()).flatten();
        own.into_iter().chain(others).for_each(|(chunk, result)| results[chunk] = Some(result));
    });
    // What a thread that died had taken is done here.
    let result = |(chunk, result): (usize, Option<R>)| result.unwrap_or_else(|| work(&mut state(), range(chunk)));
    results.into_iter().enumerate().map(result).collect()
}

/// How many threads to start. Asked once: the answer is in files.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_count() {
        for count in [0, 1, 31, 199, 200, 1_000, 1_025] {
            let wanted: Vec<usize> = (0..count).collect();
            assert_eq!(map(count, |n| n), wanted, "{count}");
            assert_eq!(map_slow(count, |n| n), wanted, "{count}");
            let ranges = chunks(count, 7, || (), |(), range| range);
            assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), wanted, "{count}");
        }
    }

    #[test]
    fn what_a_thread_that_died_had_taken_is_done_by_this_one() {
        let this = thread::current().id();
        let work = |n: usize| match thread::current().id() == this {
            true => n,
            false => panic!("died"),
        };
        assert_eq!(map(1_000, work), (0..1_000).collect::<Vec<_>>());
    }
}
