//! The same work on many things, spread over the processors.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

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
    let results = Mutex::new(Vec::from_iter(std::iter::repeat_with(|| None).take(total)));
    let worker = || {
        let mut state = state();
        let mut done = Vec::new();
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= total {
                break;
            }
            done.push((chunk, work(&mut state, range(chunk))));
        }
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        done.into_iter().for_each(|(chunk, result)| results[chunk] = Some(result));
    };
    match helpers() {
        Some(helpers) => helpers.in_place_scope(|scope| {
            for _ in 1..threads {
                // What a helper that panics had taken is done below.
                scope.spawn(|_| drop(catch_unwind(AssertUnwindSafe(worker))));
            }
            worker();
        }),
        None => worker(),
    }
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let result = |(chunk, result): (usize, Option<R>)| result.unwrap_or_else(|| work(&mut state(), range(chunk)));
    results.into_iter().enumerate().map(result).collect()
}

/// The threads that help this one, for as long as the process lives: starting some for each piece of work costs more than
/// many a piece. None where none can be had.
fn helpers() -> Option<&'static ThreadPool> {
    static HELPERS: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let count = processors().saturating_sub(1).max(1);
        ThreadPoolBuilder::new().num_threads(count).thread_name(|_| "worker".to_owned()).build().ok()
    };
    HELPERS.get_or_init(start).as_ref()
}

static PROCESSORS: OnceLock<usize> = OnceLock::new();

/// Says how many processors this process may use, which saves finding it out: the standard library looks through control
/// groups and all mounts for it. Counts if it is said before anything is spread.
pub fn set_processors(count: usize) {
    let _ = PROCESSORS.set(count.clamp(1, MOST_THREADS));
}

/// How many threads work at once. Asked once: the answer is in files.
fn processors() -> usize {
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
