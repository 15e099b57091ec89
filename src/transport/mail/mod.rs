//! One mail by SMTP (RFC 5321): to all of its recipients, or to nobody.
//!
//! Until the text is sent, whatever goes wrong is a refusal: nobody has got anything. Once it is, only the server's own
//! word says what became of it; without one, nobody knows.

#[cfg(test)]
mod tests;

use super::{http, vault::Vault};
use crate::base::{Act, Clock, Hash, Letter, Outcome, Output, Receipt, Redactor, Smtp, Tls, WallClock, Way, letter};
use lettre::{
    Address, Message,
    message::{
        Mailbox, SinglePart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
        response::Response,
    },
};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use tokio::{net::UdpSocket, time::timeout};

/// How long a farewell may take: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether the text may be sent, and was: whoever asks first decides it for ever.
pub(crate) type Turnstile = Arc<OnceLock<bool>>;

/// What sending needs beside the letter.
#[derive(Clone)]
pub(crate) struct Pen {
    /// Gives the password.
    pub(crate) vault: Arc<Vault>,
    /// Cleans what is told of it.
    pub(crate) redactor: Redactor,
}

/// Sends a letter, and says what the server made of it. The text goes out only where the turnstile lets it.
pub(crate) async fn send(letter: Letter, label: Label, pen: Pen, turnstile: Turnstile) -> Receipt {
    let (outcome, reply) = match talk(&letter, &label, &pen, &turnstile).await {
        Ok(reply) => (Outcome::Ok, reply),
        Err(outcome) => (outcome, String::new()),
    };
    let clean = |text: String| pen.redactor.clean(&text).0;
    let outcome = match outcome {
        Outcome::Ok => Outcome::Ok,
        Outcome::Refused(why) => Outcome::Refused(clean(why)),
        Outcome::Failed(why) => Outcome::Failed(clean(why)),
        Outcome::Unknown(why) => Outcome::Unknown(clean(why)),
    };
    let stdout = Output { bytes: reply.len() as u64, text: clean(reply), redacted: false };
    Receipt { stdout, ..Receipt::of(outcome) }
}

/// Whether a mail could be sent: connects, encrypts and logs in as for one, and hangs up.
///
/// # Errors
/// Why not, in words.
pub(crate) async fn knock(via: &Smtp, pen: &Pen) -> Result<String, String> {
    let words = match timeout(via.within.0, open(via, &pen.vault)).await {
        Err(_) => Err(format!("the mail server `{}` did not answer within {}", via.server, via.within)),
        Ok(Err(why)) => Err(why),
        Ok(Ok(mut server)) => {
            let name = printable(server.server_info().name());
            let encrypted = if server.is_encrypted() { "encrypted" } else { "not encrypted" };
            let login = via.login.as_ref().map(|l| format!(", lets `{}` in", l.user)).unwrap_or_default();
            drop(timeout(FAREWELL, server.quit()).await);
            Ok(format!("{} answers as `{name}`, {encrypted}{login}", via.server))
        }
    };
    words.map_err(|why| pen.redactor.clean(&why).0)
}

/// What tells one mail from every other.
pub(crate) struct Label {
    /// The run.
    run: String,
    /// The same for the same act of the same store, and for no other.
    key: String,
}

impl Label {
    /// Of an act of a run that is recorded in the store of that name.
    pub(crate) fn of(act: &Act, store: &str) -> Self {
        let way = match act.way {
            Way::Forward => "forward",
            Way::Undo => "undo",
        };
        let key = Hash::of(format!("{store}\n{}\n{}\n{way}\n{}", act.run, act.task, act.number).as_bytes());
        Self { run: act.run.to_string(), key: key.0.get(..24).unwrap_or(&key.0).to_owned() }
    }
}

/// The whole conversation; the server's last word on the mail.
async fn talk(letter: &Letter, label: &Label, pen: &Pen, turnstile: &OnceLock<bool>) -> Result<String, Outcome> {
    let message = write(letter, label, &pen.redactor).map_err(Outcome::Refused)?;
    let mut server = open(&letter.via, &pen.vault).await.map_err(Outcome::Refused)?;
    let via = &letter.via.server;
    if let Err(why) = address(&mut server, via, &message).await {
        drop(timeout(FAREWELL, server.abort()).await);
        return Err(Outcome::Refused(why));
    }
    if !turnstile.get_or_init(|| true) {
        return Err(Outcome::Refused("it was called back before its text was sent".to_owned()));
    }
    match server.message(&message.formatted()).await {
        Ok(reply) => {
            drop(timeout(FAREWELL, server.quit()).await);
            Ok(of_reply(&reply))
        }
        Err(error) => Err(match answer(&error) {
            Some(reply) => Outcome::Failed(format!("the mail server `{via}` did not take the mail: {reply}")),
            None => Outcome::Unknown(format!(
                "the mail was sent to `{via}`, but whether it was taken is not known: {}",
                words(&error)
            )),
        }),
    }
}

/// Connects, encrypts, logs in.
async fn open(via: &Smtp, vault: &Vault) -> Result<AsyncSmtpConnection, String> {
    let server = &via.server;
    let tls = if via.tls == Tls::None { None } else { Some(trust(via, vault)?) };
    let (at_once, later) = if via.tls == Tls::Tls { (tls, None) } else { (None, tls) };
    let name = own_name(server).await;
    let connected = AsyncSmtpConnection::connect_tokio1(server.as_str(), None, &name, at_once, None).await;
    let mut talk = connected.map_err(|e| match answer(&e) {
        Some(reply) => format!("the mail server `{server}` lets nobody in: {reply}"),
        None => format!("could not reach the mail server `{server}`: {}", words(&e)),
    })?;
    if let Some(tls) = later {
        if !talk.can_starttls() {
            drop(timeout(FAREWELL, talk.abort()).await);
            return Err(format!("the mail server `{server}` offers no STARTTLS, and unencrypted nothing is sent"));
        }
        talk.starttls(tls, &name).await.map_err(|e| lost(server, "STARTTLS", &e))?;
    }
    if let Some(login) = &via.login {
        let ways = [Mechanism::Plain, Mechanism::Login];
        if talk.server_info().get_auth_mechanism(&ways).is_none() {
            return Err(format!("the mail server `{server}` offers no login by PLAIN or LOGIN"));
        }
        let password = vault.secret(&login.password).map_err(|e| e.to_string())?;
        let credentials = Credentials::new(login.user.clone(), password.reveal().to_owned());
        talk.auth(&ways, &credentials)
            .await
            .map_err(|e| lost(server, &format!("the login of `{}`", login.user), &e))?;
    }
    Ok(talk)
}

/// Whom it is from, whom it is for, and that the text comes next.
async fn address(server: &mut AsyncSmtpConnection, via: &str, message: &Message) -> Result<(), String> {
    let (from, to) = (message.envelope().from(), message.envelope().to());
    let mut parameters = vec![];
    if let Some(foreign) = from.into_iter().chain(to).find(|a| !a.user().is_ascii()) {
        if !server.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(format!("the mail server `{via}` takes no addresses with letters such as `{foreign}`"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let sender = from.map(ToString::to_string).unwrap_or_default();
    let said = server.command(Mail::new(from.cloned(), parameters)).await;
    said.map_err(|e| lost(via, &format!("the sender `{sender}`"), &e))?;
    for one in to {
        let said = server.command(Rcpt::new(one.clone(), vec![])).await;
        said.map_err(|e| lost(via, &format!("the recipient `{one}`"), &e))?;
    }
    server.command(Data).await.map_err(|e| lost(via, "DATA", &e))?;
    Ok(())
}

/// The mail as it travels: headers, and the text in an encoding that every server takes.
fn write(letter: &Letter, label: &Label, redactor: &Redactor) -> Result<Message, String> {
    let (name, from) = letter::named_address(&letter.from);
    let from = ascii_domain(from)?;
    let id = format!("<{}.{}@{}>", label.run, label.key, from.domain().trim_matches(['[', ']']));
    let own = |name: &'static str, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
    let mut builder = Message::builder()
        .from(Mailbox::new(name.map(str::to_owned), from))
        .subject(redactor.clean(&letter.subject).0)
        .date(SystemTime::from(WallClock.now()))
        .message_id(Some(id))
        // nobody's holiday notice answers it (RFC 3834, 5)
        .raw_header(own("Auto-Submitted", "auto-generated".to_owned()))
        .raw_header(own("X-Svcops-Run", label.run.clone()));
    for one in &letter.to {
        builder = builder.to(Mailbox::new(None, ascii_domain(one)?));
    }
    builder
        .singlepart(SinglePart::plain(redactor.clean(&letter.body).0))
        .map_err(|e| format!("no mail can be made of it: {e}"))
}

/// An address whose domain is written as name servers know it: `пример.рф` as `xn--e1afmkfd.xn--p1ai`.
fn ascii_domain(text: &str) -> Result<Address, String> {
    let wrong = || format!("`{text}` is no mail address");
    let address: Address = text.parse().map_err(|_| wrong())?;
    if address.domain().is_ascii() {
        return Ok(address);
    }
    let (domain, _) = http::target(&format!("http://{}/", address.domain())).map_err(|_| wrong())?;
    Address::new(address.user(), domain).map_err(|_| wrong())
}

fn trust(via: &Smtp, vault: &Vault) -> Result<TlsParameters, String> {
    let mut tls = TlsParameters::builder(via.host().to_owned());
    if let Some(path) = &via.ca {
        let pem = std::fs::read(vault.path(path)).map_err(|e| format!("could not read `{path}`: {e}"))?;
        let trusted = Certificate::from_pem(&pem).map_err(|_| format!("`{path}` holds no certificate"))?;
        tls = tls.certificate_store(CertificateStore::None).add_root_certificate(trusted);
    }
    tls.build().map_err(|e| format!("no encrypted connection can be made: {}", http::deepest(&e)))
}

/// What this machine calls itself: its name where it has a domain, else the address that the server sees (RFC 5321,
/// 4.1.4).
async fn own_name(server: &str) -> ClientId {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)) {
        return ClientId::Domain(name.to_owned());
    }
    // nothing is sent: the kernel only says by which of its addresses it would be
    for any in ["0.0.0.0:0", "[::]:0"] {
        if let Ok(socket) = UdpSocket::bind(any).await
            && socket.connect(server).await.is_ok()
            && let Ok(address) = socket.local_addr()
        {
            return match address.ip() {
                std::net::IpAddr::V4(ip) => ClientId::Ipv4(ip),
                std::net::IpAddr::V6(ip) => ClientId::Ipv6(ip),
            };
        }
    }
    ClientId::default()
}

fn lost(server: &str, at: &str, error: &Error) -> String {
    match answer(error) {
        Some(reply) => format!("the mail server `{server}` refused {at}: {reply}"),
        None => format!("the mail server `{server}` was lost at {at}: {}", words(error)),
    }
}

/// What the server itself said against it.
fn answer(error: &Error) -> Option<String> {
    let code = error.status()?;
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Some(printable(&format!("{code} {text}")))
}

fn of_reply(reply: &Response) -> String {
    let lines: Vec<&str> = reply.message().collect();
    printable(&format!("{} {}", reply.code(), lines.join(" ")))
}

fn words(error: &Error) -> String {
    let said = http::deepest(error);
    if said == "incomplete response" {
        return "the connection ended before an answer came".to_owned();
    }
    http::plain(&said).map_or_else(|| printable(&said), str::to_owned)
}

/// One line of what a server said, without what a terminal would act on.
fn printable(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}
