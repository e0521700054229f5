//! What nodes say: reports and facts.

use converge_model::report::REPORT_FORMAT;
use converge_model::{Report, RunId, Value};
use converge_protocol::{Page, ReportFilter, ReportSummary};

use super::App;
use crate::error::{StoreError, StoreResult};

impl App {
    /// Keeps a report of the node that a token belongs to. Whatever the report calls its node, it is that one's.
    pub(crate) fn add_report(&self, token: &str, mut report: Report) -> StoreResult<()> {
        if report.format > REPORT_FORMAT {
            return Err(StoreError::invalid(format!(
                "the report has format {}, and this store knows formats up to {REPORT_FORMAT}; upgrade the store",
                report.format
            )));
        }
        let node = self.node_of(token)?;
        report.node.clone_from(&node.assignment.name);
        self.database.add_report(node.id, &report.condensed(), self.now())
    }

    /// Keeps the facts of the node that a token belongs to.
    pub(crate) fn set_facts(&self, token: &str, facts: &Value) -> StoreResult<()> {
        if facts.as_map().is_none() {
            return Err(StoreError::invalid("facts are a map"));
        }
        let node = self.node_of(token)?;
        self.database.set_facts(node.id, facts)
    }

    /// A page of summaries, newest first.
    pub(crate) fn reports(&self, filter: &ReportFilter, limit: usize) -> StoreResult<Page<ReportSummary>> {
        self.database.reports(filter, limit)
    }

    /// One report.
    pub(crate) fn report(&self, run: RunId) -> StoreResult<Report> {
        self.database.report(run)?.ok_or_else(|| StoreError::unknown("report", run))
    }
}
