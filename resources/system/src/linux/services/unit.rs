//! Units: their names, and what systemd's words for their states mean.

use converge_model::system::services::{Activity, Enablement};
use converge_model::{Error, ErrorKind, Result};

/// What a unit's name may end in.
const SUFFIXES: [&str; 11] =
    ["automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"];
/// The longest name that systemd takes, in bytes.
const LONGEST: usize = 255;

/// Checks that `unit` is a unit's name, with its suffix.
///
/// # Errors
/// Where it is not.
pub(super) fn check_name(unit: &str) -> Result<()> {
    let wrong = |cause: &str| {
        Err(Error::new(ErrorKind::Invalid, "look for", format!("unit {unit:?}"), cause)
            .with_hint("write it as systemctl does, for example `nginx.service` or `backup@daily.timer`"))
    };
    let Some((stem, suffix)) = unit.rsplit_once('.') else { return wrong("it has no suffix") };
    if !SUFFIXES.contains(&suffix) {
        return wrong("systemd knows no units of that suffix");
    }
    if unit.len() > LONGEST {
        return wrong("a unit's name has at most 255 bytes");
    }
    let bare_template = stem.ends_with('@');
    if stem.is_empty() || stem.starts_with('@') || bare_template {
        return wrong("it names no unit");
    }
    if !stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)) {
        return wrong("a unit's name has only letters, digits and :-_.\\@");
    }
    Ok(())
}

/// What systemd's `ActiveState` means.
pub(super) fn activity(word: &str) -> Activity {
    match word {
        "active" | "reloading" | "refreshing" => Activity::Active,
        "activating" => Activity::Activating,
        "deactivating" => Activity::Deactivating,
        "failed" => Activity::Failed,
        _ => Activity::Inactive,
    }
}

/// What systemd's `UnitFileState` means. What holds only until the next boot does not count as enabled.
pub(super) fn enablement(file_state: &str, load_state: &str) -> Enablement {
    match file_state {
        "enabled" => Enablement::Enabled,
        "masked" | "masked-runtime" => Enablement::Masked,
        "disabled" | "enabled-runtime" | "linked" | "linked-runtime" => Enablement::Disabled,
        "" if load_state == "masked" => Enablement::Masked,
        "" if load_state == "not-found" => Enablement::Disabled,
        _ => Enablement::Static,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_units_are_taken() {
        for name in ["nginx.service", "a@b.timer", "dev-disk-by\\x2duuid.swap", "x.y.socket", "-.mount"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = format!("{}.service", "x".repeat(250));
        for name in [
            "nginx",
            "",
            ".service",
            "a@.service",
            "@b.service",
            "a b.service",
            "a/b.service",
            "a.conf",
            "ä.service",
            "a\n.service",
            &long,
        ] {
            assert_eq!(check_name(name).unwrap_err().kind, ErrorKind::Invalid, "{name}");
        }
    }

    #[test]
    fn words_of_systemd_are_understood() {
        for (word, expected) in [
            ("active", Activity::Active),
            ("reloading", Activity::Active),
            ("refreshing", Activity::Active),
            ("activating", Activity::Activating),
            ("deactivating", Activity::Deactivating),
            ("failed", Activity::Failed),
            ("inactive", Activity::Inactive),
            ("maintenance", Activity::Inactive),
        ] {
            assert_eq!(activity(word), expected, "{word}");
        }
        for (file_state, load_state, expected) in [
            ("enabled", "loaded", Enablement::Enabled),
            ("enabled-runtime", "loaded", Enablement::Disabled),
            ("disabled", "loaded", Enablement::Disabled),
            ("linked", "loaded", Enablement::Disabled),
            ("masked", "masked", Enablement::Masked),
            ("masked-runtime", "masked", Enablement::Masked),
            ("", "masked", Enablement::Masked),
            ("", "not-found", Enablement::Disabled),
            ("", "loaded", Enablement::Static),
            ("static", "loaded", Enablement::Static),
            ("indirect", "loaded", Enablement::Static),
            ("generated", "loaded", Enablement::Static),
            ("transient", "loaded", Enablement::Static),
            ("alias", "loaded", Enablement::Static),
        ] {
            assert_eq!(enablement(file_state, load_state), expected, "{file_state} {load_state}");
        }
    }
}
