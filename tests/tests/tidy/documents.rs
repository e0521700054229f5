//! Rules for what ships beside the code.

use crate::tree::{Source, files, none, root};

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

/// A line names files, by their paths or, once that was said, by their names; and tests, each behind the file that it is in.
#[test]
fn every_line_of_the_threat_model_names_the_test_that_proves_it() {
    let model = files(&["docs/threat-model.md"]).remove(0);
    let sources = files(&[".rs"]);
    let (mut known, mut findings) = (Vec::new(), Vec::new());
    let rows = model.text.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.starts_with("| who tries what |")) {
        let proof = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let (mut file, mut tests) = (None, 0);
        for named in proof.split('`').skip(1).step_by(2) {
            if named.ends_with(".rs") {
                file = if named.contains('/') {
                    sources.iter().find(|source| source.path == named)
                } else {
                    let name = format!("/{named}");
                    known.iter().rev().copied().find(|source: &&Source| source.path.ends_with(&name))
                };
                match file {
                    Some(file) => known.push(file),
                    None => findings.push(format!("{named}: there is no such file")),
                }
            } else if file.is_some_and(|file| file.text.contains(&format!("fn {named}()"))) {
                tests += 1;
            } else {
                findings.push(format!("{named}: {} has no such test", file.map_or("no file", |file| &file.path)));
            }
        }
        // What a test has as rows of a table is named in quotes.
        for named in proof.split('"').skip(1).step_by(2) {
            if !file.is_some_and(|file| file.text.contains(&format!("\"{named}\""))) {
                findings.push(format!("{named:?}: the last file of its line has no such row"));
            }
        }
        if tests == 0 {
            findings.push(format!("no test: {row}"));
        }
    }
    none("A line of the threat model that nothing proves:", findings);
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
