//! What opens PKCS#12 files, and what is shown to servers that ask for a client's certificate.

use super::targets::Targets;
use crate::{
    base::{Redactor, Text},
    cert::{dial, pem},
    cli::words::Failure,
    survey::cert::Password,
    transport::vault::Vault,
    ui::{message::Message, prompt},
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use std::{path::Path, sync::Arc};

/// The secret of a name, or what the person at the terminal types.
pub(super) fn password(of: &Targets<'_>, name: Option<&str>, ask: bool) -> Result<Option<Password>, Failure> {
    if let Some(name) = name {
        let project = of.project()?;
        let secrets = project.inventory.secrets.clone();
        if !secrets.contains_key(name) {
            let message = Message::error(format!("`svcops.yaml` declares no secret `{name}`"));
            return Err(Failure::wrong(message.hint("`--ask-password` asks for one")));
        }
        let vault = Vault::new(secrets, project.root.clone(), Redactor::default());
        let value = vault.secret(name).map_err(|e| Failure::wrong(Message::of(&e)))?;
        return Ok(Some(Password { text: Text(Text::mark(name)), value }));
    }
    if !ask {
        return Ok(None);
    }
    let value = prompt::secret("Password of PKCS#12").map_err(|e| Failure::wrong(Message::of(&e)))?;
    Ok(Some(Password { text: Text(value.reveal().to_owned()), value }))
}

/// A certificate with its chain, and its key: in the same file, or in one of its own.
pub(super) fn client(cert: &Path, key: Option<&Path>) -> Result<Arc<CertifiedKey>, Failure> {
    let read = |file: &Path| {
        let bytes = pem::read(file).map_err(|e| Failure::file("read", file, &e))?;
        pem::Pieces::read(&bytes).map_err(|e| bad(file, e.to_string()))
    };
    let chain = read(cert)?;
    let (of, keys) = match key {
        Some(file) => (file, read(file)?.keys),
        None => (cert, chain.keys),
    };
    let Some(key) = keys.into_iter().next() else {
        let hint = "`--client-key FILE` names the file of the key";
        return Err(Failure::wrong(
            Message::error("there is no private key in it").row("file", of.display().to_string()).hint(hint),
        ));
    };
    if key.encrypted {
        return Err(bad(of, "the key of the client is encrypted, and cannot be opened here".into()));
    }
    let chain: Vec<CertificateDer<'static>> =
        chain.certificates.iter().map(|cert| CertificateDer::from(cert.der().to_vec())).collect();
    if chain.is_empty() {
        return Err(bad(cert, "there is no certificate in it".into()));
    }
    let der = PrivateKeyDer::try_from(key.der.to_vec()).map_err(|why| bad(of, why.to_owned()))?;
    let pair = CertifiedKey::from_der(chain, der, dial::provider());
    pair.map(Arc::new).map_err(|why| bad(of, format!("it cannot be shown to servers: {why}")))
}

fn bad(file: &Path, why: String) -> Failure {
    Failure::wrong(Message::error(why).row("file", file.display().to_string()))
}
