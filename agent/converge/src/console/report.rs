//! A report as text: what a run prints while it goes, and what `converge report` prints afterwards, are the same lines.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use anstyle::Style;
use converge_model::report::{NotificationReport, ReportedError};
use converge_model::{Change, ChangeKind, Outcome, Report, ResourceId, ResourceReport, Shown};

use super::words::{counts, millis, moment};
use super::{BAD, DIM, GOOD, IS_PLAIN, NOTE, STRONG, styled};

/// The sign and style of an outcome.
fn sign(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::UpToDate => (" ", DIM),
        Outcome::Updated => ("+", GOOD),
        Outcome::WouldUpdate => ("~", NOTE),
        Outcome::Skipped => ("-", DIM),
        Outcome::Failed => ("!", BAD),
        Outcome::Unprocessed => ("?", NOTE),
    }
}

/// One resource: a line, and lines below it for what there is to say.
pub(crate) fn resource(resource: &ResourceReport) -> String {
    let (sign, style) = sign(resource.outcome);
    let mut text = styled(style, format_args!("{sign} {:<12} {}", resource.outcome, resource.id));
    if resource.audit {
        text.push_str(" (audit)");
    }
    if resource.ignored {
        text.push_str(" (ignored)");
    }
    if let Some(reason) = &resource.reason {
        text.push_str(&format!("  {}", styled(DIM, visible(reason))));
    }
    for change in &resource.changes {
        text.push_str(&change_lines(change));
    }
    for assumption in &resource.assumptions {
        text.push_str(&format!("\n      {} {}", styled(NOTE, "assuming:"), visible(assumption)));
    }
    if let Some(error) = &resource.error {
        text.push_str(&error_lines(error));
        if let Some(origin) = &resource.origin {
            let place = format!("declared at {}:{} ({})", origin.file, origin.line, origin.recipe);
            text.push_str(&format!("\n      {}", styled(DIM, place)));
        }
    }
    text
}

/// The lines of one change, each with its indent.
pub(crate) fn change_lines(change: &Change) -> String {
    let property = &change.property;
    if let Some(diff) = &change.diff {
        // A first run shows every file line by line: twenty bytes more for each line are its indent and its style.
        let mut text = String::with_capacity(diff.len() + 20 * diff.lines().count() + property.len() + 8);
        text.push_str("\n      ");
        text.push_str(property);
        text.push(':');
        let styles = DiffStyles::new();
        let is_safe = is_safe(diff);
        for line in diff.lines() {
            text.push_str("\n        ");
            styles.push(&mut text, &if is_safe { Cow::Borrowed(line) } else { visible(line) });
        }
        return text;
    }
    match (&change.from, &change.to, change.kind) {
        (_, to, ChangeKind::Act) => format!("\n      {property}: {}", one_line(to)),
        (Shown::Absent, to, ChangeKind::State) => format!("\n      {property}: {}", one_line(to)),
        (from, to, ChangeKind::State) => format!("\n      {property}: {} → {}", one_line(from), one_line(to)),
    }
}

/// Text as it is safe to print: other users write files, other machines answer, and a terminal obeys what is in it.
pub(super) fn visible(line: &str) -> Cow<'_, str> {
    if is_safe(line) {
        return Cow::Borrowed(line);
    }
    let picture = |c: char| match c {
        '\t' | '\n' => c,
        c if c.is_control() => char::from_u32(0x2400 + u32::from(c)).filter(|_| c.is_ascii()).unwrap_or('\u{fffd}'),
        c => c,
    };
    line.chars().map(picture).collect()
}

/// Whether lines surely hold no control character. What has the first byte of one may be none: its characters are looked at
/// one by one.
fn is_safe(lines: &str) -> bool {
    let may_control = |byte: u8| (byte < b' ' && !matches!(byte, b'\n' | b'\t')) || byte == 0x7f || byte == 0xc2;
    !lines.bytes().fold(false, |found, byte| found | may_control(byte))
}

/// What stands before and after a line of a diff that is added, taken away, or a place; made once for all lines.
struct DiffStyles([(String, String); 3]);

impl DiffStyles {
    fn new() -> Self {
        let styles = if IS_PLAIN.load(Ordering::Relaxed) { [Style::new(); 3] } else { [GOOD, BAD, DIM] };
        Self(styles.map(|style| (format!("{style}"), format!("{style:#}"))))
    }

    fn push(&self, text: &mut String, line: &str) {
        let style = match line.as_bytes().first() {
            Some(b'+') => Some(&self.0[0]),
            Some(b'-') => Some(&self.0[1]),
            Some(b'@') => Some(&self.0[2]),
            _ => None,
        };
        text.push_str(style.map_or("", |(before, _)| before));
        text.push_str(line);
        text.push_str(style.map_or("", |(_, after)| after));
    }
}

/// One side of a change on one line, whatever it holds.
fn one_line(shown: &Shown) -> String {
    const LONGEST: usize = 100;
    let text: String = shown.to_string().chars().map(|c| if c.is_control() { '␊' } else { c }).collect();
    if text.chars().count() > LONGEST { format!("{}…", text.chars().take(LONGEST).collect::<String>()) } else { text }
}

fn error_lines(error: &ReportedError) -> String {
    let lines: Vec<Cow<'_, str>> = error.message.lines().map(visible).collect();
    let mut text = format!("\n      {}", styled(BAD, lines.join("\n      ")));
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n      {} {}", styled(GOOD, "help:"), visible(hint)));
    }
    text
}

/// One notification as it happens: a line, and why it failed.
pub(crate) fn notified(target: &ResourceId, action: &str, outcome: Outcome, error: Option<&ReportedError>) -> String {
    let (sign, style) = sign(outcome);
    let what = styled(style, format_args!("{sign} {outcome:<12} {action} of {target}"));
    what + &error.map(error_lines).unwrap_or_default()
}

/// One notification of a report: a line that also says who asked, and why it failed.
fn notification(notification: &NotificationReport) -> String {
    let (sign, style) = sign(notification.outcome);
    let what = format!("{sign} {:<12} {} of {}", notification.outcome, notification.action, notification.target);
    let sources: Vec<String> = notification.sources.iter().take(3).map(ToString::to_string).collect();
    let asked = match (sources.len(), notification.sources.len() - sources.len()) {
        (0, _) => "left over from an earlier run".to_owned(),
        (_, 0) => format!("asked by {}", sources.join(", ")),
        (_, more) => format!("asked by {} and {more} more", sources.join(", ")),
    };
    let error = notification.error.as_ref().map(error_lines).unwrap_or_default();
    format!("{}  {}{error}", styled(style, what), styled(DIM, asked))
}

/// The last lines of a run: how it ended, how many resources ended how, how long it took.
pub(crate) fn summary(report: &Report) -> String {
    let style = if report.conclusion.is_success() { GOOD } else { BAD };
    let passes = if report.passes > 1 { format!(", {} passes", report.passes) } else { String::new() };
    let mut text: String =
        report.remarks.iter().map(|remark| format!("{} {remark}\n", styled(NOTE, "remark:"))).collect();
    if let converge_model::report::Conclusion::NotStarted { error } = &report.conclusion {
        text.push_str(&format!("{}\n", error_lines(error).trim_start()));
    }
    let ended = match report.mode {
        converge_model::report::Mode::Plan => format!("plan {}", report.conclusion.words()),
        converge_model::report::Mode::Apply => report.conclusion.words().to_owned(),
    };
    text + &format!("{}: {} in {}{passes}", styled(style, ended), counts(&report.counts), millis(report.millis))
}

/// A whole report.
pub(crate) fn whole(report: &Report) -> String {
    let revision = report.revision.map(|serial| format!(" revision {serial}")).unwrap_or_default();
    let mut text = format!("{}\n", styled(STRONG, format_args!("run {}", report.run)));
    let node = if report.node.is_empty() { "this machine" } else { &report.node };
    text.push_str(&format!("{node}, policy {}{revision}, {} UTC\n\n", report.policy, moment(report.started)));
    for entry in report.resources.iter().filter(|entry| entry.outcome != Outcome::UpToDate) {
        text.push_str(&resource(entry));
        text.push('\n');
    }
    for entry in &report.notifications {
        text.push_str(&notification(entry));
        text.push('\n');
    }
    text + &summary(report)
}
