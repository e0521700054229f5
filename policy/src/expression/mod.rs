//! Expressions and templates: minijinja with everything that is dangerous or surprising taken out.
//!
//! - Undefined is always an error, and so is printing `none`.
//! - A template has a budget (fuel) for its instructions and for the bytes that it makes, so that one that loops for ever,
//!   or grows without end, ends with an error.
//! - A template sees its scope and the functions of [`FUNCTIONS`]; it cannot reach files, the network or the clock.
//! - Booleans print as `true` and `false`, lists and maps as JSON; nothing is escaped.
//! - A line that holds only a block tag leaves no line behind, and the newline at the end of a template stays.

mod check;
mod convert;
mod depth;
mod dynamic;
mod environment;
mod error;
mod evaluate;
mod functions;
mod scan;
mod scope;
mod secret;
mod stack;
mod trace;

pub use check::{LONGEST_EXPRESSION, NameUse, Names, check_expression, check_template};
pub use convert::DEEPEST;
pub use environment::{FUEL, LONGEST_OUTPUT};
pub use error::ExpressionError;
pub use evaluate::Expressions;
pub use functions::{FUNCTIONS, Function, Sort};
pub use scan::{is_template, whole_expression};
pub use scope::{Attributes, Roots, Scope};
pub use secret::{SecretReader, Secrets, check_secret_name};
pub(crate) use trace::{around, marked, traced};
