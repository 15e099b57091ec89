//! A CA comes to be, gets a new root while the old one is still trusted, and retires the old one.

use super::{
    Ca, CaError, Generation, TRUST, armour, key,
    key::Algorithm,
    long_enough,
    register::{self, Register, file},
    signer,
};
use crate::{base::Secret, issue::safe};
use aws_lc_rs::rand;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use std::{fs, path::Path};

/// What a root is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its common name; later roots add their number to it.
    pub name: String,
    /// With which keys.
    pub algorithm: Algorithm,
    /// How long it lasts; an intermediate half of that.
    pub days: u32,
    /// Certificates are signed by an intermediate, not by the root.
    pub intermediate: bool,
}

impl Ca {
    /// Makes one. The folder is made where it is not there, 0700.
    ///
    /// # Errors
    /// There is one already, the password is too short, or something cannot be written: then there is none.
    pub fn create(folder: &Path, wish: &Wish, password: &Secret, at: Timestamp) -> Result<Self, CaError> {
        long_enough(password)?;
        safe::private_folder(folder).map_err(|why| CaError::io("make", folder, why))?;
        let _lock = register::lock(folder)?;
        match Register::read(folder) {
            Err(CaError::Missing(_)) => {}
            Ok(_) => return Err(CaError::Exists(folder.to_owned())),
            Err(other) => return Err(other),
        }
        let mut ca = Self { folder: folder.to_owned(), register: Register::new(wish.name.clone()) };
        ca.add(1, wish, password, at)?;
        ca.register.write(folder)?;
        // derived from the above: who is killed before them finds them made by the next change
        ca.derive(password, at)?;
        Ok(ca)
    }

    /// Makes a new root, which the present one signs too: clients that trust either take what is given from now on. The
    /// old one is trusted until [`retire`](Self::retire).
    ///
    /// # Errors
    /// The password is wrong, or something cannot be written: then all is as before.
    pub fn rotate(&mut self, wish: &Wish, password: &Secret, at: Timestamp) -> Result<&Generation, CaError> {
        self.locked(|ca| {
            let old = ca.newest()?.clone();
            let by = ca.issuer(&old, "root", password)?;
            let number = old.number + 1;
            let (root, public) = ca.add(number, wish, password, at)?;
            let bound = ca.certificate("root", old.number)?.not_after;
            let mut cross = root;
            cross.serial_number = Some(serial()?);
            cross.not_after = moment(bound.min(at.saturating_add(days(wish.days)).unwrap_or(bound)));
            // what the old one vouches for is the new one's key, and no CA of somebody else's
            let cert = cross.signed_by(&public, &by)?;
            ca.put("cross", number, cert.der())?;
            ca.register.write(&ca.folder)?;
            ca.derive(password, at)
        })?;
        self.newest()
    }

    /// Ends the trust in every root but the newest, and takes their keys away for ever.
    ///
    /// # Errors
    /// There is none, or, unless it is forced, certificates of theirs are valid that none of the newest root replaces.
    pub fn retire(&mut self, force: bool, password: &Secret, at: Timestamp) -> Result<Vec<u32>, CaError> {
        self.locked(|ca| {
            let newest = ca.newest()?.number;
            let old: Vec<u32> = ca.trusted().map(|of| of.number).filter(|number| *number != newest).collect();
            if old.is_empty() {
                return Err(CaError::Alone);
            }
            if !force {
                let needed = ca.needed(newest, at)?;
                if !needed.is_empty() {
                    return Err(CaError::Needed(needed));
                }
            }
            for of in &mut ca.register.generations {
                if old.contains(&of.number) {
                    of.retired = Some(at);
                }
            }
            ca.register.revoked.retain(|r| !old.contains(&r.generation));
            ca.register.write(&ca.folder)?;
            ca.derive(password, at)?;
            Ok(old)
        })
    }

    /// Names of certificates under older roots that are valid, and that nothing newer replaces.
    fn needed(&self, newest: u32, at: Timestamp) -> Result<Vec<String>, CaError> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for one in self.issued()?.into_iter().filter(|one| one.revoked.is_none() && one.cert.not_after > at) {
            let mut names: Vec<String> = one.cert.names.iter().map(ToString::to_string).collect();
            names.sort();
            let title = one.cert.names.first().map_or_else(|| one.cert.subject.clone(), ToString::to_string);
            if one.generation == Some(newest) { new.push(names) } else { old.push((names, title)) }
        }
        let mut needed: Vec<String> =
            old.into_iter().filter(|(names, _)| !new.contains(names)).map(|(_, title)| title).collect();
        needed.dedup();
        Ok(needed)
    }

    /// What follows from what is remembered: whom to trust, what is taken back, and which keys have served.
    fn derive(&mut self, password: &Secret, at: Timestamp) -> Result<(), CaError> {
        self.write_trust()?;
        self.list(password, at, super::lists::DAYS)?;
        for of in self.register.generations.iter().filter(|of| of.retired.is_some()) {
            for what in ["root", "intermediate"] {
                let path = file(&self.folder, what, of.number, "key");
                match fs::remove_file(&path) {
                    Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                        return Err(CaError::io("remove", &path, why));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Puts the files of a generation on the disk, and remembers it.
    fn add(
        &mut self,
        number: u32,
        wish: &Wish,
        password: &Secret,
        at: Timestamp,
    ) -> Result<(CertificateParams, KeyPair), CaError> {
        let name = if number == 1 { wish.name.clone() } else { format!("{} {number}", wish.name) };
        let root_key = key::make(wish.algorithm)?;
        let root = authority(&name, None, (at, wish.days))?;
        let cert = root.self_signed(&root_key)?;
        key::write(&file(&self.folder, "root", number, "key"), &root_key, password)?;
        self.put("root", number, cert.der())?;
        let generation = Generation { number, made: at, intermediate: wish.intermediate, retired: None };
        if wish.intermediate {
            let below = key::make(wish.algorithm)?;
            let params = authority(&format!("{name} Intermediate"), Some(0), (at, wish.days / 2))?;
            let cert = params.signed_by(&below, &Issuer::from_params(&root, &root_key))?;
            key::write(&file(&self.folder, signer(&generation), number, "key"), &below, password)?;
            self.put(signer(&generation), number, cert.der())?;
        }
        self.register.generations.push(generation);
        Ok((root, root_key))
    }

    fn put(&self, what: &str, number: u32, der: &[u8]) -> Result<(), CaError> {
        let path = file(&self.folder, what, number, "pem");
        let text = armour(der, "CERTIFICATE");
        safe::write(&path, text.as_bytes(), safe::PUBLIC).map_err(|why| CaError::io("write", &path, why))
    }

    /// The file that names whom to trust.
    #[must_use]
    pub fn trust_file(&self) -> std::path::PathBuf {
        self.folder.join(TRUST)
    }
}

/// What a CA's own certificate says.
fn authority(name: &str, below: Option<u8>, life: (Timestamp, u32)) -> Result<CertificateParams, CaError> {
    let (at, lasting) = life;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(below.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    params.not_before = moment(at.saturating_sub(EARLIER).unwrap_or(at));
    params.not_after = moment(at.saturating_add(days(lasting)).unwrap_or(at));
    Ok(params)
}

/// A serial number: 158 random bits, positive, of 20 bytes (RFC 5280, 4.1.2.2: no more).
pub(super) fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0_u8; 20];
    rand::fill(&mut bytes).map_err(|_| CaError::Random)?;
    if let Some(first) = bytes.first_mut() {
        // neither negative nor with a leading zero, which some tools leave out and others show
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// The library's kind of time.
pub(super) fn moment(at: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn days(count: u32) -> jiff::SignedDuration {
    jiff::SignedDuration::from_hours(i64::from(count) * 24)
}

/// Clocks of hosts go wrong by minutes: what is given now is valid there too.
pub(super) const EARLIER: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
