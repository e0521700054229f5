//! Declarations: the resources of a graph, as their author wrote them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Position, Property, Spot};
use crate::by_name::ByName;
use crate::catalog::Timing;
use crate::dynamic::Dynamic;

/// One declared resource. A graph holds many, of which hardly any has more than a name and properties: what is rare is
/// in a box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Its kind: built in, or one of [`Graph::kinds`].
    pub kind: String,
    /// Its name: a string, or a text with expressions.
    pub name: Dynamic,
    /// Where it is declared.
    pub at: Position,
    /// The kind's own properties, or a custom kind's parameters. A long literal text that becomes a file's content is a
    /// [`Value::Blob`](crate::Value::Blob).
    #[serde(default, skip_serializing_if = "ByName::is_empty")]
    pub properties: ByName<Property>,
    /// Where the content property's value comes from, if it is not among the properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Box<ContentSource>>,
    /// One resource for each item of a list, or entry of a map: an expression, a list or a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Box<Property>>,
    /// Decided at bind: an expression, `true` or `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Box<Property>>,
    /// Go on only if it holds: a shell line, an argument vector, or `{ exists = PATH }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Box<Property>>,
    /// Go on only if it does not hold; written as `only_if` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_if: Option<Box<Property>>,
    /// Resources that come before it: texts `kind[name]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Property>,
    /// Resources that it comes before: texts `kind[name]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Property>,
    /// Whom it notifies when it was updated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifies: Vec<Notification>,
    /// Whose update makes it act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribes: Vec<Notification>,
    /// How long one step may take: a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Box<Property>>,
    /// Tries after the first: an integer, or `{ count, delay }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Box<Property>>,
    /// Whether a failure blocks nothing and fails no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_failure: Option<Box<Property>>,
    /// Whether no value of it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitive: Option<Box<Property>>,
    /// Whether it is only observed and reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Box<Property>>,
}

/// Where content comes from, if it is not written in the recipe. Paths are within the cookbook of the recipe or custom
/// kind that declares the resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentSource {
    /// A template to be rendered.
    Template {
        /// Its path below `templates/`.
        path: Dynamic,
        /// Names that it sees besides those that every expression sees.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        vars: BTreeMap<String, Property>,
        /// Where its path stands in the recipe.
        at: Spot,
    },
    /// A file, taken as it is.
    File {
        /// Its path below `files/`.
        path: Dynamic,
        /// Where its path stands in the recipe.
        at: Spot,
    },
}

/// One entry of `notifies` or `subscribes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// What is to be done: `reload`.
    pub action: String,
    /// The other side: a text `kind[name]`.
    pub resource: Dynamic,
    /// When.
    #[serde(default, skip_serializing_if = "is_delayed")]
    pub timing: Timing,
    /// Where the other side is named.
    pub at: Spot,
}

impl Declaration {
    /// What is written of the settings that any kind takes and that have one value, by their names.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Property)> {
        let settings = [
            ("for_each", &self.for_each),
            ("when", &self.when),
            ("only_if", &self.only_if),
            ("not_if", &self.not_if),
            ("timeout", &self.timeout),
            ("retries", &self.retries),
            ("ignore_failure", &self.ignore_failure),
            ("sensitive", &self.sensitive),
            ("audit", &self.audit),
        ];
        settings.into_iter().filter_map(|(name, property)| Some((name, property.as_deref()?)))
    }

    /// Visits every place in it: two declarations that differ only in these say the same.
    pub fn each_spot(&mut self, mut visit: impl FnMut(&mut Spot)) {
        let scalars = [
            &mut self.for_each,
            &mut self.when,
            &mut self.only_if,
            &mut self.not_if,
            &mut self.timeout,
            &mut self.retries,
            &mut self.ignore_failure,
            &mut self.sensitive,
            &mut self.audit,
        ];
        let listed = self.requires.iter_mut().chain(&mut self.before);
        let scalars = scalars.into_iter().flatten().map(|property| &mut **property);
        for property in self.properties.values_mut().chain(scalars).chain(listed) {
            visit(&mut property.1);
        }
        for notification in self.notifies.iter_mut().chain(&mut self.subscribes) {
            visit(&mut notification.at);
        }
        match self.content.as_deref_mut() {
            Some(ContentSource::Template { at, vars, .. }) => {
                visit(at);
                vars.values_mut().for_each(|var| visit(&mut var.1));
            }
            Some(ContentSource::File { at, .. }) => visit(at),
            None => {}
        }
    }
}

// serde hands a reference to what it asks about.
fn is_delayed(timing: &Timing) -> bool {
    *timing == Timing::Delayed
}
