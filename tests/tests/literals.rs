//! What a recipe says in so many words is judged when it is compiled, by the kind's own rules, and at its place: no node ever
//! sees a declaration that its kind would refuse.

use converge_kinds::registry;
use converge_model::{ByName, Kinds, ResourceId, ResourceSpec, SourceSpan, TypeSchema, Value};
use converge_policy::{FileData, check};
use converge_system::memory::MemoryMachine;
use converge_tests::scenario::{Node, repository};

/// A declaration with one thing wrong, where that is, and what is said about it.
type Case = (&'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    // file
    ("[file.\"etc/motd\"]", "1:7", "must begin with /"),
    ("[file.\"/a\"]\nmode = \"0888\"", "2:8", "not a mode"),
    ("[file.\"/a\"]\nmode = 644", "2:8", "octal string"),
    ("[file.\"/a\"]\nowner = \"a b\"", "2:9", "not a user or group name"),
    ("[file.\"/a\"]\nowner = 4294967295", "2:9", "not a user or group number"),
    ("[file.\"/a\"]\ngroup = -1", "2:9", "not a user or group number"),
    ("[file.\"/a\"]\nvalidate = \"visudo -c\"", "2:12", "{path}"),
    ("[file.\"/a\"]\nvalidate = [\"visudo\", \"-c\"]", "2:12", "{path}"),
    // directory
    ("[directory.\"/etc/\"]\npurge = true", "2:9", "the system itself"),
    ("[directory.\"/\"]\nensure = \"absent\"\nforce = true", "3:9", "the system itself"),
    ("[directory.\"/srv\"]\nmode = \"755 \"", "2:8", "not a mode"),
    // link
    ("[link.\"/a\"]", "1:7", "where the link leads"),
    ("[link.\"/a\"]\nto = \"\"", "2:6", "empty"),
    ("[link.\"/a\"]\nto = \"b\"\ntype = \"hard\"", "2:6", "absolute path"),
    ("[link.\"/a\"]\nto = \"/b\"\ntype = \"soft\"", "3:8", "`symbolic`, `hard`"),
    // package
    ("[package.\"a b\"]", "1:10", "not the name of a package"),
    ("[package.\"{{ node.name }}\"]\nnames = [\"a\", \"-b\"]", "2:15", "\"-b\" is not the name of a package"),
    ("[package.x]\nnames = [\n  \"{{ node.name }}\",\n  \"a b\",\n]", "4:3", "not the name of a package"),
    ("[package.x]\nnames = [\"a\", \"a\"]", "2:9", "twice"),
    ("[package.x]\nversion = \">= 1, != 2\"", "2:11", "\"!= 2\" is not a version constraint"),
    ("[package.x]\nversion = \"> 1.*\"", "2:11", "any ending"),
    ("[package.x]\nhold = true\nensure = \"purged\"", "2:8", "takes away"),
    ("[package.x]\nversion = \"1\"\narchive = \"/x.deb\"", "3:11", "leave out `version`"),
    ("[package.x]\nnames = [\"a\", \"b\"]\narchive = \"/x.deb\"", "3:11", "one package"),
    ("[package.x]\nindex_age = \"1 month\"", "2:13", "not a duration"),
    // service
    ("[service.\"a/b\"]", "1:10", "cannot be in it"),
    ("[service.a]\nmasked = true\nenabled = \"{{ node.name == 'x' }}\"\nrunning = true", "4:11", "masked"),
    ("[service.\"{{ node.name }}\"]\nenabled = true\nmasked = true", "2:11", "masked"),
    // user
    ("[user.\"a:b\"]", "1:7", "not a user"),
    ("[user.a]\nuid = 4294967295", "2:7", "no user or group"),
    ("[user.a]\nuid = -1", "2:7", "-1 is not within"),
    ("[user.a]\ngroups = [\"b\", \"c d\"]", "2:16", "\"c d\" is not a user or group name"),
    ("[user.a]\nhome = \"/home/a:b\"", "2:8", "passwd(5)"),
    ("[user.a]\nshell = \"bash\"", "2:9", "must begin with /"),
    ("[user.a]\ncomment = \"a\\nb\"", "2:11", "passwd(5)"),
    ("[user.a]\npassword = \"hunter2\"", "2:12", "not a hash"),
    ("[user.a]\npassword = \"*\"\nlocked = false", "3:10", "needs a password"),
    ("[user.a]\nexpires = \"2026-02-30\"", "2:11", "YYYY-MM-DD"),
    ("[user.a]\nauthorized_keys = [\"ssh-ed25519 A\", \"\"]", "2:37", "not a key on one line"),
    ("[user.root]\nensure = \"absent\"", "2:10", "root"),
    ("[user.toor]\nuid = 0\nensure = \"absent\"", "3:10", "root"),
    // group
    ("[group.\"a b\"]", "1:8", "not a user or group name"),
    ("[group.a]\ngid = 4294967295", "2:7", "no user or group"),
    ("[group.a]\nmembers = [\"b\", \"\"]", "2:17", "not a user or group name"),
    // execute
    ("[execute.x]\ncommand = []", "2:11", "a program first"),
    ("[execute.x]\ncommand = \" \"", "2:11", "empty"),
    ("[execute.x]\ncwd = \"tmp\"", "2:7", "must begin with /"),
    (
        "[execute.x]\nenv = { A = \"b\", \"C=D\" = \"{{ node.name }}\", \"E=F\" = \"g\" }",
        "2:45",
        "\"E=F\" is not the name",
    ),
    ("[execute.x]\nenv = { A = 1 }", "2:9", "expected a string"),
    ("[execute.x]\numask = \"1022\"", "2:9", "more than 0777"),
    ("[execute.x]\nexit_codes = []", "2:14", "no exit code"),
    ("[execute.x]\nexit_codes = [0, 256]", "2:14", "256 is not within"),
    ("[execute.x]\nuser = \"a b\"", "2:8", "not a user or group name"),
    // every kind
    ("[execute.x]\ntimeout = \"soon\"", "2:11", "not a duration"),
    ("[execute.x]\nretries = -1", "2:11", "retries"),
    ("[execute.x]\nonly_if = { exists = \"etc\" }", "2:11", "must begin with /"),
    ("[execute.x]\nnot_if = []", "2:10", "a program first"),
];

#[test]
fn what_is_wrong_in_so_many_words_is_found_where_it_is_written() {
    let mut wrong = Vec::new();
    for (declaration, place, part) in CASES {
        let found = check(&repository(declaration), registry());
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = format!(":{place}: ");
        if !matches!(&told[..], [one] if one.contains(&expected) && one.contains(part)) {
            wrong.push(format!("{declaration}\n  should say {part:?} at {place}, and says {told:#?}"));
        }
        assert!(!told.concat().contains("hunter2"), "{told:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_property_of_any_kind_takes_what_is_of_no_type_of_its_own() {
    for schema in registry().all().iter().map(|kind| (kind.schema)()) {
        let in_table = CASES.iter().filter(|(text, ..)| text.starts_with(&format!("[{}.", schema.name))).count();
        assert!(in_table > 1, "the table says nothing about {}", schema.name);
        let name = if schema.names.is_path { "/x" } else { "x" };
        for property in schema.properties.iter().filter(|property| property.ty != TypeSchema::Any) {
            let declaration = format!("[{}.\"{name}\"]\n{} = [[{{ a = [] }}]]\n", schema.name, property.name);
            let found = check(&repository(&declaration), registry());
            let place = (2, property.name.len() as u32 + 4);
            let at_value = |span: &SourceSpan| span.line == place.0 && (place.1..=place.1 + 1).contains(&span.column);
            assert!(found.iter().any(|found| found.span.as_ref().is_some_and(at_value)), "{declaration}{found:#?}");
        }
    }
}

/// What compiles is built: a kind has no rule that only its own `build` knows.
#[test]
fn the_compiler_refuses_what_the_kind_refuses() {
    let mut wrong = Vec::new();
    for (declaration, ..) in CASES.iter().filter(|(declaration, ..)| !declaration.contains("{{")) {
        let document: toml::Table = declaration.parse().unwrap();
        let (kind, resources) = document.iter().next().unwrap();
        let (name, properties) = resources.as_table().unwrap().iter().next().unwrap();
        let Ok(id) = ResourceId::new(kind, name) else { continue };
        let values: ByName<Value> = properties.clone().try_into().unwrap();
        if ["timeout", "retries", "only_if", "not_if"].iter().any(|common| values.get(common).is_some()) {
            continue;
        }
        if (registry().kind(kind).unwrap().build)(&ResourceSpec::new(&id, &values)).is_ok() {
            wrong.push(*declaration);
        }
    }
    assert!(wrong.is_empty(), "the kind takes {wrong:#?}");
}

/// What only a node can tell: a declaration, where it is wrong, and what is said about it.
const BOUND: &[Case] = &[
    ("[file.\"{{ 'etc' }}\"]", "1:7", "must begin with /"),
    ("[file.\"/a\"]\nmode = \"{{ '0888' }}\"", "2:8", "not a mode"),
    ("[file.\"/a\"]\ncontent = \"x\"\nowner   =   \"{{ facts.no_such }}\"", "3:13", "`facts.no_such` is undefined"),
    ("[file.\"/a\"]\ncontent = \"\"\"\none\n{{ facts.no_such }}\"\"\"", "2:11", "`facts.no_such` is undefined"),
    ("[file.\"/a\"]\nvalidate = [\"nginx\", \"{{ 'x' }}\"]", "2:12", "{path}"),
    ("[directory.\"{{ '/etc' }}\"]\nmode = \"0755\"\npurge = true", "3:9", "the system itself"),
    ("[package.x]\nhold = true\nensure = \"{{ 'absent' }}\"", "2:8", "takes away"),
    ("[package.x]\nnames = \"{{ ['a b'] }}\"", "2:9", "not the name of a package"),
    ("[service.a]\nrunning = \"{{ true }}\"\nmasked = true", "2:11", "masked"),
    ("[service.a]\nrunning = \"{{ 'yes' }}\"", "2:11", "`true` or `false`"),
    ("[user.a]\nuid = \"{{ 2 ** 40 }}\"", "2:7", "not within"),
    ("[execute.x]\nwhen = \"1 + 1\"", "2:8", "true or false"),
    ("[execute.\"{{ each.key }}\"]\nfor_each = \"'text'\"", "2:12", "a list or a map"),
    ("[execute.x]\ntimeout = \"{{ 'soon' }}\"", "2:11", "not a duration"),
    ("[execute.x]\nonly_if = { exists = \"{{ 'etc' }}\" }", "2:11", "must begin with /"),
    ("[execute.x]\nrequires = [\n  \"execute[{{ 'y' }}]\",\n]", "3:3", "not declared on this node"),
    ("[execute.x]\nnotifies = { run = \"execute[{{ 'y' }}]\" }", "2:20", "not declared on this node"),
    ("[execute.x]\n[execute.y]\nbefore = \"execute[{{ 'x' }}]\"", "3:10", "wait for each other"),
    ("[file.\"/{{ 'a' }}\"]\n[file.\"/a\"]\ncontent = \"x\"", "2:7", "declared twice"),
    ("[file.\"/a\"]\ntemplate = \"{{ 'no' }}.j2\"", "2:12", "has no templates/no.j2"),
    ("[file.\"/a\"]\nsource = \"{{ 'no' }}\"", "2:10", "has no files/no"),
    ("[file.\"/a\"]\ntemplate = \"t.j2\"\n[file.\"/a\".vars]\nport = \"{{ facts.no_such }}\"", "4:8", "`vars.port`"),
    // Line and column of the template.
    ("[file.\"/a\"]\ntemplate = \"t.j2\"\nvars = { port = \"{{ [] }}\" }", "t.j2:2:11", "unsupported types"),
];

#[test]
fn what_only_a_node_can_tell_is_told_with_line_and_column() {
    let node = Node::new(MemoryMachine::debian());
    let mut wrong = Vec::new();
    for (declaration, place, part) in BOUND {
        let mut files = repository(declaration);
        let template = "# port\nport é {{ port + 1 }}\n";
        files.files.insert("cookbooks/test/templates/t.j2".to_owned(), FileData::Bytes(template.into()));
        assert_eq!(check(&files, registry()), [], "{declaration}");
        let told: Vec<String> = match node.catalog(&files, "test") {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(ToString::to_string).collect(),
        };
        let expected = if place.contains(".j2") { format!("{place}: ") } else { format!(".toml:{place}: ") };
        if !matches!(&told[..], [one] if one.contains(&expected) && one.contains(part)) {
            wrong.push(format!("{declaration}\n  should say {part:?} at {place}, and says {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
