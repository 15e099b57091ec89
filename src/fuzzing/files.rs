//! What people write: runbooks, `svcops.yaml`, expressions, selectors.

use super::{sentence, short};
use crate::{
    actions::CATALOG,
    base::Text,
    engine::{lint, script},
    inventory::{self, Inventory, Selector, Term, select},
    runbook::{
        self,
        template::{self, Scope},
    },
    yaml::{Faults, Severity},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// No message says more, in bytes: what it quotes of a file may be long.
const MESSAGE: usize = 4 * 1024;

/// A runbook: every fault has a place inside the text and says something; what is read can be written to the journal, read
/// back, and spread over hosts.
pub fn check_language(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let actions = lint::names(CATALOG);
    let sources = BTreeMap::from([(RUNBOOK.to_owned(), text.to_owned())]);
    let (runbook, faults) = runbook::parse(RUNBOOK, &sources, &actions);
    check_faults(RUNBOOK, text, &faults, runbook.is_some());
    let Some(runbook) = runbook else { return };
    assert_eq!(runbook::parse(RUNBOOK, &sources, &actions).0.as_ref(), Some(&runbook), "read twice, it is another one");
    let row = serde_json::to_string(&runbook).unwrap_or_else(|why| panic!("it cannot be recorded: {why}"));
    let back = serde_json::from_str(&row).unwrap_or_else(|why| panic!("it cannot be read back: {why}\n{row}"));
    assert_eq!(runbook, back, "recorded, it is another one");
    let params = runbook.params.iter().filter_map(|p| Some((p.name.clone(), p.default.clone()?))).collect();
    match script::spread(&runbook, &params, &FLEET, None, CATALOG) {
        Err(why) => sentence(&why.to_string(), MESSAGE + 2 * text.len()),
        Ok(script) => {
            for station in script.stations().into_iter().chain(script.last_stations()) {
                let once: BTreeSet<_> = station.hosts.iter().collect();
                assert_eq!(once.len(), station.hosts.len(), "a host twice in `{}`", station.label());
                assert!(
                    once.iter().all(|h| **h == script::here() || FLEET.host(h.as_str()).is_some()),
                    "a host that nobody declared"
                );
            }
        }
    }
}

/// `svcops.yaml`: faults as in a runbook; what is read is whole, and the journal gives it back as it was.
pub fn check_inventory(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let sources = BTreeMap::from([(runbook::FILE.to_owned(), text.to_owned())]);
    let (inventory, faults) = inventory::parse(runbook::FILE, &sources);
    check_faults(runbook::FILE, text, &faults, inventory.is_some());
    let Some(inventory) = inventory else { return };
    let row = serde_json::to_string(&inventory).unwrap_or_else(|why| panic!("it cannot be recorded: {why}"));
    let back = serde_json::from_str(&row).unwrap_or_else(|why| panic!("it cannot be read back: {why}\n{row}"));
    assert_eq!(inventory, back, "recorded, it is another one");
    let once: BTreeSet<_> = inventory.hosts.iter().map(|h| &h.name).collect();
    assert_eq!(once.len(), inventory.hosts.len(), "a host stands twice");
    for app in inventory.apps.values() {
        for host in inventory.hosts_of(app) {
            if let Err(why) = inventory.app_on(app, host) {
                sentence(&why.to_string(), MESSAGE);
            }
        }
    }
    drop(crate::transport::Links::of(&inventory));
}

/// An expression and a template: they end, what they make is bounded, a value from outside never becomes a secret's mark.
pub fn check_expressions(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let scope = &*SCOPE;
    let wrong = |error: &template::TemplateError, source: &str| {
        sentence(&error.what, MESSAGE + 2 * source.len());
        if let Some(range) = &error.range {
            // what is missing at the end is missing behind it
            let place = range.start <= range.end && range.start <= source.len();
            assert!(place, "{range:?} is no place in it: {}", error.what);
        }
    };
    if let Err(error) = template::test(text, scope) {
        wrong(&error, text);
        let syntax = template::check_expression(text);
        assert!(syntax.is_ok() || syntax == Err(error), "two answers to one expression");
    }
    match template::text(text, scope) {
        Err(error) => wrong(&error, text),
        Ok(filled) => {
            assert!(filled.len() <= template::MOST, "{} bytes of {}", filled.len(), text.len());
            let known = Text(filled.clone());
            if text.contains("{{") || text.contains("{%") {
                assert!(known.names().iter().all(|n| *n == "tsig" || text.contains(*n)), "a mark came from outside");
            }
        }
    }
    let value = json!({"a": text, "b": [text, 1]});
    match template::fill(&value, scope) {
        Err(error) => sentence(&error.what, MESSAGE + 2 * text.len()),
        Ok(filled) => assert!(filled.pointer("/b/1") == Some(&json!(1)), "what is no template was changed"),
    }
    let plain = template::names_of_text(text);
    assert!(plain.is_subset(&template::names(&value)), "names are lost in a value");
}

/// A selector: what is read says the same once more, and never finds what nobody declared.
pub fn check_selectors(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match select::parse(text) {
        Err(why) => assert!(!why.why.trim().is_empty() && why.why.len() <= text.len() + 200, "{}", short(&why.why)),
        Ok(selector) => {
            assert!(!selector.terms.is_empty(), "no term is no selector");
            let found = FLEET.select(&selector);
            assert!(found.len() <= FLEET.hosts.len());
            let again = select::parse(&written(&selector)).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(again.terms, selector.terms);
            for term in &selector.terms {
                let alone = Selector { text: String::new(), terms: vec![term.clone()] };
                let wide = FLEET.select(&alone);
                assert!(found.iter().all(|h| wide.contains(h)), "a comma means *and*");
            }
        }
    }
}

fn written(selector: &Selector) -> String {
    let term = |term: &Term| match term {
        Term::All => vec!["all".to_owned()],
        Term::Names(names) => match names.as_slice() {
            [name] => vec![name.clone()],
            // a list of names has no form of its own
            _ => vec![],
        },
        Term::In(key, values) => vec![format!("{key} in ({})", values.join(","))],
        Term::Not(key, value) => vec![format!("{key}!={value}")],
        Term::Has(key) => vec![format!("has:{key}")],
    };
    let terms: Vec<String> = selector.terms.iter().flat_map(term).collect();
    if terms.len() == selector.terms.len() { terms.join(", ") } else { selector.text.clone() }
}

/// Each fault stands inside the text, and errors are what keeps a thing from being read.
#[track_caller]
fn check_faults(file: &str, text: &str, faults: &Faults, read: bool) {
    assert_eq!(faults.errors() == 0, read, "errors and a value, or neither: {:?}", faults.0.first());
    // YAML's own line breaks (1.2, 5.4)
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for fault in &faults.0 {
        sentence(&fault.message, MESSAGE + 2 * text.len());
        assert!(!fault.message.ends_with('.') || fault.message.ends_with(".."), "a final stop: {}", fault.message);
        if fault.spot.file.is_empty() {
            continue;
        }
        assert_eq!(fault.spot.file, file, "{}", fault.message);
        let (line, column) = (fault.spot.line, fault.spot.column);
        let on = line.checked_sub(1).and_then(|at| lines.get(at));
        assert!(
            on.is_some_and(|length| (1..=length + 1).contains(&column)) || (line == lines.len() + 1 && column == 1),
            "{line}:{column} is no place in it ({} lines): {:?} {}",
            lines.len(),
            on,
            fault.message
        );
    }
    let settled = |s: Severity| faults.0.iter().filter(|f| f.severity == s).count();
    assert_eq!(settled(Severity::Error) + settled(Severity::Warning), faults.0.len());
}

const RUNBOOK: &str = "runbooks/fuzz.yaml";

/// Some hosts to select from.
static FLEET: LazyLock<Inventory> = LazyLock::new(|| {
    let text = include_str!("../../tests/data/example/svcops.yaml");
    let sources = BTreeMap::from([(runbook::FILE.to_owned(), text.to_owned())]);
    let (inventory, faults) = inventory::parse(runbook::FILE, &sources);
    inventory.unwrap_or_else(|| panic!("{faults:?}"))
});

static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let mut scope = Scope::new(["tsig"]);
    let evil = Text::mark("tsig");
    scope.set("params", &json!({"version": "2.1", "n": 3, "evil": evil, "list": [1, 2, "три"], "none": Value::Null}));
    scope.set("host", &json!({"name": "dc1-app1", "address": "10.77.0.11", "labels": {"role": "app"}, "local": false}));
    scope.set("item", &json!("x"));
    scope.set("run", &json!({"id": "01J9ZK3V7Q", "outcome": "done", "failed": []}));
    scope.set("steps", &json!({"one": {"code": 0, "stdout": "привет"}}));
    scope
});
