use super::*;
use crate::{
    actions::{Action, Facts, Next, Refusal, Target, Traits, Turn},
    base::{At, HostName, Lock, Read},
    resources::{Answers, ReadError, Resource},
    ui::faults::plain,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;

/// A thing without facts: binding is all that lint does.
#[derive(Serialize, Deserialize)]
struct Thing(HostName);

impl Resource for Thing {
    type Facts = ();
    fn lock(&self) -> Lock {
        Lock(self.0.to_string())
    }
    fn parents(&self) -> Vec<Lock> {
        Vec::new()
    }
    fn reads(&self) -> Vec<At<Read>> {
        Vec::new()
    }
    fn facts(&self, _: &mut Answers) -> Result<(), ReadError> {
        Ok(())
    }
}

macro_rules! action {
    ($name:ident, $key:literal, $traits:ident, $args:ty, $bind:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $name(Thing);
        impl Action for $name {
            const NAME: &'static str = $key;
            const ABOUT: &'static str = "Stands in for the real one.";
            const TRAITS: Traits = Traits::$traits;
            type Args = $args;
            type On = Thing;
            fn bind(args: $args, target: &Target<'_>) -> Result<Self, Refusal> {
                let check: fn($args, &Target<'_>) -> Result<(), Refusal> = $bind;
                check(args, target).map(|()| Self(Thing(target.host.name.clone())))
            }
            fn on(&self) -> &Thing {
                &self.0
            }
            fn next(&self, _: &Turn<Facts<Self>>) -> Next {
                Next::done()
            }
            fn undo(&self, _: &Turn<Facts<Self>>) -> Next {
                Next::done()
            }
        }
    };
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct CopyArgs {
    src: Option<String>,
    content: Option<String>,
    dest: String,
    mode: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AppArgs {
    app: String,
}

action!(Copy, "file.copy", CHANGES, CopyArgs, |args, target| {
    args.src.map_or(Ok(()), |src| target.contents.file(&src).map(drop))
});
action!(Template, "file.template", CHANGES, CopyArgs, |args, target| {
    let template = target.contents.template(args.src.as_deref().unwrap_or_default())?;
    target.contents.render(&template).map(drop)
});
action!(Restart, "app.restart", CHANGES, AppArgs, |args, target| {
    let app = target.inventory.apps.get(&args.app);
    let app = app.ok_or_else(|| Refusal::of("app", format!("there is no app `{}`", args.app)))?;
    let here = target.inventory.select(&app.hosts).iter().any(|h| h.name == target.host.name);
    if here { Ok(()) } else { Err(Refusal::of("app", format!("`{}` does not run here", args.app))) }
});
action!(Command, "command", OPAQUE, Value, |_, _| Ok(()));
action!(Check, "check.http", LOOKS, Value, |_, _| Ok(()));
action!(Drain, "haproxy.drain", CHANGES, Value, |_, _| Ok(()));
action!(Enable, "haproxy.enable", CHANGES, Value, |_, _| Ok(()));
action!(Mail, "notify.email", TELLS, Value, |_, _| Ok(()));

const ACTIONS: &[Entry] = &[
    Entry::of::<Copy>(),
    Entry::of::<Template>(),
    Entry::of::<Restart>(),
    Entry::of::<Command>(),
    Entry::of::<Check>(),
    Entry::of::<Drain>(),
    Entry::of::<Enable>(),
    Entry::of::<Mail>(),
];

/// The example's folder as a project of its own.
fn example() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for sub in ["runbooks", "files"] {
        fs::create_dir(folder.path().join(sub)).unwrap();
    }
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/example");
    for file in ["svcops.yaml", "runbooks/billing-restart.yaml", "files/billing.conf"] {
        fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("files/app.tmpl"), "listen {{ host.adress }}\n").unwrap();
    folder
}

#[test]
fn the_example_has_no_fault() {
    let folder = example();
    assert_eq!(plain(&lint(folder.path(), &[], ACTIONS)), "");
}

/// Each `tests/faults/NAME.yaml` is a runbook of the example's project (it says `svcops:`), or a `svcops.yaml`;
/// `NAME.expected` holds its faults. `SVCOPS_BLESS=1` writes what is found.
#[test]
fn every_faulty_file_has_exactly_its_faults() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for case in fs::read_dir(&cases).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().unwrap() == "yaml") {
        let folder = example();
        let text = fs::read(&case).unwrap();
        let runbook = text.windows(7).any(|w| w == b"svcops:");
        let name = if runbook { "runbooks/case.yaml" } else { "svcops.yaml" };
        fs::write(folder.path().join(name), &text).unwrap();
        let paths = if runbook { vec![folder.path().join(name)] } else { Vec::new() };
        let found = plain(&lint(folder.path(), &paths, ACTIONS));
        let expected = case.with_extension("expected");
        if std::env::var_os("SVCOPS_BLESS").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_missing_project_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    assert!(plain(&lint(folder.path(), &[], ACTIONS)).starts_with("error: there is no svcops.yaml in "));
}

#[test]
fn a_large_project_is_linted_with_one_answer_a_fault() {
    let folder = example();
    let text = fs::read_to_string(folder.path().join("runbooks/billing-restart.yaml")).unwrap();
    for i in 0..40 {
        fs::write(folder.path().join(format!("runbooks/r{i}.yaml")), text.replace("billing.conf,", "biling.conf,"))
            .unwrap();
    }
    let found = lint(folder.path(), &[], ACTIONS);
    assert_eq!(found.errors(), 40, "{}", plain(&found));
    assert!(found.0[0].message.ends_with("(on 2 hosts: `dc1-app1`, `dc1-app2`)"), "{}", found.0[0].message);
}
