//! Against a name server of the test's own, and against BIND where the lab is up.

use super::*;
use crate::base::RecordType;
use hickory_proto::rr::rdata::tsig::{TSIG, TsigError, make_tsig_record};
use std::collections::BTreeSet;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

const SECRET: &str = "TMNlAoUGYke1uMZ3gqCAb8Mha2tX9Il2bwBG69O2/IQ=";

fn zone(server: &str) -> Zone {
    let key = TsigKey { name: "svcops-lab".into(), algorithm: TsigHash::HmacSha256, secret: "tsig".into() };
    Zone { name: "lab.test".into(), server: server.into(), servers: vec![server.into()], key: Some(key) }
}

fn ask(zone: &Zone, name: &str, kind: RecordType) -> RecordAsk {
    let name = values::name_in(&zone.name, name).unwrap();
    RecordAsk { at: zone.clone(), name, kind, within: Span::secs(3), may_change: false }
}

fn values_of<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn told(zone: &Zone, name: &str, kind: RecordType, remove: &[&str], add: &[&str]) -> RecordUpdate {
    let all = |values: &[&str]| values.iter().map(|value| values::value(kind, value).unwrap()).collect();
    let name = values::name_in(&zone.name, name).unwrap();
    RecordUpdate { at: zone.clone(), name, kind, remove: all(remove), add: all(add), ttl: 60 }
}

/// A server that answers one update by a stream, as `answer` makes it of the question.
async fn server(answer: impl FnOnce(Message) -> Message + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut question).await.unwrap();
        let bytes = answer(Message::from_vec(&question).unwrap()).to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    address
}

/// What is said of an update that a server answers so.
async fn said(code: ResponseCode, error: Option<TsigError>) -> String {
    let address = server(move |question| {
        let mut answer = Message::response(question.id, OpCode::Update);
        answer.metadata.response_code = code;
        if let Some(error) = error {
            let other = if error == TsigError::BadTime { vec![0, 0, 0, 0, 10, 0] } else { vec![] };
            let tsig = TSIG::new(TsigAlgorithm::HmacSha256, 1000, 300, vec![], question.id, Some(error), other);
            answer.set_signature(Box::new(make_tsig_record(Name::from_ascii("svcops-lab.").unwrap(), tsig)));
        }
        answer
    })
    .await;
    let change = told(&zone(&address), "x", RecordType::Txt, &[], &["y"]);
    let secret = Secret::new(SECRET.into());
    let why = update(&change, Some(&secret), 1000).await.unwrap_err();
    why.to_string().replace(&address, "SERVER")
}

#[tokio::test]
async fn a_refusal_says_what_it_means_and_what_to_do() {
    let auth = ResponseCode::NotAuth;
    let all = [
        said(ResponseCode::Refused, None).await,
        said(auth, None).await,
        said(auth, Some(TsigError::BadKey)).await,
        said(auth, Some(TsigError::BadSig)).await,
        said(auth, Some(TsigError::BadTime)).await,
        said(ResponseCode::ServFail, None).await,
        said(ResponseCode::NoError, None).await,
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    `SERVER` refuses updates of the zone `lab.test` with the key `svcops-lab` (REFUSED): its `allow-update` or `update-policy` must allow them, and an MX must name a host that has an address
    `SERVER` is not the one that takes updates of the zone `lab.test` (NOTAUTH): `server` of the zone must name its primary
    `SERVER` does not know the key `svcops-lab` (BADKEY): its `name` and `algorithm` under `zones:` must be as in the server's key file
    `SERVER` knows the key `svcops-lab` with another secret (BADSIG): the one that `secret` names must be the server's
    the clocks of this machine and of `SERVER` are 1560 seconds apart (BADTIME): set them right, at most 300 are allowed
    `SERVER` could not carry the update out (SERVFAIL): its log tells why, such as a zone file that it may not write
    `SERVER` says that it did it, and its answer is not signed with the key: proto error: missing tsig from response that must be authenticated
    ");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_says_nonsense_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let why = read(&ask(&zone(&closed), "x", RecordType::A)).await.unwrap_err();
    assert_eq!(why.to_string(), format!("could not ask the name server `{closed}`: connection refused"));

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let garbage = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
        // of another question first, then a header that promises records which do not come
        socket.send_to(&[buffer[0] ^ 1, buffer[1], 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0], from).await.unwrap();
        socket.send_to(&[buffer[0], buffer[1], 0x84, 0, 0, 0, 0, 9, 0, 0, 0, 0], from).await.unwrap();
    });
    let why = read(&ask(&zone(&address), "x", RecordType::A)).await.unwrap_err().to_string();
    garbage.await.unwrap();
    assert!(why.starts_with(&format!("what `{address}` answers is no answer of a name server")), "{why}");
}

#[tokio::test]
async fn a_key_that_is_no_base64_is_refused_before_anything_is_sent() {
    let change = told(&zone("127.0.0.1:1"), "x", RecordType::Txt, &[], &["y"]);
    let secret = Secret::new("not base64!".into());
    let why = update(&change, Some(&secret), 1000).await.unwrap_err();
    insta::assert_snapshot!(why, @"the key `svcops-lab` of the zone `lab.test` is no base64: the text after `secret` in the server's key file expected");
}

#[tokio::test]
async fn records_come_and_go_alone_on_a_real_server() {
    let Ok(state) = std::env::var("SVCOPS_LAB") else {
        println!("skipped: it needs the lab: SVCOPS_LAB is not set (tests/lab/README.md)");
        return;
    };
    let lock = std::fs::File::create(format!("{}.test.lock", state.trim_end_matches('/'))).unwrap();
    lock.lock().unwrap();
    let text = std::fs::read_to_string(format!("{state}/tsig.key")).unwrap();
    let secret = Secret::new(text.split('"').nth(3).unwrap().to_owned());
    let zone = zone("10.77.0.5:53");
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    let send = async |change: RecordUpdate| update(&change, Some(&secret), now).await;
    let seen = async |name: &str, kind| read(&ask(&zone, name, kind)).await.unwrap().primary;
    let (name, txt) = ("svcops-test", RecordType::Txt);

    assert_eq!(seen(name, txt).await, RecordSet::default());
    let long = "д".repeat(300);
    send(told(&zone, name, txt, &[], &["one", "two \"quoted\"", &long])).await.unwrap();
    let all = seen(name, txt).await;
    assert_eq!((all.values, all.ttl), (values_of(["one", "two \"quoted\"", &long]), Some(60)));
    // again is nothing, and what goes goes alone
    send(told(&zone, name, txt, &[], &["one"])).await.unwrap();
    send(told(&zone, name, txt, &["one", "never there"], &[])).await.unwrap();
    assert_eq!(seen(name, txt).await.values, values_of(["two \"quoted\"", &long]));
    send(told(&zone, name, txt, &["two \"quoted\"", &long], &[])).await.unwrap();
    assert_eq!(seen(name, txt).await, RecordSet::default());

    for (kind, value) in [
        (RecordType::A, "10.77.0.9"),
        (RecordType::Aaaa, "fd00::9"),
        (RecordType::Mx, "10 lb.lab.test"),
        (RecordType::Srv, "1 2 443 lb.lab.test"),
        (RecordType::Cname, "lb.lab.test"),
    ] {
        send(told(&zone, name, kind, &[], &[value])).await.unwrap();
        assert_eq!(seen(name, kind).await.values, values_of([value]), "{kind}");
        send(told(&zone, name, kind, &[value], &[])).await.unwrap();
        assert_eq!(seen(name, kind).await, RecordSet::default(), "{kind}");
    }
    // an answer that has no room in a datagram comes by a stream
    let many: Vec<String> = (0..40).map(|n| format!("{n}-{}", "x".repeat(60))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    send(told(&zone, name, txt, &[], &many)).await.unwrap();
    assert_eq!(seen(name, txt).await.values.len(), 40);
    send(told(&zone, name, txt, &many, &[])).await.unwrap();

    let unsigned = update(&told(&zone, name, txt, &[], &["x"]), None, now).await.unwrap_err().to_string();
    assert!(unsigned.contains("REFUSED"), "{unsigned}");
    let late = update(&told(&zone, name, txt, &[], &["x"]), Some(&secret), now - 1000).await.unwrap_err().to_string();
    assert!(late.contains("100") && late.contains("seconds apart (BADTIME)"), "{late}");
    let other = Secret::new("AAAA".into());
    let other = update(&told(&zone, name, txt, &[], &["x"]), Some(&other), now).await.unwrap_err().to_string();
    assert!(other.contains("BADSIG"), "{other}");
    // what changes nothing is judged as what does
    let nothing = told(&zone, name, txt, &[], &[]);
    send(nothing.clone()).await.unwrap();
    for (key, why) in [(None, "REFUSED"), (Some(Secret::new("AAAA".into())), "BADSIG")] {
        let said = update(&nothing, key.as_ref(), now).await.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let elsewhere = Zone { name: "example.org".into(), ..zone.clone() };
    let why = read(&ask(&elsewhere, "x", txt)).await.unwrap_err().to_string();
    assert!(why.contains("REFUSED"), "{why}");
}
