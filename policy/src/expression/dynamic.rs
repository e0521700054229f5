//! Evaluates values that may hold expressions anywhere in them.

use std::collections::BTreeMap;
use std::rc::Rc;

use converge_model::{Dynamic, Value};

use super::check::{Names, check_expression, check_template};
use super::error::ExpressionError;
use super::evaluate::Expressions;
use super::scope::Scope;

impl<'s> Expressions<'s> {
    /// The value of what a cookbook wrote.
    ///
    /// # Errors
    /// As [`Expressions::evaluate`] and [`Expressions::render`], for the first thing in it that fails.
    pub fn value(&self, dynamic: &'s Dynamic, scope: &Scope) -> Result<Value, ExpressionError> {
        match dynamic {
            Dynamic::Literal(value) => Ok(value.clone()),
            Dynamic::Expression(source) => self.evaluate(source, scope),
            Dynamic::Text(source) => self.render(source, scope).map(Value::String),
            Dynamic::List(items) => {
                items.iter().map(|item| self.value(item, scope)).collect::<Result<_, _>>().map(Value::List)
            }
            Dynamic::Map(entries) => {
                let entry = |(key, value): (&String, &'s Dynamic)| Ok((key.clone(), self.value(value, scope)?));
                entries.iter().map(entry).collect::<Result<BTreeMap<_, _>, _>>().map(Value::Map)
            }
        }
    }

    /// Whether `predicate` holds for the names that anything in it uses. What does not parse is taken to use any name.
    pub fn any_names(&self, dynamic: &'s Dynamic, predicate: &mut dyn FnMut(&Names) -> bool) -> bool {
        match dynamic {
            Dynamic::Literal(_) => false,
            Dynamic::Expression(source) => self.names(source, check_expression).is_none_or(|names| predicate(&names)),
            Dynamic::Text(source) => self.template_names(source).is_none_or(|names| predicate(&names)),
            Dynamic::List(items) => items.iter().any(|item| self.any_names(item, predicate)),
            Dynamic::Map(entries) => entries.values().any(|value| self.any_names(value, predicate)),
        }
    }

    /// The names that a template uses; nothing where it does not parse.
    pub fn template_names(&self, source: &'s str) -> Option<Rc<Names>> {
        self.names(source, check_template)
    }

    fn names(&self, source: &'s str, check: fn(&str) -> Result<Names, ExpressionError>) -> Option<Rc<Names>> {
        // The same source means the same names, whichever of the two it is: braces are no part of an expression.
        if let Some(names) = self.names.borrow().get(source) {
            return names.clone();
        }
        let names = check(source).ok().map(Rc::new);
        self.names.borrow_mut().insert(source, names.clone());
        names
    }
}
