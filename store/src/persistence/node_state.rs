//! What the reports of a node say of its state: on separate axes, each kept until something says otherwise.

use converge_model::report::{Conclusion, Mode};
use converge_model::{Outcome, Report, Timestamp};
use rusqlite::{Connection, Row, params};

/// The axes that reports say something about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeState {
    /// How the last run ended that was not cancelled.
    outcome: Option<String>,
    /// Since when it ends so, by the store's clock.
    outcome_since: Option<i64>,
    /// What the last whole run ran.
    whole_revision: Option<i64>,
    /// How many resources the last whole run found changed although nobody changed the policy or the node's data.
    drift: i64,
    /// How many notifications are still due.
    pending: i64,
    /// Whether an operator changed the node's data since its last whole run.
    edited: bool,
}

impl NodeState {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            outcome: row.get(0)?,
            outcome_since: row.get(1)?,
            whole_revision: row.get(2)?,
            drift: row.get(3)?,
            pending: row.get(4)?,
            edited: row.get(5)?,
        })
    }

    /// The state after a report. Reports come in the order of their runs: a node's spool keeps it.
    fn after(mut self, report: &Report, now: Timestamp) -> Self {
        let is_whole = matches!(report.conclusion, Conclusion::Succeeded | Conclusion::Failed);
        if is_whole {
            let revision = report.revision.map(u64::cast_signed);
            // What a failed run left is not drift when the next one mends it.
            let was_right = self.outcome.as_deref() == Some(Conclusion::Succeeded.words());
            let same = was_right && !self.edited && revision.is_some() && self.whole_revision == revision;
            self.drift = if same { drifted(report) } else { 0 };
            self.whole_revision = revision;
            self.edited = false;
        }
        if is_whole || matches!(report.conclusion, Conclusion::Cancelled | Conclusion::TimedOut) {
            let due = |outcome| matches!(outcome, Outcome::Failed | Outcome::Unprocessed);
            let due = report.notifications.iter().filter(|notification| due(notification.outcome)).count();
            self.pending = i64::try_from(due).unwrap_or(i64::MAX);
        }
        if report.conclusion != Conclusion::Cancelled && self.outcome.as_deref() != Some(report.conclusion.words()) {
            self.outcome = Some(report.conclusion.words().to_owned());
            self.outcome_since = Some(now.0);
        }
        self
    }
}

/// How many resources of a run were in another state than desired. A command that is run each time is not.
fn drifted(report: &Report) -> i64 {
    let found = report.resources.iter().filter(|resource| {
        matches!(resource.outcome, Outcome::Updated | Outcome::WouldUpdate)
            && resource.changes.states().next().is_some()
    });
    i64::try_from(found.count()).unwrap_or(i64::MAX)
}

/// Notes a report of a node, within a transaction that goes on.
pub(super) fn note_report(db: &Connection, node: i64, report: &Report, now: Timestamp) -> rusqlite::Result<()> {
    if report.mode == Mode::Plan {
        return db.prepare_cached("UPDATE node SET last_contact = ?2 WHERE id = ?1")?.execute([node, now.0]).map(drop);
    }
    let sql = "SELECT outcome, outcome_since, whole_revision, drift, pending, edited FROM node WHERE id = ?1";
    let state = db.prepare_cached(sql)?.query_row([node], NodeState::read)?.after(report, now);
    let sql = "UPDATE node SET last_contact = ?2, last_run = ?3, outcome = ?4, outcome_since = ?5, whole_revision = ?6,
               drift = ?7, pending = ?8, edited = ?9 WHERE id = ?1";
    let NodeState { outcome, outcome_since, whole_revision, drift, pending, edited } = state;
    let run = report.run.to_bytes();
    let values = params![node, now.0, run, outcome, outcome_since, whole_revision, drift, pending, edited];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

#[cfg(test)]
mod tests {
    use converge_model::report::NotificationReport;
    use converge_model::{Change, ResourceReport, Shown, Timing};

    use super::*;

    fn report(conclusion: Conclusion, revision: u64, change: Option<Change>, notified: Option<Outcome>) -> Report {
        let id: converge_model::ResourceId = "file[/etc/motd]".parse().unwrap();
        let resource = change.map(|change| ResourceReport {
            id: id.clone(),
            outcome: Outcome::Updated,
            changes: [change].into_iter().collect(),
            reason: None,
            error: None,
            ignored: false,
            audit: false,
            assumptions: vec![],
            micros: 0,
            origin: None,
        });
        let notification = notified.map(|outcome| NotificationReport {
            target: id,
            action: "restart".into(),
            timing: Timing::Delayed,
            sources: vec![],
            outcome,
            error: None,
        });
        Report {
            revision: Some(revision),
            conclusion,
            resources: resource.into_iter().collect(),
            notifications: notification.into_iter().collect(),
            ..super::super::samples::report(1, 1)
        }
    }

    #[test]
    fn each_axis_stays_until_something_says_otherwise() {
        use Conclusion::{Cancelled, Crashed, Failed, Succeeded};
        let state = || Some(Change::new("mode", Shown::text("0600"), Shown::text("0644")));
        let act = || Some(Change::act("command", "true"));
        // What each run said, and then: outcome, since, revision, drift, pending.
        type Row = (Report, &'static str, i64, i64, i64, i64);
        let rows: Vec<Row> = vec![
            (report(Succeeded, 1, state(), None), "succeeded", 0, 1, 0, 0),
            (report(Succeeded, 1, state(), None), "succeeded", 0, 1, 1, 0),
            (report(Cancelled, 2, None, None), "succeeded", 0, 1, 1, 0),
            (report(Succeeded, 1, act(), None), "succeeded", 0, 1, 0, 0),
            (report(Succeeded, 2, state(), None), "succeeded", 0, 2, 0, 0),
            (report(Failed, 2, None, Some(Outcome::Failed)), "failed", 5, 2, 0, 1),
            (report(Crashed, 3, None, None), "crashed", 6, 2, 0, 1),
            (report(Failed, 2, None, Some(Outcome::Unprocessed)), "failed", 7, 2, 0, 1),
            (report(Succeeded, 2, state(), Some(Outcome::Updated)), "succeeded", 8, 2, 0, 0),
        ];
        let mut state = NodeState::default();
        for (at, (report, outcome, since, revision, drift, pending)) in (0..).zip(rows) {
            state = state.after(&report, Timestamp(at));
            let found =
                (state.outcome.as_deref(), state.outcome_since, state.whole_revision, state.drift, state.pending);
            assert_eq!(found, (Some(outcome), Some(since), Some(revision), drift, pending), "after report {at}");
        }
        state.edited = true;
        let edited = report(Succeeded, 2, Some(Change::new("mode", Shown::Absent, Shown::text("0644"))), None);
        assert_eq!(state.after(&edited, Timestamp(9)).drift, 0, "an operator changed the node's data");
    }
}
