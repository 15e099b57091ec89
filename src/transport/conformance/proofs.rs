//! What the contract promises of files that prove a name over HTTP.

use super::*;
use crate::base::{ProofBy, ProofChange, ProofFacts, ProofSpot};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
};

const TOKEN: &str = "svcops-Test_token0123";
const VALUE: &str = "svcops-Test_token0123.thumb-Print_";

struct Site<'a> {
    stage: &'a Stage,
    spot: ProofSpot,
}

impl Site<'_> {
    async fn facts(&self) -> ProofFacts {
        let answers = self.stage.look(vec![Read::Proof(self.spot.by.clone())]).await;
        let [Answer::Proof(facts)] = answers.as_slice() else { panic!("{answers:?}") };
        facts.clone()
    }
    async fn put(&self) -> Outcome {
        self.change(ProofChange::Put(VALUE.into())).await
    }
    async fn change(&self, change: ProofChange) -> Outcome {
        self.stage.do_once(Change::Proof { spot: self.spot.clone(), change }).await.outcome
    }
}

fn nothing(folders: u8) -> ProofFacts {
    ProofFacts { folders, ..ProofFacts::default() }
}

fn got(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

pub(super) async fn the_proof_of_a_name_comes_and_goes_with_the_folders_that_were_made_for_it(stage: &Stage) {
    let root = stage.path("web д'1");
    let spot = ProofSpot { by: ProofBy::Webroot(root.clone()), token: TOKEN.into() };
    let site = Site { stage, spot };
    let Outcome::Refused(why) = site.put().await else { panic!("there is no root") };
    assert_eq!(why, format!("the folder `{root}` is not there"));
    fs::create_dir(&root).unwrap();
    let (well, folder) = (format!("{root}/.well-known"), format!("{root}/.well-known/acme-challenge"));
    assert_eq!(site.facts().await, nothing(0));
    for _ in 0..2 {
        assert_eq!(site.put().await, Outcome::Ok);
        assert_eq!(
            site.facts().await,
            ProofFacts { served: [(TOKEN.to_owned(), VALUE.to_owned())].into(), folders: 2 }
        );
    }
    assert_eq!(fs::read_to_string(format!("{folder}/{TOKEN}")).unwrap(), VALUE);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&well), mode(&format!("{folder}/{TOKEN}"))), (0o755, 0o644));
    for _ in 0..2 {
        assert_eq!(site.change(ProofChange::Drop { folders: 0 }).await, Outcome::Ok);
        assert_eq!(site.facts().await, nothing(0));
    }
    // what others put there stays, and so does the folder around it
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/theirs"), "x").unwrap();
    assert_eq!(site.put().await, Outcome::Ok);
    assert_eq!(site.change(ProofChange::Drop { folders: 0 }).await, Outcome::Ok);
    assert_eq!(fs::read_to_string(format!("{folder}/theirs")).unwrap(), "x");
    fs::remove_file(format!("{folder}/theirs")).unwrap();
    assert_eq!(site.change(ProofChange::Drop { folders: 1 }).await, Outcome::Ok);
    assert_eq!(site.facts().await, nothing(1));
    // a token is a name, not a way
    let spot = ProofSpot { by: ProofBy::Webroot(root), token: "../x".into() };
    assert!(matches!(Site { stage, spot }.put().await, Outcome::Refused(_)));
}

pub(super) async fn what_answers_for_a_name_serves_it_alone_and_is_gone_when_it_is_told(stage: &Stage) {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let spot = ProofSpot { by: ProofBy::Responder(port), token: TOKEN.into() };
    let site = Site { stage, spot };
    let Outcome::Refused(why) = site.put().await else { panic!("the port is taken") };
    assert_eq!(why, format!("the port {port} cannot be listened on: address already in use"));
    assert_eq!(site.facts().await, nothing(2));
    drop(taken);
    // a second time is the same process
    for _ in 0..2 {
        assert_eq!(site.put().await, Outcome::Ok);
        assert_eq!(
            site.facts().await,
            ProofFacts { served: [(TOKEN.to_owned(), VALUE.to_owned())].into(), folders: 2 }
        );
    }
    let right = got(port, &format!("/.well-known/acme-challenge/{TOKEN}")).unwrap();
    assert!(right.starts_with("HTTP/1.1 200 OK\r\n") && right.ends_with(&format!("\r\n\r\n{VALUE}")), "{right}");
    for other in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../../etc/passwd"] {
        let wrong = got(port, other).unwrap();
        assert!(wrong.starts_with("HTTP/1.1 404 "), "{other}: {wrong}");
    }
    // who says nothing, or nonsense, does not hold up who comes next
    let silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"\x16\x03\x01\r\n\r\n").unwrap();
    assert!(got(port, &format!("/.well-known/acme-challenge/{TOKEN}")).unwrap().ends_with(VALUE));
    // a second name at the same port, which goes alone
    let other = ProofSpot { token: "another-Token_4567".into(), ..site.spot.clone() };
    let other = Site { stage, spot: other };
    assert_eq!(other.change(ProofChange::Put("another-Token_4567.thumb".into())).await, Outcome::Ok);
    assert_eq!(site.facts().await.served.len(), 2);
    assert!(got(port, &format!("/.well-known/acme-challenge/{TOKEN}")).unwrap().ends_with(VALUE));
    assert!(got(port, "/.well-known/acme-challenge/another-Token_4567").unwrap().ends_with("4567.thumb"));
    assert_eq!(other.change(ProofChange::Drop { folders: 2 }).await, Outcome::Ok);
    assert!(got(port, &format!("/.well-known/acme-challenge/{TOKEN}")).unwrap().ends_with(VALUE));
    for _ in 0..2 {
        assert_eq!(site.change(ProofChange::Drop { folders: 2 }).await, Outcome::Ok);
        assert_eq!(site.facts().await, nothing(2));
    }
    assert!(TcpListener::bind(("0.0.0.0", port)).is_ok() && got(port, "/").is_none(), "nobody listens any more");
}
