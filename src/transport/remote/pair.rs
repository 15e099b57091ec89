//! A certificate and its key on a host: the scripts that look at them and change them, and what the looks say.

use super::super::{
    shell::{Frames, quote, words},
    vault::{Bytes, Vault},
};
use super::act::{Ready, said};
use crate::{
    base::{Act, At, FileFacts, Hash, Keystore, PairChange, PairFacts, PairSpot, Read, StagedKey, StagedRequest},
    cert::{Certificate, Request, Wanted, pem::Pieces},
};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// What both share.
const PAIR: &str = include_str!("pair.sh");
/// Looks.
const LOOK: &str = include_str!("pair-look.sh");
/// Changes; behind the script that puts files at their places.
const ACT: &str = include_str!("pair-act.sh");
/// Looks at one file.
const FILE: &str = include_str!("file.sh");

/// What a probe calls: `s_pair NAME USER PASSWORD CERTIFICATE KIND FILE…`. As the login user if that will do.
pub(crate) fn lesson() -> String {
    let look = format!(
        "P_name=$1 P_kind=$2 P_keyfile=$3 P_certfile=${{4:-$3}}\nIFS= read -r P_pass || P_pass=\n\
         p_file() (\n{FILE}\n)\n{PAIR}\n{LOOK}\np_look\n"
    );
    let session = r#"s_pair() {
  S_name=$1 S_user=$2 S_word=$3
  shift 3
  S_text=$(sh -c "$S_pair" svcops "$@" 2>&1 <<SVCOPS_PASS
$S_word
SVCOPS_PASS
  ) || S_text=$(s_as "$S_user" sh -c "$S_pair" svcops "$@" 2>&1 <<SVCOPS_PASS
$S_word
SVCOPS_PASS
  )
  S_word=
  s_text "$S_name" "$S_text"
}
"#;
    format!("S_pair={}\n{session}", quote(&super::super::shell::bare(&look)))
}

/// The part of a probe's script for one pair.
///
/// # Errors
/// The password of its store cannot be had, or a path is none, in words.
pub(crate) fn script(number: usize, read: &At<Read>, vault: &Vault) -> Result<Zeroizing<String>, String> {
    let Read::Pair(spot) = &read.what else { return Err("this is no pair".to_owned()) };
    let password = password(spot, vault)?;
    let user = quote(read.at.become_user.as_deref().unwrap_or_default());
    let (kind, files) = kind(spot)?;
    let files = words([spot.name.as_str(), kind].into_iter().chain(files));
    Ok(Zeroizing::new(format!("s_pair r{number} {user} {} {files}\n", *Zeroizing::new(quote(&password)))))
}

/// An act on a pair, made ready; why it cannot be, in words.
pub(crate) fn ready(act: &Act, spot: &PairSpot, change: &PairChange, vault: &Vault) -> Result<Ready, String> {
    let (kind, files) = kind(spot)?;
    let key_file = spot.key_file();
    let cert_file = files.last().copied().unwrap_or(key_file);
    let mut facts = vec![
        ("P_run", act.run.as_str().to_owned()),
        ("P_name", spot.name.clone()),
        ("P_kind", kind.to_owned()),
        ("P_keyfile", key_file.to_owned()),
        ("P_certfile", cert_file.to_owned()),
    ];
    let needs_password = matches!(change, PairChange::Switch { .. } | PairChange::Restore { .. });
    let password = if needs_password { password(spot, vault)? } else { Zeroizing::default() };
    let deed = match change {
        PairChange::MakeKey { algorithm, names } => {
            facts.push(("P_algorithm", algorithm.word().to_owned()));
            facts.push(("P_config", config(names)?));
            "p_make\n".to_owned()
        }
        PairChange::Switch { spki, pem, mode, owner, group } => {
            facts.push(("P_spki", spki.clone()));
            facts.push(("P_pem", pem.0.clone()));
            facts.push(("P_mode", mode.map(|m| format!("{m:o}")).unwrap_or_default()));
            facts.push(("P_owner", owner.clone().unwrap_or_default()));
            facts.push(("P_group", group.clone().unwrap_or_default()));
            "p_switch\n".to_owned()
        }
        PairChange::Restore { files: before, spki } => {
            facts.push(("P_spki", spki.clone()));
            let mut deed = "p_ready\np_restage\n".to_owned();
            for path in spot.files() {
                deed.push_str(&back(path, before.get(path).and_then(Option::as_ref)));
            }
            deed + "p_restored\n"
        }
        PairChange::Drop => "p_drop\n".to_owned(),
    };
    let mut script = String::new();
    for (name, value) in &facts {
        writeln!(script, "{name}={}", quote(value)).map_err(|e| e.to_string())?;
    }
    let pass = if needs_password { "IFS= read -r P_pass || P_pass=\n" } else { "P_pass=\n" };
    let place = super::act::PLACE;
    let argv = words(["sh", "-c", &format!("{pass}{script}{place}\n{PAIR}\n{ACT}\n{deed}"), "svcops-pair"]);
    let input = needs_password.then(|| {
        let mut line = Zeroizing::new(password.as_bytes().to_vec());
        line.push(b'\n');
        Bytes::Held(line)
    });
    Ok(Ready { argv, input, script: None, env: Zeroizing::default(), cwd: String::new() })
}

fn back(path: &str, file: Option<&FileFacts>) -> String {
    let words = file
        .map_or_else(|| words([path, ""]), |f| words([path, &f.hash.0, &format!("{:o}", f.mode), &f.owner, &f.group]));
    format!("p_back {words}\n")
}

/// The kind of a store in the scripts' word, and its files, the key's first.
fn kind(spot: &PairSpot) -> Result<(&'static str, Vec<&str>), String> {
    let files = spot.files();
    let odd = |text: &str| text.contains(['\n', '\r', '\0']);
    if spot.name.is_empty() || spot.name.contains('/') || odd(&spot.name) {
        return Err(format!("`{}` cannot be the name of a certificate", spot.name.escape_debug()));
    }
    if let Some(path) = files.iter().find(|path| !path.starts_with('/') || path.ends_with('/') || odd(path)) {
        return Err(format!("`{}` is not the absolute path of a file", path.escape_debug()));
    }
    let kind = match &spot.store {
        Keystore::Files { cert, key } if cert == key => {
            return Err(format!("`{key}` is named for both the certificate and its key"));
        }
        Keystore::Files { .. } => "files",
        Keystore::Pem(_) => "pem",
        Keystore::Pkcs12 { .. } => "pkcs12",
    };
    Ok((kind, files))
}

fn password(spot: &PairSpot, vault: &Vault) -> Result<Zeroizing<String>, String> {
    let Keystore::Pkcs12 { path, password } = &spot.store else { return Ok(Zeroizing::default()) };
    let filled = vault.secret(password).map_err(said)?;
    let text = Zeroizing::new(filled.reveal().to_owned());
    // openssl reads one line
    if text.contains(['\n', '\r', '\0']) {
        return Err(format!("the password of `{path}` has more than one line"));
    }
    Ok(text)
}

/// What `openssl req` is told. Every name is read as one first, so that none brings a line, a `$` or a section of its own.
fn config(names: &[String]) -> Result<String, String> {
    /// `ub-common-name`, RFC 5280, appendix A.
    const LONGEST_CN: usize = 64;
    let mut list = String::new();
    let mut common = None;
    for (number, name) in names.iter().enumerate() {
        let wild = name.strip_prefix("*.");
        let wanted: Wanted = wild.unwrap_or(name).parse().map_err(|e: crate::cert::BadName| e.to_string())?;
        let (kind, text) = match (&wanted, wild) {
            (Wanted::Dns(name), Some(_)) => ("DNS", format!("*.{name}")),
            (Wanted::Dns(name), None) => ("DNS", name.clone()),
            (Wanted::Ip(ip), None) => ("IP", ip.to_string()),
            (Wanted::Ip(_), Some(_)) => return Err(format!("`{name}` is no name of a host")),
        };
        common = common.or_else(|| (text.len() <= LONGEST_CN && number == 0).then(|| text.clone()));
        writeln!(list, "{kind}.{} = {text}", number + 1).map_err(|e| e.to_string())?;
    }
    if list.is_empty() {
        return Err("a certificate needs at least one name".to_owned());
    }
    let (dn, critical) = match common {
        Some(common) => (format!("distinguished_name = dn\n[dn]\nCN = {common}\n"), ""),
        None => ("distinguished_name = none\n[none]\n".to_owned(), "critical, "),
    };
    Ok(format!(
        "[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\nreq_extensions = asked\n{dn}[asked]\n\
         subjectAltName = {critical}@names\n[names]\n{list}"
    ))
}

/// The answer to [`script`].
pub(crate) fn answer(number: usize, spot: &PairSpot, frames: &Frames) -> Result<PairFacts, String> {
    let text = String::from_utf8_lossy(frames.bytes(&format!("r{number}")).unwrap_or_default()).into_owned();
    facts(spot, &text).map_err(|why| format!("could not look at `{}`: {why}", spot.key_file()))
}

/// One answer of `pair-look.sh`: what its line says, and what follows.
pub(super) struct Part<'a> {
    pub(super) what: &'a str,
    pub(super) words: &'a str,
    pub(super) body: String,
}

pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix('@'), parts.last_mut()) {
            (Some(head), _) => {
                let (what, words) = head.split_once(' ').unwrap_or((head, ""));
                parts.push(Part { what, words, body: String::new() });
            }
            (None, Some(part)) => {
                part.body.push_str(line);
                part.body.push('\n');
            }
            // a shell that complains, or sudo
            (None, None) => return Err(line.trim().to_owned()),
        }
    }
    Ok(parts)
}

fn facts(spot: &PairSpot, text: &str) -> Result<PairFacts, String> {
    let mut facts = PairFacts::default();
    let mut obstacles: Vec<String> = Vec::new();
    let mut shown = Vec::new();
    let mut paths = spot.files().into_iter();
    let mut certs_named = false;
    for part in parts(text)? {
        match part.what {
            "bad" => return Err(part.words.to_owned()),
            "obstacle" => obstacles.push(part.words.to_owned()),
            "file" => {
                let path = paths.next().ok_or("the host named one file too many")?;
                let lines = format!("{}\n{}", part.words, part.body);
                facts.files.insert(path.to_owned(), super::probe::file(path, &lines)?);
            }
            "key" => facts.key = digest(part.words),
            "certs" => {
                certs_named = true;
                shown = certificates(&part.body)?;
            }
            "staged-key" => facts.staged.key = staged_key(part.words),
            "staged-request" => facts.staged.request = request(&part.body),
            "staged-chain" => {
                let hash = digest(part.words).map(Hash).ok_or("the host gave no hash of the staged certificate")?;
                // one that does not read is as good as none: another takes its place
                let first = certificates(&part.body).unwrap_or_default().into_iter().next();
                facts.staged.chain = first.map(|cert| cert.leaf(hash));
            }
            other => return Err(format!("the host answered `@{other}`")),
        }
    }
    if facts.files.len() != spot.files().len() {
        return Err("the host did not name all of its files".to_owned());
    }
    if certs_named && shown.is_empty() && obstacles.is_empty() {
        obstacles.push("there is no certificate in PEM in it".to_owned());
    }
    facts.obstacle = obstacles.into_iter().next();
    // a store of PKCS#12 has no order
    let own = shown.iter().position(|cert| Some(cert.key_fingerprint()) == facts.key).unwrap_or(0);
    let pem = Hash::of(shown.iter().flat_map(|cert| cert.der().to_vec()).collect::<Vec<_>>().as_slice());
    let pem = match (&spot.store, facts.files.values().flatten().next()) {
        (Keystore::Files { cert, .. }, Some(_)) => {
            facts.files.get(cert).and_then(Option::as_ref).map_or(pem, |file| file.hash.clone())
        }
        _ => pem,
    };
    facts.installed = shown.get(own).map(|cert| cert.leaf(pem));
    facts.key_fits = facts.installed.as_ref().is_some_and(|leaf| facts.key.as_deref() == Some(&leaf.spki));
    Ok(facts)
}

fn digest(word: &str) -> Option<String> {
    let good = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| word.to_ascii_lowercase())
}

fn certificates(text: &str) -> Result<Vec<Certificate>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    Pieces::read(text.as_bytes()).map(|pieces| pieces.certificates).map_err(|e| e.to_string())
}

fn staged_key(words: &str) -> Option<StagedKey> {
    let mut words = words.split_ascii_whitespace();
    let (spki, hash, size) = (words.next()?, words.next()?, words.next()?);
    Some(StagedKey { spki: digest(spki)?, hash: Hash(digest(hash)?), size: size.parse().ok()? })
}

/// A request, if it reads and whoever made it has its key.
fn request(text: &str) -> Option<StagedRequest> {
    let pieces = Pieces::read(text.as_bytes()).ok()?;
    let request = Request::from_der(pieces.requests.first()?).ok()?;
    let names = request.names.iter().map(ToString::to_string).collect();
    (request.proven != Some(false)).then(|| StagedRequest {
        pem: text.to_owned(),
        spki: request.key_fingerprint,
        names,
    })
}
