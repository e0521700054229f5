//! Rules for source files.

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::tree::{files, none};

/// Lines a source file may have.
const FILE_LINES: usize = 520;
/// Lines a function may have: what a screen holds, with room for a table.
const FUNCTION_LINES: usize = 70;

/// Lines a function of a test may have: a scenario is told in one piece.
const TEST_LINES: usize = 100;

/// Longer files, each with the reason why one piece reads better than two.
const LONG_FILES: &[(&str, &str)] = &[];
/// Longer functions, by file and name, each with the reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn every_file_says_what_it_is() {
    let silent = files(&[".rs"]).into_iter().filter(|source| !source.text.trim_start().starts_with("//!"));
    none("A file must begin with a `//!` line that says what it is:", silent.map(|source| source.path).collect());
}

#[test]
fn every_crate_states_its_limitations() {
    let roots = files(&["src/lib.rs"]);
    let silent = roots.iter().filter(|source| !source.text.contains("# Current limitations"));
    none("The crate's docs must end in `# Current limitations`:", silent.map(|source| source.path.clone()).collect());
}

#[test]
fn files_and_functions_stay_short() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            findings.push(format!("{}: {lines} lines (at most {FILE_LINES})", source.path));
        }
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
        let mut functions = Functions(Vec::new());
        functions.visit_file(&file);
        let most = if source.path.contains("tests/") { TEST_LINES } else { FUNCTION_LINES };
        for (name, line, length) in functions.0 {
            let allowed = LONG_FUNCTIONS.iter().any(|(path, function, _)| *path == source.path && *function == name);
            if length > most && !allowed {
                findings.push(format!("{}:{line}: {name} has {length} lines (at most {most})", source.path));
            }
        }
    }
    none("Too long to read at one go; split it after the nouns in it:", findings);
}

/// Names, first lines and lengths of functions.
struct Functions(Vec<(String, usize, usize)>);

impl Functions {
    fn note(&mut self, name: &syn::Ident, body: &syn::Block) {
        let (LineColumn { line: first, .. }, LineColumn { line: last, .. }) = (body.span().start(), body.span().end());
        self.0.push((name.to_string(), first, last - first + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig.ident, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig.ident, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }
}

/// Words of other tools, and words for things that have a name here (CONTRIBUTING.md, Words).
const SYNONYMS: &[(&str, &str)] = &[
    ("minion", "node"),
    ("playbook", "cookbook"),
    ("pillar", "attribute"),
    ("ohai", "facts"),
    ("grains", "facts"),
    ("why-run", "plan"),
    ("dry run flag", "plan"),
    ("check mode", "plan"),
    ("remediate", "converge"),
    ("whitelist", "allow-list"),
    ("blacklist", "deny-list"),
];

#[test]
fn things_are_called_by_their_names() {
    let mut findings = Vec::new();
    for source in files(&[".rs", ".md", ".toml"]).iter().filter(|source| !source.path.starts_with("tests/tests/tidy/"))
    {
        // Comparing with other tools takes their words.
        if source.path == "CONTRIBUTING.md" || source.path == "README.md" || source.path.ends_with("Cargo.lock") {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            let line = line.to_lowercase();
            for (synonym, word) in SYNONYMS.iter().filter(|(synonym, _)| line.contains(synonym)) {
                findings.push(format!("{}:{}: say {word}, not {synonym}", source.path, number + 1));
            }
        }
    }
    none("A thing has two names:", findings);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "XXX"];
    let mut findings = Vec::new();
    for source in files(&[".rs"]).iter().filter(|source| !source.path.starts_with("tests/tests/tidy/")) {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    none("Unfinished:", findings);
}
