//! What each kind of resource means: file, directory, link, package, service, user, group, execute.
//!
//! One file a kind, each on the contract of [`converge_model::Resource`]; [`registry()`] is the one table that lists them.
//! How to add one is told in `docs/adding-a-kind.md`, whose example is compiled with this crate's tests.
//!
//! A kind asks a machine only through the ports of [`converge_model::System`]. It knows no file system, no process, no
//! clock and no dry run, and what it decides is decided in `diff`, which touches nothing.
//!
//! # Current limitations
//!
//! - A symbolic link's owner is not managed; Linux ignores it, but for quotas and sticky directories.
//! - `package` knows a virtual package only by the name of a package that provides it.
//! - `directory` with `purge` asks what is declared by path; a path that only a command's `creates` names is not kept.
//! - `user` finds `authorized_keys` where sshd looks by default: `~/.ssh/authorized_keys`.
//! - `user` with `move_home`: a machine that is cut off in the middle of usermod(8) may have the new path and the old
//!   directory, and the next run does not know where that was.
//! - A directory whose mode is not declared keeps 0700 where a run was killed between making and opening it.
//! - `service` cannot tell why a unit has nothing to say about its start at boot: no `[Install]` section, an alias, or
//!   generated from something else.

mod account_lookup;
mod account_property;
mod authorized_keys;
mod day;
mod directory;
mod ensure;
mod execute;
mod file;
mod group;
mod home_directory;
mod link;
mod membership;
mod obstacle;
mod ownership;
mod package;
mod package_names;
mod package_verdict;
mod password_hash;
mod past;
mod path_keys;
mod registry;
mod service;
pub mod text_diff;
mod unit_name;
mod user;
mod validation;
mod version_constraint;

pub use registry::{Registry, registry};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-kind.md")]
mod adding_a_kind {}
