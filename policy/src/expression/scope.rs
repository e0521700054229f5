//! What an expression can see.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use converge_model::{Facts, Value};
use minijinja::value::{Enumerator, Object};

use super::convert::to_jinja;
use super::secret::{SECRET, Secrets};

/// The attributes of all cookbooks, each set once, when its turn to be evaluated has come.
#[derive(Debug, Default)]
pub struct Attributes(BTreeMap<String, Arc<Cookbook>>);

#[derive(Debug, Default)]
struct Cookbook(BTreeMap<String, OnceLock<minijinja::Value>>);

impl Attributes {
    /// A table for the attributes of these names, as (cookbook, attribute), none of them set.
    pub fn new<'n>(names: impl IntoIterator<Item = (&'n str, &'n str)>) -> Self {
        let mut cookbooks: BTreeMap<String, Cookbook> = BTreeMap::new();
        for (cookbook, name) in names {
            cookbooks.entry(cookbook.to_owned()).or_default().0.insert(name.to_owned(), OnceLock::new());
        }
        Self(cookbooks.into_iter().map(|(name, cookbook)| (name, Arc::new(cookbook))).collect())
    }

    /// Sets an attribute. One that is not in the table, or is set already, stays as it is.
    pub fn set(&self, cookbook: &str, name: &str, value: &Value) {
        if let Some(slot) = self.0.get(cookbook).and_then(|cookbook| cookbook.0.get(name)) {
            slot.get_or_init(|| to_jinja(value));
        }
    }
}

impl Object for Attributes {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        self.0.get(key).map(|cookbook| minijinja::Value::from_dyn_object(Arc::clone(cookbook)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| minijinja::Value::from(key.as_str())).collect())
    }
}

impl Object for Cookbook {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        self.0.get(key)?.get().cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let set = self.0.iter().filter(|(_, slot)| slot.get().is_some());
        Enumerator::Values(set.map(|(key, _)| minijinja::Value::from(key.as_str())).collect())
    }
}

/// Facts as expressions see them, each found out at its first use.
#[derive(Debug)]
struct FactTable {
    facts: Arc<Facts>,
    seen: BTreeMap<String, OnceLock<minijinja::Value>>,
}

impl FactTable {
    fn new(facts: Arc<Facts>) -> Self {
        let seen = facts.names().map(|name| (name.to_owned(), OnceLock::new())).collect();
        Self { facts, seen }
    }
}

impl Object for FactTable {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        let find = || self.facts.get(key).map_or_else(Default::default, to_jinja);
        self.seen.get(key).map(|fact| fact.get_or_init(find).clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.seen.keys().map(|key| minijinja::Value::from(key.as_str())).collect())
    }
}

/// What every expression of a node sees: `facts`, `attr` and `node`. Built once, shared by all scopes.
#[derive(Debug)]
pub struct Roots {
    facts: minijinja::Value,
    attr: minijinja::Value,
    node: minijinja::Value,
    secret: minijinja::Value,
}

impl Roots {
    /// The roots of a node that has no secrets.
    pub fn new(facts: Arc<Facts>, attributes: Arc<Attributes>, node: &Value) -> Self {
        let facts = minijinja::Value::from_object(FactTable::new(facts));
        let secret = Secrets::default().to_jinja();
        Self { facts, attr: minijinja::Value::from_dyn_object(attributes), node: to_jinja(node), secret }
    }

    /// The same, with secrets.
    #[must_use]
    pub fn with_secrets(self, secrets: &Secrets) -> Self {
        Self { secret: secrets.to_jinja(), ..self }
    }
}

/// What one expression sees: the roots, and what its place adds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scope {
    roots: Arc<Roots>,
    each: Option<minijinja::Value>,
    param: Option<minijinja::Value>,
    name: Option<minijinja::Value>,
    vars: Option<minijinja::Value>,
}

impl Scope {
    /// A scope of the roots alone.
    pub fn new(roots: Arc<Roots>) -> Self {
        Self { roots, each: None, param: None, name: None, vars: None }
    }

    /// The same, in one turn of a `for_each`: `each.key`, `each.value` and `each.index`, which counts from 0.
    #[must_use]
    pub fn with_each(&self, key: &Value, value: &Value, index: usize) -> Self {
        let each = [("key", to_jinja(key)), ("value", to_jinja(value)), ("index", minijinja::Value::from(index))];
        Self { each: Some(minijinja::Value::from_pairs(each)), ..self.clone() }
    }

    /// The scope within a resource of a custom kind: its `name` and its `param`, and neither `each` nor vars of outside.
    #[must_use]
    pub fn within(&self, name: &str, parameters: &Value) -> Self {
        let mut scope = Self::new(Arc::clone(&self.roots));
        scope.name = Some(minijinja::Value::from(name));
        scope.param = Some(to_jinja(parameters));
        scope
    }

    /// The same, with the name of the resource that is being evaluated, where it is not within a custom kind.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        Self { name: Some(self.name.clone().unwrap_or_else(|| minijinja::Value::from(name))), ..self.clone() }
    }

    /// The same, with the `vars` of a template under their own names.
    #[must_use]
    pub fn with_vars(&self, vars: &BTreeMap<String, Value>) -> Self {
        let vars: BTreeMap<String, minijinja::Value> =
            vars.iter().map(|(name, value)| (name.clone(), to_jinja(value))).collect();
        Self { vars: Some(minijinja::Value::from(vars)), ..self.clone() }
    }

    /// What stands under a name.
    pub(crate) fn get(&self, name: &str) -> Option<minijinja::Value> {
        match name {
            "facts" => Some(self.roots.facts.clone()),
            "attr" => Some(self.roots.attr.clone()),
            "node" => Some(self.roots.node.clone()),
            "each" => self.each.clone(),
            "param" => self.param.clone(),
            "name" => self.name.clone(),
            SECRET => Some(self.roots.secret.clone()),
            other => self.vars.as_ref()?.get_attr(other).ok().filter(|value| !value.is_undefined()),
        }
    }

    /// The names that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        let fixed = ["facts", "attr", "node", "each", "param", "name"];
        let mut names: Vec<String> =
            fixed.iter().filter(|name| self.get(name).is_some()).map(|name| (*name).to_owned()).collect();
        let vars = self.vars.iter().filter_map(|vars| vars.try_iter().ok()).flatten();
        names.extend(vars.filter_map(|name| name.as_str().map(str::to_owned)));
        names
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        self.get(key)
    }
}
