//! `converge demo`: the whole way on this machine. A store on loopback, a policy published to it, this machine enrolled,
//! planned, converged, and converged again.

mod embedded;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use converge_model::{Error, ErrorKind, Outcome as ResourceOutcome, Report, Result};
use converge_protocol::JoinTokenRequest;
use converge_protocol::NodeFilter;
use converge_store::{Store, StoreOptions, TlsOptions, Upkeep};
use converge_system::linux::{durable, facts};
use converge_trust::SigningKey;
use converge_trust::join_string::JoinString;

use super::compile::Compilation;
use super::publish::Wish;
use super::{enroll, publish};
use crate::access;
use crate::cli::{CommonArgs, DemoArgs};
use crate::client::{Credentials, StoreClient};
use crate::clock::MachineClock;
use crate::config::{ConfigDir, NodeIdentity};
use crate::console::{Console, NOTE, STRONG, report, styled};
use crate::failure::{Failure, Outcome, RUN_FAILED};
use crate::publishing::Author;
use crate::run::policy::PolicyChoice;
use crate::run::{Agent, Limits};
use crate::signing_key;
use embedded::Privilege;

/// The group that the demo's node is in.
const GROUP: &str = "demo";
/// How long the demo waits for another run on this machine.
const LIMITS: Limits = Limits { lock_wait: Duration::from_secs(60), deadline: None };

/// Where the demo keeps what it needs: a store, a configuration and a state directory of its own.
struct Place {
    root: PathBuf,
    privilege: Privilege,
}

/// Shows the whole way, or takes everything away again.
pub(crate) fn run(args: &DemoArgs, common: &CommonArgs, console: Console) -> Outcome {
    let place = Place::of_this_user()?;
    if args.undo { undo(&place, args, common, console) } else { show(&place, args, common, console) }
}

fn show(place: &Place, args: &DemoArgs, common: &CommonArgs, console: Console) -> Outcome {
    say_what_is_missing(place, console);
    durable::create_directory(&place.root, 0o700)?;
    let store = RunningStore::start(&place.root.join("store"))?;
    heading(console, format_args!("A store listens on {}", store.client.base()));

    let compilation = Compilation::of(embedded::repository(&place.privilege)?, embedded::POLICY, console)?;
    let author = place.author()?;
    let wish = Wish { group: Some(GROUP), ..Wish::default() };
    let published = publish::publish(&compilation, wish, &author, &store.client, console)?;
    let serial = published.revision.serial;
    heading(
        console,
        format_args!("Policy {} is published: revision {serial}, live in group {GROUP}", embedded::POLICY),
    );

    let name = place.enroll(&store.client)?;
    heading(console, format_args!("This machine is the node {name}. What a run would change:"));
    let agent = Agent::open(&place.common(common), console)?;
    let plan = agent.plan(PolicyChoice::Store)?.report;
    console.note(report::summary(&plan));
    if plan.count(ResourceOutcome::WouldUpdate) > 0 && !args.yes && !console.confirm("\nConverge this machine now?") {
        console.note("\nNothing was changed. `converge demo --yes` goes on; `converge demo --undo` removes the store.");
        return console.result(&plan, |_| String::new());
    }

    heading(console, "Converging");
    let first = agent.converge(PolicyChoice::Store, LIMITS)?.report;
    console.note(report::summary(&first));
    heading(console, "Converging again");
    let second = agent.converge(PolicyChoice::Store, LIMITS)?.report;
    console.note(report::summary(&second));

    heading(console, "What the store knows");
    console.note(super::nodes::text(&store.client.nodes(&NodeFilter::default())?.items));
    say_where_to_look(place, &second, console);
    console.result(&[&plan, &first, &second], |_| String::new())?;
    if first.conclusion.is_success() && second.conclusion.is_success() {
        Ok(())
    } else {
        Err(Failure::Said(RUN_FAILED))
    }
}

fn undo(place: &Place, args: &DemoArgs, common: &CommonArgs, console: Console) -> Outcome {
    if !place.root.exists() {
        return console
            .result(&serde_json::Value::Null, |_| "there is nothing to undo: the demo never ran here".to_owned());
    }
    if !args.yes && !console.confirm("Take away everything that the demo made on this machine?") {
        console.note("Nothing was changed. `converge demo --undo --yes` does not ask.");
        return Ok(());
    }
    let agent = Agent::open(&place.common(common), console)?;
    let nothing = Compilation::of(embedded::nothing(), embedded::POLICY, console)?;
    let done = agent.converge(PolicyChoice::of_compilation(nothing, &facts::hostname()?), LIMITS)?.report;
    console.result(&done, report::summary)?;
    if !done.conclusion.is_success() {
        console.note(format_args!("{} stays, so that `converge demo --undo` can be tried again", place.root.display()));
        return Err(Failure::Said(RUN_FAILED));
    }
    durable::remove_directory(&place.root)?;
    console.note(format_args!("removed {}", place.root.display()));
    Ok(())
}

impl Place {
    fn of_this_user() -> Result<Self> {
        if nix::unistd::geteuid().is_root() {
            return Ok(Self { root: "/var/lib/converge-demo".into(), privilege: Privilege::Root });
        }
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "find", "the home directory of this user", "it has no entry in passwd")
        })?;
        let root = user.dir.join(".local/state/converge-demo");
        Ok(Self { root, privilege: Privilege::User { name: user.name, home: user.dir } })
    }

    /// The flags, but with directories of the demo's own: it never touches what a real agent here has.
    fn common(&self, common: &CommonArgs) -> CommonArgs {
        CommonArgs { config_dir: self.config_dir(), state_dir: self.root.join("state"), ..common.clone() }
    }

    fn config_dir(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// The demo's own author: a key that is made for it, which its node trusts alone.
    fn author(&self) -> Result<Author> {
        let file = self.root.join("author_key");
        if !file.exists() {
            let key = SigningKey::generate("converge demo")?;
            let text = key.to_file()?.unwrap_or_default();
            durable::write(&file, text.as_bytes(), 0o600)?;
        }
        let key = signing_key::find(Some(&file))?;
        ConfigDir::new(&self.config_dir()).write_signers(&format!("demo {}\n", key.public().to_line()?))?;
        Ok(Author { key, signers: None })
    }

    /// Makes this machine a node, or, where it is one since an earlier demo, tells it where the store is now.
    fn enroll(&self, store: &StoreClient) -> Outcome<String> {
        let config = ConfigDir::new(&self.config_dir());
        if let Some(identity) = config.node()? {
            let authority = store.trust().pin();
            let identity = NodeIdentity { store: store.base().to_owned(), authority, ..identity };
            config.write_node(&identity)?;
            return Ok(identity.name);
        }
        let token = store.join_token(&JoinTokenRequest {
            policy: embedded::POLICY.to_owned(),
            group: GROUP.to_owned(),
            uses: Some(1),
            valid_seconds: Some(600),
            replaces: None,
            tags: Vec::new(),
            secrets: None,
        })?;
        let join = JoinString {
            stores: token.stores,
            authority: store.trust().pin(),
            token: token.token,
            signers: None,
            threshold: None,
            secrets: None,
        };
        Ok(enroll::enroll(&config, &join, &facts::hostname()?, &mut |_| Ok(()))?.name)
    }
}

fn heading(console: Console, text: impl std::fmt::Display) {
    console.note(format_args!("\n{}", styled(STRONG, text)));
}

fn say_what_is_missing(place: &Place, console: Console) {
    let note = |text: &str| console.note(format_args!("{} {text}", styled(NOTE, "note:")));
    if let Privilege::User { home, .. } = &place.privilege {
        note("not root: no account, package or service is made, and the site goes to your home directory");
        note(&format!(
            "{} is where it goes; as root the demo shows everything",
            home.join("converge-quickstart").display()
        ));
    } else if !Path::new("/run/systemd/system").exists() {
        note("systemd does not run here: the heartbeat's service is left out");
    }
}

fn say_where_to_look(place: &Place, last: &Report, console: Console) {
    let program = std::env::current_exe().map_or_else(|_| "converge".into(), |path| path.display().to_string());
    let (config, state) = (place.config_dir(), place.root.join("state"));
    heading(console, "Where to look further");
    console.note(format_args!(
        "  {site}\n  {program} report {run} --local --state-dir {state}\n  \
         {program} why 'file[{site}/style.css]' --config-dir {config} --state-dir {state}\n  \
         {program} demo           shows what changed since, and mends it\n  \
         {program} demo --undo    takes everything away again",
        site = place.privilege.site().display(),
        run = last.run,
        config = config.display(),
        state = state.display(),
    ));
}

/// The demo's store, in this process, until it is dropped.
struct RunningStore {
    client: StoreClient,
    _runtime: tokio::runtime::Runtime,
}

impl RunningStore {
    fn start(data: &Path) -> Result<Self> {
        let options = StoreOptions {
            data: data.to_owned(),
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: TlsOptions::default(),
            upkeep: Upkeep::default(),
            clock: Arc::new(MachineClock),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Error::io("start", "the store's runtime", &error))?;
        let store = runtime.block_on(Store::open(&options))?;
        let access = access::read(store.access_file())?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "read", store.access_file().display(), "the store wrote none")
        })?;
        runtime.spawn(store.serve(std::future::pending()));
        let client = StoreClient::new(&access.store, access.authority.into(), Credentials::Operator(access.token))?;
        Ok(Self { client, _runtime: runtime })
    }
}
