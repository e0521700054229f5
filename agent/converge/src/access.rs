//! An operator's access to the store: which store, and with which token.

use std::path::{Path, PathBuf};

use converge_model::{Error, ErrorKind, Result};
use converge_system::linux::durable;

use crate::cli::StoreAccess;
use crate::client::StoreClient;
use crate::repository::{self, PolicyRepository};

/// The store where nobody says another.
pub(crate) const DEFAULT_STORE: &str = "http://127.0.0.1:8600";
/// Where a store on this machine keeps its operator's token.
const LOCAL_STORE: &str = "/var/lib/converge-store";

/// A client that acts as the operator. `repository` says which store where the flags do not.
///
/// # Errors
/// Where no token is to be had.
pub(crate) fn operator(access: &StoreAccess, repository: Option<&PolicyRepository>) -> Result<StoreClient> {
    let configured = match (&access.store, repository) {
        (Some(store), _) => Some(store.clone()),
        (None, Some(repository)) => repository.store()?,
        (None, None) => repository::settings_around(Path::new("."))?.store,
    };
    StoreClient::new(configured.as_deref().unwrap_or(DEFAULT_STORE), Some(token(access)?))
}

fn token(access: &StoreAccess) -> Result<String> {
    let candidates = match &access.token_file {
        Some(file) => vec![file.clone()],
        None => default_token_files(),
    };
    for file in &candidates {
        match durable::read(file, 4096) {
            Ok(Some(bytes)) => return Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Ok(None) => {}
            Err(error) if error.kind == ErrorKind::Denied && access.token_file.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let tried: Vec<String> = candidates.iter().map(|file| file.display().to_string()).collect();
    Err(Error::new(ErrorKind::Invalid, "find", "the operator's token", format!("it is not in {}", tried.join(" or ")))
        .with_hint("`converge store` says where it keeps the token; give that file with --token-file"))
}

fn default_token_files() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where a user's own configuration is, only the environment knows")]
    let (config, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    let config = config.map(PathBuf::from).or_else(|| home.map(|home| PathBuf::from(home).join(".config")));
    let own = config.map(|config| config.join("converge/operator.token"));
    own.into_iter().chain([converge_store::token_file(Path::new(LOCAL_STORE))]).collect()
}
