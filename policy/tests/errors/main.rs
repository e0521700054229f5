//! Bad repositories, and what an author is told about them.

mod documents;
mod expressions;
mod policies;
mod references;
mod resources;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;

use converge_model::Diagnostic;
use converge_policy::{FileData, Repository, check as check_repository, compile};
use support::{TestKinds, repository};

/// One line for each diagnostic, one for each thing it says besides.
fn describe(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let severity = format!("{:?}", diagnostic.severity).to_lowercase();
        let _ = writeln!(text, "{severity}: {diagnostic}");
        if !diagnostic.label.is_empty() {
            let _ = writeln!(text, "  {}", diagnostic.label);
        }
        for (span, note) in &diagnostic.related {
            let _ = writeln!(text, "  {}:{}:{}: {note}", span.file, span.line, span.column);
        }
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    text
}

/// Checks the repository that `files` describes (see [`repository`]) and compares what is found.
#[track_caller]
fn check(files: &str, expected: &str) {
    check_files(&repository(files), expected);
}

#[track_caller]
fn check_files(files: &Repository, expected: &str) {
    let found = describe(&check_repository(files, &TestKinds));
    assert!(found == expected, "expected:\n{expected}\nfound:\n{found}");
}

#[test]
fn files_that_are_no_text_are_named_with_the_byte() {
    let mut files = repository("");
    let path = "cookbooks/base/recipes/default.toml";
    files.files.insert(path.to_owned(), FileData::Bytes(b"# fine\n# \xff\n".to_vec()));
    files.files.insert("cookbooks/base/templates/x.j2".to_owned(), FileData::Blob(converge_model::BlobRef::of(b"x")));
    check_files(
        &files,
        "error: cookbooks/base/recipes/default.toml is not UTF-8: byte 0xff at offset 9, in line 2
  help: save the file as UTF-8; what is not text belongs below files/
error: cookbooks/base/templates/x.j2 was not read
  help: documents and templates must be at hand to be compiled
",
    );
}

#[test]
fn a_key_of_a_hundred_thousand_parts_is_refused() {
    let key = vec!["a"; 100_000].join(".");
    let found =
        check_repository(&repository(&format!("--- cookbooks/base/recipes/default.toml\n{key} = 1\n")), &TestKinds);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "this nests too deeply");
}

#[test]
fn what_is_no_toml_at_all_is_refused_in_few_words() {
    let line = "{% if 1 %}".repeat(10_000);
    let files = repository(&format!("--- cookbooks/base/recipes/default.toml\nx = {{ a{line}\n"));
    let found = check_repository(&files, &TestKinds);
    assert!((1..200).contains(&found.len()), "{}", found.len());
    let shown = converge_policy::render::diagnostics(&found, &files, Default::default());
    assert!(shown.len() < 100_000, "{}", shown.len());
}

#[test]
fn compiling_a_policy_finds_what_is_wrong_with_what_it_reaches_and_nothing_else() {
    let files = "--- cookbooks/other/cookbook.toml\nbroken\n--- policies/else.toml\nbroken\n";
    assert!(compile(&repository(files), "web", &TestKinds).is_ok());
    let broken = format!("{files}--- cookbooks/base/recipes/unused.toml\n[fiel.x]\n");
    let found = compile(&repository(&broken), "web", &TestKinds).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    let found = compile(&repository(files), "wbe", &TestKinds).unwrap_err();
    assert_eq!(describe(&found), "error: there is no policy `wbe` in the repository\n  help: did you mean `web`?\n");
}

#[test]
fn nothing_panics_on_what_is_cut_short_or_mistyped() {
    let whole = "--- cookbooks/base/recipes/default.toml\nrequires = [\"base\"]\n[file.\"/é{{ each.key }}\"]\nfor_each = \"facts.x\"\n\
                 content = \"\"\"\n{{ attr.base.é }}\"\"\"\nnotifies = { reload = \"service[ü]\" }\n[service.'ü']\n\
                 when = \"x ~ 'é'\"\n";
    let header = whole.find('\n').map_or(0, |at| at + 1);
    for at in (header..=whole.len()).filter(|&at| whole.is_char_boundary(at)) {
        let (before, after) = whole.split_at(at);
        let typed = ["\"", "{", "{{", "\n", "\\"].map(|put| format!("{before}{put}{after}"));
        for text in typed.iter().map(String::as_str).chain([before]) {
            let files = repository(text);
            for found in check_repository(&files, &TestKinds) {
                assert!(!converge_policy::render::diagnostic(&found, &files, Default::default()).is_empty());
            }
        }
    }
}
