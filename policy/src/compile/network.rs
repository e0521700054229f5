//! The resources of a policy (or of one recipe, or of one custom kind) as a network: who is declared twice, who is named
//! but not declared, who waits for whom in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use converge_model::graph::Declaration;
use converge_model::{Dynamic, order, suggest};

use super::Seen;
use super::declaration::Declared;
use super::reference::{Reference, Role};
use super::sources::Findings;

/// More circles than these are not looked for at once.
const MOST_CIRCLES: usize = 20;
/// A name is held against no more patterns than these; beyond, it may match one.
const MOST_PATTERNS: usize = 1_000;

/// Resources that stand in one file.
#[derive(Debug)]
pub(crate) struct Section<'w> {
    /// What the section is called: `nginx::tls`.
    pub(crate) name: &'w str,
    /// The resources, in the order in which they are written.
    pub(crate) resources: &'w [Declared],
    /// Whether they do not wait for each other.
    pub(crate) unordered: bool,
    /// The sections that come before it, by index; each is less than its own.
    pub(crate) requires: Vec<usize>,
}

/// The text of a declaration's name.
fn name_of(declaration: &Declaration) -> &str {
    match &declaration.name {
        Dynamic::Text(text) | Dynamic::Expression(text) => text,
        other => other.as_str().unwrap_or(""),
    }
}

fn text_of(declaration: &Declaration) -> String {
    format!("{}[{}]", declaration.kind, name_of(declaration))
}

/// The literal parts around the expressions of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern<'w> {
    prefix: &'w str,
    suffix: &'w str,
}

impl<'w> Pattern<'w> {
    fn of(text: &'w str) -> Self {
        let prefix = text.find('{').map_or(text, |at| &text[..at]);
        let suffix = text.rfind('}').map_or(text, |at| &text[at + 1..]);
        Self { prefix, suffix }
    }

    fn matches(&self, name: &str) -> bool {
        name.len() >= self.prefix.len() + self.suffix.len()
            && name.starts_with(self.prefix)
            && name.ends_with(self.suffix)
    }

    /// Whether some name could match both.
    fn meets(&self, other: &Pattern<'_>) -> bool {
        (self.prefix.starts_with(other.prefix) || other.prefix.starts_with(self.prefix))
            && (self.suffix.ends_with(other.suffix) || other.suffix.ends_with(self.suffix))
    }
}

/// What is declared, to find out whether a name is.
#[derive(Debug, Default)]
pub(crate) struct Universe<'w> {
    literal: BTreeMap<&'w str, BTreeSet<&'w str>>,
    patterns: BTreeMap<&'w str, BTreeSet<Pattern<'w>>>,
}

impl<'w> Universe<'w> {
    /// Adds declarations.
    pub(crate) fn add(&mut self, resources: impl IntoIterator<Item = &'w Declared>) {
        for declared in resources {
            let declaration = &declared.declaration;
            match declaration.name.as_str() {
                Some(name) => {
                    self.literal.entry(&declaration.kind).or_default().insert(name);
                }
                None => {
                    self.patterns.entry(&declaration.kind).or_default().insert(Pattern::of(name_of(declaration)));
                }
            }
        }
    }

    /// Whether what a reference names is declared, or may be once names are evaluated.
    fn may_have(&self, reference: &Reference) -> bool {
        let kind = reference.kind.as_str();
        let patterns = || self.patterns.get(kind).into_iter().flatten();
        if self.patterns.get(kind).is_some_and(|patterns| patterns.len() > MOST_PATTERNS) {
            return true;
        }
        let literal = self.literal.get(kind);
        if reference.is_literal {
            let name = reference.name.as_str();
            return literal.is_some_and(|names| names.contains(name)) || patterns().any(|each| each.matches(name));
        }
        let own = Pattern::of(&reference.name);
        patterns().any(|each| each.meets(&own)) || literal.into_iter().flatten().any(|name| own.matches(name))
    }

    /// Reports every reference to what is not declared. `within` says where it was looked for; a kind that is not
    /// `known` was reported already.
    pub(crate) fn check(
        &self,
        resources: &[Declared],
        known: &dyn Fn(&str) -> bool,
        within: &str,
        seen: &mut Seen,
        findings: &mut Findings<'_>,
    ) {
        for reference in resources.iter().flat_map(|declared| &declared.references) {
            if !known(&reference.kind) || self.may_have(reference) || !seen.insert(reference.place) {
                continue;
            }
            let names = self.literal.get(reference.kind.as_str()).into_iter().flatten().copied();
            let nearest = suggest::nearest(&reference.name, names);
            let meant = nearest.map(|name| format!("{}[{name}]", reference.kind));
            let finding = findings
                .error(reference.place, format!("{within} declares no {}", reference.text()))
                .did_you_mean(meant.as_deref());
            if meant.is_none() {
                finding.help("declare it, or put the recipe that does into the run list");
            }
        }
    }
}

/// Why one thing comes before another.
#[derive(Clone, Copy, Debug)]
enum Reason<'w> {
    /// Because somebody wrote so.
    Written(&'w Reference),
    /// Because it is written later in an ordered section.
    Order,
    /// Because a section's beginning and end lie around its resources.
    Section,
}

/// Resources of several sections, flattened.
pub(crate) struct Network<'w> {
    sections: &'w [Section<'w>],
    items: Vec<(usize, &'w Declared)>,
    /// The resource that an item stands for: itself, or an earlier one that is the same.
    first: Vec<usize>,
    by_name: HashMap<(&'w str, &'w str), usize>,
}

impl<'w> Network<'w> {
    /// Flattens `sections`, and reports resources that are declared twice in different ways.
    pub(crate) fn new(sections: &'w [Section<'w>], seen: &mut Seen, findings: &mut Findings<'_>) -> Self {
        let items: Vec<(usize, &Declared)> = sections
            .iter()
            .enumerate()
            .flat_map(|(section, each)| each.resources.iter().map(move |declared| (section, declared)))
            .collect();
        let mut by_name: HashMap<(&str, &str), usize> = HashMap::with_capacity(items.len());
        let mut first = Vec::with_capacity(items.len());
        for (index, (_, declared)) in items.iter().enumerate() {
            let declaration = &declared.declaration;
            if declaration.for_each.is_some() {
                first.push(index);
                continue;
            }
            let earlier = *by_name.entry((&declaration.kind, name_of(declaration))).or_insert(index);
            first.push(earlier);
            let (_, other) = items[earlier];
            if earlier != index
                && let Some(difference) = difference(&other.declaration, declaration)
                && seen.insert(declared.place)
            {
                findings
                    .error(declared.place, format!("{} is declared twice, in different ways", text_of(declaration)))
                    .label(difference)
                    .related(other.place, "the other declaration")
                    .help("declare it once, or make both the same");
            }
        }
        Self { sections, items, first, by_name }
    }

    /// Reports circles. `inside` gives the references from within a custom kind's resources.
    pub(crate) fn check_circles(
        &self,
        inside: &dyn Fn(&str) -> Vec<&'w Reference>,
        seen: &mut Seen,
        findings: &mut Findings<'_>,
    ) {
        let mut edges = self.edges(inside);
        for _ in 0..MOST_CIRCLES {
            let plain: Vec<(usize, usize)> = edges.iter().map(|(earlier, later, _)| (*earlier, *later)).collect();
            let Err(circle) = order::order(self.items.len() + 2 * self.sections.len(), &plain) else { return };
            let around: Vec<(usize, usize, Reason<'w>)> = circle
                .iter()
                .zip(circle.iter().cycle().skip(1))
                .filter_map(|(&from, &to)| {
                    edges.iter().find(|(earlier, later, _)| (*earlier, *later) == (from, to)).copied()
                })
                .collect();
            let written = |reason: &Reason<'w>| match reason {
                Reason::Written(reference) => Some(*reference),
                _ => None,
            };
            let Some(broken) = around.iter().find_map(|(_, _, reason)| written(reason)) else { return };
            if seen.insert(broken.place) {
                self.report_circle(&around, broken, findings);
            }
            edges.retain(|(_, _, reason)| written(reason).is_none_or(|reference| reference.place != broken.place));
        }
    }

    /// All edges, earlier first. Beyond the items, each section has two nodes: its beginning and its end.
    fn edges(&self, inside: &dyn Fn(&str) -> Vec<&'w Reference>) -> Vec<(usize, usize, Reason<'w>)> {
        let begin = |section: usize| self.items.len() + 2 * section;
        let end = |section: usize| begin(section) + 1;
        let mut edges = Vec::with_capacity(4 * self.items.len());
        for (index, section) in self.sections.iter().enumerate() {
            edges.extend(section.requires.iter().map(|&other| (end(other), begin(index), Reason::Section)));
        }
        let mut previous: Option<(usize, usize)> = None;
        for (index, &(section, declared)) in self.items.iter().enumerate() {
            let itself = self.first[index];
            // One that was declared before stays where it was, and what follows it here comes after it.
            if itself == index {
                edges.push((begin(section), index, Reason::Section));
                edges.push((index, end(section), Reason::Section));
                if let Some((_, before)) =
                    previous.filter(|(last, _)| *last == section && !self.sections[section].unordered)
                {
                    edges.push((before, index, Reason::Order));
                }
            }
            previous = Some((section, itself));
            for reference in declared.references.iter().chain(inside(&declared.declaration.kind)) {
                let key = (reference.kind.as_str(), reference.name.as_str());
                // In a loop, the same text is a different name in each turn.
                let turns = declared.declaration.for_each.is_some() && !reference.is_literal;
                let Some(&other) = self.by_name.get(&key).filter(|_| !turns) else { continue };
                match reference.role {
                    Role::Requires | Role::Subscribes(_) => edges.push((other, itself, Reason::Written(reference))),
                    Role::Before => edges.push((itself, other, Reason::Written(reference))),
                    Role::Notifies(_) => {}
                }
            }
        }
        edges
    }

    fn report_circle(&self, around: &[(usize, usize, Reason<'w>)], broken: &Reference, findings: &mut Findings<'_>) {
        let item = |index: usize| self.items.get(index).copied();
        // The circle begins with what the broken reference makes wait, so that it reads as it is written.
        let start = around
            .iter()
            .position(|(_, _, reason)| matches!(reason, Reason::Written(reference) if reference.place == broken.place))
            .unwrap_or(0);
        // An edge leads to what waits; people read who waits for whom.
        let turned: Vec<&(usize, usize, Reason<'w>)> =
            around[..=start].iter().rev().chain(around[start + 1..].iter().rev()).collect();
        let mut names: Vec<String> =
            turned.iter().filter_map(|(_, to, _)| item(*to)).map(|(_, each)| text_of(&each.declaration)).collect();
        if let [only] = &names[..] {
            findings.error(broken.place, format!("{only} waits for itself")).help("remove the reference");
            return;
        }
        names.extend(names.first().cloned());
        let mut finding =
            findings.error(broken.place, format!("resources wait for each other in a circle: {}", names.join(" → ")));
        let mut last = None;
        for (from, to, reason) in turned {
            last = item(*to).or(last);
            let (Some((section, before)), Some((own, after))) = (item(*from), last) else { continue };
            let (before, later) = (text_of(&before.declaration), text_of(&after.declaration));
            finding = match reason {
                Reason::Written(reference) => {
                    let says = match reference.role {
                        Role::Before => format!("{before} comes before {later}"),
                        Role::Requires => format!("{later} requires {before}"),
                        Role::Subscribes(_) | Role::Notifies(_) => format!("{later} subscribes to {before}"),
                    };
                    if reference.place == broken.place {
                        finding.label(says)
                    } else {
                        finding.related(reference.place, says)
                    }
                }
                Reason::Order => finding.related(after.place, format!("{later} is written after {before}")),
                Reason::Section => finding.related(
                    after.place,
                    format!(
                        "{later} is in {}, which comes after {}",
                        self.sections[own].name, self.sections[section].name
                    ),
                ),
            };
        }
        finding.help(
            "remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written",
        );
    }
}

/// In what two declarations of the same resource differ, wherever they stand.
fn difference(one: &Declaration, other: &Declaration) -> Option<String> {
    let (one, other) = (without_places(one), without_places(other));
    if one == other {
        return None;
    }
    let keys: BTreeSet<&String> = one.properties.keys().chain(other.properties.keys()).collect();
    let differs: Vec<String> = keys
        .into_iter()
        .filter(|key| one.properties.get(key) != other.properties.get(key))
        .map(|key| format!("`{key}`"))
        .collect();
    Some(if differs.is_empty() {
        "they differ".to_owned()
    } else {
        format!("{} differ{}", differs.join(", "), if differs.len() == 1 { "s" } else { "" })
    })
}

fn without_places(declaration: &Declaration) -> Declaration {
    let mut bare = declaration.clone();
    bare.at = Default::default();
    bare.each_spot(|spot| *spot = Default::default());
    bare
}
