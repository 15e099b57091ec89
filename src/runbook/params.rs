//! Parameters: what a runbook may be handed, and what it makes of that.

use super::{Param, ParamKind};
use crate::{
    base::{Span, words},
    inventory::Inventory,
    yaml::{Fields, Node, Notes},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Why params are refused: one sentence for each that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct WrongParams(pub Vec<String>);

pub(super) fn read(node: &Node, notes: &mut Notes) -> Vec<Param> {
    let mut params = Vec::new();
    for (key, node) in node.map(notes).unwrap_or_default() {
        if !is_word(&key.text) {
            notes.error(key.mark, format!("the name `{}` may hold letters, digits and `_` only", key.text));
        }
        let Some(mut fields) = Fields::of(node, "a param", notes) else { continue };
        let kinds = ["string", "int", "number", "bool", "duration", "host", "list"];
        let kind = match fields.take("type", notes).and_then(|n| n.word(&kinds, notes)).as_deref() {
            Some("int") => ParamKind::Int,
            Some("number") => ParamKind::Number,
            Some("bool") => ParamKind::Bool,
            Some("duration") => ParamKind::Duration,
            Some("host") => ParamKind::Host,
            Some("list") => ParamKind::List,
            _ => ParamKind::String,
        };
        let typed = |node: &Node, notes: &mut Notes| {
            let value = node.json();
            check_kind(kind, &value).map_err(|why| notes.error(node.mark, why)).ok().map(|()| value)
        };
        let one_of = fields.take("enum", notes).and_then(|n| {
            let items = n.list(notes)?;
            Some(items.iter().filter_map(|item| typed(item, notes)).collect::<Vec<_>>())
        });
        let default = fields.take("default", notes).and_then(|n| {
            let value = typed(n, notes)?;
            if one_of.as_ref().is_some_and(|all| !all.contains(&value)) {
                notes.error(n.mark, format!("the default {value} is none of `enum`"));
            }
            Some(value)
        });
        let help = fields.text("help", notes);
        fields.end(notes);
        params.push(Param { name: key.text.clone(), kind, one_of, default, help });
    }
    params
}

/// A name that expressions can say.
pub(super) fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn check_kind(kind: ParamKind, value: &Value) -> Result<(), String> {
    let (good, wanted) = match kind {
        ParamKind::String | ParamKind::Host => (value.is_string(), "a text"),
        ParamKind::Int => (value.is_i64() || value.is_u64(), "a whole number"),
        ParamKind::Number => (value.is_number(), "a number"),
        ParamKind::Bool => (value.is_boolean(), "true or false"),
        ParamKind::Duration => {
            let text = value.as_str().unwrap_or_default();
            (text.parse::<Span>().is_ok(), "a span of time such as 30s")
        }
        ParamKind::List => (value.is_array(), "a list"),
    };
    if good { Ok(()) } else { Err(format!("{wanted} expected, not {value}")) }
}

/// Holds one value against its parameter.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(param: &Param, value: &Value, inventory: &Inventory) -> Result<(), String> {
    check_kind(param.kind, value).map_err(|why| format!("param `{}`: {why}", param.name))?;
    if let Some(all) = &param.one_of
        && !all.contains(value)
    {
        let all: Vec<String> = all.iter().map(plain).collect();
        return Err(format!("param `{}`: `{}` is none of {}", param.name, plain(value), words::list(&all, 12)));
    }
    if param.kind == ParamKind::Host
        && let Some(name) = value.as_str()
        && inventory.host(name).is_none()
    {
        let near = words::nearest(name, inventory.hosts.iter().map(|h| h.name.as_str()));
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        return Err(format!("param `{}`: there is no host `{name}`{hint}", param.name));
    }
    Ok(())
}

/// What the command line says (`-p K=V`), as values, with the defaults for the rest.
///
/// # Errors
/// Every one that is unknown, missing or wrong.
pub fn resolve(
    params: &[Param],
    given: &BTreeMap<String, String>,
    inventory: &Inventory,
) -> Result<BTreeMap<String, Value>, WrongParams> {
    let (mut values, mut wrong) = (BTreeMap::new(), Vec::new());
    for name in given.keys().filter(|name| !params.iter().any(|p| p.name == **name)) {
        let near = words::nearest(name, super::read::names(params));
        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        wrong.push(format!("there is no param `{name}`{hint}"));
    }
    for param in params {
        let given = given.get(&param.name).map(|text| of_text(param.kind, text));
        let Some(value) = given.or_else(|| param.default.clone()) else {
            wrong.push(format!("param `{}` is missing: it has no default", param.name));
            continue;
        };
        match check(param, &value, inventory) {
            Ok(()) => drop(values.insert(param.name.clone(), value)),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(values) } else { Err(WrongParams(wrong)) }
}

fn of_text(kind: ParamKind, text: &str) -> Value {
    match kind {
        ParamKind::Int | ParamKind::Number | ParamKind::Bool => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
        ParamKind::List => text.split(',').map(|part| Value::String(part.trim().to_owned())).collect(),
        _ => Value::String(text.to_owned()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;
    use serde_json::json;

    fn param(name: &str, kind: ParamKind, default: Option<Value>) -> Param {
        Param { name: name.into(), kind, one_of: None, default, help: None }
    }

    #[test]
    fn texts_of_the_command_line_become_values() {
        let params = [
            param("n", ParamKind::Int, None),
            param("b", ParamKind::Bool, Some(json!(false))),
            param("l", ParamKind::List, Some(json!([]))),
            param("h", ParamKind::Host, None),
            param("d", ParamKind::Duration, Some(json!("5s"))),
        ];
        let given = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let values = resolve(&params, &given(&[("n", "7"), ("h", "lb"), ("l", "a, b")]), &inventory()).unwrap();
        assert_eq!(json!(values), json!({"n": 7, "b": false, "l": ["a", "b"], "h": "lb", "d": "5s"}));
        let wrong = resolve(&params, &given(&[("n", "x"), ("h", "lbb"), ("dd", "1s")]), &inventory()).unwrap_err();
        assert_eq!(
            wrong.0,
            [
                "there is no param `dd`; did you mean `d`?",
                "param `n`: a whole number expected, not \"x\"",
                "param `h`: there is no host `lbb`; did you mean `lb`?"
            ]
        );
    }
}
