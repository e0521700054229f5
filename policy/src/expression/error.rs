//! What is wrong with an expression or a template, and where in it.

use std::fmt;
use std::ops::Range;

use minijinja::ErrorKind;

use super::secret::NOT_HERE;

/// What is wrong with an expression or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// The bytes of the source that it is about, where that is known.
    pub range: Option<Range<usize>>,
    /// The line within the source, from 1.
    pub line: u32,
}

impl ExpressionError {
    /// An error about the bytes `range` of `source`.
    pub(crate) fn at(source: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let before = source.as_bytes().get(..range.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Self { message: message.into(), help: None, range: Some(range), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }

    /// The same, saying what to do.
    #[must_use]
    pub(crate) fn with_help(self, help: Option<impl Into<String>>) -> Self {
        Self { help: help.map(Into::into), ..self }
    }

    /// The message, or what may be said of it where the values at hand are secret: minijinja quotes some in its errors.
    pub(crate) fn shown(&self, secret: bool) -> &str {
        let names_only = self.message.starts_with('`') && self.message.ends_with("` is undefined")
            || self.message.starts_with(NOT_HERE);
        if secret && !names_only {
            "it cannot be evaluated; why is not shown, because it uses a secret"
        } else {
            &self.message
        }
    }

    /// What minijinja found while it compiled or ran something.
    pub(crate) fn of(error: &minijinja::Error) -> Self {
        let message = match error.kind() {
            ErrorKind::OutOfFuel => "it takes too many steps or makes too much data".to_owned(),
            kind => {
                let text = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
                match innermost(error) {
                    Some(inner) if inner != text => format!("{text}: {inner}"),
                    _ => text,
                }
            }
        };
        let help = match error.kind() {
            ErrorKind::OutOfFuel => {
                Some("look for a loop that is too long, or for text that grows in a loop".to_owned())
            }
            _ => None,
        };
        let line = error.line().and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
        Self { message, help, range: error.range(), line }
    }
}

/// The detail of the error at the bottom of the chain of sources.
fn innermost(error: &minijinja::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    let mut found = None;
    while let Some(inner) = source {
        found = Some(match inner.downcast_ref::<minijinja::Error>() {
            Some(inner) => inner.detail().map_or_else(|| inner.kind().to_string(), str::to_owned),
            None => inner.to_string(),
        });
        source = inner.source();
    }
    found
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ExpressionError {}
