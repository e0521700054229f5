//! Bind over random recipes and over large ones.

use std::collections::BTreeMap;

use converge_model::graph::{Cookbook, CustomKind, Declaration, FORMAT, Position, Property, Recipe};
use converge_model::{ByName, Digest, Dynamic, Graph};
use converge_policy::bind::{BindInput, Bound, bind};
use proptest::prelude::*;

use super::support::TestKinds;

fn graph(recipes: Vec<(bool, Vec<usize>, Vec<Declaration>)>) -> Graph {
    let recipe = |(at, (unordered, requires, resources)): (usize, (bool, Vec<usize>, Vec<Declaration>))| Recipe {
        name: format!("base::r{at}"),
        unordered,
        requires,
        resources,
        ..Recipe::default()
    };
    Graph {
        format: FORMAT,
        policy: "web".into(),
        sources: vec!["cookbooks/base/recipes/default.toml".into()],
        cookbooks: vec![Cookbook { name: "base".into(), version: "1.0.0".into(), ..Cookbook::default() }],
        recipes: recipes.into_iter().enumerate().map(recipe).collect(),
        ..Graph::default()
    }
}

fn file(name: impl Into<String>, line: u32) -> Declaration {
    Declaration {
        kind: "file".into(),
        name: Dynamic::from(name.into()),
        at: Position { source: 0, line, column: 1 },
        properties: [
            ("content", Dynamic::from("some content")),
            ("owner", Dynamic::from("root")),
            ("mode", Dynamic::from("0644")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Property(value, (line, 1).into())))
        .collect(),
        ..Declaration::default()
    }
}

fn bound(graph: &Graph) -> Result<Bound, Vec<converge_model::Diagnostic>> {
    let input = BindInput::default();
    bind(graph, &input, &BTreeMap::<Digest, Vec<u8>>::new(), &TestKinds)
}

/// Whether a recipe is unordered, whether it requires those before it, and its resources: name, other name, edge.
type RandomRecipe = (bool, bool, Vec<(u8, u8, u8)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The same graph gives the same bytes, every requirement comes earlier in the catalog, and inside an ordered recipe
    /// what is written later waits, directly or not, for what is written before it.
    #[test]
    fn bind_is_deterministic_and_its_order_is_one(
        recipes in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec((0..12_u8, 0..24_u8, 0..4_u8), 0..8)), 1..5)
    ) {
        let recipe = |(at, (unordered, requires, resources)): (usize, RandomRecipe)| {
            let declaration = |(name, other, edge): (u8, u8, u8)| {
                let mut declaration = file(format!("/f{name}"), 1);
                let other = Property(Dynamic::from(format!("file[/f{other}]")), (2, 1).into());
                match edge {
                    1 => declaration.requires.push(other),
                    2 => declaration.before.push(other),
                    3 => declaration.when = Some(Box::new(Property(Dynamic::from(name % 2 == 0), (2, 1).into()))),
                    _ => {}
                }
                declaration
            };
            let required = if requires { (0..at).collect() } else { Vec::new() };
            (unordered, required, resources.into_iter().map(declaration).collect())
        };
        let graph = graph(recipes.into_iter().enumerate().map(recipe).collect());
        let (first, second) = (bound(&graph), bound(&graph));
        match (first, second) {
            (Ok(first), Ok(second)) => {
                prop_assert_eq!(serde_json::to_string(&first.catalog).unwrap(), serde_json::to_string(&second.catalog).unwrap());
                check_order(&graph, &first);
            }
            (Err(first), Err(second)) => prop_assert_eq!(first, second),
            _ => prop_assert!(false, "bound once and failed once"),
        }
    }
}

fn check_order(graph: &Graph, bound: &Bound) {
    let resources = &bound.catalog.resources;
    let mut waits_for: Vec<std::collections::BTreeSet<usize>> = Vec::new();
    for (at, resource) in resources.iter().enumerate() {
        assert!(resource.requires.iter().all(|&before| before < at), "{resource:?}");
        assert!(resource.requires.is_sorted(), "{resource:?}");
        let mut all: std::collections::BTreeSet<usize> = resource.requires.iter().copied().collect();
        all.extend(resource.requires.iter().flat_map(|&before| waits_for[before].iter().copied()));
        waits_for.push(all);
    }
    for (recipe, index) in graph.recipes.iter().zip(0..).filter(|(recipe, _)| !recipe.unordered) {
        // Those that were declared here first, and do something.
        let own = |at: &usize| {
            bound.declarations[*at].owner == converge_policy::bind::Owner::Recipe(index)
                && resources[*at].skipped.is_none()
        };
        let mut written: Vec<usize> = (0..resources.len()).filter(own).collect();
        written.sort_by_key(|&at| bound.declarations[at].index);
        assert!(written.len() <= recipe.resources.len());
        for pair in written.windows(2) {
            assert!(waits_for[pair[1]].contains(&pair[0]), "{:?} must wait for {:?}", pair[1], pair[0]);
        }
    }
}

/// The time for each resource does not grow with their number.
#[test]
fn bind_is_linear() {
    let time = |count: usize| {
        let files = (0..count).map(|number| file(format!("/srv/{number}"), 1)).collect();
        let graph = graph(vec![(false, vec![], files)]);
        let best = |_| {
            let start = std::time::Instant::now();
            let bound = bound(&graph).unwrap();
            assert_eq!(bound.catalog.resources.len(), count);
            start.elapsed()
        };
        (0..5).map(best).min().unwrap()
    };
    let (small, large) = (time(2_000), time(20_000));
    assert!(large < small * 40, "2,000 take {small:?} and 20,000 take {large:?}");
}

/// Recipes that wait for each other with an edge for each pair of their resources are refused before they take all memory.
#[test]
fn too_many_edges_are_refused() {
    let files = |recipe: usize| (0..2_100).map(|number| file(format!("/{recipe}/{number}"), 1)).collect();
    let found = bound(&graph(vec![(true, vec![], files(0)), (true, vec![0], files(1))])).unwrap_err();
    assert!(found[0].message.contains("more than 4000000 edges"), "{found:?}");
}

/// A graph that is large enough to be expanded in parts, on several processors, gives what it gives in one piece.
#[test]
fn a_large_graph_is_in_order_however_it_is_cut() {
    let within =
        |suffix: &str| Declaration { name: Dynamic::Text(format!("/srv/{{{{ name }}}}{suffix}")), ..file("", 7) };
    let pair = CustomKind { resources: vec![within(".a"), within(".b")], ..CustomKind::default() };
    let kinds = |number: usize| Declaration {
        kind: "pair".into(),
        name: Dynamic::from(format!("p{number}")),
        properties: ByName::new(),
        ..file("", 3)
    };
    let plain = |recipe: usize, number: usize| file(format!("/{recipe}/{number}"), 1);
    let looped = Declaration {
        name: Dynamic::Text("/loop/{{ each.value }}".into()),
        for_each: Some(Box::new(Property(Dynamic::from(vec![1, 2, 3]), (2, 1).into()))),
        ..file("", 2)
    };
    let mut large = graph(vec![
        (false, vec![], (0..150).map(|number| plain(0, number)).chain([looped]).collect()),
        (false, vec![], vec![]),
        (false, vec![0], (0..100).map(kinds).chain((0..100).map(|number| plain(2, number))).collect()),
    ]);
    large.kinds.insert("pair".to_owned(), pair);
    let found = bound(&large).unwrap();
    let first = (0..150).map(|number| format!("file[/0/{number}]")).chain((1..=3).map(|n| format!("file[/loop/{n}]")));
    let pairs = (0..100).flat_map(|number| ["a", "b"].map(|suffix| format!("file[/srv/p{number}.{suffix}]")));
    let wanted: Vec<String> = first.chain(pairs).chain((0..100).map(|number| format!("file[/2/{number}]"))).collect();
    let resources = &found.catalog.resources;
    assert_eq!(resources.iter().map(|resource| resource.id.to_string()).collect::<Vec<_>>(), wanted);
    for (at, resource) in resources.iter().enumerate() {
        assert_eq!(resource.requires, at.checked_sub(1).into_iter().collect::<Vec<_>>(), "{}", resource.id);
    }
    assert_eq!(found.custom.len(), 100);

    // What is wrong is told in the order in which it is written.
    for (recipe, index) in [(2, 190), (0, 10), (2, 5)] {
        large.recipes[recipe].resources[index].kind = format!("unknown{recipe}_{index}");
    }
    let messages: Vec<String> = bound(&large).unwrap_err().into_iter().map(|finding| finding.message).collect();
    assert_eq!(messages, ["0_10", "2_5", "2_190"].map(|which| format!("this agent knows no kind `unknown{which}`")));
}
