//! Bad repositories: what cannot be read, or lies where nothing reads it.

use super::check;

#[test]
fn several_syntax_errors_are_found_at_once() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
mode = 
content "x"

[file."/a"]
content = "x"
[file
"##,
        r##"error: cookbooks/base/recipes/default.toml:3:8: string values must be quoted, expected literal string
  help: the syntax is described at https://toml.io/en/v1.0.0
error: cookbooks/base/recipes/default.toml:4:9: key with no value, expected `=`
  help: the syntax is described at https://toml.io/en/v1.0.0
error: cookbooks/base/recipes/default.toml:8:6: unclosed table, expected `]`
  help: the syntax is described at https://toml.io/en/v1.0.0
"##,
    );
}

#[test]
fn syntax_errors_of_headers() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
mode = "0644"
mode = "0600"
[file."/a"]
content = "x"
"##,
        r##"error: cookbooks/base/recipes/default.toml:4:1: `mode` twice
  help: keep one of the two
error: cookbooks/base/recipes/default.toml:5:7: [file."/a"] twice
  cookbooks/base/recipes/default.toml:2:1: first here
  help: merge the two into one
"##,
    );
}

#[test]
fn syntax_of_toml_1_1_is_a_warning() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
template = "t.j2"
vars = {
  a = 1,
  b = { c = [
    1,
  ] },
}
[file."/b"]
template = "t.j2"
vars = { a = "\e", }
[file."/c"]
template = "t.j2"
vars = { a = """
x \\e
""", b = [
  1,
] }
--- cookbooks/base/templates/t.j2
"##,
        r##"warning: cookbooks/base/recipes/default.toml:4:8: only TOML 1.1 knows inline tables of several lines
  help: many editors and tools know TOML 1.0 only: write it in one line, or as a table with a header
warning: cookbooks/base/recipes/default.toml:12:8: only TOML 1.1 knows a comma at the end of an inline table
  help: many editors and tools know TOML 1.0 only: write it in one line, or as a table with a header
warning: cookbooks/base/recipes/default.toml:12:14: only TOML 1.1 knows the escape `\e`
  help: many editors and tools know TOML 1.0 only: write \u00XX
"##,
    );
}

#[test]
fn unknown_words_are_found_where_they_stand() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

descripton = "typo"
[fiel."/a"]
[zebra."/a"]
[file."/a"]
contents = "hello"
quux = 1
[file."/b"]
content = "x"
ordered = false
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:1: unknown key `descripton` in the recipe
  did you mean `description`?
error: cookbooks/base/recipes/default.toml:3:2: unknown kind `fiel`
  did you mean `file`?
error: cookbooks/base/recipes/default.toml:4:2: unknown kind `zebra`
  help: built-in kinds are file, link, package, service; a custom kind is called <cookbook>_<file in resources/>
error: cookbooks/base/recipes/default.toml:6:1: unknown property `contents` for file
  did you mean `content`?
error: cookbooks/base/recipes/default.toml:7:1: unknown property `quux` for file
  help: file takes: content, owner, mode, ensure, key, validate, template, vars, source
error: cookbooks/base/recipes/default.toml:10:1: unknown property `ordered` for file
  help: what belongs to the whole recipe stands above its first resource
"##,
    );
}

#[test]
fn what_lies_in_wrong_places() {
    check(
        r##"--- converge.toml
stroe = "x"
store = "127.0.0.1"
signing_key = ""
sources = "x"
--- cookbooks/base/recipes/sub/x.toml
--- cookbooks/base/recipes/white space.toml
"##,
        r##"warning: cookbooks/base/recipes/sub/x.toml is not read
  help: recipes, custom kinds and policies lie in their directory, not further below
error: converge.toml:1:1: unknown key `stroe` in converge.toml
  did you mean `store`?
error: converge.toml:2:9: `127.0.0.1` is not the address of a store
  help: write for example `store = "https://127.0.0.1:8600"`
error: converge.toml:3:15: `signing_key` names no file
  help: name the file of an SSH key, or leave it out
error: converge.toml:4:1: `sources` is not supported yet
error: cookbooks/base/recipes/white space.toml:1:1: `white space` cannot be the name of a recipe
  help: rename the file: letters, digits, _ and -
"##,
    );
}

#[test]
fn depth_has_a_limit() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.a]
type="list"
default = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
--- cookbooks/base/recipes/default.toml
"##,
        r##"error: cookbooks/base/cookbook.toml:5:76: lists and maps nest deeper than 64
"##,
    );
}

#[test]
fn a_repository_without_errors_says_nothing() {
    check(r##""##, r##""##);
}
