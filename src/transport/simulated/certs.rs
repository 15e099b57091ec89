//! Certificates in the simulated world. A key is a name of its own, a request and a chain are texts that say what they are:
//! nothing here computes a signature, and no text holds a time, so that two plans of one thing are one.

use super::{
    links::{Consumer, Key},
    world::{Opened, World},
};
use crate::{
    base::{
        Answer, At, Content, FileFacts, Hash, HostName, Keystore, Leaf, PairChange, PairFacts, PairSpot, Place, Read,
        ServedAsk, ServedFacts, Source, Staged, StagedKey, StagedRequest, UnitState,
    },
    cert::pem::Pieces,
};
use std::collections::BTreeMap;

/// Where a pair is.
pub(super) type PairKey = (HostName, PairSpot);

/// Begins the text of a certificate that was never signed.
const MARK: &str = "-----SIMULATED CERTIFICATE-----";

/// The text of a chain that a simulated issuer gives: what [`leaf_of`] reads as this leaf. Of the leaf's own
/// [`Leaf::pem`] nothing is kept.
pub fn chain_text(leaf: &Leaf) -> String {
    let leaf = Leaf { pem: Hash(String::new()), ..leaf.clone() };
    format!("{MARK}\n{}\n", serde_json::to_string(&leaf).unwrap_or_default())
}

/// The first certificate of a text, real or simulated.
pub fn leaf_of(text: &str) -> Option<Leaf> {
    let pem = Hash::of(text.as_bytes());
    match text.strip_prefix(MARK) {
        Some(rest) => serde_json::from_str::<Leaf>(rest.trim()).ok().map(|leaf| Leaf { pem, ..leaf }),
        None => Pieces::read(text.as_bytes()).ok()?.certificates.first().map(|cert| cert.leaf(pem)),
    }
}

/// What stands at a pair's place, in words.
pub(super) fn stands(facts: &PairFacts) -> String {
    let mut is = facts.installed.as_ref().map_or_else(|| "absent".to_owned(), |leaf| format!("serial {}", leaf.serial));
    if facts.installed.is_some() && !facts.key_fits {
        is += ", with another key";
    }
    let Staged { key, request, chain } = &facts.staged;
    for (there, what) in [(key.is_some(), "key"), (request.is_some(), "request"), (chain.is_some(), "chain")] {
        if there {
            is += &format!(", {what} staged");
        }
    }
    is
}

impl World {
    pub(super) fn learn_pair(&mut self, host: &HostName, spot: &PairSpot, facts: &PairFacts) {
        let at = Place::on(host);
        for (path, file) in &facts.files {
            let read: At<Read> = at.at(Read::File { path: path.clone() });
            self.learn(&read, &Answer::File(file.clone()));
        }
        self.pairs.insert((host.clone(), spot.clone()), facts.clone());
    }

    pub(super) fn pair(&self, host: &HostName, spot: &PairSpot) -> Answer {
        let open = |path: &&str| self.is_open(&Opened::File((host.clone(), (*path).to_owned())));
        if spot.files().iter().any(open) {
            return Answer::Open;
        }
        let known = self.pairs.get(&(host.clone(), spot.clone()));
        known.map_or(Answer::Open, |facts| Answer::Pair(Box::new(facts.clone())))
    }

    /// Something was written where a pair's staged things lie, or taken away there.
    pub(super) fn wrote_staged(&mut self, host: &HostName, path: &str, content: Option<&Content>) {
        let from = content.map(|content| &content.from);
        let text = match from {
            Some(Source::Text(text)) => Some(text.shown()),
            _ => None,
        };
        let key = match from {
            Some(Source::Host { at, path }) => {
                content.and_then(|content| self.key_at(at.host.as_ref()?, path, content))
            }
            _ => None,
        };
        for ((on, spot), facts) in &mut self.pairs {
            if on != host {
                continue;
            }
            if spot.staged_chain() == path {
                facts.staged.chain = text.as_deref().and_then(leaf_of);
            } else if spot.staged_key() == path {
                facts.staged.key.clone_from(&key);
            } else if spot.staged_request() == path {
                facts.staged.request = text.as_deref().and_then(request_of);
            }
        }
    }

    /// What a process would show if it read its certificates now, by place; those that nobody has looked at are left out.
    pub(super) fn shows_now(&self, key: &Key) -> BTreeMap<PairKey, ServedFacts> {
        let consumers = self.links.consumers.iter().filter(|consumer| consumer.app.as_ref() == Some(key));
        let known = |consumer: &Consumer| {
            let pair = self.pairs.get(&consumer.pair)?;
            Some((consumer.pair.clone(), shown(pair)))
        };
        consumers.filter_map(known).collect()
    }

    /// Whether it cannot read its certificates: a key is another certificate's.
    pub(super) fn has_half_a_pair(&self, key: &Key) -> bool {
        let own = self.links.consumers.iter().filter(|consumer| consumer.app.as_ref() == Some(key));
        own.filter_map(|consumer| self.pairs.get(&consumer.pair)).any(|pair| pair.installed.is_some() && !pair.key_fits)
    }

    /// An endpoint was seen to show something: so does the process behind it.
    pub(super) fn learn_served(&mut self, ask: &ServedAsk, facts: &ServedFacts) {
        let Some(consumer) = self.links.consumer(&ask.endpoint) else { return };
        let (pair, app) = (consumer.pair.clone(), consumer.app.clone());
        if let Some(process) = app.and_then(|app| self.processes.get_mut(&app)).filter(|p| !p.changed) {
            process.shows.insert(pair, facts.clone());
        }
    }

    /// What was seen of a process's endpoints before it was met.
    pub(super) fn shown_before(&self, key: &Key) -> BTreeMap<PairKey, ServedFacts> {
        let seen = self.learnt.iter().filter_map(|(read, answer)| match (&read.what, answer) {
            (Read::Served(ask), Answer::Served(facts)) => {
                let consumer = self.links.consumer(&ask.endpoint)?;
                (consumer.app.as_ref() == Some(key)).then(|| (consumer.pair.clone(), facts.clone()))
            }
            _ => None,
        });
        seen.collect()
    }

    /// What an endpoint shows; none: it is linked to nothing here.
    pub(super) fn served(&self, ask: &ServedAsk) -> Option<Answer> {
        let consumer = self.links.consumer(&ask.endpoint)?;
        let Some(app) = &consumer.app else {
            return self.pairs.get(&consumer.pair).map(|pair| Answer::Served(shown(pair)));
        };
        if self.is_open(&Opened::Process(app.clone())) {
            return Some(Answer::Open);
        }
        let process = self.processes.get(app)?;
        if !process.changed {
            // whatever else has changed on its host: it shows what it showed
            return process.shows.get(&consumer.pair).map(|shown| Answer::Served(shown.clone()));
        }
        let refused = || ServedFacts { error: Some("connection refused".to_owned()), ..ServedFacts::default() };
        if process.unit.state != UnitState::Active {
            return Some(Answer::Served(refused()));
        }
        Some(process.shows.get(&consumer.pair).map_or(Answer::Open, |shown| Answer::Served(shown.clone())))
    }

    /// The key that lies at a path of another host, staged or in place.
    fn key_at(&self, host: &HostName, path: &str, content: &Content) -> Option<StagedKey> {
        self.pairs.iter().filter(|((on, _), _)| on == host).find_map(|((_, spot), facts)| {
            let spki = if spot.staged_key() == path {
                facts.staged.key.as_ref()?.spki.clone()
            } else if spot.key_file() == path {
                facts.key.clone()?
            } else {
                return None;
            };
            Some(StagedKey { spki, hash: content.hash.clone(), size: content.size })
        })
    }

    pub(super) fn change_pair(
        &mut self,
        host: &HostName,
        spot: &PairSpot,
        change: &PairChange,
        actor: &str,
    ) -> Result<(), String> {
        let key = (host.clone(), spot.clone());
        let before = self.pairs.get(&key).cloned().ok_or("nobody has looked at this pair")?;
        let after = match change {
            PairChange::MakeKey { names, .. } => {
                self.tick();
                // named by how many were made there, whatever else happened meanwhile: two ways to one end are one end
                let count = self.keys_made.entry(key.clone()).or_default();
                *count += 1;
                let made = Hash::of(format!("{host} {} {count}", spot.staged_key()).as_bytes());
                let staged = StagedKey { spki: made.0.clone(), hash: Hash::of(made.0.as_bytes()), size: 241 };
                let mut request = StagedRequest { pem: String::new(), spki: made.0, names: names.clone() };
                request.pem = serde_json::to_string(&request).map_err(|e| e.to_string())? + "\n";
                let staged = Staged { key: Some(staged), request: Some(request), chain: None };
                PairFacts { staged, ..before }
            }
            PairChange::Drop => PairFacts { staged: Staged::default(), ..before },
            PairChange::Switch { spki, pem, mode, owner, group } => {
                let chain = before.staged.complete().filter(|leaf| leaf.spki == *spki && leaf.pem == *pem);
                let chain = chain.ok_or("what is staged is another by now")?.clone();
                let said = Said { mode: *mode, owner: owner.as_deref(), group: group.as_deref(), actor };
                let files = said.files(spot, &before, &chain);
                for path in spot.files() {
                    self.keep(host, path);
                }
                if let Some(mode) = mode.filter(|mode| mode & 0o004 != 0) {
                    let path = spot.key_file();
                    self.harm.push(format!("`{path}` on `{host}` holds a key and others can read it ({mode:04o})"));
                }
                self.former.push((key.clone(), before.clone()));
                PairFacts {
                    key: Some(chain.spki.clone()),
                    key_fits: true,
                    installed: Some(chain),
                    obstacle: None,
                    files,
                    staged: Staged::default(),
                }
            }
            PairChange::Restore { files, spki } => {
                for file in files.values().flatten() {
                    if !self.kept.contains(&(host.clone(), file.hash.clone())) {
                        return Err(format!("the undo folder has no content {}", file.hash.short()));
                    }
                }
                let mut staged = before.staged.clone();
                if staged.key.is_none() && before.key.as_ref() == Some(spki) {
                    let hash = Hash::of(spki.as_bytes());
                    staged.key = Some(StagedKey { spki: spki.clone(), hash, size: 241 });
                    staged.chain = before.installed.filter(|leaf| leaf.spki == *spki);
                }
                let former = self.former.iter().rev().find(|(at, was)| *at == key && was.files == *files);
                let former = former.map(|(_, was)| was.clone()).unwrap_or_default();
                // its request is kept as well
                let waited = |was: &PairFacts| was.staged.complete().is_some_and(|leaf| leaf.spki == *spki);
                if let Some((_, was)) = self.former.iter().rev().find(|(at, was)| *at == key && waited(was))
                    && staged.request.is_none()
                    && staged.chain.is_some()
                {
                    staged.request.clone_from(&was.staged.request);
                }
                PairFacts { files: files.clone(), staged, ..former }
            }
        };
        for (path, file) in &after.files {
            self.files.insert((host.clone(), path.clone()), file.clone());
        }
        let staged = &after.staged;
        for (gone, path) in [
            (staged.key.is_none(), spot.staged_key()),
            (staged.request.is_none(), spot.staged_request()),
            (staged.chain.is_none(), spot.staged_chain()),
        ] {
            if let Some(file) = self.files.get_mut(&(host.clone(), path)).filter(|_| gone) {
                *file = None;
            }
        }
        self.pairs.insert(key, after);
        Ok(())
    }
}

/// What a server shows that has read this pair.
fn shown(pair: &PairFacts) -> ServedFacts {
    match &pair.installed {
        Some(leaf) => ServedFacts {
            serial: Some(leaf.serial.clone()),
            fingerprint: Some(leaf.fingerprint.clone()),
            not_after: Some(leaf.not_after),
            error: None,
        },
        None => ServedFacts { error: Some("there is no certificate to show".to_owned()), ..ServedFacts::default() },
    }
}

/// What is said of the files of a new pair.
struct Said<'a> {
    mode: Option<u32>,
    owner: Option<&'a str>,
    group: Option<&'a str>,
    actor: &'a str,
}

impl Said<'_> {
    fn files(&self, spot: &PairSpot, before: &PairFacts, chain: &Leaf) -> BTreeMap<String, Option<FileFacts>> {
        let key = before.staged.key.as_ref();
        let file = |path: &str, holds_key: bool| {
            let old = before.files.get(path).and_then(Option::as_ref);
            let (hash, size) = match (&spot.store, holds_key) {
                (Keystore::Files { .. }, true) => key.map_or_else(unnamed, |k| (k.hash.clone(), k.size)),
                (Keystore::Files { .. }, false) => (chain.pem.clone(), 1),
                _ => (Hash::of(format!("{} {}", chain.pem, chain.spki).as_bytes()), 1),
            };
            let or = |said: Option<&str>, is: Option<&String>| {
                said.map(str::to_owned).or_else(|| is.cloned()).unwrap_or_else(|| self.actor.to_owned())
            };
            let wanted = self.mode.filter(|_| holds_key);
            FileFacts {
                hash,
                size,
                mode: wanted.or(old.map(|o| o.mode)).unwrap_or(if holds_key { 0o600 } else { 0o644 }),
                owner: or(self.owner, old.map(|o| &o.owner)),
                group: or(self.group, old.map(|o| &o.group)),
                link: old.and_then(|o| o.link.clone()),
            }
        };
        let path = |path: &str| (path.to_owned(), Some(file(path, path == spot.key_file())));
        spot.files().into_iter().map(path).collect()
    }
}

fn unnamed() -> (Hash, u64) {
    (Hash::of(b""), 0)
}

/// A request that the simulated world made, or a real one that was seen.
fn request_of(text: &str) -> Option<StagedRequest> {
    let known: StagedRequest = serde_json::from_str(text.trim()).ok()?;
    Some(StagedRequest { pem: text.to_owned(), ..known })
}
