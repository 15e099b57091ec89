//! The way to a host by ssh without a process of its own: svcops speaks the protocol itself (russh). What ssh_config says
//! is still ssh's to tell: it is asked once a host.

mod known;
mod line;
mod login;
mod pipe;
mod settings;
mod shape;

use super::{
    Fut, Lost, LostKind,
    shell::{Link, OpenError, Pipe, nonce},
    ssh::{Gate, OPENING, Target},
};
use crate::inventory::Host;
use line::{Failed, Line};
use russh::Disconnect;
use settings::{Hop, Settings};
use shape::Shape;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex as Lock},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Mutex, OnceCell},
    task::JoinHandle,
    time::timeout,
};

/// What the native connections of a run share: the ones to jump hosts, and what ssh says of its config.
pub(crate) struct Yard {
    gate: Arc<Gate>,
    /// Without a config file.
    plain: OnceCell<String>,
    /// Which hosts are alike, by the files that say so.
    shapes: Lock<BTreeMap<Vec<PathBuf>, Arc<Shape>>>,
    /// What was said of hosts that are alike.
    said: Lock<BTreeMap<Alike, Arc<OnceCell<String>>>>,
    jumps: Lock<BTreeMap<String, Arc<Mutex<Option<Arc<Line>>>>>>,
}

/// Hosts that ssh says the same of: files, blocks of them that hold, user, port.
type Alike = (Vec<PathBuf>, String, Option<String>, Option<u16>);

impl Yard {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate, plain: OnceCell::new(), shapes: Lock::default(), said: Lock::default(), jumps: Lock::default() }
    }

    /// Ends the connections to jump hosts.
    pub(crate) async fn close(&self) {
        let jumps = self.jumps.lock().map(|mut jumps| std::mem::take(&mut *jumps)).unwrap_or_default();
        for jump in jumps.into_values() {
            if let Some(line) = jump.lock().await.take() {
                end(&line).await;
            }
        }
    }

    /// What ssh says of a target; asked once for all that are alike.
    async fn target(&self, target: &Target, config: &Path, hop: &Hop) -> Result<Settings, Failed> {
        let files = target.files();
        let shape = self.shapes.lock().ok().map(|mut shapes| {
            Arc::clone(shapes.entry(files.clone()).or_insert_with_key(|files| Arc::new(Shape::of(files))))
        });
        let Some(word) = shape.and_then(|shape| shape.word(&hop.host, target.address.is_some())) else {
            return self.settings(&ask(config, hop).await?).await;
        };
        let key: Alike = (files, word, hop.user.clone(), hop.port);
        let Some(said) = self.said.lock().ok().map(|mut said| Arc::clone(said.entry(key).or_default())) else {
            return self.settings(&ask(config, hop).await?).await;
        };
        let text = said.get_or_try_init(|| ask(config, hop)).await?;
        let mut own = format!("host {}\nhostname {}\n", hop.host, target.address.as_ref().unwrap_or(&hop.host));
        for line in text.lines().filter(|line| !line.starts_with("host ") && !line.starts_with("hostname ")) {
            own.push_str(line);
            own.push('\n');
        }
        self.settings(&own).await
    }

    async fn settings(&self, text: &str) -> Result<Settings, Failed> {
        let nobody = Hop { host: "host".to_owned(), user: None, port: None };
        let plain = self.plain.get_or_try_init(|| ask(Path::new("none"), &nobody)).await?;
        let agent = std::env::var("SSH_AUTH_SOCK").ok().filter(|path| !path.is_empty());
        Settings::read(text, plain, agent.as_deref()).map_err(unreachable)
    }

    /// A connection by settings, through the hosts that they or a nearer one's `ProxyJump` name.
    fn connect<'a>(
        &'a self,
        config: &'a Path,
        settings: Settings,
        through: Option<&'a [String]>,
        way: Vec<String>,
    ) -> Fut<'a, Result<Line, Failed>> {
        Box::pin(async move {
            let jumps = through.map_or_else(|| settings.jumps.clone(), <[String]>::to_vec);
            let under = match jumps.split_last() {
                Some((last, before)) => {
                    // what stands before it on the list leads to it; else its own settings say
                    let before = (!before.is_empty()).then_some(before);
                    Some(self.jump(config, last, before, way).await?)
                }
                None => None,
            };
            Line::make(settings, under, self.gate.options.patience).await
        })
    }

    /// A connection to a jump host; one for all that go through it. `way` names those that lead to it, nearest to the
    /// target first.
    async fn jump(
        &self,
        config: &Path,
        last: &str,
        before: Option<&[String]>,
        mut way: Vec<String>,
    ) -> Result<Arc<Line>, Failed> {
        let here = format!("{} {last}", before.unwrap_or_default().join(","));
        if way.contains(&here) {
            return Err(unreachable(format!("jumphost loop via {last}")));
        }
        way.push(here);
        let includes = std::fs::read_to_string(config).unwrap_or_default();
        let key = format!("{} {last}\n{includes}", before.unwrap_or_default().join(","));
        let Ok(slot) = self.jumps.lock().map(|mut jumps| Arc::clone(jumps.entry(key).or_default())) else {
            return Err(unreachable("the jump hosts are closed".to_owned()));
        };
        let mut held = slot.lock().await;
        if let Some(line) = held.as_ref().filter(|line| !line.handle.is_closed()) {
            return Ok(Arc::clone(line));
        }
        let hop = Hop::read(last).map_err(unreachable)?;
        let made = async { self.connect(config, self.settings(&ask(config, &hop).await?).await?, before, way).await };
        let line = Arc::new(made.await.map_err(|(why, kind)| (format!("the jump host {}: {why}", hop.host), kind))?);
        *held = Some(Arc::clone(&line));
        Ok(line)
    }
}

fn unreachable(why: String) -> Failed {
    (why, LostKind::Unreachable)
}

async fn end(line: &Line) {
    let bye = line.handle.disconnect(Disconnect::ByApplication, "", "");
    // one that hangs ends when it is let go
    let _said = timeout(Duration::from_secs(2), bye).await.is_ok();
}

/// What `ssh -G` says.
async fn ask(config: &Path, hop: &Hop) -> Result<String, Failed> {
    let mut command = tokio::process::Command::new("ssh");
    command.arg("-G").arg("-F").arg(config).kill_on_drop(true).stdin(Stdio::null());
    if let Some(user) = &hop.user {
        command.args(["-l", user]);
    }
    if let Some(port) = hop.port {
        command.args(["-p", &port.to_string()]);
    }
    let out = command.args(["--", &hop.host]).output().await;
    let out = out.map_err(|e| unreachable(format!("`ssh -G`, which reads ssh_config, could not be run: {e}")))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let said = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        return Err(unreachable(format!("`ssh -G`: {said}")));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// A host, spoken to by svcops itself.
pub(crate) struct Native {
    line: Mutex<Option<Arc<Line>>>,
    target: Arc<Target>,
    yard: Arc<Yard>,
    tunnels: Lock<BTreeMap<(String, u16), Tunnel>>,
}

/// A socket here that leads to a port as the host sees it.
struct Tunnel {
    socket: PathBuf,
    relay: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.relay.abort();
        let _removed = std::fs::remove_file(&self.socket).is_ok();
    }
}

impl Native {
    pub(crate) fn new(host: &Host, gate: Arc<Gate>, yard: Arc<Yard>) -> Self {
        let target = Arc::new(Target::new(host, gate));
        Self { target, yard, line: Mutex::default(), tunnels: Lock::default() }
    }

    async fn line(&self) -> Result<Arc<Line>, Lost> {
        let mut held = self.line.lock().await;
        if let Some(line) = held.as_ref().filter(|line| !line.handle.is_closed()) {
            return Ok(Arc::clone(line));
        }
        self.let_tunnels_go();
        let line = Arc::new(self.connect().await?);
        *held = Some(Arc::clone(&line));
        Ok(line)
    }

    async fn connect(&self) -> Result<Line, Lost> {
        let (target, gate) = (&self.target, &self.target.gate);
        let cancelled = |why: String| target.lost(why, LostKind::Cancelled);
        let _permit = gate.connects.acquire().await.map_err(|e| cancelled(e.to_string()))?;
        let mine = |why: String| target.lost(why, LostKind::Unreachable);
        let config = target.config(&gate.folder().map_err(mine)?).map_err(mine)?;
        let hop = Hop { host: target.host().to_owned(), user: target.ssh.user.clone(), port: target.ssh.port };
        let whole = gate.options.patience + Duration::from_secs(10);
        let made = async {
            let settings = self.yard.target(target, &config, &hop).await?;
            self.yard.connect(&config, settings, None, Vec::new()).await
        };
        let made = timeout(whole, made).await;
        let _removed = std::fs::remove_file(&config).is_ok();
        match made {
            Ok(Ok(line)) => Ok(line),
            Ok(Err((why, kind))) => Err(target.lost(why, kind)),
            Err(_) => Err(mine(format!("no answer within {} s", whole.as_secs()))),
        }
    }

    async fn forget(&self, dead: &Arc<Line>) {
        let mut held = self.line.lock().await;
        if held.as_ref().is_some_and(|line| Arc::ptr_eq(line, dead)) {
            *held = None;
            self.let_tunnels_go();
        }
    }

    fn let_tunnels_go(&self) {
        if let Ok(mut tunnels) = self.tunnels.lock() {
            tunnels.clear();
        }
    }

    /// A session of the host with a command in it.
    async fn start(line: &Line, command: &str) -> Result<Pipe, russh::Error> {
        let channel = line.handle.channel_open_session().await?;
        for (name, value) in &line.env {
            channel.set_env(false, name, value).await?;
        }
        channel.exec(true, command).await?;
        Ok(pipe::pipe(channel))
    }
}

impl Link for Native {
    fn open<'a>(&'a self, command: &'a str) -> Fut<'a, Result<Pipe, OpenError>> {
        Box::pin(async move {
            let mut again = true;
            loop {
                let line = self.line().await.map_err(OpenError::Lost)?;
                let said = match timeout(OPENING, Self::start(&line, command)).await {
                    Ok(Ok(pipe)) => return Ok(pipe),
                    Ok(Err(russh::Error::ChannelOpenFailure(_))) => return Err(OpenError::Full),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no session within {} s", OPENING.as_secs()),
                };
                self.forget(&line).await;
                if !std::mem::take(&mut again) {
                    return Err(OpenError::Lost(self.target.lost(said, LostKind::Unreachable)));
                }
            }
        })
    }

    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Fut<'a, Result<Option<PathBuf>, String>> {
        Box::pin(async move {
            let line = self.line().await.map_err(|lost| lost.why)?;
            let key = (host.to_owned(), port);
            let known = self.tunnels.lock().ok().and_then(|tunnels| tunnels.get(&key).map(|t| t.socket.clone()));
            if let Some(socket) = known {
                return Ok(Some(socket));
            }
            let word = nonce();
            let socket = self.target.gate.folder()?.join(word.get(1..17).unwrap_or(&word));
            let listener = UnixListener::bind(&socket).map_err(|e| format!("no way through the host: {e}"))?;
            let relay = tokio::spawn(relay(listener, line, host.to_owned(), port));
            if let Ok(mut tunnels) = self.tunnels.lock() {
                tunnels.insert(key, Tunnel { socket: socket.clone(), relay });
            }
            Ok(Some(socket))
        })
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            self.let_tunnels_go();
            if let Some(line) = self.line.lock().await.take() {
                end(&line).await;
            }
        })
    }
}

/// Leads what connects here to a port as the host sees it. Who cannot be led is hung up on, as ssh does.
async fn relay(listener: UnixListener, line: Arc<Line>, host: String, port: u16) {
    let mut led = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                led.spawn(lead(stream, Arc::clone(&line), host.clone(), port));
            }
            Some(_ended) = led.join_next() => {}
        }
    }
}

async fn lead(mut stream: UnixStream, line: Arc<Line>, host: String, port: u16) {
    let channel = line.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await;
    if let Ok(channel) = channel {
        let _ended = tokio::io::copy_bidirectional(&mut stream, &mut channel.into_stream()).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inventory, transport::fleet::Options};

    #[tokio::test]
    async fn what_is_asked_once_for_hosts_that_are_alike_is_what_each_would_be_told() {
        if std::process::Command::new("ssh").arg("-V").output().is_err() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("config");
        std::fs::write(dir.path().join("more.conf"), "Host web3\n  SetEnv A=b\n").unwrap();
        let text = "Host web? !web9\n  User web\n  IdentityFile ~/.ssh/%h-%n-%r-%p\nHost *9\n  Port 9\n\
                    Include DIR/*.conf\nHost db\n  HostName elsewhere\nHost *\n  UserKnownHostsFile DIR/known\n";
        std::fs::write(&user, text.replace("DIR", &dir.path().to_string_lossy())).unwrap();
        let gate = Arc::new(Gate::new(Options { control: Some(dir.path().join("c")), ..Options::default() }));
        let yard = Yard::new(Arc::clone(&gate));
        let names = ["web1", "web2", "web3", "web4", "web9", "app9", "db", "app1", "app2"];
        for (number, name) in names.into_iter().enumerate() {
            let ssh = inventory::Ssh { config: Some(user.to_string_lossy().into_owned()), ..Default::default() };
            let host = Host {
                name: name.into(),
                site: None,
                address: Some(format!("10.0.0.{number}")),
                labels: BTreeMap::new(),
                local: false,
                ssh,
            };
            let target = Target::new(&host, Arc::clone(&gate));
            let config = target.config(&gate.folder().unwrap()).unwrap();
            let hop = Hop { host: name.to_owned(), user: None, port: None };
            let shared = yard.target(&target, &config, &hop).await.unwrap();
            let own = yard.settings(&ask(&config, &hop).await.unwrap()).await.unwrap();
            assert_eq!(shared, own, "{name}");
            assert_eq!(shared.host, format!("10.0.0.{number}"));
        }
        // web1 2 4, web3, web9 and app9, db, app1 2
        assert_eq!(yard.said.lock().unwrap().len(), 5);
    }
}
