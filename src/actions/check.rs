//! `check.*`: looks that let a run go on or stop it. They change nothing.

use super::{Action, Next, Refusal, Target, Traits, Turn, app, args};
use crate::{
    base::{HttpAsk, HttpFacts, RunFacts, TcpFacts, words},
    resources::{Endpoint, Group, GroupFacts, Port, Saying, app::ended},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// What `check.http` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpArgs {
    /// The URL
    url: String,
    /// GET unless given
    #[schemars(extend("default" = "GET"))]
    method: Option<String>,
    /// The status that is right; 200 unless given
    #[schemars(extend("default" = 200))]
    status: Option<u16>,
    /// A text that stands in the answer
    body: Option<String>,
    /// Headers to send; secrets are allowed
    #[serde(default, deserialize_with = "args::named")]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: BTreeMap<String, String>,
    /// A PEM file on this machine to trust instead of the system's roots
    ca: Option<String>,
    /// Who asks: here (default), or the host
    #[serde(default)]
    from: args::From,
}

/// An endpoint, and what is right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Http {
    pub(super) endpoint: Endpoint,
    status: u16,
    body: Option<String>,
}

impl HttpArgs {
    /// The plain question: GET, 200.
    pub(super) fn of(url: String) -> Self {
        Self { url, method: None, status: None, body: None, headers: BTreeMap::new(), ca: None, from: args::From::Here }
    }
    pub(super) fn resolve(self, target: &Target<'_>) -> Result<Http, Refusal> {
        let method = self.method.unwrap_or_else(|| "GET".into()).to_ascii_uppercase();
        if !["GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH", "DELETE"].contains(&method.as_str()) {
            return Err(Refusal::of("method", format!("an HTTP method such as GET expected, got `{method}`")));
        }
        if let Some(status) = self.status.filter(|s| !(100..600).contains(s)) {
            return Err(Refusal::of("status", format!("a status from 100 to 599 expected, got {status}")));
        }
        let ask = HttpAsk {
            url: args::url(self.url)?,
            method,
            headers: args::texts(self.headers),
            body: None,
            ca: self.ca.map(|ca| args::plain("ca", ca)).transpose()?,
            within: args::one_try(target),
        };
        Ok(Http {
            endpoint: Endpoint { from: self.from.place(target), ask },
            status: self.status.unwrap_or(200),
            body: self.body.map(|b| args::plain("body", b)).transpose()?,
        })
    }
}

impl Http {
    /// What is wrong with an answer.
    pub(super) fn wrong(&self, seen: &HttpFacts) -> Option<String> {
        let url = &self.endpoint.ask.url;
        let Some(status) = seen.status else {
            return Some(format!("{url} did not answer: {}", seen.error.as_deref().unwrap_or("no reason given")));
        };
        if status != self.status {
            return Some(format!("{url} answered {status}, expected {}", self.status));
        }
        let body = self.body.as_ref().filter(|b| !seen.body.contains(b.as_str()))?;
        Some(format!("{url} answered {status} without `{body}`"))
    }
}

/// `check.http`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CheckHttp(Http);

impl Action for CheckHttp {
    const NAME: &'static str = "check.http";
    const ABOUT: &'static str = "Checks what an HTTP server answers";
    const EXAMPLE: &'static str = r#"- name: Is it healthy?
  check.http: {url: "http://{{ host.address }}:8080/health", status: 200, body: ok}"#;
    const TRAITS: Traits = Traits::LOOKS;
    type Args = HttpArgs;
    type On = Endpoint;
    fn bind(args: HttpArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self(args.resolve(target)?))
    }
    fn on(&self) -> &Endpoint {
        &self.0.endpoint
    }
    fn next(&self, turn: &Turn<HttpFacts>) -> Next {
        match self.0.wrong(&turn.seen) {
            None => Next::Done { outputs: json!({"status": turn.seen.status, "body": turn.seen.body}) },
            Some(why) => Next::GiveUp(why),
        }
    }
    fn undo(&self, _: &Turn<HttpFacts>) -> Next {
        Next::done()
    }
}

/// What `check.tcp` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpArgs {
    /// A name or an address; the host's own unless given
    pub(super) host: Option<String>,
    /// The port
    pub(super) port: u16,
    /// Who asks: here (default), or the host
    #[serde(default)]
    pub(super) from: args::From,
}

impl TcpArgs {
    pub(super) fn resolve(self, target: &Target<'_>) -> Result<Port, Refusal> {
        let own = || target.host.address.clone().unwrap_or_else(|| target.host.name.as_str().to_owned());
        let host = self.host.map(|h| args::plain("host", h)).transpose()?.unwrap_or_else(own);
        if host.is_empty() || host.contains([' ', '/']) {
            return Err(Refusal::of("host", format!("a name or an address expected, got `{host}`")));
        }
        if self.port == 0 {
            return Err(Refusal::of("port", "a port from 1 to 65535 expected, got 0"));
        }
        Ok(Port { from: self.from.place(target), host, port: self.port, within: args::one_try(target) })
    }
}

/// What is wrong with a port.
pub(super) fn closed(port: &Port, seen: &TcpFacts) -> Option<String> {
    let why = seen.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
    (!seen.open).then(|| format!("port {} of `{}` does not accept{why}", port.port, port.host))
}

/// `check.tcp`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CheckTcp(Port);

impl Action for CheckTcp {
    const NAME: &'static str = "check.tcp";
    const ABOUT: &'static str = "Checks that a TCP port accepts";
    const EXAMPLE: &'static str = "- name: Does the database listen?
  check.tcp: {port: 5432, from: host}";
    const TRAITS: Traits = Traits::LOOKS;
    type Args = TcpArgs;
    type On = Port;
    fn bind(args: TcpArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self(args.resolve(target)?))
    }
    fn on(&self) -> &Port {
        &self.0
    }
    fn next(&self, turn: &Turn<TcpFacts>) -> Next {
        closed(&self.0, &turn.seen).map_or_else(Next::done, Next::GiveUp)
    }
    fn undo(&self, _: &Turn<TcpFacts>) -> Next {
        Next::done()
    }
}

/// What `check.command` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SayingArgs {
    /// A command that changes nothing: a text for `/bin/sh -c`, or a list of a program and its arguments
    run: args::Words,
    /// What it must say; exit code 0 unless given
    #[serde(default)]
    expect: args::Expected,
}

/// `check.command`.
#[derive(Serialize, Deserialize)]
pub(super) struct CheckCommand {
    saying: Saying,
    code: i32,
    stdout: Option<String>,
}

impl Action for CheckCommand {
    const NAME: &'static str = "check.command";
    const ABOUT: &'static str = "Checks what a command says that changes nothing";
    const EXAMPLE: &'static str = r#"- name: Is there room?
  check.command: {run: "[ $(df --output=avail / | tail -n 1) -gt 1048576 ]", expect: {code: 0}}"#;
    const TRAITS: Traits = Traits::LOOKS;
    type Args = SayingArgs;
    type On = Saying;
    fn bind(args: SayingArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            saying: Saying { at: target.place(), run: args.run.read("run", target)? },
            code: args.expect.code.unwrap_or(0),
            stdout: args.expect.stdout.map(|s| args::plain("expect", s)).transpose()?,
        })
    }
    fn on(&self) -> &Saying {
        &self.saying
    }
    fn next(&self, turn: &Turn<RunFacts>) -> Next {
        let seen = &turn.seen;
        if seen.code != Some(self.code) {
            let said = seen.stderr.lines().next().map(|l| format!(": {l}")).unwrap_or_default();
            return Next::GiveUp(format!("the command ended with {}, expected exit {}{said}", ended(seen), self.code));
        }
        if let Some(want) = self.stdout.as_ref().filter(|w| !seen.stdout.contains(w.as_str())) {
            return Next::GiveUp(format!("the command's output has no `{want}`"));
        }
        Next::Done {
            outputs: json!({"code": seen.code, "stdout": trimmed(&seen.stdout), "stderr": trimmed(&seen.stderr)}),
        }
    }
    fn undo(&self, _: &Turn<RunFacts>) -> Next {
        Next::done()
    }
}

fn trimmed(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// What `check.app` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuorumArgs {
    /// The app, by its name in svcops.yaml
    app: String,
    /// So many of its hosts at the same site must be healthy, without those under way; the app's own number unless given
    min_healthy: Option<usize>,
}

/// `check.app`.
#[derive(Serialize, Deserialize)]
pub(super) struct Quorum {
    group: Group,
    site: Option<String>,
    min_healthy: usize,
}

impl Action for Quorum {
    const NAME: &'static str = "check.app";
    const ABOUT: &'static str = "Checks that enough of an app's other hosts at the same site are healthy";
    const EXAMPLE: &'static str = "- name: Are enough of them healthy?
  check.app: {app: billing, min_healthy: 1}";
    const TRAITS: Traits = Traits::LOOKS;
    type Args = QuorumArgs;
    type On = Group;
    fn bind(args: QuorumArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let app = app::declared(&args.app, target.inventory)?;
        let beside = |host: &&crate::inventory::Host| {
            host.site == target.host.site && host.name != target.host.name && !target.under_way.contains(&host.name)
        };
        let apps = target.inventory.hosts_of(app).filter(beside).map(|host| app::on_host(app, host, target));
        Ok(Self {
            group: Group { name: app.name.clone(), apps: apps.collect::<Result<_, _>>()? },
            site: target.host.site.clone(),
            min_healthy: args.min_healthy.unwrap_or(app.rolling.min_healthy),
        })
    }
    fn on(&self) -> &Group {
        &self.group
    }
    fn next(&self, turn: &Turn<GroupFacts>) -> Next {
        let has = turn.seen.healthy();
        if has >= self.min_healthy {
            return Next::Done { outputs: json!({"healthy": has}) };
        }
        let sick: Vec<_> = turn.seen.members.iter().filter(|m| !m.healthy).map(|m| &m.host).collect();
        let place = self.site.as_ref().map(|s| format!(" at `{s}`")).unwrap_or_default();
        let named = if sick.is_empty() { String::new() } else { format!("; not healthy: {}", words::list(&sick, 5)) };
        Next::GiveUp(format!(
            "app `{}`{place} needs {} beside those under way, has {has}{named}",
            self.group.name,
            words::count("healthy host", self.min_healthy),
        ))
    }
    fn undo(&self, _: &Turn<GroupFacts>) -> Next {
        Next::done()
    }
}
