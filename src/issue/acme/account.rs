//! The account with an ACME server: made once, kept in a file that only its owner may read, and used from then on.

use super::{
    AcmeError, Server,
    client::{Patience, Way},
    told,
};
use crate::issue::safe;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The part of a file of credentials that is looked at here: the key in it is nobody's business.
#[derive(Deserialize)]
struct Kept {
    directory: Option<String>,
}

/// An account that is open, and what its server last wanted to be waited for.
pub(super) struct Open {
    pub(super) account: Account,
    pub(super) patience: Patience,
}

/// Opens the account that is kept; none: there is none yet.
pub(super) async fn open(server: &Server) -> Result<Option<Open>, AcmeError> {
    let Some(path) = kept(server)? else { return Ok(None) };
    let wrong = |why: String| AcmeError::Refused(format!("the account in `{}` cannot be used: {why}", path.display()));
    let text = Zeroizing::new(fs::read(&path).map_err(|e| wrong(e.to_string()))?);
    // serde's own words would tell a piece of the file
    let credentials: AccountCredentials =
        serde_json::from_slice(&text).map_err(|e| wrong(format!("line {} is not as svcops wrote it", e.line())))?;
    let patience = Patience::default();
    let way = Way::new(server.ca.as_deref(), patience.clone())?;
    let builder = Account::builder_with_http(Box::new(way));
    let account = builder.from_credentials(credentials).await.map_err(|e| told::words(server, &e, &patience))?;
    Ok(Some(Open { account, patience }))
}

/// Opens the account, or makes it. One process at a time makes one.
pub(super) async fn open_or_make(server: &Server) -> Result<Open, AcmeError> {
    if let Some(open) = open(server).await? {
        return Ok(open);
    }
    let _lock = lock(&server.folder).await?;
    if let Some(open) = open(server).await? {
        return Ok(open);
    }
    let patience = Patience::default();
    let way = Way::new(server.ca.as_deref(), patience.clone())?;
    let contact: Vec<&str> = server.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let bound = server.eab.as_ref().map(|(kid, key)| {
        let bytes = crate::issue::base64(key.reveal().trim()).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.map(Zeroizing::new).ok_or_else(|| {
            AcmeError::Refused(format!("the key `{kid}` of `eab` is no base64: it is used as the authority shows it"))
        })?;
        Ok(ExternalAccountKey::new(kid.clone(), &bytes))
    });
    let bound = bound.transpose()?;
    let made =
        Account::builder_with_http(Box::new(way)).create(&wanted, server.directory.clone(), bound.as_ref()).await;
    let (account, credentials) = made.map_err(|e| match (&server.eab, &e) {
        (Some((kid, _)), instant_acme::Error::Api(problem)) => told::unbound(server, kid, problem),
        _ => told::words(server, &e, &patience),
    })?;
    keep(server, &credentials)?;
    Ok(Open { account, patience })
}

/// The file of the account with this directory.
fn kept(server: &Server) -> Result<Option<PathBuf>, AcmeError> {
    for path in [server.folder.join("account.json"), aside(&server.folder, &server.directory)] {
        match fs::read(&path).map(Zeroizing::new) {
            Ok(text) => {
                let is_ours = serde_json::from_slice::<Kept>(&text)
                    .map_err(|e| {
                        AcmeError::Refused(format!(
                            "the account in `{}` cannot be read: line {} is not as svcops wrote it",
                            path.display(),
                            e.line()
                        ))
                    })?
                    .directory;
                if is_ours.as_deref() == Some(&server.directory) {
                    return Ok(Some(path));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(AcmeError::Refused(format!("could not read `{}`: {e}", path.display()))),
        }
    }
    Ok(None)
}

/// Writes it down; the account with another directory is kept beside it, for who comes back to that one.
fn keep(server: &Server, credentials: &AccountCredentials) -> Result<(), AcmeError> {
    let path = server.folder.join("account.json");
    let failed =
        |e: std::io::Error| AcmeError::Refused(format!("could not keep the account in `{}`: {e}", path.display()));
    let text = serde_json::to_vec(credentials).map(Zeroizing::new);
    let text = text.map_err(|_| AcmeError::Refused("the account cannot be written as JSON".to_owned()))?;
    if let Ok(old) = fs::read(&path).map(Zeroizing::new)
        && let Ok(Kept { directory: Some(other) }) = serde_json::from_slice(&old)
    {
        fs::rename(&path, aside(&server.folder, &other)).map_err(failed)?;
    }
    safe::write(&path, &text, safe::PRIVATE).map_err(failed)
}

fn aside(folder: &Path, directory: &str) -> PathBuf {
    let hash = crate::base::Hash::of(directory.as_bytes());
    folder.join(format!("account-{}.json", hash.short()))
}

/// Held while something is made that must be made once.
pub(super) async fn lock(folder: &Path) -> Result<fs::File, AcmeError> {
    let failed =
        |e: std::io::Error| AcmeError::Refused(format!("could not use the folder `{}`: {e}", folder.display()));
    safe::private_folder(folder).map_err(failed)?;
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, safe::PRIVATE);
    let file = options.create(true).truncate(false).write(true).open(folder.join("lock")).map_err(failed)?;
    let taken = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    taken.map_err(|e| AcmeError::Refused(e.to_string()))?.map_err(failed)
}
