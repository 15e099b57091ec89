//! How much of an expression is too much. The template engine goes through a chain of operators by recursion, so an
//! expression of thousands of them would overflow the stack; it has no bound of its own but for brackets.

/// No expression has more operators than this.
const OPERATORS: usize = 400;
/// No template has more branches of this kind: each lies in the one before it.
const ELIFS: usize = 200;

/// Whether an expression without braces is too much.
///
/// # Errors
/// How much, in words.
pub fn expression(text: &str) -> Result<(), String> {
    block(text, "\0").0
}

/// Whether one of a template's expressions is too much.
///
/// # Errors
/// How much, in words.
pub fn template(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let from = rest.get(at + 1..).unwrap_or_default();
        let close = match from.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => {
                rest = from.split_once("#}").map_or("", |(_, behind)| behind);
                continue;
            }
            _ => {
                rest = from;
                continue;
            }
        };
        let (enough, left) = block(from.get(1..).unwrap_or_default(), close);
        enough?;
        rest = left;
    }
    if text.matches("elif").count() > ELIFS {
        return Err(format!("the template is too long: more than {ELIFS} `elif`"));
    }
    Ok(())
}

/// Counts operators up to `close`, and answers with what stands behind it. What stands in quotes is no operator.
fn block<'t>(text: &'t str, close: &str) -> (Result<(), String>, &'t str) {
    let (mut count, mut quote, mut escaped, mut word) = (0, None, false, 0);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => {
                if text.get(at..).is_some_and(|rest| rest.starts_with(close)) {
                    return (Ok(()), text.get(at + close.len()..).unwrap_or_default());
                }
                if c.is_alphanumeric() || c == '_' {
                    continue;
                }
                let before = text.get(word..at).unwrap_or_default();
                word = at + c.len_utf8();
                count += usize::from(["and", "or", "in", "is", "not", "if", "else"].contains(&before));
                count += usize::from(".[({|~+-*/%=<>!".contains(c));
                if matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                if count > OPERATORS {
                    return (Err(format!("the expression is too long: more than {OPERATORS} operators")), "");
                }
            }
        }
    }
    (Ok(()), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_without_end_is_refused_however_it_is_made() {
        for link in [".a", "|f", "[0]", " + 1", " and a", "()", "~a", " if a else a", " is not b"] {
            assert!(expression(&format!("a{}", link.repeat(5000))).is_err(), "{link}");
            assert!(template(&format!("x {{{{ a{} }}}}", link.repeat(5000))).is_err(), "{link}");
            assert_eq!(expression(&format!("a{}", link.repeat(40))), Ok(()), "{link}");
        }
        assert!(template(&"{% if a %}x{% elif b %}".repeat(300)).is_err());
    }

    #[test]
    fn what_is_long_and_flat_is_none() {
        let list: Vec<String> = (0..5000).map(|n| format!("'web-{n}.example.org'")).collect();
        assert_eq!(expression(&format!("host.name in [{}]", list.join(", "))), Ok(()));
        assert_eq!(template(&"{{ a.b + 1 }} a.b.c.d { %\n".repeat(5000)), Ok(()));
        assert_eq!(template(&format!("{{# it's {{{{ {} #}} x", "a.b ".repeat(5000))), Ok(()));
        assert_eq!(template("{{ '}} {{ \\' . . . ' }}"), Ok(()));
    }
}
