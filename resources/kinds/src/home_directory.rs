//! The home directory of a user.

use converge_model::system::accounts::User;
use converge_model::system::files::{Attributes, FileType, Metadata};
use converge_model::{AbsPath, Error, ErrorKind, Result, System};

use crate::obstacle;

/// The mode of a home directory that is made for a user who is there already.
const MODE: u32 = 0o700;

/// Where it belongs: where the recipe says, else where passwd(5) says.
fn path(user: &User, declared: Option<&AbsPath>) -> Result<AbsPath> {
    match declared {
        Some(home) => Ok(home.clone()),
        None => user.home.parse().map_err(|cause| {
            Error::new(ErrorKind::Invalid, "find", format!("the home directory of {}", user.name), cause)
                .with_hint("declare `home`")
        }),
    }
}

/// What is where it belongs.
pub(crate) fn observe(system: &dyn System, user: &User, declared: Option<&AbsPath>) -> Result<Option<FileType>> {
    Ok(system.files().metadata(&path(user, declared)?)?.map(|metadata| metadata.file_type))
}

/// Whether what was found there will do: a link may lead to another disk.
pub(crate) fn is_one(found: FileType) -> bool {
    matches!(found, FileType::Directory | FileType::Symlink)
}

/// Makes the home directory of a user who was not given one when it was made.
///
/// # Errors
/// Where something else is there, or the directory it belongs in is not.
pub(crate) fn make(system: &dyn System, user: &User, declared: Option<&AbsPath>) -> Result<()> {
    let home = path(user, declared)?;
    match observe(system, user, declared)? {
        None => {
            let attributes = Attributes { uid: Some(user.uid), gid: Some(user.gid), mode: Some(MODE) };
            let made = system.files().make_directory(&home, attributes);
            made.map_err(|error| obstacle::with_parent_hint(error, &home))
        }
        Some(found) if is_one(found) => Ok(()),
        Some(found) => {
            let hint = "remove it if it is not needed, or declare another `home`";
            Err(obstacle::in_the_way("make the home directory", &home, found, hint))
        }
    }
}

/// Removes a home directory that belongs to the user; any other, as `/` or `/var/www` of a service, is left where it is.
/// Says whether nothing of anybody else's is there, so that what goes with the user may be removed as well.
pub(crate) fn remove(system: &dyn System, user: &User) -> Result<bool> {
    let Ok(home) = user.home.parse::<AbsPath>() else { return Ok(false) };
    let is_deep = home.parent().is_some_and(|parent| parent.parent().is_some());
    let is_own = |found: Metadata| found.file_type == FileType::Directory && found.uid == user.uid;
    match system.files().metadata(&home)? {
        None => Ok(true),
        Some(found) if is_deep && user.uid != 0 && is_own(found) => system.files().remove_tree(&home).map(|()| true),
        Some(_) => Ok(false),
    }
}
