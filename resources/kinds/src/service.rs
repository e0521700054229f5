//! `service`: a unit of the service manager.

use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::system::services::{Activity, Enablement, UnitAction, UnitStatus};
use converge_model::{
    AnyResource, ByName, Change, Changes, CommandLine, Error, ErrorKind, Footprint, Image, Images, Keeper, Key, Kind,
    KindSchema, Properties, Resource, ResourceSpec, Result, Shown, Span, System, Value,
};

use crate::{path_keys, unit_name, validation};

/// The row of the registry.
pub(crate) const KIND: Kind = Kind { schema, build, removal };

/// How long one step may take where the recipe says nothing: twice what systemd gives a start by itself.
const STEP_TIME: Duration = Duration::from_secs(180);

converge_model::properties! {
    /// What a service takes.
    pub(crate) struct ServiceProperties {
        /// Whether the service runs. It must still run right after it was started.
        pub running: Option<bool>,
        /// Whether the service starts at boot.
        pub enabled: Option<bool>,
        /// Whether the service cannot be started at all, by anybody. Masking does not stop it; `running = false` does.
        pub masked: Option<bool>,
    }
    rules { masks_nothing_that_runs(running, masked), masks_nothing_enabled(enabled, masked) }
}

fn masks_nothing_that_runs(running: &Option<bool>, masked: &Option<bool>) -> std::result::Result<(), String> {
    check_masked("running", running, masked)
}

fn masks_nothing_enabled(enabled: &Option<bool>, masked: &Option<bool>) -> std::result::Result<(), String> {
    check_masked("enabled", enabled, masked)
}

fn check_masked(property: &str, value: &Option<bool>, masked: &Option<bool>) -> std::result::Result<(), String> {
    if *masked == Some(true) && *value == Some(true) {
        return Err(format!("a masked unit cannot have `{property} = true`"));
    }
    Ok(())
}

fn schema() -> KindSchema {
    KindSchema {
        name: "service",
        doc: "A service, or any other unit of systemd. The name is the unit's name; without a suffix, `.service` is meant.\n\n\
              What is not declared is not managed. Unit files that changed are read anew first. A unit that does not exist is \
              right where it shall neither run nor start at boot. `timeout` is how long a start or stop may take; 3 minutes \
              unless said.",
        names: converge_model::schema::NameSchema { what: "unit name", check: unit_name::check, is_path: false },
        properties: ServiceProperties::schema(),
        judge: ServiceProperties::judge,
        actions: &[
            ("start", "Start it where it does not run."),
            ("stop", "Stop it where it runs."),
            (
                "restart",
                "Stop and start it. Where the recipe does not say `running = true`, only if it runs or failed.",
            ),
            (
                "reload",
                "Let it read its configuration anew; restart it where it cannot do that. Where the recipe does not say \
                 `running = true`, only if it runs or failed.",
            ),
        ],
        example: r#"[service.nginx]
running = true
enabled = true

[service."apt-daily.timer"]
running = false
enabled = false
"#,
    }
}

fn removal(_spec: &ResourceSpec<'_>) -> Option<ByName<Value>> {
    Some(["running", "enabled"].into_iter().map(|name| (name.to_owned(), Value::Boolean(false))).collect())
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let name = spec.id.name();
    unit_name::check(name).map_err(|cause| spec.invalid(cause))?;
    let properties: ServiceProperties = spec.decode()?;
    let timeout = spec.timeout.map_or(STEP_TIME, Span::duration);
    Ok(Box::new(ServiceResource { unit: unit_name::full(name), properties, timeout }))
}

struct ServiceResource {
    unit: String,
    properties: ServiceProperties,
    timeout: Duration,
}

impl ServiceResource {
    fn error(&self, operation: &str, cause: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Invalid, operation, format!("the unit {}", self.unit), cause)
    }

    fn perform(&self, system: &dyn System, action: UnitAction) -> Result<()> {
        system.services().perform(&self.unit, action, self.timeout).map_err(|error| match error.kind {
            ErrorKind::NotFound if error.hint.is_none() => error.with_hint(format!(
                "declare the package that brings it, or `file[/etc/systemd/system/{}]`, before it",
                self.unit
            )),
            _ => error,
        })
    }

    /// Starts or restarts, and looks whether it is still there afterwards.
    fn bring_up(&self, system: &dyn System, action: UnitAction) -> Result<()> {
        self.perform(system, action)?;
        let activity = system.services().status(&self.unit)?.activity;
        if matches!(activity, Activity::Active | Activity::Activating) {
            return Ok(());
        }
        let cause = format!("it is {} right after it was started{}", activity.word(), self.last_log_lines(system));
        Err(Error::new(ErrorKind::Failed, action.word(), format!("the unit {}", self.unit), cause)
            .with_hint(format!("see `journalctl -u {}`; leave out `running` where it is to end by itself", self.unit)))
    }

    /// What it said last, for the message of a failure; nothing where that cannot be had.
    fn last_log_lines(&self, system: &dyn System) -> String {
        let words = ["journalctl", "--unit", &self.unit, "--lines=10", "--output=cat", "--no-pager"];
        let line = CommandLine::Argv(words.map(str::to_owned).to_vec());
        match system.commands().run(&CommandSpec::new(line, Purpose::Look, Duration::from_secs(10))) {
            Ok(output) if output.exit == Exit::Code(0) => validation::last_lines(&output.output),
            _ => String::new(),
        }
    }

    fn set_masked(&self, system: &dyn System, changes: &Changes, masked: bool) -> Result<()> {
        match (changes.has("masked") && self.properties.masked == Some(masked), masked) {
            (true, true) => self.perform(system, UnitAction::Mask),
            (true, false) => self.perform(system, UnitAction::Unmask),
            (false, _) => Ok(()),
        }
    }

    fn set_enabled(&self, system: &dyn System, status: &UnitStatus, enabled: bool) -> Result<()> {
        match (enabled, status.enablement) {
            (true, Enablement::Static) => Err(self
                .error(
                    "enable",
                    "whether it starts at boot is not its own to say: it has no [Install] section, or is an alias of \
                     another unit or made from one",
                )
                .with_hint(format!(
                    "leave out `enabled`, or name the unit itself: `systemctl show --property=Id {}`",
                    self.unit
                ))),
            (true, _) => self.perform(system, UnitAction::Enable),
            (false, _) => self.perform(system, UnitAction::Disable),
        }
    }
}

impl Resource for ServiceResource {
    type State = UnitStatus;

    fn observe(&self, system: &dyn System) -> Result<UnitStatus> {
        if system.services().provider().is_none() {
            let cause = "this machine has no service manager that Converge knows";
            return Err(Error::new(ErrorKind::Unavailable, "look for", format!("the unit {}", self.unit), cause)
                .with_hint("guard the resource with `when = \"facts.init == 'systemd'\"`"));
        }
        system.services().status(&self.unit)
    }

    fn diff(&self, status: &UnitStatus) -> Changes {
        let mut changes = Changes::none();
        let masked = status.enablement == Enablement::Masked;
        let there = status.exists || masked;
        if there && status.stale {
            changes.push(Change::new("unit files", Shown::text("changed"), Shown::text("read anew")));
        }
        if let Some(wanted) = self.properties.masked.filter(|&wanted| wanted != masked) {
            changes.push(Change::new("masked", Shown::text(masked), Shown::text(wanted)));
        }
        let enablement = if there { Shown::text(status.enablement.word()) } else { Shown::Absent };
        let enabled_is_right = match (self.properties.enabled, status.enablement) {
            (None, _) => true,
            (Some(wanted), _) if !there => !wanted,
            (Some(true), enablement) => enablement == Enablement::Enabled,
            // What is to be unmasked shows only then whether it starts at boot.
            (Some(false), Enablement::Masked) => self.properties.masked != Some(false),
            (Some(false), enablement) => enablement != Enablement::Enabled,
        };
        if let (false, Some(wanted)) = (enabled_is_right, self.properties.enabled) {
            let to = if wanted { Enablement::Enabled } else { Enablement::Disabled };
            changes.push(Change::new("enabled", enablement, Shown::text(to.word())));
        }
        let down = matches!(status.activity, Activity::Inactive | Activity::Failed);
        // What runs is there, also where its files are gone.
        let activity = if there || !down { Shown::text(status.activity.word()) } else { Shown::Absent };
        let running_is_right = match self.properties.running {
            None => true,
            Some(true) => there && status.activity == Activity::Active,
            Some(false) => down,
        };
        if let (false, Some(wanted)) = (running_is_right, self.properties.running) {
            let to = if wanted { Activity::Active } else { Activity::Inactive };
            changes.push(Change::new("running", activity, Shown::text(to.word())));
        }
        changes
    }

    fn apply(&self, system: &dyn System, status: &UnitStatus, changes: &Changes) -> Result<()> {
        let blocked = ["running", "enabled"].iter().any(|property| changes.has(property))
            && status.enablement == Enablement::Masked
            && self.properties.masked.is_none()
            && (self.properties.running == Some(true) || self.properties.enabled == Some(true));
        if blocked {
            return Err(self.error("start", "it is masked").with_hint("set `masked = false`, or unmask it by hand"));
        }
        if status.stale {
            system.services().reload_units()?;
        }
        self.set_masked(system, changes, false)?;
        if let (true, Some(enabled)) = (changes.has("enabled"), self.properties.enabled) {
            self.set_enabled(system, status, enabled)?;
        }
        match (changes.has("running"), self.properties.running) {
            (true, Some(true)) => self.bring_up(system, UnitAction::Start)?,
            (true, Some(false)) => self.perform(system, UnitAction::Stop)?,
            _ => {}
        }
        self.set_masked(system, changes, true)
    }

    fn images(&self, _: &dyn System, status: &UnitStatus, changes: &Changes, _: &dyn Keeper) -> Result<Images> {
        let declared = |name, value: Option<bool>| (name, value.filter(|_| changes.has(name)).map(Value::Boolean));
        let masked = status.enablement == Enablement::Masked;
        let running = matches!(status.activity, Activity::Active | Activity::Activating);
        // What is masked cannot be said to run or to start at boot.
        let open = |value| if masked { None } else { Some(value) };
        let before = [
            declared("enabled", open(status.enablement == Enablement::Enabled)),
            declared("masked", Some(masked)),
            declared("running", if running { open(true) } else { Some(false) }),
        ];
        if before.iter().all(|(_, value)| value.is_none()) {
            return Ok(Images::default());
        }
        let ServiceProperties { running, enabled, masked } = self.properties;
        let after = [declared("enabled", enabled), declared("masked", masked), declared("running", running)];
        Ok(Images::of(Image::new("service", &self.unit, before), Image::new("service", &self.unit, after)))
    }

    fn footprint(&self) -> Footprint {
        let units = [Some(self.unit.clone()), unit_name::template(&self.unit)];
        let needs = units.iter().flatten().flat_map(|unit| {
            let files = path_keys::UNIT_DIRECTORIES
                .iter()
                .filter_map(move |directory| format!("{directory}/{unit}").parse().ok())
                .map(Key::Path);
            files.chain([Key::Unit(unit.clone())])
        });
        Footprint { gives: vec![Key::Unit(self.unit.clone())], needs: needs.collect() }
    }

    fn covers(&self, changes: &Changes, action: &str) -> bool {
        matches!(action, "start" | "restart" | "reload")
            && self.properties.running == Some(true)
            && changes.of("running").is_some_and(|change| change.from != Shown::text(Activity::Activating.word()))
    }

    fn act(&self, system: &dyn System, action: &str) -> Result<()> {
        let status = system.services().status(&self.unit)?;
        let up = matches!(status.activity, Activity::Active | Activity::Activating);
        // What nobody says shall run is not started because some file of it changed. What failed was to run: the change may
        // be what mends it, and a restart that failed is still due.
        let wanted = match self.properties.running {
            Some(running) => running,
            None => (up || status.activity == Activity::Failed) && self.properties.masked != Some(true),
        };
        match action {
            "start" if up => Ok(()),
            "start" => self.bring_up(system, UnitAction::Start),
            "stop" if !up => Ok(()),
            "stop" => self.perform(system, UnitAction::Stop),
            "restart" | "reload" if !wanted => Ok(()),
            "reload" if up && status.can_reload => self.perform(system, UnitAction::Reload),
            "restart" | "reload" => self.bring_up(system, UnitAction::Restart),
            other => Err(self.error("notify", format!("a service has no action `{other}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_differs_only_in_what_is_declared() {
        use Activity::{Activating, Active, Failed, Inactive};
        use Enablement::{Disabled, Enabled, Masked, Static};
        let (yes, no, any) = (Some(true), Some(false), None);
        for (running, enabled, masked, exists, activity, enablement, shown) in [
            (yes, yes, any, true, Active, Enabled, ""),
            (yes, yes, any, true, Inactive, Disabled, "enabled: disabled → enabled, running: inactive → active"),
            (yes, any, any, true, Activating, Disabled, "running: activating → active"),
            (yes, any, any, false, Inactive, Disabled, "running: absent → active"),
            (no, no, any, false, Inactive, Disabled, ""),
            (no, no, any, true, Failed, Static, ""),
            (no, any, any, false, Active, Disabled, "running: active → inactive"),
            (no, any, any, true, Activating, Static, "running: activating → inactive"),
            (any, yes, any, true, Active, Static, "enabled: static → enabled"),
            (any, no, any, true, Active, Masked, ""),
            (any, no, no, true, Active, Masked, "masked: true → false, enabled: masked → disabled"),
            (no, any, yes, true, Active, Enabled, "masked: false → true, running: active → inactive"),
            (any, any, any, true, Active, Masked, ""),
        ] {
            let properties = ServiceProperties { running, enabled, masked };
            let service = ServiceResource { unit: "a.service".into(), properties, timeout: STEP_TIME };
            let status = UnitStatus { exists, activity, enablement, stale: false, can_reload: false };
            let changes = service.diff(&status);
            let text = |change: &Change| format!("{}: {} → {}", change.property, change.from, change.to);
            assert_eq!(changes.iter().map(text).collect::<Vec<_>>().join(", "), shown, "{:?}", service.properties);
        }
    }
}
