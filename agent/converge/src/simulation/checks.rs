//! What must be true in the end, whatever happened.

use std::collections::BTreeMap;

use converge_model::Report;
use converge_protocol::{Page, ReportSummary};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::authors::SERIALS;
use super::machine::Machine;
use super::store::Message;
use super::world::World;
use crate::state::spool::{Spool, WHY_DROPPED};

impl World {
    /// Holds the store and all machines against what they promise.
    pub(super) fn check(&self) {
        for machine in &self.machines {
            let book = machine.book.borrow();
            assert_eq!(book.highest, SERIALS, "{} does not run what is live", machine.name);
            drop(book);
            self.check_reports(machine);
            let node: Json = self.look(&format!("/v1/nodes/{}", machine.name));
            assert_eq!(node["facts"]["mood"], machine.mood.get(), "the store has old facts of {}", machine.name);
            assert_eq!(node["run_revision"], SERIALS, "{node}");
            assert_eq!(node["outcome"], "succeeded", "{node}");
        }
    }

    /// Every run has its report at the store, once; or the store was told how many were dropped.
    fn check_reports(&self, machine: &Machine) {
        let book = machine.book.borrow();
        let reports = self.reports(machine);
        let state = machine.state();
        let spool = Spool::of(&state, &machine.config().agent().unwrap());
        assert_eq!(spool.waiting().unwrap().reports, 0, "reports of {} are still queued", machine.name);
        assert_eq!(spool.dropped().reports, 0, "what {} dropped is not told", machine.name);
        let most = book.started;
        assert!(reports.len() <= most, "{} runs of {} have {} reports", most, machine.name, reports.len());
        let told: u64 =
            reports.values().flat_map(|report| &report.remarks).filter_map(|remark| dropped_in(remark)).sum();
        let withheld = self.withheld.borrow();
        let missing: Vec<String> = book
            .ended
            .iter()
            .filter(|run| !book.excused.contains(run))
            .map(ToString::to_string)
            .filter(|run| !reports.contains_key(run) && !withheld.contains(run))
            .collect();
        assert!(
            missing.len() as u64 <= told,
            "{} reports of {} are lost, and the store was told of {told}: {missing:?}",
            missing.len(),
            machine.name
        );
        for serial in &book.seen {
            // Of a run that was cut off, what is known is how far it came.
            let is_told = |report: &Report| {
                report.revision == Some(*serial) && (report.has_changes() || !report.conclusion.is_success())
            };
            let is_there = reports.values().any(is_told) || told > 0 || !withheld.is_empty();
            let said = || {
                reports
                    .values()
                    .map(|report| (report.run, report.revision, report.conclusion.words(), report.has_changes()))
            };
            assert!(
                is_there,
                "no report says that {} changed to revision {serial}: {:?}",
                machine.name,
                said().collect::<Vec<_>>()
            );
        }
    }

    /// All reports of a machine that the store has, by run.
    fn reports(&self, machine: &Machine) -> BTreeMap<String, Report> {
        let mut after = String::new();
        let mut found = BTreeMap::new();
        loop {
            let page: Page<ReportSummary> = self.look(&format!("/v1/reports?node={}{after}", machine.name));
            for summary in page.items {
                let run = summary.run.to_string();
                let report = self.look(&format!("/v1/reports/{run}"));
                assert!(found.insert(run, report).is_none(), "a report is there twice");
            }
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    }

    /// What an operator sees.
    fn look<T: DeserializeOwned>(&self, target: &str) -> T {
        let message = Message::of_operator("GET", target, Vec::new(), &self.authors.operator);
        let answer = self.outside(self.store.answer(&message, None)).expect("the store runs");
        let said = String::from_utf8_lossy(answer.body());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{target}: {error}: {said}"))
    }
}

/// How many reports a remark says were dropped.
fn dropped_in(remark: &str) -> Option<u64> {
    remark.strip_suffix(WHY_DROPPED)?.strip_suffix(" older reports were dropped: ")?.parse().ok()
}
