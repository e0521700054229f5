//! Reports. One row a run; a body only where there is more to say than the row does.

use converge_model::report::Conclusion;
use converge_model::{Report, RunId, Timestamp};
use converge_protocol::{Page, ReportFilter, ReportSummary, Scope};
use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use super::node_state::note_report;
use super::nodes::{run_column, scope_columns};
use super::{Database, json_column, one_more_than, to_json};
use crate::error::{StoreError, StoreResult};

/// The columns that [`summary`] reads.
pub(super) const SUMMARY_COLUMNS: &str =
    "report.run, report.policy, report.revision, report.started, report.millis, report.conclusion, report.counts";

/// The summary in the columns from `first` on.
pub(super) fn summary(row: &Row<'_>, first: usize, node: String) -> rusqlite::Result<ReportSummary> {
    Ok(ReportSummary {
        run: run_column(row, first)?,
        node,
        policy: row.get(first + 1)?,
        revision: row.get::<_, Option<i64>>(first + 2)?.map(i64::unsigned_abs),
        started: Timestamp(row.get(first + 3)?),
        millis: row.get::<_, i64>(first + 4)?.unsigned_abs(),
        conclusion: row.get(first + 5)?,
        counts: json_column(row, first + 6)?,
    })
}

impl Database {
    /// Keeps a report of a node. One that is there already is left as it is: twice is once.
    pub(crate) fn add_report(&self, node: i64, report: &Report, now: Timestamp) -> StoreResult<()> {
        let eventful = report.has_changes() || report.conclusion != Conclusion::Succeeded;
        let said = eventful || !report.resources.is_empty() || !report.remarks.is_empty();
        let body = if said { Some(to_json(report)?.into_bytes()) } else { None };
        let counts = to_json(&report.counts)?;
        self.write("add report", |db| {
            let owner: Option<i64> = db
                .prepare_cached("SELECT node FROM report WHERE run = ?1")?
                .query_row([report.run.to_bytes()], |row| row.get(0))
                .optional()?;
            match owner {
                Some(owner) if owner == node => return Ok(()),
                Some(_) => return Err(StoreError::conflict(format!("run {} is another node's", report.run))),
                None => {}
            }
            db.prepare_cached("INSERT INTO report VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?.execute(
                params![
                    report.run.to_bytes(),
                    node,
                    report.policy,
                    report.revision.map(u64::cast_signed),
                    report.started.0,
                    report.millis.cast_signed(),
                    report.conclusion.words(),
                    counts,
                    eventful,
                    now.0,
                    body
                ],
            )?;
            note_report(db, node, report, now)?;
            Ok(())
        })
    }

    /// A page of summaries of nodes within a scope, newest first.
    pub(crate) fn reports(
        &self,
        scope: &Scope,
        filter: &ReportFilter,
        limit: usize,
    ) -> StoreResult<Page<ReportSummary>> {
        let mut conditions = vec!["TRUE".to_owned()];
        let mut values: Vec<rusqlite::types::Value> = Vec::new();
        if let Some(node) = &filter.node {
            values.push(node.clone().into());
            conditions.push(format!("node.name = ?{}", values.len()));
        }
        let (policies, groups) = scope_columns(scope)?;
        for (column, names) in [("node.policy", policies), ("node.node_group", groups)] {
            let Some(names) = names else { continue };
            values.push(names.into());
            conditions.push(format!("{column} IN (SELECT value FROM json_each(?{}))", values.len()));
        }
        if filter.eventful {
            conditions.push("report.eventful".to_owned());
        }
        if let Some(after) = &filter.after {
            let run: RunId = after.parse().map_err(StoreError::invalid)?;
            values.push(run.to_bytes().to_vec().into());
            conditions.push(format!("report.run < ?{}", values.len()));
        }
        let sql = format!(
            "SELECT node.name, {SUMMARY_COLUMNS} FROM report JOIN node ON node.id = report.node
             WHERE {} ORDER BY report.run DESC LIMIT {}",
            conditions.join(" AND "),
            one_more_than(limit)
        );
        let mut items: Vec<ReportSummary> = self.read("list reports", |db| {
            let mut statement = db.prepare_cached(&sql)?;
            statement.query_map(params_from_iter(values), |row| summary(row, 1, row.get(0)?))?.collect()
        })?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|report| report.run.to_string()) } else { None };
        Ok(Page { items, next })
    }

    /// One report, whole as it came.
    pub(crate) fn report(&self, run: RunId) -> StoreResult<Option<Report>> {
        let sql = format!(
            "SELECT node.name, report.body, {SUMMARY_COLUMNS} FROM report JOIN node ON node.id = report.node
             WHERE report.run = ?1"
        );
        type Found = (Option<Vec<u8>>, ReportSummary);
        let found: Option<Found> = self.read("show report", |db| {
            let row = |row: &Row<'_>| Ok((row.get(1)?, summary(row, 2, row.get(0)?)?));
            db.prepare_cached(&sql)?.query_row([run.to_bytes()], row).optional()
        })?;
        match found {
            None => Ok(None),
            Some((Some(body), _)) => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| StoreError::trouble("read", &format!("report {run}"), error)),
            Some((None, summary)) => Ok(Some(uneventful(summary))),
        }
    }
}

/// The report of a run in which everything was up to date, from its row alone.
fn uneventful(summary: ReportSummary) -> Report {
    Report {
        format: converge_model::report::REPORT_FORMAT,
        run: summary.run,
        node: summary.node,
        policy: summary.policy,
        revision: summary.revision,
        undoes: None,
        mode: converge_model::report::Mode::Apply,
        started: summary.started,
        millis: summary.millis,
        conclusion: Conclusion::Succeeded,
        passes: 1,
        counts: summary.counts,
        resources: Vec::new(),
        notifications: Vec::new(),
        remarks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn an_unchanged_report_costs_at_most_200_bytes() {
        const NODES: u32 = 100;
        const REPORTS: i64 = 10_000;
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("store.db")).unwrap();
        let nodes = samples::nodes(&database, NODES);
        let pages = || {
            let size = |db: &rusqlite::Connection| db.query_row("SELECT sum(pgsize) FROM dbstat", [], |row| row.get(0));
            database.read("measure", size).unwrap()
        };
        let before: i64 = pages();
        // As requests do it: many at once, which share their commits.
        let next = std::sync::atomic::AtomicI64::new(0);
        let add_reports = || loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= REPORTS {
                break;
            }
            let random = u128::from(number.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let report = samples::report(1_800_000_000_000 + number * 18_000, random);
            let node = nodes[usize::try_from(number).unwrap() % nodes.len()];
            database.add_report(node, &report, Timestamp(report.started.0 + 40)).unwrap();
        };
        std::thread::scope(|scope| (0..64).for_each(|_| drop(scope.spawn(add_reports))));
        let each = (pages() - before) / REPORTS;
        assert!(each <= 200, "{each} bytes for each report");
    }
}
