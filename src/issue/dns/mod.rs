//! Records in the DNS: read at every server that answers for a zone, changed at the one that takes updates (RFC 2136),
//! signed with a key that both know (RFC 8945).

mod refused;
#[cfg(test)]
mod tests;
pub mod values;
mod wire;

use crate::base::{
    AddressAsk, RecordAsk, RecordFacts, RecordSet, RecordType as Ours, RecordUpdate, Secret, Span, TsigHash, TsigKey,
    Zone,
};
use futures_util::future::join_all;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, Record, RecordType as Kind, TSigner, rdata::tsig::TsigAlgorithm},
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use wire::{Asked, Exchange};

/// What a record lives for where nobody says it, in seconds.
pub const TTL: u32 = 300;
/// How far the clocks of both sides may be apart, in seconds (RFC 8945, 10).
const FUDGE: u16 = 300;
/// How long the server that takes updates may need for one.
const UPDATE: Duration = Duration::from_secs(20);

/// Why something could not be read or changed, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// It was sure that nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// There was no answer that can be trusted; what was sent may have been done.
    #[error("{0}")]
    Silent(String),
}

/// What every server of the zone answers, each asked directly.
///
/// # Errors
/// The one that takes updates could not be asked.
pub async fn read(ask: &RecordAsk) -> Result<RecordFacts, DnsError> {
    let mut servers: Vec<&String> = ask.at.servers.iter().filter(|server| **server != ask.at.server).collect();
    servers.insert(0, &ask.at.server);
    let mut answers = join_all(servers.iter().map(|server| one(server, ask))).await.into_iter();
    let primary = answers.next().unwrap_or_else(|| Err(DnsError::Silent("nobody was asked".to_owned())))?;
    let mut facts = RecordFacts { primary, ..RecordFacts::default() };
    for (server, answer) in servers.into_iter().skip(1).zip(answers) {
        match answer {
            Ok(set) if set == facts.primary => {}
            Ok(set) => {
                facts.others.insert(server.clone(), set);
            }
            Err(why) => {
                facts.silent.insert(server.clone(), why.to_string());
            }
        }
    }
    Ok(facts)
}

/// The addresses of a name: as the servers of its zone say, where it is declared, else as the system does. Through an
/// alias within the zone.
///
/// # Errors
/// Nobody could be asked.
pub async fn addresses(ask: &AddressAsk) -> Result<BTreeSet<IpAddr>, DnsError> {
    let Some(zone) = &ask.zone else {
        let found = tokio::net::lookup_host((ask.name.as_str(), 0)).await.map_err(|e| {
            DnsError::Refused(format!("`{}` leads to no address: {}", ask.name, e.to_string().to_lowercase()))
        })?;
        return Ok(found.map(|address| address.ip()).collect());
    };
    let mut name = ask.name.clone();
    for _ in 0..8 {
        let of = |kind| RecordAsk { at: zone.clone(), name: name.clone(), kind, within: PATIENCE, may_change: false };
        let asked = [of(Ours::A), of(Ours::Aaaa), of(Ours::Cname)];
        let [four, six, alias] = &asked;
        let (four, six, alias) =
            tokio::join!(one(&zone.server, four), one(&zone.server, six), one(&zone.server, alias));
        let found: BTreeSet<IpAddr> =
            four?.values.iter().chain(&six?.values).filter_map(|value| value.parse().ok()).collect();
        match alias?.values.pop_first() {
            Some(target) if found.is_empty() && values::lies_in(&target, &zone.name) => name = target,
            Some(target) if found.is_empty() => {
                return Box::pin(addresses(&AddressAsk { zone: None, name: target })).await;
            }
            _ => return Ok(found),
        }
    }
    Err(DnsError::Refused(format!("`{}` is an alias of an alias without end", ask.name)))
}

/// What one server answers.
async fn one(server: &str, ask: &RecordAsk) -> Result<RecordSet, DnsError> {
    let name = values::parsed(&ask.name).map_err(DnsError::Refused)?;
    let kind = wire_kind(ask.kind);
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), kind));
    message.set_edns(room());
    let bytes = message.to_vec().map_err(|e| DnsError::Refused(format!("`{name}` cannot be asked for: {e}")))?;
    let asked = Asked { server, id: message.id, bytes: &bytes, within: ask.within.0 };
    let answer = wire::datagram_or_stream(asked).await.map_err(DnsError::Silent)?;
    let answer = wire::parse(server, &answer, message.id).map_err(DnsError::Silent)?;
    if let Some(why) = refused::question(server, &ask.at.name, &answer) {
        return Err(DnsError::Refused(why));
    }
    let found: Vec<&Record> =
        answer.answers.iter().filter(|record| record.record_type() == kind && record.name == name).collect();
    Ok(RecordSet {
        values: found.iter().filter_map(|record| values::shown(&record.data)).collect(),
        ttl: found.iter().map(|record| record.ttl).min(),
    })
}

/// Removes and adds single records, all in one step of the server.
///
/// # Errors
/// It was refused, or nobody knows; in words that say what to do.
pub async fn update(update: &RecordUpdate, key: Option<&Secret>, now: u64) -> Result<(), DnsError> {
    let server = &update.at.server;
    let (mut message, signer) = (change(update)?, signer(&update.at, key)?);
    let mut verifier = match &signer {
        Some(signer) => message
            .finalize(signer, now)
            .map_err(|e| DnsError::Refused(format!("the update of `{}` cannot be signed: {e}", update.name)))?,
        None => None,
    };
    let bytes = message.to_vec().map_err(|e| DnsError::Refused(format!("the update cannot be sent: {e}")))?;
    let asked = Asked { server, id: message.id, bytes: &bytes, within: UPDATE };
    let answer = match wire::stream(asked).await {
        // it may take updates by datagrams alone
        Err(Exchange::NeverSent(_)) => wire::datagram(asked).await.map_err(DnsError::Silent)?,
        Err(Exchange::Broke(why)) => return Err(DnsError::Silent(why)),
        Ok(answer) => answer,
    };
    let read = wire::parse(server, &answer, message.id).map_err(DnsError::Silent)?;
    if let Some(why) = refused::update(&update.at, &read, now) {
        return Err(DnsError::Refused(why));
    }
    if let Some(verifier) = &mut verifier {
        // whoever answers so has not got the key, and says nothing of what became of the update
        verifier.verify(&answer).map_err(|e| {
            DnsError::Silent(format!("`{server}` says that it did it, and its answer is not signed with the key: {e}"))
        })?;
    }
    Ok(())
}

/// The message of an update (RFC 2136, 2): the zone, and what goes and comes.
fn change(update: &RecordUpdate) -> Result<Message, DnsError> {
    let wrong = |why: String| DnsError::Refused(why);
    let zone = values::parsed(&update.at.name).map_err(wrong)?;
    let name = values::parsed(&update.name).map_err(wrong)?;
    let mut message = Message::new(Message::query().id, MessageType::Query, OpCode::Update);
    message.add_query(Query::query(zone, Kind::SOA));
    for (values, removes) in [(&update.remove, true), (&update.add, false)] {
        for value in values {
            let data = values::data(update.kind, value).map_err(wrong)?;
            let mut record = Record::from_rdata(name.clone(), if removes { 0 } else { update.ttl }, data);
            if removes {
                record.dns_class = DNSClass::NONE;
            }
            message.add_authority(record);
        }
    }
    Ok(message)
}

fn signer(at: &Zone, secret: Option<&Secret>) -> Result<Option<TSigner>, DnsError> {
    let (Some(key), Some(secret)) = (&at.key, secret) else { return Ok(None) };
    let wrong = |why: String| DnsError::Refused(format!("the key `{}` of the zone `{}` {why}", key.name, at.name));
    let bytes = super::base64(secret.reveal().trim()).filter(|bytes| !bytes.is_empty());
    let bytes =
        bytes.ok_or_else(|| wrong("is no base64: the text after `secret` in the server's key file expected".into()))?;
    let name = Name::from_ascii(key.name.to_lowercase()).map_err(|e| wrong(format!("has no name of the DNS: {e}")))?;
    TSigner::new(bytes, algorithm(key), name, FUDGE).map(Some).map_err(|e| wrong(format!("cannot be used: {e}")))
}

const fn algorithm(key: &TsigKey) -> TsigAlgorithm {
    match key.algorithm {
        TsigHash::HmacSha256 => TsigAlgorithm::HmacSha256,
        TsigHash::HmacSha384 => TsigAlgorithm::HmacSha384,
        TsigHash::HmacSha512 => TsigAlgorithm::HmacSha512,
    }
}

const fn wire_kind(kind: Ours) -> Kind {
    match kind {
        Ours::A => Kind::A,
        Ours::Aaaa => Kind::AAAA,
        Ours::Cname => Kind::CNAME,
        Ours::Txt => Kind::TXT,
        Ours::Mx => Kind::MX,
        Ours::Srv => Kind::SRV,
        Ours::Ptr => Kind::PTR,
    }
}

/// No fragments: larger answers come by a stream (RFC 9715).
fn room() -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(1232).set_version(0);
    edns
}

/// The word for an answer's code.
fn word(code: ResponseCode) -> String {
    match code {
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        ResponseCode::NotZone => "NOTZONE".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => format!("code {}", u16::from(other)),
    }
}

/// How long a server may take to answer a question.
pub const PATIENCE: Span = Span::secs(5);
