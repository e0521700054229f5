//! The one minijinja environment: its limits, and what it cannot do.

use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::convert::write_text;
use super::functions;

/// What one evaluation may spend: one for an instruction, one for 64 bytes that it makes. This much lasts for some tens
/// of milliseconds and at most 32 MB; a loop over ten thousand items takes about a fifth of it.
pub const FUEL: u32 = 500_000;

/// How long a rendered template may be, in bytes.
pub const LONGEST_OUTPUT: usize = 16 << 20;

/// How deep macros may call each other. The engine's own stack bounds it.
pub(crate) const DEEPEST_CALL: usize = 64;

/// The environment. It holds no templates, and nothing in it varies.
pub(crate) fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(|out, _, value| write_text(out, value));
        environment.set_fuel(Some(u64::from(FUEL)));
        environment.set_recursion_limit(DEEPEST_CALL);
        // Ranges in errors, and the name of what is undefined, are kept only in this mode.
        environment.set_debug(true);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        // The delimiters are the default ones, which are valid.
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        functions::install(&mut environment);
        environment
    })
}
