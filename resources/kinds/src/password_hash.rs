//! Hashes of passwords. Plain text is refused: it would be in the policy, the catalog and every cache of both.

use std::fmt;

use converge_model::system::accounts::Password;
use converge_model::{PropertyType, TypeSchema, Value};

/// The methods of crypt(5) that a machine of today still checks.
const METHODS: [&str; 11] = ["y", "gy", "7", "2a", "2b", "2x", "2y", "6", "5", "sha1", "md5"];

/// What stands in shadow(5): a hash, or that no password fits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(String);

impl PasswordHash {
    /// Whether no password fits: `*`, `!`.
    pub(crate) fn is_none(&self) -> bool {
        !self.0.contains('$')
    }

    /// Whether `observed` is this, a lock aside.
    pub(crate) fn is(&self, observed: &Password) -> bool {
        if self.is_none() { observed.hash.is_empty() && observed.locked } else { observed.hash == self.0 }
    }

    /// As it goes to the accounts of a machine. Secret.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive)")
    }
}

impl PropertyType for PasswordHash {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "password hash", pattern: Some(r"^\$|^[*!]+$|\{\{") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        // The message must not repeat the value: it may be somebody's password.
        const WRONG: &str = "it is not a hash as crypt(5) writes them (`$y$…`, `$6$…`); make one with `mkpasswd`, \
                             or write `*` for no password at all";
        let text = value.as_str().ok_or("expected the hash of a password, as a string")?;
        if matches!(text, "*" | "!" | "!!" | "!*") {
            return Ok(Self("*".to_owned()));
        }
        let mut parts = text.split('$');
        let begins = parts.next() == Some("");
        let method = parts.next().is_some_and(|method| METHODS.contains(&method) || method == "1");
        let long_enough = parts.clone().count() >= 2 && parts.next_back().is_some_and(|hash| hash.len() >= 8);
        let plain = text.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b':' | b'*' | b'!' | b'\\' | b';'));
        if begins && method && long_enough && plain { Ok(Self(text.to_owned())) } else { Err(WRONG.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_pass_and_plain_text_is_refused_without_being_repeated() {
        for hash in [
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
            "$6$rounds=5000$saltsalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.",
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            "*",
            "!",
        ] {
            assert!(PasswordHash::from_value(&Value::from(hash)).is_ok(), "{hash}");
        }
        for plain in
            ["hunter2", "$hunter2", "$6$hunter2", "$9$a$hunter2hunter2", "", "!$6$a$abcdefghij", "$6$a$hunter:22"]
        {
            let error = PasswordHash::from_value(&Value::from(plain)).unwrap_err();
            assert!(plain.is_empty() || !error.contains(plain), "{error}");
        }
    }
}
