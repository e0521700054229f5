//! Programs that xtask runs: shown before, watched while, judged after.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tally::Tally;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Shows a command line, runs it in the workspace with `environment` added, and lets its output through. Gives whether
/// it ended well; a program that cannot be started is told on standard error.
pub(crate) fn run(line: &[&str], environment: &[(&str, String)]) -> bool {
    let Some(mut command) = prepared(line, environment) else { return false };
    ended_well(line, command.status().map(|status| status.success()))
}

/// Runs a program only to learn whether it works; nothing is shown.
pub(crate) fn works(line: &[&str]) -> bool {
    answer(line).is_some()
}

/// What a program that ends well says on standard output, without the end of the line.
pub(crate) fn answer(line: &[&str]) -> Option<String> {
    let (program, rest) = line.split_first()?;
    let output = Command::new(program).args(rest).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// As [`run`], for `cargo test`: also adds the results that go by to `tally`.
pub(crate) fn run_tests(line: &[&str], environment: &[(&str, String)], tally: &mut Tally) -> bool {
    let Some(mut command) = prepared(line, environment) else { return false };
    let ended = command.stdout(Stdio::piped()).spawn().and_then(|mut child| {
        if let Some(stdout) = child.stdout.take() {
            for bytes in BufReader::new(stdout).split(b'\n') {
                // A test may print anything, also what is not UTF-8.
                let bytes = bytes?;
                let text = String::from_utf8_lossy(&bytes);
                println!("{text}");
                tally.read(&text);
            }
        }
        child.wait().map(|status| status.success())
    });
    ended_well(line, ended)
}

fn prepared(line: &[&str], environment: &[(&str, String)]) -> Option<Command> {
    let (program, rest) = line.split_first()?;
    println!("$ {}", line.join(" "));
    let mut command = Command::new(program);
    command.args(rest).current_dir(workspace()).stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Some(command)
}

fn ended_well(line: &[&str], ended: std::io::Result<bool>) -> bool {
    ended.unwrap_or_else(|error| {
        eprintln!("xtask: cannot run `{}`: {error}", line.join(" "));
        false
    })
}
