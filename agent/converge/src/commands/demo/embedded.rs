//! The policy that the demo converges, as the repository of this project ships it, inside the binary.

use std::path::{Path, PathBuf};

use converge_model::Result;

use crate::repository::PolicyRepository;

/// The policy's name.
pub(crate) const POLICY: &str = "quickstart";

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        /// Path within the repository, and content.
        const FILES: &[(&str, &str)] =
            &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)))),*];
    };
}

embedded![
    "converge.toml",
    "policies/quickstart.toml",
    "cookbooks/quickstart/cookbook.toml",
    "cookbooks/quickstart/files/style.css",
    "cookbooks/quickstart/recipes/beat.toml",
    "cookbooks/quickstart/recipes/default.toml",
    "cookbooks/quickstart/recipes/tool.toml",
    "cookbooks/quickstart/templates/beat.sh.j2",
    "cookbooks/quickstart/templates/index.html.j2",
    "cookbooks/quickstart/templates/page.html.j2",
    "cookbooks/quickstart/templates/quickstart-beat.service.j2",
];

/// What the demo may do on this machine.
#[derive(Clone, Debug)]
pub(crate) enum Privilege {
    /// Everything.
    Root,
    /// What this user may do, in his home directory.
    User {
        /// His name.
        name: String,
        /// His home directory.
        home: PathBuf,
    },
}

impl Privilege {
    /// Where the site goes.
    pub(crate) fn site(&self) -> PathBuf {
        match self {
            Privilege::Root => "/srv/quickstart".into(),
            Privilege::User { home, .. } => home.join("converge-quickstart"),
        }
    }
}

/// The repository with the quickstart policy. For a user who is not root the policy is one that needs no more.
///
/// # Errors
/// None that what ships can cause.
pub(crate) fn repository(privilege: &Privilege) -> Result<PolicyRepository> {
    let mut files: Vec<(String, String)> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    if let Privilege::User { name, .. } = privilege {
        let policy = Path::new("policies").join(format!("{POLICY}.toml"));
        let text = format!(
            "name = \"{POLICY}\"\nrun_list = [\"quickstart\"]\norphans = \"remove\"\n\n[attributes.quickstart]\n\
             greeting = \"Hello from Converge\"\nprivileged = false\nowner = {name:?}\nroot = {:?}\n",
            privilege.site().to_string_lossy()
        );
        files.retain(|(path, _)| Path::new(path) != policy);
        files.push((policy.to_string_lossy().into_owned(), text));
    }
    Ok(PolicyRepository::in_memory(files))
}

/// The same policy with nothing in it: what the earlier one made has left the policy, and is removed.
pub(crate) fn nothing() -> PolicyRepository {
    let policy = format!("name = \"{POLICY}\"\nrun_list = []\norphans = \"remove\"\n");
    let mark = ("converge.toml".to_owned(), String::new());
    PolicyRepository::in_memory([mark, (format!("policies/{POLICY}.toml"), policy)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_cookbook_is_inside() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let on_disk = PolicyRepository::read(&root.canonicalize().unwrap()).unwrap();
        let wanted = on_disk.files.files.keys().filter(|path| path.contains("quickstart") || *path == "converge.toml");
        let mut embedded: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        embedded.sort_unstable();
        assert_eq!(wanted.collect::<Vec<_>>(), embedded);
    }
}
