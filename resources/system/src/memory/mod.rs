//! A whole machine in memory, with a fault plan: what tests run on.
//!
//! [`MemoryMachine`] stands behind all ports. It is made by hand ([`MemoryMachine::debian`] and the methods that put
//! things on it) or from a TOML document ([`MemoryMachine::from_toml`]), and is cheap to clone: a clone is another machine
//! in the same state, with the same blobs. [`MemoryMachine::dump`] writes its state as stable text.
//!
//! Every call of a port is one numbered operation; a call that is not atomic on a real machine (a package transaction,
//! removing a tree, making a user with a home directory, a scripted command with several effects) is one for each of
//! its steps. [`Faults`] decides which of them fail. Whoever has side effects of its own that must fail in the same
//! sequence, such as a journal, announces them with [`MemoryMachine::operation`].
//!
//! # Current limitations
//!
//! - Times do not pass: what takes longer than its timeout says so at once.
//! - There are no extended attributes, no labels, and no set-group-id directories.

mod accounts;
pub mod blobs;
mod build;
mod commands;
pub mod document;
mod dump;
mod files;
mod inspect;
pub mod operation;
pub mod packages;
mod services;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use converge_model::System;
use converge_model::error::Result;
use converge_model::system::{Accounts, Commands, Files, Packages, Services};

use crate::overlay::roster::Roster;
use crate::overlay::tree::Tree;

pub use blobs::Blobs;
pub use commands::{Act, CommandRecord, Effect, Script};
pub use operation::{Faults, Operation, is_crash};
pub use packages::Release;
pub use services::{Behaviour, Counts};

/// A machine in memory. See the [module](self).
pub struct MemoryMachine {
    state: Mutex<State>,
    log: Mutex<operation::Log>,
    blobs: Blobs,
}

#[derive(Clone)]
struct State {
    tree: Tree<'static>,
    places: files::Places,
    roster: Roster<'static>,
    packages: packages::Warehouse,
    units: services::Units,
    commands: commands::Scripts,
}

impl Default for MemoryMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryMachine {
    /// Another machine in the same state, with the same blobs, an empty log and no faults.
    fn clone(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()), log: Mutex::default(), blobs: self.blobs.clone() }
    }
}

impl MemoryMachine {
    /// A machine with an empty root directory: no users, no packages, no package manager, no service manager.
    pub fn new() -> Self {
        let state = State {
            tree: Tree::whole(),
            places: files::Places::default(),
            roster: Roster::whole(),
            packages: packages::Warehouse::default(),
            units: services::Units::default(),
            commands: commands::Scripts::default(),
        };
        Self { state: Mutex::new(state), log: Mutex::default(), blobs: Blobs::default() }
    }

    /// The blobs that contents on this machine may name. Shared with all clones.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Sets the fault plan, and starts counting operations anew.
    pub fn set_faults(&self, faults: Faults) {
        *self.log() = operation::Log::new(faults);
    }

    /// Whether the fault plan let some operation fail.
    pub fn fault_fired(&self) -> bool {
        self.log().fired()
    }

    /// The operations since the fault plan was set, or since the beginning.
    pub fn operations(&self) -> Vec<Operation> {
        self.log().operations.clone()
    }

    /// Announces a side effect that is none of the machine's own (an entry in a journal), so that it counts and fails
    /// as an operation of the machine does.
    ///
    /// # Errors
    /// Where the fault plan says so. Then the effect must not take place.
    pub fn operation(&self, name: &str, subject: impl Display) -> Result<()> {
        self.log().begin(name, &subject)
    }

    /// After a crash: a new process can work on the machine as it was left.
    pub fn revive(&self) {
        self.log().revive();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, operation::Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl System for MemoryMachine {
    fn files(&self) -> &dyn Files {
        self
    }

    fn accounts(&self) -> &dyn Accounts {
        self
    }

    fn packages(&self) -> &dyn Packages {
        self
    }

    fn services(&self) -> &dyn Services {
        self
    }

    fn commands(&self) -> &dyn Commands {
        self
    }

    fn flush(&self) -> Result<()> {
        self.operation("flush", "the file systems")
    }
}
