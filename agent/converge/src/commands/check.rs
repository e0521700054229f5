//! `converge check`: every error of a policy repository at once.

use std::path::Path;

use converge_model::{Diagnostic, Severity};
use converge_policy::{Repository, check, render};

use crate::cli::RepositoryArgs;
use crate::console::{Console, diagnostics};
use crate::failure::{Failure, Outcome};
use crate::repository::PolicyRepository;

/// Checks the repository.
pub(crate) fn run(args: &RepositoryArgs, console: Console) -> Outcome {
    let repository = match &args.repository {
        Some(root) => PolicyRepository::read(root)?,
        None => PolicyRepository::around(Path::new("."))?,
    };
    let found = check(&repository.files, converge_kinds::registry());
    let wrong = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    if wrong {
        return Err(print(found, &repository.files, console));
    }
    console.result(&found, |found| texts(found, &repository.files) + &diagnostics::summary(found))
}

/// Prints what is wrong with a repository, unless that is going to be a JSON document; and says how the command ends.
pub(crate) fn print(found: Vec<Diagnostic>, files: &Repository, console: Console) -> Failure {
    console.note(texts(&found, files).trim_end_matches('\n'));
    Failure::Policy(found)
}

/// The diagnostics as text. The console takes the colours out again where they are not wanted.
fn texts(found: &[Diagnostic], files: &Repository) -> String {
    render::diagnostics(found, files, render::Style::Coloured)
}
