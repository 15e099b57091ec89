//! What hosts send: HAProxy's answers, systemd's, and anything at all from a host that means harm.

use super::{sentence, short};
use crate::{
    base::{
        Act, Answer, At, Change, Content, HaproxyApi, Hash, HostName, Invocation, Outcome, Output, Place, Read,
        Receipt, Redactor, RunId, Secret, ServerFacts, ServerState, Source, Span, Text, UnitState, Way,
    },
    transport::{
        Fut, Lost, Settled, Terms, haproxy,
        remote::{Remote, probe},
        shell::{Frames, Link, OpenError, Pipe},
        vault::Vault,
    },
};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No complaint of a host is longer, in bytes: it is shown, and kept for ever.
const COMPLAINT: usize = 4 * 1024;

/// HAProxy's answer to what is asked of a server: facts which, written as HAProxy writes them, are the same facts; or a
/// complaint of bounded length.
pub fn check_haproxy(bytes: &[u8]) {
    let reply = String::from_utf8_lossy(bytes);
    if let Some(said) = haproxy::complaint(&reply) {
        sentence(&said, COMPLAINT);
        assert!(!said.contains('\n'), "a complaint is one line");
    }
    for server in ["app1", "dc1-app1", "x"] {
        match haproxy::facts("billing", server, &reply) {
            Err(why) => sentence(&why, COMPLAINT),
            Ok(facts) => {
                assert!(reply.contains("billing") && reply.contains(server), "facts of what was never named");
                let again = haproxy::facts("billing", server, &as_haproxy_says(server, &facts));
                assert_eq!(again, Ok(facts));
            }
        }
    }
}

fn as_haproxy_says(server: &str, facts: &ServerFacts) -> String {
    let admin = match facts.state {
        ServerState::Ready => 0,
        ServerState::Drain => 8,
        ServerState::Maint => 1,
    };
    let (op, sessions) = (if facts.up { 2 } else { 0 }, facts.sessions);
    format!(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n3 billing 1 {server} - {op} {admin}\n\n\
         # pxname,svname,qcur,scur,status\nbilling,{server},0,{sessions},UP,\n\n"
    )
}

/// What `systemctl show` and the look at a file print, as the probe reads it.
pub fn check_systemd(bytes: &[u8]) {
    let frames = Frames::default().with("r0", bytes);
    let unit = Read::Unit { name: "billing.service".into() };
    match probe::answer(0, &unit, &frames) {
        Answer::Bad(why) => sentence(&why, COMPLAINT),
        Answer::Unit(facts) => {
            check_word(&facts.invocation);
            let state = match facts.state {
                UnitState::Active => "active",
                UnitState::Reloading => "reloading",
                UnitState::Inactive => "inactive",
                UnitState::Failed => "failed",
                UnitState::Activating => "activating",
                UnitState::Deactivating => "deactivating",
                UnitState::Maintenance => "maintenance",
            };
            let load = if facts.loaded { "loaded" } else { "not-found" };
            let said = format!(
                "MainPID={}\nLoadState={load}\nActiveState={state}\nInvocationID={}\nStateChangeTimestampMonotonic={}\n",
                facts.pid, facts.invocation, facts.since
            );
            let again = Frames::default().with("r0", said.as_bytes());
            assert_eq!(probe::answer(0, &unit, &again), Answer::Unit(facts));
        }
        other => panic!("{other:?} is no answer of systemd"),
    }
    match probe::answer(0, &Read::File { path: "/etc/x".into() }, &frames) {
        Answer::Bad(why) => sentence(&why, COMPLAINT),
        Answer::File(None) => {}
        Answer::File(Some(facts)) => {
            check_word(&facts.owner);
            check_word(&facts.group);
            assert!(
                facts.hash.0.len() == 64 && facts.hash.0.bytes().all(|b| b.is_ascii_hexdigit()),
                "no hash: {facts:?}"
            );
            assert!(facts.mode <= 0o7777, "no mode: {:o}", facts.mode);
            assert!(facts.link.as_ref().is_none_or(|l| l.len() <= COMPLAINT), "where a link leads has bounds");
        }
        other => panic!("{other:?} is no answer about a file"),
    }
}

#[track_caller]
fn check_word(text: &str) {
    assert!(text.len() <= 256 && !text.contains('\n'), "no word: {}", short(text));
}

/// A host that answers anything: the first byte says what is asked of it and how it goes on, the rest is what it sends.
/// `S!` in it stands for the nonce of the script at hand, which every host is told. Whatever comes is read within bounds of
/// time and memory, and no secret passes through.
pub fn check_session(bytes: &[u8]) {
    let Some((first, sent)) = bytes.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|why| panic!("{why}"));
    runtime.block_on(async {
        let given = Arc::new(Mutex::new(0));
        let link = Evil { sent: sent.to_vec(), endless: first & 0x80 != 0, given: Arc::clone(&given) };
        let redactor = Redactor::default();
        redactor.hide(&Secret::new(SECRET.to_owned()));
        let vault = Arc::new(Vault::new(BTreeMap::new(), PathBuf::from("/"), redactor.clone()));
        let host = Remote::new(Some(HostName::new("evil")), Arc::new(link), vault, redactor);
        let asked = tokio::time::timeout(Duration::from_secs(3600), ask(&host, first & 0x0f)).await;
        let said = asked.unwrap_or_else(|_| panic!("asked for an hour"));
        assert!(!said.contains(SECRET), "a secret came back");
        host.close().await;
    });
}

/// Asks one thing of the host, checks the bounds of what comes, and shows it whole.
async fn ask(host: &Remote, what: u8) -> String {
    let place = Place::on(&HostName::new("evil"));
    let act = Act { run: RunId::at_millis(1), task: "1@evil".into(), way: Way::Forward, number: 0, boot: "b".into() };
    let terms = Terms { within: Duration::from_secs(5), interruptible: true };
    let change = |what: u8| -> At<Change> {
        let text = Text("content".into());
        let content = Content { hash: Hash::of(b"content"), size: 7, from: Source::Text(text) };
        let (mode, owner, group, validate) = (None, None, None, None);
        place.at(match what {
            0 => Change::Run(Invocation::shell("true", Span::secs(5))),
            1 => Change::RestartUnit("billing.service".into()),
            2 => Change::WriteFile { path: "/etc/x".into(), content, mode, owner, group, validate },
            _ => Change::SetServer {
                api: socket(),
                backend: "billing".into(),
                server: "app1".into(),
                state: ServerState::Drain,
            },
        })
    };
    match what {
        0 => {
            let server = Read::Server { api: socket(), backend: "billing".into(), server: "app1".into() };
            let reads = [Read::Unit { name: "billing.service".into() }, Read::File { path: "/etc/x".into() }, server];
            look(host, &reads.map(|read| place.at(read))).await
        }
        1 => look(host, &[place.at(Read::Run(Invocation::shell("true", Span::secs(5))))]).await,
        2 => look(host, &[place.at(Read::Tcp { host: "x".into(), port: 80, within: Span::secs(5) })]).await,
        3..=6 => match host.carry(&act, &change(what - 3), terms).await {
            Err(lost) => named(&lost),
            Ok(receipt) => bounded(receipt),
        },
        7 => match host.settle(&act, &change(0), terms).await {
            Err(lost) => named(&lost),
            Ok(Settled::Never) => String::new(),
            Ok(Settled::Was(receipt)) => bounded(receipt),
        },
        8 => match host.open(&act.run).await {
            Err(lost) => named(&lost),
            Ok(boot) => {
                check_word(&boot);
                boot
            }
        },
        9 => match host.fetch(&place, "/etc/x", 1000).await {
            Err(lost) => named(&lost),
            Ok(None) => String::new(),
            Ok(Some(bytes)) => {
                assert!(bytes.len() <= 1000, "{} bytes of 1000", bytes.len());
                String::from_utf8_lossy(&bytes).replace(SECRET, "")
            }
        },
        10 => host.cancel(&act, &place).await.map_or_else(|lost| named(&lost), |gone| gone.to_string()),
        _ => {
            host.forget(&act.run).await;
            String::new()
        }
    }
}

async fn look(host: &Remote, reads: &[At<Read>]) -> String {
    let look = match host.look(reads).await {
        Err(lost) => return named(&lost),
        Ok(look) => look,
    };
    check_word(&look.boot);
    assert_eq!(look.answers.len(), reads.len(), "an answer to each read");
    for answer in &look.answers {
        match answer {
            Answer::Bad(why) => sentence(why, COMPLAINT),
            Answer::Run(run) => assert!(run.stdout.len().max(run.stderr.len()) <= OUTPUT, "an output has bounds"),
            Answer::Tcp(tcp) => {
                assert!(tcp.error.as_ref().is_none_or(|e| e.len() <= COMPLAINT), "a complaint has bounds");
            }
            _ => {}
        }
    }
    format!("{look:?}")
}

fn named(lost: &Lost) -> String {
    sentence(&lost.why, COMPLAINT);
    lost.to_string()
}

fn bounded(receipt: Receipt) -> String {
    if let Outcome::Refused(why) | Outcome::Failed(why) | Outcome::Unknown(why) = &receipt.outcome {
        sentence(why, COMPLAINT);
    }
    for output in [&receipt.stdout, &receipt.stderr] {
        assert!(output.text.len() <= OUTPUT, "{} bytes of an output are kept", output.text.len());
    }
    let row = serde_json::to_string(&receipt).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(serde_json::from_str::<Receipt>(&row).ok().as_ref(), Some(&receipt), "written, it is another one");
    row
}

fn socket() -> HaproxyApi {
    HaproxyApi::Socket("/run/haproxy/admin.sock".into())
}

/// A byte that is no UTF-8 becomes a character of three.
const OUTPUT: usize = 3 * Output::CAP + 200;
const SECRET: &str = "hunter2-hunter2";
/// More than this is never taken from one host for one question.
const TAKEN: usize = 256 << 20;

/// A host whose shells greet as they should, and then send what they like; at its end they close, or begin anew for ever.
struct Evil {
    sent: Vec<u8>,
    endless: bool,
    given: Arc<Mutex<usize>>,
}

impl Link for Evil {
    fn open<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Pipe, OpenError>> {
        let nonce = Arc::new(Mutex::new(String::new()));
        let output = Mouth {
            sent: self.sent.clone(),
            at: 0,
            endless: self.endless,
            greeted: false,
            ready: Vec::new(),
            nonce: Arc::clone(&nonce),
            given: Arc::clone(&self.given),
        };
        Box::pin(async move { Ok(Pipe { input: Box::new(Ear(nonce)), output: Box::new(output), child: Box::new(()) }) })
    }
    fn tunnel<'a>(&'a self, _: &'a str, _: u16) -> Fut<'a, Result<Option<PathBuf>, String>> {
        Box::pin(async { Err("there is no way".to_owned()) })
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}

/// Hears the nonce of each script.
struct Ear(Arc<Mutex<String>>);

impl AsyncWrite for Ear {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = String::from_utf8_lossy(bytes);
        if let Some(nonce) = text.strip_prefix("{\nK=").and_then(|rest| rest.lines().next()) {
            nonce.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Says what it likes.
struct Mouth {
    sent: Vec<u8>,
    at: usize,
    endless: bool,
    greeted: bool,
    /// What was made ready, to be taken from its front.
    ready: Vec<u8>,
    nonce: Arc<Mutex<String>>,
    given: Arc<Mutex<usize>>,
}

impl Mouth {
    /// The next bytes; none: it has closed, or says no more until it is asked something else.
    fn next(&mut self) -> Vec<u8> {
        let nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.greeted && !nonce.is_empty() {
            self.greeted = true;
            return format!("{nonce} end\n").into_bytes();
        }
        if self.at >= self.sent.len() && self.endless {
            self.at = 0;
        }
        if self.endless && !self.sent.is_empty() && !self.sent.windows(2).any(|pair| pair == b"S!") {
            return self.sent.repeat(8192 / self.sent.len() + 1);
        }
        let rest = self.sent.get(self.at..).unwrap_or_default();
        if rest.starts_with(b"S!") {
            self.at += 2;
            return nonce.into_bytes();
        }
        let until = rest.iter().skip(1).position(|b| *b == b'S').map_or(rest.len(), |p| p + 1);
        let part = rest.get(..until).unwrap_or_default().to_vec();
        self.at += part.len();
        part
    }
}

impl AsyncRead for Mouth {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.ready.len() < 8192 {
            let part = self.next();
            if part.is_empty() {
                break;
            }
            self.ready.extend(part);
        }
        let taken = self.ready.len().min(buffer.remaining());
        let part: Vec<u8> = self.ready.drain(..taken).collect();
        buffer.put_slice(&part);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        *given += taken;
        assert!(*given <= TAKEN, "{given} bytes were taken from one host, and it goes on");
        Poll::Ready(Ok(()))
    }
}
