//! The contract of a resource.

use std::any::Any;
use std::fmt;

use crate::change::Changes;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Images, Keeper};
use crate::path::AbsPath;
use crate::system::System;
use crate::system::packages::Transaction;

/// Something on a machine that resources give or need. Order is found through it, and what to observe again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A path. Needing one means it or, where nobody declares it, its nearest declared ancestor.
    Path(AbsPath),
    /// A user by name.
    User(String),
    /// A group by name.
    Group(String),
    /// A package by name.
    Package(String),
    /// Where packages come from: sources, pins and keys of the package manager.
    PackageSources,
    /// A unit, with its suffix.
    Unit(String),
    /// Anything at all: a command, a package's scripts. Only ever given, never needed.
    Everything,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Path(path) => write!(f, "path {path}"),
            Key::User(name) => write!(f, "user {name}"),
            Key::Group(name) => write!(f, "group {name}"),
            Key::Package(name) => write!(f, "package {name}"),
            Key::PackageSources => f.write_str("package sources"),
            Key::Unit(name) => write!(f, "unit {name}"),
            Key::Everything => f.write_str("everything"),
        }
    }
}

/// What a resource gives and needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What exists, or differs, because of it. Who needs one of these converges after it, and is observed again when
    /// it was changed.
    pub gives: Vec<Key>,
    /// What must be right before it can be.
    pub needs: Vec<Key>,
}

/// What a kind implements for one declared resource.
///
/// It knows no dry run: a plan is the same calls over a [`System`] that keeps the changes in memory.
pub trait Resource: Send + Sync + 'static {
    /// What was observed. "Absent" is a state.
    type State: Send + Sync + 'static;

    /// Looks at the machine, and only looks.
    ///
    /// # Errors
    /// Where it could not tell. "Could not tell" is never "absent".
    fn observe(&self, system: &dyn System) -> Result<Self::State>;

    /// What differs between what is desired and `state`. Pure and total; empty means up to date.
    fn diff(&self, state: &Self::State) -> Changes;

    /// Makes exactly `changes`, which were computed from `state`. Safe to repeat after a crash at any point.
    ///
    /// # Errors
    /// The first step that failed; what was done until then stays, and the next run goes on from there.
    fn apply(&self, system: &dyn System, state: &Self::State, changes: &Changes) -> Result<()>;

    /// What the resource gives and needs.
    fn footprint(&self) -> Footprint;

    /// Carries out a notification: `reload`, `restart`, `run`. The names come from the kind's schema.
    ///
    /// # Errors
    /// Where it failed, or where the kind has no such action.
    fn act(&self, _system: &dyn System, action: &str) -> Result<()> {
        Err(Error::new(
            ErrorKind::Invalid,
            "carry out",
            format!("the action `{action}`"),
            "the kind has no such action",
        ))
    }

    /// Whether making `changes` does all that `action` does: a service that is started has read its files, and need not be
    /// restarted for them.
    fn covers(&self, _changes: &Changes, _action: &str) -> bool {
        false
    }

    /// Whether `state` has nothing that taking the resource away would remove. Where that cannot be told by it, nothing: then
    /// the engine looks again.
    fn is_absent(&self, _state: &Self::State) -> Option<bool> {
        None
    }

    /// What making `changes` overwrites, so that it can be put back: each thing as it is, and as it is to be. Contents go to
    /// `keeper`. A kind that does not say is told of as one whose doings stay.
    ///
    /// # Errors
    /// Where what is there could not be looked at or kept. Then the changes are not made.
    fn images(
        &self,
        _system: &dyn System,
        _state: &Self::State,
        _changes: &Changes,
        _keeper: &dyn Keeper,
    ) -> Result<Images> {
        Ok(Images::lost("its kind does not know how to take back what it did"))
    }

    /// The changes as a package transaction that may be joined with its neighbours'; nothing for other kinds.
    /// Where it is something, carrying out the transaction is the same as [`apply`](Resource::apply).
    fn transaction(&self, _state: &Self::State, _changes: &Changes) -> Option<Transaction> {
        None
    }
}

/// An observation, with what differs from what is desired.
pub struct Observed {
    /// What differs.
    pub changes: Changes,
    /// As [`Resource::is_absent`].
    pub absent: Option<bool>,
    state: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// A [`Resource`] of any kind, as the engine holds it.
pub trait AnyResource: Send + Sync {
    /// Observes, and compares with what is desired.
    ///
    /// # Errors
    /// As [`Resource::observe`].
    fn observe(&self, system: &dyn System) -> Result<Observed>;

    /// Makes the changes that were observed.
    ///
    /// # Errors
    /// As [`Resource::apply`].
    fn apply(&self, system: &dyn System, observed: &Observed) -> Result<()>;

    /// As [`Resource::footprint`].
    fn footprint(&self) -> Footprint;

    /// As [`Resource::act`].
    ///
    /// # Errors
    /// As [`Resource::act`].
    fn act(&self, system: &dyn System, action: &str) -> Result<()>;

    /// As [`Resource::covers`].
    fn covers(&self, changes: &Changes, action: &str) -> bool;

    /// As [`Resource::images`].
    ///
    /// # Errors
    /// As [`Resource::images`].
    fn images(&self, system: &dyn System, observed: &Observed, keeper: &dyn Keeper) -> Result<Images>;

    /// As [`Resource::transaction`].
    fn transaction(&self, observed: &Observed) -> Option<Transaction>;
}

fn state_of<R: Resource>(observed: &Observed) -> Result<&R::State> {
    observed
        .state
        .downcast_ref()
        .ok_or_else(|| Error::new(ErrorKind::Invalid, "apply", "the changes", "they were observed by another resource"))
}

impl<R: Resource> AnyResource for R {
    fn observe(&self, system: &dyn System) -> Result<Observed> {
        let state = Resource::observe(self, system)?;
        let changes = self.diff(&state);
        let absent = self.is_absent(&state);
        Ok(Observed { changes, absent, state: Box::new(state) })
    }

    fn apply(&self, system: &dyn System, observed: &Observed) -> Result<()> {
        Resource::apply(self, system, state_of::<R>(observed)?, &observed.changes)
    }

    fn images(&self, system: &dyn System, observed: &Observed, keeper: &dyn Keeper) -> Result<Images> {
        Resource::images(self, system, state_of::<R>(observed)?, &observed.changes, keeper)
    }

    fn footprint(&self) -> Footprint {
        Resource::footprint(self)
    }

    fn act(&self, system: &dyn System, action: &str) -> Result<()> {
        Resource::act(self, system, action)
    }

    fn covers(&self, changes: &Changes, action: &str) -> bool {
        Resource::covers(self, changes, action)
    }

    fn transaction(&self, observed: &Observed) -> Option<Transaction> {
        Resource::transaction(self, state_of::<R>(observed).ok()?, &observed.changes)
    }
}
