//! Ports for servers that tests start themselves.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// A port that nobody has, below those that the system gives to whoever asks for any: between here and the start of a server
/// on it, which may take seconds, no other test is given it.
pub(crate) fn free(address: &str) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 100).unwrap() * 100;
    (0..1000)
        .map(|_| 20_000 + (process + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind((address, *port)).is_ok())
        .unwrap()
}
