//! What is wrong with a policy repository, as text.

use converge_model::{Diagnostic, Severity};

use super::{BAD, GOOD, NOTE, styled};

/// The last line: how much there is.
pub(crate) fn summary(found: &[Diagnostic]) -> String {
    let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => styled(GOOD, "no errors"),
        (0, _) => styled(NOTE, plural(warnings, "warning")),
        (_, 0) => styled(BAD, plural(errors, "error")),
        _ => styled(BAD, format_args!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))),
    }
}
