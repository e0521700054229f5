//! The function `secret`: what of it can be known before a node is, and how an expression gets a value.

use std::fmt;
use std::sync::Arc;

use converge_model::Result;
use minijinja::value::Object;
use minijinja::{Error, ErrorKind, State};

use super::error::ExpressionError;
use super::scan::{Kind, Token};

/// The name of the function. Nothing else may be called so: what touched a secret is found by this name.
pub(crate) const SECRET: &str = "secret";

/// Begins what is said where a node has no such secret. It holds names only, so it may be shown.
pub(crate) const NOT_HERE: &str = "no secret `";

/// Gives the values of secrets.
pub trait SecretReader: Send + Sync {
    /// The value of the secret called `name`.
    ///
    /// # Errors
    /// Where this node cannot read it. The error is shown, so it holds nothing secret.
    fn read(&self, name: &str) -> Result<String>;
}

/// Where the secrets of a node come from; nowhere, where nothing is said. Two are equal where they are the same place.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<dyn SecretReader>>);

impl Secrets {
    /// Secrets from `reader`, which is asked only for what an expression uses, when it uses it.
    pub fn of(reader: Arc<dyn SecretReader>) -> Self {
        Self(Some(reader))
    }

    /// What an expression sees as `secret`.
    pub(super) fn to_jinja(&self) -> minijinja::Value {
        minijinja::Value::from_object(self.clone())
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Object for Secrets {
    fn call(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        arguments: &[minijinja::Value],
    ) -> std::result::Result<minijinja::Value, Error> {
        let failed = |cause: String| Error::new(ErrorKind::InvalidOperation, cause);
        let [name] = arguments else { return Err(failed(MISUSE.to_owned())) };
        let name = name.as_str().ok_or_else(|| failed(MISUSE.to_owned()))?;
        let not_here = |why: &str| failed(format!("{NOT_HERE}{name}` here: {why}"));
        let reader = self.0.as_ref().ok_or_else(|| not_here("nothing says where secrets come from"))?;
        match reader.read(name) {
            Ok(value) => Ok(minijinja::Value::from(value)),
            Err(error) => {
                let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                Err(not_here(&format!("{error}{hint}")))
            }
        }
    }
}

const MISUSE: &str = "`secret` takes the name of a secret, written out: `secret(\"db/password\")`";

/// The secrets that code names, each once. A name that is computed is refused, and so is anything else that is called
/// `secret`: whether a value is secret must be seen without evaluating it.
///
/// # Errors
/// The first use that is not `secret("…")`.
pub(super) fn named_secrets(source: &str, pieces: &[Vec<Token>]) -> std::result::Result<Vec<String>, ExpressionError> {
    let mut found: Vec<String> = Vec::new();
    for tokens in pieces {
        let text = |index: usize| tokens.get(index).map_or("", |token| &source[token.range.clone()]);
        for (index, token) in tokens.iter().enumerate() {
            if token.kind != Kind::Name || text(index) != SECRET {
                continue;
            }
            let is_key = index.checked_sub(1).is_some_and(|before| text(before) == ".");
            let is_argument = text(index + 1) == "=" && text(index + 2) != "=" && !is_set(tokens, index, &text);
            if is_key || is_argument {
                continue;
            }
            let quoted = tokens.get(index + 2).filter(|token| token.kind == Kind::Text);
            let named = quoted.filter(|_| text(index + 1) == "(" && text(index + 3) == ")");
            let wrong = |message: String| Err(ExpressionError::at(source, token.range.clone(), message));
            let Some(named) = named.map(|token| source[token.range.clone()].trim_matches(['"', '\''])) else {
                return wrong(MISUSE.to_owned());
            };
            if let Err(cause) = check_secret_name(named) {
                return wrong(cause);
            }
            if !found.iter().any(|known| known == named) {
                found.push(named.to_owned());
            }
        }
    }
    Ok(found)
}

/// Whether a name that `=` follows is given a value of its own: `{% set secret = 1 %}`.
fn is_set<'s>(tokens: &[Token], index: usize, text: &impl Fn(usize) -> &'s str) -> bool {
    matches!(text(0), "set" | "with") && !tokens[..index].iter().enumerate().any(|(at, _)| text(at) == "(")
}

/// Checks the name of a secret.
///
/// # Errors
/// Says what such a name is.
pub fn check_secret_name(name: &str) -> std::result::Result<(), String> {
    let part = |part: &str| {
        part.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
    };
    if name.len() <= LONGEST_NAME && name.split('/').all(part) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not the name of a secret (words of letters, digits, `.`, `_`, `-`, with `/` between them; at most \
         {LONGEST_NAME} bytes)"
    ))
}

/// The longest name of a secret, in bytes.
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::super::{check_expression, check_template};

    #[test]
    fn a_secret_is_named_where_it_is_used_and_by_nothing_else() {
        for (source, expected) in [
            ("secret('db/password')", vec!["db/password"]),
            ("secret(\"a\") ~ secret( 'b' ) ~ secret('a') ~ param.secret", vec!["a", "b"]),
            ("dict(secret=1)", vec![]),
            ("'secret(1)'", vec![]),
        ] {
            assert_eq!(check_expression(source).unwrap().secrets, expected, "{source}");
        }
        let template = "{# secret(x) #}{% for n in [1] %}{{ secret('x') }}{% endfor %}";
        assert_eq!(check_template(template).unwrap().secrets, ["x"]);
        for wrong in [
            "{{ secret(attr.base.name) }}",
            "{{ secret('a' ~ 'b') }}",
            "{{ secret }}",
            "{% set s = secret %}{{ s('x') }}",
            "{% if false %}{% set secret = 1 %}{% endif %}{{ secret('x') }}",
            "{% with secret = 1 %}{% endwith %}",
            "{% for secret in [1] %}{{ secret }}{% endfor %}",
            "{% macro secret(x) %}{% endmacro %}",
            "{{ ['x'] | map(secret) }}",
            "{{ secret('../x') }}",
            "{{ secret('a\\u0062') }}",
        ] {
            let error = check_template(wrong).unwrap_err();
            assert!(error.message.contains("secret"), "{wrong}: {error}");
        }
    }
}
