//! A repository, or the part of it that a policy reaches, with every file read and checked by itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use converge_model::order;
use toml::de::DeTable;

use super::context::{AllKinds, Context, CustomHead, Schemas, templates};
use super::cookbook::{Cookbook, check_dependencies, cookbook, fill_defaults};
use super::names::{Names, Role, role};
use super::policy_file::{PolicyFile, check_settings, policy_file};
use super::recipe::{CustomBody, CustomRest, Recipe, custom_body, custom_head, fill_parameters, recipe};
use super::reference::{Reference, check_references};
use super::scope::{AttributeTable, Readable, Scope};
use super::sources::{Findings, Place, Sources};
use super::toml::{Fields, parse};
use crate::repository::Repository;

/// The documents among the sources, parsed, with the index of each.
pub(crate) type Documents<'s> = Vec<(u32, DeTable<'s>)>;

/// Parses every TOML document among the sources.
pub(crate) fn documents<'s>(sources: &'s Sources, findings: &mut Findings<'_>) -> Documents<'s> {
    let is_document = |path: &str| !matches!(role(path), Some(Role::Template(_)) | None);
    sources
        .iter()
        .filter(|(_, source)| is_document(&source.path))
        .map(|(file, _)| (file, parse(sources, file, findings)))
        .collect()
}

/// Everything that was read.
#[derive(Debug)]
pub(crate) struct World<'t> {
    /// The files.
    pub(crate) repository: &'t Repository,
    /// The kinds that the agent has.
    schemas: &'t Schemas,
    /// What the repository holds, read or not.
    pub(crate) names: Names<'t>,
    /// The cookbooks by name.
    pub(crate) cookbooks: BTreeMap<String, Cookbook<'t>>,
    /// The attributes of the cookbooks.
    pub(crate) attributes: AttributeTable,
    /// The recipes by full name.
    pub(crate) recipes: BTreeMap<String, Recipe>,
    /// The heads of the custom kinds by name.
    pub(crate) heads: BTreeMap<String, CustomHead>,
    /// What the custom kinds consist of.
    pub(crate) bodies: BTreeMap<String, CustomBody>,
    /// The policies by name.
    pub(crate) policies: BTreeMap<String, PolicyFile<'t>>,
    /// Whether no custom kind contains itself.
    pub(crate) is_finite: bool,
}

impl<'t> World<'t> {
    /// Reads the documents.
    pub(crate) fn read(
        repository: &'t Repository,
        documents: &'t Documents<'_>,
        schemas: &'t Schemas,
        findings: &mut Findings<'_>,
    ) -> Self {
        let names = Names::of(repository);
        let mut world = Self {
            repository,
            schemas,
            names,
            cookbooks: BTreeMap::new(),
            attributes: AttributeTable::new(),
            recipes: BTreeMap::new(),
            heads: BTreeMap::new(),
            bodies: BTreeMap::new(),
            policies: BTreeMap::new(),
            is_finite: true,
        };
        let (mut recipes, mut kinds) = (Vec::new(), Vec::new());
        for (file, document) in documents {
            let fields = Fields::new(Place { file: *file, start: 0, end: 0 }, document);
            match role(findings.sources.path(*file)) {
                Some(Role::Settings) => check_settings(fields, findings),
                Some(Role::Policy(name)) => {
                    let policy = policy_file(name, fields, &world.names, findings);
                    world.policies.insert(name.to_owned(), policy);
                }
                Some(Role::Cookbook(name)) => {
                    let cookbook = cookbook(name, fields, &mut world.attributes, findings);
                    world.cookbooks.insert(name.to_owned(), cookbook);
                }
                Some(Role::Recipe(cookbook, name)) => recipes.push((cookbook.to_owned(), name.to_owned(), fields)),
                Some(Role::Kind(cookbook, stem)) => {
                    let (name, head, rest) = custom_head(cookbook, stem, fields, schemas, findings);
                    world.heads.insert(name.clone(), head);
                    kinds.push((name, rest));
                }
                Some(Role::Template(_)) | None => {}
            }
        }
        let known: BTreeSet<&str> = world.names.cookbooks.keys().copied().collect();
        check_dependencies(&world.cookbooks, &known, findings);
        fill_defaults(&world.cookbooks, &mut world.attributes, findings);
        world.fill_parameters(&kinds, findings);
        world.read_resources(recipes, kinds, schemas, findings);
        world.check_kinds(schemas, findings);
        world
    }

    fn fill_parameters(&mut self, kinds: &[(String, CustomRest<'_>)], findings: &mut Findings<'_>) {
        let nothing = BTreeSet::new();
        for (name, rest) in kinds {
            let Some(head) = self.heads.get_mut(name) else { continue };
            let depends = self.cookbooks.get(&head.cookbook).map_or(&nothing, |cookbook| &cookbook.depends_on);
            let readable = Readable::From { cookbook: &head.cookbook, depends };
            fill_parameters(&mut head.parameters, rest, &Scope::new(&self.attributes, readable), findings);
        }
    }

    /// Reads the declarations, now that all kinds and attributes are known.
    fn read_resources(
        &mut self,
        recipes: Vec<(String, String, Fields<'_>)>,
        kinds: Vec<(String, CustomRest<'_>)>,
        schemas: &Schemas,
        findings: &mut Findings<'_>,
    ) {
        let templates = templates(findings.sources, findings);
        let reported = RefCell::new(BTreeSet::new());
        let nothing = BTreeSet::new();
        let all = AllKinds { built_in: schemas, custom: &self.heads };
        let within = |cookbook: &'_ str| {
            let depends = self.cookbooks.get(cookbook).map_or(&nothing, |cookbook| &cookbook.depends_on);
            (depends, cookbook.to_owned())
        };
        let mut read_recipes = BTreeMap::new();
        for (cookbook, name, fields) in recipes {
            let (depends, cookbook) = within(&cookbook);
            let repository = self.repository;
            let (templates, reported, cookbook) = (&templates, &reported, cookbook.as_str());
            let context = Context { repository, kinds: all, templates, reported, cookbook, depends };
            let scope = Scope::new(&self.attributes, Readable::From { cookbook, depends });
            let recipe = recipe(&name, fields, &self.names, &context, &scope, findings);
            read_recipes.insert(format!("{cookbook}::{name}"), recipe);
        }
        let mut bodies = BTreeMap::new();
        for (name, rest) in kinds {
            let Some(head) = self.heads.get(&name) else { continue };
            let (depends, cookbook) = within(&head.cookbook);
            let repository = self.repository;
            let (templates, reported, cookbook) = (&templates, &reported, cookbook.as_str());
            let context = Context { repository, kinds: all, templates, reported, cookbook, depends };
            let scope = Scope::new(&self.attributes, Readable::From { cookbook, depends });
            let scope = Scope { parameters: Some(&head.parameters), name: true, ..scope };
            bodies.insert(name, custom_body(rest, &context, &scope, findings));
        }
        self.recipes = read_recipes;
        self.bodies = bodies;
    }

    /// Checks what needs all declarations: custom kinds within each other, and who is notified of what.
    fn check_kinds(&mut self, schemas: &Schemas, findings: &mut Findings<'_>) {
        self.check_recursion(findings);
        let all = AllKinds { built_in: schemas, custom: &self.heads };
        let can_act = |kind: &str, action: &str| {
            let within = self.kinds_within(kind);
            within.iter().any(|name| schemas.get(name.as_str()).is_some_and(|schema| schema.has_action(action)))
        };
        let recipes = self.recipes.values().flat_map(|recipe| &recipe.resources);
        for declared in recipes.chain(self.bodies.values().flat_map(|body| &body.resources)) {
            check_references(declared, all, &can_act, findings);
        }
    }

    /// The kinds that a custom kind consists of, and they of, built in or not; without itself, unless it contains itself.
    pub(crate) fn kinds_within(&self, kind: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![kind.to_owned()];
        while let Some(kind) = open.pop() {
            for declared in self.bodies.get(&kind).into_iter().flat_map(|body| &body.resources) {
                if found.insert(declared.declaration.kind.clone()) {
                    open.push(declared.declaration.kind.clone());
                }
            }
        }
        found
    }

    /// Whether there is such a kind, built in or custom.
    pub(crate) fn has_kind(&self, kind: &str) -> bool {
        self.schemas.contains_key(kind) || self.heads.contains_key(kind)
    }

    /// The references to other resources from within a custom kind.
    pub(crate) fn references_within(&self, kind: &str) -> Vec<&Reference> {
        if !self.bodies.contains_key(kind) {
            return Vec::new();
        }
        let mut kinds = self.kinds_within(kind);
        kinds.insert(kind.to_owned());
        let bodies = kinds.iter().filter_map(|kind| self.bodies.get(kind));
        bodies.flat_map(|body| &body.resources).flat_map(|declared| &declared.references).collect()
    }

    fn check_recursion(&mut self, findings: &mut Findings<'_>) {
        let names: Vec<&String> = self.bodies.keys().collect();
        let index: BTreeMap<&str, usize> = names.iter().map(|name| name.as_str()).zip(0..).collect();
        let mut edges = Vec::new();
        for (own, body) in self.bodies.values().enumerate() {
            for declared in &body.resources {
                if let Some(&other) = index.get(declared.declaration.kind.as_str()) {
                    edges.push((own, other, declared.place));
                }
            }
        }
        let plain: Vec<(usize, usize)> = edges.iter().map(|(own, other, _)| (*own, *other)).collect();
        let Err(circle) = order::order(names.len(), &plain) else { return };
        let chain: Vec<&str> = circle.iter().chain(circle.first()).map(|&at| names[at].as_str()).collect();
        let places: Vec<Place> = circle
            .iter()
            .zip(circle.iter().cycle().skip(1))
            .filter_map(|(own, other)| edges.iter().find(|edge| (edge.0, edge.1) == (*own, *other)).map(|edge| edge.2))
            .collect();
        let chain = chain.join(" → ");
        self.is_finite = false;
        let Some((first, others)) = places.split_first() else { return };
        let mut finding = findings
            .error(*first, format!("a custom kind contains itself: {chain}"))
            .help("a custom kind is made of other kinds; take this resource out of it");
        for place in others {
            finding = finding.related(*place, "and here");
        }
    }
}
