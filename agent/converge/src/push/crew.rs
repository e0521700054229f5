//! Many machines at once: so many at a time, in batches, until one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::cli::PaceArgs;
use crate::failure::{Failure, Outcome};

/// What `work` makes of each machine, in the order in which they are named, as far as `pace` lets it begin: `is_good` says
/// whether a machine did not fail.
pub(crate) fn spread<T: Send>(
    hosts: &[String],
    pace: &PaceArgs,
    work: impl Fn(&str) -> T + Sync,
    is_good: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    let mut ended = Vec::new();
    for batch in hosts.chunks(pace.batch.map_or(hosts.len(), |batch| batch.of(hosts.len())).max(1)) {
        ended.extend(at_once(batch, pace, &work, &is_good));
        if (pace.batch.is_some() || pace.fail_fast) && !ended.iter().all(&is_good) {
            break;
        }
    }
    ended
}

fn at_once<T: Send>(
    hosts: &[String],
    pace: &PaceArgs,
    work: &(impl Fn(&str) -> T + Sync),
    is_good: &(impl Fn(&T) -> bool + Sync),
) -> Vec<T> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ended = Mutex::new(BTreeMap::new());
    let worker = || loop {
        let position = next.fetch_add(1, Ordering::Relaxed);
        let Some(host) = hosts.get(position) else { return };
        if pace.fail_fast && failed.load(Ordering::Relaxed) {
            return;
        }
        let result = work(host);
        failed.fetch_or(!is_good(&result), Ordering::Relaxed);
        ended.lock().unwrap_or_else(PoisonError::into_inner).insert(position, result);
    };
    thread::scope(|scope| {
        for _ in 1..usize::from(pace.jobs).min(hosts.len()) {
            // Where no thread can be had, fewer machines are worked on at once.
            let _ = thread::Builder::new().name("machine".to_owned()).spawn_scoped(scope, worker);
        }
        worker();
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// That what was named are machines: nothing of it may be an option to ssh(1).
///
/// # Errors
/// Where one is none.
pub(crate) fn check(hosts: &[String]) -> Outcome {
    let is_none = |host: &&String| host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace);
    match hosts.iter().find(is_none) {
        None if hosts.iter().collect::<BTreeSet<_>>().len() < hosts.len() => {
            Err(Failure::input("reach", "the machines", "one of them is named twice")
                .with_hint("name each machine once"))
        }
        Some(host) => Err(Failure::input("reach", format!("{host:?}"), "that is no machine")
            .with_hint("name machines as ssh(1) knows them: `web-1`, `admin@web-1`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::push::BatchSize;

    #[test]
    fn no_machine_is_begun_after_what_was_to_stop_it() {
        let hosts: Vec<String> = (0..10).map(|number| format!("web-{number}")).collect();
        let pace = |jobs, fail_fast, batch| PaceArgs { jobs, fail_fast, batch };
        for (pace, begun) in [
            (pace(1, false, None), 10),
            (pace(4, false, None), 10),
            (pace(1, true, None), 4),
            (pace(3, false, Some(BatchSize::Count(2))), 4),
            (pace(1, false, Some(BatchSize::Percent(50))), 5),
            (pace(1, false, Some(BatchSize::Percent(1))), 4),
        ] {
            let ended = spread(&hosts, &pace, |host| host.to_owned(), |host| host != "web-3");
            assert_eq!(ended, hosts[..begun], "{pace:?}");
        }
        assert!(check(&hosts).is_ok());
        for wrong in ["-oProxyCommand=x", "", "a b"] {
            assert!(check(&[wrong.to_owned()]).is_err(), "{wrong:?}");
        }
    }
}
