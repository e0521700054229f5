//! Checks expressions and templates before any node is known.

use std::ops::Range;

use super::depth::check_depth;
use super::environment::environment;
use super::error::ExpressionError;
use super::functions::{check_functions, is_function};
use super::scan::{Kind, Token, expression_tokens, template_tokens};
use super::secret::named_secrets;

/// One use of a name that comes from outside the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameUse {
    /// The name, then the constant keys that are looked up in it: `attr.nginx.workers` and `attr["nginx"].workers` are both
    /// `attr`, `nginx`, `workers`. What is looked up by anything that is not constant ends the path.
    pub path: Vec<String>,
    /// Where it stands in the source.
    pub range: Range<usize>,
}

/// The names that an expression takes from outside, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Each use.
    pub uses: Vec<NameUse>,
    /// The secrets that it names, each once. Where there is one, its value is secret.
    pub secrets: Vec<String>,
}

impl Names {
    /// The uses that begin with `root`.
    pub fn under<'a>(&'a self, root: &'a str) -> impl Iterator<Item = &'a NameUse> {
        self.uses.iter().filter(move |name| name.path.first().is_some_and(|first| first == root))
    }

    /// The attributes that are used, as (cookbook, attribute). The attribute is missing where a whole cookbook's attributes
    /// are used, and both are where `attr` itself is: then it may be any of them.
    pub fn attributes(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        self.under("attr").map(|name| (name.path.get(1).map(String::as_str), name.path.get(2).map(String::as_str)))
    }
}

/// The longest expression, in bytes. Places in it are counted in sixteen bits where it is parsed.
pub const LONGEST_EXPRESSION: usize = 16 << 10;

/// Checks a bare expression: it is no longer than [`LONGEST_EXPRESSION`], it parses, and its filters, tests and functions exist.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn check_expression(source: &str) -> Result<Names, ExpressionError> {
    if source.len() > LONGEST_EXPRESSION {
        let message = format!("the expression is longer than {LONGEST_EXPRESSION} bytes");
        return Err(ExpressionError::at(source, 0..0, message));
    }
    let tokens = expression_tokens(source);
    check_depth(source, &tokens)?;
    let expression =
        environment().compile_expression_owned(source.to_owned()).map_err(|error| ExpressionError::of(&error))?;
    let outside = expression.undeclared_variables(false);
    check_functions(source, &tokens, &|name| outside.contains(name))?;
    let secrets = named_secrets(source, &tokens)?;
    Ok(Names { secrets, ..names(source, &tokens, |name| outside.contains(name)) })
}

/// Checks a template, as [`check_expression`] does an expression.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn check_template(source: &str) -> Result<Names, ExpressionError> {
    let tokens = template_tokens(source);
    check_depth(source, &tokens)?;
    let template = environment().template_from_str(source).map_err(|error| ExpressionError::of(&error))?;
    let outside = template.undeclared_variables(false);
    check_functions(source, &tokens, &|name| outside.contains(name))?;
    let secrets = named_secrets(source, &tokens)?;
    Ok(Names { secrets, ..names(source, &tokens, |name| outside.contains(name)) })
}

fn names(source: &str, pieces: &[Vec<Token>], outside: impl Fn(&str) -> bool) -> Names {
    let mut uses = Vec::new();
    for tokens in pieces {
        for (index, token) in tokens.iter().enumerate() {
            let word = &source[token.range.clone()];
            let begins = token.kind == Kind::Name
                && outside(word)
                && !is_function(word)
                && !index.checked_sub(1).is_some_and(|before| matches!(text(source, tokens, before), "." | "|"))
                && !is_keyword_argument(source, tokens, index);
            if begins {
                uses.push(path(source, tokens, index));
            }
        }
    }
    Names { uses, secrets: Vec::new() }
}

fn text<'a>(source: &'a str, tokens: &[Token], index: usize) -> &'a str {
    tokens.get(index).map_or("", |token| &source[token.range.clone()])
}

fn is_keyword_argument(source: &str, tokens: &[Token], index: usize) -> bool {
    text(source, tokens, index + 1) == "=" && text(source, tokens, index + 2) != "="
}

/// The longest constant path that begins at a name.
fn path(source: &str, tokens: &[Token], start: usize) -> NameUse {
    let mut path = vec![text(source, tokens, start).to_owned()];
    let mut at = start;
    loop {
        let key = match text(source, tokens, at + 1) {
            "." if tokens.get(at + 2).is_some_and(|token| token.kind == Kind::Name) => {
                Some((text(source, tokens, at + 2), at + 2))
            }
            "[" if tokens.get(at + 2).is_some_and(|token| token.kind == Kind::Text)
                && text(source, tokens, at + 3) == "]" =>
            {
                let quoted = text(source, tokens, at + 2);
                quoted.get(1..quoted.len().saturating_sub(1)).map(|key| (key, at + 3))
            }
            _ => None,
        };
        // A method is not a key.
        match key.filter(|(_, last)| text(source, tokens, last + 1) != "(") {
            Some((key, last)) => {
                path.push(key.to_owned());
                at = last;
            }
            None => break,
        }
    }
    NameUse { path, range: tokens[start].range.start..tokens[at].range.end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &Names) -> Vec<String> {
        names.uses.iter().map(|name| name.path.join(".")).collect()
    }

    #[test]
    fn names_are_found_with_their_paths() {
        for (source, expected) in [
            ("attr.nginx.workers + 1", vec!["attr.nginx.workers"]),
            ("attr['nginx'].sites[each.key].x", vec!["attr.nginx.sites", "each.key"]),
            ("'attr.a.b' ~ facts.os.family | upper", vec!["facts.os.family"]),
            ("range(param.n) | map('upper') | list", vec!["param.n"]),
            ("dict(name=name)", vec!["name"]),
            ("attr", vec!["attr"]),
            ("x if y is defined else z", vec!["x", "y", "z"]),
        ] {
            assert_eq!(paths(&check_expression(source).unwrap()), expected, "{source}");
        }
        let template =
            "{% for s in attr.web.sites %}{{ s.name }} {{ extra }}{% endfor %}{# facts.x #}{% set k = 1 %}{{ k }}";
        assert_eq!(paths(&check_template(template).unwrap()), ["attr.web.sites", "extra"]);
        let names = check_expression("1 + facts . cpu.count").unwrap();
        assert_eq!(names.uses[0].range, 4..21);
        assert_eq!(
            check_expression("attr.a.b.c and attr.a").unwrap().attributes().collect::<Vec<_>>(),
            [(Some("a"), Some("b")), (Some("a"), None)]
        );
    }

    #[test]
    fn what_is_wrong_is_found_without_a_node() {
        for (source, part, bytes) in [
            ("a +", "unexpected end", None),
            ("a | shelquote", "unknown filter `shelquote`", Some(4..13)),
            ("a is defind", "unknown test `defind`", Some(5..11)),
            ("a is not defind", "unknown test `defind`", Some(9..15)),
            ("rnge(3)", "unknown function `rnge`", Some(0..4)),
            ("debug()", "unknown function `debug`", Some(0..5)),
            ("a | safe", "unknown filter `safe`", Some(4..8)),
        ] {
            let error = check_expression(source).unwrap_err();
            assert!(error.message.contains(part), "{source}: {error}");
            if bytes.is_some() {
                assert_eq!(error.range, bytes, "{source}");
            }
        }
        let error = check_template("a\nb {% if x %}\nc\n").unwrap_err();
        assert!(error.line >= 3, "{error:?}");
        let error = check_template("a\n{% include 'x' %}").unwrap_err();
        assert!(error.message.contains("include"), "{error:?}");
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(check_expression(&deep).unwrap_err().message.contains("too long"));
    }
}
