//! Expressions: minijinja with strict names and bounded work. A secret is named here, never read: `secret('tsig')` renders
//! to its mark, and the value is filled in when the text is sent.

use crate::{
    base::{SecretForm, Text, bounds, words},
    inventory::{App, Host, Inventory},
};
use minijinja::{
    Environment, Error, ErrorKind, Expression, State, Template, UndefinedBehavior, Value as Mini, syntax::SyntaxConfig,
    value::Serde,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::LazyLock,
};

/// The names that an expression may begin with.
pub const ROOTS: &[&str] = &["params", "host", "app", "site", "item", "run", "steps"];
/// What `run` has: `id runbook project operator reason ticket outcome failed touched` (`failed`: the hosts that did;
/// `touched`: whether it has announced a change of anything).
pub const RUN: &[&str] = &["id", "runbook", "project", "operator", "reason", "ticket", "outcome", "failed", "touched"];
/// Steps of the template machine that one rendering may take.
const FUEL: u64 = 100_000;
/// No filled in text is larger, in bytes.
pub const MOST: usize = 16 << 20;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// In words.
    pub what: String,
    /// The name that is not there, if that is it: `host.nmae`, `steps.x.one`.
    pub missing: Option<String>,
    /// The bytes of the template that are meant, where known.
    pub range: Option<Range<usize>>,
}

/// What expressions see.
#[derive(Clone, Debug)]
pub struct Scope {
    values: BTreeMap<&'static str, Mini>,
    root: Mini,
}

impl Scope {
    /// Sees nothing but the secrets that are declared, by name.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = Mini::from(secrets.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let mut scope = Self { values: BTreeMap::from([(SECRETS, secrets)]), root: Mini::UNDEFINED };
        scope.renew();
        scope
    }
    /// A scope for one host: `params`, `host` and `site`.
    pub fn of_host(inventory: &Inventory, params: &BTreeMap<String, Value>, host: &Host) -> Self {
        let mut scope = Self::new(inventory.secrets.keys().map(String::as_str));
        scope.set("params", &json!(params));
        scope.set_host(inventory, host);
        scope
    }
    /// Puts a value under one of [`ROOTS`]; marks of secrets in it lose their power, since values come from outside.
    pub fn set(&mut self, name: &'static str, value: &Value) {
        self.values.insert(name, Mini::from(Serde(harmless(value))));
        self.renew();
    }
    /// The same with some names as another scope sees them.
    #[must_use]
    pub fn with(&self, names: &[&'static str], other: &Self) -> Self {
        let mut scope = self.clone();
        for name in names {
            if let Some(value) = other.values.get(name) {
                scope.values.insert(name, value.clone());
            }
        }
        scope.renew();
        scope
    }
    /// Takes a name away.
    pub fn unset(&mut self, name: &'static str) {
        self.values.remove(name);
        self.renew();
    }
    /// Sets `host` and `site`.
    pub fn set_host(&mut self, inventory: &Inventory, host: &Host) {
        self.values.insert("host", Mini::from(Serde(host_value(host))));
        match &host.site {
            Some(site) => {
                let title = inventory.sites.get(site).and_then(|s| s.title.clone());
                self.set("site", &json!({"name": site, "title": title.unwrap_or_else(|| site.clone())}));
            }
            None => self.unset("site"),
        }
        self.renew();
    }
    /// Sets `app`.
    pub fn set_app(&mut self, app: &App) {
        self.set("app", &app_value(app));
    }
    fn renew(&mut self) {
        self.root = Mini::from_pairs(self.values.iter().map(|(k, v)| (*k, v.clone())));
    }
    fn has(&self, path: &str) -> Result<(), String> {
        let mut parts = path.split('.');
        let root = parts.next().unwrap_or_default();
        if !ROOTS.contains(&root) {
            return Ok(());
        }
        let (mut here, mut way) = (self.values.get(root).cloned().unwrap_or(Mini::UNDEFINED), root.to_owned());
        if here.is_undefined() {
            return Err(format!("`{root}` means nothing here"));
        }
        for part in parts {
            let next = here.get_attr(part).unwrap_or(Mini::UNDEFINED);
            if next.is_undefined() {
                let known: Vec<String> =
                    here.try_iter().map(|keys| keys.map(|k| k.to_string()).collect()).unwrap_or_default();
                let near = words::nearest(part, known.iter().map(String::as_str));
                let hint = match near {
                    Some(near) => format!("; did you mean `{way}.{near}`?"),
                    None if !known.is_empty() && known.len() <= 12 => {
                        format!("; `{way}` has {}", words::list(&known, 12))
                    }
                    None => String::new(),
                };
                return Err(format!("`{way}.{part}` is not there{hint}"));
            }
            way = format!("{way}.{part}");
            here = next;
        }
        Ok(())
    }
}

/// What `host` is to an expression: `name address site labels local`; the address is the name where none is given.
pub fn host_value(host: &Host) -> Value {
    let name = host.name.as_str();
    let mut value = json!({
        "name": name,
        "address": host.address.as_deref().unwrap_or(if host.local { "127.0.0.1" } else { name }),
        "labels": host.labels,
        "local": host.local,
    });
    if let (Some(site), Some(map)) = (&host.site, value.as_object_mut()) {
        map.insert("site".to_owned(), json!(site));
    }
    value
}

/// What `app` is to an expression: `name title unit`.
pub fn app_value(app: &App) -> Value {
    let unit = match &app.manager {
        crate::inventory::Manager::Systemd(unit) => Some(unit.as_str()),
        crate::inventory::Manager::Command { .. } => None,
    };
    json!({"name": app.name, "title": app.title.as_deref().unwrap_or(&app.name), "unit": unit})
}

/// Fills in every expression of a value. A text that is one whole expression keeps its type.
///
/// # Errors
/// The first that fails.
pub fn fill(value: &Value, scope: &Scope) -> Result<Value, TemplateError> {
    Filling::of(value)?.fill(scope)
}

/// Fills in a text.
///
/// # Errors
/// What is wrong with it.
pub fn text(template: &str, scope: &Scope) -> Result<String, TemplateError> {
    if !is_template(template) {
        return Ok(template.to_owned());
    }
    let compiled = compiled_text(template)?;
    render(&compiled, template, scope)
}

/// Whether an expression (without braces) holds.
///
/// # Errors
/// What is wrong with it.
pub fn test(expression: &str, scope: &Scope) -> Result<bool, TemplateError> {
    let compiled = compiled(expression)?;
    Ok(eval(&compiled, scope)?.is_true())
}

/// The names that a value's templates use and do not set themselves, with their attributes: `host.name`,
/// `steps.x.one.code`, `secret`.
pub fn names(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each(value, &mut |text| found.extend(names_of_text(text)));
    found
}

/// The same of an expression.
pub fn names_of_expression(expression: &str) -> BTreeSet<String> {
    compiled(expression).map(|e| e.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
}

/// The same of a text.
pub fn names_of_text(text: &str) -> BTreeSet<String> {
    if !is_template(text) {
        return BTreeSet::new();
    }
    compiled_text(text).map(|t| t.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
}

/// Whether the syntax of an expression is right.
///
/// # Errors
/// What is wrong with it.
pub fn check_expression(expression: &str) -> Result<(), TemplateError> {
    compiled(expression).map(drop)
}

/// Whether the syntax of every template in a value is right; else the text that is wrong, and why.
///
/// # Errors
/// As said.
pub fn check(value: &Value) -> Result<(), (String, TemplateError)> {
    let mut wrong = Ok(());
    each(value, &mut |text| {
        if wrong.is_ok()
            && is_template(text)
            && let Err(error) = compiled_text(text)
        {
            wrong = Err((text.to_owned(), error));
        }
    });
    wrong
}

/// The paths (`env.TOKEN`) of texts that use `secret()` where none may stand: they are for `env`, `stdin`, `headers` and
/// `content` only, never for an argv.
pub fn misplaced_secrets(args: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(args, "", &mut |path, text| {
        let root = path.split('.').next().unwrap_or_default();
        if text.contains("secret")
            && !SECRET_PLACES.contains(&root)
            && names_of_text(text).iter().any(|n| n == "secret")
        {
            found.push(path.to_owned());
        }
    });
    found
}

/// Arguments whose texts may hold secrets.
const SECRET_PLACES: &[&str] = &["env", "stdin", "headers", "content"];
/// The name under which a scope keeps the names of secrets.
const SECRETS: &str = "_secrets";

/// A value with its templates compiled, to be filled in for many scopes.
pub enum Filling<'s> {
    /// Holds no template.
    Plain(&'s Value),
    /// One whole expression.
    Whole(Expression<'s, 's>),
    /// A text with expressions.
    Text(Template<'s, 's>, &'s str),
    /// A list.
    List(Vec<Self>),
    /// A mapping.
    Map(Vec<(&'s str, Self)>),
}

impl<'s> Filling<'s> {
    /// Compiles.
    ///
    /// # Errors
    /// The first template that cannot be read.
    pub fn of(value: &'s Value) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) if is_template(text) => match whole(text) {
                Some(inner) => Self::Whole(compiled(inner)?),
                None => Self::Text(compiled_text(text)?, text),
            },
            Value::Array(items) => {
                let items = items.iter().map(Self::of).collect::<Result<Vec<_>, _>>()?;
                if items.iter().all(Self::is_plain) { Self::Plain(value) } else { Self::List(items) }
            }
            Value::Object(map) => {
                let entries = map.iter().map(|(k, v)| Ok((k.as_str(), Self::of(v)?))).collect::<Result<Vec<_>, _>>()?;
                if entries.iter().all(|(_, v)| v.is_plain()) { Self::Plain(value) } else { Self::Map(entries) }
            }
            _ => Self::Plain(value),
        })
    }
    /// It is the same in every scope.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
    /// Fills in.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn fill(&self, scope: &Scope) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Plain(value) => (*value).clone(),
            Self::Whole(expression) => {
                let value = eval(expression, scope)?;
                let value = serde_json::to_value(&value).map_err(|e| plain(format!("the value is no JSON: {e}")))?;
                marks_hold(&value, scope)?;
                value
            }
            Self::Text(template, source) => Value::String(render(template, source, scope)?),
            Self::List(items) => Value::Array(items.iter().map(|i| i.fill(scope)).collect::<Result<_, _>>()?),
            Self::Map(entries) => Value::Object(
                entries.iter().map(|(k, v)| Ok(((*k).to_owned(), v.fill(scope)?))).collect::<Result<_, _>>()?,
            ),
        })
    }
}

static ENV: LazyLock<Environment<'static>> = LazyLock::new(|| environment(FUEL));
/// What a namespace keeps from turn to turn of a loop can lie in itself, each time one level deeper: fewer turns for it.
static NARROW: LazyLock<Environment<'static>> = LazyLock::new(|| environment(FUEL / 10));

fn environment(fuel: u64) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(fuel));
    env.set_recursion_limit(64);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.add_function("secret", secret);
    env
}

fn env(text: &str) -> &'static Environment<'static> {
    if text.contains("namespace") { &NARROW } else { &ENV }
}

fn compiled(expression: &str) -> Result<Expression<'_, '_>, TemplateError> {
    bounds::expression(expression).map_err(plain)?;
    env(expression).compile_expression(expression).map_err(|e| worded(&e))
}

fn compiled_text(template: &str) -> Result<Template<'_, '_>, TemplateError> {
    bounds::template(template).map_err(plain)?;
    env(template).template_from_str(template).map_err(|e| worded(&e))
}

fn secret(state: &State<'_, '_>, name: String, form: Option<String>) -> Result<String, Error> {
    let form = form.map_or(Ok(SecretForm::Plain), |word| {
        let wrong = || format!("there is no form `{word}` of a secret; `pgpass` is one");
        SecretForm::of(&word).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, wrong()))
    })?;
    let declared: Vec<String> = state
        .lookup(SECRETS)
        .and_then(|names| names.try_iter().ok().map(|names| names.map(|n| n.to_string()).collect()))
        .unwrap_or_default();
    if declared.contains(&name) {
        return Ok(Text::mark_as(&name, form));
    }
    let near = words::nearest(&name, declared.iter().map(String::as_str));
    let hint = near
        .map_or_else(|| "declare it under `secrets:` of svcops.yaml".to_owned(), |n| format!("did you mean `{n}`?"));
    Err(Error::new(ErrorKind::InvalidOperation, format!("there is no secret `{name}`; {hint}")))
}

/// A text without braces is no template, whatever `${#x}` stands in it.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The expression, where the text is one whole `{{ … }}`; with a newline behind it, it is a text.
fn whole(text: &str) -> Option<&str> {
    let inner = text.trim_matches(' ').strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    (!["{{", "}}", "{%", "%}"].iter().any(|b| inner.contains(b))).then_some(inner)
}

fn eval(expression: &Expression<'_, '_>, scope: &Scope) -> Result<Mini, TemplateError> {
    let named = |e: Option<&Error>| missing(expression.undeclared_variables(true), scope, e);
    let value = expression.eval(scope.root.clone()).map_err(|e| named(Some(&e)))?;
    if value.is_undefined() { Err(named(None)) } else { Ok(value) }
}

fn render(template: &Template<'_, '_>, source: &str, scope: &Scope) -> Result<String, TemplateError> {
    let mut filled = Room(Vec::new());
    if let Err(error) = template.render_captured_to(scope.root.clone(), &mut filled) {
        if filled.0.len() >= MOST {
            return Err(plain(format!("what it makes is larger than {} MiB", MOST >> 20)));
        }
        return Err(missing(template.undeclared_variables(true), scope, Some(&error)));
    }
    let text = String::from_utf8(filled.0).map_err(|_| plain("what it makes is not UTF-8".to_owned()))?;
    if text.contains('\u{e000}') && source.contains("secret") {
        text_marks_hold(&text, scope)?;
    }
    Ok(text)
}

/// Takes what a template makes, and no more than [`MOST`].
struct Room(Vec<u8>);

impl std::io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let fits = bytes.get(..MOST.saturating_sub(self.0.len())).unwrap_or(bytes);
        self.0.extend_from_slice(fits);
        Ok(fits.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A filter that changed a secret's mark has made it another name.
fn marks_hold(value: &Value, scope: &Scope) -> Result<(), TemplateError> {
    let mut held = Ok(());
    each(value, &mut |text| {
        if held.is_ok() && text.contains('\u{e000}') {
            held = text_marks_hold(text, scope);
        }
    });
    held
}

fn text_marks_hold(text: &str, scope: &Scope) -> Result<(), TemplateError> {
    let known = |name: &str| {
        scope.values.get(SECRETS).is_some_and(|s| s.try_iter().is_ok_and(|mut s| s.any(|s| s.as_str() == Some(name))))
    };
    let (opened, closed) = (text.matches('\u{e000}').count(), text.matches('\u{e001}').count());
    if opened == closed && Text(text.to_owned()).names().iter().all(|n| known(n)) {
        return Ok(());
    }
    Err(plain("a secret cannot be changed by a filter: its value is filled in later".to_owned()))
}

fn plain(what: String) -> TemplateError {
    TemplateError { what, missing: None, range: None }
}

/// Says which name is missing, where that is the trouble.
fn missing(names: impl IntoIterator<Item = String>, scope: &Scope, error: Option<&Error>) -> TemplateError {
    if error.is_none_or(|e| e.kind() == ErrorKind::UndefinedError) {
        let names: BTreeSet<String> = names.into_iter().collect();
        for name in names {
            if let Err(what) = scope.has(&name) {
                return TemplateError { what, missing: Some(name), range: error.and_then(Error::range) };
            }
        }
    }
    error.map_or_else(|| plain("the expression has no value".to_owned()), worded)
}

fn worded(error: &Error) -> TemplateError {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "the expression takes too long".to_owned(),
        ErrorKind::UndefinedError => "a name in it means nothing here".to_owned(),
        ErrorKind::SyntaxError => {
            format!("the expression cannot be read: {}", error.detail().unwrap_or("syntax error"))
        }
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    TemplateError { what, missing: None, range: error.range() }
}

/// Calls `take` for every text in a value.
fn each(value: &Value, take: &mut impl FnMut(&str)) {
    walk(value, "", &mut |_, text| take(text));
}

fn walk(value: &Value, path: &str, take: &mut impl FnMut(&str, &str)) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::String(text) => take(path, text),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| walk(v, &join(&i.to_string()), take)),
        Value::Object(map) => map.iter().for_each(|(k, v)| walk(v, &join(k), take)),
        _ => {}
    }
}

/// The value without the two characters that mark secrets.
fn harmless(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(['\u{e000}', '\u{e001}'], "\u{fffd}")),
        Value::Array(items) => items.iter().map(harmless).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), harmless(v))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;

    fn scope() -> Scope {
        let inventory = inventory();
        let params = BTreeMap::from([("n".to_owned(), json!(3)), ("site".to_owned(), json!("dc1"))]);
        Scope::of_host(&inventory, &params, inventory.host("dc1-app1").unwrap())
    }

    #[test]
    fn a_whole_expression_keeps_its_type() {
        let value = json!({"a": "{{ params.n }}", "b": "n={{ params.n }}\n", "c": ["{{ [1, params.n] }}"], "d": 7});
        let want = json!({"a": 3, "b": "n=3\n", "c": [[1, 3]], "d": 7});
        assert_eq!(fill(&value, &scope()).unwrap(), want);
        assert_eq!(text("{{ site.title }}: {{ host.address }}", &scope()).unwrap(), "Основной ЦОД: 10.77.0.11");
        assert_eq!(text("echo ${#x}", &scope()).unwrap(), "echo ${#x}");
    }

    #[test]
    fn a_missing_name_is_named_with_what_may_be_meant() {
        let error = fill(&json!("{{ host.nmae }}"), &scope()).unwrap_err();
        assert_eq!(error.to_string(), "`host.nmae` is not there; did you mean `host.name`?");
        assert_eq!(error.missing.as_deref(), Some("host.nmae"));
        assert_eq!(
            text("x {{ host.labels.rack }}", &scope()).unwrap_err().what,
            "`host.labels.rack` is not there; `host.labels` has `role`"
        );
        assert_eq!(test("steps.a.one.code == 0", &scope()).unwrap_err().missing.as_deref(), Some("steps.a.one.code"));
        assert!(test("host.labels.rack is not defined and host.labels.role == 'app'", &scope()).unwrap());
    }

    #[test]
    fn a_secret_stands_by_its_name_only() {
        let filled = text("key={{ secret('tsig') }}", &scope()).unwrap();
        assert_eq!(filled, format!("key={}", Text::mark("tsig")));
        let form = text("{{ secret('tsig', 'pgpass') }}", &scope()).unwrap();
        assert_eq!(form, Text::mark_as("tsig", SecretForm::Pgpass));
        assert!(text("{{ secret('tsig', 'pgpas') }}", &scope()).unwrap_err().what.contains("no form `pgpas`"));
        let error = text("{{ secret('tsgi') }}", &scope()).unwrap_err();
        assert_eq!(error.what, "there is no secret `tsgi`; did you mean `tsig`?");
        assert!(text("{{ secret('tsig') | upper }}", &scope()).unwrap_err().what.contains("filter"));
        let mut scope = scope();
        scope.set("item", &json!(Text::mark("tsig")));
        assert!(!text("{{ item }}", &scope).unwrap().contains('\u{e000}'));
    }

    #[test]
    fn work_is_bounded() {
        let error = text("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}", &scope())
            .unwrap_err();
        assert_eq!(error.what, "the expression takes too long");
    }

    #[test]
    fn names_are_found_with_their_attributes() {
        let found = names(&json!({"a": "{{ steps.x.one.code }}", "b": ["{{ secret('k') }} {{ host.name }}"]}));
        assert_eq!(found, ["host.name", "secret", "steps.x.one.code"].map(String::from).into());
        assert_eq!(
            misplaced_secrets(&json!({"run": "x {{ secret('k') }}", "env": {"K": "{{ secret('k') }}"}})),
            ["run"]
        );
        assert_eq!(misplaced_secrets(&json!("x {{ secret('k') }}")), [""]);
    }
}
