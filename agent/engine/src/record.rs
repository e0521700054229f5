//! The report, as it grows. What it holds was told to the listeners first, so that both say the same.

use std::collections::BTreeMap;

use converge_model::report::{Conclusion, NotificationReport, REPORT_FORMAT, ReportedError};
use converge_model::{Changes, Error, Event, EventSink, Outcome, Report, ResourceId, ResourceReport, Timing};

use crate::redact::Redacted;
use crate::request::RunRequest;
use crate::stop::Reason;

/// The report of a resource of which nothing more is known.
pub(crate) fn ended(id: ResourceId, outcome: Outcome) -> ResourceReport {
    ResourceReport {
        id,
        outcome,
        changes: Changes::none(),
        reason: None,
        error: None,
        ignored: false,
        audit: false,
        assumptions: Vec::new(),
        micros: 0,
        origin: None,
    }
}

/// What a run did, so far.
pub(crate) struct Record<'a> {
    events: &'a dyn EventSink,
    report: Report,
    failed: bool,
    stopped: Option<Reason>,
}

impl<'a> Record<'a> {
    /// An empty record of a run over `resources` resources, which begins now.
    pub(crate) fn begin(request: &RunRequest<'a>, resources: usize) -> Self {
        let report = Report {
            format: REPORT_FORMAT,
            run: request.run,
            node: request.node.to_owned(),
            policy: request.catalog.policy.clone(),
            revision: request.revision,
            undoes: request.undoes,
            mode: request.mode,
            started: request.clock.now(),
            millis: 0,
            conclusion: Conclusion::Succeeded,
            passes: 1,
            counts: BTreeMap::new(),
            resources: Vec::with_capacity(resources),
            notifications: Vec::new(),
            remarks: Vec::new(),
        };
        let policy = &report.policy;
        request.events.emit(&Event::Started { run: request.run, mode: request.mode, policy, resources });
        Self { events: request.events, report, failed: false, stopped: None }
    }

    /// Something the operator should know of the run as a whole; said once where it comes twice in a row.
    pub(crate) fn remark(&mut self, remark: String) {
        if self.report.remarks.last() != Some(&remark) {
            self.report.remarks.push(remark);
        }
    }

    /// The run as a whole failed to do something that belongs to no resource.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.failed = true;
        self.remark(error.to_string());
    }

    /// The run ended early.
    pub(crate) fn stop(&mut self, reason: Reason) {
        self.stopped.get_or_insert(reason);
    }

    /// A resource ended.
    pub(crate) fn resource(&mut self, resource: ResourceReport, position: usize) {
        self.events.emit(&Event::Finished { resource: &resource, position });
        self.failed |= resource.outcome == Outcome::Failed && !resource.ignored;
        *self.report.counts.entry(resource.outcome).or_default() += 1;
        self.report.resources.push(resource);
    }

    /// How the resource that ended last did.
    pub(crate) fn last(&self) -> Option<&ResourceReport> {
        self.report.resources.last()
    }

    /// A notification ended. `ignored` says that its failure is not the run's.
    pub(crate) fn notification(
        &mut self,
        notification: NotificationReport,
        error: Option<&Redacted<Error>>,
        ignored: bool,
    ) {
        let error = error.map(Redacted::get);
        self.events.emit(&Event::Notified {
            target: &notification.target,
            action: &notification.action,
            outcome: notification.outcome,
            error,
        });
        self.failed |= notification.outcome == Outcome::Failed && !ignored;
        self.report.notifications.push(NotificationReport { error: error.map(ReportedError::from), ..notification });
    }

    /// How the run ends, as things stand.
    pub(crate) fn conclusion(&self) -> Conclusion {
        match self.stopped {
            Some(Reason::Cancelled) => Conclusion::Cancelled,
            Some(Reason::TimedOut) => Conclusion::TimedOut,
            None if self.failed => Conclusion::Failed,
            None => Conclusion::Succeeded,
        }
    }

    /// The whole report of a run that took `micros`.
    pub(crate) fn end(mut self, micros: u64) -> Report {
        self.report.conclusion = self.conclusion();
        self.report.millis = micros / 1_000;
        self.events.emit(&Event::Ended { conclusion: &self.report.conclusion });
        self.report
    }
}

/// The report of a notification.
pub(crate) fn notification(
    target: ResourceId,
    action: String,
    timing: Timing,
    sources: Vec<ResourceId>,
    outcome: Outcome,
) -> NotificationReport {
    NotificationReport { target, action, timing, sources, outcome, error: None }
}
