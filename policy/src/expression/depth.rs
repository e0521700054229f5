//! How deeply an expression may be written.
//!
//! minijinja bounds brackets and blocks; but it also recurses over each operator, lookup, filter and `elif` in a row, and
//! some thousands of these exhaust the stack of a thread. They are counted before it sees them.

use super::error::ExpressionError;
use super::scan::{Kind, Token};

/// The most words in a row that no comma parts, those of the brackets around them included.
const LONGEST_CHAIN: usize = 400;

/// The most `elif` of one `if`, those of the `if`s around it included.
const MOST_BRANCHES: usize = 200;

/// Checks that nothing is written so deeply that reading it could exhaust the stack.
///
/// # Errors
/// Where it is, at the word that is too many.
pub(crate) fn check_depth(source: &str, pieces: &[Vec<Token>]) -> Result<(), ExpressionError> {
    let mut branches: Vec<usize> = Vec::new();
    for tokens in pieces {
        check_chain(source, tokens)?;
        let Some(first) = tokens.first() else { continue };
        match &source[first.range.clone()] {
            "if" => branches.push(0),
            "elif" => {
                if let Some(count) = branches.last_mut() {
                    *count += 1;
                }
                if branches.iter().sum::<usize>() > MOST_BRANCHES {
                    return Err(too_deep(source, first, "`elif` after `elif`: look the value up in a map"));
                }
            }
            "endif" => drop(branches.pop()),
            _ => {}
        }
    }
    Ok(())
}

fn check_chain(source: &str, tokens: &[Token]) -> Result<(), ExpressionError> {
    // How many words stand in a row, at each level of brackets.
    let mut rows = vec![0_usize];
    let mut depth = 0;
    for token in tokens {
        let symbol = if token.kind == Kind::Symbol { &source[token.range.clone()] } else { "" };
        if symbol == "," {
            depth -= rows.last_mut().map_or(0, std::mem::take);
            continue;
        }
        if matches!(symbol, ")" | "]" | "}") && rows.len() > 1 {
            depth -= rows.pop().unwrap_or(0);
        }
        if let Some(row) = rows.last_mut() {
            *row += 1;
            depth += 1;
        }
        if matches!(symbol, "(" | "[" | "{") {
            rows.push(0);
        }
        if depth > LONGEST_CHAIN {
            return Err(too_deep(source, token, "part it with `{% set %}`, or put the value into an attribute"));
        }
    }
    Ok(())
}

fn too_deep(source: &str, token: &Token, help: &str) -> ExpressionError {
    ExpressionError::at(source, token.range.clone(), "the expression is too long").with_help(Some(help))
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_expression, check_template};

    #[test]
    fn what_would_exhaust_the_stack_is_refused() {
        let many = 1_200;
        for expression in [
            format!("{}1", "not ".repeat(many)),
            format!("{}1", "-".repeat(many)),
            format!("1{}", " + 1".repeat(many)),
            format!("1{}", " ** 1".repeat(many)),
            format!("1{}", " and 1".repeat(many)),
            format!("1{}", " if 1 else 1".repeat(many)),
            format!("a{}", ".b".repeat(many)),
            format!("a{}", "|upper".repeat(many)),
            format!("a{}", "()".repeat(many)),
            format!("[{}1]", "[1, ".repeat(many)),
            format!("{}1", "(-".repeat(many)),
            format!("{}1", "[-1, - - -".repeat(many)),
        ] {
            let error = check_expression(&expression).unwrap_err();
            let known = ["the expression is too long", "template exceeds maximum recursion limits"];
            assert!(known.contains(&error.message.as_str()), "{}: {error}", &expression[..20]);
        }
        let many = 100_000;
        for template in [
            format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(many)),
            "{% if 1 %}{% elif 1 %}".repeat(many),
            format!("{{% for x in a{} %}}{{% endfor %}}", ".b".repeat(many)),
        ] {
            assert!(check_template(&template).is_err());
        }
    }

    #[test]
    fn what_is_only_long_is_taken() {
        let long = 1_000;
        assert!(check_expression(&format!("[{}]", "1, ".repeat(long))).is_ok());
        assert!(check_expression(&format!("{{{}}}", "'a': [1, 2], ".repeat(long))).is_ok());
        let long = 10_000;
        assert!(check_template(&"{% if a %}{% elif b.c %}{{ d + e }}{% endif %}".repeat(long)).is_ok());
        assert!(check_expression(&format!("a{}", " ~ b".repeat(150))).is_ok());
    }
}
