//! Certificates at the seam: what a key is made as, and where a pair lies.

use serde::{Deserialize, Serialize};

/// What kind of key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// ECDSA on NIST's curve P-256.
    #[default]
    P256,
    /// ECDSA on NIST's curve P-384.
    P384,
    /// Ed25519 (RFC 8410); browsers and public authorities do not take it.
    Ed25519,
    /// RSA with 2,048 bits.
    Rsa2048,
    /// RSA with 3,072 bits.
    Rsa3072,
    /// RSA with 4,096 bits.
    Rsa4096,
}

impl Algorithm {
    /// Each, with its word in `svcops.yaml`.
    pub const ALL: [(&'static str, Self); 6] = [
        ("p256", Self::P256),
        ("p384", Self::P384),
        ("ed25519", Self::Ed25519),
        ("rsa2048", Self::Rsa2048),
        ("rsa3072", Self::Rsa3072),
        ("rsa4096", Self::Rsa4096),
    ];

    /// As in `svcops.yaml`.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}

/// Where a chain and its key lie on a host. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keystore {
    /// Two files of PEM: the chain with the leaf first, and the key.
    Files {
        /// The chain.
        cert: String,
        /// The key.
        key: String,
    },
    /// One file of PEM with chain and key, as HAProxy reads it (`crt` in its configuration manual).
    Pem(String),
    /// A PKCS#12 file (RFC 7292).
    Pkcs12 {
        /// The file.
        path: String,
        /// The secret that holds its password.
        password: String,
    },
}

impl Keystore {
    /// The file that bears its name: the chain's, or the only one.
    pub fn path(&self) -> &str {
        match self {
            Self::Files { cert, .. } => cert,
            Self::Pem(path) | Self::Pkcs12 { path, .. } => path,
        }
    }

    /// Its files, the chain's first.
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::Files { cert, key } => vec![cert, key],
            Self::Pem(path) | Self::Pkcs12 { path, .. } => vec![path],
        }
    }
}
