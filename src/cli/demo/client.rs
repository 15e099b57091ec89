//! A client of the shop: asks its nodes in turn, as a balancer would, and counts. A request has failed if no node answered.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// How long one node may take to answer.
const TRY: Duration = Duration::from_secs(2);
/// The time between two requests.
const PAUSE: Duration = Duration::from_millis(15);

/// What a client has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Answers of each node.
    pub(super) nodes: Vec<usize>,
    /// Requests that no node answered.
    pub(super) failed: usize,
}

impl Count {
    /// All requests.
    pub(super) fn all(&self) -> usize {
        self.nodes.iter().sum::<usize>() + self.failed
    }
}

/// A client that asks until it is told to end.
pub(super) struct Client {
    count: Arc<Mutex<Count>>,
    end: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Client {
    /// Begins to ask. Call it inside the runtime.
    pub(super) fn begin(ports: Vec<u16>) -> Self {
        let count = Arc::new(Mutex::new(Count { nodes: vec![0; ports.len()], failed: 0 }));
        let end = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(ask_on(ports, Arc::clone(&count), Arc::clone(&end)));
        Self { count, end, task }
    }
    /// Ends after the request that is under way, and says what was counted.
    pub(super) async fn end(self) -> Count {
        self.end.store(true, Ordering::Relaxed);
        // It neither panics nor is it cancelled.
        drop(self.task.await);
        self.count.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn ask_on(ports: Vec<u16>, count: Arc<Mutex<Count>>, end: Arc<AtomicBool>) {
    let mut first = 0;
    while !end.load(Ordering::Relaxed) {
        let mut served = None;
        for step in 0..ports.len() {
            let node = (first + step) % ports.len().max(1);
            let Some(port) = ports.get(node) else { continue };
            if page(*port).await.is_some() {
                served = Some(node);
                break;
            }
        }
        {
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            match served.and_then(|node| count.nodes.get_mut(node)) {
                Some(n) => *n += 1,
                None => count.failed += 1,
            }
        }
        first += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The page of the node at a port; none: it has no good answer.
pub(super) async fn page(port: u16) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = timeout(TRY, ask).await.ok()?.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_fails_only_if_no_node_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (good, gone) = (listener.local_addr().unwrap().port(), {
            let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            other.local_addr().unwrap().port()
        });
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 256];
                drop(stream.read(&mut asked).await);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await);
            }
        });
        assert_eq!(page(good).await.as_deref(), Some("hello"));
        assert_eq!(page(gone).await, None);
        let client = Client::begin(vec![gone, good]);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count = client.end().await;
        assert!(count.failed == 0 && count.nodes[0] == 0 && count.nodes[1] > 0, "{count:?}");
        server.abort();
        let client = Client::begin(vec![gone]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let count = client.end().await;
        assert!(count.failed > 0 && count.failed == count.all(), "{count:?}");
    }
}
