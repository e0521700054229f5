//! Guards, decided on the machine when the turn of their resource comes.

use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::{Condition, Error, ErrorKind, Guard, Result, System};

use crate::redact::Redactor;
use crate::words::{last_line, shorten};

/// How long a guard's command may take where the resource says nothing.
pub(crate) const GUARD_TIMEOUT: Duration = Duration::from_secs(60);

/// The exit codes with which a shell says that it found no command, or could not execute what it found.
const NOT_EXECUTED: [i32; 2] = [126, 127];

/// Decides `guards` in the order written until one says no. Nothing where all agree; else why the resource is skipped.
///
/// # Errors
/// Where a guard could not be decided: "could not tell" is neither yes nor no.
pub(crate) fn decide(
    guards: &[Guard],
    redactor: Redactor<'_>,
    system: &dyn System,
    timeout: Duration,
) -> Result<Option<String>> {
    for guard in guards {
        let (condition, wanted) = match guard {
            Guard::OnlyIf(condition) => (condition, true),
            Guard::NotIf(condition) => (condition, false),
        };
        let shown = describe(guard, redactor.hides_guard(guard));
        if holds(condition, &shown, system, timeout)? != wanted {
            return Ok(Some(if wanted { format!("{shown} does not hold") } else { format!("{shown} holds") }));
        }
    }
    Ok(None)
}

fn describe(guard: &Guard, hidden: bool) -> String {
    let (word, condition) = match guard {
        Guard::OnlyIf(condition) => ("only_if", condition),
        Guard::NotIf(condition) => ("not_if", condition),
    };
    match condition {
        _ if hidden => format!("{word} (sensitive)"),
        Condition::Command(line) => format!("{word} `{}`", shorten(&line.to_string())),
        Condition::Exists(path) => format!("{word} {{ exists = \"{path}\" }}"),
    }
}

fn holds(condition: &Condition, shown: &str, system: &dyn System, timeout: Duration) -> Result<bool> {
    let line = match condition {
        Condition::Exists(path) => return Ok(system.files().metadata(path)?.is_some()),
        Condition::Command(line) => line,
    };
    let output = system.commands().run(&CommandSpec::new(line.clone(), Purpose::Look, timeout))?;
    let undecided = |kind: ErrorKind| {
        let cause = match last_line(&output.output.text) {
            Some(said) => format!("it {}: {said}", output.exit),
            None => format!("it {}", output.exit),
        };
        Error::new(kind, "decide", shown, cause).with_hint(
            "a guard says yes with exit code 0 and no with any other; make its command end by itself, and in time",
        )
    };
    match output.exit {
        Exit::Code(0) | Exit::Assumed => Ok(true),
        // `command -v x` says nothing and means no; a shell that found no command says which.
        Exit::Code(code) if NOT_EXECUTED.contains(&code) && !output.output.text.trim().is_empty() => {
            Err(undecided(ErrorKind::NotFound))
        }
        Exit::Code(_) => Ok(false),
        Exit::Signal(_) => Err(undecided(ErrorKind::Failed)),
        Exit::TimedOut => Err(undecided(ErrorKind::TimedOut)),
        Exit::Cancelled => Err(undecided(ErrorKind::Cancelled)),
    }
}
