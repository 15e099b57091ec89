//! A scan of many endpoints: `cargo bench --bench cert_scan`, or `cargo bench --bench cert_scan -- --endpoints 100 --many 0
//! --tries 1` for a quick look.
//!
//! Server and clients share this machine's CPU. Each endpoint has a certificate of its own below one intermediate. Floor
//! and svcops take turns and the best of each counts: whatever else ran here can only have made it slower. The floor is
//! `openssl s_time -new`: handshakes one after the other, nothing judged. Aims: 0.8 of its endpoints a second; 64 MB at
//! 10,000 endpoints; where 200 of 1,000 never answer the timeout and a second.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot go on says so"
)]
#![expect(unreachable_pub, reason = "the modules of a bench say what is theirs as a library does")]

mod nginx;
#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "the other benches use the rest")]
mod shared;

use nginx::{Nginx, PORTS, address};
use shared::{
    cost,
    figure::{self, SVCOPS, note, timed},
};
use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn main() {
    if cost::between() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = Wanted::read(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let addresses = wanted.endpoints.max(wanted.many.div_ceil(PORTS));
    let (took, server) = timed(|| Nginx::start(addresses));
    let Some(server) = server else {
        return note("cert_scan", "left out: no nginx or openssl that can be started here");
    };
    println!("{addresses} certificates made and served after {:.1} s", took.as_secs_f64());
    speed(&server, &wanted);
    if wanted.many > 0 {
        memory(&server, wanted.many);
    }
    silence(&server, wanted.endpoints);
}

/// What the command line asks for.
struct Wanted {
    endpoints: usize,
    many: usize,
    tries: usize,
}

impl Wanted {
    fn read(words: &[&str]) -> Self {
        let mut wanted = Self { endpoints: 1000, many: 10_000, tries: 3 };
        for pair in words.chunks(2) {
            let &[option, value] = pair else { panic!("{} needs a value", pair.join(" ")) };
            let number = value.parse().expect("a number");
            match option {
                "--endpoints" => wanted.endpoints = number,
                "--many" => wanted.many = number,
                "--tries" => wanted.tries = number,
                _ => panic!("{USAGE}"),
            }
        }
        wanted
    }
}

/// `svcops cert check` of a list.
fn scan(server: &Nginx, list: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("sh");
    // the list is its standard input, and the shell becomes it
    command.args(["-c", "list=$1; shift; exec \"$@\" < \"$list\"", "sh"]).arg(list).arg(SVCOPS);
    command.args(["cert", "check", "-", "--ca"]).arg(server.at("ca.crt")).args(more);
    command
}

/// Endpoints a second, against both floors.
fn speed(server: &Nginx, wanted: &Wanted) {
    let endpoints = wanted.endpoints;
    let list = server.list("list", endpoints, &[]);
    let plugin = Path::new("/usr/lib/nagios/plugins/check_http");
    let mut best = [0.0_f64; 5];
    for _ in 0..wanted.tries {
        let rate = |took: Duration| amount(endpoints) / took.as_secs_f64();
        let beside = if plugin.exists() { rate(timed(|| plugins(plugin, server, endpoints)).0) } else { 0.0 };
        let turn = [
            rate(timed(|| figure::run(&mut scan(server, &list, &[]), 0)).0),
            handshakes(server, 1),
            handshakes(server, 2),
            rate(timed(|| figure::run(&mut scan(server, &list, &["--at-once", "16"]), 0)).0),
            beside,
        ];
        for (best, figure) in best.iter_mut().zip(turn) {
            *best = best.max(figure);
        }
    }
    let [all, one, two, sixteen, plugins] = best;
    println!("{:<44} {:>10} {:>10} {:>8}  what the floor is", "endpoints a second", "svcops", "floor", "ratio");
    let line = |what: &str, is: f64, floor: f64, floor_is: &str| {
        println!("{what:<44} {is:>10.0} {floor:>10.0} {:>8.2}  {floor_is}", is / floor);
    };
    line(&format!("{endpoints} endpoints"), all, one, "openssl s_time -new");
    line(&format!("{endpoints} endpoints"), all, two, "two of them at once");
    if plugins > 0.0 {
        line(&format!("{endpoints} endpoints, 16 at once"), sixteen, plugins, "check_http -C, 16 at once");
    } else {
        note("check_http", "left out: monitoring-plugins-basic is not installed");
    }
}

/// Handshakes a second of so many `openssl s_time -new` side by side.
fn handshakes(server: &Nginx, at_once: usize) -> f64 {
    let start = |n| {
        let mut s_time = Command::new("openssl");
        s_time.args(["s_time", "-new", "-time", "2", "-connect", &server.endpoint(n)]);
        s_time.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (took, counts) = timed(|| {
        let all: Vec<_> = (0..at_once).map(start).collect();
        let said = all.into_iter().map(|child| child.wait_with_output().unwrap());
        said.map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = text.lines().find(|line| line.contains(" real seconds")).map(str::to_owned);
            let count = line.and_then(|line| line.split(' ').next()?.parse::<usize>().ok());
            count.unwrap_or_else(|| panic!("openssl s_time said:\n{text}"))
        })
        .sum::<usize>()
    });
    // it counts whole seconds only, this counts all of them
    amount(counts) / took.as_secs_f64()
}

fn plugins(plugin: &Path, server: &Nginx, endpoints: usize) {
    let text = "seq 0 $(($2 - 1)) | xargs -P 16 -I {} sh -c 'n=$1; \
                exec \"$0\" -S -C 30,7 -t 10 -p $2 -I 127.1.$((n / 250)).$((n % 250 + 1)) > /dev/null' \"$1\" {} $3";
    let port = server.endpoint(0).rsplit(':').next().unwrap().to_owned();
    figure::run(Command::new("sh").args(["-c", text, "sh"]).arg(plugin).arg(endpoints.to_string()).arg(port), 0);
}

/// The most memory of a scan of many.
fn memory(server: &Nginx, many: usize) {
    let list = server.list("many", many, &[]);
    for (what, more) in [("as a table", &[][..]), ("as JSON", &["-o", "json"])] {
        let cost = cost::of(&scan(server, &list, more), |_, end| end());
        let rate = amount(many) / cost.wall.as_secs_f64();
        note(
            &format!("{many} endpoints {what}"),
            &format!(
                "{} MB, {:.1} s, {rate:.0} a second, {:.2} s of CPU",
                cost.resident * 1024 / 1_000_000,
                cost.wall.as_secs_f64(),
                cost.own.as_secs_f64()
            ),
        );
    }
}

/// A fifth never answers: half of them takes connections, as far as there is room, and says nothing.
fn silence(server: &Nginx, endpoints: usize) {
    let silent = TcpListener::bind("0.0.0.0:22899").unwrap();
    let dead: Vec<String> = (0..endpoints / 5).map(|n| format!("{}:22899", address(n))).collect();
    let list = server.list("silence", endpoints - dead.len(), &dead);
    let (took, ()) = timed(|| figure::run(&mut scan(server, &list, &["--timeout", "5s"]), 3));
    drop(silent);
    note(
        &format!("{endpoints} endpoints, {} of them silent, timeout 5 s", dead.len()),
        &format!("{:.2} s", took.as_secs_f64()),
    );
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
fn amount(count: usize) -> f64 {
    count as f64
}

const USAGE: &str = "usage: cargo bench --bench cert_scan -- [--endpoints N] [--many N] [--tries N]";
