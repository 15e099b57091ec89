//! One question and its answer on the wire: by datagrams, and by a stream where those are cut or lost.

use hickory_proto::op::{Message, MessageType};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};

/// What is sent to whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a str,
    pub(super) id: u16,
    pub(super) bytes: &'a [u8],
    pub(super) within: Duration,
}

/// Why a stream brought no answer.
pub(super) enum Exchange {
    /// No connection came about.
    NeverSent(String),
    /// It was sent, or a part of it.
    Broke(String),
}

/// How long until a datagram is sent again.
const AGAIN: Duration = Duration::from_millis(800);
const TRIES: u32 = 3;

/// By datagrams; by a stream if the answer has no room in one, or none comes.
pub(super) async fn datagram_or_stream(asked: Asked<'_>) -> Result<Vec<u8>, String> {
    let began = now();
    let first = datagram(Asked { within: asked.within.min(AGAIN * TRIES), ..asked }).await;
    if let Ok(answer) = &first
        && !is_cut(answer)
    {
        return first;
    }
    let left = asked.within.saturating_sub(began.elapsed()).max(Duration::from_millis(500));
    stream(Asked { within: left, ..asked }).await.map_err(|(Exchange::NeverSent(why) | Exchange::Broke(why))| why)
}

/// By datagrams, sent again if they seem lost.
pub(super) async fn datagram(asked: Asked<'_>) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| unreachable(asked.server, &e);
    let address = address(asked.server).await?;
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    // connected: what others send is not heard, and a closed port is told
    socket.connect(address).await.map_err(failed)?;
    let began = now();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    while let Some(left) = asked.within.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        socket.send(asked.bytes).await.map_err(failed)?;
        let heard = timeout(left.min(AGAIN), async {
            loop {
                let size = socket.recv(&mut buffer).await?;
                let answer = buffer.get(..size).unwrap_or_default();
                // a late answer to somebody else's question on this port is none
                if answer.get(..2) == Some(&asked.id.to_be_bytes()) {
                    return Ok(answer.to_vec());
                }
            }
        });
        if let Ok(answer) = heard.await {
            return answer.map_err(failed);
        }
    }
    Err(format!("`{}` does not answer within {}", asked.server, crate::base::Span(asked.within)))
}

/// By a stream: two bytes of length before each message (RFC 1035, 4.2.2).
pub(super) async fn stream(asked: Asked<'_>) -> Result<Vec<u8>, Exchange> {
    let late = || format!("`{}` does not answer within {}", asked.server, crate::base::Span(asked.within));
    let began = now();
    let to = address(asked.server).await.map_err(Exchange::NeverSent)?;
    let mut stream = match timeout(asked.within / 2, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(Exchange::NeverSent(unreachable(asked.server, &e))),
        Err(_) => return Err(Exchange::NeverSent(late())),
    };
    let talk = async {
        let length = u16::try_from(asked.bytes.len())
            .map_err(|_| std::io::Error::other("the message is too long for the DNS"))?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(asked.bytes);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(asked.within.saturating_sub(began.elapsed()), talk).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(e)) => Err(Exchange::Broke(unreachable(asked.server, &e))),
        Err(_) => Err(Exchange::Broke(late())),
    }
}

/// Reads an answer to the question of that number.
pub(super) fn parse(server: &str, answer: &[u8], id: u16) -> Result<Message, String> {
    let wrong = |why: &str| format!("what `{server}` answers is no answer of a name server: {why}");
    let message = Message::from_vec(answer).map_err(|e| wrong(&e.to_string()))?;
    if message.id != id || message.metadata.message_type != MessageType::Response {
        return Err(wrong("it answers another question"));
    }
    Ok(message)
}

/// The bit that says that more would have come.
fn is_cut(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

async fn address(server: &str) -> Result<SocketAddr, String> {
    let found = lookup_host(server).await.map_err(|e| format!("`{server}` has no address: {}", words(&e)))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("`{server}` has no address"))
}

fn unreachable(server: &str, error: &std::io::Error) -> String {
    format!("could not ask the name server `{server}`: {}", words(error))
}

fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The runtime's own time: only waits hang on it.
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
