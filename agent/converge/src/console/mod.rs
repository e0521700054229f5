//! What people see. Results go to standard output, everything else to standard error; colours only where they are wanted,
//! and a reader that went away (`| head`) ends the output, not the work.

pub(crate) mod diagnostics;
pub(crate) mod hidden;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod words;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use converge_model::Error;
use converge_model::report::ReportedError;
use serde::Serialize;
use serde_json::json;

use crate::cli::{ColorWhen, CommonArgs};
use crate::failure::{Failure, Outcome};
use crate::run::signals;
use report::visible;

/// Something good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default();
/// Something bad.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something of less weight.
pub(crate) const DIM: Style = Style::new().dimmed();
/// A heading.
pub(crate) const STRONG: Style = Style::new().bold();

/// Whether standard output shows no styles. What is long need not be styled then, only to be stripped again.
static IS_PLAIN: AtomicBool = AtomicBool::new(false);

/// `text` in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// `text` without its styles. Most has none, and is looked through sixteen bytes at a time to know it.
fn plain(text: String) -> String {
    let is_control = |byte: u8| (byte < b' ' && !matches!(byte, b'\n' | b'\t')) || byte == 0x7f;
    match text.bytes().fold(false, |found, byte| found | is_control(byte)) {
        true => anstream::adapter::strip_str(&text).to_string(),
        false => text,
    }
}

/// Where output goes, and how it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    json: bool,
    verbose: u8,
    color: bool,
}

impl Console {
    /// The console that the flags ask for. Decides about colours for the whole process.
    pub(crate) fn new(common: &CommonArgs) -> Self {
        let choice = match common.color {
            ColorWhen::Auto => anstream::ColorChoice::Auto,
            ColorWhen::Always => anstream::ColorChoice::Always,
            ColorWhen::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        IS_PLAIN.store(!color, Ordering::Relaxed);
        Self { json: common.json, verbose: common.verbose, color }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// How much more is to be said.
    pub(crate) fn verbose(&self) -> u8 {
        self.verbose
    }

    /// One or more lines of a result.
    pub(crate) fn say(&self, text: impl Display) {
        let styled = format!("{text}\n");
        let shown = if self.color { styled } else { plain(styled) };
        // In one piece; and a reader that went away is no reason to stop converging.
        let _ = std::io::stdout().lock().write_all(shown.as_bytes());
    }

    /// One or more lines about what is going on. Silent where results are JSON.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// A result as one JSON document.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub(crate) fn document(&self, document: &impl Serialize) -> Outcome {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::input("print", "the result as JSON", error))?;
        self.say(text);
        Ok(())
    }

    /// A result: as a JSON document, or as the text that `text` makes of it.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub(crate) fn result<T: Serialize>(&self, result: &T, text: impl FnOnce(&T) -> String) -> Outcome {
        if self.json {
            return self.document(result);
        }
        let text = text(result);
        if !text.is_empty() {
            self.say(text.trim_end_matches('\n'));
        }
        Ok(())
    }

    /// Why the command ends badly.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = match failure {
            Failure::Input(error) | Failure::Trouble(error) => {
                if self.json {
                    let _ = self.document(&json!({ "error": ReportedError::from(error) }));
                }
                error_text(error)
            }
            Failure::Policy(found) if self.json => {
                let _ = self.document(&found);
                return;
            }
            Failure::Policy(found) => diagnostics::summary(found),
            Failure::Said(_) => return,
        };
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Asks yes or no. Anything but a yes is a no, and so is standard input that is no terminal.
    pub(crate) fn confirm(&self, question: &str) -> bool {
        if !std::io::stdin().is_terminal() {
            return false;
        }
        let mut stderr = anstream::stderr().lock();
        let _ = write!(stderr, "{question} [y/N] ");
        let _ = stderr.flush();
        let mut answer = String::new();
        let read = signals::while_asking(|| std::io::stdin().read_line(&mut answer));
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

/// An error with its hint.
pub(crate) fn error_text(error: &Error) -> String {
    let mut text = format!("{}: {}", styled(BAD, "error"), visible(&error.to_string()));
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n  {} {}", styled(GOOD, "help:"), visible(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_styles_is_what_stripping_every_escape_leaves() {
        let bold = styled(BAD, "bold é ☃");
        for text in [
            "",
            "a\tb\n",
            &bold,
            &format!("a{bold}b\n{bold}"),
            "\x1b[1;31mm\x1b[0m",
            "x\x1b[2Ky",
            "x\x1b]0;t\x07y",
            "a\x07b\x7f",
        ] {
            assert_eq!(plain(text.to_owned()), anstream::adapter::strip_str(text).to_string(), "{text:?}");
        }
    }
}
