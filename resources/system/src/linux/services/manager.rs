//! systemd's manager, as far as it is spoken to: typed calls, and its errors.

use std::path::Path;
use std::time::Duration;

use converge_model::ErrorKind;
use converge_model::system::services::{Enablement, UnitAction, UnitStatus};
use futures_util::future::{join_all, join3};
use tokio::time::timeout;
use zbus::message::Type;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DBusError, DynamicType, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use super::marks::Marks;
use super::unit;

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The interface of every unit.
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// The interface of a unit that is a service.
pub(super) const SERVICE: &str = "org.freedesktop.systemd1.Service";
/// How long systemd may take for an answer that takes it no work.
const ANSWER: Duration = Duration::from_secs(25);
/// How many jobs may end while an answer is awaited.
const JOBS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1024).unwrap();

/// Why systemd did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) cause: String,
    pub(super) hint: Option<&'static str>,
    /// The connection is dead; another one may work.
    pub(super) disconnected: bool,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), hint: None, disconnected: false }
    }

    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl From<zbus::Error> for Refusal {
    fn from(error: zbus::Error) -> Self {
        let (name, text) = match &error {
            zbus::Error::MethodError(name, text, _) => (name.as_str().to_owned(), text.clone()),
            zbus::Error::FDO(error) => (error.name().as_str().to_owned(), error.description().map(str::to_owned)),
            zbus::Error::InputOutput(error) => {
                let cause = format!("the connection to systemd was lost: {error}");
                return Self { disconnected: true, ..Self::new(ErrorKind::Failed, cause) };
            }
            other => return Self::new(ErrorKind::Failed, other.to_string()),
        };
        let (kind, hint) = meaning(&name);
        let cause = text.filter(|text| !text.is_empty()).unwrap_or(name);
        Self { hint, ..Self::new(kind, cause.trim_end_matches('.')) }
    }
}

/// What the name of an error on the bus means, and what to do then.
fn meaning(name: &str) -> (ErrorKind, Option<&'static str>) {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last {
        "NoSuchUnit" | "FileNotFound" | "UnknownObject" => {
            (ErrorKind::NotFound, Some("install the package, or declare the unit file, before the service"))
        }
        "UnitMasked" => (ErrorKind::Denied, Some("it is masked; unmask it with `masked = false`")),
        "BadUnitSetting" | "LoadFailed" => {
            (ErrorKind::Invalid, Some("systemd-analyze verify UNIT shows what is wrong"))
        }
        "AccessDenied" | "InteractiveAuthorizationRequired" => (ErrorKind::Denied, Some("run as root")),
        "UnitExists" | "FileExists" => (
            ErrorKind::Failed,
            Some("another file is where a link has to go, in /etc/systemd/system; remove it, or manage it as a file"),
        ),
        "OnlyByDependency" => {
            (ErrorKind::Denied, Some("the unit only starts or stops with others; manage those instead"))
        }
        "NoReply" | "Timeout" | "TimedOut" => (ErrorKind::TimedOut, None),
        _ => (ErrorKind::Failed, None),
    }
}

/// One unit, as systemd lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its own name, whatever alias it was asked for by.
    pub(super) id: String,
    pub(super) load_state: String,
    pub(super) active_state: String,
    pub(super) sub_state: String,
    pub(super) path: OwnedObjectPath,
}

/// Speaks to systemd's manager.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    connection: Connection,
}

type ListedWire = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Manager {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    async fn call<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<Message, Refusal>
    where
        B: serde::Serialize + DynamicType,
    {
        Ok(self.connection.call_method(Some(DESTINATION), path, Some(interface), method, body).await?)
    }

    async fn ask<B, T>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<T, Refusal>
    where
        B: serde::Serialize + DynamicType,
        T: for<'a> DynamicDeserialize<'a>,
    {
        let answered = timeout(ANSWER, self.call(path, interface, method, body)).await;
        let Ok(answered) = answered else {
            let cause = format!("systemd did not answer {method} within {} seconds", ANSWER.as_secs());
            return Err(Refusal::new(ErrorKind::TimedOut, cause));
        };
        Ok(answered?.body().deserialize()?)
    }

    /// Units by name, loaded where they were not, in the order asked for.
    pub(super) async fn list(&self, units: &[String]) -> Result<Vec<Listed>, Refusal> {
        let listed: Vec<ListedWire> = self.ask(MANAGER_PATH, MANAGER, "ListUnitsByNames", &(units,)).await?;
        if listed.len() != units.len() {
            return Err(Refusal::new(ErrorKind::Failed, "systemd left out units that it was asked for"));
        }
        let listed = listed.into_iter().map(|(id, _, load_state, active_state, sub_state, _, path, ..)| Listed {
            id,
            load_state,
            active_state,
            sub_state,
            path,
        });
        Ok(listed.collect())
    }

    /// One unit.
    pub(super) async fn unit(&self, name: &str) -> Result<Listed, Refusal> {
        let listed = self.list(&[name.to_owned()]).await?;
        listed.into_iter().next().ok_or_else(|| Refusal::new(ErrorKind::NotFound, "systemd knows no such unit"))
    }

    /// A property of a unit.
    pub(super) async fn property<T>(&self, unit: &Listed, interface: &str, name: &str) -> Result<T, Refusal>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: Into<zbus::Error>,
    {
        let value: OwnedVariant = self.ask(unit.path.as_str(), PROPERTIES, "Get", &(interface, name)).await?;
        T::try_from(value).map_err(|error| error.into().into())
    }

    /// Whether the unit starts at boot.
    async fn enablement(&self, unit: &Listed, marks: &Marks) -> Result<Enablement, Refusal> {
        if unit.load_state != "not-found"
            && let Some(enablement) = marks.enablement(&unit.id)
        {
            return Ok(enablement);
        }
        // Not the property of that name: it is from when systemd last read its files.
        let file_state: String = match self.ask(MANAGER_PATH, MANAGER, "GetUnitFileState", &(&unit.id,)).await {
            Err(refusal) if refusal.kind == ErrorKind::NotFound => String::new(),
            answered => answered?,
        };
        Ok(unit::enablement(&file_state, &unit.load_state))
    }

    async fn status(&self, unit: &Listed, marks: &Marks) -> Result<UnitStatus, Refusal> {
        let answers = join3(
            self.enablement(unit, marks),
            self.property::<bool>(unit, UNIT, "NeedDaemonReload"),
            self.property::<bool>(unit, UNIT, "CanReload"),
        )
        .await;
        let (enablement, stale, can_reload) = (answers.0?, answers.1?, answers.2?);
        Ok(UnitStatus {
            exists: unit.load_state != "not-found",
            activity: unit::activity(&unit.active_state),
            enablement,
            stale,
            can_reload,
        })
    }

    /// What is known of units, in the order asked for. All questions are on their way before the first answer is back.
    pub(super) async fn statuses(&self, units: Vec<String>) -> Result<Vec<UnitStatus>, Refusal> {
        let listed = self.list(&units).await?;
        let marks = Marks::read(Path::new("/"));
        join_all(listed.iter().map(|unit| self.status(unit, &marks))).await.into_iter().collect()
    }

    /// Whether the unit's files changed since systemd read them.
    pub(super) async fn is_stale(&self, unit: &Listed) -> Result<bool, Refusal> {
        self.property(unit, UNIT, "NeedDaemonReload").await
    }

    /// Lets systemd read all unit files anew. It answers when it has.
    pub(super) async fn reload(&self) -> Result<(), Refusal> {
        self.call(MANAGER_PATH, MANAGER, "Reload", &()).await.map(drop)
    }

    /// The ends of jobs of the unit called `id`, from now on.
    pub(super) async fn ended_jobs(&self, id: &str) -> Result<MessageStream, Refusal> {
        if self.connection.is_bus() {
            self.call(MANAGER_PATH, MANAGER, "Subscribe", &()).await?;
        }
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path(MANAGER_PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .arg(2, id)
            .build()?;
        Ok(MessageStream::for_match_rule(rule, &self.connection, Some(JOBS)).await?)
    }

    /// Queues the job that does `action`, and gives it.
    pub(super) async fn queue(&self, id: &str, action: UnitAction) -> Result<OwnedObjectPath, Refusal> {
        let method = match action {
            UnitAction::Start => "StartUnit",
            UnitAction::Stop => "StopUnit",
            UnitAction::Restart => "RestartUnit",
            // A unit that does not run has nothing to reload, and must not be started by it.
            _ => "ReloadOrTryRestartUnit",
        };
        self.ask(MANAGER_PATH, MANAGER, method, &(id, "replace")).await
    }

    /// Enables, disables, masks or unmasks a unit, and lets systemd see it.
    pub(super) async fn change_files(&self, id: &str, action: UnitAction) -> Result<(), Refusal> {
        let files = [id];
        type Changed = Vec<(String, String, String)>;
        let changed = match action {
            UnitAction::Enable => {
                let (installable, changed): (bool, Changed) =
                    self.ask(MANAGER_PATH, MANAGER, "EnableUnitFiles", &(&files[..], false, false)).await?;
                if !installable && changed.is_empty() {
                    return Err(Refusal::new(
                        ErrorKind::Invalid,
                        "its file has no [Install] section that says when to start it",
                    )
                    .with_hint("leave `enabled` out: it is started by another unit, or not at boot at all"));
                }
                changed
            }
            UnitAction::Disable => self.change("DisableUnitFiles", &(&files[..], false)).await?,
            UnitAction::Mask => self.change("MaskUnitFiles", &(&files[..], false, false)).await?,
            _ => {
                // A mask until the next boot is a mask too.
                let until_boot: Changed = self.change("UnmaskUnitFiles", &(&files[..], true)).await?;
                let mut changed: Changed = self.change("UnmaskUnitFiles", &(&files[..], false)).await?;
                changed.extend(until_boot);
                changed
            }
        };
        if changed.is_empty() { Ok(()) } else { self.reload().await }
    }

    async fn change<B>(&self, method: &str, body: &B) -> Result<Vec<(String, String, String)>, Refusal>
    where
        B: serde::Serialize + DynamicType,
    {
        self.ask(MANAGER_PATH, MANAGER, method, body).await
    }
}
