//! A mail over an encrypted connection.

use super::*;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

/// A server whose certificate is for `localhost`: its port, and what it heard; what was encrypted has a `*` before it.
fn server(at_once: bool) -> (u16, JoinHandle<Vec<String>>) {
    let chain = vec![CertificateDer::from_pem_file(format!("{TLS}/server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut plain, _) = listener.accept().unwrap();
        let mut heard = vec![];
        if at_once || talk(&mut plain, "", "250-stand-in\r\n250 STARTTLS", &mut heard) {
            let session = ServerConnection::new(config).unwrap();
            let mut encrypted: StreamOwned<ServerConnection, TcpStream> = StreamOwned::new(session, plain);
            if at_once {
                drop(encrypted.write_all(b"220 stand-in\r\n"));
            }
            talk(&mut encrypted, "*", "250-stand-in\r\n250 AUTH PLAIN", &mut heard);
        }
        heard
    });
    (port, serving)
}

/// Answers until the client is gone, or wants STARTTLS.
fn talk(stream: &mut (impl Read + Write), mark: &str, ehlo: &str, heard: &mut Vec<String>) -> bool {
    if mark.is_empty() {
        stream.write_all(b"220 stand-in\r\n").unwrap();
    }
    let mut text = false;
    loop {
        let mut line = vec![];
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            match stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                _ => return false,
            }
        }
        let line = String::from_utf8(line).unwrap().trim_end().to_owned();
        heard.push(format!("{mark}{line}"));
        let reply = match line.get(..4).unwrap_or(&line) {
            "." => "250 queued",
            _ if text => continue,
            "EHLO" => ehlo,
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "STAR" => "220 now",
            _ => "250 ok",
        };
        text = reply.starts_with('3');
        stream.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
        if line == "STARTTLS" {
            return true;
        }
    }
}

async fn sent(at_once: bool, change: impl FnOnce(&mut Smtp)) -> (Outcome, Vec<String>) {
    let (port, serving) = server(at_once);
    let mut letter = letter(&format!("localhost:{port}"));
    letter.via.tls = if at_once { Tls::Tls } else { Tls::Starttls };
    letter.via.ca = Some(format!("{TLS}/ca.crt"));
    letter.via.login = Some(Login { user: "svcops".into(), password: "smtp".into() });
    change(&mut letter.via);
    letter.via.server = letter.via.server.replace("PORT", &port.to_string());
    let receipt = Stage::new().send(letter).await;
    let outcome = serde_json::to_string(&receipt.outcome).unwrap().replace(&format!(":{port}"), ":PORT");
    (serde_json::from_str(&outcome).unwrap(), serving.join().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_ehlo_is_said_before_starttls_and_the_rest_after_it() {
    let (outcome, heard) = sent(false, |_| {}).await;
    assert_eq!(outcome, Outcome::Ok);
    let plain: Vec<_> = heard.iter().filter(|l| !l.starts_with('*')).map(|l| l.get(..4).unwrap_or(l)).collect();
    assert_eq!(plain, ["EHLO", "STAR"]);
    assert!(heard.iter().any(|l| l.starts_with("*AUTH PLAIN ")) && heard.contains(&"*.".to_owned()), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_can_be_encrypted_from_its_first_byte() {
    let (outcome, heard) = sent(true, |_| {}).await;
    assert_eq!(outcome, Outcome::Ok);
    assert!(heard.iter().all(|l| l.starts_with('*')), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_proves_nothing_is_told_nothing() {
    for at_once in [false, true] {
        let of = if at_once { "could not reach the mail server" } else { "the mail server" };
        let (outcome, heard) = sent(at_once, |via| via.ca = None).await;
        let Outcome::Refused(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.starts_with(of) && why.ends_with("the certificate is not signed by who is trusted"), "{why}");
        let (outcome, more) = sent(at_once, |via| via.server = "127.0.0.1:PORT".into()).await;
        let Outcome::Refused(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.starts_with(of) && why.ends_with("the certificate is for another name"), "{why}");
        assert!(!heard.iter().chain(&more).any(|l| l.contains("AUTH") || l.contains("MAIL")), "{heard:?}");
    }
    let (port, _) = server(true);
    let mut letter = letter(&format!("localhost:{port}"));
    (letter.via.tls, letter.via.ca) = (Tls::Tls, Some("pki/none.pem".into()));
    let receipt = Stage::new().send(letter).await;
    assert!(matches!(&receipt.outcome, Outcome::Refused(why) if why.starts_with("could not read `pki/none.pem`: ")));
}
