//! Selectors: which hosts. `all`, a name, a range `web[1-9]`, `k=v`, `k!=v`, `k in (a,b)`, `has:k`; a comma means *and*.

use super::{Host, Inventory, Selector, Term, range::Pattern};
use std::collections::BTreeSet;

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no selector: {why}")]
pub struct NotASelector {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a selector.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Selector, NotASelector> {
    let wrong = |why: String| NotASelector { text: text.to_owned(), why };
    let mut terms = Vec::new();
    for part in split(text) {
        terms.push(term(part.trim()).map_err(wrong)?);
    }
    Ok(Selector { text: text.to_owned(), terms })
}

impl Inventory {
    /// The hosts that every term fits, in the inventory's order.
    pub fn select(&self, selector: &Selector) -> Vec<&Host> {
        let sets: Vec<Option<BTreeSet<&str>>> = selector.terms.iter().map(names).collect();
        let fit = |host: &&Host| selector.terms.iter().zip(&sets).all(|(term, set)| fits(host, term, set.as_ref()));
        self.hosts.iter().filter(fit).collect()
    }
}

fn names(term: &Term) -> Option<BTreeSet<&str>> {
    match term {
        Term::Names(names) => Some(names.iter().map(String::as_str).collect()),
        _ => None,
    }
}

fn fits(host: &Host, term: &Term, set: Option<&BTreeSet<&str>>) -> bool {
    match term {
        Term::All => true,
        Term::Names(_) => set.is_some_and(|set| set.contains(host.name.as_str())),
        Term::In(key, values) => label(host, key).is_some_and(|v| values.iter().any(|w| w == v)),
        Term::Not(key, value) => label(host, key) != Some(value.as_str()),
        Term::Has(key) => label(host, key).is_some(),
    }
}

fn label<'h>(host: &'h Host, key: &str) -> Option<&'h str> {
    if key == "site" { host.site.as_deref() } else { host.labels.get(key).map(String::as_str) }
}

/// Splits at the commas outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..i).unwrap_or(""));
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or(""));
    parts
}

fn term(text: &str) -> Result<Term, String> {
    if text.is_empty() {
        return Err("a term is missing; a comma means *and*, `all` means every host".to_owned());
    }
    if text == "all" {
        return Ok(Term::All);
    }
    if let Some(key) = text.strip_prefix("has:") {
        return Ok(Term::Has(word(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Term::Not(word(key)?, word(value)?));
    }
    if let Some((key, value)) = text.split_once('=') {
        return Ok(Term::In(word(key)?, vec![word(value.strip_prefix('=').unwrap_or(value))?]));
    }
    if let Some((key, rest)) = text.split_once(char::is_whitespace) {
        let list = rest.trim().strip_prefix("in").map(str::trim);
        let list = list.and_then(|l| l.strip_prefix('(')).and_then(|l| l.strip_suffix(')'));
        let list = list.ok_or_else(|| format!("`{text}` is no term; `k in (a,b)` is, and a comma means *and*"))?;
        return Ok(Term::In(word(key)?, list.split(',').map(word).collect::<Result<_, _>>()?));
    }
    let names = Pattern::of(text)?.all();
    names.iter().try_for_each(|name| word(name).map(drop))?;
    Ok(Term::Names(names))
}

/// Letters and digits of any language, and `-_.:/@+`.
fn word(text: &str) -> Result<String, String> {
    let text = text.trim();
    let good = |c: char| c.is_alphanumeric() || "-_.:/@+".contains(c);
    match text.chars().find(|c| !good(*c)) {
        _ if text.is_empty() => Err("a word is missing".to_owned()),
        Some(c) => Err(format!("`{c}` cannot stand in `{text}`")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;
    use proptest::prelude::*;

    fn chosen(text: &str) -> Vec<String> {
        let inventory = inventory();
        inventory.select(&parse(text).unwrap()).iter().map(|h| h.name.to_string()).collect()
    }

    #[test]
    fn every_form_of_a_selector_finds_its_hosts() {
        assert_eq!(chosen("all").len(), 7);
        assert_eq!(chosen("lb"), ["lb"]);
        assert_eq!(chosen("dc1-app[1-9]"), ["dc1-app1", "dc1-app2"]);
        assert_eq!(chosen("role=app, site=dc2"), ["dc2-app1", "dc2-app2"]);
        assert_eq!(chosen("role!=app"), ["dc1-db1", "dc2-db1", "lb"]);
        assert_eq!(chosen("role in (db, lb)"), ["dc1-db1", "dc2-db1", "lb"]);
        assert_eq!(chosen("role in(db)"), ["dc1-db1", "dc2-db1"]);
        assert_eq!(chosen("has:site,dc1-app[1,2],role=app").len(), 2);
        assert_eq!(chosen("nobody"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_selector_says_why() {
        for text in ["", "a,,b", "k=", "a b", "k in a", "role=ap*p", "web[9-1]", "=x", "has:"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("a b").unwrap_err().to_string(),
            "`a b` is no selector: `a b` is no term; `k in (a,b)` is, and a comma means *and*"
        );
    }

    proptest! {
        #[test]
        fn a_term_and_its_opposite_split_the_hosts(value in "app|db|lb|x") {
            let (with, without) = (chosen(&format!("role={value}")), chosen(&format!("role!={value}")));
            prop_assert_eq!(with.len() + without.len(), 7);
            prop_assert!(with.iter().all(|h| !without.contains(h)));
        }
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            if let Ok(selector) = parse(&text) {
                prop_assert!(inventory().select(&selector).len() <= 7);
            }
        }
    }
}
