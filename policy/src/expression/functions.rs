//! The filters, tests and functions that expressions have: one table, from which the checks and the docs come.

use converge_model::{Digest, Value, suggest};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use super::convert::{to_jinja, to_model, write_text};
use super::error::ExpressionError;
use super::scan::{Kind, Token};
use super::secret::SECRET;

/// How something is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// `value | name`.
    Filter,
    /// `value is name`.
    Test,
    /// `name(value)`.
    Function,
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Sort::Filter => "filter",
            Sort::Test => "test",
            Sort::Function => "function",
        }
    }
}

/// A filter, test or function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is used.
    pub sort: Sort,
    /// An expression that shows it.
    pub example: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

const fn filter(name: &'static str, example: &'static str, doc: &'static str) -> Function {
    Function { name, sort: Sort::Filter, example, doc }
}

const fn test(name: &'static str, example: &'static str, doc: &'static str) -> Function {
    Function { name, sort: Sort::Test, example, doc }
}

const fn function(name: &'static str, example: &'static str, doc: &'static str) -> Function {
    Function { name, sort: Sort::Function, example, doc }
}

/// Everything that an expression can call. What is not here does not exist.
pub const FUNCTIONS: &[Function] = &[
    filter("abs", "-3 | abs", "The number without its sign."),
    filter("b64decode", "'aGk=' | b64decode", "The text that Base64 stands for."),
    filter("b64encode", "'hi' | b64encode", "The text in Base64 (RFC 4648, with padding)."),
    filter("basename", "'/etc/hosts' | basename", "What follows the last slash of a path."),
    filter("batch", "[1, 2, 3] | batch(2)", "The list cut into lists of so many items."),
    filter("bool", "'x' | bool", "Whether the value counts as true."),
    filter(
        "capitalize",
        "'web' | capitalize",
        "The text with its first letter in upper case and the others in lower case.",
    ),
    filter("chain", "[1] | chain([2])", "Several lists after each other."),
    filter("count", "[1, 2] | count", "As `length`."),
    filter("d", "none | d('x', true)", "As `default`."),
    filter(
        "default",
        "facts.os | default('?')",
        "Another value where this one is undefined; with `true` as second argument, also where it is false, empty or none.",
    ),
    filter("dictsort", "{'b': 1, 'a': 2} | dictsort", "The pairs of a map, by key, or by value with `by='value'`."),
    filter("dirname", "'/etc/hosts' | dirname", "What stands before the last slash of a path."),
    filter("first", "[1, 2] | first", "The first item."),
    filter("float", "'1.5' | float", "The number that a text stands for."),
    filter("format", "'%03d' | format(7)", "The text with `%` placeholders filled in."),
    filter("groupby", "[{'a': 1}] | groupby('a') | list", "The items of a list, grouped by one of their keys."),
    filter("indent", "'a\nb' | indent(2)", "The text with every line but the first moved to the right."),
    filter("int", "'42' | int", "The integer that a text or number stands for."),
    filter("items", "{'a': 1} | items", "The pairs of a map."),
    filter(
        "join",
        "[1, true] | join(',')",
        "The texts of a list's items in one, with a separator; `attribute='name'` takes a key of each.",
    ),
    filter("keys", "{'a': 1} | keys", "The keys of a map, in order."),
    filter("last", "[1, 2] | last", "The last item."),
    filter("length", "[1, 2] | length", "How many items, entries or characters there are."),
    filter("lines", "'a\nb' | lines", "The lines of a text."),
    filter("list", "range(3) | list", "The items as a list."),
    filter("lower", "'A' | lower", "The text in lower case."),
    filter(
        "map",
        "['a'] | map('upper') | list",
        "Another filter on each item, or with `attribute='name'` a key of each.",
    ),
    filter("max", "[1, 2] | max", "The greatest item."),
    filter(
        "merge",
        "{'a': 1} | merge({'b': 2})",
        "Two maps as one; where both are maps they merge, else the later wins.",
    ),
    filter("min", "[1, 2] | min", "The least item."),
    filter("reject", "[1, 2] | reject('odd') | list", "The items for which a test does not hold."),
    filter("rejectattr", "[{'a': 1}] | rejectattr('a') | list", "The items whose key does not pass a test."),
    filter("replace", "'a.b' | replace('.', '-')", "The text with one part replaced by another."),
    filter("reverse", "[1, 2] | reverse", "The items, or characters, backwards."),
    filter("round", "1.25 | round(1)", "The number rounded to so many digits."),
    filter("select", "[1, 2] | select('odd') | list", "The items for which a test holds."),
    filter("selectattr", "[{'a': 1}] | selectattr('a') | list", "The items whose key passes a test."),
    filter("sha256", "'hi' | sha256", "The SHA-256 of the text, in hexadecimal digits."),
    filter("shellquote", "'a b' | shellquote", "The text as one word of a POSIX shell; a list as several."),
    filter("slice", "[1, 2, 3] | slice(2) | list", "The list cut into so many lists."),
    filter("sort", "[2, 1] | sort", "The items in order; `attribute='name'`, `reverse=true`."),
    filter("split", "'a,b' | split(',')", "The parts of a text between separators."),
    filter("string", "true | string", "The value as it would be printed."),
    filter("sum", "[1, 2] | sum", "The items added up."),
    filter("title", "'a web' | title", "The text with each word capitalized."),
    filter("tojson", "{'a': [1]} | tojson", "The value as JSON; `indent=2` writes it over several lines."),
    filter("totoml", "{'a': [1]} | totoml", "The map as TOML."),
    filter("trim", "' a ' | trim", "The text without white space at both ends."),
    filter("unique", "[1, 1] | unique | list", "The items without repetitions."),
    filter("upper", "'a' | upper", "The text in upper case."),
    filter("values", "{'a': 1} | values", "The values of a map, in the order of its keys."),
    filter("zip", "[1] | zip([2]) | list", "The items of several lists side by side."),
    test("boolean", "true is boolean", "It is true or false."),
    test("defined", "facts.gpu is defined", "There is such a thing."),
    test("divisibleby", "4 is divisibleby(2)", "The number can be divided without rest."),
    test("endingwith", "'a.conf' is endingwith('.conf')", "The text ends so."),
    test("eq", "[1] | select('eq', 1) | list", "It equals the other."),
    test("even", "2 is even", "The integer is even."),
    test("false", "false is false", "It is false itself."),
    test("float", "1.5 is float", "It is a number with a fraction."),
    test("ge", "[1] | select('ge', 1) | list", "It is at least the other."),
    test("gt", "[1] | select('gt', 1) | list", "It is greater than the other."),
    test("in", "1 is in([1])", "It is among the items, keys or characters of the other."),
    test("integer", "1 is integer", "It is an integer."),
    test("iterable", "[1] is iterable", "It has items."),
    test("le", "[1] | select('le', 1) | list", "It is at most the other."),
    test("lower", "'a' is lower", "The text has no upper-case letter."),
    test("lt", "[1] | select('lt', 1) | list", "It is less than the other."),
    test("mapping", "{} is mapping", "It is a map."),
    test("ne", "[1] | select('ne', 1) | list", "It differs from the other."),
    test("none", "none is none", "It is none."),
    test("number", "1 is number", "It is a number."),
    test("odd", "1 is odd", "The integer is odd."),
    test("sequence", "[1] is sequence", "It is a list."),
    test("startingwith", "'/srv' is startingwith('/')", "The text begins so."),
    test("string", "'a' is string", "It is text."),
    test("true", "true is true", "It is true itself."),
    test("undefined", "facts.gpu is undefined", "There is no such thing."),
    test("upper", "'A' is upper", "The text has no lower-case letter."),
    function("dict", "dict(a=1)", "A map of what is given by name."),
    function("namespace", "namespace(n=0).n", "A map whose entries `{% set %}` can change from within a loop."),
    function("range", "range(3) | list", "The integers from 0, or from a start, to below an end."),
];

/// What minijinja has and a configuration does not need: escaping for HTML, and a look at everything in scope.
const REMOVED_FILTERS: [&str; 5] = ["safe", "escape", "e", "pprint", "attr"];

/// Words before a parenthesis that call nothing.
const KEYWORDS: [&str; 18] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "set",
    "with",
    "call",
    "macro",
    "recursive",
    "do",
    "filter",
    "caller",
    "loop",
];

/// Whether a function has this name.
pub(crate) fn is_function(name: &str) -> bool {
    name == SECRET || known(Sort::Function, name)
}

fn known(sort: Sort, name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.sort == sort && function.name == name)
}

/// Checks that every filter, test and function exists. `outside` says whether a name is not declared by the template.
///
/// # Errors
/// The first that does not, with its place and the nearest that does.
pub(crate) fn check_functions(
    source: &str,
    pieces: &[Vec<Token>],
    outside: &dyn Fn(&str) -> bool,
) -> Result<(), ExpressionError> {
    for tokens in pieces {
        let text = |index: usize| tokens.get(index).map_or("", |token| &source[token.range.clone()]);
        let back = |index: usize, steps: usize| index.checked_sub(steps).map_or("", text);
        for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
            let word = text(index);
            let sort = match back(index, 1) {
                "." => continue,
                "|" => Sort::Filter,
                "filter" if index == 1 => Sort::Filter,
                "is" if word != "not" => Sort::Test,
                "not" if back(index, 2) == "is" => Sort::Test,
                _ if text(index + 1) == "(" && outside(word) && !KEYWORDS.contains(&word) => Sort::Function,
                _ => continue,
            };
            check_name(source, token, sort, word)?;
        }
    }
    Ok(())
}

fn check_name(source: &str, token: &Token, sort: Sort, word: &str) -> Result<(), ExpressionError> {
    if known(sort, word) || (sort == Sort::Function && word == SECRET) {
        return Ok(());
    }
    let candidates = FUNCTIONS.iter().filter(|function| function.sort == sort).map(|function| function.name);
    let near = suggest::nearest(word, candidates).map(|name| format!("did you mean `{name}`?"));
    Err(ExpressionError::at(source, token.range.clone(), format!("unknown {} `{word}`", sort.word())).with_help(near))
}

/// Gives the environment what the table says, and takes away what it does not.
pub(crate) fn install(environment: &mut Environment<'static>) {
    for name in REMOVED_FILTERS {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_filter("b64encode", |state: &State, text: &str| {
        charged(state, text, |text| Ok(b64encode(text.as_bytes())))
    });
    environment.add_filter("b64decode", |state: &State, text: &str| charged(state, text, b64decode));
    environment.add_filter("basename", |text: &str| text.rsplit_once('/').map_or(text, |(_, name)| name).to_owned());
    environment.add_filter("dirname", |text: &str| dirname(text).to_owned());
    environment.add_filter("sha256", |state: &State, text: &str| {
        charged(state, text, |text| Ok(Digest::of(text.as_bytes()).to_string()))
    });
    environment.add_filter("shellquote", shellquote);
    environment.add_filter("join", join);
    environment.add_filter("string", text);
    environment.add_filter("keys", |map: &minijinja::Value| entries(map, |key, _| Ok(key)));
    environment.add_filter("values", |map: &minijinja::Value| entries(map, |key, map| map.get_item(&key)));
    environment.add_filter("merge", merge);
    environment.add_filter("tojson", tojson);
    environment.add_filter("totoml", totoml);
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Pays for the work that goes into a result of about the size of `text`; the engine charges for the result alone.
fn charged(state: &State, text: &str, work: impl Fn(&str) -> Result<String, Error>) -> Result<String, Error> {
    state.consume_fuel(text.len() as u64 / 16)?;
    work(text)
}

fn text(state: &State, value: &minijinja::Value) -> Result<String, Error> {
    let mut text = String::new();
    write_text(&mut text, value)?;
    state.consume_fuel(text.len() as u64 / 16)?;
    Ok(text)
}

fn join(state: &State, values: &minijinja::Value, separator: Option<&str>, options: Kwargs) -> Result<String, Error> {
    let attribute: Option<&str> = options.get("attribute")?;
    options.assert_all_used()?;
    let mut joined = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        let value = match attribute {
            Some(attribute) => value.get_attr(attribute)?,
            None => value,
        };
        if value.is_undefined() {
            return Err(Error::new(ErrorKind::UndefinedError, "an item of the list that is joined is undefined"));
        }
        let before = joined.len();
        if index > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        write_text(&mut joined, &value)?;
        state.consume_fuel(1 + (joined.len() - before) as u64 / 64)?;
    }
    Ok(joined)
}

/// One thing about each entry of a map.
fn entries(
    map: &minijinja::Value,
    take: impl Fn(minijinja::Value, &minijinja::Value) -> Result<minijinja::Value, Error>,
) -> Result<minijinja::Value, Error> {
    if map.kind() != ValueKind::Map {
        return Err(invalid(format!("a map is needed here, not a {}", map.kind())));
    }
    let values: Result<Vec<_>, Error> = map.try_iter()?.map(|key| take(key, map)).collect();
    values.map(minijinja::Value::from)
}

fn merge(state: &State, earlier: &minijinja::Value, later: &minijinja::Value) -> Result<minijinja::Value, Error> {
    let (Value::Map(earlier), Value::Map(later)) = (to_model(earlier)?, to_model(later)?) else {
        return Err(invalid("both sides of `merge` must be maps"));
    };
    state.consume_fuel(1 + earlier.len() as u64 + later.len() as u64)?;
    let mut merged = Value::Map(earlier);
    merged.merge(Value::Map(later));
    Ok(to_jinja(&merged))
}

fn tojson(state: &State, value: &minijinja::Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let value = to_model(value)?;
    let text = match indent.unwrap_or(0) {
        0 => value_to_json(&value, serde_json::ser::CompactFormatter),
        width => {
            value_to_json(&value, serde_json::ser::PrettyFormatter::with_indent(" ".repeat(width.min(16)).as_bytes()))
        }
    }?;
    state.consume_fuel(text.len() as u64 / 16)?;
    Ok(text)
}

fn value_to_json(value: &Value, formatter: impl serde_json::ser::Formatter) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|error| invalid(format!("it cannot be written as JSON: {error}")))?;
    String::from_utf8(bytes).map_err(|error| invalid(error.to_string()))
}

fn totoml(state: &State, value: &minijinja::Value) -> Result<String, Error> {
    let value = to_model(value)?;
    if value.as_map().is_none() {
        return Err(invalid(format!("only a map can be written as TOML, not a {}", value.type_name())));
    }
    let text = toml::to_string(&value).map_err(|error| invalid(format!("it cannot be written as TOML: {error}")))?;
    state.consume_fuel(text.len() as u64 / 16)?;
    Ok(text)
}

fn dirname(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
        None => ".",
    }
}

fn shellquote(state: &State, value: &minijinja::Value) -> Result<String, Error> {
    let words = match to_model(value)? {
        Value::List(words) => words,
        one => vec![one],
    };
    let mut line = String::new();
    for (index, word) in words.iter().enumerate() {
        if matches!(word, Value::Null | Value::List(_) | Value::Map(_)) {
            return Err(invalid(format!("a {} is not a word of a shell", word.type_name())));
        }
        if index > 0 {
            line.push(' ');
        }
        quote_word(&mut line, &word.to_string())?;
    }
    state.consume_fuel(line.len() as u64 / 16)?;
    Ok(line)
}

fn quote_word(line: &mut String, word: &str) -> Result<(), Error> {
    if word.contains('\0') {
        return Err(invalid("a word of a shell cannot hold a NUL byte"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '=' | '@' | ',' | '+');
    // A word like `a=b` at the start of a line would be an assignment, so that quoting depends on nothing around it.
    if !word.is_empty() && word.chars().all(plain) && !word.contains('=') {
        line.push_str(word);
    } else {
        line.push('\'');
        line.push_str(&word.replace('\'', "'\\''"));
        line.push('\'');
    }
    Ok(())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn b64encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, &byte| (group << 8) | u32::from(byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = (group >> (18 - 6 * position)) & 63;
            text.push(if position <= chunk.len() { char::from(BASE64[digit as usize]) } else { '=' });
        }
    }
    text
}

fn b64decode(text: &str) -> Result<String, Error> {
    let wrong = || invalid("the text is not Base64");
    let digits = text.trim_end_matches('=').bytes().filter(|byte| !byte.is_ascii_whitespace());
    let (mut group, mut bits, mut bytes) = (0_u32, 0_u32, Vec::with_capacity(text.len() / 4 * 3));
    for digit in digits {
        let value = BASE64.iter().position(|&known| known == digit).ok_or_else(wrong)?;
        group = (group << 6) | u32::try_from(value).map_err(|_| wrong())?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((group >> bits) & 0xff).map_err(|_| wrong())?);
        }
    }
    if bits >= 6 {
        return Err(wrong());
    }
    String::from_utf8(bytes).map_err(|_| invalid("what the Base64 stands for is not text"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Attributes, Expressions, Roots, Scope};
    use super::*;

    fn scope() -> Scope {
        let facts: Value = serde_json::from_str(r#"{"os":{"family":"debian"}}"#).unwrap();
        Scope::new(Arc::new(Roots::new(Arc::new(facts.into()), Arc::new(Attributes::default()), &Value::Null)))
    }

    #[test]
    fn every_example_of_the_table_works_and_every_name_is_in_it_once() {
        let expressions = Expressions::new();
        for function in FUNCTIONS {
            super::super::check_expression(function.example)
                .and_then(|_| expressions.evaluate(function.example, &scope()))
                .unwrap_or_else(|error| panic!("{}: {error}", function.example));
            let uses = FUNCTIONS.iter().filter(|other| (other.sort, other.name) == (function.sort, function.name));
            assert_eq!(uses.count(), 1, "{}", function.name);
        }
    }

    #[test]
    fn own_functions_give_what_they_say() {
        let expressions = Expressions::new();
        for (source, expected) in [
            ("'' | b64encode", r#"''"#),
            ("['f', 'fo', 'foo', 'foob'] | map('b64encode') | join(' ')", "Zg== Zm8= Zm9v Zm9vYg=="),
            ("'Zm9vYg==' | b64decode", "foob"),
            ("'abc' | sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("\"it's\" | shellquote", "'it'\\''s'"),
            ("['ls', '-l', 'a b', '', 7] | shellquote", "ls -l 'a b' '' 7"),
            ("['/etc/hosts' | dirname, '/x' | dirname, 'x' | dirname, '/a/b' | basename] | join(' ')", "/etc / . b"),
            ("[true, 1.5, [1, {'a': none}]] | join(' ')", r#"true 1.5 [1,{"a":null}]"#),
            ("{'a': {'x': 1}, 'c': 1} | merge({'a': {'y': 2}}) | tojson", r#"{"a":{"x":1,"y":2},"c":1}"#),
            ("{'b': 1, 'a': '<&>'} | tojson(indent=1)", "{\n \"a\": \"<&>\",\n \"b\": 1\n}"),
            ("{'a': [1, 2], 'b': {'c': 'd'}} | totoml", "a = [1, 2]\n\n[b]\nc = \"d\"\n"),
            ("{'b': 1, 'a': 2} | values | join(',')", "2,1"),
            ("true | string", "true"),
        ] {
            let expected = if expected == "''" { "" } else { expected };
            let value = expressions.evaluate(source, &scope()).unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(value.as_str(), Some(expected), "{source}");
        }
        for (source, part) in [
            ("'a' | b64decode", "not Base64"),
            ("'/w==' | b64decode", "not text"),
            ("[1] | totoml", "not a list"),
            ("none | shellquote", "not a word"),
            ("1 | keys", "a map is needed"),
            ("secret('x')", "no secret `x` here"),
        ] {
            let error = expressions.evaluate(source, &scope()).unwrap_err().to_string();
            assert!(error.contains(part), "{source}: {error}");
        }
    }
}
