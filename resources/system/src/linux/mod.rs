//! The real machine.
//!
//! [`LinuxSystem`] stands behind the ports of `converge_model::system`. Facts, the run lock and the agent's own durable files
//! are beside it: a plan and a run share them.
//!
//! # Current limitations
//!
//! - A file's times are not managed, and neither are the attributes of chattr(1).
//! - Files of /proc and /sys do not say how long they are, and cannot be replaced: they are no resources of kind `file`.
//! - Where openat2(2) is missing, a bind mount of the same file system inside a tree to be removed is only noticed through
//!   /proc/self/mountinfo.
//! - A command that leaves its session (a daemon) is not ended with its process group, and loses its reader: it should not
//!   print to what it inherited.
//! - Supplementary groups that only a directory (LDAP, sssd) knows are not listed: the account tools cannot change them.

pub mod accounts;
pub mod commands;
pub mod durable;
pub mod epoch;
pub mod files;
pub mod lock;
pub mod packages;
pub mod process;
pub mod services;
mod small_file;
