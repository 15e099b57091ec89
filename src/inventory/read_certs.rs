//! Reads `certificates:`, `issuers:` and `zones:`, and holds them against the rest.

use super::{
    Acme, By, CertPlace, Certificate, Challenge, Due, Eab, Inventory, Issuer, IssuerKind, Profile, Selector, read,
    read_apps::{host_port, selector},
};
use crate::{
    base::{Algorithm, Keystore, Spot, TsigHash, TsigKey, Zone},
    cert::{Wanted, dial::Endpoint},
    yaml::{Fault, Faults, Fields, Key, Kind, Node, Notes},
};
use std::collections::BTreeSet;

/// How long a certificate of one's own authority is good unless said.
const DAYS: u16 = 90;
/// The share of its life that a certificate has left when it is due, unless said.
const RENEW: Due = Due::Share(33);

/// What was read, with the names in it that must be declared elsewhere.
#[derive(Default)]
pub(super) struct Drafts {
    pub(super) certificates: Vec<Certificate>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) zones: Vec<Zone>,
    named: Vec<Named>,
    hosts: Vec<(Selector, Spot)>,
    served: Vec<(String, usize, usize, Spot)>,
    issued: Vec<Issued>,
}

/// Where a certificate that is issued says for what and when.
struct Issued {
    certificate: String,
    names: Spot,
    renew: Option<Spot>,
}

/// A name, of what kind, and where it stands.
struct Named {
    kind: &'static str,
    name: String,
    spot: Spot,
}

impl Drafts {
    fn name(&mut self, kind: &'static str, node: &Node, notes: &mut Notes) -> Option<String> {
        let name = node.text(notes)?;
        self.named.push(Named { kind, name: name.clone(), spot: notes.spot(node.mark) });
        Some(name)
    }

    fn selector(&mut self, node: &Node, notes: &mut Notes) -> Option<Selector> {
        let selector = selector(node, notes)?;
        self.hosts.push((selector.clone(), notes.spot(node.mark)));
        Some(selector)
    }

    pub(super) fn zone(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let Some(mut fields) = Fields::of(node, "a zone", notes) else { return };
        let server = fields.need("server", notes).and_then(|n| host_port(n, notes));
        let mut servers = Vec::new();
        for item in fields.take("servers", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
            servers.extend(host_port(item, notes));
        }
        let signed = fields.take("key", notes).and_then(|n| {
            let mut fields = Fields::of(n, "`key:`", notes)?;
            let name = fields.need("name", notes).and_then(|n| n.text(notes));
            let known: Vec<&str> = TsigHash::ALL.iter().map(|(word, _)| *word).collect();
            let word = fields.take("algorithm", notes).map(|n| n.word(&known, notes));
            let secret = fields.need("secret", notes).and_then(|n| self.name("secret", n, notes));
            fields.end(notes);
            let algorithm = match word {
                None => TsigHash::HmacSha256,
                Some(word) => TsigHash::ALL.iter().find(|(w, _)| Some(*w) == word.as_deref())?.1,
            };
            Some(TsigKey { name: name?, algorithm, secret: secret? })
        });
        fields.end(notes);
        let Some(server) = server else { return };
        if !servers.contains(&server) {
            servers.insert(0, server.clone());
        }
        let name = key.text.trim_end_matches('.').to_lowercase();
        self.zones.push(Zone { name, server, servers, key: signed });
    }

    pub(super) fn issuer(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let Some(mut fields) = Fields::of(node, "an issuer", notes) else { return };
        let ca = fields.take("ca", notes).map(|n| self.ca(n, notes));
        let acme = fields.take("acme", notes).map(|n| self.acme(n, notes).map(IssuerKind::Acme));
        let csr = fields.take("csr", notes).map(|n| {
            let mut fields = Fields::of(n, "`csr:`", notes)?;
            let note = fields.text("note", notes);
            fields.end(notes);
            Some(IssuerKind::Csr { note })
        });
        let trust = fields.text("trust", notes);
        let mark = fields.mark;
        fields.end(notes);
        let mut kinds: Vec<_> = [ca, acme, csr].into_iter().flatten().collect();
        if kinds.len() != 1 {
            notes.error(mark, "an issuer has one of `ca`, `acme`, `csr`");
            return;
        }
        if let Some(kind) = kinds.pop().flatten() {
            self.issuers.push(Issuer { name: key.text.clone(), kind, trust });
        }
    }

    fn ca(&mut self, node: &Node, notes: &mut Notes) -> Option<IssuerKind> {
        let mut fields = Fields::of(node, "`ca:`", notes)?;
        let folder = fields.need("folder", notes).and_then(|n| n.text(notes));
        let password = fields.need("password", notes).and_then(|n| self.name("secret", n, notes));
        let days = fields.take("days", notes).and_then(|n| {
            let days = n.whole(1, notes)?;
            u16::try_from(days).ok().filter(|days| *days <= 3650).or_else(|| {
                notes.error(n.mark, format!("{days} days are more than ten years"));
                None
            })
        });
        let profile = fields.take("profile", notes).and_then(|n| {
            Some(match n.word(&["server", "client", "both"], notes)?.as_str() {
                "client" => Profile::Client,
                "both" => Profile::Both,
                _ => Profile::Server,
            })
        });
        let crl = fields.take("crl", notes).and_then(|n| {
            let url = n.text(notes)?;
            if !url.starts_with("http://") {
                // a client that must check a certificate to fetch the list goes in circles (RFC 5280, 8)
                notes.error(n.mark, format!("`{url}` is no http:// address"));
            }
            Some(url)
        });
        fields.end(notes);
        Some(IssuerKind::Ca {
            folder: folder?,
            password: password?,
            days: days.unwrap_or(DAYS),
            profile: profile.unwrap_or_default(),
            crl,
        })
    }

    fn acme(&mut self, node: &Node, notes: &mut Notes) -> Option<Acme> {
        let mut fields = Fields::of(node, "`acme:`", notes)?;
        let directory = fields.need("directory", notes).and_then(|n| {
            let url = n.text(notes)?;
            if !url.starts_with("https://") {
                notes.error(n.mark, format!("`{url}` is no https:// address"));
            }
            Some(url)
        });
        let ca = fields.text("ca", notes);
        let mut contact = Vec::new();
        for item in fields.take("contact", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
            let Some(text) = item.text(notes) else { continue };
            if !text.starts_with("mailto:") {
                notes.hinted(item.mark, format!("`{text}` is no contact"), format!("write mailto:{text}"));
            }
            contact.push(text);
        }
        let eab = fields.take("eab", notes).and_then(|n| {
            let mut fields = Fields::of(n, "`eab:`", notes)?;
            let kid = fields.need("kid", notes).and_then(|n| n.text(notes));
            let key = fields.need("key", notes).and_then(|n| self.name("secret", n, notes));
            fields.end(notes);
            Some(Eab { kid: kid?, key: key? })
        });
        let challenge = fields.need("challenge", notes).and_then(|n| self.challenge(n, notes));
        fields.end(notes);
        Some(Acme { directory: directory?, ca, contact, eab, challenge: challenge? })
    }

    fn challenge(&mut self, node: &Node, notes: &mut Notes) -> Option<Challenge> {
        let mut fields = Fields::of(node, "`challenge:`", notes)?;
        let dns = fields.flag("dns", notes);
        let http = fields.take("http", notes).and_then(|n| {
            let mut fields = Fields::of(n, "`http:`", notes)?;
            let hosts = fields.need("hosts", notes).and_then(|n| self.selector(n, notes));
            let root = fields.take("webroot", notes).and_then(|n| absolute(n, notes));
            let port = fields.take("port", notes).and_then(|n| {
                let port = n.whole(1, notes)?;
                u16::try_from(port).ok().or_else(|| {
                    notes.error(n.mark, format!("{port} is no port"));
                    None
                })
            });
            let mark = fields.mark;
            fields.end(notes);
            match (root, port) {
                (Some(root), None) => Some(Challenge::Webroot { hosts: hosts?, root }),
                (None, port @ Some(_)) => Some(Challenge::Responder { hosts: hosts?, port: port? }),
                _ => {
                    notes.error(mark, "`http:` has one of `webroot` and `port`");
                    None
                }
            }
        });
        let mark = fields.mark;
        fields.end(notes);
        match (dns, http) {
            (true, None) => Some(Challenge::Dns),
            (false, Some(http)) => Some(http),
            _ => {
                notes.error(mark, "`challenge:` is `dns: true` or `http:`");
                None
            }
        }
    }

    pub(super) fn certificate(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let Some(mut fields) = Fields::of(node, "a certificate", notes) else { return };
        fields.mark = key.mark;
        let title = fields.text("title", notes);
        let names_node = fields.take("names", notes);
        let names = names_node.and_then(|n| n.texts(notes)).unwrap_or_default();
        let issuer = fields.take("issuer", notes).and_then(|n| self.name("issuer", n, notes));
        let shared = fields
            .take("key", notes)
            .and_then(|n| n.word(&["per-host", "shared"], notes))
            .is_some_and(|w| w == "shared");
        let kinds: Vec<&str> = Algorithm::ALL.iter().map(|(word, _)| *word).collect();
        let algorithm = fields.take("algorithm", notes).and_then(|n| n.word(&kinds, notes));
        let algorithm = Algorithm::ALL.iter().find(|(w, _)| Some(*w) == algorithm.as_deref()).map(|(_, a)| *a);
        let renew_node = fields.take("renew", notes);
        let renew = renew_node.and_then(|n| due(n, notes));
        let days = |key, fields: &mut Fields<'_>, notes: &mut Notes| {
            fields.take(key, notes).and_then(|n| whole_days(n, notes))
        };
        let warn = days("warn", &mut fields, notes);
        let crit = days("crit", &mut fields, notes);
        let trust = fields.text("trust", notes);
        let places_node = fields.need("places", notes);
        let mark = fields.mark;
        let mut places = Vec::new();
        let index = self.certificates.len();
        let listed = places_node.and_then(|n| n.list(notes)).unwrap_or_default();
        for item in listed {
            places.extend(self.place(item, (index, places.len(), &key.text), notes));
        }
        fields.end(notes);
        if let (true, Some(node)) = (listed.is_empty(), places_node) {
            notes.error(node.mark, "a certificate has at least one place");
        }
        if issuer.is_some() && names.is_empty() {
            notes.error(mark, format!("`names` is missing: `{}` is issued by svcops", key.text));
        }
        if issuer.is_some() && places.len() == listed.len() && !places.iter().any(|place| place.store.is_some()) {
            notes.hinted(
                mark,
                format!("`{}` is issued by svcops and lies nowhere", key.text),
                "a place needs `hosts:` and `cert:` with `key:`, `pem:` or `pkcs12:`; without `issuer:` it is only watched",
            );
        }
        if let (Some(warn), Some(crit)) = (warn, crit)
            && warn < crit
        {
            notes.error(mark, format!("`warn` of {warn} days comes after `crit` of {crit}"));
        }
        if issuer.is_some() {
            self.issued.push(Issued {
                certificate: key.text.clone(),
                names: notes.spot(names_node.map_or(mark, |n| n.mark)),
                renew: renew_node.map(|n| notes.spot(n.mark)),
            });
        }
        self.certificates.push(Certificate {
            name: key.text.clone(),
            title,
            names,
            issuer,
            shared,
            algorithm: algorithm.unwrap_or_default(),
            renew: renew.unwrap_or(RENEW),
            warn,
            crit,
            trust,
            places,
        });
    }

    fn place(&mut self, node: &Node, at: (usize, usize, &str), notes: &mut Notes) -> Option<CertPlace> {
        let before = notes.faults.errors();
        let mut fields = Fields::of(node, "a certificate's place", notes)?;
        let hosts = fields.take("hosts", notes).and_then(|n| self.selector(n, notes));
        let cert = fields.take("cert", notes).and_then(|n| absolute(n, notes));
        let key = fields.take("key", notes).and_then(|n| absolute(n, notes));
        let pem = fields.take("pem", notes).and_then(|n| absolute(n, notes));
        let pkcs12 = fields.take("pkcs12", notes).and_then(|n| absolute(n, notes));
        let password = fields.take("password", notes).and_then(|n| self.name("secret", n, notes));
        let mode = fields.take("mode", notes).and_then(|n| mode(n, notes));
        let owner = fields.take("owner", notes).and_then(|n| account(n, notes));
        let group = fields.take("group", notes).and_then(|n| account(n, notes));
        let app = fields.take("app", notes).and_then(|n| self.name("app", n, notes));
        let by = fields.take("by", notes).and_then(|n| n.word(&["reload", "restart"], notes));
        let (mut served, mut spots) = (Vec::new(), Vec::new());
        if let Some(node) = fields.take("served", notes) {
            let texts = if let Kind::List(items) = &node.kind { items.as_slice() } else { std::slice::from_ref(node) };
            for item in texts {
                let Some(text) = item.text(notes) else { continue };
                spots.push((at.2.to_owned(), at.1, served.len(), notes.spot(item.mark)));
                if !text.contains("{{")
                    && let Err(why) = text.parse::<Endpoint>()
                {
                    notes.error(item.mark, why.to_string());
                    continue;
                }
                served.push(text);
            }
        }
        let mark = fields.mark;
        fields.end(notes);
        if notes.faults.errors() > before {
            return None;
        }
        let whole = stores([&cert, &key, &pem, &pkcs12].map(Option::as_ref), password);
        let store = match whole {
            Ok(store) => store,
            Err(why) => {
                notes.error(mark, why);
                return None;
            }
        };
        if store.is_some() && hosts.is_none() {
            notes.error(mark, "`hosts` is missing: the files of a place lie on hosts");
            return None;
        }
        if store.is_none() && served.is_empty() {
            notes.error(mark, "a place has files (`cert` and `key`, `pem`, `pkcs12`), or is `served`, or both");
            return None;
        }
        self.served.extend(spots);
        let by = if by.as_deref() == Some("restart") { By::Restart } else { By::Reload };
        Some(CertPlace { hosts, store, mode, owner, group, app, by, served })
    }

    /// Why an issuer cannot give a certificate for its names on a host; none: nothing speaks against it.
    fn unfit(&self, certificate: &Certificate, issuer: &Issuer, inventory: &Inventory) -> Option<String> {
        let hosts = certificate.places.iter().flat_map(|place| inventory.hosts_at(place));
        hosts.into_iter().find_map(|host| {
            let names = match certificate.names_on(host) {
                Ok(names) => names,
                Err(why) => return Some(format!("{why}: {}", why.why)),
            };
            names.into_iter().find_map(|name| {
                if !is_name(&name) {
                    return Some(format!("`{name}` is no name of a host (names of other scripts are written xn--…)"));
                }
                let bare = name.trim_start_matches("*.").trim_end_matches('.').to_lowercase();
                match &issuer.kind {
                    IssuerKind::Acme(Acme { challenge: Challenge::Dns, .. }) => {
                        let lies_in = |zone: &Zone| {
                            bare.strip_suffix(&zone.name).is_some_and(|r| r.is_empty() || r.ends_with('.'))
                        };
                        (!self.zones.iter().any(lies_in)).then(|| {
                            format!("`{name}` is in no zone of `zones:`, and `{}` proves names by the DNS", issuer.name)
                        })
                    }
                    IssuerKind::Acme(_) if name.starts_with("*.") => Some(format!(
                        "`{name}` is proven by the DNS only, and `{}` proves names over HTTP",
                        issuer.name
                    )),
                    _ => None,
                }
            })
        })
    }

    /// Holds all of it against the rest, and takes it in.
    pub(super) fn check(
        self,
        inventory: &mut Inventory,
        declared: &BTreeSet<(&'static str, &str)>,
        faults: &mut Faults,
    ) {
        let named = self.named.iter().map(|Named { kind, name, spot }| (*kind, name.as_str(), spot));
        read::declared(named, declared, faults);
        read::matched(&self.hosts, inventory, faults);
        for (name, place, index, spot) in &self.served {
            let Some(certificate) = self.certificates.iter().find(|c| c.name == *name) else { continue };
            let Some(place) = certificate.places.get(*place) else { continue };
            let wrong = inventory.hosts_at(place).into_iter().find_map(|host| {
                let served = match certificate.served_on(place, host) {
                    Ok(served) => served,
                    Err(why) => return Some(format!("{why}: {}", why.why)),
                };
                served.get(*index)?.parse::<Endpoint>().err().map(|why| why.to_string())
            });
            faults.0.extend(wrong.map(|why| Fault::error(spot.clone(), why)));
        }
        for one in &self.issued {
            let Some(certificate) = self.certificates.iter().find(|c| c.name == one.certificate) else { continue };
            let Some(issuer) = self.issuers.iter().find(|i| Some(&i.name) == certificate.issuer.as_ref()) else {
                continue;
            };
            if let Some(why) = self.unfit(certificate, issuer, inventory) {
                faults.0.push(Fault::error(one.names.clone(), why));
            }
            if let (IssuerKind::Ca { days, .. }, Due::Days(renew), Some(spot)) =
                (&issuer.kind, certificate.renew, &one.renew)
                && renew >= i64::from(*days)
            {
                let message =
                    format!("due {renew} days before its end, and `{}` gives {days}: it always would be", issuer.name);
                faults.0.push(
                    Fault::error(spot.clone(), message).hint("write fewer days, or a share of its life such as 33%"),
                );
            }
        }
        inventory.zones = self.zones.into_iter().map(|z| (z.name.clone(), z)).collect();
        inventory.issuers = self.issuers.into_iter().map(|i| (i.name.clone(), i)).collect();
        inventory.certificates = self.certificates.into_iter().map(|c| (c.name.clone(), c)).collect();
    }
}

/// How it lies there, by `cert`, `key`, `pem`, `pkcs12` and the password of the last.
/// A name as a certificate has it: a host's, an address, or `*` and a domain.
fn is_name(name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => matches!(rest.parse::<Wanted>(), Ok(Wanted::Dns(_))),
        None => name.parse::<Wanted>().is_ok(),
    }
}

fn stores(files: [Option<&String>; 4], password: Option<String>) -> Result<Option<Keystore>, &'static str> {
    match (files, password) {
        ([None, None, None, None], None) => Ok(None),
        ([Some(cert), Some(key), None, None], None) if cert == key => {
            Err("`cert` and `key` are one file: write `pem:` for a file that holds both")
        }
        ([Some(cert), Some(key), None, None], None) => {
            Ok(Some(Keystore::Files { cert: cert.clone(), key: key.clone() }))
        }
        ([None, None, Some(pem), None], None) => Ok(Some(Keystore::Pem(pem.clone()))),
        ([None, None, None, Some(path)], Some(password)) => Ok(Some(Keystore::Pkcs12 { path: path.clone(), password })),
        ([None, None, None, Some(_)], None) => {
            Err("`password` is missing: a PKCS#12 file is opened with a secret of `secrets:`")
        }
        ([Some(_), None, None, None] | [None, Some(_), None, None], _) => Err("`cert` and `key` go together"),
        ([.., None], Some(_)) => Err("`password` belongs to `pkcs12`"),
        _ => Err("a place has one of `cert` with `key`, `pem`, `pkcs12`"),
    }
}

fn absolute(node: &Node, notes: &mut Notes) -> Option<String> {
    let path = node.text(notes)?;
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        notes.error(node.mark, format!("`{path}` is no absolute path of a file"));
        return None;
    }
    Some(path)
}

fn account(node: &Node, notes: &mut Notes) -> Option<String> {
    let name = node.text(notes)?;
    if name.is_empty() || name.starts_with('-') || name.contains([':', '/', ' ', '\n']) {
        notes.error(node.mark, format!("the name of a user or group expected, got `{name}`"));
        return None;
    }
    Some(name)
}

fn mode(node: &Node, notes: &mut Notes) -> Option<u32> {
    let text = node.text(notes)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
    match mode {
        Some(mode) if mode % 0o10 == 0 => Some(mode),
        Some(_) => {
            notes.error(node.mark, format!("`{text}` lets everybody at the key"));
            None
        }
        None => {
            notes.hinted(node.mark, format!("`{text}` is no mode"), "write it like \"0640\"");
            None
        }
    }
}

fn due(node: &Node, notes: &mut Notes) -> Option<Due> {
    let text = node.text(notes)?;
    if let Some(share) = text.strip_suffix('%') {
        let share = share.trim().parse::<u8>().ok().filter(|s| (1..100).contains(s));
        if share.is_none() {
            notes.error(node.mark, format!("`{text}` is no share from 1% to 99%"));
        }
        return share.map(Due::Share);
    }
    whole_days(node, notes).map(Due::Days)
}

/// A span of whole days.
fn whole_days(node: &Node, notes: &mut Notes) -> Option<i64> {
    let span = node.span(notes)?;
    let (seconds, day) = (span.0.as_secs(), 86_400);
    if seconds == 0 || seconds % day != 0 {
        notes.hinted(node.mark, format!("`{span}` is no number of whole days"), "write it like 30d");
        return None;
    }
    i64::try_from(seconds / day).ok()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use std::collections::BTreeMap;

    const HOUSE: &str = r#"project: p
secrets: {pw: {env: PW}, tsig: {env: TSIG}}
hosts:
  app[1-2]: {address: "10.0.0.[1-2]"}
apps: {web: {hosts: all, manager: {systemd: web.service}}}
zones:
  lab.test: {server: "10.0.0.5:53", servers: ["10.0.0.6:53"], key: {name: svcops, secret: tsig}}
issuers:
  house: {ca: {folder: ca, password: pw}}
  pebble: {acme: {directory: "https://localhost:14000/dir", challenge: {dns: true}}, trust: root.pem}
  corp: {csr: {note: To the desk}}
"#;

    fn read(certificates: &str) -> (Option<Inventory>, Vec<String>) {
        let text = format!("{HOUSE}certificates:\n{certificates}");
        let (inventory, faults) = parse("svcops.yaml", &BTreeMap::from([("svcops.yaml".to_owned(), text)]));
        let line = |f: &Fault| f.spot.line.cast_signed() - HOUSE.lines().count().cast_signed() - 1;
        (inventory, faults.0.iter().map(|f| format!("{}:{} {}", line(f), f.spot.column, f.message)).collect())
    }

    #[test]
    fn a_certificate_is_read_with_its_places_and_filled_in_for_a_host() {
        let (inventory, faults) = read(
            "  web:
    names: [\"{{ host.name }}.lab.test\", web.lab.test]
    issuer: house
    renew: 30d
    warn: 20d
    places:
      - {hosts: all, cert: /etc/web/tls.crt, key: /etc/web/tls.key, mode: \"0640\", app: web, served: \"{{ host.address }}:8443\"}
      - {hosts: app1, pkcs12: /etc/web/store.p12, password: pw, by: restart}
  shop: {places: [{served: [\"shop.example.org:443\", \"smtp://mail.example.org\"]}]}
",
        );
        assert_eq!(faults, Vec::<String>::new());
        let inventory = inventory.unwrap();
        let web = &inventory.certificates["web"];
        assert_eq!((web.renew, web.warn, web.crit, web.shared), (Due::Days(30), Some(20), None, false));
        let host = inventory.host("app2").unwrap();
        assert_eq!(web.names_on(host).unwrap(), ["app2.lab.test", "web.lab.test"]);
        assert_eq!(web.served_on(&web.places[0], host).unwrap(), ["10.0.0.2:8443"]);
        assert_eq!(inventory.hosts_at(&web.places[1]).len(), 1);
        assert_eq!(web.places[1].store.as_ref().unwrap().files(), ["/etc/web/store.p12"]);
        assert_eq!(inventory.certificates["shop"].renew, Due::Share(33));
        assert_eq!(inventory.zones["lab.test"].servers, ["10.0.0.5:53", "10.0.0.6:53"]);
        assert_eq!(inventory.issuers.len(), 3);
    }

    #[test]
    fn all_that_is_wrong_with_certificates_is_said_with_its_place() {
        let (_, faults) = read(
            "  a: {issuer: hous, names: [a.test], places: [{hosts: all, cert: /a.crt}]}
  b: {names: [b.test], issuer: house, places: [{served: \"b.test:443\"}]}
  c: {places: [{hosts: nobody, pem: c.pem}, {pem: /c.pem}, {}]}
  d: {warn: 7d, crit: 30d, renew: 120%, places: [{served: \"{{ host.adress }}:443\", hosts: all}]}
  e: {places: [{hosts: all, pkcs12: /e.p12}, {hosts: all, pem: /e.pem, app: wep, mode: \"0644\"}, {served: \"e:0\"}]}
  f: {places: [], crit: 36h}
  g: {names: [\"a b.test\"], issuer: house, renew: 90d, places: [{hosts: all, pem: /g.pem}]}
  h: {names: [\"*.lab.test\", h.test], issuer: pebble, places: [{hosts: all, pem: /h.pem}]}
",
        );
        assert_eq!(
            faults,
            [
                "1:15 there is no issuer `hous`",
                "1:48 `cert` and `key` go together",
                "2:3 `b` is issued by svcops and lies nowhere",
                "3:24 `nobody` matches no host",
                "3:37 `c.pem` is no absolute path of a file",
                "3:46 `hosts` is missing: the files of a place lie on hosts",
                "3:60 a place has files (`cert` and `key`, `pem`, `pkcs12`), or is `served`, or both",
                "4:3 `warn` of 7 days comes after `crit` of 30",
                "4:35 `120%` is no share from 1% to 99%",
                "4:59 `{{ host.adress }}:443` of certificate `d` cannot be filled in for `app1`: undefined value: `host.adress` is undefined (in <string>:1)",
                "5:17 `password` is missing: a PKCS#12 file is opened with a secret of `secrets:`",
                "5:77 there is no app `wep`",
                "5:88 `0644` lets everybody at the key",
                "5:106 `0` is not a port: 1 to 65535",
                "6:15 a certificate has at least one place",
                "6:25 `1d12h` is no number of whole days",
                "7:14 `a b.test` is no name of a host (names of other scripts are written xn--…)",
                "7:50 due 90 days before its end, and `house` gives 90: it always would be",
                "8:14 `h.test` is in no zone of `zones:`, and `pebble` proves names by the DNS",
            ]
        );
    }
}
