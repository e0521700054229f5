//! Secrets of a policy on the machine's own disk: where they may be, and that they are nowhere else.

use std::path::Path;

use converge_model::TypeSchema;
use converge_trust::age::{self, Recipient};

use crate::desk::{Desk, ONCE};

/// What must be seen nowhere.
pub(crate) const CANARY: &str = "canary-7f3a9";
/// A hash of a password, which must be seen nowhere either.
const HASH: &str =
    "$6$canary-7f3a9$8yYxXQv3n0Zp0K6cF1M2j3l4m5n6o7p8q9r0s1t2u3v4w5x6y7z8A9B0C1D2E3F4G5H6I7J8K9L0M1N2O3P4Q/";

/// Every property that takes a secret.
const TAKES: [&str; 3] = ["execute.env", "file.content", "user.password"];

/// What a recipe does with a secret, whether it goes well, and what it writes.
const USES: &[(&str, bool, &[&str])] = &[
    ("[file.\"@/a\"]\ncontent = 'x {{ secret(\"db/password\") }} y'", true, &["a"]),
    ("[file.\"@/a\"]\ntemplate = 't.j2'\nvars = { word = '{{ secret(\"db/password\") }}' }", true, &["a"]),
    ("[file.\"@/a\"]\ntemplate = 's.j2'\nmode = '0640'", true, &["a"]),
    ("[file.\"@/a\"]\ncontent = '{{ attr.test.made }}'", true, &["a"]),
    ("[test_wrapped.x]\nword = '{{ secret(\"token\") }}'", true, &["wrapped"]),
    (
        "[execute.x]\ncommand = 'case \"$WORD\" in *-token) ;; *) false ;; esac'\nenv = { WORD = '{{ secret(\"token\") }}' }",
        true,
        &[],
    ),
    // Everything that can go wrong with them.
    ("[file.\"@/missing/a\"]\ncontent = '{{ secret(\"token\") }}'", false, &[]),
    ("[file.\"@/a\"]\ncontent = '{{ secret(\"token\") }}'\nvalidate = 'cat {path}; cat {path} >&2; false'", false, &[]),
    (
        "[execute.x]\ncommand = 'echo \"$WORD\"; echo \"$WORD\" >&2; exit 3'\nenv = { WORD = '{{ secret(\"token\") }}' }",
        false,
        &[],
    ),
    ("[file.\"@/a\"]\ncontent = '{{ secret(\"token\") | b64decode }}'", false, &[]),
    ("[file.\"@/a\"]\ncontent = '{{ secret(\"no/such\") }}'", false, &[]),
    ("[file.\"@/a\"]\ncontent = '{{ secret(\"damaged\") }}'", false, &[]),
    ("[file.\"@/a\"]\ncontent = '{{ secret(\"foreign\") }}'", false, &[]),
    ("[execute.x]\ncommand = 'true'\nenv = { 'A=B' = '{{ secret(\"token\") }}' }", false, &[]),
    // Not the hash of a password.
    ("[user.converge-test]\npassword = '{{ secret(\"token\") }}'", false, &[]),
];

fn desk(recipe: &str) -> Desk {
    let desk = Desk::new(recipe);
    desk.file("cookbooks/test/templates/t.j2", "word={{ word }}\n");
    desk.file("cookbooks/test/templates/s.j2", "word={{ secret('db/password') }}\n");
    let wrapped = desk.path("out/wrapped").display().to_string();
    desk.file(
        "cookbooks/test/resources/wrapped.toml",
        format!("[parameters.word]\ntype = 'string'\n[file.\"{wrapped}\"]\ncontent = '{{{{ param.word }}}}'\n"),
    );
    desk.file(
        "cookbooks/test/cookbook.toml",
        "name = \"test\"\nversion = \"1.0.0\"\n[attributes.made]\ntype = \"string\"\ndefault = \"<{{ secret('token') }}>\"\n",
    );
    let mine = desk.run(&["secret", "recipient"]).with_code(0).stdout.trim().parse::<Recipient>().unwrap();
    let seal = |to: Recipient, text: &str| age::encrypt(&[to], text.as_bytes()).unwrap();
    desk.file("secrets/token.age", seal(mine, &format!("{CANARY}-token\n")));
    desk.file("secrets/db.age", seal(mine, &format!("password = \"{CANARY}-password\"\n")));
    desk.file("secrets/hash.age", seal(mine, HASH));
    desk.file("secrets/damaged.age", &seal(mine, CANARY)[..200]);
    desk.file("secrets/foreign.age", seal(age::Identity::generate().unwrap().recipient().unwrap(), CANARY));
    desk
}

/// Fails the test where the canary stands in a file below `directory` that is not one of `but`.
#[track_caller]
pub(crate) fn check_files(directory: &Path, but: &[&str]) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            check_files(&path, but);
        } else if !but.iter().any(|name| path.ends_with(name)) {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "the secret stands in {}", path.display());
        }
    }
}

#[test]
fn a_secret_is_in_what_was_declared_and_nowhere_else() {
    for (recipe, is_good, written) in USES {
        let desk = desk(recipe);
        let commands: [&[&str]; 9] = [
            &["plan", "--policy", "policies/test.toml", "-vv"],
            &["plan", "--policy", "policies/test.toml", "--json"],
            &["--once", "--policy", "policies/test.toml", "-vv"],
            &ONCE,
            &["--once", "--policy", "policies/test.toml", "--log", "trace"],
            &["report", "last"],
            &["report", "last", "--json"],
            &["why", "file[@/a]", "--policy", "policies/test.toml", "--json"],
            &["compile", "policies/test.toml", "--output", "compiled"],
        ];
        let out = desk.path("out").display().to_string();
        for arguments in commands {
            let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace('@', &out)).collect();
            let ended = desk.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains(CANARY), "{recipe}: {arguments:?}: {text}");
            if arguments[0] == "--once" {
                assert_eq!(ended.code == Some(0), *is_good, "{recipe}: {text}");
            }
            check_files(&desk.path(""), written);
        }
        for name in *written {
            assert!(desk.out(name).unwrap().contains(CANARY), "{recipe}");
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&desk.path("out").join(name).metadata().unwrap().permissions());
            assert_eq!(mode & 0o007, 0, "{recipe}: everybody reads it");
        }
    }
}

#[test]
fn a_change_of_a_secret_shows_neither_side() {
    let desk = desk("[file.\"@/a\"]\ncontent = '{{ secret(\"token\") }}'");
    desk.once().with_code(0);
    std::fs::write(desk.path("out/a"), format!("{CANARY}-before\n")).unwrap();
    for arguments in [["plan", "--policy", "policies/test.toml"], ["--once", "--policy", "policies/test.toml"]] {
        let ended = desk.run(&arguments).with_code(0).saying(&["content"]);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(CANARY), "{}", ended.stdout);
    }
    // A kind that hides by itself, as far as it can be looked at without changing the machine.
    desk.recipe("[user.root]\npassword = '{{ secret(\"hash\") }}'");
    let ended = desk.run(&["plan", "--policy", "policies/test.toml", "-vv"]);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(CANARY), "{}", ended.stdout);
    check_files(&desk.path("state"), &[]);
}

#[test]
fn whatever_everybody_sees_takes_no_secret() {
    let kinds = converge_kinds::registry();
    let (mut takes, mut recipe, mut expected) = (Vec::new(), String::new(), Vec::new());
    for schema in converge_model::Kinds::all(kinds).iter().map(|kind| (kind.schema)()) {
        for (number, property) in schema.properties.iter().enumerate() {
            let name = match (schema.name, schema.names.what) {
                (_, "absolute path") => format!("/nowhere/{number}"),
                ("service", _) => format!("s{number}.service"),
                _ => format!("n{number}"),
            };
            if property.takes_secrets() {
                assert!(property.sensitive || property.ty == TypeSchema::Content);
                takes.push(format!("{}.{}", schema.name, property.name));
                continue;
            }
            recipe.push_str(&format!(
                "[{}.\"{name}\"]\n{} = '{{{{ secret(\"token\") }}}}'\n",
                schema.name, property.name
            ));
            if schema.name == "link" && property.name != "to" {
                recipe.push_str("to = '/nowhere/else'\n");
            }
            expected.push(format!("`{}` of {}[{name}]: it uses a secret", property.name, schema.name));
        }
    }
    takes.sort();
    assert_eq!(takes, TAKES, "say in USES what becomes of it");
    assert!(expected.len() > 40, "{}", expected.len());
    for common in ["not_if", "only_if", "timeout", "retries", "sensitive", "audit", "ignore_failure"] {
        recipe.push_str(&format!("[file.\"/nowhere/{common}\"]\n{common} = '{{{{ secret(\"token\") }}}}'\n"));
        expected.push(format!("`{common}` of file[/nowhere/{common}]: it uses a secret"));
    }
    let desk = desk(&recipe);
    let ended = desk.run(&["plan", "--policy", "policies/test.toml"]).with_code(1);
    for expected in &expected {
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(CANARY), "{}", ended.stderr);
}

#[test]
fn the_key_to_the_secrets_is_for_its_owner() {
    let desk = Desk::new("");
    let first = desk.run(&["secret", "recipient"]).with_code(0).stdout;
    assert_eq!(desk.run(&["secret", "recipient"]).with_code(0).stdout, first);
    let key = desk.path("config/secrets.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&key, "AGE-SECRET-KEY-1").unwrap();
    desk.run(&["secret", "recipient"]).with_code(1).saying(&["secrets.key", "it is none, or only a part of one"]);
    std::fs::remove_file(&key).unwrap();
    // Without a key nothing is made by a run: somebody has to encrypt for it first.
    desk.recipe("[file.\"@/a\"]\ncontent = '{{ secret(\"token\") }}'");
    desk.once().with_code(1);
    assert!(!key.exists());
}
