//! What a server's refusal means, and what to do about it.

use super::{FUDGE, word};
use crate::base::{Zone, words::count};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::rdata::tsig::TsigError,
};

/// Why a question has no answer that counts; none: it has one.
pub(super) fn question(server: &str, zone: &str, answer: &Message) -> Option<String> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => None,
        ResponseCode::NoError | ResponseCode::NXDomain => Some(format!(
            "`{server}` answers, but not as one that the zone `{zone}` is kept on: `server` and `servers` of the zone expected to be"
        )),
        ResponseCode::Refused => Some(format!(
            "`{server}` refuses to answer for the zone `{zone}` (REFUSED): it is not kept there, or this machine may not ask (`allow-query`)"
        )),
        ResponseCode::ServFail => Some(format!(
            "`{server}` cannot answer for the zone `{zone}` (SERVFAIL): it could not load it, or it has expired there"
        )),
        other => Some(format!("`{server}` does not answer for the zone `{zone}` ({})", word(other))),
    }
}

/// Why an update was not taken; none: it was.
pub(super) fn update(at: &Zone, answer: &Message, now: u64) -> Option<String> {
    let (server, zone) = (&at.server, &at.name);
    let key = at.key.as_ref().map_or_else(|| "no key".to_owned(), |key| format!("the key `{}`", key.name));
    let tsig = answer.signature().map(|record| &record.data);
    if let Some(error) = tsig.and_then(|tsig| tsig.error.as_ref()) {
        return Some(match error {
            TsigError::BadKey => format!(
                "`{server}` does not know {key} (BADKEY): its `name` and `algorithm` under `zones:` must be as in the server's key file"
            ),
            TsigError::BadSig => format!(
                "`{server}` knows {key} with another secret (BADSIG): the one that `secret` names must be the server's"
            ),
            TsigError::BadTime => {
                let theirs = tsig.map_or(&[][..], |tsig| tsig.other.as_slice());
                let apart = seconds(theirs).map(|theirs| theirs.abs_diff(now));
                let apart = apart.map_or_else(
                    || format!("more than {}", count("second", usize::from(FUDGE))),
                    |apart| count("second", usize::try_from(apart).unwrap_or(usize::MAX)),
                );
                format!(
                    "the clocks of this machine and of `{server}` are {apart} apart (BADTIME): set them right, at most {FUDGE} are allowed"
                )
            }
            other => format!("`{server}` does not take what {key} signed ({other:?})"),
        });
    }
    Some(match answer.metadata.response_code {
        ResponseCode::NoError => return None,
        ResponseCode::Refused => format!(
            "`{server}` refuses updates of the zone `{zone}` with {key} (REFUSED): its `allow-update` or `update-policy` must allow them, and an MX must name a host that has an address"
        ),
        ResponseCode::NotAuth => format!(
            "`{server}` is not the one that takes updates of the zone `{zone}` (NOTAUTH): `server` of the zone must name its primary"
        ),
        ResponseCode::NotZone => format!("the name is not in the zone `{zone}`, says `{server}` (NOTZONE)"),
        ResponseCode::NotImp => format!("`{server}` takes no updates at all (NOTIMP)"),
        ResponseCode::ServFail => format!(
            "`{server}` could not carry the update out (SERVFAIL): its log tells why, such as a zone file that it may not write"
        ),
        other => format!("`{server}` does not take the update ({})", word(other)),
    })
}

/// A time in 48 bits, as a server tells its own.
fn seconds(bytes: &[u8]) -> Option<u64> {
    (bytes.len() == 6).then(|| bytes.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)))
}
