//! Large fleets by ssh: `cargo bench --bench fleet`, or `cargo bench --bench fleet -- --hosts 50 --steps 1 --tries 1` for
//! a quick look.
//!
//! All hosts are this machine, so what is measured is the CPU of both sides. Floor and svcops take turns, and the least
//! of each counts: whatever else ran here can only have added to it. The floor is as many bare handshakes as there are
//! hosts, by the same library, as many at once. Aim: 1.2 × floor, and 100 MB for svcops itself at 1,000 hosts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot go on says so"
)]
#![expect(unreachable_pub, reason = "the modules of a bench say what is theirs as a library does")]

#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "the other bench uses the rest")]
mod shared;

use shared::{
    cost::{self, Cost},
    figure::note,
    memory,
    server::{Server, handshakes},
};
use std::{fs, process::Command, time::Duration};

fn main() {
    if cost::between() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--floor", config, hosts, at_once] => floor(config, hosts, at_once),
        words => bench(&Wanted::read(words)),
    }
}

/// The floor, as a command of its own.
fn floor(config: &str, hosts: &str, at_once: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(handshakes(config.as_ref(), hosts.parse().unwrap(), at_once.parse().unwrap()));
}

/// What the command line asks for.
struct Wanted {
    hosts: Vec<usize>,
    steps: Vec<usize>,
    tries: usize,
    at_once: usize,
    client: String,
}

impl Wanted {
    fn read(words: &[&str]) -> Self {
        let mut wanted =
            Self { hosts: vec![200, 1000], steps: vec![1, 5], tries: 3, at_once: 32, client: "openssh".into() };
        for pair in words.chunks(2) {
            let &[option, values] = pair else { panic!("{} needs a value", pair.join(" ")) };
            if option == "--client" {
                values.clone_into(&mut wanted.client);
                continue;
            }
            let numbers = values.split(',').map(|word| word.parse().expect("a number")).collect::<Vec<usize>>();
            match (option, numbers.as_slice()) {
                ("--hosts", _) => wanted.hosts = numbers,
                ("--steps", _) => wanted.steps = numbers,
                ("--tries", [one]) => wanted.tries = *one,
                ("--parallel", [one]) => wanted.at_once = *one,
                _ => panic!("{USAGE}"),
            }
        }
        wanted
    }
}

fn bench(wanted: &Wanted) {
    let most = wanted.hosts.iter().max().copied().unwrap_or(1);
    let Some(server) = Server::start(most, PORT, &wanted.client) else {
        return note("fleet", "left out: no /usr/sbin/sshd that can be started here");
    };
    println!(
        "client {}, {} at once, the least of {} turns; load now {}",
        wanted.client,
        wanted.at_once,
        wanted.tries,
        load()
    );
    println!(
        "{:<20} {:>7} {:>7} {:>6}  {:>26}  {:>20}  {:>16}  load",
        "", "wall", "floor", "ratio", "CPU: svcops, ssh, hosts", "floor: ssh, hosts", "MiB: own, all"
    );
    for hosts in &wanted.hosts {
        for steps in &wanted.steps {
            figure(&server, wanted, *hosts, *steps);
        }
    }
}

/// One line: so many hosts, so many steps.
fn figure(server: &Server, wanted: &Wanted, hosts: usize, steps: usize) {
    let name = format!("fleet-{hosts}-{steps}");
    server.runbook(&name, hosts, steps);
    let run = server.svcops(&name, wanted.at_once);
    let mut floor = Command::new(std::env::current_exe().unwrap());
    floor.arg("--floor").arg(server.at("ssh_config")).args([hosts.to_string(), wanted.at_once.to_string()]);
    let mut turns = (Vec::new(), Vec::new());
    for _ in 0..wanted.tries {
        turns.0.push(turn(server, &floor));
        turns.1.push(turn(server, &run));
    }
    let (floor, took) = (least(&turns.0), least(&turns.1));
    // its looks at all processes cost more than what they look at: no figure of time is taken meanwhile
    let ([kib], _) = cost::of(&run, |process, end| memory::peak([process], end));
    let s = |time: Duration| format!("{:.2}", time.as_secs_f64());
    println!(
        "{:<20} {:>7} {:>7} {:>6.2}  {:>26}  {:>20}  {:>16}  {}",
        format!("{hosts} hosts, {steps} step{}", if steps == 1 { "" } else { "s" }),
        s(took.0.wall),
        s(floor.0.wall),
        took.0.wall.as_secs_f64() / floor.0.wall.as_secs_f64(),
        [took.0.own, took.0.others, took.1].map(s).join(" "),
        [floor.0.own + floor.0.others, floor.1].map(s).join(" "),
        format!("{} {}", took.0.resident / 1024, kib / 1024),
        load(),
    );
}

/// What a command cost on this side, and on the hosts.
fn turn(server: &Server, command: &Command) -> (Cost, Duration) {
    let before = spent(server);
    let cost = cost::of(command, |_, end| end());
    // its connections end a moment after it
    for _ in 0..500 {
        if memory::below(server.sshd.id()).len() < 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (cost, spent(server).saturating_sub(before))
}

/// The CPU time of the hosts until now: what has ended there, and what has not.
fn spent(server: &Server) -> Duration {
    let holder = server.sshd.id();
    let alive = memory::below(holder).into_iter().map(cost::times);
    alive.fold(cost::times(holder).1, |sum, (own, children)| sum + own + children)
}

/// The least of each figure.
fn least(turns: &[(Cost, Duration)]) -> (Cost, Duration) {
    let of = |pick: fn(&(Cost, Duration)) -> Duration| turns.iter().map(pick).min().unwrap();
    let resident = turns.iter().map(|turn| turn.0.resident).max().unwrap();
    (Cost { wall: of(|t| t.0.wall), own: of(|t| t.0.own), others: of(|t| t.0.others), resident }, of(|t| t.1))
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

const PORT: u16 = 22878;
const USAGE: &str = "usage: cargo bench --bench fleet -- [--hosts N,…] [--steps N,…] [--tries N] [--parallel N] [--client openssh|native]";
