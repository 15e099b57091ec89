//! Who gives certificates: an own CA, servers of ACME; and how a name is proven: name servers that take updates. Acts from
//! here; settings and secrets are handed to it.

pub mod acme;
pub mod ca;
pub mod dns;
mod safe;

/// Bytes from base64 in either alphabet, with or without filling.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len()), 0u32, 0u32);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    (bits < 6).then_some(bytes)
}

/// Bytes in base64 for URLs, without filling.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |six: u32| DIGITS.get(six as usize & 63).copied().map_or('-', char::from);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let three = part.iter().fold(0u32, |held, byte| held << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        text.extend((0..=part.len()).map(|place| digit(three >> (18 - 6 * place))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, base64url};

    #[test]
    fn base64_is_read_in_either_alphabet() {
        assert_eq!(base64("aGk/").as_deref(), Some(&b"hi?"[..]));
        assert_eq!(base64("-_-_").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
        assert_eq!(base64("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(base64("YWI").as_deref(), Some(&b"ab"[..]));
        for length in 0..70u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            assert_eq!(base64(&base64url(&bytes)).as_ref(), Some(&bytes));
        }
        assert_eq!((base64("Y"), base64("a b")), (None, None));
    }
}
