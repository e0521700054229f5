//! The same work on many things, spread over the processors, in constant extra memory.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Below so many things, starting threads costs more than it gains.
const SERIAL_BELOW: usize = 200;

/// More threads than these only wait for each other and for the disk.
const MOST_THREADS: usize = 16;

/// How many things a thread takes at a time.
const CHUNK: usize = 32;

/// The results of `work` on 0, 1, … `count` - 1, in that order. Where no thread can be had, this one does it all.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let threads = if count < SERIAL_BELOW { 1 } else { processors().min(MOST_THREADS) };
    if threads == 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let chunk = |start: usize| (start..count.min(start + CHUNK)).map(&work).collect::<Vec<R>>();
    let worker = || {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= count {
                return done;
            }
            done.push((start, chunk(start)));
        }
    };
    let mut chunks = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().name("observe".to_owned()).spawn_scoped(scope, worker).ok();
        let helpers: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut chunks = worker();
        chunks.extend(helpers.into_iter().filter_map(|helper| helper.join().ok()).flatten());
        chunks
    });
    chunks.sort_unstable_by_key(|(start, _)| *start);
    let mut results = Vec::with_capacity(count);
    for (start, part) in chunks {
        // What a thread that died had taken is done here.
        while results.len() < start {
            results.extend(chunk(results.len()));
        }
        results.extend(part);
    }
    while results.len() < count {
        results.extend(chunk(results.len()));
    }
    results
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_come_in_order_whatever_the_count() {
        for count in [0, 1, 31, 199, 200, 1_000, 1_025] {
            assert_eq!(map(count, |n| n * 2), (0..count).map(|n| n * 2).collect::<Vec<_>>(), "{count}");
        }
    }
}
