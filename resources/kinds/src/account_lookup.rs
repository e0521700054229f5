//! Finding the numbers behind the names of users and groups.

use converge_model::{AccountName, Error, ErrorKind, Result, System};

/// The number of a user; nothing where there is no such user.
pub(crate) fn uid(system: &dyn System, name: &AccountName) -> Result<Option<u32>> {
    match name {
        AccountName::Id(id) => Ok(Some(*id)),
        AccountName::Name(name) => system.accounts().uid_of(name),
    }
}

/// The number of a group; nothing where there is no such group.
pub(crate) fn gid(system: &dyn System, name: &AccountName) -> Result<Option<u32>> {
    match name {
        AccountName::Id(id) => Ok(Some(*id)),
        AccountName::Name(name) => system.accounts().gid_of(name),
    }
}

/// The error that `name` is not there; `what` is `user` or `group`.
pub(crate) fn missing(what: &str, name: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, "find", format!("the {what} {name}"), format!("there is no such {what}"))
        .with_hint(format!("declare `{what}[{name}]` before it, or mend the name"))
}
