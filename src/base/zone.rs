//! A DNS zone and how it is updated.

use serde::{Deserialize, Serialize};

/// A zone that takes dynamic updates (RFC 2136).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name, without a final dot.
    pub name: String,
    /// Its primary, which takes the updates: `ADDRESS:PORT`.
    pub server: String,
    /// Every server that answers for it, its primary among them: `ADDRESS:PORT`.
    pub servers: Vec<String>,
    /// What updates are signed with.
    pub key: Option<TsigKey>,
}

/// A key that signs messages to a DNS server (TSIG, RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsigKey {
    /// Its name, as the server knows it.
    pub name: String,
    /// The hash.
    pub algorithm: TsigHash,
    /// The secret that holds it, in base64.
    pub secret: String,
}

/// What a TSIG is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of RFC 8945, section 6")]
pub enum TsigHash {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl TsigHash {
    /// Each, with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("hmac-sha256", Self::HmacSha256), ("hmac-sha384", Self::HmacSha384), ("hmac-sha512", Self::HmacSha512)];
}
