//! What nodes say: reports and facts.

use converge_model::report::REPORT_FORMAT;
use converge_model::{Report, RunId, Value};
use converge_protocol::{Page, ReportFilter, ReportSummary};

use super::App;
use super::identity::{Node, Operator};
use crate::error::{StoreError, StoreResult};

impl App {
    /// Keeps a report of a node. Whatever the report calls its node, it is that one's.
    pub(crate) fn add_report(&self, node: &Node, mut report: Report) -> StoreResult<()> {
        if report.format > REPORT_FORMAT {
            return Err(StoreError::invalid(format!(
                "the report has format {}, and this store knows formats up to {REPORT_FORMAT}; upgrade the store",
                report.format
            )));
        }
        report.node.clone_from(&node.0.assignment.name);
        self.database.add_report(node.0.id, &report.condensed(), self.now())
    }

    /// Keeps the facts of a node.
    pub(crate) fn set_facts(&self, node: &Node, facts: &Value) -> StoreResult<()> {
        if facts.as_map().is_none() {
            return Err(StoreError::invalid("facts are a map"));
        }
        self.database.set_facts(node.0.id, facts)
    }

    /// A page of summaries of the nodes that an operator may look at, newest first.
    pub(crate) fn reports(
        &self,
        by: &Operator,
        filter: &ReportFilter,
        limit: usize,
    ) -> StoreResult<Page<ReportSummary>> {
        self.database.reports(&by.0.scope, filter, limit)
    }

    /// One report.
    pub(crate) fn report(&self, by: &Operator, run: RunId) -> StoreResult<Report> {
        let report = self.database.report(run)?.ok_or_else(|| StoreError::unknown("report", run))?;
        if !by.0.scope.is_everything() {
            let node = self.node(&report.node)?;
            by.may(&node.policy, Some(&node.group))?;
        }
        Ok(report)
    }
}
