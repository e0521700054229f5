//! Room for what may nest deeply.
//!
//! minijinja frees a list in a list in a list by recursion. How deep a template can nest is bounded by its fuel alone, and
//! half a million levels are more than the stack of any thread has. Templates that could get anywhere near are rare, and
//! get a thread of their own; all others run where they are.

use super::environment::{DEEPEST_CALL, FUEL};
use super::error::ExpressionError;
use super::scan::{Kind, Token};

/// A level of a list takes 80 bytes of stack and two thirds of a unit of fuel, one of a map 320 and a third; eight times
/// as many bytes without optimization.
const STACK: usize = if cfg!(debug_assertions) { FUEL as usize * 640 } else { FUEL as usize * 160 };

/// How many levels fit on any stack.
const HARMLESS: usize = 1000;

/// Whether what runs could nest deeper than any stack has room for.
///
/// Values grow from one evaluation of a tag to the next only in a `namespace`, else at most by what is written in tags
/// that assign, once for each call of a macro.
pub(crate) fn may_nest(source: &str, pieces: &[Vec<Token>]) -> bool {
    let (mut written, mut longest, mut repeats) = (0, 0, 1);
    for tokens in pieces {
        let text = |token: &Token| &source[token.range.clone()];
        let first = tokens.first().map_or("", text);
        let opens = |token: &&Token| token.kind == Kind::Symbol && matches!(text(token), "[" | "{" | "(" | "|" | "+");
        let levels = tokens.iter().filter(opens).count();
        longest = levels.max(longest);
        let before = &source[..tokens.first().map_or(0, |token| token.range.start)];
        if before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+')).ends_with("{%") {
            written += levels;
        }
        if matches!(first, "macro" | "call") || tokens.iter().any(|token| text(token) == "recursive") {
            repeats = DEEPEST_CALL;
        }
        if tokens.iter().any(|token| token.kind == Kind::Name && text(token) == "namespace") {
            return true;
        }
    }
    (written + longest) * repeats > HARMLESS
}

/// Does the work where nothing that it makes can exhaust the stack.
///
/// # Errors
/// Where the machine has no room for such a thread, or the work panicked.
pub(crate) fn with_room<T: Send>(
    work: impl FnOnce() -> Result<T, ExpressionError> + Send,
) -> Result<T, ExpressionError> {
    let failed = |cause: String| ExpressionError {
        message: format!("there is no room to evaluate what may nest this deeply: {cause}"),
        help: Some("do without `namespace`, or with fewer and shorter tags".to_owned()),
        range: None,
        line: 1,
    };
    std::thread::scope(|scope| {
        match std::thread::Builder::new().name("template".to_owned()).stack_size(STACK).spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed("the evaluation panicked".to_owned()))),
            Err(error) => Err(failed(error.to_string())),
        }
    })
}
