//! `file.*`: put a file, or take it away. An undo brings the earlier one back, unless somebody has changed it since.

use super::{Action, Next, Refusal, Target, Turn, args};
use crate::{
    base::{At, Change, Content, FileFacts, Source, Text},
    resources::File,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What `file.copy` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyArgs {
    /// The file to copy, relative to the project's folder
    src: Option<String>,
    /// Or its text
    #[serde(default, deserialize_with = "args::said")]
    #[schemars(with = "Option<String>")]
    content: Option<String>,
    /// Where it goes: an absolute path
    dest: String,
    /// Permission bits, such as "0644"; as they are unless given
    mode: Option<String>,
    /// The owner; as it is unless given
    owner: Option<String>,
    /// The group; as it is unless given
    group: Option<String>,
    /// A command that must exit 0 before the file is put in place; `%s` stands for the new file
    validate: Option<String>,
}

/// What `file.template` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateArgs {
    /// The template, relative to the project's folder
    src: String,
    /// Where it goes: an absolute path
    dest: String,
    /// Permission bits, such as "0644"; as they are unless given
    mode: Option<String>,
    /// The owner; as it is unless given
    owner: Option<String>,
    /// The group; as it is unless given
    group: Option<String>,
    /// A command that must exit 0 before the file is put in place; `%s` stands for the new file
    validate: Option<String>,
}

/// What `file.absent` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsentArgs {
    /// The file that must not be there: an absolute path
    dest: String,
}

/// A file as it should be.
#[derive(Serialize, Deserialize)]
struct Wanted {
    file: File,
    content: Content,
    mode: Option<u32>,
    owner: Option<String>,
    group: Option<String>,
    validate: Option<String>,
}

impl Wanted {
    fn meets(&self, seen: &FileFacts) -> bool {
        let as_said = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|w| w == is);
        seen.hash == self.content.hash
            && self.mode.is_none_or(|mode| mode == seen.mode)
            && as_said(&self.owner, &seen.owner)
            && as_said(&self.group, &seen.group)
    }
    fn next(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        if turn.seen.as_ref().is_some_and(|seen| self.meets(seen)) {
            return Next::Done { outputs: json!({"changed": turn.seen != turn.before}) };
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("`{}` on `{}` is not as it was written", self.file.path, self.file.at));
        }
        let mut expect = json!({"hash": self.content.hash});
        if let (Some(map), Some(mode)) = (expect.as_object_mut(), self.mode) {
            map.insert("mode".into(), json!(mode));
        }
        Next::act(self.write(), expect)
    }
    fn undo(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        let ours = match &turn.after {
            Some(after) => *after == turn.seen,
            None => turn.seen.as_ref().is_some_and(|seen| self.meets(seen)),
        };
        restore(&self.file, ours, turn)
    }
    fn write(&self) -> At<Change> {
        self.file.at.at(Change::WriteFile {
            path: self.file.path.clone(),
            content: self.content.clone(),
            mode: self.mode,
            owner: self.owner.clone(),
            group: self.group.clone(),
            validate: self.validate.clone(),
        })
    }
}

/// One move back to the earlier file, or to none.
fn restore(file: &File, ours: bool, turn: &Turn<Option<FileFacts>>) -> Next {
    if turn.seen == turn.before {
        return Next::done();
    }
    if !turn.did.is_empty() {
        return Next::GiveUp(format!("`{}` on `{}` is not as it was before", file.path, file.at));
    }
    if !ours {
        return Next::GiveUp(format!(
            "somebody has changed `{}` on `{}` since: it is left as it is",
            file.path, file.at
        ));
    }
    match &turn.before {
        Some(before) => {
            let change = Change::WriteFile {
                path: file.path.clone(),
                content: Content { hash: before.hash.clone(), size: before.size, from: Source::Undo },
                mode: Some(before.mode),
                owner: Some(before.owner.clone()),
                group: Some(before.group.clone()),
                validate: None,
            };
            Next::act(file.at.at(change), json!({"hash": before.hash, "mode": before.mode}))
        }
        None => Next::act(file.at.at(Change::RemoveFile(file.path.clone())), Value::Null),
    }
}

/// `file.copy`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Copy(Wanted);

impl Action for Copy {
    const NAME: &'static str = "file.copy";
    const ABOUT: &'static str = "Puts a file on the host, unless it is there already";
    const EXAMPLE: &'static str = r#"- name: New configuration
  file.copy: {src: files/billing.conf, dest: /etc/billing/billing.conf, mode: "0644"}
  then: [{app.restart: {app: billing}}]"#;
    type Args = CopyArgs;
    type On = File;
    fn bind(args: CopyArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let content = match (args.src, args.content) {
            (Some(src), None) => target.contents.file(&args::plain("src", src)?)?,
            (None, Some(text)) => target.contents.text(&Text(text))?,
            _ => return Err(Refusal::new("one of `src` and `content` expected")),
        };
        let said = Said { mode: args.mode, owner: args.owner, group: args.group, validate: args.validate };
        Ok(Self(said.wanted(args.dest, content, target)?))
    }
    fn on(&self) -> &File {
        &self.0.file
    }
    fn next(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        self.0.next(turn)
    }
    fn undo(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        self.0.undo(turn)
    }
}

/// `file.template`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Template(Wanted);

impl Action for Template {
    const NAME: &'static str = "file.template";
    const ABOUT: &'static str = "Fills in a template and puts it on the host, unless it is there already";
    const EXAMPLE: &'static str = r#"- name: Limits by the size of the host
  file.template: {src: files/limits.conf.tmpl, dest: /etc/billing/limits.conf, validate: "grep -q workers %s"}"#;
    type Args = TemplateArgs;
    type On = File;
    fn bind(args: TemplateArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let template = target.contents.template(&args::plain("src", args.src)?)?;
        let content = target.contents.text(&target.contents.render(&template)?)?;
        let said = Said { mode: args.mode, owner: args.owner, group: args.group, validate: args.validate };
        Ok(Self(said.wanted(args.dest, content, target)?))
    }
    fn on(&self) -> &File {
        &self.0.file
    }
    fn next(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        self.0.next(turn)
    }
    fn undo(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        self.0.undo(turn)
    }
}

/// `file.absent`.
#[derive(Serialize, Deserialize)]
pub(super) struct Absent {
    file: File,
}

impl Action for Absent {
    const NAME: &'static str = "file.absent";
    const ABOUT: &'static str = "Takes a file away, if it is there";
    const EXAMPLE: &'static str = "- name: Take the old switch away
  file.absent: {dest: /etc/billing/legacy.flag}";
    type Args = AbsentArgs;
    type On = File;
    fn bind(args: AbsentArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { file: File { at: target.place(), path: args::absolute("dest", args.dest)? } })
    }
    fn on(&self) -> &File {
        &self.file
    }
    fn next(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        if turn.seen.is_none() {
            return Next::Done { outputs: json!({"changed": turn.before.is_some()}) };
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("`{}` on `{}` is there again", self.file.path, self.file.at));
        }
        Next::act(self.file.at.at(Change::RemoveFile(self.file.path.clone())), Value::Null)
    }
    fn undo(&self, turn: &Turn<Option<FileFacts>>) -> Next {
        restore(&self.file, turn.seen.is_none(), turn)
    }
}

/// What was said of a file beside its content and place.
struct Said {
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    validate: Option<String>,
}

impl Said {
    fn wanted(self, dest: String, content: Content, target: &Target<'_>) -> Result<Wanted, Refusal> {
        let name = |key: &str, name: Option<String>| {
            let name = name.map(|n| args::plain(key, n)).transpose()?;
            match &name {
                Some(n) if n.is_empty() || n.starts_with('-') || n.contains([':', '/', ' ', '\n']) => {
                    Err(Refusal::of(key, format!("the name of a user or group expected, got `{n}`")))
                }
                _ => Ok(name),
            }
        };
        let validate = self.validate.map(|v| args::plain("validate", v)).transpose()?;
        if validate.as_ref().is_some_and(|v| !v.contains("%s")) {
            return Err(Refusal::of("validate", "a command with `%s` for the new file expected"));
        }
        Ok(Wanted {
            file: File { at: target.place(), path: args::absolute("dest", dest)? },
            content,
            mode: self.mode.as_deref().map(args::mode).transpose()?,
            owner: name("owner", self.owner)?,
            group: name("group", self.group)?,
            validate,
        })
    }
}
