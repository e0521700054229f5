//! An operator's access to the store: which store, and with which token.
//!
//! All of it is in one file, which a store writes at its first start, and which can be copied to where an operator works.

use std::path::{Path, PathBuf};

use converge_model::{Error, ErrorKind, Result};
use converge_store::Access;
use converge_system::linux::durable;

use crate::cli::StoreAccess;
use crate::client::{Credentials, StoreClient};
use crate::repository::{self, PolicyRepository};

/// Where a store on this machine keeps everything.
const LOCAL_STORE: &str = "/var/lib/converge-store";
/// The longest access file, in bytes.
const LONGEST: u64 = 64 << 10;

/// A client that acts as the operator. `repository` says which store where the flags do not.
///
/// # Errors
/// Where no access is to be had.
pub(crate) fn operator(args: &StoreAccess, repository: Option<&PolicyRepository>) -> Result<StoreClient> {
    let access = access(args)?;
    let configured = match (&args.store, repository) {
        (Some(store), _) => Some(store.clone()),
        (None, Some(repository)) => repository.store()?,
        (None, None) => repository::settings_around(Path::new("."))?.store,
    };
    StoreClient::new(&configured.unwrap_or(access.store), access.authority.into(), Credentials::Operator(access.token))
}

fn access(args: &StoreAccess) -> Result<Access> {
    let candidates = match &args.access_file {
        Some(file) => vec![file.clone()],
        None => default_files(),
    };
    for file in &candidates {
        match read(file) {
            Ok(Some(access)) => return Ok(access),
            Ok(None) => {}
            Err(error) if error.kind == ErrorKind::Denied && args.access_file.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let tried: Vec<String> = candidates.iter().map(|file| file.display().to_string()).collect();
    let cause = format!("it is not in {}", tried.join(" or "));
    Err(Error::new(ErrorKind::Invalid, "find", "the access to the store", cause)
        .with_hint("`converge store` says in which file it keeps one; copy it, or give it with --access-file"))
}

/// The access in a file; nothing where there is no file.
///
/// # Errors
/// Where it cannot be read, or is no access file.
pub(crate) fn read(file: &Path) -> Result<Option<Access>> {
    let Some(bytes) = durable::read(file, LONGEST)? else { return Ok(None) };
    let access = serde_json::from_slice(&bytes);
    access.map(Some).map_err(|error| {
        Error::new(ErrorKind::Invalid, "read", file.display(), format!("it is no access file: {error}"))
            .with_hint("copy the one that the store wrote, whole")
    })
}

fn default_files() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where a user's own configuration is, only the environment knows")]
    let (config, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    let config = config.map(PathBuf::from).or_else(|| home.map(|home| PathBuf::from(home).join(".config")));
    let own = config.map(|config| config.join("converge/access.json"));
    own.into_iter().chain([converge_store::access_file(Path::new(LOCAL_STORE))]).collect()
}
