//! Servers that speak only TLS 1.0 or 1.1, or exchange keys by RSA: what clients of today do not.
//!
//! Up to TLS 1.2 a server's certificates come in the clear (RFC 5246, 7.4.2), so it is enough to say hello and to read.

use super::{Endpoint, Failed, Seen, read};
use crate::cert::names::Wanted;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Says hello in the way of 2008 and reads up to the certificates.
pub(super) async fn look(at: &Endpoint, address: SocketAddr, mut io: TcpStream) -> Result<Seen, Failed> {
    io.write_all(&hello(at.wanted().as_ref())?).await?;
    let mut handshake = Vec::new();
    let (mut version, mut suite) = ((3, 1), 0u16);
    loop {
        let mut header = [0; 5];
        io.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut body = vec![0; length];
        io.read_exact(&mut body).await?;
        match header[0] {
            HANDSHAKE => handshake.extend_from_slice(&body),
            ALERT => return Err(Failed::Tls(format!("alert {}", body.get(1).copied().unwrap_or_default()))),
            _ => return Err(Failed::Tls("it speaks no TLS there".into())),
        }
        if handshake.len() > MOST {
            return Err(Failed::Tls("a handshake without an end".into()));
        }
        while let Some((kind, message)) = message(&mut handshake) {
            match kind {
                SERVER_HELLO => {
                    let mut hello = Reader(&message);
                    version = (hello.u8()?, hello.u8()?);
                    hello.take(32)?;
                    let session = usize::from(hello.u8()?);
                    hello.take(session)?;
                    suite = hello.u16()?;
                }
                CERTIFICATE => return seen(&message, address, version, suite),
                _ => return Err(Failed::Tls("it showed no certificate".into())),
            }
        }
    }
}

fn seen(message: &[u8], address: SocketAddr, version: (u8, u8), suite: u16) -> Result<Seen, Failed> {
    let mut list = Reader(message);
    let length = list.u24()?;
    let mut list = Reader(list.take(length)?);
    let mut ders = Vec::new();
    while !list.0.is_empty() {
        let length = list.u24()?;
        ders.push(list.take(length)?.to_vec());
    }
    let (chain, unreadable) = read(&ders);
    let version = match version {
        (3, 0) => "SSL 3.0",
        (3, 1) => "TLS 1.0",
        (3, 2) => "TLS 1.1",
        (3, 3) => "TLS 1.2",
        _ => "TLS of an unknown version",
    };
    let (suite, by_rsa) = SUITES
        .iter()
        .find(|(id, ..)| *id == suite)
        .map_or_else(|| (format!("suite {suite:#06x}"), false), |(_, name, rsa)| ((*name).to_owned(), *rsa));
    let outdated = match (version, by_rsa) {
        ("TLS 1.2", true) => "it exchanges keys by RSA only, which clients of today do not".to_owned(),
        ("TLS 1.2", false) => "it takes no cipher suite of today".to_owned(),
        (old, _) => format!("it speaks nothing newer than {old}, which clients of today do not"),
    };
    Ok(Seen {
        chain,
        unreadable,
        stapled: None,
        version: version.to_owned(),
        suite,
        address,
        asks_client: false,
        refused: None,
        outdated: Some(outdated),
    })
}

/// Takes the first whole message off.
fn message(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (kind, length) = match buffer.as_slice() {
        [kind, a, b, c, ..] => (*kind, usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)),
        _ => return None,
    };
    if buffer.len() < 4 + length {
        return None;
    }
    let rest = buffer.split_off(4 + length);
    let message = std::mem::replace(buffer, rest).split_off(4);
    Some((kind, message))
}

/// `ClientHello` (RFC 5246, 7.4.1.2) with the name asked for, curves and signatures.
fn hello(wanted: Option<&Wanted>) -> Result<Vec<u8>, Failed> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Failed::Tls("no random numbers".into()))?;
    let mut body = vec![3, 3];
    body.extend_from_slice(&random);
    body.push(0);
    let suites: Vec<u8> = SUITES.iter().flat_map(|(id, ..)| id.to_be_bytes()).collect();
    put16(&mut body, &suites);
    body.extend_from_slice(&[1, 0]);
    let mut extensions = Vec::new();
    if let Some(Wanted::Dns(name)) = wanted {
        let mut entry = vec![0];
        put16(&mut entry, name.as_bytes());
        let mut list = Vec::new();
        put16(&mut list, &entry);
        extension(&mut extensions, 0, &list);
    }
    // P-256, P-384, P-521, X25519; uncompressed points
    extension(&mut extensions, 10, &[0, 8, 0, 23, 0, 24, 0, 25, 0, 29]);
    extension(&mut extensions, 11, &[1, 0]);
    // each hash (SHA-512 to SHA-1) with RSA, ECDSA and DSA
    let pairs: Vec<u8> =
        [6, 5, 4, 3, 2].iter().flat_map(|hash| [1, 3, 2].map(|kind| [*hash, kind])).flatten().collect();
    let mut signatures = Vec::new();
    put16(&mut signatures, &pairs);
    extension(&mut extensions, 13, &signatures);
    put16(&mut body, &extensions);
    let mut message = vec![1];
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    message.extend_from_slice(&length[1..]);
    message.extend_from_slice(&body);
    let mut record = vec![HANDSHAKE, 3, 1];
    put16(&mut record, &message);
    Ok(record)
}

fn extension(into: &mut Vec<u8>, kind: u16, content: &[u8]) {
    into.extend_from_slice(&kind.to_be_bytes());
    put16(into, content);
}

fn put16(into: &mut Vec<u8>, content: &[u8]) {
    into.extend_from_slice(&u16::try_from(content.len()).unwrap_or_default().to_be_bytes());
    into.extend_from_slice(content);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Failed> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or_else(|| Failed::Tls("a message is cut off".into()))?;
        self.0 = rest;
        Ok(taken)
    }
    fn u8(&mut self) -> Result<u8, Failed> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }
    fn u16(&mut self) -> Result<u16, Failed> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().unwrap_or_default()))
    }
    fn u24(&mut self) -> Result<usize, Failed> {
        Ok(self.take(3)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }
}

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
/// Chains of more are there to cost memory.
const MOST: usize = 256 * 1024;

/// Suites of the time, by number and IANA's name, and whether keys are exchanged by RSA.
const SUITES: [(u16, &str, bool); 22] = [
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", false),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", false),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", false),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", false),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", false),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", false),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", false),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", false),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", false),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", false),
    (0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA", false),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", true),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", true),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", true),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", true),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", true),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", true),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", true),
];
