//! Checking a file's new content before it goes live, with a command of the author's.

use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose, Tail};
use std::ops::Deref;

use converge_model::{AbsPath, CommandLine, Error, ErrorKind, PropertyType, Result, System, TypeSchema, Value};

const PLACEHOLDER: &str = "{path}";

/// A command that accepts the new content of a file, and says where its path belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidationCommand(CommandLine);

impl Deref for ValidationCommand {
    type Target = CommandLine;

    fn deref(&self) -> &CommandLine {
        &self.0
    }
}

impl PropertyType for ValidationCommand {
    fn schema() -> TypeSchema {
        CommandLine::schema()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let line = CommandLine::from_value(value)?;
        let found = match &line {
            CommandLine::Argv(words) => words.iter().any(|word| word.contains(PLACEHOLDER)),
            CommandLine::Shell(line) => line.contains(PLACEHOLDER),
        };
        if found {
            Ok(Self(line))
        } else {
            Err(format!("`{line}` says nowhere {PLACEHOLDER}, which stands for the file to be checked"))
        }
    }
}

/// Runs `line` on the file at `candidate`, which is to become `path`.
///
/// # Errors
/// Where the command does not accept the file, with the last lines it printed.
pub(crate) fn run(
    system: &dyn System,
    line: &CommandLine,
    candidate: &AbsPath,
    path: &AbsPath,
    timeout: Duration,
) -> Result<()> {
    let command = CommandSpec::new(filled(line, candidate), Purpose::Look, timeout);
    let output = system.commands().run(&command)?;
    let kind = match output.exit {
        Exit::Code(0) | Exit::Assumed => return Ok(()),
        Exit::TimedOut => ErrorKind::TimedOut,
        Exit::Cancelled => ErrorKind::Cancelled,
        Exit::Code(_) | Exit::Signal(_) => ErrorKind::Failed,
    };
    let cause = format!("`{line}` {}{}", output.exit, last_lines(&output.output));
    Err(Error::new(kind, "validate the new content of", path, cause)
        .with_hint("the file was left as it was; mend its content or the `validate` command"))
}

fn filled(line: &CommandLine, path: &AbsPath) -> CommandLine {
    let path = path.to_string();
    match line {
        CommandLine::Argv(words) => {
            CommandLine::Argv(words.iter().map(|word| word.replace(PLACEHOLDER, &path)).collect())
        }
        CommandLine::Shell(line) => {
            let quoted = format!("'{}'", path.replace('\'', r"'\''"));
            CommandLine::Shell(line.replace(PLACEHOLDER, &quoted))
        }
    }
}

/// The last lines a command printed, to be put behind how it ended; empty where it printed nothing.
pub(crate) fn last_lines(tail: &Tail) -> String {
    const LINES: usize = 10;
    const BYTES: usize = 2048;
    let text = tail.text.trim_end();
    let start = text.len().saturating_sub(BYTES);
    let start = (start..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let lines: Vec<&str> = text[start..].lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    if last.is_empty() { String::new() } else { format!("; it printed last:\n{}", last.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_filled_in_as_one_word() {
        let path: AbsPath = "/etc/it's $HOME".parse().unwrap();
        let shell = filled(&CommandLine::Shell("check {path} < {path}".into()), &path);
        assert_eq!(shell.to_string(), r"check '/etc/it'\''s $HOME' < '/etc/it'\''s $HOME'");
        let argv = filled(&CommandLine::Argv(vec!["check".into(), "--file={path}".into()]), &path);
        assert_eq!(argv, CommandLine::Argv(vec!["check".into(), "--file=/etc/it's $HOME".into()]));
        assert!(ValidationCommand::from_value(&Value::from("check")).is_err());
    }

    #[test]
    fn only_the_last_lines_are_repeated() {
        let text: String = (0..5_000).map(|n| format!("é{n}\n")).collect();
        let shown = last_lines(&Tail { text, dropped: 0 });
        assert!(shown.ends_with("é4999") && shown.contains("é4990") && !shown.contains("é4989"), "{shown}");
        assert_eq!(last_lines(&Tail::default()), "");
    }
}
