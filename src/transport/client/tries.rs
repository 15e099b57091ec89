//! One try of a client: by a session that it has, or by a new connection.

use super::{
    super::{http, vault::Vault},
    tls::{self, Tls},
};
use crate::base::{HttpAsk, PgTls, ProbeKind, Redactor, Secret, Span};
use reqwest::Client;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    task::{AbortHandle, spawn},
    time::timeout,
};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// Who asks.
pub(super) struct Asker {
    kind: Kind,
    redactor: Redactor,
}

enum Kind {
    Postgres { config: Box<Config>, tls: Option<Tls>, query: String },
    Http { client: Client, ask: HttpAsk, status: u16 },
    Tcp(String),
}

/// A session that can be asked again. It ends with its value.
pub(super) struct Session {
    client: tokio_postgres::Client,
    talk: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.talk.abort();
    }
}

/// Whether its session may write.
const WRITES: &str = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'";
/// A server that closes a connection that it has just accepted stands before one that is not there.
const AT_ONCE: Duration = Duration::from_millis(20);

impl Asker {
    /// Reads the password, which may take as long as a person who is asked for it.
    ///
    /// # Errors
    /// It cannot be had, or the address is none.
    pub(super) fn new(ask: &ProbeKind, within: Span, vault: &Vault, redactor: Redactor) -> Result<Self, String> {
        let kind = match ask {
            ProbeKind::Postgres { address, database, user, password, tls, ca, query } => {
                let (host, port) = split(address)?;
                let password = password.as_ref().map(|name| vault.secret(name)).transpose();
                let password = password.map_err(|e| e.to_string())?;
                let mut config = config(&host, port, (database, user), password.as_ref(), within);
                config.ssl_mode(tls::mode(*tls));
                let tls = match tls {
                    PgTls::Disable => None,
                    mode => Some(Tls::new(*mode, ca.as_deref(), vault)?),
                };
                let query = query.clone().unwrap_or_else(|| WRITES.to_owned());
                Kind::Postgres { config: Box::new(config), tls, query }
            }
            ProbeKind::Http { url, status, ca } => {
                let ask = HttpAsk {
                    url: url.clone(),
                    method: "GET".to_owned(),
                    headers: BTreeMap::new(),
                    body: None,
                    ca: ca.clone(),
                    within,
                };
                Kind::Http { client: http::client(&ask, None, true, vault)?, ask, status: *status }
            }
            ProbeKind::Tcp(address) => Kind::Tcp(address.clone()),
        };
        Ok(Self { kind, redactor })
    }

    /// A try by a new connection; the session, where one stays.
    ///
    /// # Errors
    /// What was wrong with the answer, or why there was none.
    pub(super) async fn connect(&self) -> Result<Option<Session>, String> {
        match &self.kind {
            Kind::Postgres { config, tls, query } => {
                let words = |e| self.words(&e);
                // how it ends is told to who asks by it
                let session = match tls.clone() {
                    None => {
                        let (client, connection) = config.connect(NoTls).await.map_err(words)?;
                        Session { client, talk: spawn(async move { drop(connection.await) }).abort_handle() }
                    }
                    Some(tls) => {
                        let (client, connection) = config.connect(tls).await.map_err(words)?;
                        Session { client, talk: spawn(async move { drop(connection.await) }).abort_handle() }
                    }
                };
                self.ask(session, query).await.map(Some)
            }
            Kind::Http { client, ask, status } => {
                let asked = client.get(&ask.url).timeout(ask.within.0).send().await;
                let answer = asked.map_err(|e| self.redactor.clean(&http::words(&e, ask)).0)?.status().as_u16();
                if answer == *status { Ok(None) } else { Err(format!("it answered {answer}")) }
            }
            Kind::Tcp(address) => tcp(address).await.map(|()| None),
        }
    }

    /// A try by a session.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); the session is gone then, as one that is broken is thrown away by a pool.
    pub(super) async fn again(&self, session: Session) -> Result<Option<Session>, String> {
        match &self.kind {
            Kind::Postgres { query, .. } => self.ask(session, query).await.map(Some),
            Kind::Http { .. } | Kind::Tcp(_) => self.connect().await,
        }
    }

    async fn ask(&self, session: Session, query: &str) -> Result<Session, String> {
        let rows = session.client.simple_query(query).await.map_err(|e| self.words(&e))?;
        let first = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok().flatten().unwrap_or_default().to_owned()),
            _ => None,
        });
        match first.as_deref() {
            Some("t" | "true" | "on" | "yes" | "1") => Ok(session),
            Some(_) if query == WRITES => Err("it may not write".to_owned()),
            Some(other) => Err(format!("its query answered `{}`", self.redactor.clean(other).0)),
            None => Err("its query answered no row".to_owned()),
        }
    }

    /// In the server's own words, where there are any.
    fn words(&self, error: &tokio_postgres::Error) -> String {
        let said = error.as_db_error().map_or_else(|| http::deepest(error), |db| db.message().to_owned());
        let plain = http::plain(&said).map_or_else(
            || if error.is_closed() { "the session ended".to_owned() } else { said.clone() },
            str::to_owned,
        );
        self.redactor.clean(&plain).0
    }
}

fn config(host: &str, port: u16, (database, user): (&str, &str), password: Option<&Secret>, within: Span) -> Config {
    let mut config = Config::new();
    config
        .host(host)
        .port(port)
        .dbname(database)
        .user(user)
        .application_name("svcops probe")
        .connect_timeout(within.0)
        .keepalives(false);
    if let Some(password) = password {
        config.password(password.reveal());
    }
    config
}

async fn tcp(address: &str) -> Result<(), String> {
    let words = |e: std::io::Error| {
        let text = e.to_string();
        http::plain(&text).map_or(text.clone(), str::to_owned)
    };
    let mut stream = TcpStream::connect(address).await.map_err(words)?;
    match timeout(AT_ONCE, stream.read(&mut [0; 1])).await {
        // it waits for us, or greets
        Err(_) | Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0)) => Err("the connection was closed at once".to_owned()),
        Ok(Err(error)) => Err(words(error)),
    }
}

/// `HOST:PORT`, of which the host may be an IPv6 address in brackets.
fn split(address: &str) -> Result<(String, u16), String> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| format!("`{address}` is no HOST:PORT"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}
