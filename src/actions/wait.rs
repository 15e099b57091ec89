//! `wait.for` and `pause`.

use super::{Action, Next, Refusal, Target, Traits, Turn, args, check};
use crate::{
    base::{At, Change, FileFacts, HttpFacts, Lock, Place, Read, RunFacts, Span, TcpFacts},
    resources::{Answers, File, NoFacts, Nothing, Port, ReadError, Resource, Saying, app::ended, app::host_and_port},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What `wait.for` takes: one of `http`, `tcp`, `command` and `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitArgs {
    /// Until it answers as it should: a URL, or the arguments of check.http
    http: Option<HttpOr>,
    /// Until it accepts: `HOST:PORT`, or the arguments of check.tcp
    tcp: Option<TcpOr>,
    /// Until it exits 0: a command that changes nothing
    command: Option<args::Words>,
    /// Until it is there: an absolute path on the host
    file: Option<String>,
    /// How long to wait; 1m unless given
    #[schemars(extend("default" = "1m"))]
    within: Option<Span>,
    /// How long between two looks; 1s unless given
    #[schemars(extend("default" = "1s"))]
    every: Option<Span>,
}

/// A URL, or the arguments of `check.http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum HttpOr {
    /// A URL that answers 200
    Url(String),
    /// The arguments of check.http
    Args(Box<check::HttpArgs>),
}

/// `HOST:PORT`, or the arguments of `check.tcp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum TcpOr {
    /// HOST:PORT
    Text(String),
    /// The arguments of check.tcp
    Args(check::TcpArgs),
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Watched {
    Http(check::Http),
    Tcp(Port),
    Command(Saying),
    File(File),
}

/// What is seen of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WatchedFacts {
    Http(HttpFacts),
    Tcp(TcpFacts),
    Command(RunFacts),
    File(Option<FileFacts>),
}

/// The resource of `wait.for`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Watch(Watched);

impl Resource for Watch {
    type Facts = WatchedFacts;
    fn lock(&self) -> Lock {
        match &self.0 {
            Watched::Http(http) => http.endpoint.lock(),
            Watched::Tcp(port) => port.lock(),
            Watched::Command(saying) => saying.lock(),
            Watched::File(file) => file.lock(),
        }
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        match &self.0 {
            Watched::Http(http) => http.endpoint.reads(),
            Watched::Tcp(port) => port.reads(),
            Watched::Command(saying) => saying.reads(),
            Watched::File(file) => file.reads(),
        }
    }
    fn facts(&self, answers: &mut Answers) -> Result<WatchedFacts, ReadError> {
        Ok(match &self.0 {
            Watched::Http(http) => WatchedFacts::Http(http.endpoint.facts(answers)?),
            Watched::Tcp(port) => WatchedFacts::Tcp(port.facts(answers)?),
            Watched::Command(saying) => WatchedFacts::Command(saying.facts(answers)?),
            Watched::File(file) => WatchedFacts::File(file.facts(answers)?),
        })
    }
    /// A wait changes nothing, so whatever it sees is as good as before.
    fn lasting(_: WatchedFacts) -> WatchedFacts {
        WatchedFacts::File(None)
    }
}

/// `wait.for`.
#[derive(Serialize, Deserialize)]
pub(super) struct WaitFor {
    watch: Watch,
    within: Span,
    every: Span,
}

impl WaitFor {
    /// What is still missing.
    fn missing(&self, seen: &WatchedFacts) -> Option<String> {
        match (&self.watch.0, seen) {
            (Watched::Http(http), WatchedFacts::Http(seen)) => http.wrong(seen),
            (Watched::Tcp(port), WatchedFacts::Tcp(seen)) => check::closed(port, seen),
            (Watched::Command(_), WatchedFacts::Command(seen)) => {
                (seen.code != Some(0)).then(|| format!("the command ended with {}", ended(seen)))
            }
            (Watched::File(file), WatchedFacts::File(seen)) => {
                seen.is_none().then(|| format!("`{}` is not there", file.path))
            }
            _ => Some("facts of another kind came back".into()),
        }
    }
}

impl Action for WaitFor {
    const NAME: &'static str = "wait.for";
    const ABOUT: &'static str = "Waits until something answers, accepts, succeeds or is there";
    const EXAMPLE: &'static str = r#"- name: Until the new version answers
  wait.for: {http: "http://{{ host.address }}:8080/health", within: 2m, every: 5s}"#;
    const TRAITS: Traits = Traits::LOOKS;
    type Args = WaitArgs;
    type On = Watch;
    fn bind(args: WaitArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let every = args.every.unwrap_or(Span::secs(1));
        if every.0 < Duration::from_millis(100) {
            return Err(Refusal::of("every", format!("100ms or more expected, got {every}")));
        }
        let watched = match (args.http, args.tcp, args.command, args.file) {
            (Some(HttpOr::Url(url)), None, None, None) => Watched::Http(check::HttpArgs::of(url).resolve(target)?),
            (Some(HttpOr::Args(http)), None, None, None) => Watched::Http(http.resolve(target)?),
            (None, Some(TcpOr::Text(text)), None, None) => {
                let (host, port) = host_and_port(&text)
                    .ok_or_else(|| Refusal::of("tcp", format!("HOST:PORT expected, got `{text}`")))?;
                Watched::Tcp(check::TcpArgs { host: Some(host), port, from: args::From::Here }.resolve(target)?)
            }
            (None, Some(TcpOr::Args(tcp)), None, None) => Watched::Tcp(tcp.resolve(target)?),
            (None, None, Some(run), None) => {
                Watched::Command(Saying { at: target.place(), run: run.read("command", target)? })
            }
            (None, None, None, Some(path)) => {
                Watched::File(File { at: target.place(), path: args::absolute("file", path)? })
            }
            _ => return Err(Refusal::new("one of `http`, `tcp`, `command` and `file` expected")),
        };
        Ok(Self { watch: Watch(watched), within: args.within.unwrap_or(Span::secs(60)), every })
    }
    fn on(&self) -> &Watch {
        &self.watch
    }
    fn next(&self, turn: &Turn<WatchedFacts>) -> Next {
        match self.missing(&turn.seen) {
            None => Next::done(),
            Some(why) if turn.elapsed >= self.within.0 || turn.late => {
                Next::GiveUp(format!("waited for {}: {why}", self.within))
            }
            Some(why) => Next::wait(why, self.every.0),
        }
    }
    fn undo(&self, _: &Turn<WatchedFacts>) -> Next {
        Next::done()
    }
}

/// What `pause` takes: `for`, or `ask`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseArgs {
    /// How long to wait
    #[serde(rename = "for")]
    time: Option<Span>,
    /// What to ask the person at the terminal
    ask: Option<String>,
    /// A written answer is wanted, not only a yes
    #[serde(default)]
    evidence: bool,
}

/// `pause`.
#[derive(Serialize, Deserialize)]
pub(super) struct Pause {
    time: Option<Span>,
    ask: Option<String>,
    evidence: bool,
    nothing: Nothing,
}

impl Action for Pause {
    const NAME: &'static str = "pause";
    const ABOUT: &'static str = "Waits a while, or asks the person at the terminal";
    const EXAMPLE: &'static str = "- name: The cable is plugged in by hand
  pause: {ask: Is the cable of the new switch plugged in?, evidence: true}";
    const TRAITS: Traits = Traits { changes: false, ..Traits::TELLS };
    type Args = PauseArgs;
    type On = Nothing;
    fn bind(args: PauseArgs, _: &Target<'_>) -> Result<Self, Refusal> {
        let ask = args.ask.map(|a| args::plain("ask", a)).transpose()?;
        match (&args.time, &ask) {
            (Some(_), None) if args.evidence => Err(Refusal::of("evidence", "only `ask` can have evidence")),
            (None, Some(text)) if text.trim().is_empty() => Err(Refusal::of("ask", "a question expected")),
            (Some(_), None) | (None, Some(_)) => {
                Ok(Self { time: args.time, ask, evidence: args.evidence, nothing: Nothing {} })
            }
            _ => Err(Refusal::new("one of `for` and `ask` expected")),
        }
    }
    fn on(&self) -> &Nothing {
        &self.nothing
    }
    fn next(&self, turn: &Turn<NoFacts>) -> Next {
        if let Some(question) = &self.ask {
            return match turn.did.last() {
                None => {
                    let change = Change::Ask { question: question.clone(), evidence: self.evidence };
                    Next::act(Place::HERE.at(change), Value::Null)
                }
                Some(receipt) if receipt.stdout.redacted || receipt.stdout.is_empty() => Next::done(),
                Some(receipt) => Next::Done { outputs: json!({"answer": receipt.stdout.text}) },
            };
        }
        let left = self.time.unwrap_or_default().0.saturating_sub(turn.elapsed);
        if left.is_zero() { Next::done() } else { Next::wait(format!("{} left", whole(left)), left) }
    }
    fn undo(&self, _: &Turn<NoFacts>) -> Next {
        Next::done()
    }
}

/// Rounded up to a second, for people.
fn whole(time: Duration) -> Span {
    Span::secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
