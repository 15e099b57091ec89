//! What is done from here, by this process: HTTP, TCP, HAProxy's runtime API over TCP, messages and questions.
//!
//! An act leaves its receipt in memory. Where this process is another one than the act was announced under, a message
//! may have been sent or not, and nobody knows; a question is asked again; the state of a server is set again, for
//! setting it twice is setting it once.

use super::{
    Look, Settled, Terms,
    client::Client,
    fleet::Prompter,
    haproxy, http,
    mail::{self, Label, Pen, Turnstile},
    orders::Orders,
    vault::Vault,
};
use crate::cert::dial::{Dial, Endpoint};
use crate::{
    base::{
        Act, Answer, At, Change, ClientAsk, Clock as _, HaproxyApi, HttpFacts, Letter, Outcome, Output, Read, Receipt,
        RecordAsk, RecordUpdate, Redactor, ServedAsk, ServedFacts, Span, TcpFacts, WallClock,
    },
    issue::dns::{self, DnsError},
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex as Lock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};

/// This process.
pub(crate) struct Here {
    vault: Arc<Vault>,
    redactor: Redactor,
    prompter: Arc<dyn Prompter>,
    /// Names the store that runs are recorded in.
    store: String,
    boot: String,
    acts: Lock<BTreeMap<Act, Arc<Entry>>>,
    orders: Orders,
    /// Those that were asked for how a service answers them.
    clients: Lock<BTreeMap<ClientAsk, Arc<Client>>>,
}

/// An act, and a way to give it up.
#[derive(Default)]
struct Entry {
    deed: Mutex<Deed>,
    stop: tokio::sync::Notify,
    /// For a mail: whether its text went out.
    sent: Turnstile,
}

/// What became of an act so far.
#[derive(Default)]
enum Deed {
    #[default]
    Open,
    Never,
    Begun,
    Done(Receipt),
}

impl Here {
    /// How long HAProxy may take to answer.
    const REPLY: Duration = Duration::from_secs(10);
    /// More is no answer of HAProxy's.
    const REPLY_CAP: u64 = 16 << 20;

    pub(crate) fn new(
        vault: Arc<Vault>,
        redactor: Redactor,
        prompter: Arc<dyn Prompter>,
        store: String,
        orders: Orders,
    ) -> Self {
        let boot = format!("process-{}", super::shell::nonce());
        Self { vault, redactor, prompter, store, boot, acts: Lock::default(), orders, clients: Lock::default() }
    }

    pub(crate) async fn look(&self, reads: &[At<Read>]) -> Look {
        let answers = join_all(reads.iter().map(|read| self.read(&read.what))).await;
        Look { boot: self.boot.clone(), answers }
    }

    /// Answers one read.
    pub(crate) async fn read(&self, read: &Read) -> Answer {
        let answer = match read {
            Read::Http(ask) => {
                http::look(ask, None, &self.vault, &self.redactor).await.map_or_else(Answer::Bad, Answer::Http)
            }
            Read::Tcp { host, port, within } => Answer::Tcp(connect(host, *port, *within).await),
            Read::Server { api: HaproxyApi::Tcp(address), backend, server } => {
                let asked = match haproxy::named(backend, server) {
                    Ok(()) => say(address, &haproxy::ask(backend)).await,
                    Err(why) => Err(why),
                };
                asked.and_then(|reply| haproxy::facts(backend, server, &reply)).map_or_else(Answer::Bad, Answer::Server)
            }
            Read::Addresses(ask) => match dns::addresses(ask).await {
                Ok(found) => Answer::Addresses(found),
                Err(why) => Answer::Bad(why.to_string()),
            },
            Read::Record(ask) => self.records(ask).await,
            Read::Order(ask) => self.orders.look(ask).await,
            Read::Served(ask) => Answer::Served(served(ask).await),
            Read::Client(ask) => self.client(ask).look(ask.anew, ask.within).await,
            Read::Unit { .. }
            | Read::File { .. }
            | Read::Run(_)
            | Read::Server { .. }
            | Read::Pair(_)
            | Read::Postgres(_)
            | Read::Proof(_) => Answer::Bad("this needs a host to be read on".to_owned()),
        };
        match answer {
            Answer::Bad(why) => Answer::Bad(self.redactor.clean(&why).0),
            other => other,
        }
    }

    /// The client that asks so, at work from the first time on.
    fn client(&self, ask: &ClientAsk) -> Arc<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = ClientAsk { anew: false, ..ask.clone() };
        let begin = || Arc::new(Client::begin(ask, Arc::clone(&self.vault), self.redactor.clone()));
        Arc::clone(clients.entry(key).or_insert_with(begin))
    }

    /// Clients ask no more.
    pub(crate) fn close(&self) {
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for client in std::mem::take(&mut *clients).into_values() {
            client.close();
        }
    }

    /// Carries out a change, once.
    pub(crate) async fn carry(&self, act: &Act, change: &Change, terms: Terms) -> Receipt {
        let entry = self.entry(act);
        let mut deed = entry.deed.lock().await;
        match &*deed {
            Deed::Done(receipt) => return receipt.clone(),
            Deed::Never => return Receipt::of(Outcome::Refused("it was settled that it never begins".to_owned())),
            Deed::Begun if !change.is_told_by_a_look() => {
                return Receipt::of(Outcome::Unknown("it was interrupted".to_owned()));
            }
            Deed::Begun | Deed::Open => {}
        }
        if matches!(change, Change::Tell(_) | Change::Mail(_)) && act.boot != self.boot {
            return Receipt::of(Outcome::Unknown(
                "it was announced by another process, which may have sent it".to_owned(),
            ));
        }
        *deed = Deed::Begun;
        let receipt = match change {
            // a question waits for its person, whatever the deadline
            Change::Ask { .. } => self.act(change).await,
            Change::Mail(letter) => self.mail(letter, act, &entry, terms).await,
            _ => {
                let broken = |why: String| {
                    Receipt::of(if change.is_told_by_a_look() { Outcome::Failed(why) } else { Outcome::Unknown(why) })
                };
                tokio::select! {
                    receipt = self.act(change) => receipt,
                    () = tokio::time::sleep(terms.within) => broken(format!("no answer within {}", Span(terms.within))),
                    () = entry.stop.notified() => broken("it was cancelled".to_owned()),
                }
            }
        };
        *deed = Deed::Done(receipt.clone());
        receipt
    }

    /// What became of an act.
    pub(crate) async fn settle(&self, act: &Act, change: &Change) -> Settled {
        let entry = self.entry(act);
        let mut deed = entry.deed.lock().await;
        let unknown = |why: &str| Settled::Was(Receipt::of(Outcome::Unknown(why.to_owned())));
        match &*deed {
            Deed::Done(receipt) => Settled::Was(receipt.clone()),
            Deed::Open if act.boot != self.boot && matches!(change, Change::Order(_)) => {
                let Change::Order(step) = change else { return unknown("it is no order") };
                let settled = self.orders.settle(step).await;
                if settled == Settled::Never {
                    *deed = Deed::Never;
                }
                settled
            }
            Deed::Begun | Deed::Open
                if change.is_told_by_a_look() && !matches!(*deed, Deed::Open if act.boot == self.boot) =>
            {
                Settled::Was(Receipt::of(Outcome::Failed("it was interrupted".to_owned())))
            }
            Deed::Begun => unknown("it was interrupted"),
            Deed::Open if act.boot != self.boot && !matches!(change, Change::Ask { .. }) => {
                unknown("it was announced by another process, and its receipt is gone with that")
            }
            Deed::Open | Deed::Never => {
                *deed = Deed::Never;
                Settled::Never
            }
        }
    }

    /// Gives up what is under way. What was sent is sent.
    pub(crate) fn cancel(&self, act: &Act) -> bool {
        self.entry(act).stop.notify_waiters();
        true
    }

    fn entry(&self, act: &Act) -> Arc<Entry> {
        let mut acts = self.acts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(acts.entry(act.clone()).or_default())
    }

    async fn act(&self, change: &Change) -> Receipt {
        match change {
            Change::SetServer { api: HaproxyApi::Tcp(address), backend, server, state } => {
                self.command(address, backend, server, &haproxy::set(backend, server, *state)).await
            }
            Change::EndSessions { api: HaproxyApi::Tcp(address), backend, server } => {
                self.command(address, backend, server, &haproxy::end_sessions(backend, server)).await
            }
            Change::Tell(ask) => match http::tell(ask, &self.vault, &self.redactor).await {
                Ok(facts) => told(facts),
                Err(why) => Receipt::of(Outcome::Refused(self.redactor.clean(&why).0)),
            },
            Change::UpdateRecord(update) => self.update(update).await,
            Change::Switchover(to) => {
                Receipt::of(match super::patroni::switch(to, &self.vault, &self.redactor).await {
                    Outcome::Refused(why) => Outcome::Refused(self.redactor.clean(&why).0),
                    Outcome::Failed(why) => Outcome::Failed(self.redactor.clean(&why).0),
                    other => other,
                })
            }
            Change::Order(step) => {
                let mut receipt = self.orders.act(step).await;
                if let Outcome::Failed(why) = receipt.outcome {
                    receipt.outcome = Outcome::Failed(self.redactor.clean(&why).0);
                }
                receipt
            }
            Change::Ask { question, evidence } => {
                let (prompter, question, evidence) = (Arc::clone(&self.prompter), question.clone(), *evidence);
                let answer = tokio::task::spawn_blocking(move || prompter.ask(&question, evidence)).await;
                match answer.unwrap_or_else(|e| Err(e.to_string())) {
                    Ok(answer) => {
                        let bytes = answer.len() as u64;
                        let (text, redacted) = self.redactor.clean(&answer);
                        Receipt { stdout: Output { text, bytes, redacted }, ..Receipt::of(Outcome::Ok) }
                    }
                    Err(why) => Receipt::of(Outcome::Refused(why)),
                }
            }
            _ => Receipt::of(Outcome::Refused("this needs a host to be carried out on".to_owned())),
        }
    }

    /// Sends a mail. Given up before its text went out, it is sure that nobody has got it.
    async fn mail(&self, letter: &Letter, act: &Act, entry: &Entry, terms: Terms) -> Receipt {
        let within = terms.within.min(letter.via.within.0);
        let pen = Pen { vault: Arc::clone(&self.vault), redactor: self.redactor.clone() };
        let label = Label::of(act, &self.store);
        // a task of its own: whatever a server says, it cannot take the run with it
        let mut sending = tokio::spawn(mail::send(letter.clone(), label, pen, Arc::clone(&entry.sent)));
        let why = tokio::select! {
            done = &mut sending => match done {
                Ok(receipt) => return receipt,
                Err(error) => format!("the talk with the mail server `{}` broke off: {error}", letter.via.server),
            },
            () = tokio::time::sleep(within) => {
                format!("the mail server `{}` did not answer within {}", letter.via.server, Span(within))
            }
            () = entry.stop.notified() => "it was cancelled".to_owned(),
        };
        sending.abort();
        Receipt::of(if *entry.sent.get_or_init(|| false) { Outcome::Unknown(why) } else { Outcome::Refused(why) })
    }

    /// The records of a name. A server that does not answer is not held against the right to change them.
    async fn records(&self, ask: &RecordAsk) -> Answer {
        if ask.may_change {
            let (at, name) = (ask.at.clone(), ask.name.clone());
            let (remove, add) = (BTreeSet::new(), BTreeSet::new());
            let nothing = RecordUpdate { at, name, kind: ask.kind, remove, add, ttl: 0 };
            if let Err(DnsError::Refused(why)) = self.tell(&nothing).await {
                return Answer::Bad(self.redactor.clean(&why).0);
            }
        }
        match dns::read(ask).await {
            Ok(facts) => Answer::Record(facts),
            Err(why) => Answer::Bad(why.to_string()),
        }
    }

    /// Changes records. Where no answer came, a look tells what became of it.
    async fn update(&self, update: &RecordUpdate) -> Receipt {
        Receipt::of(match self.tell(update).await {
            Ok(()) => Outcome::Ok,
            Err(DnsError::Refused(why)) => Outcome::Refused(self.redactor.clean(&why).0),
            Err(DnsError::Silent(why)) => Outcome::Failed(self.redactor.clean(&why).0),
        })
    }

    async fn tell(&self, update: &RecordUpdate) -> Result<(), DnsError> {
        let secret = update.at.key.as_ref().map(|key| self.vault.secret(&key.secret)).transpose();
        let secret = secret.map_err(|why| DnsError::Refused(why.to_string()))?;
        dns::update(update, secret.as_ref(), seconds()).await
    }

    async fn command(&self, address: &str, backend: &str, server: &str, command: &str) -> Receipt {
        if let Err(why) = haproxy::named(backend, server) {
            return Receipt::of(Outcome::Refused(why));
        }
        Receipt::of(match say(address, command).await {
            Ok(reply) => haproxy::complaint(&reply).map_or(Outcome::Ok, Outcome::Refused),
            Err(why) => Outcome::Failed(why),
        })
    }
}

/// The certificate that an endpoint shows. A handshake trusts nobody, and judges nothing.
async fn served(ask: &ServedAsk) -> ServedFacts {
    let failed = |why: String| ServedFacts { error: Some(why), ..ServedFacts::default() };
    let mut endpoint: Endpoint = match ask.endpoint.parse() {
        Ok(endpoint) => endpoint,
        Err(why) => return failed(format!("{why}")),
    };
    if let Some(name) = &ask.name {
        match name.parse() {
            Ok(name) => endpoint.name = Some(name),
            Err(why) => return failed(format!("{why}")),
        }
    }
    let seen = match (Dial { within: ask.within.0, client: None }).look(&endpoint).await {
        Ok(seen) => seen,
        Err(why) => return failed(why.to_string()),
    };
    match seen.chain.first() {
        Some(cert) => ServedFacts {
            serial: Some(cert.serial.clone()),
            fingerprint: Some(cert.fingerprint.clone()),
            not_after: Some(cert.not_after),
            error: None,
        },
        None => failed("it shows no certificate that can be read".to_owned()),
    }
}

/// An answer to a message: anything but success was not taken.
fn told(facts: HttpFacts) -> Receipt {
    let stdout = Output { bytes: facts.body.len() as u64, text: facts.body, redacted: false };
    let outcome = match (facts.status, facts.error) {
        (Some(200..=299), _) => Outcome::Ok,
        (Some(status), _) => Outcome::Failed(format!("the server answered {status}")),
        (None, Some(error)) if error.starts_with("no answer") || error.contains("ended before") => {
            Outcome::Unknown(error)
        }
        (None, error) => Outcome::Failed(error.unwrap_or_else(|| "there was no answer".to_owned())),
    };
    Receipt { stdout, ..Receipt::of(outcome) }
}

async fn connect(host: &str, port: u16, within: Span) -> TcpFacts {
    match timeout(within.0, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => TcpFacts { open: true, error: None },
        Ok(Err(error)) => TcpFacts { open: false, error: Some(io_words(&error)) },
        Err(_) => TcpFacts { open: false, error: Some(format!("no answer within {within}")) },
    }
}

/// One command of HAProxy's runtime API and all of its answer: it hangs up after it.
async fn say(address: &str, command: &str) -> Result<String, String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(command.as_bytes()).await?;
        let mut reply = Vec::new();
        stream.take(Here::REPLY_CAP).read_to_end(&mut reply).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&reply).into_owned())
    };
    let failed = |why: String| format!("could not ask HAProxy at `{address}`: {why}");
    match timeout(Here::REPLY, talk).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(failed(io_words(&error))),
        Err(_) => Err(failed(format!("no answer within {}", Span(Here::REPLY)))),
    }
}

/// What signatures of updates are dated with.
fn seconds() -> u64 {
    u64::try_from(WallClock.now().as_second()).unwrap_or_default()
}

fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RunId, Text, Way};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counts(AtomicUsize);
    impl Prompter for Counts {
        fn ask(&self, _question: &str, _evidence: bool) -> Result<String, String> {
            Ok(format!("answer {}", self.0.fetch_add(1, Ordering::SeqCst)))
        }
    }

    fn here() -> Here {
        let redactor = Redactor::default();
        let vault = Arc::new(Vault::new(BTreeMap::new(), std::env::temp_dir(), redactor.clone()));
        let inventory = crate::inventory::Inventory::default();
        let orders = Orders::new(&inventory, super::super::orders::Grounds::default(), Arc::clone(&vault));
        Here::new(vault, redactor, Arc::new(Counts(AtomicUsize::new(0))), String::new(), orders)
    }

    fn act(number: usize, boot: &str) -> Act {
        Act { run: RunId::at_millis(1), task: "1@a".into(), way: Way::Forward, number, boot: boot.to_owned() }
    }

    const TERMS: Terms = Terms { within: Duration::from_secs(5), interruptible: true };

    #[tokio::test]
    async fn a_question_is_asked_once_an_act_and_again_after_a_resume() {
        let here = here();
        let ask = Change::Ask { question: "sure?".into(), evidence: false };
        let one = here.carry(&act(0, "another"), &ask, TERMS).await;
        assert_eq!((one.stdout.text.as_str(), one.outcome), ("answer 0", Outcome::Ok));
        assert_eq!(here.carry(&act(0, "another"), &ask, TERMS).await.stdout.text, "answer 0");
        assert_eq!(here.settle(&act(1, "another"), &ask).await, Settled::Never);
        assert!(matches!(here.carry(&act(1, "another"), &ask, TERMS).await.outcome, Outcome::Refused(_)));
    }

    #[tokio::test]
    async fn a_message_of_another_process_is_unknown() {
        let ask = crate::base::HttpAsk {
            url: "http://127.0.0.1:9/".into(),
            method: "POST".into(),
            headers: BTreeMap::new(),
            body: Some(Text::from("x")),
            ca: None,
            within: Span::secs(1),
        };
        let receipt = here().carry(&act(0, "another"), &Change::Tell(ask), TERMS).await;
        assert!(matches!(receipt.outcome, Outcome::Unknown(_)), "{receipt:?}");
    }

    #[tokio::test]
    async fn a_closed_port_is_named_as_such() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = Read::Tcp { host: "127.0.0.1".into(), port, within: Span::secs(2) };
        let here = here();
        assert_eq!(here.read(&read).await, Answer::Tcp(TcpFacts { open: true, error: None }));
        drop(listener);
        let Answer::Tcp(facts) = here.read(&read).await else { panic!() };
        assert_eq!(facts.error.as_deref(), Some("connection refused"));
    }

    #[tokio::test]
    async fn haproxy_over_tcp_is_asked_and_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let haproxy = tokio::spawn(async move {
            let mut heard = Vec::new();
            for reply in ["No such server.\n\n", "\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut command = vec![0; 256];
                let n = stream.read(&mut command).await.unwrap();
                heard.push(String::from_utf8_lossy(&command[..n]).into_owned());
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            heard
        });
        let set = |server: &str| Change::SetServer {
            api: HaproxyApi::Tcp(address.clone()),
            backend: "b".into(),
            server: server.into(),
            state: crate::base::ServerState::Drain,
        };
        let here = here();
        let refused = here.carry(&act(0, ""), &set("none"), TERMS).await.outcome;
        assert_eq!(refused, Outcome::Refused("HAProxy says: No such server".into()));
        assert_eq!(here.carry(&act(1, ""), &set("s"), TERMS).await.outcome, Outcome::Ok);
        assert_eq!(haproxy.await.unwrap(), ["set server b/none state drain\n", "set server b/s state drain\n"]);
    }
}
