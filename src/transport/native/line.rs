//! One connection that is up: to a host, perhaps through others.

use super::{
    known::{Known, Verdict},
    login,
    settings::{Settings, unsupported},
};
use crate::transport::LostKind;
use russh::{
    Channel, Preferred, cipher,
    client::{ChannelOpenHandle, Config, Handle, Handler, Msg, Session},
    compression, kex,
    keys::{Algorithm, PublicKey, PublicKeyOrCertificate},
    mac,
};
use std::{
    borrow::Cow,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Why a connection could not be made, and of what kind that is.
pub(super) type Failed = (String, LostKind);

/// A connection, and the one that it goes through.
pub(super) struct Line {
    pub(super) handle: Handle<Guard>,
    pub(super) env: Vec<(String, String)>,
    /// Lives as long as what goes through it.
    pub(super) _under: Option<Arc<Self>>,
}

impl Line {
    /// Speaks to a host directly, or by a channel through another.
    pub(super) async fn make(settings: Settings, under: Option<Arc<Self>>, patience: Duration) -> Result<Self, Failed> {
        let settings = Arc::new(settings);
        let said = Arc::new(Mutex::new(None));
        let names: Vec<&str> = settings.alias.as_deref().into_iter().collect();
        let (name, port) = names.first().map_or((settings.host.as_str(), settings.port), |alias| (*alias, 22));
        let known = Known::read(&settings.known, name, port);
        // as ssh does: what is known of the host at any port counts, too
        let portless =
            (settings.alias.is_none() && settings.port != 22).then(|| Known::read(&settings.known, &settings.host, 22));
        let config = Arc::new(config(&settings, &known)?);
        let mut guard = Guard { settings: Arc::clone(&settings), known, portless, ip: None, said: Arc::clone(&said) };
        let made = if let Some(line) = &under {
            let (host, port) = (settings.host.clone(), u32::from(settings.port));
            let channel = line.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await;
            begin(config, channel.map_err(|e| unreachable(through(&settings, &e)))?.into_stream(), guard).await
        } else {
            let stream = dial(&settings, settings.within.unwrap_or(patience)).await.map_err(unreachable)?;
            guard.ip = stream.peer_addr().ok().map(|peer| peer.ip());
            begin(config, stream, guard).await
        };
        let last = |failed: Failed| match said.lock().ok().and_then(|mut said| said.take()) {
            // what the host says as it hangs up tells more
            Some(text) if failed.1 != LostKind::HostKey => {
                let denied = text.to_lowercase().contains("too many authentication failures");
                (format!("{text}; {}", failed.0), if denied { LostKind::Denied } else { failed.1 })
            }
            _ => failed,
        };
        let mut handle = made.map_err(last)?;
        login::login(&mut handle, &settings).await.map_err(last)?;
        Ok(Self { handle, env: settings.env.clone(), _under: under })
    }
}

/// What a host says of itself, fit for a line of ours.
fn clean(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn unreachable(why: String) -> Failed {
    (why, LostKind::Unreachable)
}

fn through(settings: &Settings, error: &russh::Error) -> String {
    let why = match error {
        russh::Error::ChannelOpenFailure(reason) => reason.description().to_owned(),
        other => other.to_string(),
    };
    format!("the jump host leads not to {} port {}: {why}", settings.host, settings.port)
}

async fn begin<S>(config: Arc<Config>, stream: S, guard: Guard) -> Result<Handle<Guard>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    russh::client::connect_stream(config, stream, guard).await.map_err(|broken| match broken {
        Broken::Key(why) => (why, LostKind::HostKey),
        Broken::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => unreachable(format!(
            "no {kind:?} algorithm in common; ours are {}, theirs {}",
            ours.join(","),
            clean(&theirs.join(","))
        )),
        Broken::Ssh(russh::Error::WrongServerSig) => {
            ("its host key does not sign right; Host key verification failed".to_owned(), LostKind::HostKey)
        }
        Broken::Ssh(error) => unreachable(error.to_string()),
    })
}

/// A socket to the host: each of its addresses in turn.
async fn dial(settings: &Settings, patience: Duration) -> Result<TcpStream, String> {
    let place = format!("host {} port {}", settings.host, settings.port);
    let found = tokio::net::lookup_host((settings.host.as_str(), settings.port)).await;
    let found = found.map_err(|e| format!("Could not resolve hostname {}: {e}", settings.host))?;
    let fits = |address: &SocketAddr| match settings.family.as_deref() {
        Some("inet") => address.is_ipv4(),
        Some("inet6") => address.is_ipv6(),
        _ => true,
    };
    let addresses: Vec<SocketAddr> = found.filter(fits).collect();
    let bind: Option<IpAddr> = match &settings.bind {
        Some(text) => Some(text.parse().map_err(|_| unsupported(&format!("bindaddress {text}")))?),
        None => None,
    };
    let mut why = format!("connect to {place}: it has no such address");
    for attempt in 0..settings.attempts {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for address in &addresses {
            match timeout(patience, socket(*address, bind)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("connect to {place}: {}", words(&error)),
                Err(_) => why = format!("connect to {place}: Connection timed out"),
            }
        }
    }
    Err(why)
}

async fn socket(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(ip) = bind {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An error of the system as ssh says it: without its number.
fn words(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_owned()
}

/// The library's own limit.
const MOST: usize = 1 << 30;

/// What is agreed on: what ssh_config allows and the library can, in ssh_config's order.
fn config(settings: &Settings, known: &Known) -> Result<Config, Failed> {
    fn of<'a, T>(word: &str, listed: &'a [String], turn: impl Fn(&'a str) -> Option<T>) -> Result<Vec<T>, Failed> {
        let both: Vec<T> = listed.iter().filter_map(|name| turn(name)).collect();
        if both.is_empty() { Err(unreachable(unsupported(&format!("{word} {}", listed.join(","))))) } else { Ok(both) }
    }
    let mut kexes = of("kexalgorithms", &settings.kex, |name| kex::Name::try_from(name).ok())?;
    kexes.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
    let mut keys = of("hostkeyalgorithms", &settings.host_keys, |name| {
        let algorithm = Algorithm::new(name).ok()?;
        let is = |able: &Algorithm| *able == algorithm;
        Preferred::default().key.iter().any(is).then_some(algorithm)
    })?;
    if !known.is_empty() {
        keys.sort_by_key(|algorithm| !known.knows(algorithm));
    }
    let preferred = Preferred {
        kex: Cow::Owned(kexes),
        key: Cow::Owned(keys),
        cipher: Cow::Owned(of("ciphers", &settings.ciphers, |name| cipher::Name::try_from(name).ok())?),
        mac: Cow::Owned(of("macs", &settings.macs, |name| mac::Name::try_from(name).ok())?),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::default()
    };
    let mut config = Config {
        preferred,
        nodelay: true,
        // the second holds where a host no longer takes what is sent to it
        keepalive_interval: settings.alive,
        // one is more than so many, and none at all would be without end
        keepalive_max: usize::try_from(settings.alive_most).unwrap_or(3).saturating_sub(1).max(1),
        inactivity_timeout: settings.alive.map(|every| every.saturating_mul(settings.alive_most.saturating_add(1))),
        ..Config::default()
    };
    if let Some(bytes) = settings.rekey_bytes {
        config.limits.rekey_read_limit = bytes.min(MOST);
        config.limits.rekey_write_limit = bytes.min(MOST);
    }
    if let Some(time) = settings.rekey_time {
        config.limits.rekey_time_limit = time;
    }
    Ok(config)
}

/// Looks at the key that a host shows.
pub(super) struct Guard {
    settings: Arc<Settings>,
    known: Known,
    portless: Option<Known>,
    ip: Option<IpAddr>,
    said: Arc<Mutex<Option<String>>>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Broken {
    /// The host's key is not the known one.
    Key(String),
    Ssh(russh::Error),
}

impl Guard {
    fn judge(&self, key: &PublicKey) -> Result<(), String> {
        let bits = key.key_data().rsa().map(|rsa| rsa.key_size() as usize);
        if bits.is_some_and(|bits| bits < self.settings.rsa_bits) {
            return Err("its RSA host key is too short (requiredrsasize); Host key verification failed".to_owned());
        }
        match self.known.judge(key) {
            Verdict::Known => {}
            Verdict::Refused(why) => {
                let portless = self.portless.as_ref().filter(|_| self.known.is_empty());
                if portless.map(|known| known.judge(key)) != Some(Verdict::Known) {
                    return Err(why);
                }
            }
        }
        let ip = self.ip.filter(|_| self.settings.check_ip);
        let of_ip = ip.map(|ip| Known::read(&self.settings.known, &ip.to_string(), self.settings.port));
        if of_ip.is_some_and(|known| known.contradicts(key)) {
            return Err("another host key is known for its address (checkhostip); Host key verification failed".into());
        }
        Ok(())
    }
}

impl Handler for Guard {
    type Error = Broken;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.judge(key).map(|()| true).map_err(Broken::Key),
            PublicKeyOrCertificate::Certificate(_) => {
                Err(Broken::Key(format!("{}; Host key verification failed", unsupported("a host certificate"))))
            }
        }
    }

    // A host opens nothing here: what is not accepted is refused, and the library would accept.
    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Broken> {
        Ok(())
    }

    async fn disconnected(&mut self, reason: russh::client::DisconnectReason<Broken>) -> Result<(), Broken> {
        match reason {
            russh::client::DisconnectReason::ReceivedDisconnect(told) => {
                if let Ok(mut said) = self.said.lock() {
                    *said = Some(clean(&told.message));
                }
                Ok(())
            }
            russh::client::DisconnectReason::Error(error) => Err(error),
        }
    }
}
