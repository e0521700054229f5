//! The names of units.

/// The suffixes that systemd.unit(5) knows.
const SUFFIXES: [&str; 11] =
    ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];

/// Whether `name` ends as the name of a unit does.
pub(crate) fn has_suffix(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(prefix, suffix)| !prefix.is_empty() && SUFFIXES.contains(&suffix))
}

/// The unit that `name` means: with `.service` where it has no suffix of its own.
pub(crate) fn full(name: &str) -> String {
    if has_suffix(name) { name.to_owned() } else { format!("{name}.service") }
}

/// The template that an instance is made from: `getty@.service` of `getty@tty1.service`.
pub(crate) fn template(unit: &str) -> Option<String> {
    let (prefix, rest) = unit.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

/// Checks the name of a unit, with or without its suffix.
///
/// # Errors
/// Says which rule it breaks.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '\\' | '@' | '-');
    if name.is_empty() || name.starts_with(['-', '.']) {
        return Err(format!("{name:?} is not the name of a unit: it must begin with a letter or digit"));
    }
    if let Some(bad) = name.chars().find(|&c| !good(c)) {
        return Err(format!("{name:?} is not the name of a unit: {bad:?} cannot be in it (see systemd-escape)"));
    }
    if full(name).len() > 255 {
        return Err(format!("the name of a unit may have 255 bytes; this one has {}", full(name).len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_their_suffix_and_bad_ones_are_refused() {
        for (name, unit) in [
            ("nginx", "nginx.service"),
            ("nginx.service", "nginx.service"),
            ("apt-daily.timer", "apt-daily.timer"),
            ("php8.2-fpm", "php8.2-fpm.service"),
            ("dbus-org.freedesktop.network1", "dbus-org.freedesktop.network1.service"),
        ] {
            assert_eq!((full(name).as_str(), check(name)), (unit, Ok(())));
        }
        assert_eq!(template("getty@tty1.service").as_deref(), Some("getty@.service"));
        assert_eq!((template("getty@.service"), template("ssh.service")), (None, None));
        for wrong in ["", "-a", "a b", "a/b", "../x", "é", &"x".repeat(250)] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}
