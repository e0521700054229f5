//! Waiting for a process: for its end, for its deadline, for a request to stop.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use converge_model::Cancel;
use converge_model::system::commands::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::capture::Capture;

/// How long a process group may take to end after SIGTERM, before SIGKILL; and how long it is waited for after that.
const GRACE: Duration = Duration::from_secs(5);

/// How long output is still read after the process itself has ended, where others of its group keep the pipe open.
const DRAIN: Duration = Duration::from_millis(200);

/// How often a request to stop is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Waits for a process, reads what it prints meanwhile, and ends it when its time is up.
pub(super) struct Supervisor<'a> {
    /// The process, which leads its group.
    pub(super) pid: Pid,
    /// Says when it is to end before its time.
    pub(super) cancel: &'a Cancel,
}

/// A process that is being ended.
struct Ending {
    why: Exit,
    /// When to take the next step: SIGKILL, then giving up.
    next: Instant,
    killed: bool,
}

impl Supervisor<'_> {
    /// How it ended; nothing where it could not be ended. It is not reaped.
    pub(super) fn supervise(&self, captures: &mut [Capture], timeout: Duration) -> rustix::io::Result<Option<Exit>> {
        // Without it (Linux before 5.3) the end of a process that keeps its output closed is seen a tick later.
        let watch = rustix::process::pidfd_open(self.pid, PidfdFlags::empty()).ok();
        let deadline = Instant::now().checked_add(timeout);
        let mut ending: Option<Ending> = None;
        let mut ended: Option<(Exit, Instant)> = None;
        loop {
            captures.iter_mut().for_each(Capture::read_available);
            let now = Instant::now();
            if ended.is_none() {
                ended = self.poll_exit()?.map(|exit| (exit, now + DRAIN));
            }
            if let Some((exit, drained)) = ended
                && (now >= drained || captures.iter().all(|capture| capture.pipe().is_none()))
            {
                return Ok(Some(ending.map_or(exit, |ending| ending.why)));
            }
            match &mut ending {
                Some(ending) if now < ending.next => {}
                Some(ending) if ending.killed => {
                    if ended.is_none() {
                        return Ok(None);
                    }
                }
                Some(ending) => {
                    let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
                    (ending.killed, ending.next) = (true, now + GRACE);
                }
                None => {
                    let why = if self.cancel.is_now() {
                        Some(Exit::Cancelled)
                    } else {
                        deadline.is_some_and(|deadline| now >= deadline).then_some(Exit::TimedOut)
                    };
                    if let Some(why) = why.filter(|_| ended.is_none()) {
                        let _ = rustix::process::kill_process_group(self.pid, Signal::TERM);
                        // A stopped process sees no other signal until it goes on.
                        let _ = rustix::process::kill_process_group(self.pid, Signal::CONT);
                        ending = Some(Ending { why, next: now + GRACE, killed: false });
                    }
                }
            }
            let next = [
                ended.map(|(_, drained)| drained),
                ending.as_ref().map(|ending| ending.next),
                deadline.filter(|_| ending.is_none() && ended.is_none()),
            ];
            let wait = next.into_iter().flatten().map(|at| at.saturating_duration_since(now)).fold(TICK, Duration::min);
            wait_for(captures, watch.as_ref().filter(|_| ended.is_none()), wait)?;
        }
    }

    fn poll_exit(&self) -> rustix::io::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(self.pid), options))?;
        Ok(status.and_then(|status| {
            status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
        }))
    }
}

/// Waits until there is something to read, the process ended, or `wait` is over.
fn wait_for(captures: &[Capture], watch: Option<&OwnedFd>, wait: Duration) -> rustix::io::Result<()> {
    let mut handles: Vec<PollFd<'_>> = captures
        .iter()
        .filter_map(|capture| capture.pipe())
        .map(|pipe| PollFd::new(pipe, PollFlags::IN))
        .chain(watch.map(|watch| PollFd::new(watch, PollFlags::IN)))
        .collect();
    let wait =
        Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut handles, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
