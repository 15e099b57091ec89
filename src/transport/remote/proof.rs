//! Files that prove a name over HTTP, on a host: one script that looks, puts and takes away.

use super::act::Ready;
use crate::{
    base::{Invocation, Program, ProofBy, ProofChange, ProofFacts, ProofSpot, RunFacts, Span},
    transport::shell::words,
};
use zeroize::Zeroizing;

const SCRIPT: &str = include_str!("proof.sh");

/// How long a look may take.
const LOOK: Span = Span::secs(20);

/// A look, as a command.
///
/// # Errors
/// It names no folder, in words.
pub(super) fn look(by: &ProofBy) -> Result<Invocation, String> {
    Ok(Invocation::of(Program::Argv(argv("look", by, "", "")?), LOOK))
}

/// What the look says.
pub(super) fn facts(ended: &RunFacts) -> Result<ProofFacts, String> {
    if ended.code != Some(0) {
        let said = ended.stderr.lines().last().unwrap_or("it did not end well");
        return Err(said.to_owned());
    }
    let said = |word: &str| ended.stdout.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    let folders = said("folders").and_then(|number| number.parse().ok()).ok_or("its answer cannot be read")?;
    let served = ended.stdout.lines().filter_map(|line| line.strip_prefix("value ")?.split_once(' '));
    Ok(ProofFacts { served: served.map(|(token, text)| (token.to_owned(), text.to_owned())).collect(), folders })
}

/// An act, made ready; why it cannot be, in words.
pub(super) fn ready(spot: &ProofSpot, change: &ProofChange) -> Result<Ready, String> {
    let (verb, more) = match change {
        ProofChange::Put(text) => ("put", text.clone()),
        ProofChange::Drop { folders } => ("drop", folders.to_string()),
    };
    if spot.token.is_empty() {
        return Err("a file has a name".to_owned());
    }
    let argv = argv(verb, &spot.by, &spot.token, &more)?;
    let argv = words(argv.iter().map(String::as_str));
    Ok(Ready { argv, input: None, script: None, env: Zeroizing::default(), cwd: String::new() })
}

/// The words of the script. What stands in them is public: whoever asks for the file gets it.
fn argv(verb: &str, by: &ProofBy, token: &str, more: &str) -> Result<Vec<String>, String> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if token.contains('.') || !plain(token) || !plain(more) {
        return Err(format!("`{}` is no token of a server of ACME", token.escape_debug()));
    }
    let (kind, place) = match by {
        ProofBy::Webroot(root) if !root.starts_with('/') || root.contains(['\n', '\0']) => {
            return Err(format!("`{}` is not the absolute path of a folder", root.escape_debug()));
        }
        ProofBy::Webroot(root) => ("webroot", root.trim_end_matches('/').to_owned()),
        ProofBy::Responder(port) => ("responder", port.to_string()),
    };
    let words = ["/bin/sh", "-c", SCRIPT, "svcops-proof", verb, kind, &place, token, more];
    Ok(words.map(str::to_owned).into())
}
