//! The users of billing: somebody asks through the balancer, twenty times a second, and counts what went wrong.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Requests under way, until [`Client::stop`].
pub struct Client {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

/// What the users saw.
#[derive(Debug, Default)]
pub struct Answers {
    /// Requests in all.
    pub asked: usize,
    /// What was wrong with those that failed, and when, in milliseconds from the start.
    pub failed: Vec<String>,
    /// Which hosts answered, in order, each change once.
    pub hosts: Vec<String>,
}

impl Client {
    /// Begins to ask.
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        Self { over, thread: std::thread::spawn(move || ask_until(&until)) }
    }
    /// Ends, a second's worth of requests at the least, and tells.
    pub fn stop(self) -> Answers {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Answers {
    /// Holds that no request failed.
    #[track_caller]
    pub fn none_failed(&self) {
        assert!(self.failed.is_empty(), "{} of {} requests failed: {:#?}", self.failed.len(), self.asked, self.failed);
    }
}

fn ask_until(over: &AtomicBool) -> Answers {
    let began = Instant::now();
    let mut answers = Answers::default();
    while !over.load(Ordering::Relaxed) || answers.asked < LEAST {
        answers.asked += 1;
        match ask("/health") {
            Ok(host) if answers.hosts.last() == Some(&host) => {}
            Ok(host) => answers.hosts.push(host),
            Err(e) => answers.failed.push(format!("after {} ms: {e}", began.elapsed().as_millis())),
        }
        let next = Duration::from_millis(50) * u32::try_from(answers.asked).unwrap();
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    answers
}

/// One request on a connection of its own; answers which host served it.
fn ask(path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&BALANCER.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: billing.lab.test\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let host = text.split("\"host\": \"").nth(1).and_then(|rest| rest.split('"').next());
    match host {
        Some(host) if text.split(' ').nth(1) == Some("200") => Ok(host.to_owned()),
        _ => Err(io::Error::other(text.lines().next().unwrap_or("an empty answer").to_owned())),
    }
}

const LEAST: usize = 20;
const BALANCER: &str = "10.77.0.5:80";
const PATIENCE: Duration = Duration::from_secs(3);
