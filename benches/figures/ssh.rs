//! Steps over ssh: one sshd of our own, answering on as many loopback addresses as there are hosts. Aim: 1.3 × floor.
//!
//! The floor uses the same library, the same sshd and the same key exchange: one handshake and as many multiplexed round
//! trips as there are steps; and so many bare handshakes, as many at a time.

use super::shared::{
    cost,
    figure::{line, median, note},
    memory,
    server::{Server, connect, handshakes},
};

pub fn bench() {
    let Some(server) = Server::start(HOSTS, PORT, "openssh") else {
        return note("ssh", "left out: no /usr/sbin/sshd that can be started here");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();

    server.runbook("twenty", 1, 20);
    let floor = median(5, || runtime.block_on(round_trips(&server, 20)));
    let took = median(5, || server.run("twenty", AT_ONCE));
    line("ssh: 20 steps on one host", took, floor, "one handshake, 20 multiplexed round trips");

    server.runbook("fifty", HOSTS, 5);
    let floor = median(3, || runtime.block_on(handshakes(&server.at("ssh_config"), HOSTS, AT_ONCE)));
    let took = median(3, || server.run("fifty", AT_ONCE));
    line("ssh: 5 steps on 50 hosts, 32 at once", took, floor, "50 bare handshakes, 32 at once");
    let ([kib], _) = cost::of(&server.svcops("fifty", AT_ONCE), |process, end| memory::peak([process], end));
    note("ssh: peak memory of all processes, 50 hosts", &format!("{} MiB", kib / 1024));
}

async fn round_trips(server: &Server, trips: usize) {
    let session = connect(&server.at("ssh_config"), 1).await;
    for _ in 0..trips {
        assert!(session.command("true").status().await.unwrap().success());
    }
    session.close().await.unwrap();
}

const HOSTS: usize = 50;
const AT_ONCE: usize = 32;
const PORT: u16 = 22877;
