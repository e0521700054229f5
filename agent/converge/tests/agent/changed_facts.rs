//! A run that changes the node's facts binds the graph again, and goes on with what follows from them.

use crate::desk::Desk;

const RECIPE: &str = r#"
[directory."CONFIG/facts.d"]
parents = true

[file."CONFIG/facts.d/role.toml"]
content = "name = 'db'\n"

[file."@/role"]
when = "facts.local is defined and facts.local.role is defined"
content = "{{ facts.local.role.name }}\n"
"#;

#[test]
fn what_follows_from_new_facts_converges_in_the_same_run() {
    let desk = Desk::new("");
    desk.recipe(&RECIPE.replace("CONFIG", &desk.path("config").display().to_string()));
    let first = desk.once().with_code(0);
    let report = first.json();
    assert_eq!(report["passes"], 2, "{report:#}");
    assert_eq!(report["counts"]["updated"], 3, "{report:#}");
    assert_eq!(desk.out("role").as_deref(), Some("db\n"));
    let second = desk.once().with_code(0).json();
    assert_eq!((&second["passes"], &second["counts"]["up_to_date"]), (&1.into(), &3.into()), "{second:#}");
}

#[test]
fn what_was_converged_counts_where_the_new_facts_cannot_be_bound() {
    let desk = Desk::new("");
    let recipe = RECIPE.replace("CONFIG", &desk.path("config").display().to_string());
    desk.recipe(&recipe.replace("facts.local.role.name", "facts.local.role.nobody_knows"));
    let report = desk.once().with_code(2).json();
    assert_eq!(
        (&report["conclusion"]["kind"], &report["counts"]["updated"]),
        (&"failed".into(), &2.into()),
        "{report:#}"
    );
    assert!(report["remarks"].to_string().contains("nobody_knows"), "{report:#}");
    assert!(desk.path("state/ledger.json").exists(), "what was made is owned");
}
