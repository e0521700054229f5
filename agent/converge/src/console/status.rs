//! How the agent is, in plain words.

use converge_model::Timestamp;

use super::words::{ago, counts, in_time, millis, moment, size};
use super::{BAD, DIM, GOOD, NOTE, styled};
use crate::commands::status::{Status, StoreStatus};
use crate::state::daemon::{DaemonState, DaemonView, Reason};

/// A line for each thing there is to say.
pub(crate) fn text(status: &Status) -> String {
    let mut lines = Lines::default();
    daemon(status, &mut lines);
    if let Some(running) = &status.running {
        let at = match (&running.resource, running.since) {
            (Some(id), Some(since)) => format!("; it is at {id}, since {}", span(since, status.now)),
            (Some(id), None) => format!("; it is at {id}"),
            (None, _) => "; it changes nothing at this moment".to_owned(),
        };
        lines.add("run", format!("under way: {}{at}", running.by));
    }
    runs(status, &mut lines);
    if let Some(store) = &status.store {
        of_store(store, &status.daemon, status.now, &mut lines);
    }
    if status.disk_is_full {
        let full = styled(BAD, "full");
        lines.add("disk", format!("{full}: no run can be kept or queued here; what is said above may be old"));
    }
    spool(status, &mut lines);
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, text: impl std::fmt::Display) {
        self.0.push_str(&format!("{label:<14}{text}\n"));
    }
}

fn daemon(status: &Status, lines: &mut Lines) {
    match &status.daemon {
        DaemonView::None => lines.add("daemon", "none runs; this machine converges when `converge --once` is called"),
        DaemonView::Running { about: None } => {
            lines.add("daemon", "runs, and what it is about is not known: its file is gone");
        }
        DaemonView::Running { about: Some(about) } => {
            let DaemonState { pid, since, interval, .. } = about;
            let runs = styled(GOOD, "runs");
            lines.add("daemon", format!("{runs} since {} UTC (pid {pid}), every {interval}", moment(*since)));
            match (about.next, about.why) {
                (Some(next), why) => {
                    let why = match why {
                        Some(Reason::News) => "the store has something new",
                        _ => "its moment of the interval",
                    };
                    lines.add("next run", format!("{} UTC, {}: {why}", moment(next), in_time(next, status.now)));
                }
                (None, _) => lines.add("next run", "now"),
            }
        }
        DaemonView::Killed { about } => {
            let DaemonState { pid, since, .. } = about;
            let killed = styled(BAD, "was killed");
            lines.add("daemon", format!("{killed}: one ran since {} UTC (pid {pid}); start it again", moment(*since)));
        }
    }
}

fn runs(status: &Status, lines: &mut Lines) {
    let Some(last) = &status.last_run else {
        return lines.add("last run", "none has a report here yet");
    };
    let style = if last.conclusion.is_success() { GOOD } else { BAD };
    let ended = styled(style, last.conclusion.words());
    let (when, took) = (ago(last.started, status.now), millis(last.millis));
    lines.add("last run", format!("{ended}, {when}: {} in {took}", counts(&last.counts)));
    for remark in &last.remarks {
        lines.add("", format!("{} {remark}", styled(NOTE, "remark:")));
    }
    let revision = last.revision.map(|serial| format!(", revision {serial}")).unwrap_or_default();
    lines.add("policy", format!("{}{revision}", last.policy));
    if !last.conclusion.is_success() {
        let success = status.last_success.map(|at| format!("{} UTC, {}", moment(at), ago(at, status.now)));
        lines.add("last success", success.unwrap_or_else(|| "none of the runs whose reports are here".to_owned()));
    }
    if let Some(failure) = &status.last_failure {
        let what = failure.message.as_deref().unwrap_or(&failure.conclusion);
        lines.add("last failure", format!("{}: {what}", ago(failure.started, status.now)));
    }
}

fn of_store(store: &StoreStatus, daemon: &DaemonView, now: Timestamp, lines: &mut Lines) {
    let heard = match store.heard {
        Some(at) => format!("answered {}", ago(at, now)),
        None => "when it last answered is not known".to_owned(),
    };
    let address = &store.contact.store;
    match &store.contact.trouble {
        None => lines.add("store", format!("{address}, {heard}; this node is {} there", store.node)),
        Some(trouble) => {
            let bad = styled(BAD, "in trouble");
            lines.add("store", format!("{address}, {bad} since {}: {}", span(trouble.since, now), trouble.message));
        }
    }
    if let DaemonView::Running { about: Some(DaemonState { unheard: Some(unheard), .. }) } = daemon {
        let again = in_time(unheard.again, now);
        lines.add(
            "",
            format!(
                "the daemon is not told of news since {}: {}; it asks again {again}",
                span(unheard.since, now),
                unheard.message
            ),
        );
    }
    if let Some(until) = store.contact.leave_alone_until.filter(|until| *until > now) {
        lines.add("", format!("it asked to be left alone until {} UTC", moment(until)));
    }
}

fn spool(status: &Status, lines: &mut Lines) {
    let waiting = &status.spool;
    if waiting.reports > 0 {
        let text = format!("{} wait for the store ({}); they are sent in order", waiting.reports, size(waiting.bytes));
        lines.add("reports", text);
    } else if status.store.is_some() {
        lines.add("reports", styled(DIM, "the store has them all"));
    }
    if status.dropped.reports > 0 {
        let (count, style) = (status.dropped.reports, BAD);
        lines.add(
            "",
            format!(
                "{} to make room, and the store was not told yet",
                styled(style, format_args!("{count} were dropped"))
            ),
        );
    }
}

/// `3 min`, from then to now.
fn span(since: Timestamp, now: Timestamp) -> String {
    let said = ago(since, now);
    said.strip_suffix(" ago").map_or_else(|| "just now".to_owned(), str::to_owned)
}
