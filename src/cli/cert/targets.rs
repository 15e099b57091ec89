//! What `cert check` is asked to look at: words of a command line, lists, and what `svcops.yaml` declares.

use crate::{
    base::{HostName, words},
    cert::dial::Endpoint,
    cli::{Face, words::Failure},
    inventory::Inventory,
    runbook::Project,
    survey::cert::{Ask, OnHost, Own, Target, declared},
    ui::message::Message,
};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

/// The project, opened when the first word needs it: endpoints and files need none.
pub(super) struct Targets<'a> {
    face: &'a Face,
    project: OnceCell<Project>,
    asks: Vec<Ask>,
    own: BTreeMap<String, Own>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(face: &'a Face) -> Self {
        Self { face, project: OnceCell::new(), asks: Vec::new(), own: BTreeMap::new() }
    }

    pub(super) fn project(&self) -> Result<&Project, Failure> {
        if self.project.get().is_none() {
            // it was not there a moment ago
            let _set = self.project.set(self.face.project()?).is_ok();
        }
        self.project.get().ok_or_else(|| Failure::wrong(Message::error("there is no project")))
    }

    /// Each place once, in the order in which it was named; and what declared certificates are held against.
    pub(super) fn done(self) -> Result<(Vec<Ask>, BTreeMap<String, Own>, Option<Project>), Failure> {
        let mut asks = self.asks;
        let mut seen = HashSet::new();
        asks.retain(|ask| seen.insert(ask.clone()));
        if asks.is_empty() {
            // of nothing that was looked at a monitor must not hear that it is well
            return Err(Failure::wrong(Message::error("there is no target to look at")));
        }
        Ok((asks, self.own, self.project.into_inner()))
    }

    /// All that is declared, or what is declared under one name.
    pub(super) fn declared(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let project = self.project()?;
        let inventory = &project.inventory;
        let chosen = self.face.hosts(inventory)?.map(HashSet::<HostName>::from_iter);
        let takes = |host: &HostName| chosen.as_ref().is_none_or(|chosen| chosen.contains(host));
        let (mut asks, mut own) = (Vec::new(), BTreeMap::new());
        for certificate in inventory.certificates.values().filter(|c| name.is_none_or(|name| c.name == name)) {
            let places = declared::places(inventory, certificate, &takes);
            asks.extend(places.map_err(|e| Failure::wrong(Message::of(&e)))?);
            own.insert(certificate.name.clone(), declared::own(inventory, &project.root, certificate));
        }
        if name.is_none() && inventory.certificates.is_empty() {
            let message = Message::error("`svcops.yaml` declares no certificates, and no target is named");
            return Err(Failure::wrong(message.hint("`svcops cert check HOST:PORT` needs no declaration")));
        }
        if asks.is_empty() && chosen.is_some() {
            let message = Message::error("no place of a declared certificate is on a selected host");
            return Err(Failure::wrong(message.hint("`svcops cert list` shows where certificates lie")));
        }
        self.asks.extend(asks);
        self.own.extend(own);
        Ok(())
    }

    /// A word of the command line; `-` is a list on stdin.
    pub(super) fn word(&mut self, word: &str) -> Result<(), Failure> {
        if word != "-" {
            return self.one(word);
        }
        let mut text = String::new();
        let read = std::io::stdin().take(MOST_BYTES).read_to_string(&mut text);
        read.map_err(|e| Failure::wrong(Message::error("could not read stdin").because(words::io(&e))))?;
        for line in text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
            self.one(line)?;
        }
        Ok(())
    }

    fn one(&mut self, word: &str) -> Result<(), Failure> {
        let path = Path::new(word);
        if path.is_dir() {
            let mut files = Vec::new();
            folder(path, &mut files, 0)?;
            if files.is_empty() {
                let message = format!("there is no file of certificates in the folder `{word}`");
                let hint = format!("it looks for .{}", ENDINGS.join(", ."));
                return Err(Failure::wrong(Message::error(message).hint(hint)));
            }
            self.asks.extend(files.into_iter().map(|file| Ask::from(Target::File(file))));
            return Ok(());
        }
        if path.is_file() || word.starts_with(['/', '.']) {
            self.asks.push(Target::File(path.to_owned()).into());
            return Ok(());
        }
        if let Some((host, path)) = on_host(word) {
            let host = self.host(host)?;
            self.asks.push(Target::OnHost(OnHost { path: path.to_owned(), ..host }).into());
            return Ok(());
        }
        if !word.contains(['.', ':', '/']) && self.declares(word) {
            return self.declared(Some(word));
        }
        match word.parse::<Endpoint>() {
            Ok(endpoint) => self.asks.push(Target::Endpoint(endpoint).into()),
            Err(e) => {
                let hint =
                    "a target is HOST:PORT, SCHEME://HOST, HOST:/PATH, a file, a folder or a declared certificate";
                return Err(Failure::wrong(Message::error(e.to_string()).hint(hint)));
            }
        }
        Ok(())
    }

    /// Whether a project that is here declares a certificate of that name. Without one, or with one that does not read, a
    /// word is a host's name.
    fn declares(&self, name: &str) -> bool {
        if self.project.get().is_none() && Project::find(&self.face.global.dir).is_none() {
            return false;
        }
        self.project().is_ok_and(|project| project.inventory.certificates.contains_key(name))
    }

    fn host(&self, name: &str) -> Result<OnHost, Failure> {
        let inventory: &Inventory = &self.project()?.inventory;
        let Some(host) = inventory.host(name) else {
            let message = Message::error(format!("`svcops.yaml` has no host `{name}`"));
            let near = words::nearest(name, inventory.hosts.iter().map(|host| host.name.as_str()));
            return Err(Failure::wrong(match near {
                Some(near) => message.hint(format!("did you mean `{near}`?")),
                None => message.hint("`svcops inventory hosts` lists them"),
            }));
        };
        let become_user = host.ssh.become_user.clone();
        Ok(OnHost { host: host.name.clone(), become_user, path: String::new() })
    }
}

/// `dc1-app1:/etc/billing/tls.crt`, and not `https://…`.
fn on_host(word: &str) -> Option<(&str, &str)> {
    let (host, path) = word.split_once(':')?;
    (!host.is_empty() && path.starts_with('/') && !path.starts_with("//")).then_some((host, path))
}

/// A list of a million endpoints has some 30 MB.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Files that are named like certificates, at most so many folders deep.
fn folder(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), Failure> {
    let listed = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<PathBuf> =
        listed.map_err(|e| Failure::file("read", path, &e))?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() && depth < 8 && !entry.is_symlink() {
            folder(&entry, files, depth + 1)?;
        } else if entry.is_file() && entry.extension().is_some_and(|e| ENDINGS.iter().any(|known| e == *known)) {
            files.push(entry);
        }
    }
    Ok(())
}

const ENDINGS: [&str; 6] = ["pem", "crt", "cer", "der", "p12", "pfx"];
