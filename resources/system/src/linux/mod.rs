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
//! - The whole name of a machine (the fact `fqdn`) comes from its own name or /etc/hosts; no name server is asked.

pub mod accounts;
pub mod commands;
pub mod durable;
pub mod epoch;
pub mod facts;
pub mod files;
pub mod lock;
pub mod packages;
pub mod process;
pub mod resident;
pub mod services;
mod small_file;

use std::path::PathBuf;
use std::sync::Arc;

use converge_model::error::Result;
use converge_model::resource::Key;
use converge_model::system::{Accounts, Commands, Files, Packages, Services};
use converge_model::{Cancel, System};

use crate::blobs::BlobSource;
use accounts::{Database, LinuxAccounts};
use commands::LinuxCommands;
use epoch::Epoch;
pub use files::StatCacheOptions;

use files::LinuxFiles;
use packages::LinuxPackages;
use services::LinuxServices;

/// What a [`LinuxSystem`] is made of.
pub struct Options {
    /// The directory that stands for `/`: `/` itself, or where another system's tree is mounted. In such a tree, files and
    /// accounts are converged; nothing in it is executed but the tools that change its accounts.
    pub root: PathBuf,
    /// Where the content comes from that a catalog names by digest.
    pub blobs: Arc<dyn BlobSource>,
    /// Ends what takes long.
    pub cancel: Cancel,
    /// Where it is remembered what files held; nowhere: every file is read each time.
    pub stat_cache: Option<StatCacheOptions>,
}

/// The machine that this process runs on.
pub struct LinuxSystem {
    files: LinuxFiles,
    accounts: LinuxAccounts,
    packages: LinuxPackages,
    services: LinuxServices,
    commands: Arc<LinuxCommands>,
    epoch: Epoch,
}

impl LinuxSystem {
    /// Opens the machine. Reads and starts next to nothing: what is there is found out when it is asked for.
    ///
    /// # Errors
    /// Where the root directory cannot be opened.
    pub fn new(options: Options) -> Result<Self> {
        let Options { root, blobs, cancel, stat_cache } = options;
        let epoch = Epoch::default();
        let database = Arc::new(Database::new(&root, epoch.clone(), cancel.clone()));
        let commands = Arc::new(LinuxCommands::new(Arc::clone(&database), root.clone(), epoch.clone(), cancel.clone()));
        Ok(Self {
            files: LinuxFiles::new(&root, blobs, Arc::clone(&database), cancel.clone(), stat_cache)?,
            packages: LinuxPackages::new(&root, Arc::clone(&commands) as Arc<dyn Commands>, cancel.clone()),
            services: LinuxServices::new(
                &root,
                Arc::clone(&commands) as Arc<dyn Commands>,
                epoch.clone(),
                cancel.clone(),
            ),
            accounts: LinuxAccounts::new(database, root, cancel),
            commands,
            epoch,
        })
    }

    /// Keeps for later runs what files were seen to hold, where [`Options::stat_cache`] says so.
    ///
    /// # Errors
    /// Where it cannot be written. Nothing is lost but time.
    pub fn save_stat_cache(&self) -> Result<()> {
        self.files.save_stat_cache()
    }

    /// Forgets what is remembered of accounts, because something else than this system may have changed them.
    pub fn invalidate(&self) {
        self.epoch.advance();
    }
}

impl System for LinuxSystem {
    fn files(&self) -> &dyn Files {
        &self.files
    }

    fn accounts(&self) -> &dyn Accounts {
        &self.accounts
    }

    fn packages(&self) -> &dyn Packages {
        &self.packages
    }

    fn services(&self) -> &dyn Services {
        &self.services
    }

    fn commands(&self) -> &dyn Commands {
        &*self.commands
    }

    fn prepare(&self, keys: &[Key]) {
        let (mut packages, mut units): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for key in keys {
            match key {
                Key::Package(name) => packages.push(name),
                Key::Unit(name) => units.push(name),
                _ => {}
            }
        }
        // systemd answers while all else is looked at.
        self.services.prepare(&units);
        self.packages.prepare(&packages);
    }

    fn flush(&self) -> Result<()> {
        self.files.flush()
    }
}
