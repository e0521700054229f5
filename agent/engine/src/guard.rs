//! Guards, decided on the machine when the turn of their resource comes, or before the first turn where that is the same.

use std::collections::HashMap;
use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::{CatalogResource, Condition, Error, ErrorKind, Guard, Result, System, parallel};

use crate::caught::caught;
use crate::item::Item;
use crate::redact::{Redactor, SensitiveProperties};
use crate::stop::Stop;
use crate::sweep::{Seen, Sighting, is_answered_late};
use crate::words::{last_line, shorten};

/// How long a guard's command may take where the resource says nothing.
const GUARD_TIMEOUT: Duration = Duration::from_secs(60);

/// The exit codes with which a shell says that it found no command, or could not execute what it found.
const NOT_EXECUTED: [i32; 2] = [126, 127];

/// What guards said before the first turn, by the position of their resource.
pub(crate) type Decided = HashMap<usize, Result<Option<String>>>;

/// Decides all guards that are commands, several at a time, while the service manager is still to answer. They see what they
/// would see in their turn, and are in the way of no change, where nothing is to be changed but behind a guard: else nothing
/// is decided ahead. What was decided counts if [`are_settled`] holds once all has answered, and until the first change.
pub(crate) fn decide_ahead(
    items: &[Item<'_>],
    sightings: &[Sighting],
    sensitive: &SensitiveProperties,
    system: &dyn System,
    stop: &Stop<'_>,
) -> Decided {
    let is_settled = |(item, sighting)| is_answered_late(item) || is_settled(item, sighting);
    let runs_commands = |position: &usize| {
        let is_command =
            |guard: &Guard| matches!(guard, Guard::OnlyIf(Condition::Command(_)) | Guard::NotIf(Condition::Command(_)));
        items[*position].converger().is_some() && items[*position].declared.guards.iter().any(is_command)
    };
    let positions: Vec<usize> = (0..items.len()).filter(runs_commands).collect();
    if positions.len() < 2 || stop.asked().is_some() || !items.iter().zip(sightings).all(is_settled) {
        return Decided::new();
    }
    let decided = parallel::map_slow(positions.len(), |number| {
        let declared = items[positions[number]].declared;
        decide_for(declared, sensitive.redactor(declared), system, stop)
    });
    positions.into_iter().zip(decided).collect()
}

/// Whether nothing is to be changed, but where a guard may forbid it.
pub(crate) fn are_settled(items: &[Item<'_>], sightings: &[Sighting]) -> bool {
    items.iter().zip(sightings).all(|(item, sighting)| is_settled(item, sighting))
}

fn is_settled(item: &Item<'_>, sighting: &Sighting) -> bool {
    match sighting.seen {
        Seen::UpToDate => true,
        Seen::Differs(_) => !item.declared.guards.is_empty(),
        Seen::Nothing => item.converger().is_none(),
        Seen::Failed(_) => false,
    }
}

/// Decides the guards of a resource: nothing where all agree; else why it is skipped.
///
/// # Errors
/// As [`decide`].
pub(crate) fn decide_for(
    declared: &CatalogResource,
    redactor: Redactor<'_>,
    system: &dyn System,
    stop: &Stop<'_>,
) -> Result<Option<String>> {
    let timeout = stop.at_most(declared.timeout.map_or(GUARD_TIMEOUT, converge_model::Span::duration));
    caught("decide", &declared.id, || decide(&declared.guards, redactor, system, timeout))
}

/// Decides `guards` in the order written until one says no. Nothing where all agree; else why the resource is skipped.
///
/// # Errors
/// Where a guard could not be decided: "could not tell" is neither yes nor no.
fn decide(guards: &[Guard], redactor: Redactor<'_>, system: &dyn System, timeout: Duration) -> Result<Option<String>> {
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
