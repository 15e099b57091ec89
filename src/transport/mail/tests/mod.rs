//! A mail against a server that answers as it is told, by the way that a run takes.

mod tls;

use super::*;
use crate::{
    base::{Change, HostName, Login, Place, RunId, Span},
    inventory::{SecretSource, sample::sample},
    transport::{
        Settled, Terms, Transport,
        fleet::{Fleet, Options, Prompter},
    },
};
use lettre::message::header::Headers;
use std::collections::BTreeMap;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

struct Nobody;
impl Prompter for Nobody {
    fn ask(&self, _: &str, _: bool) -> Result<String, String> {
        Err("nobody is there".to_owned())
    }
}

/// What the server says to a command that begins so, instead of the usual; `hang up` and `be silent` are done.
type Unusual = &'static [(&'static str, &'static str)];

const USUAL: &[(&str, &str)] = &[
    ("HELLO", "220 stand-in ESMTP"),
    ("EHLO", "250-stand-in\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
    ("AUTH", "235 welcome"),
    ("MAIL", "250 ok"),
    ("RCPT", "250 ok"),
    ("DATA", "354 go on"),
    (".", "250 2.0.0 queued as 4711"),
    ("QUIT", "221 bye"),
];

/// A server on this machine, and all that clients said to it, each connection with its lines.
struct Server {
    address: String,
    heard: JoinHandle<Vec<String>>,
}

impl Server {
    /// Serves one connection.
    async fn that(unusual: Unusual) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let (mut heard, mut text, mut command) = (vec![], false, "HELLO".to_owned());
            loop {
                let begins = |(part, _): &&(&str, &str)| command.starts_with(part);
                let found = unusual.iter().find(begins).or_else(|| USUAL.iter().find(begins));
                match if text { "" } else { found.map_or("500 what?", |(_, reply)| *reply) } {
                    "hang up" => return heard,
                    "be silent" | "" => {}
                    reply => write.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap(),
                }
                text = text || (command == "DATA" && found.is_some_and(|(_, reply)| reply.starts_with('3')));
                let Ok(Some(line)) = lines.next_line().await else { return heard };
                text = text && line != ".";
                command.clone_from(&line);
                heard.push(line);
            }
        });
        Self { address, heard }
    }
    /// What it heard, once the client is gone.
    async fn heard(self) -> Vec<String> {
        timeout(Duration::from_secs(20), self.heard).await.expect("the client hangs up").unwrap()
    }
}

struct Stage {
    fleet: Fleet,
    folder: tempfile::TempDir,
}

const PASSWORD: &str = "tres-secret-4711";

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), PASSWORD).unwrap();
        let redactor = Redactor::default();
        let secrets = BTreeMap::from([("smtp".to_owned(), SecretSource::File("pw".into()))]);
        let vault = Arc::new(Vault::new(secrets, folder.path().to_owned(), redactor.clone()));
        Self { fleet: Fleet::new(&sample(), vault, redactor, Options::default(), Arc::new(Nobody)), folder }
    }
    async fn act(&self, number: usize) -> Act {
        let run = RunId::at_millis(1_700_000_000_000);
        let boot = self.fleet.open(&run, &Place::HERE).await.unwrap();
        Act { run, task: "4@dc1-app1".into(), way: Way::Forward, number, boot }
    }
    /// Carries the first act of a run, as often as it is called.
    async fn send(&self, letter: Letter) -> Receipt {
        let act = self.act(0).await;
        self.fleet.carry(&act, &Place::HERE.at(Change::Mail(letter)), TERMS).await.unwrap()
    }
}

const TERMS: Terms = Terms { within: Duration::from_secs(60), interruptible: true };

fn letter(server: &str) -> Letter {
    Letter {
        via: Smtp { server: server.into(), tls: Tls::None, login: None, ca: None, within: Span::secs(20) },
        from: "Дежурный бот <svcops@lab.test>".into(),
        to: vec!["duty@lab.test".into(), "boss@пример.рф".into()],
        subject: "Биллинг: перезапуск закончен, все узлы на месте".into(),
        body: "Готово.\n.\nСледующая строка\n".into(),
    }
}

async fn sent_to(unusual: Unusual, change: impl FnOnce(&mut Letter)) -> (Receipt, Vec<String>, String) {
    let server = Server::that(unusual).await;
    let mut letter = letter(&server.address);
    change(&mut letter);
    let address = server.address.clone();
    let receipt = Stage::new().send(letter).await;
    (receipt, server.heard().await, address)
}

/// The outcome, with `SERVER` for the server's address.
fn told(receipt: &Receipt, address: &str) -> String {
    format!("{:?}", receipt.outcome).replace(address, "SERVER")
}

#[tokio::test]
async fn a_mail_says_who_and_what_in_any_language_and_is_sent_once() {
    let server = Server::that(&[]).await;
    let stage = Stage::new();
    let letter = letter(&server.address);
    let receipt = stage.send(letter.clone()).await;
    assert_eq!((&receipt.outcome, receipt.stdout.text.as_str()), (&Outcome::Ok, "250 2.0.0 queued as 4711"));
    // the server takes one connection only
    assert_eq!(stage.send(letter.clone()).await, receipt);
    let settled = stage.fleet.settle(&stage.act(0).await, &Place::HERE.at(Change::Mail(letter)), TERMS).await.unwrap();
    assert_eq!(settled, Settled::Was(receipt));

    let heard = server.heard().await;
    let commands: Vec<&String> = heard.iter().filter(|l| l.starts_with("MAIL") || l.starts_with("RCPT")).collect();
    assert_eq!(
        commands,
        ["MAIL FROM:<svcops@lab.test>", "RCPT TO:<duty@lab.test>", "RCPT TO:<boss@xn--e1afmkfd.xn--p1ai>"]
    );
    let mail = heard.join("\n");
    assert!(mail.contains("\nAuto-Submitted: auto-generated\n"), "{mail}");
    assert!(mail.contains("\nDate: ") && mail.contains("\nMIME-Version: 1.0\n"), "{mail}");
    assert!(mail.contains("\nContent-Type: text/plain; charset=utf-8\n"), "{mail}");
    assert!(mail.contains("\nX-Svcops-Run: "), "{mail}");
    assert!(mail.is_ascii(), "no server needs 8BITMIME for it: {mail}");
    assert_eq!(heard.last().unwrap(), "QUIT");
}

#[test]
fn the_same_act_has_the_same_message_id_and_another_act_or_store_another() {
    let act = |number| Act {
        run: RunId::at_millis(1_700_000_000_000),
        task: "4@dc1-app1".into(),
        way: Way::Forward,
        number,
        boot: format!("process-{number}"),
    };
    let id = |act: &Act, store: &str| {
        let message = write(&letter("127.0.0.1:25"), &Label::of(act, store), &Redactor::default()).unwrap();
        message.headers().get_raw("Message-ID").unwrap().to_owned()
    };
    let first = id(&act(0), "s");
    assert!(first.starts_with(&format!("<{}.", act(0).run)) && first.ends_with("@lab.test>"), "{first}");
    assert_eq!(first, id(&Act { boot: "process-of-a-resume".into(), ..act(0) }, "s"));
    let others = [id(&act(1), "s"), id(&act(0), "t"), id(&Act { way: Way::Undo, ..act(0) }, "s")];
    assert!(!others.contains(&first), "{first} {others:?}");
}

#[test]
fn a_subject_cannot_bring_headers_along_and_comes_back_as_it_was() {
    let long = "Очень длинная тема ".repeat(12);
    let letter = Letter { subject: format!("{long}\r\nBcc: x@y.test"), ..letter("127.0.0.1:25") };
    let act = Act { run: RunId::at_millis(1), task: "1@a".into(), way: Way::Forward, number: 0, boot: String::new() };
    let message = write(&letter, &Label::of(&act, ""), &Redactor::default()).unwrap();
    let text = String::from_utf8(message.formatted()).unwrap();
    let (headers, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
    assert!(headers.lines().all(|line| line.len() <= 998), "{headers}");
    let headers: &Headers = message.headers();
    let subject: lettre::message::header::Subject = headers.get().unwrap();
    assert!(subject.as_ref().starts_with(&long), "{subject:?}");
}

#[tokio::test]
async fn one_refused_recipient_means_that_nobody_gets_it() {
    let (receipt, heard, at) = sent_to(&[("RCPT TO:<boss", "550 5.1.1 no such\u{7} mailbox")], |_| {}).await;
    let why = "the mail server `SERVER` refused the recipient `boss@xn--e1afmkfd.xn--p1ai`: 550 5.1.1 no such mailbox";
    assert_eq!(told(&receipt, &at), format!("Refused({why:?})"));
    assert!(!heard.contains(&"DATA".to_owned()), "{heard:?}");
    assert_eq!(heard.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn what_goes_wrong_before_the_text_is_a_refusal_that_says_where() {
    let cases: [(Unusual, &str); 6] = [
        (&[("HELLO", "554 5.7.1 not you")], "the mail server `SERVER` lets nobody in: 554 5.7.1 not you"),
        (
            &[("MAIL", "451 4.7.1 greylisted")],
            "the mail server `SERVER` refused the sender `svcops@lab.test`: 451 4.7.1 greylisted",
        ),
        (&[("DATA", "421 4.3.2 shutting down")], "the mail server `SERVER` refused DATA: 421 4.3.2 shutting down"),
        (
            &[("RCPT", "hang up")],
            "the mail server `SERVER` was lost at the recipient `duty@lab.test`: the connection ended before an answer came",
        ),
        (
            &[("DATA", "hang up")],
            "the mail server `SERVER` was lost at DATA: the connection ended before an answer came",
        ),
        (
            &[("HELLO", "hang up")],
            "could not reach the mail server `SERVER`: the connection ended before an answer came",
        ),
    ];
    for (unusual, why) in cases {
        let (receipt, _, at) = sent_to(unusual, |_| {}).await;
        assert_eq!(told(&receipt, &at), format!("Refused({why:?})"), "{unusual:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let receipt = Stage::new().send(letter(&closed)).await;
    let why = "could not reach the mail server `SERVER`: connection refused";
    assert_eq!(told(&receipt, &closed), format!("Refused({why:?})"));
}

#[tokio::test]
async fn what_the_server_says_to_the_text_is_the_end_of_it() {
    let (receipt, _, at) = sent_to(&[(".", "554 5.6.0 looks like spam")], |_| {}).await;
    let why = "the mail server `SERVER` did not take the mail: 554 5.6.0 looks like spam";
    assert_eq!(told(&receipt, &at), format!("Failed({why:?})"));
}

#[tokio::test]
async fn a_contact_lost_after_the_text_is_unknown_and_it_is_not_sent_again() {
    let server = Server::that(&[(".", "hang up")]).await;
    let stage = Stage::new();
    let letter = letter(&server.address);
    let receipt = stage.send(letter.clone()).await;
    let why = "the mail was sent to `SERVER`, but whether it was taken is not known: the connection ended before an answer came";
    assert_eq!(told(&receipt, &server.address), format!("Unknown({why:?})"));
    assert_eq!(stage.send(letter.clone()).await, receipt);
    assert_eq!(server.heard().await.last().unwrap(), ".");

    // another process finds the act announced, and does not send it either
    let (act, mail) = (stage.act(0).await, Place::HERE.at(Change::Mail(letter)));
    let other = Stage::new();
    let receipt = other.fleet.carry(&act, &mail, TERMS).await.unwrap();
    assert!(matches!(&receipt.outcome, Outcome::Unknown(why) if why.contains("another process")), "{receipt:?}");
    let settled = other.fleet.settle(&act, &mail, TERMS).await.unwrap();
    assert!(matches!(settled, Settled::Was(Receipt { outcome: Outcome::Unknown(_), .. })), "{settled:?}");
}

#[tokio::test]
async fn a_silent_server_is_waited_for_no_longer_than_said() {
    let soon = |letter: &mut Letter| letter.via.within = Span(Duration::from_millis(200));
    let (receipt, _, at) = sent_to(&[("MAIL", "be silent")], soon).await;
    let why = "the mail server `SERVER` did not answer within 200ms";
    assert_eq!(told(&receipt, &at), format!("Refused({why:?})"));
    let (receipt, _, at) = sent_to(&[(".", "be silent")], soon).await;
    assert_eq!(told(&receipt, &at), format!("Unknown({why:?})"));
}

#[tokio::test]
async fn where_starttls_is_demanded_and_not_offered_nothing_is_said() {
    let login = Login { user: "svcops".into(), password: "smtp".into() };
    let demand = |letter: &mut Letter| (letter.via.tls, letter.via.login) = (Tls::Starttls, Some(login));
    let (receipt, heard, at) = sent_to(&[], demand).await;
    let why = "the mail server `SERVER` offers no STARTTLS, and unencrypted nothing is sent";
    assert_eq!(told(&receipt, &at), format!("Refused({why:?})"));
    assert_eq!(heard.iter().map(|l| l.get(..4).unwrap_or(l)).collect::<Vec<_>>(), ["EHLO", "QUIT"]);
}

#[tokio::test]
async fn a_login_that_fails_is_told_without_its_password() {
    let login = Login { user: "svcops".into(), password: "smtp".into() };
    let with = |letter: &mut Letter| letter.via.login = Some(login.clone());
    // as some servers do, it repeats what it was told: \0svcops\0tres-secret-4711
    let echo = "535 5.7.8 no: AHN2Y29wcwB0cmVzLXNlY3JldC00NzEx tres-secret-4711";
    let unusual: Unusual = Box::leak(Box::new([("AUTH", echo)]));
    let (receipt, heard, at) = sent_to(unusual, with).await;
    let told_of_it = told(&receipt, &at);
    assert!(told_of_it.starts_with("Refused(\"the mail server `SERVER` refused the login of `svcops`: 535 5.7.8 no: "));
    assert!(!told_of_it.contains(PASSWORD) && !told_of_it.contains("0cmVzLXNlY3JldC00NzEx"), "{told_of_it}");
    assert!(heard.iter().any(|l| l == "AUTH PLAIN AHN2Y29wcwB0cmVzLXNlY3JldC00NzEx"), "{heard:?}");

    let with = |letter: &mut Letter| letter.via.login = Some(login);
    let (receipt, _, _) = sent_to(&[("EHLO", "250-stand-in\r\n250 8BITMIME")], with).await;
    assert!(matches!(&receipt.outcome, Outcome::Refused(why) if why.contains("offers no login")), "{receipt:?}");
}

#[tokio::test]
async fn letters_beyond_ascii_before_the_at_need_a_server_that_takes_them() {
    let to = |letter: &mut Letter| letter.to = vec!["дежурный@lab.test".into()];
    let (receipt, _, at) = sent_to(&[], to).await;
    let why = "the mail server `SERVER` takes no addresses with letters such as `дежурный@lab.test`";
    assert_eq!(told(&receipt, &at), format!("Refused({why:?})"));
    let (receipt, heard, _) = sent_to(&[("EHLO", "250-stand-in\r\n250 SMTPUTF8")], to).await;
    assert_eq!(receipt.outcome, Outcome::Ok);
    assert!(heard.contains(&"MAIL FROM:<svcops@lab.test> SMTPUTF8".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_breaks_the_library_does_not_break_the_run() {
    // a reply to EHLO with a line of nothing but blanks
    let (receipt, _, at) = sent_to(&[("EHLO", "250-stand-in\r\n250-   \r\n250 ok")], |_| {}).await;
    let told_of_it = told(&receipt, &at);
    assert!(told_of_it.starts_with("Refused(\"the talk with the mail server `SERVER` broke off"), "{told_of_it}");
}

#[tokio::test]
async fn a_mail_for_a_host_goes_out_from_here() {
    let server = Server::that(&[]).await;
    let stage = Stage::new();
    let (act, at) = (stage.act(0).await, Place::on(&HostName::new("dc1-app1")));
    let mail = at.at(Change::Mail(letter(&server.address)));
    assert_eq!(stage.fleet.carry(&act, &mail, TERMS).await.unwrap().outcome, Outcome::Ok);
    assert!(server.heard().await.len() > 5);
    assert!(stage.folder.path().exists());
}

#[tokio::test]
async fn a_knock_says_how_the_server_answers_and_sends_nothing() {
    let server = Server::that(&[]).await;
    let via = letter(&server.address).via;
    let pen = Pen {
        vault: Arc::new(Vault::new(BTreeMap::new(), std::env::temp_dir(), Redactor::default())),
        redactor: Redactor::default(),
    };
    let says = knock(&via, &pen).await.unwrap();
    assert_eq!(says.replace(&server.address, "SERVER"), "SERVER answers as `stand-in`, not encrypted");
    assert_eq!(server.heard().await.iter().map(|l| l.get(..4).unwrap_or(l)).collect::<Vec<_>>(), ["EHLO", "QUIT"]);
    let why = knock(&via, &pen).await.unwrap_err();
    assert_eq!(why.replace(&via.server, "SERVER"), "could not reach the mail server `SERVER`: connection refused");
}
