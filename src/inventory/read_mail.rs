//! Reads `mail:`.

use super::{Mail, SecretSource, read::suggest, read_apps};
use crate::{
    base::{Login, Smtp, Span, Spot, Tls, letter, words},
    yaml::{Fault, Faults, Fields, Node, Notes},
};
use std::collections::BTreeMap;

/// How long a mail may take unless `timeout` says: servers look through a mail before they take it.
const TIMEOUT: Span = Span::secs(60);

/// `mail:` as read, with the place of the secret that it names: secrets may stand in other files.
pub(super) struct DraftMail {
    mail: Mail,
    password: Option<Spot>,
}

impl DraftMail {
    /// Holds it against the secrets that are declared.
    pub(super) fn held(self, secrets: &BTreeMap<String, SecretSource>, faults: &mut Faults) -> Mail {
        if let (Some(login), Some(spot)) = (&self.mail.smtp.login, self.password)
            && !secrets.contains_key(&login.password)
        {
            let near = words::nearest(&login.password, secrets.keys().map(String::as_str));
            let fault = Fault::error(spot, format!("there is no secret `{}`", login.password));
            faults.0.push(suggest(fault, near, "declare under `secrets:` where the password comes from"));
        }
        self.mail
    }
}

pub(super) fn mail(node: &Node, notes: &mut Notes) -> Option<DraftMail> {
    let mut fields = Fields::of(node, "`mail:`", notes)?;
    let server = fields.need("smtp", notes).and_then(|n| read_apps::host_port(n, notes));
    let from = fields.need("from", notes).and_then(|n| {
        let from = n.text(notes)?;
        if !letter::is_address(letter::named_address(&from).1) || from.contains(char::is_control) {
            notes.hinted(
                n.mark,
                format!("`{from}` is no mail address"),
                "write svcops@example.org, or \"Duty <svcops@example.org>\"",
            );
        }
        Some(from)
    });
    let tls = fields.take("tls", notes).and_then(|n| {
        let tls = match n.word(&["none", "starttls", "tls"], notes)?.as_str() {
            "none" => Tls::None,
            "starttls" => Tls::Starttls,
            _ => Tls::Tls,
        };
        Some((n.mark, tls))
    });
    let user = fields.text("user", notes);
    let password = fields.take("password", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
    let ca = fields.take("ca", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
    let within = fields.span("timeout", notes).unwrap_or(TIMEOUT);
    let mark = fields.mark;
    fields.end(notes);
    let spot = password.as_ref().map(|(mark, _)| notes.spot(*mark));
    let login = match (user, password) {
        (Some(user), Some((_, password))) => Some(Login { user, password }),
        (None, None) => None,
        _ => {
            notes.hinted(mark, "`user` and `password` go together", "`password` names a secret of `secrets:`");
            None
        }
    };
    let mut smtp = Smtp { server: server?, tls: Tls::Starttls, login, ca: None, within };
    smtp.tls = tls.map_or_else(|| smtp.usual(), |(_, tls)| tls);
    if let (Tls::None, Some((mark, _))) = (smtp.tls, &ca) {
        notes.hinted(*mark, "an unencrypted connection has no use for `ca`", "write `tls: starttls` or `tls: tls`");
    }
    smtp.ca = ca.map(|(_, path)| path);
    if let (Tls::None, Some((mark, _)), Some(_), false) = (smtp.tls, tls, &smtp.login, smtp.is_here()) {
        notes.hinted(
            mark,
            "the password would travel unencrypted",
            "write `tls: starttls`, or drop `user` and `password`",
        );
    }
    Some(DraftMail { mail: Mail { smtp, from: from? }, password: spot })
}
