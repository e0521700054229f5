//! Rules for what ships beside the code.

use crate::tree::{files, none, root};

#[test]
fn every_cookbook_that_ships_is_run_by_a_system_test() {
    let tests: String = files(&[".rs"])
        .into_iter()
        .filter(|source| source.path.starts_with("tests/tests/") && !source.path.starts_with("tests/tests/tidy/"))
        .map(|source| source.text)
        .collect();
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(root().join("cookbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !tests.contains(&format!("\"{name}\"")) {
            findings.push(format!("cookbooks/{name}: no test under tests/tests names it"));
        }
    }
    none("A cookbook that nobody runs:", findings);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for document in files(&[".md"]) {
        let folder = root().join(&document.path).parent().unwrap().to_owned();
        for target in document.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                findings.push(format!("{}: {target}", document.path));
            }
        }
    }
    none("A link leads nowhere:", findings);
}

#[test]
fn the_documents_name_no_foreign_place() {
    let foreign = [concat!("/wo", "rk/"), concat!("/root/.ca", "rgo")];
    let mut findings = Vec::new();
    let all = files(&[".rs", ".md", ".toml", ".sh", ".yml", "run"]);
    for source in all.iter().filter(|source| !source.path.starts_with("tests/tests/tidy/")) {
        for (number, line) in source.text.lines().enumerate() {
            if foreign.iter().any(|place| line.contains(place)) {
                findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    none("A path of somebody's machine:", findings);
}
