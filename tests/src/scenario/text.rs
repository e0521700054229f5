//! What a run told, as stable text.

use std::fmt::Write as _;

use converge_model::report::{NotificationReport, ReportedError};
use converge_model::{Change, ChangeKind, Diagnostic, Outcome, ResourceReport, Shown, Timing};

use super::node::{Step, Told};

/// What was told, a line a step, with what there is to say below it; then remarks, and how it ended.
pub(super) fn told(told: &Told) -> String {
    let mut text = String::new();
    let mut notifications = told.report.notifications.iter();
    for step in &told.steps {
        match step {
            Step::Resource(report) => resource(&mut text, report),
            Step::Retry(id, error, left) => {
                line(&mut text, format_args!("retrying     {id}, {left} left"));
                detail(&mut text, format_args!("error: {error}"));
            }
            Step::Notification => notifications.next().into_iter().for_each(|report| notification(&mut text, report)),
        }
    }
    for remark in &told.report.remarks {
        line(&mut text, format_args!("remark: {remark}"));
    }
    line(&mut text, format_args!("{}", told.report.conclusion.words()));
    text
}

/// Whether it found nothing to do, and nothing to say.
pub(super) fn is_idle(told: &Told) -> bool {
    let quiet = |outcome| matches!(outcome, Outcome::UpToDate | Outcome::Skipped);
    told.report.conclusion.is_success()
        && told.report.resources.iter().all(|resource| quiet(resource.outcome))
        && told.report.notifications.is_empty()
        && told.report.remarks.is_empty()
}

/// What is wrong with a policy, a finding a line, with what to do below it.
pub(super) fn findings(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        line(&mut text, format_args!("{finding}"));
        if !finding.label.is_empty() {
            detail(&mut text, format_args!("there: {}", finding.label));
        }
        if let Some(help) = &finding.help {
            detail(&mut text, format_args!("help: {help}"));
        }
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{what}");
}

fn detail(text: &mut String, what: std::fmt::Arguments<'_>) {
    for part in what.to_string().lines() {
        let _ = writeln!(text, "    {part}");
    }
}

fn resource(text: &mut String, report: &ResourceReport) {
    let marks = [(report.audit, " (audit)"), (report.ignored, " (ignored)")];
    let marks: String = marks.into_iter().filter_map(|(holds, mark)| holds.then_some(mark)).collect();
    let reason = report.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    line(text, format_args!("{:<12} {}{marks}{reason}", report.outcome.to_string(), report.id));
    report.changes.iter().for_each(|one| change(text, one));
    for assumption in &report.assumptions {
        detail(text, format_args!("assuming: {assumption}"));
    }
    report.error.iter().for_each(|one| error(text, one));
}

fn change(text: &mut String, change: &Change) {
    let Change { property, from, to, diff, kind } = change;
    match (diff, from, kind) {
        (Some(diff), ..) => detail(text, format_args!("{property}:\n{diff}")),
        (None, _, ChangeKind::Act) => detail(text, format_args!("{property} {to}")),
        (None, Shown::Absent, ChangeKind::State) => detail(text, format_args!("{property}: {to}")),
        (None, from, ChangeKind::State) => detail(text, format_args!("{property}: {from} → {to}")),
    }
}

fn error(text: &mut String, error: &ReportedError) {
    detail(text, format_args!("error: {}", error.message));
    if let Some(hint) = &error.hint {
        detail(text, format_args!("help: {hint}"));
    }
}

fn notification(text: &mut String, report: &NotificationReport) {
    let NotificationReport { target, action, timing, sources, outcome, error: failure } = report;
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let asked = if sources.is_empty() { "left by an earlier run".to_owned() } else { sources.join(", ") };
    let timing = if *timing == Timing::Immediate { " at once" } else { "" };
    line(text, format_args!("{:<12} {action} of {target}{timing}: {asked}", outcome.to_string()));
    failure.iter().for_each(|one| error(text, one));
}
