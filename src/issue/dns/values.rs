//! Names and values of records: read from what people write and from what servers send, into one form, so that they can
//! be compared as texts.

use crate::base::RecordType;
use hickory_proto::rr::{
    Name, RData,
    rdata::{A, AAAA, CNAME, MX, PTR, SRV, TXT},
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// So many bytes have room in one string of a TXT record.
const STRING: usize = 255;

/// A name in full, in ASCII, in small letters and without a dot at its end. What is written without the zone lies below
/// it; `@` is the zone itself.
///
/// # Errors
/// What is wrong with it, in words.
pub fn name_in(zone: &str, written: &str) -> Result<String, String> {
    let zone = plain(zone)?;
    let written = written.trim();
    if written == "@" {
        return Ok(zone);
    }
    let full = plain(written)?;
    if lies_in(&full, &zone) {
        return Ok(full);
    }
    if written.ends_with('.') {
        return Err(format!("`{written}` is not a name of the zone `{zone}`"));
    }
    plain(&format!("{full}.{zone}"))
}

/// Whether a name is the zone's own or lies below it; both as [`name_in`] gives them.
pub fn lies_in(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|head| head.ends_with('.'))
}

/// A value in the one form of its type: addresses as the system writes them, names in full without a dot at their end,
/// texts as they are, `10 mail.example.org`, `10 5 443 node.example.org`.
///
/// # Errors
/// What was expected, in words.
pub fn value(kind: RecordType, written: &str) -> Result<String, String> {
    data(kind, written).and_then(|data| shown(&data).ok_or_else(|| format!("`{written}` is no {kind} record")))
}

/// As it travels.
pub(super) fn data(kind: RecordType, written: &str) -> Result<RData, String> {
    let name = |text: &str| parsed(text).map_err(|why| format!("a name expected, got `{text}`: {why}"));
    let numbers = |what: &str| format!("`{what}` expected, got `{written}`");
    let number = |word: Option<&str>, what: &str| -> Result<u16, String> {
        word.and_then(|word| word.parse().ok()).ok_or_else(|| numbers(what))
    };
    Ok(match kind {
        RecordType::A => {
            let address: Ipv4Addr =
                written.trim().parse().map_err(|_| format!("an IPv4 address expected, got `{written}`"))?;
            RData::A(A(address))
        }
        RecordType::Aaaa => {
            let address: Ipv6Addr =
                written.trim().parse().map_err(|_| format!("an IPv6 address expected, got `{written}`"))?;
            RData::AAAA(AAAA(address))
        }
        RecordType::Cname => RData::CNAME(CNAME(name(written.trim())?)),
        RecordType::Ptr => RData::PTR(PTR(name(written.trim())?)),
        RecordType::Txt if written.is_empty() => return Err("a text expected, got nothing".to_owned()),
        RecordType::Txt if written.len() > 4000 => {
            return Err(format!("a text of at most 4000 bytes expected, got {}", written.len()));
        }
        RecordType::Txt => RData::TXT(TXT::from_bytes(written.as_bytes().chunks(STRING).collect())),
        RecordType::Mx => {
            const FORM: &str = "PREFERENCE NAME";
            let mut words = written.split_whitespace();
            let preference = number(words.next(), FORM)?;
            let exchange = words.next().filter(|_| words.next().is_none()).ok_or_else(|| numbers(FORM))?;
            RData::MX(MX::new(preference, name(exchange)?))
        }
        RecordType::Srv => {
            const FORM: &str = "PRIORITY WEIGHT PORT NAME";
            let mut words = written.split_whitespace();
            let (priority, weight) = (number(words.next(), FORM)?, number(words.next(), FORM)?);
            let port = number(words.next(), FORM)?;
            let target = words.next().filter(|_| words.next().is_none()).ok_or_else(|| numbers(FORM))?;
            RData::SRV(SRV::new(priority, weight, port, name(target)?))
        }
    })
}

/// The value that a server sent; none for other kinds.
pub(super) fn shown(data: &RData) -> Option<String> {
    let name = |name: &Name| bare(&name.to_lowercase().to_ascii());
    Some(match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::CNAME(target) => name(&target.0),
        RData::PTR(target) => name(&target.0),
        RData::TXT(text) => String::from_utf8_lossy(&text.txt_data.concat()).into_owned(),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, name(&srv.target)),
        _ => return None,
    })
}

/// A name as the library has it, in full.
pub(super) fn parsed(text: &str) -> Result<Name, String> {
    let mut name = Name::from_utf8(text).map_err(|e| e.to_string())?;
    if name.is_root() || text.trim_end_matches('.').is_empty() {
        return Err("it is empty".to_owned());
    }
    name.set_fqdn(true);
    Ok(name)
}

fn plain(text: &str) -> Result<String, String> {
    let name = parsed(text).map_err(|why| format!("`{text}` is no name for the DNS: {why}"))?;
    Ok(bare(&name.to_lowercase().to_ascii()))
}

fn bare(text: &str) -> String {
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_below_its_zone_unless_it_is_written_in_full() {
        let name = |written: &str| name_in("lab.test", written);
        assert_eq!(name("www").unwrap(), "www.lab.test");
        assert_eq!(name("WWW.Lab.Test").unwrap(), "www.lab.test");
        assert_eq!(name("www.lab.test.").unwrap(), "www.lab.test");
        assert_eq!(name("@").unwrap(), "lab.test");
        assert_eq!(name("_acme-challenge.a").unwrap(), "_acme-challenge.a.lab.test");
        assert_eq!(name("*.a").unwrap(), "*.a.lab.test");
        assert_eq!(name("почта").unwrap(), "xn--80a1acny.lab.test");
        assert_eq!(name("notlab.test").unwrap(), "notlab.test.lab.test");
        assert_eq!(name("www.example.org.").unwrap_err(), "`www.example.org.` is not a name of the zone `lab.test`");
        assert!(name("").is_err() && name("..").is_err() && name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn a_value_has_one_form_and_a_wrong_one_is_told_what_was_expected() {
        let of = |kind, text: &str| value(kind, text);
        assert_eq!(of(RecordType::A, " 10.0.0.1 ").unwrap(), "10.0.0.1");
        assert_eq!(of(RecordType::Aaaa, "2001:DB8:0:0::1").unwrap(), "2001:db8::1");
        assert_eq!(of(RecordType::Cname, "LB.lab.test.").unwrap(), "lb.lab.test");
        assert_eq!(of(RecordType::Mx, "10  Mail.example.org").unwrap(), "10 mail.example.org");
        assert_eq!(of(RecordType::Srv, "0 5 443 a.b").unwrap(), "0 5 443 a.b");
        assert_eq!(of(RecordType::A, "10.0.0").unwrap_err(), "an IPv4 address expected, got `10.0.0`");
        assert_eq!(of(RecordType::Mx, "mail").unwrap_err(), "`PREFERENCE NAME` expected, got `mail`");
        let long = "привет ".repeat(60);
        assert_eq!(of(RecordType::Txt, &long).unwrap(), long);
        assert!(of(RecordType::Txt, "").is_err());
    }
}
