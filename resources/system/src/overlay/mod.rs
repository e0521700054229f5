//! A machine whose changes are kept in memory, on top of another: where a plan runs.
//!
//! [`Overlay`] stands behind all ports. What is read falls through to the machine below until something of it was
//! changed here; what is changed stays here, and the machine below is never touched. So a plan is the same run over it,
//! and later resources see what earlier ones would have done.
//!
//! What cannot be known without doing it is assumed, and said ([`System::take_assumptions`]):
//!
//! - a package that is installed or removed, or a command that is run, may change anything: it is *opaque*. Whatever is
//!   read from the machine below from then on is said to have been looked at as it is now, once each time that the
//!   assumptions are taken;
//! - the check of a new file, because the file is not there; the content of what a command `creates`;
//! - after something opaque, a user or group that a file shall belong to, and a unit, are taken to come with it. A unit
//!   of which nothing is known exists then, is inactive and disabled, and can be reloaded;
//! - a guard that is a command runs for real, on the machine as it is; where something was changed here, that is said;
//! - which number a new account gets, the index of the package manager where it might be fetched anew, and that actions
//!   on units succeed.
//!
//! A unit whose files were written here exists, is inactive, and disabled or static as its text says; it is stale where
//! the service manager would have read it before.
//!
//! Contents are kept by name, never copied: a file of gigabytes costs nothing here.
//!
//! # Current limitations
//!
//! - What would be refused for want of rights or space is not foreseen, nor is what a mount or a flag forbids.
//! - What masking and enabling writes below `/etc/systemd/system` is not seen as files.
//! - That a group of the machine below is somebody's primary one is not seen when it is removed.

mod accounts;
mod assumptions;
mod commands;
mod files;
mod packages;
pub(crate) mod roster;
mod services;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tree;
pub(crate) mod unit_file;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use converge_model::System;
use converge_model::error::Result;
use converge_model::resource::Key;
use converge_model::system::{Accounts, Commands, Files, Packages, Services};

use assumptions::Assumptions;
pub use packages::UNKNOWN_VERSION;
use roster::Roster;
use tree::Tree;

/// The changes on top of a machine. See the [module](self).
pub struct Overlay<'a> {
    base: &'a dyn System,
    tree: RwLock<Tree<'a>>,
    roster: RwLock<Roster<'a>>,
    packages: RwLock<packages::Changes>,
    units: RwLock<services::Changes>,
    assumptions: Assumptions,
}

impl<'a> Overlay<'a> {
    /// No change yet on top of `base`, made by root.
    pub fn new(base: &'a dyn System) -> Self {
        Self::by(base, 0, 0)
    }

    /// No change yet on top of `base`. What is made here belongs to the user and group with these numbers: those of the
    /// process, where `base` is the real machine.
    pub fn by(base: &'a dyn System, uid: u32, gid: u32) -> Self {
        Self {
            base,
            tree: RwLock::new(Tree::over(base.files(), (uid, gid))),
            roster: RwLock::new(Roster::over(base.accounts())),
            packages: RwLock::default(),
            units: RwLock::default(),
            assumptions: Assumptions::default(),
        }
    }

    fn tree(&self) -> RwLockReadGuard<'_, Tree<'a>> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree<'a>> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster<'a>> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn roster_mut(&self) -> RwLockWriteGuard<'_, Roster<'a>> {
        self.roster.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything differs from the machine below.
    fn is_changed(&self) -> bool {
        self.assumptions.is_opaque()
            || self.tree().is_changed()
            || self.roster().is_changed()
            || self.packages.read().unwrap_or_else(PoisonError::into_inner).is_changed()
            || self.units.read().unwrap_or_else(PoisonError::into_inner).is_changed()
    }
}

impl System for Overlay<'_> {
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

    fn prepare(&self, keys: &[Key]) {
        self.base.prepare(keys);
    }

    /// Does nothing: nothing here outlives the plan.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn take_assumptions(&self) -> Vec<String> {
        self.assumptions.take()
    }
}
