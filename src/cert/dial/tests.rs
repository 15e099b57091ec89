//! Against real servers: OpenSSL's, and this house's TLS behind each protocol's words.

use super::*;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/chains").join(name)
}

fn dial(within: u64) -> Dial {
    Dial { within: Duration::from_secs(within), client: None }
}

/// `openssl s_server` with these options, ended with the test.
struct Server(Child, u16);

impl Server {
    async fn start(options: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child, port);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return server;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        panic!("openssl s_server never listened");
    }

    async fn seen(&self) -> Result<Seen, Failed> {
        let mut at: Endpoint = format!("127.0.0.1:{}", self.1).parse().unwrap();
        at.name = Some("crm.example.org".parse().unwrap());
        dial(10).look(&at).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait()).is_ok();
    }
}

fn with_rsa(options: &[&'static str]) -> Vec<String> {
    let pair = ["-cert", "rsa.pem", "-key", "rsa.key"];
    pair.map(|word| if word.starts_with('-') { word.to_owned() } else { corpus(word).display().to_string() })
        .into_iter()
        .chain(options.iter().map(|o| (*o).to_owned()))
        .collect()
}

async fn serve(options: &[&'static str]) -> Server {
    let options = with_rsa(options);
    Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn a_server_of_today_shows_its_chain_in_its_order() {
    for (options, version) in [(&["-tls1_3"][..], "TLS 1.3"), (&["-tls1_2"], "TLS 1.2")] {
        let chain = corpus("sound-rsa-2048.pem").display().to_string();
        let mut options = with_rsa(options);
        options.extend(["-cert_chain".to_owned(), chain]);
        let server = Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let seen = server.seen().await.unwrap();
        assert_eq!((seen.version.as_str(), seen.outdated, seen.asks_client), (version, None, false));
        assert!(seen.suite.starts_with("TLS_"), "{}", seen.suite);
        assert!(seen.chain.len() >= 2 && seen.chain[0].subject == "CN=crm.example.org", "{:?}", seen.chain);
    }
}

#[tokio::test]
async fn a_server_that_speaks_only_what_is_outdated_is_read_and_said_to_be_so() {
    for (options, version, word) in [
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..], "TLS 1.0", "nothing newer than TLS 1.0"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS 1.1", "nothing newer than TLS 1.1"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "TLS 1.2", "by RSA only"),
    ] {
        let seen = serve(options).await.seen().await.unwrap();
        assert_eq!(seen.version, version);
        assert!(seen.outdated.as_deref().is_some_and(|said| said.contains(word)), "{:?}", seen.outdated);
        assert_eq!(seen.chain[0].subject, "CN=crm.example.org");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_its_client_has_shown_its_own_by_then() {
    for options in [&["-Verify", "1", "-tls1_2"][..], &["-Verify", "1", "-tls1_3"]] {
        let seen = serve(options).await.seen().await.unwrap();
        assert!(seen.asks_client);
        assert_eq!(seen.chain[0].subject, "CN=crm.example.org");
    }
}

/// Answers each connection by a script of `expect → say`, then with TLS.
async fn behind(greeting: &'static str, script: &'static [(&'static str, &'static str)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = CertificateDer::pem_file_iter(corpus("sound.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(corpus("site.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                io.write_all(greeting.as_bytes()).await.unwrap();
                for (expect, say) in script {
                    let mut line = String::new();
                    // one line, and no byte of what follows
                    let mut one = BufReader::with_capacity(1, &mut io);
                    one.read_line(&mut line).await.unwrap();
                    assert!(line.starts_with(expect), "{line}");
                    io.write_all(say.as_bytes()).await.unwrap();
                }
                if let Ok(mut tls) = acceptor.accept(io).await {
                    let _ended = tls.read(&mut [0; 1]).await.is_ok();
                }
            });
        }
    });
    port
}

async fn chain_of(at: String) -> Result<usize, Failed> {
    let mut at: Endpoint = at.parse().unwrap();
    at.name = Some("crm.example.org".parse().unwrap());
    dial(5).look(&at).await.map(|seen| seen.chain.len())
}

#[tokio::test]
async fn the_words_before_tls_are_those_of_each_protocol() {
    let smtp: &[(&str, &str)] =
        &[("EHLO ", "250-mail.example.org\r\n250-STARTTLS\r\n250 SIZE 1000\r\n"), ("STARTTLS", "220 go\r\n")];
    let port = behind("220-mail\r\n220 ready\r\n", smtp).await;
    assert_eq!(chain_of(format!("smtp://127.0.0.1:{port}")).await, Ok(2));
    let port = behind("* OK ready\r\n", &[("a STARTTLS", "* BYE not yet\r\na OK begin\r\n")]).await;
    assert_eq!(chain_of(format!("imap://127.0.0.1:{port}")).await, Ok(2));
    let port = behind("+OK ready\r\n", &[("STLS", "+OK begin\r\n")]).await;
    assert_eq!(chain_of(format!("pop3://127.0.0.1:{port}")).await, Ok(2));
}

#[tokio::test]
async fn a_server_without_tls_says_so_and_is_not_taken_for_one() {
    let port = behind("220 ready\r\n", &[("EHLO ", "250-mail\r\n250 SIZE 1000\r\n")]).await;
    let failed = chain_of(format!("smtp://127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!(failed.to_string(), "it does not offer STARTTLS");
    let port = behind("+OK ready\r\n", &[("STLS", "-ERR no\u{1b}[31m\r\n")]).await;
    let failed = chain_of(format!("pop3://127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!(failed.to_string(), "it refuses TLS: -ERR no[31m");
    let port = behind("SSH-2.0-OpenSSH_9.2\r\n", &[("no", "thing")]).await;
    let failed = chain_of(format!("127.0.0.1:{port}")).await.unwrap_err();
    assert!(failed.to_string().contains("speaks no TLS"), "{failed}");
}

#[tokio::test]
async fn a_server_that_is_silent_drips_or_floods_costs_its_time_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let way = Arc::new(Mutex::new(0));
    let taken = Arc::clone(&way);
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let way = *taken.lock().unwrap();
            tokio::spawn(async move {
                match way {
                    0 => time::sleep(Duration::from_secs(60)).await,
                    1 => {
                        // a record of 16 kB, one byte at a time
                        for byte in [22, 3, 3, 0x3f, 0xff].into_iter().chain(std::iter::repeat(2)) {
                            if io.write_all(&[byte]).await.is_err() {
                                return;
                            }
                            time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                    _ => {
                        // handshake records without end: a certificate message of 16 MB
                        let mut record = vec![22, 3, 3, 0x40, 0, 11, 0xff, 0xff, 0xff];
                        record.resize(5 + 0x4000, 0);
                        while io.write_all(&record).await.is_ok() {}
                    }
                }
            });
        }
    });
    for kind in 0..3 {
        *way.lock().unwrap() = kind;
        let at: Endpoint = format!("127.0.0.1:{port}").parse().unwrap();
        let failed = dial(1).look(&at).await.unwrap_err();
        assert_eq!(matches!(failed, Failed::Late(1, _)), kind < 2, "{kind}: {failed}");
    }
}

/// How a server misbehaves, once the words up to there are said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hostile {
    Silent,
    Drip,
    Flood,
    Garbage,
    /// A certificate message of 16 MB, in whole records.
    Endless,
    /// A record that is longer than any may be.
    Huge,
}

impl Hostile {
    const ALL: [Self; 6] = [Self::Silent, Self::Drip, Self::Flood, Self::Garbage, Self::Endless, Self::Huge];

    async fn be(self, mut io: TcpStream) {
        let record = |head: [u8; 9]| {
            let mut record = head.to_vec();
            record.resize(5 + 0x4000, 0);
            record
        };
        let again = match self {
            Self::Silent => return time::sleep(Duration::from_secs(60)).await,
            Self::Drip => {
                // the letter stands in words and in records
                while io.write_all(b"2").await.is_ok() {
                    time::sleep(Duration::from_millis(100)).await;
                }
                return;
            }
            Self::Flood => b"250-* 2 it goes on\r\n* 3 and on\r\n".repeat(1000),
            Self::Garbage => (0..16384_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect(),
            Self::Endless => record([22, 3, 3, 0x40, 0, 11, 0xff, 0xff, 0xff]),
            Self::Huge => record([22, 3, 3, 0xff, 0xff, 2, 0, 0xff, 0xff]),
        };
        while io.write_all(&again).await.is_ok() {}
    }
}

/// What is said up to the handshake, by turns: the server's part of it.
const STEPS: [(&str, &[&str]); 5] = [
    ("smtp", &["220 ready\r\n", "250-mail\r\n250 STARTTLS\r\n", "220 go\r\n"]),
    ("imap", &["* OK ready\r\n", "a OK begin\r\n"]),
    ("pop3", &["+OK ready\r\n", "+OK begin\r\n"]),
    ("ldap", &["\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"]),
    ("postgres", &["S"]),
];

#[tokio::test]
async fn a_hostile_server_ends_with_its_time_or_before_in_any_phase_of_starttls() {
    let mut looks = Vec::new();
    for (scheme, steps) in STEPS {
        for (said, hostile) in (0..=steps.len()).flat_map(|said| Hostile::ALL.map(|hostile| (said, hostile))) {
            looks.push(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let server = tokio::spawn(async move {
                    while let Ok((mut io, _)) = listener.accept().await {
                        for (at, step) in steps.iter().take(said).enumerate() {
                            // LDAP and PostgreSQL let the client begin
                            if at > 0 || matches!(scheme, "ldap" | "postgres") {
                                let _asked = io.read(&mut [0; 256]).await.is_ok();
                            }
                            let _said = io.write_all(step.as_bytes()).await.is_ok();
                        }
                        tokio::spawn(hostile.be(io));
                    }
                });
                let at: Endpoint = format!("{scheme}://127.0.0.1:{port}").parse().unwrap();
                // whoever never ends is ended by the deadline of the look, and nobody here is a server
                let failed = time::timeout(Duration::from_secs(20), dial(1).look(&at)).await;
                let failed = failed.unwrap_or_else(|_| panic!("{scheme} {said} {hostile:?} hangs"));
                server.abort();
                assert!(failed.is_err(), "{scheme} {said} {hostile:?}: {failed:?}");
                let late = matches!(failed, Err(Failed::Late(..)));
                assert!(late || hostile != Hostile::Silent, "{scheme} {said}: {failed:?}");
            });
        }
    }
    futures_util::future::join_all(looks).await;
}

#[test]
fn an_endpoint_is_read_as_people_write_it() {
    let read = |text: &str| text.parse::<Endpoint>().map(|e| (e.host, e.port, e.before));
    let ok = |host: &str, port, before| Ok((host.to_owned(), port, before));
    assert_eq!(read("crm.example.org"), ok("crm.example.org", 443, Before::Nothing));
    assert_eq!(read("CRM.example.org.:8443"), ok("crm.example.org", 8443, Before::Nothing));
    assert_eq!(read("https://crm.example.org/login?a=b"), ok("crm.example.org", 443, Before::Nothing));
    assert_eq!(read("https://me@crm.example.org:444/x"), ok("crm.example.org", 444, Before::Nothing));
    assert_eq!(read("[2001:db8::1]:636"), ok("2001:db8::1", 636, Before::Nothing));
    assert_eq!(read("mail:25"), ok("mail", 25, Before::Smtp));
    assert_eq!(read("tls://mail:25"), ok("mail", 25, Before::Nothing));
    assert_eq!(read("postgres://dc1-db1"), ok("dc1-db1", 5432, Before::Postgres));
    assert_eq!(read("ldaps://dir"), ok("dir", 636, Before::Nothing));
    let bad = |text: &str| read(text).unwrap_err().to_string();
    assert!(bad("2001:db8::1").contains("in brackets"));
    assert!(
        bad("a:0").contains("not a port") && bad("a:70000").contains("not a port") && bad("a:").contains("not a port")
    );
    assert!(bad("gopher://a").contains("is not known"));
    assert!(bad(":443").contains("names no host"));
    assert!(bad("a b:443").contains("neither a host name"));
    for text in ["crm.example.org:443", "[2001:db8::1]:636", "smtp://mail:2525", "mail:25", "tls://mail:25"] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
}
