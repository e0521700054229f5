//! apt and dpkg behind the port.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use converge_model::system::Commands;
use converge_model::system::commands::{CommandOutput, Exit};
use converge_model::system::packages::{Candidate, Installed, PackageFile, Transaction};
use converge_model::{AbsPath, Cancel, Error, ErrorKind, Result};

use super::database::Database;
use super::lists::Lists;
use super::lock;
use super::offers::Offers;
use super::policy::Policy;
use super::request::{self, Request, bare};
use super::simulation;
use super::tools::{Deadline, Tools, strings};

/// How long a question to apt's index may take.
const LOOK: Duration = Duration::from_secs(120);
/// How long fetching the index may take.
const FETCH: Duration = Duration::from_secs(300);
/// For how long fetching the index is not tried again after it failed: it may have taken minutes to find that out.
const FETCH_PAUSE: Duration = Duration::from_secs(300);
/// What dpkg and apt lock before they change packages.
const LOCKS: [&str; 3] = ["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/cache/apt/archives/lock"];
/// What apt locks before it fetches the index.
const LISTS_LOCK: &str = "var/lib/apt/lists/lock";

/// The packages of a Debian, or of what comes from it.
pub(super) struct Apt {
    root: PathBuf,
    database: Database,
    lists: Lists,
    tools: Tools,
    cancel: Cancel,
    offers: Offers,
    fetches: Mutex<Fetches>,
}

/// What is remembered of fetching the index.
#[derive(Default)]
struct Fetches {
    /// When it last failed, and why.
    failed: Option<(Instant, Error)>,
    /// Packages, with a version or any, that the index was fetched for and was without nevertheless.
    in_vain: BTreeSet<(String, Option<String>)>,
}

impl Apt {
    /// apt below `root`, where it is installed there.
    pub(super) fn detect(root: &Path, commands: Arc<dyn Commands>, cancel: Cancel) -> Option<Self> {
        let there = |path: &str| rustix::fs::stat(root.join(path)).is_ok();
        (there("usr/bin/apt-get") && there("var/lib/dpkg/status")).then(|| Self {
            root: root.to_owned(),
            database: Database::new(root.join("var/lib/dpkg")),
            lists: Lists::new(root.to_owned()),
            tools: Tools::new(commands),
            cancel,
            offers: Offers::default(),
            fetches: Mutex::default(),
        })
    }

    /// Told which packages will be asked about, so that their candidates can be asked for together.
    pub(super) fn expect(&self, names: &[&str]) {
        self.offers.expect(names);
    }

    pub(super) fn installed(&self, name: &str) -> Result<Option<Installed>> {
        request::check_name(name)?;
        Ok(self.database.index()?.find(name).and_then(|entry| entry.installed()))
    }

    pub(super) fn candidates(&self, name: &str) -> Result<Vec<Candidate>> {
        request::check_name(name)?;
        Ok(self.offer(name)?.map(|policy| policy.candidates()).unwrap_or_default())
    }

    pub(super) fn inspect(&self, path: &AbsPath) -> Result<PackageFile> {
        let line = strings(&["/usr/bin/dpkg-deb", "-f", &path.to_string(), "Package", "Version"]);
        let output = self.tools.look(line, LOOK)?;
        let subject = format!("package file {path}");
        Deadline { operation: "read", subject: &subject, at: Instant::now() }.judge("dpkg-deb", &output, &[])?;
        let field = |name: &str| {
            let value = output.output.text.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        match (field("Package: "), field("Version: ")) {
            (Some(name), Some(version)) => Ok(PackageFile { name, version }),
            _ => Err(Error::new(ErrorKind::Invalid, "read", subject, "it says neither its package nor its version")),
        }
    }

    pub(super) fn refresh(&self, age: Duration) -> Result<bool> {
        if !self.lists.is_due(age) {
            return Ok(false);
        }
        let deadline = Deadline { operation: "fetch", subject: "the package index", at: Instant::now() + FETCH };
        match self.fetch(deadline) {
            Ok(()) => Ok(true),
            Err(error) if self.lists.is_usable() && error.kind != ErrorKind::Cancelled => {
                tracing::warn!("going on with the package index there is: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn transact(&self, transaction: &Transaction) -> Result<()> {
        request::check(transaction)?;
        let (operation, subject) = request::words_for(transaction);
        let deadline = Deadline { operation, subject: &subject, at: Instant::now() + transaction.timeout };
        if !rustix::process::geteuid().is_root() {
            return Err(Error::new(ErrorKind::Denied, operation, &subject, "only root may change packages")
                .with_hint("run as root"));
        }
        let done = self.carry_out(transaction, deadline);
        self.database.forget();
        done
    }

    fn carry_out(&self, transaction: &Transaction, deadline: Deadline<'_>) -> Result<()> {
        self.wait_for_locks(deadline)?;
        self.finish_interrupted(deadline)?;
        let inspect = |file: &AbsPath| self.inspect(file);
        let files = transaction.install.iter().map(|install| install.file.as_ref().map(inspect).transpose());
        let files = files.collect::<Result<Vec<_>>>()?;
        self.look_up(transaction, deadline)?;
        self.mark("unhold", &transaction.unhold, deadline)?;
        self.call(&Request::new(transaction, &files, &*self.database.index()?)?, deadline)?;
        self.call(&Request::purge(transaction, &*self.database.index()?), deadline)?;
        self.mark("hold", &transaction.hold, deadline)
    }

    /// Waits for dpkg's and apt's locks. Who takes them after that makes apt wait in turn.
    fn wait_for_locks(&self, deadline: Deadline<'_>) -> Result<()> {
        let locks = LOCKS.map(|lock| self.root.join(lock));
        lock::wait(&locks, deadline.at, &self.cancel)
    }

    /// Lets dpkg finish what it was interrupted in. What cannot be finished does not keep others from being installed:
    /// apt goes on where it can, and says what is wrong where it cannot.
    fn finish_interrupted(&self, deadline: Deadline<'_>) -> Result<()> {
        if !self.database.is_interrupted()? {
            return Ok(());
        }
        tracing::info!("finishing what dpkg was interrupted in");
        let line = ["/usr/bin/dpkg", "--force-confdef", "--force-confold", "--configure", "-a"];
        let output = self.tools.change(strings(&line), deadline)?;
        self.warn_unless_finished("dpkg", &output, deadline)?;
        if self.database.is_interrupted()? {
            let output = self.tools.apt_get(&strings(&["install", "--fix-broken", "--no-remove"]), deadline)?;
            self.warn_unless_finished("apt-get", &output, deadline)?;
        }
        Ok(())
    }

    fn warn_unless_finished(&self, program: &str, output: &CommandOutput, deadline: Deadline<'_>) -> Result<()> {
        match deadline.judge(program, output, &[]) {
            Err(error) if matches!(output.exit, Exit::TimedOut | Exit::Cancelled) => Err(error),
            Err(error) => {
                tracing::warn!("a package stays unfinished: {}", error.cause);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Makes sure that the index has what is to be installed, fetching it anew where it is older than its sources, or
    /// where something is not in it.
    fn look_up(&self, transaction: &Transaction, deadline: Deadline<'_>) -> Result<()> {
        let wanted: Vec<(String, Option<String>)> = transaction
            .install
            .iter()
            .filter(|install| install.file.is_none())
            .map(|install| (install.name.clone(), install.version.clone()))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let fetched = match self.lists.is_outdated() {
            true => self.fetch(deadline),
            false => Ok(()),
        };
        let mut missing = self.missing(&wanted)?;
        if missing.is_empty() {
            if let Err(error) = fetched {
                tracing::warn!("going on with the package index there is: {error}");
            }
            return Ok(());
        }
        let in_vain = |entry: &&(String, Option<String>)| self.fetches().in_vain.contains(*entry);
        let mut failed = fetched.err();
        if failed.is_none() && !missing.iter().all(|entry| in_vain(&entry)) {
            failed = self.fetch(deadline).err();
            missing = self.missing(&wanted)?;
            if failed.is_none() {
                self.fetches().in_vain.extend(missing.iter().cloned());
            }
        }
        match missing.first() {
            Some((name, version)) => Err(self.not_offered(name, version.as_deref(), failed.as_ref())),
            None => Ok(()),
        }
    }

    /// What the index does not have.
    fn missing(&self, wanted: &[(String, Option<String>)]) -> Result<Vec<(String, Option<String>)>> {
        self.expect(&wanted.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        let mut missing = Vec::new();
        for (name, version) in wanted {
            if !self.offer(name)?.is_some_and(|policy| policy.offers(version.as_deref())) {
                missing.push((name.clone(), version.clone()));
            }
        }
        Ok(missing)
    }

    fn not_offered(&self, name: &str, version: Option<&str>, fetch: Option<&Error>) -> Error {
        let offered = self.offer(name).ok().flatten().map(|policy| policy.versions);
        let (mut cause, hint) = match (offered.as_deref(), version) {
            (None, _) => (
                "the index knows no such package".to_owned(),
                "check the name, and that its repository is among the sources",
            ),
            (Some([]), _) => {
                ("it is a virtual package, or known only by name".to_owned(), "name a package that provides it")
            }
            (Some(offered), Some(version)) => (
                format!("the index has no version {version}; it has {}", offered.join(", ")),
                "ask for one of these, or add a repository that has it",
            ),
            (Some(_), None) => {
                ("its versions are pinned away".to_owned(), "look at apt-cache policy, and at /etc/apt/preferences.d")
            }
        };
        let kind = match fetch {
            Some(error) => {
                cause = format!("{cause}, and fetching the index failed: {}", error.cause);
                ErrorKind::Unavailable
            }
            None => ErrorKind::NotFound,
        };
        Error::new(kind, "install", format!("package {name}"), cause).with_hint(hint)
    }

    /// Fetches the index, unless that failed a short time ago.
    fn fetch(&self, deadline: Deadline<'_>) -> Result<()> {
        if let Some((when, error)) = &self.fetches().failed
            && when.elapsed() < FETCH_PAUSE
        {
            return Err(error.clone());
        }
        let deadline = Deadline { operation: "fetch", subject: "the package index", ..deadline }.at_most(FETCH);
        lock::wait(&[self.root.join(LISTS_LOCK)], deadline.at, &self.cancel)?;
        // Without it, apt takes a source that cannot be reached for a mere warning.
        let output = self.tools.apt_get(&strings(&["update", "-o", "APT::Update::Error-Mode=any"]), deadline)?;
        let fetched = deadline.judge("apt-get update", &output, &[]);
        match &fetched {
            Ok(()) => self.lists.stamp(),
            Err(error) => self.fetches().failed = Some((Instant::now(), error.clone())),
        }
        fetched
    }

    /// One call of apt-get; a second one with a new index where the repository went on since it was fetched.
    fn call(&self, request: &Request, deadline: Deadline<'_>) -> Result<()> {
        if request.is_empty() {
            return Ok(());
        }
        match self.attempt(request, deadline) {
            Err(failed) if failed.is_stale => match self.fetch(deadline) {
                Ok(()) => self.attempt(request, deadline).map_err(|failed| failed.error),
                Err(_) => Err(failed.error),
            },
            attempted => attempted.map_err(|failed| failed.error),
        }
    }

    /// One call of apt-get, which is simulated first: nothing is removed or changed that nobody asked for.
    fn attempt(&self, request: &Request, deadline: Deadline<'_>) -> Result<(), Failed> {
        let output = self.tools.simulate(&request.words, deadline)?;
        deadline.judge("apt-get", &output, &[])?;
        if output.output.dropped > 0 && !request.removes.is_empty() {
            let cause = "it changes so many packages at once that what it removes cannot be checked";
            let error = Error::new(ErrorKind::Failed, deadline.operation, deadline.subject, cause);
            return Err(error.with_hint("install and remove in separate recipes").into());
        }
        let simulation = simulation::parse(&output.output.text);
        self.refuse_surprises(request, &simulation, deadline)?;
        if !simulation.changes && output.output.dropped == 0 {
            return Ok(());
        }
        let output = self.tools.apt_get(&request.guarded_words(), deadline)?;
        let unmet = request.unmet(&simulation, &*self.database.index()?);
        match deadline.judge("apt-get", &output, &unmet) {
            Err(error) if unmet.is_empty() && error.kind == ErrorKind::Failed => {
                // All that was asked for is there: another package that is broken is not this one's fault.
                tracing::warn!("another package is broken: {}", error.cause);
                Ok(())
            }
            judged => judged.map_err(|error| Failed { is_stale: is_stale(&output), error }),
        }
    }

    fn refuse_surprises(
        &self,
        request: &Request,
        simulation: &simulation::Simulation,
        deadline: Deadline<'_>,
    ) -> Result<()> {
        let index = self.database.index()?;
        let unasked = |names: &[String], asked: &[String]| {
            let names = names.iter().map(|name| bare(name, index.native()));
            names.filter(|name| !asked.iter().any(|asked| asked == name)).collect::<Vec<_>>().join(", ")
        };
        let refused = |cause: String, hint: &str| {
            Err(Error::new(ErrorKind::Failed, deadline.operation, deadline.subject, cause).with_hint(hint))
        };
        if !simulation.essential.is_empty() {
            let names = simulation.essential.join(", ");
            return refused(
                format!("that would remove what is essential: {names}"),
                "choose another package or version",
            );
        }
        let removed = unasked(&simulation.removes, &request.removes);
        if !removed.is_empty() {
            return refused(
                format!("that would also remove {removed}, which nobody asked for"),
                "if they are to go, declare them absent in the same recipe; else choose another package or version",
            );
        }
        let held = unasked(&simulation.held, &request.held);
        if !held.is_empty() {
            return refused(
                format!("that would change {held}, which is held"),
                "declare `hold` for it, so that it may be changed and is held again; or release it with apt-mark unhold",
            );
        }
        Ok(())
    }

    /// Holds packages, or releases them.
    fn mark(&self, verb: &str, names: &[String], deadline: Deadline<'_>) -> Result<()> {
        let index = self.database.index()?;
        let held = verb == "hold";
        let is_so = |name: &&String| index.find(name).is_some_and(|entry| entry.held) == held;
        let names: Vec<String> = names.iter().filter(|name| !is_so(name)).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        self.wait_for_locks(deadline)?;
        let subject = format!("packages {}", names.join(", "));
        let deadline = Deadline { operation: verb, subject: &subject, ..deadline };
        let line = strings(&["/usr/bin/apt-mark", verb]).into_iter().chain(names).collect();
        let output = self.tools.change(line, deadline)?;
        deadline.judge("apt-mark", &output, &[])
    }

    /// What the index has of `name`.
    fn offer(&self, name: &str) -> Result<Option<Policy>> {
        self.offers.get(name, self.database.index()?, self.lists.fingerprint(), &self.tools)
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of apt-get that failed.
struct Failed {
    error: Error,
    /// A download failed in a way that a newer index would mend.
    is_stale: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, is_stale: false }
    }
}

/// Whether a download failed because the repository went on since the index was fetched.
fn is_stale(output: &CommandOutput) -> bool {
    ["404  Not Found", "File not found", "Hash Sum mismatch", "File has unexpected size"]
        .iter()
        .any(|words| output.output.text.contains(words))
}
