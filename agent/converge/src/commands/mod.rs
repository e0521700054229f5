//! One file a command.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod enroll;
pub(crate) mod facts;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod push;
pub(crate) mod report;
pub(crate) mod revisions;
pub(crate) mod rollback;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod undo;
pub(crate) mod why;
