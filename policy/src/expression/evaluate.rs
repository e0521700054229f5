//! Evaluates expressions and renders templates, each compiled once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use converge_model::{Digest, Value, suggest};
use minijinja::{Error, ErrorKind, Expression, Template};

use super::check::{Names, check_expression};
use super::convert::to_model;
use super::depth::check_depth;
use super::environment::{LONGEST_OUTPUT, environment};
use super::error::ExpressionError;
use super::scan::{expression_tokens, is_template, template_tokens};
use super::scope::Scope;
use super::stack::{may_nest, with_room};

/// Something compiled, and whether it needs room to run.
struct Compiled<T> {
    code: T,
    may_nest: bool,
}

impl<T: Sync> Compiled<T> {
    /// Runs `work` with the code, where it has the room that it needs. What the work makes is freed there too.
    fn run<R: Send>(&self, work: impl FnOnce(&T) -> Result<R, ExpressionError> + Send) -> Result<R, ExpressionError> {
        if self.may_nest { with_room(|| work(&self.code)) } else { work(&self.code) }
    }
}

type Cache<K, T> = RefCell<HashMap<K, Rc<Compiled<T>>>>;

/// Compiled expressions and templates. Sources are borrowed, so that none is copied.
pub struct Expressions<'s> {
    expressions: Cache<&'s str, Expression<'s, 's>>,
    templates: Cache<&'s str, Template<'s, 's>>,
    blobs: Cache<Digest, Template<'s, 's>>,
    pub(super) names: RefCell<HashMap<&'s str, Option<Rc<Names>>>>,
}

impl Default for Expressions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'s> Expressions<'s> {
    /// Nothing compiled yet.
    pub fn new() -> Self {
        Self {
            expressions: RefCell::default(),
            templates: RefCell::default(),
            blobs: RefCell::default(),
            names: RefCell::default(),
        }
    }

    /// The value of a bare expression, which keeps its type.
    ///
    /// # Errors
    /// Where it does not parse, uses what is undefined, fails, or gives what is not a value.
    pub fn evaluate(&self, source: &'s str, scope: &Scope) -> Result<Value, ExpressionError> {
        let compiled = cached(&self.expressions, source, || {
            let tokens = expression_tokens(source);
            check_depth(source, &tokens)?;
            let code = environment().compile_expression(source).map_err(|error| ExpressionError::of(&error))?;
            Ok(Compiled { code, may_nest: may_nest(source, &tokens) })
        })?;
        compiled.run(|expression| {
            let value = expression
                .eval(minijinja::Value::from_object(scope.clone()))
                .map_err(|error| explain(&error, source, scope))?;
            if value.is_undefined() {
                return Err(undefined(source, scope));
            }
            to_model(&value).map_err(|error| explain(&error, source, scope))
        })
    }

    /// The text of a short template, such as the name of a resource. Literal text is returned as it is.
    ///
    /// # Errors
    /// Where it does not parse, uses what is undefined, fails, or makes more than [`LONGEST_OUTPUT`].
    pub fn render(&self, source: &'s str, scope: &Scope) -> Result<String, ExpressionError> {
        if !is_template(source) {
            return Ok(source.to_owned());
        }
        render(&*cached(&self.templates, source, || self.compile(source))?, source, scope)
    }

    /// The text of a template that is known by its digest.
    ///
    /// # Errors
    /// As [`Expressions::render`].
    pub fn render_blob(&self, digest: Digest, source: &'s str, scope: &Scope) -> Result<String, ExpressionError> {
        render(&*cached(&self.blobs, digest, || self.compile(source))?, source, scope)
    }

    fn compile(&self, source: &'s str) -> Result<Compiled<Template<'s, 's>>, ExpressionError> {
        let tokens = template_tokens(source);
        check_depth(source, &tokens)?;
        let code = environment().template_from_str(source).map_err(|error| ExpressionError::of(&error))?;
        Ok(Compiled { code, may_nest: may_nest(source, &tokens) })
    }
}

/// What `cache` holds under `key`, or what `make` makes, which it holds from then on. Failures are not kept.
fn cached<K: std::hash::Hash + Eq, T>(
    cache: &Cache<K, T>,
    key: K,
    make: impl FnOnce() -> Result<Compiled<T>, ExpressionError>,
) -> Result<Rc<Compiled<T>>, ExpressionError> {
    if let Some(found) = cache.borrow().get(&key) {
        return Ok(Rc::clone(found));
    }
    let made = Rc::new(make()?);
    cache.borrow_mut().insert(key, Rc::clone(&made));
    Ok(made)
}

fn render(template: &Compiled<Template<'_, '_>>, source: &str, scope: &Scope) -> Result<String, ExpressionError> {
    let text = template.run(|template| {
        template.render(minijinja::Value::from_object(scope.clone())).map_err(|error| explain(&error, source, scope))
    })?;
    if text.len() > LONGEST_OUTPUT {
        return Err(ExpressionError::at(source, 0..0, format!("the text is longer than {LONGEST_OUTPUT} bytes")));
    }
    Ok(text)
}

/// The error, with the nearest name where something was undefined.
fn explain(error: &Error, source: &str, scope: &Scope) -> ExpressionError {
    let mut found = ExpressionError::of(error);
    if error.kind() == ErrorKind::UndefinedError
        && let Some(path) = found.message.split('`').nth(1)
    {
        found.help = near(path, scope);
    }
    if found.range.as_ref().is_some_and(|range| source.get(range.clone()).is_none()) {
        found.range = None;
    }
    found
}

/// The error for an expression that is nothing but an undefined name.
fn undefined(source: &str, scope: &Scope) -> ExpressionError {
    let names = check_expression(source).unwrap_or_default();
    match names.uses.as_slice() {
        [name] => {
            let path = name.path.join(".");
            let help = near(&path, scope);
            ExpressionError::at(source, name.range.clone(), format!("`{path}` is undefined")).with_help(help)
        }
        _ => ExpressionError::at(source, 0..source.len(), "it gives nothing (an undefined value)"),
    }
}

/// What could be meant by a dotted path that leads nowhere.
fn near(path: &str, scope: &Scope) -> Option<String> {
    let mut segments = path.split('.');
    let root = segments.next()?;
    let Some(mut value) = scope.get(root) else {
        let names = scope.names();
        return match suggest::nearest(root, names.iter().map(String::as_str)) {
            Some(name) => Some(format!("did you mean `{name}`?")),
            None => Some(format!("here are {}", names.join(", "))),
        };
    };
    let mut known = root.to_owned();
    for segment in segments {
        match value.get_attr(segment).ok().filter(|next| !next.is_undefined()) {
            Some(next) => value = next,
            None => {
                let keys: Vec<String> =
                    value.try_iter().ok()?.filter_map(|key| key.as_str().map(str::to_owned)).collect();
                return match suggest::nearest(segment, keys.iter().map(String::as_str)) {
                    Some(name) => Some(format!("did you mean `{known}.{name}`?")),
                    None => Some(format!("`{known}` has no `{segment}`; write `| default(…)` if it may be missing")),
                };
            }
        }
        known = format!("{known}.{segment}");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Attributes, Roots};
    use super::*;

    fn scope() -> Scope {
        let facts: Value =
            serde_json::from_str(r#"{"os":{"family":"debian","version":"12"},"cpu":{"count":4},"up":true}"#).unwrap();
        let attributes = Attributes::new([("nginx", "workers"), ("nginx", "sites")]);
        attributes.set("nginx", "workers", &Value::Integer(8));
        attributes.set("nginx", "sites", &serde_json::from_str(r#"{"shop":{"port":80}}"#).unwrap());
        let node = serde_json::from_str(r#"{"name":"web-1"}"#).unwrap();
        Scope::new(Arc::new(Roots::new(Arc::new(facts.into()), Arc::new(attributes), &node)))
    }

    #[test]
    fn expressions_keep_their_type_and_templates_are_text() {
        let (scope, expressions) = (scope(), Expressions::new());
        for (source, expected) in [
            ("attr.nginx.workers * facts.cpu.count", "32"),
            ("facts.os.family == 'debian' and facts.up", "true"),
            ("attr.nginx.sites", r#"{"shop":{"port":80}}"#),
            ("[node.name, none, 1 / 2]", r#"["web-1",null,0.5]"#),
            ("facts.gpu | default(0)", "0"),
        ] {
            let value = expressions.evaluate(source, &scope);
            assert_eq!(value.map(|value| value.to_string()), Ok(expected.to_owned()), "{source}");
        }
        let turn = scope.with_each(&"shop".into(), &Value::Integer(80), 2);
        let within = scope.within("inner", &Value::Map([("port".to_owned(), Value::Integer(1))].into()));
        let vars = scope.with_vars(&[("site".to_owned(), Value::from("x")), ("attr".to_owned(), Value::Null)].into());
        for (template, scope, expected) in [
            ("no braces } {", &scope, "no braces } {"),
            ("{{ facts.up }} {{ attr.nginx.sites }}\n", &scope, "true {\"shop\":{\"port\":80}}\n"),
            ("<{{ node.name }}&>\n", &scope, "<web-1&>\n"),
            ("a\n  {% if facts.up %}\n  b\n  {% endif %}\nc", &scope, "a\n  b\nc"),
            ("{{ each.key }}={{ each.value }}#{{ each.index }}", &turn, "shop=80#2"),
            ("{{ name }}:{{ param.port }}", &within, "inner:1"),
            ("{{ site }} {{ attr.nginx.workers }}", &vars, "x 8"),
            ("{% for n in [1, 2] %}{{ n }}{% endfor %}{{ 'x' if false }}", &scope, "12"),
        ] {
            assert_eq!(expressions.render(template, scope), Ok(expected.to_owned()), "{template}");
        }
    }

    #[test]
    fn what_is_undefined_is_named_with_its_line_and_a_near_name() {
        let expressions = Expressions::new();
        for (template, line, message, help) in [
            ("a\n{{ attr.nginx.wokers }}", 2, "`attr.nginx.wokers` is undefined", "did you mean `attr.nginx.workers`?"),
            ("{{ fcts.os }}", 1, "`fcts` is undefined", "did you mean `facts`?"),
            ("\n\n{{ facts.hostname.x }}", 3, "`facts.hostname` is undefined", "`facts` has no `hostname`"),
            ("{{ each.key }}", 1, "`each` is undefined", "here are facts, attr, node"),
            ("{{ none }}", 1, "none", ""),
            ("{% if facts.nope %}x{% endif %}", 1, "`facts.nope` is undefined", ""),
        ] {
            let error = expressions.render(template, &scope()).unwrap_err();
            assert!(error.message.contains(message), "{template}: {error}");
            assert_eq!(error.line, line, "{template}: {error}");
            assert!(error.help.clone().unwrap_or_default().contains(help), "{template}: {error}");
        }
    }

    /// Hostile templates end with an error, in a thread with a small stack, within a second or so.
    #[test]
    fn hostile_templates_end_with_errors() {
        const CASES: &[(&str, &str)] = &[
            ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "too many steps"),
            (
                "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
                "too many steps",
            ),
            ("{{ 'abcdefgh' * 100000000000 }}", "too many steps"),
            ("{{ [range(100000)] * 100000 }}", "too"),
            ("{% for i in range(100000) %}{{ 'x' * 4096 }}{% endfor %}", "too many steps"),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
            ("{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", ""),
            (
                "{% set n = namespace(x={}) %}{% for i in range(100000) %}{% set n.x = {'a': n.x} %}{% endfor %}{{ n.x | tojson }}",
                "",
            ),
            ("{{ range(0, 10000000000) | list }}", "range"),
            ("{{ '%999999999d' | format(1) }}", ""),
            ("{{ 1 // 0 }}", ""),
            ("{{ 9223372036854775807 * 9223372036854775807 }}", ""),
        ];
        let work = || {
            let expressions = Expressions::new();
            for (template, part) in CASES {
                let result = expressions.render(template, &scope());
                match result {
                    Err(error) => assert!(error.message.contains(part), "{template}: {error}"),
                    Ok(text) => panic!("{template}: {} bytes", text.len()),
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
    }
}
