//! Expressions of licences, as manifests have them (SPDX): `MIT OR Apache-2.0`, `(A OR B) AND C`, `A WITH exception`.

/// Whether an expression is met by licences of `allowed` alone.
///
/// # Errors
/// Says what of it is no such expression.
pub(crate) fn is_allowed(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    // Old manifests write `/` for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let allowed = words.any_of()?;
    match words.next() {
        None => Ok(allowed),
        Some(word) => Err(format!("`{word}` is not expected in `{expression}`")),
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [&'a str],
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any_of(&mut self) -> Result<bool, String> {
        let mut allowed = self.all_of()?;
        while self.take("OR") {
            allowed |= self.all_of()?;
        }
        Ok(allowed)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut allowed = self.one()?;
        while self.take("AND") {
            allowed &= self.one()?;
        }
        Ok(allowed)
    }

    fn one(&mut self) -> Result<bool, String> {
        match self.next() {
            Some("(") => {
                let allowed = self.any_of()?;
                if self.take(")") { Ok(allowed) } else { Err("a parenthesis is not closed".to_owned()) }
            }
            None | Some(")" | "OR" | "AND" | "WITH") => Err("a licence is missing".to_owned()),
            Some(licence) if self.take("WITH") => {
                let exception = self.next().ok_or("an exception is missing")?;
                Ok(self.allowed.contains(&format!("{licence} WITH {exception}").as_str()))
            }
            Some(licence) => Ok(self.allowed.contains(&licence)),
        }
    }
}

#[test]
fn expressions_are_met_by_what_is_allowed_and_nothing_else() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    for (expression, expected) in [
        ("MIT", Ok(true)),
        ("GPL-3.0-only", Ok(false)),
        ("GPL-3.0-only OR MIT", Ok(true)),
        ("Unlicense/MIT", Ok(true)),
        ("MIT AND GPL-3.0-only", Ok(false)),
        ("MIT OR GPL-3.0-only AND Zlib", Ok(true)),
        ("(MIT OR GPL-3.0-only) AND Zlib", Ok(false)),
        ("ISC AND (MIT OR Zlib)", Ok(true)),
        ("Apache-2.0 WITH LLVM-exception", Ok(true)),
        ("Apache-2.0", Ok(false)),
        ("MIT OR", Err(())),
        ("(MIT", Err(())),
        ("MIT ISC", Err(())),
        ("", Err(())),
    ] {
        assert_eq!(is_allowed(expression, &allowed).map_err(drop), expected, "{expression}");
    }
}
