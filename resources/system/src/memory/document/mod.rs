//! A machine as a TOML document: the "before" of a scenario.
//!
//! ```toml
//! base = "debian"                       # or "empty"; debian where nothing is said
//! capacity = 1000000                    # bytes that all regular files may have together
//! offline = true                        # nothing can be fetched
//! without = ["services"]                # no service manager; likewise `packages`, no package manager
//! index_age = "2d"                      # how old the package index is
//! package_lock = { holder = "unattended-upgrades (4711)", left = "5m" }
//!
//! [files]
//! "/etc/motd" = "hello\n"
//! "/etc/key" = { content = "secret", mode = "0600", owner = "alice", group = "adm", immutable = true }
//! "/srv/www" = { directory = true, read_only = true }
//! "/etc/alias" = { link = "motd" }
//! "/etc/second" = { hard_link = "/etc/motd" }
//! "/run/pipe" = { special = true }
//! "/etc/hosts" = { content = "", mounted = true }
//! "/root" = { absent = true }           # what the base brings
//!
//! [groups.crew]
//! gid = 2000
//! members = ["alice"]
//!
//! [users.alice]                         # with a group of the same name and number unless `group` says another
//! uid = 1000
//! home = "/home/alice"                  # not made; declare it among the files
//! password = "$6$…"
//! locked = false
//!
//! [packages.web]
//! installed = "1.0"
//! state = "unfinished"                  # or "configuration"
//! held = true
//! pinned = "1.0"
//! [packages.web.versions."1.0"]
//! depends = ["lib"]
//! files = { "/etc/web.conf" = "shipped\n" }
//! units = ["web.service"]
//! users = ["web"]
//! fails = "what its script prints"
//! unpublished = true                    # the index has it only after it was fetched anew
//! archive = "/srv/web_1.0_all.deb"      # it is in this file, not in a repository
//!
//! [units."web.service"]
//! text = "[Service]\n…"                 # a unit that can be enabled and reloaded where nothing is said
//! running = true
//! enabled = true
//! masked = true
//! failed = true
//! fails = "what its log says"           # from now on; likewise `hangs = true`
//!
//! [commands."make *"]                   # `*` stands for anything
//! code = 0
//! output = ""
//! takes = "3s"
//! writes = { "/srv/built" = "x" }
//! removes = ["/srv/source"]
//! ```

mod entries;
mod furnish;

use super::MemoryMachine;
use entries::{Base, Document};

impl MemoryMachine {
    /// The machine that a document describes; see [`document`](self) for what it may say.
    ///
    /// # Errors
    /// Says what in the document is wrong, or could not be so on a machine.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        let machine = match document.base {
            Base::Debian => Self::debian(),
            Base::Empty => Self::new(),
        };
        document.put_on(&machine)?;
        Ok(machine)
    }
}
