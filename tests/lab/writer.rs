//! Clients of the database that write: rows are numbered, and a row counts once its commit was acknowledged.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// As clients have it: whoever HAProxy sends them to.
pub const FRONT: &str = "10.77.0.5";
/// The two databases themselves: host name and address.
pub const DATABASES: [(&str, &str); 2] = [("dc1-db1", "10.77.0.13"), ("dc2-db1", "10.77.0.23")];

/// Ends what goes on beside a test, also where the test fails: else it would write into the next one's rows.
pub struct Until(pub Arc<AtomicBool>);

impl Until {
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client at work, until [`Writer::stop`].
pub struct Writer {
    over: Until,
    thread: JoinHandle<Written>,
}

/// What a client saw.
#[derive(Debug, Default)]
pub struct Written {
    /// Who it was.
    pub name: String,
    /// Acknowledged rows, in order.
    pub commits: Vec<Commit>,
    /// When what failed was begun, and how it failed.
    pub failed: Vec<(Instant, String)>,
}

/// A row that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Its number.
    pub row: u64,
    /// When it was sent.
    pub began: Instant,
    /// When its commit was acknowledged.
    pub acked: Instant,
}

impl Writer {
    /// Begins to write through that address, a row every ten milliseconds, each a transaction of its own.
    pub fn start(name: &str, address: &'static str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (until, name) = (Arc::clone(&over), name.to_owned());
        Self { over: Until(over), thread: std::thread::spawn(move || alone(write_until(&until, name, address))) }
    }
    /// Ends, and tells.
    pub fn stop(self) -> Written {
        self.over.end();
        self.thread.join().unwrap()
    }
}

impl Written {
    /// The longest time between two acknowledged commits, of those that end after one moment and begin before another.
    pub fn outage(&self, from: Instant, until: Instant) -> Duration {
        let gaps = self.commits.windows(2).filter(|two| two[1].acked >= from && two[0].acked <= until);
        gaps.map(|two| two[1].acked - two[0].acked).max().unwrap_or_default()
    }
    /// Acknowledged rows that are not there.
    pub fn lost(&self, address: &str) -> Vec<u64> {
        let there = rows(address, &self.name);
        self.commits.iter().map(|commit| commit.row).filter(|row| !there.contains(row)).collect()
    }
    /// How many attempts failed between two moments.
    pub fn failed(&self, from: Instant, until: Instant) -> usize {
        self.failed.iter().filter(|(at, _)| *at >= from && *at <= until).count()
    }
}

async fn write_until(over: &AtomicBool, name: String, address: &'static str) -> Written {
    let mut written = Written { name, ..Written::default() };
    let mut session = None;
    for row in 1.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let text = format!("INSERT INTO lab_rows VALUES ('{}', {row})", written.name);
        match within(say(&mut session, address, &text)).await {
            Ok(_) => written.commits.push(Commit { row, began, acked: Instant::now() }),
            Err(why) => {
                session = None;
                written.failed.push((began, why));
            }
        }
        tokio::time::sleep(EVERY.saturating_sub(began.elapsed())).await;
    }
    written
}

/// Asks on that session, or on a new one where there is none.
pub async fn say(session: &mut Option<Client>, address: &str, text: &str) -> Result<Vec<SimpleQueryMessage>, String> {
    let client = match session.take() {
        Some(client) => client,
        None => connect(address, "billing").await?,
    };
    let answer = client.simple_query(text).await.map_err(|e| words(&e))?;
    *session = Some(client);
    Ok(answer)
}

/// A session of that role with the database `billing`.
pub async fn connect(address: &str, role: &str) -> Result<Client, String> {
    let mut config = tokio_postgres::Config::new();
    config.host(address).port(5432).user(role).password(role).dbname("billing").connect_timeout(PATIENCE);
    let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
    tokio::spawn(connection);
    Ok(client)
}

/// No client waits for ever.
pub async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}

/// Runs that on this thread, to its end.
pub fn alone<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Runs a text as the superuser and answers with the rows' first columns.
#[track_caller]
pub fn sql(address: &str, text: &str) -> Vec<String> {
    try_sql(address, text).unwrap_or_else(|why| panic!("{address}: `{text}`: {why}"))
}

/// The same where it may fail.
pub fn try_sql(address: &str, text: &str) -> Result<Vec<String>, String> {
    let answer = alone(within(async {
        let client = connect(address, "postgres").await?;
        client.simple_query(text).await.map_err(|e| words(&e))
    }))?;
    let first = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    Ok(answer.iter().filter_map(first).collect())
}

fn rows(address: &str, writer: &str) -> BTreeSet<u64> {
    let all = sql(address, &format!("SELECT row FROM lab_rows WHERE writer = '{writer}'"));
    all.iter().map(|row| row.parse().unwrap()).collect()
}

fn words(e: &tokio_postgres::Error) -> String {
    match e.as_db_error() {
        Some(told) => format!("{}: {}", told.code().code(), told.message()),
        None => e.to_string(),
    }
}

const EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(1);
