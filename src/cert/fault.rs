//! What can be wrong with what a server shows, in words.

use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// How bad a thing is. Orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Soon, or for some clients only.
    Warning,
    /// Nobody could tell.
    Unknown,
    /// Clients refuse it, or should.
    Critical,
}

/// One thing that is wrong with one element of a chain, or with all of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// What.
    #[serde(flatten)]
    pub what: Wrong,
    /// Which element: 0 is the server's own certificate. None: the chain.
    pub element: Option<usize>,
    /// How bad.
    pub severity: Severity,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Wrong {
    /// Its time is over.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// Its time has not come.
    NotYetValid {
        /// Until when.
        at: Timestamp,
    },
    /// Its time is over soon.
    NearExpiry {
        /// Whole days left.
        days: i64,
        /// At or below which it is told.
        limit: i64,
    },
    /// Most of its life is over.
    LifeUsed {
        /// Percent of its life left.
        left: u8,
        /// At or below which it is told.
        limit: u8,
    },
    /// It is for other names.
    NameMismatch {
        /// What was asked for.
        wanted: String,
        /// What it is for.
        names: Vec<String>,
        /// Whether the common name would have fitted.
        common_name: bool,
    },
    /// The chain is whole, but not sent in order: some clients stop there.
    WrongOrder,
    /// A link is not sent, and no store has it.
    MissingIntermediate {
        /// The name that should come next.
        issuer: String,
        /// Whether the store could fill the gap by itself: others' stores may not.
        filled: bool,
    },
    /// One that has the right name did not sign it.
    WrongIntermediate {
        /// Its name.
        issuer: String,
    },
    /// What was sent belongs to nothing.
    Superfluous {
        /// Of the element.
        subject: String,
    },
    /// The way ends at nobody trusted.
    Untrusted {
        /// Where it ends.
        root: String,
        /// Whether it signed itself.
        self_signed: bool,
        /// The store that does not hold it.
        store: String,
    },
    /// A key that can be broken.
    WeakKey {
        /// Which, and why.
        why: String,
    },
    /// A signature that can be forged.
    WeakSignature {
        /// By which algorithm.
        algorithm: String,
    },
    /// The private key is of another certificate.
    KeyMismatch,
    /// The private key needs a password, so nobody here looked whether it fits.
    KeyEncrypted,
    /// Whether the private key fits cannot be told.
    KeyUnread {
        /// Why.
        why: String,
    },
    /// It is served, and another one lies where the server should have it from.
    NotInstalled {
        /// Where that is.
        place: String,
        /// The other's serial number.
        serial: String,
        /// Until when the other is valid.
        until: Timestamp,
    },
    /// The server took the certificate of its client for none of its own.
    ClientRefused {
        /// What it said.
        why: String,
    },
    /// Its issuer took it back.
    Revoked {
        /// Since when.
        at: Option<Timestamp>,
        /// Why, in words.
        reason: Option<String>,
        /// Who said so: a list, a stapled answer.
        by: String,
    },
    /// It demands a stapled answer of its server, which sends none.
    NotStapled,
    /// What should say whether it is revoked cannot be believed.
    RevocationUnknown {
        /// Why.
        why: String,
    },
    /// It is not for servers.
    NotForServers {
        /// What it is for.
        purposes: Vec<String>,
    },
    /// A link is no CA, or may not sign this.
    NotAnIssuer {
        /// Why.
        why: String,
    },
    /// It has no names at all.
    NoNames,
    /// It demands to be understood, and is not.
    UnknownCritical {
        /// Object identifiers of extensions.
        extensions: Vec<String>,
    },
    /// It does not read.
    Unreadable {
        /// Why.
        why: String,
    },
    /// The chain is refused by a second, stricter reader.
    Refused {
        /// Its words.
        why: String,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { at } => write!(f, "expired on {}", day(*at)),
            Self::NotYetValid { at } => write!(f, "not valid before {}", day(*at)),
            Self::NearExpiry { days, limit } => write!(f, "expires in {}, at most {limit} wanted", days_of(*days)),
            Self::LifeUsed { left, limit } => write!(f, "{left} % of its life left, at most {limit} % wanted"),
            Self::NameMismatch { wanted, names, common_name } => {
                write!(f, "not for `{wanted}`, but for {}", some(names))?;
                if *common_name {
                    f.write_str(" (its common name is that, which clients do not look at)")
                } else {
                    Ok(())
                }
            }
            Self::WrongOrder => f.write_str("the chain is not sent in order"),
            Self::MissingIntermediate { issuer, filled: false } => {
                write!(f, "the certificate of `{issuer}` is not sent")
            }
            Self::MissingIntermediate { issuer, filled: true } => {
                write!(f, "the certificate of `{issuer}` is not sent; this store has it, others' may not")
            }
            Self::WrongIntermediate { issuer } => {
                write!(f, "a certificate of `{issuer}` is sent, but it is not the one that signed")
            }
            Self::Superfluous { subject } => write!(f, "`{subject}` is sent and belongs to nothing here"),
            Self::Untrusted { root, self_signed: true, store } => {
                write!(f, "self-signed by `{root}`, which {store} does not hold")
            }
            Self::Untrusted { root, store, .. } => write!(f, "given by `{root}`, whom {store} does not trust"),
            Self::WeakKey { why } => write!(f, "weak key: {why}"),
            Self::WeakSignature { algorithm } => write!(f, "weak signature: {algorithm}"),
            Self::KeyMismatch => f.write_str("the private key beside it is of another certificate"),
            Self::KeyEncrypted => f.write_str("the private key beside it is encrypted: whether it fits was not seen"),
            Self::KeyUnread { why } => write!(f, "whether the private key beside it fits cannot be told: {why}"),
            Self::NotInstalled { place, serial, until } => {
                let until = until.strftime("%Y-%m-%d");
                write!(f, "another one lies at `{place}`, valid until {until} (serial {serial}): it was not read again")
            }
            Self::ClientRefused { why } => write!(f, "the server refused the client's certificate: {why}"),
            Self::Revoked { at, reason, by } => {
                f.write_str("revoked")?;
                if let Some(at) = at {
                    write!(f, " on {}", day(*at))?;
                }
                if let Some(reason) = reason {
                    write!(f, ": {reason}")?;
                }
                write!(f, " (says {by})")
            }
            Self::NotStapled => f.write_str("demands a stapled answer of its server, which sends none"),
            Self::RevocationUnknown { why } => write!(f, "whether it is revoked cannot be told: {why}"),
            Self::NotForServers { purposes } => write!(f, "not for servers, but for {}", some(purposes)),
            Self::NoNames => f.write_str("has no names (subjectAltName): clients refuse it"),
            Self::UnknownCritical { extensions } => {
                write!(f, "has critical extensions that are not known: {}", extensions.join(", "))
            }
            Self::NotAnIssuer { why } | Self::Unreadable { why } => f.write_str(why),
            Self::Refused { why } => write!(f, "refused: {why}"),
        }
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn days_of(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

fn some(names: &[String]) -> String {
    match names {
        [] => "nothing that it names".to_owned(),
        few if few.len() <= 3 => few.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
        [first, second, rest @ ..] => format!("`{first}`, `{second}` and {} more", rest.len()),
        [one] => format!("`{one}`"),
    }
}
