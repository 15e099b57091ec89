//! What is said in the clear before TLS begins.

use super::{Before, Failed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Asks a server to begin TLS.
///
/// # Errors
/// It says no, says something else, or too much.
pub(super) async fn ask(before: Before, io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Failed> {
    match before {
        Before::Nothing => Ok(()),
        Before::Smtp => {
            reply(io, "220").await?;
            io.write_all(b"EHLO svcops.invalid\r\n").await?;
            let offer = reply(io, "250").await?;
            if !offer.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")))
            {
                return Err(Failed::NoStartTls("it does not offer STARTTLS".into()));
            }
            io.write_all(b"STARTTLS\r\n").await?;
            reply(io, "220").await.map(drop)
        }
        Before::Imap => {
            line(io).await.and_then(|said| said.starts_with("* ").then_some(()).ok_or_else(|| strange(&said)))?;
            io.write_all(b"a STARTTLS\r\n").await?;
            let mut much = 0;
            loop {
                let said = line(io).await?;
                much += said.len();
                if much > MOST {
                    return Err(strange("it does not stop talking"));
                }
                if said.starts_with("* ") {
                    continue;
                }
                return if said.to_ascii_uppercase().starts_with("A OK") { Ok(()) } else { Err(refused(&said)) };
            }
        }
        Before::Pop3 => {
            let greeting = line(io).await?;
            if !greeting.starts_with("+OK") {
                return Err(strange(&greeting));
            }
            io.write_all(b"STLS\r\n").await?;
            let said = line(io).await?;
            if said.starts_with("+OK") { Ok(()) } else { Err(refused(&said)) }
        }
        Before::Ldap => {
            io.write_all(&LDAP_STARTTLS).await?;
            ldap(io).await
        }
        Before::Postgres => {
            // length 8, code 80877103
            io.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
            match io.read_u8().await? {
                b'S' => Ok(()),
                b'N' => Err(Failed::NoStartTls("it has TLS switched off".into())),
                _ => Err(strange("no answer to SSLRequest")),
            }
        }
    }
}

/// Lines of one reply of SMTP (RFC 5321, 4.2): `250-…` goes on, `250 …` is the last.
async fn reply(io: &mut (impl AsyncRead + Unpin), code: &str) -> Result<String, Failed> {
    let mut all = String::new();
    loop {
        let said = line(io).await?;
        if !said.starts_with(code) {
            return Err(refused(&said));
        }
        let more = said.as_bytes().get(3) == Some(&b'-');
        all += &said;
        all.push('\n');
        if !more {
            return Ok(all);
        }
        if all.len() > MOST {
            return Err(strange("it does not stop talking"));
        }
    }
}

/// One line, byte by byte: what follows it belongs to TLS.
async fn line(io: &mut (impl AsyncRead + Unpin)) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    loop {
        match io.read_u8().await? {
            b'\n' => break,
            byte => bytes.push(byte),
        }
        if bytes.len() > 2000 {
            return Err(strange("a line without an end"));
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A greeting with all its lines.
const MOST: usize = 64 * 1024;

/// `ExtendedRequest` 1.3.6.1.4.1.1466.20037 with the message id 1.
const LDAP_STARTTLS: [u8; 31] = [
    0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16, b'1', b'.', b'3', b'.', b'6', b'.', b'1', b'.', b'4', b'.',
    b'1', b'.', b'1', b'4', b'6', b'6', b'.', b'2', b'0', b'0', b'3', b'7',
];

/// `ExtendedResponse`: a result code of 0 is a yes.
async fn ldap(io: &mut (impl AsyncRead + Unpin)) -> Result<(), Failed> {
    if io.read_u8().await? != 0x30 {
        return Err(strange("no answer in LDAP"));
    }
    let first = io.read_u8().await?;
    let length = if first & 0x80 == 0 {
        usize::from(first)
    } else {
        let mut length = 0usize;
        for _ in 0..(first & 0x7f).min(4) {
            length = (length << 8) | usize::from(io.read_u8().await?);
        }
        length
    };
    if length > MOST {
        return Err(strange("an answer without an end"));
    }
    let mut body = vec![0; length];
    io.read_exact(&mut body).await?;
    // [APPLICATION 24], then ENUMERATED of one byte: the result code
    let at = body.windows(2).position(|pair| pair == [0x0a, 0x01]);
    match at.and_then(|at| body.get(at + 2)) {
        Some(0) => Ok(()),
        Some(code) => Err(Failed::NoStartTls(format!("it refuses StartTLS: LDAP result code {code}"))),
        None => Err(strange("no result in its answer")),
    }
}

fn refused(said: &str) -> Failed {
    Failed::NoStartTls(format!("it refuses TLS: {}", short(said)))
}

fn strange(said: &str) -> Failed {
    Failed::NoStartTls(format!("it speaks something else: {}", short(said)))
}

fn short(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(120).collect()
}
