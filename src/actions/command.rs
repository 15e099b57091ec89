//! `command` and `script`: what has no model. The one place where a receipt is all there is.

use super::{Action, Next, Refusal, Target, Traits, Turn, app, args};
use crate::{
    base::{At, Change, Invocation, Lock, Program, Receipt, Text},
    resources::{Resource, WorkFacts, Workplace},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What `command` takes: a text for `/bin/sh -c`, a list of a program and its arguments, or one of them with more.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum CommandArgs {
    /// A text for `/bin/sh -c`
    Shell(String),
    /// A program and its arguments, without a shell
    Argv(Vec<String>),
    /// A command with more
    Long(LongArgs),
}

/// The long form of `command`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongArgs {
    /// A text for `/bin/sh -c`, or a list of a program and its arguments
    run: args::Words,
    /// An absolute path: the command is not run if it is there, and must have made it afterwards
    creates: Option<String>,
    /// A command that changes nothing: if it exits 0, the command is not run
    unless: Option<args::Words>,
    /// What it reads
    #[serde(default, deserialize_with = "args::said")]
    #[schemars(with = "Option<String>")]
    stdin: Option<String>,
    /// Its environment
    #[serde(default, deserialize_with = "args::named")]
    #[schemars(with = "BTreeMap<String, String>")]
    env: BTreeMap<String, String>,
    /// Where it runs; the home folder unless given
    cwd: Option<String>,
    /// What it must say
    #[serde(default)]
    expect: args::Expected,
}

/// What `script` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptArgs {
    /// The script, relative to the project's folder
    src: Option<String>,
    /// Or its text
    inline: Option<String>,
    /// Its arguments
    #[serde(default, deserialize_with = "args::list")]
    #[schemars(with = "Vec<String>")]
    args: Vec<String>,
    /// What runs it; its own first line unless given
    interpreter: Option<String>,
    /// An absolute path: the script is not run if it is there, and must have made it afterwards
    creates: Option<String>,
    /// A command that changes nothing: if it exits 0, the script is not run
    unless: Option<args::Words>,
    /// What it reads
    #[serde(default, deserialize_with = "args::said")]
    #[schemars(with = "Option<String>")]
    stdin: Option<String>,
    /// Its environment
    #[serde(default, deserialize_with = "args::named")]
    #[schemars(with = "BTreeMap<String, String>")]
    env: BTreeMap<String, String>,
    /// Where it runs; the home folder unless given
    cwd: Option<String>,
    /// What it must say
    #[serde(default)]
    expect: args::Expected,
}

impl<'de> Deserialize<'de> for CommandArgs {
    /// By hand: an untagged enum would hide which word of the long form is wrong.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Value::deserialize(d)? {
            Value::String(text) => Ok(Self::Shell(text)),
            list @ Value::Array(_) => args::list(list).map(Self::Argv).map_err(de::Error::custom),
            map @ Value::Object(_) => serde_json::from_value(map).map(Self::Long).map_err(de::Error::custom),
            other => Err(de::Error::custom(format!("a text, a list or a map with `run` expected, got {other}"))),
        }
    }
}

/// What both do once they are bound.
#[derive(Serialize, Deserialize)]
struct Work {
    place: Workplace,
    run: Invocation,
    /// A text that must stand in the output.
    stdout: Option<String>,
}

impl Work {
    fn next(&self, turn: &Turn<WorkFacts>) -> Next {
        let Some(receipt) = turn.did.last() else {
            if let (Some(true), Some(path)) = (turn.seen.created, &self.place.creates) {
                return Next::Done { outputs: json!({"changed": false, "why": format!("`{path}` is there")}) };
            }
            if turn.seen.unless.as_ref().is_some_and(|run| run.code == Some(0)) {
                return Next::Done { outputs: json!({"changed": false, "why": "`unless` holds"}) };
            }
            return Next::act(self.change(), json!({}));
        };
        if let Some(want) = &self.stdout
            && receipt.code.is_some()
            && !receipt.stdout.text.contains(want.as_str())
        {
            return Next::GiveUp(format!("its output has no `{want}`"));
        }
        if let (Some(false), Some(path)) = (turn.seen.created, &self.place.creates) {
            return Next::GiveUp(format!("it did not create `{path}`"));
        }
        Next::Done { outputs: outputs(receipt) }
    }
    fn change(&self) -> At<Change> {
        self.place.at.at(Change::Run(self.run.clone()))
    }
}

/// What later steps may use of a receipt. An output that holds a secret is left out; so is all that a plan cannot know.
fn outputs(receipt: &Receipt) -> Value {
    let mut outputs = Map::from_iter([("changed".to_owned(), json!(true))]);
    let Some(code) = receipt.code else { return outputs.into() };
    outputs.insert("code".into(), json!(code));
    for (name, output) in [("stdout", &receipt.stdout), ("stderr", &receipt.stderr)] {
        if !output.redacted {
            outputs.insert(name.into(), json!(output.text.strip_suffix('\n').unwrap_or(&output.text)));
        }
    }
    outputs.into()
}

/// `command`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Command(Work);

impl Action for Command {
    const NAME: &'static str = "command";
    const ABOUT: &'static str = "Runs a command on the host";
    const EXAMPLE: &'static str = "- name: Build the index, unless it is there
  command: {run: [/usr/local/bin/index, --build], creates: /var/lib/billing/index}
  touches: [file:/var/lib/billing/index]
  undo: [{command: rm -f /var/lib/billing/index}]";
    const TRAITS: Traits = Traits::OPAQUE;
    type Args = CommandArgs;
    type On = Workplace;
    fn bind(args: CommandArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let words = |run| LongArgs {
            run,
            creates: None,
            unless: None,
            stdin: None,
            env: BTreeMap::new(),
            cwd: None,
            expect: args::Expected::default(),
        };
        let long = match args {
            CommandArgs::Shell(text) => words(args::Words::Shell(text)),
            CommandArgs::Argv(argv) => words(args::Words::Argv(argv)),
            CommandArgs::Long(long) => long,
        };
        let program = long.run.program("run")?;
        let around = Around {
            creates: long.creates,
            unless: long.unless,
            stdin: long.stdin,
            env: long.env,
            cwd: long.cwd,
            expect: long.expect,
        };
        Ok(Self(around.work(program, target)?))
    }
    fn on(&self) -> &Workplace {
        &self.0.place
    }
    fn next(&self, turn: &Turn<WorkFacts>) -> Next {
        self.0.next(turn)
    }
    fn undo(&self, _: &Turn<WorkFacts>) -> Next {
        Next::GiveUp("a command cannot undo itself: the step needs `undo:`".into())
    }
}

/// `script`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Script(Work);

impl Action for Script {
    const NAME: &'static str = "script";
    const ABOUT: &'static str = "Sends a script to the host and runs it there";
    const EXAMPLE: &'static str = r#"- name: Rotate the logs
  id: rotate
  script: {inline: "set -e\nlogrotate -f /etc/logrotate.d/billing\n", expect: {code: 0}}
  timeout: 2m
  on_failure: continue"#;
    const TRAITS: Traits = Traits::OPAQUE;
    type Args = ScriptArgs;
    type On = Workplace;
    fn bind(args: ScriptArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let content = match (args.src, args.inline) {
            (Some(src), None) => target.contents.file(&args::plain("src", src)?)?,
            (None, Some(text)) => target.contents.text(&Text(args::plain("inline", text)?))?,
            _ => return Err(Refusal::new("one of `src` and `inline` expected")),
        };
        let program = Program::Script {
            content,
            interpreter: args.interpreter.map(|i| args::plain("interpreter", i)).transpose()?,
            args: args.args.into_iter().map(|a| args::plain("args", a)).collect::<Result<_, _>>()?,
        };
        let around = Around {
            creates: args.creates,
            unless: args.unless,
            stdin: args.stdin,
            env: args.env,
            cwd: args.cwd,
            expect: args.expect,
        };
        Ok(Self(around.work(program, target)?))
    }
    fn on(&self) -> &Workplace {
        &self.0.place
    }
    fn next(&self, turn: &Turn<WorkFacts>) -> Next {
        self.0.next(turn)
    }
    fn undo(&self, _: &Turn<WorkFacts>) -> Next {
        Next::GiveUp("a script cannot undo itself: the step needs `undo:`".into())
    }
}

/// What stands around a program in a step.
struct Around {
    creates: Option<String>,
    unless: Option<args::Words>,
    stdin: Option<String>,
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    expect: args::Expected,
}

impl Around {
    fn work(self, program: Program, target: &Target<'_>) -> Result<Work, Refusal> {
        for name in self.env.keys() {
            let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(Refusal::of("env", format!("letters, digits and `_` expected as a name, got `{name}`")));
            }
        }
        let locks = target.touches.iter().map(|t| touched(t, target)).collect::<Result<Vec<_>, _>>()?;
        let place = Workplace {
            at: target.place(),
            touches: match locks.as_slice() {
                [Some(one)] => Some(one.clone()),
                _ => None,
            },
            creates: self.creates.map(|c| args::absolute("creates", c)).transpose()?,
            unless: self.unless.map(|u| u.read("unless", target)).transpose()?,
        };
        let run = Invocation {
            stdin: self.stdin.map(Text),
            env: args::texts(self.env),
            cwd: self.cwd.map(|c| args::absolute("cwd", c)).transpose()?,
            codes: self.expect.code.into_iter().collect(),
            touches: target.touches.to_vec(),
            ..Invocation::of(program, target.span())
        };
        Ok(Work { place, run, stdout: self.expect.stdout.map(|s| args::plain("expect", s)).transpose()? })
    }
}

/// The lock of what a `touches:` names; none for the whole host.
fn touched(text: &str, target: &Target<'_>) -> Result<Option<Lock>, Refusal> {
    let host = target.place();
    match text.split_once(':') {
        None if text == "host" => Ok(None),
        Some(("app", name)) => Ok(Some(app::find(name, target)?.lock())),
        Some(("unit", name)) if name.contains('.') => Ok(Some(Lock(format!("{host}/unit/{name}")))),
        Some(("unit", name)) => {
            Err(Refusal::of("touches", format!("a unit with its suffix expected, such as `unit:{name}.service`")))
        }
        Some(("file", path)) => {
            args::absolute("touches", path.to_owned()).map(|path| Some(Lock(format!("{host}/file{path}"))))
        }
        _ => Err(Refusal::of(
            "touches",
            format!("`host`, `app:NAME`, `unit:NAME` or `file:PATH` expected, got `{text}`"),
        )),
    }
}
