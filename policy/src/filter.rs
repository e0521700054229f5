//! Which nodes an expression means: `facts.os.id == "debian" and "edge" in node.tags`.

use std::sync::Arc;

use converge_model::Value;

use crate::bind::NodeIdentity;
use crate::expression::{Attributes, ExpressionError, Expressions, Roots, Scope, check_expression};

/// An expression over `facts` and `node` that was checked.
#[derive(Clone, Debug)]
pub struct Filter(String);

impl Filter {
    /// Checks an expression.
    ///
    /// # Errors
    /// Where it does not parse, or uses a name that is neither `facts` nor `node`.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let names = check_expression(source)?;
        if !names.secrets.is_empty() {
            return Err(ExpressionError {
                message: "an expression about nodes has no secrets".to_owned(),
                help: None,
                range: None,
                line: 1,
            });
        }
        match names.uses.iter().find(|name| !name.path.first().is_some_and(|root| root == "facts" || root == "node")) {
            None => Ok(Self(source.to_owned())),
            Some(unknown) => Err(ExpressionError {
                message: format!("`{}` is not known here", unknown.path.join(".")),
                help: Some("an expression about nodes sees `facts` and `node`".to_owned()),
                range: Some(unknown.range.clone()),
                line: 1,
            }),
        }
    }

    /// Something that decides about many nodes, and compiles the expression once.
    pub fn decider(&self) -> Decider<'_> {
        Decider { source: &self.0, expressions: Expressions::new(), none: Arc::new(Attributes::new([])) }
    }
}

/// Decides which nodes an expression means.
pub struct Decider<'f> {
    source: &'f str,
    expressions: Expressions<'f>,
    none: Arc<Attributes>,
}

impl Decider<'_> {
    /// Whether it means this node.
    ///
    /// # Errors
    /// Where it cannot be told: the node has no such fact, or the expression fails on it, spends too much, or is neither
    /// true nor false.
    pub fn means(&self, node: &NodeIdentity, facts: &Value) -> Result<bool, String> {
        let roots = Roots::new(Arc::new(facts.clone().into()), self.none.clone(), &node.to_value());
        match self.expressions.evaluate(self.source, &Scope::new(Arc::new(roots))) {
            Ok(Value::Boolean(answer)) => Ok(answer),
            Ok(other) => Err(format!("it gives the {} {other}, and neither true nor false", other.type_name())),
            Err(error) => Err(error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn nodes_are_meant_or_not_or_it_cannot_be_told() {
        let facts = |id: &str| {
            let os = Value::Map(BTreeMap::from([("id".to_owned(), Value::from(id))]));
            Value::Map(BTreeMap::from([("os".to_owned(), os)]))
        };
        let node = NodeIdentity { name: "web-1".into(), tags: vec!["edge".into()], ..NodeIdentity::default() };
        let cases = [
            ("facts.os.id == 'debian'", Ok(true)),
            ("facts.os.id == 'fedora'", Ok(false)),
            ("'edge' in node.tags and node.name == 'web-1'", Ok(true)),
            ("facts.os.version > 11", Err("version")),
            ("facts.os.id", Err("neither true nor false")),
        ];
        for (source, wanted) in cases {
            let filter = Filter::parse(source).unwrap();
            let found = filter.decider().means(&node, &facts("debian"));
            match wanted {
                Ok(wanted) => assert_eq!(found, Ok(wanted), "{source}"),
                Err(part) => assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{source}: {found:?}"),
            }
        }
        for wrong in ["attr.nginx.workers > 1", "facts.os.id ==", "true | shout", "secret('x') == 'y'"] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
