//! The shop of the demo: a small HTTP server, one process a node, in a folder of its own that holds its configuration, its
//! log and its process id. `svcops demo-app` starts and stops it, as a real app's control script would.
//!
//! It ends by itself: after [`LIFE`], or as soon as its folder is gone. So nothing is left, whatever became of the demo.

use super::super::{exit::ExitCode, words::Failure};
use crate::ui::message::Message;
use clap::{Args, ValueEnum};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process, setsid},
};
use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

/// A node is started, stopped or looked at.
#[derive(Debug, Args)]
pub struct DemoApp {
    /// What to do
    #[arg(value_enum)]
    pub act: Act,
    /// The node's folder
    pub folder: PathBuf,
    /// Its port on 127.0.0.1
    #[arg(required_if_eq_any([("act", "start"), ("act", "serve")]))]
    pub port: Option<u16>,
}

/// What is done with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Act {
    /// Start it, and wait until it listens
    Start,
    /// Stop it, and wait until it is gone
    Stop,
    /// Exit 0 while it runs
    Status,
    /// Make it read its configuration again
    Reload,
    /// Be it
    Serve,
}

/// A node ends by itself after this long.
pub const LIFE: Duration = Duration::from_secs(600);
/// A node takes so long to start, as if it had something to load.
const WARM_UP: Duration = Duration::from_millis(400);
/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More workers than this a node has no memory for.
const MOST_WORKERS: u32 = 64;

/// Does it.
///
/// # Errors
/// It could not be done.
pub fn act(args: &DemoApp) -> Result<ExitCode, Failure> {
    let failed = |why: std::io::Error| {
        let folder = args.folder.display();
        Failure::new(ExitCode::AsBefore, Message::error(format!("node `{folder}`: {why}")))
    };
    match args.act {
        Act::Start => start(&args.folder, args.port.unwrap_or_default()).map_err(failed)?,
        Act::Stop => stop(&args.folder).map_err(failed)?,
        Act::Status if running(&args.folder).is_none() => return Ok(ExitCode::AsBefore),
        Act::Status => {}
        Act::Reload => match running(&args.folder) {
            Some(pid) => kill_process(pid, Signal::HUP).map_err(|e| failed(e.into()))?,
            None => return Err(failed(std::io::Error::other("it does not run"))),
        },
        Act::Serve => serve(&args.folder, args.port.unwrap_or_default()).map_err(failed)?,
    }
    Ok(ExitCode::Done)
}

/// Starts a node in a session of its own, and waits until it listens.
fn start(folder: &Path, port: u16) -> std::io::Result<()> {
    if running(folder).is_some() {
        return Ok(());
    }
    let log = OpenOptions::new().create(true).append(true).open(folder.join("shop.log"))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["demo-app", "serve"])
        .arg(folder)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    within(|| running(folder).is_some() || child.try_wait().is_ok_and(|ended| ended.is_some()));
    match running(folder) {
        Some(_) => Ok(()),
        None => {
            Err(std::io::Error::other(format!("it did not start; `{}` says why", folder.join("shop.log").display())))
        }
    }
}

/// Stops a node, if it runs, and waits until it is gone.
///
/// # Errors
/// It stays.
pub fn stop(folder: &Path) -> std::io::Result<()> {
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(pid) = running(folder) else { return Ok(()) };
        // Refused only if it has ended in this moment.
        let _gone = kill_process(pid, signal);
        within(|| running(folder).is_none());
    }
    if running(folder).is_some() { Err(std::io::Error::other("it does not end")) } else { Ok(()) }
}

/// The process of a node. Its file says so only as long as somebody holds it: a number alone may be another's by now.
pub fn running(folder: &Path) -> Option<Pid> {
    let path = pid_file(folder);
    let file = File::open(&path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    Pid::from_raw(std::fs::read_to_string(&path).ok()?.trim().parse().ok()?)
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("shop.pid")
}

/// Waits until it is so, but not for ever.
fn within(mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Is a node until it is told to end, its time is over, or its folder is gone.
fn serve(folder: &Path, port: u16) -> std::io::Result<()> {
    setsid()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        tokio::time::sleep(WARM_UP).await;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let (mut term, mut again) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let mut pid = OpenOptions::new().create(true).truncate(false).write(true).open(pid_file(folder))?;
        // Whoever asks just now whether it runs holds the file for a moment.
        let mut tries = 100;
        while let Err(held) = flock(&pid, FlockOperation::NonBlockingLockExclusive) {
            tries -= 1;
            if tries == 0 {
                return Err(held.into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        pid.set_len(0)?;
        pid.rewind()?;
        pid.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        let mut shop = Arc::new(Shop::read(folder));
        let (born, working) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    let (shop, working) = (Arc::clone(&shop), Arc::clone(&working));
                    working.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(async move {
                        // Who asked has gone if this fails.
                        drop(tokio::time::timeout(Duration::from_secs(2), answer(stream, &shop)).await);
                        working.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                _ = again.recv() => shop = Arc::new(Shop::read(folder)),
                _ = term.recv() => break,
                _ = look.tick() => if born.elapsed() > LIFE || !pid_file(folder).exists() { break },
            }
        }
        drop(listener);
        let ended = Instant::now();
        while working.load(Ordering::Relaxed) > 0 && ended.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(std::fs::remove_file(pid_file(folder)));
        Ok(())
    })
}

/// What a node knows from its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shop {
    /// How many workers it has, or why it cannot serve.
    workers: Result<u32, String>,
}

impl Shop {
    fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("shop.conf"));
        Self { workers: text.map_err(|e| format!("shop.conf cannot be read: {e}")).and_then(|t| workers(&t)) }
    }
    /// Status and text for a path.
    fn page(&self, path: &str) -> (&'static str, String) {
        match &self.workers {
            Err(why) => ("503 Service Unavailable", format!("{why}\n")),
            Ok(workers) if path == "/" => ("200 OK", format!("Добро пожаловать! workers = {workers}\n")),
            Ok(_) if path == "/health" => ("200 OK", "ok\n".to_owned()),
            Ok(_) => ("404 Not Found", "there is `/` and `/health`\n".to_owned()),
        }
    }
}

/// `workers = N` of a configuration.
fn workers(text: &str) -> Result<u32, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut pairs = lines.filter_map(|line| line.split_once('='));
    let value = pairs.find(|(key, _)| key.trim() == "workers").map(|(_, value)| value.trim());
    let value = value.ok_or("shop.conf does not say how many workers")?;
    match value.parse() {
        Ok(n) if (1..=MOST_WORKERS).contains(&n) => Ok(n),
        Ok(_) => Err(format!("workers = {value}: there is memory for 1 to {MOST_WORKERS}")),
        Err(_) => Err(format!("workers = {value}: not a number")),
    }
}

/// Reads one request and answers it.
async fn answer(mut stream: TcpStream, shop: &Shop) -> std::io::Result<()> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < 8192 {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            n => head.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let (status, body) = shop.page(head.split(' ').nth(1).unwrap_or_default());
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_good_or_says_what_is_wrong() {
        assert_eq!(workers("# Магазин\n\nworkers = 8\n"), Ok(8));
        assert_eq!(workers("workers = 160\n"), Err("workers = 160: there is memory for 1 to 64".into()));
        assert_eq!(workers("workers=много\n"), Err("workers = много: not a number".into()));
        assert_eq!(workers("colour = red\n"), Err("shop.conf does not say how many workers".into()));
    }

    #[test]
    fn a_node_is_healthy_if_its_configuration_is_good() {
        let good = Shop { workers: Ok(8) };
        assert!(good.page("/health").0.starts_with("200"));
        assert!(good.page("/nothing").0.starts_with("404"));
        let bad = Shop { workers: Err("why".into()) };
        assert_eq!(bad.page("/"), ("503 Service Unavailable", "why\n".to_owned()));
    }

    #[test]
    fn a_pid_file_that_nobody_holds_is_no_process() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(running(folder.path()), None);
        std::fs::write(pid_file(folder.path()), "1\n").unwrap();
        assert_eq!(running(folder.path()), None);
        stop(folder.path()).unwrap();
    }
}
