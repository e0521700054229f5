//! The ports: all that a kind may ask of a machine. The real one, the overlay and the in-memory one stand behind them.
//!
//! Calls block. Each call is one operation of a machine, and the unit in which tests inject faults.

pub mod accounts;
pub mod commands;
pub mod files;
pub mod packages;
pub mod services;

use crate::error::Result;
use crate::resource::Key;

pub use accounts::Accounts;
pub use commands::Commands;
pub use files::Files;
pub use packages::Packages;
pub use services::Services;

/// A machine.
pub trait System: Send + Sync {
    /// Its files.
    fn files(&self) -> &dyn Files;
    /// Its users and groups.
    fn accounts(&self) -> &dyn Accounts;
    /// Its packages.
    fn packages(&self) -> &dyn Packages;
    /// Its services.
    fn services(&self) -> &dyn Services;
    /// Its commands.
    fn commands(&self) -> &dyn Commands;

    /// Told once before a sweep what will be looked at, so that questions can be asked together. May do nothing, and
    /// cannot fail: what goes wrong is met again by the call that needs it.
    fn prepare(&self, _keys: &[Key]) {}

    /// Makes all that was changed until now durable. Before it, a power cut may lose new files; never half of one.
    ///
    /// # Errors
    /// Where a file system could not be synchronized.
    fn flush(&self) -> Result<()>;

    /// Takes what was assumed since the last call: effects that this system cannot know, in words. Only a plan assumes.
    fn take_assumptions(&self) -> Vec<String> {
        Vec::new()
    }
}
