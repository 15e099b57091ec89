//! Files that only look like bundles. What is refused is refused from its first bytes, and in little memory.

use super::{tar::Archive, *};
use crate::journal::outside::Outside;
use std::io::{self, Read};

fn flaws(from: impl Read) -> Vec<String> {
    check(from, &Outside::default()).unwrap().flaws.iter().map(ToString::to_string).collect()
}

/// An archive of these parts, each right in itself.
fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new(Vec::new());
    for (name, bytes) in parts {
        archive.part(name, bytes.len() as u64, |to| to.write_all(bytes)).unwrap();
    }
    archive.end().unwrap()
}

/// A manifest that names these parts.
fn manifest(parts: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let parts = parts
        .iter()
        .map(|(name, bytes, content)| Part { name: (*name).to_owned(), bytes: *bytes, sha256: Hash::of(content) })
        .collect();
    let manifest = Manifest {
        svcops_bundle: VERSION,
        run: RunId::at_millis(7),
        project: "crm".into(),
        made_by: "0.1.0".into(),
        zone: "UTC".into(),
        ticket: None,
        paid: Vec::new(),
        head: 1,
        hash: Hash::of(b""),
        parts,
    };
    serde_json::to_vec(&manifest).unwrap()
}

/// What a manifest must name, with these bytes each.
fn needed(bytes: u64) -> Vec<(&'static str, u64, &'static [u8])> {
    PARTS.iter().filter(|(_, needed)| *needed).map(|(name, _)| (*name, bytes, &b""[..])).collect()
}

/// Counts what is read of something without an end.
struct Endless<'a, R>(R, &'a mut u64);

impl<R: Read> Read for Endless<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        *self.1 += read as u64;
        Ok(read)
    }
}

#[test]
fn what_is_no_bundle_is_refused_at_once() {
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("a text", "не архив ".repeat(200).into_bytes()),
        ("zeros", vec![0; 4096]),
        ("another archive", archive(&[("readme", b"x")])),
        ("a way out", archive(&[("../../etc/passwd", b"x")])),
        ("no JSON", archive(&[(MANIFEST, b"[")])),
        ("JSON in JSON", archive(&[(MANIFEST, "[".repeat(100_000).as_bytes())])),
        ("an empty manifest", archive(&[(MANIFEST, b"{}")])),
        ("parts it has not", archive(&[(MANIFEST, &manifest(&needed(0)))])),
    ] {
        assert!(!flaws(&bytes[..]).is_empty(), "{what}");
    }
    for endless in [io::repeat(0), io::repeat(b'x')] {
        let mut read = 0;
        assert!(!flaws(Endless(endless, &mut read)).is_empty());
        assert!(read < 100_000, "{read} bytes were read");
    }
}

#[test]
fn a_bundle_with_other_parts_than_a_bundle_has_is_refused_before_they_are_read() {
    let mut strange = needed(0);
    strange.push(("../../home/x/.ssh/authorized_keys", 5, b"evil\n"));
    let mut twice = needed(0);
    twice.push((LEDGER, 0, b""));
    let many: Vec<_> = std::iter::repeat_n(("x", 0, &b""[..]), 100_000).collect();
    let turned: Vec<_> = needed(0).into_iter().rev().collect();
    for (parts, says) in [
        (strange, "`../../home/x/.ssh/authorized_keys` is no part of a bundle"),
        (twice, "`ledger.jsonl` is no part of a bundle, or out of its place"),
        (many, "it has no `ledger.jsonl`"),
        (turned, "it has no `ledger.jsonl`"),
        (vec![], "it has no `ledger.jsonl`"),
    ] {
        let found = flaws(&archive(&[(MANIFEST, &manifest(&parts))])[..]);
        assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
    }
}

#[test]
fn a_size_that_is_not_there_is_never_believed() {
    // a manifest of eight gigabytes, parts of as much
    let mut huge = archive(&[(MANIFEST, b"{}")]);
    huge[124..135].copy_from_slice(b"77777777777");
    assert!(!flaws(&huge[..]).is_empty());
    let text = manifest(&needed(tar::MOST));
    let found = flaws(&archive(&[(MANIFEST, &text), (LEDGER, b"")])[..]);
    assert!(found.iter().any(|flaw| flaw.contains("ledger.jsonl")), "{found:?}");
}

#[test]
fn a_symbolic_link_a_folder_and_a_file_of_another_time_are_edits() {
    let text = manifest(&needed(0));
    let parts: Vec<(&str, &[u8])> =
        std::iter::once((MANIFEST, &text[..])).chain(needed(0).iter().map(|(name, ..)| (*name, &b""[..]))).collect();
    let whole = archive(&parts);
    let ledger = whole.windows(LEDGER.len()).rposition(|bytes| bytes == LEDGER.as_bytes()).unwrap();
    // type, link, time: each with a right sum of the header
    for (at, byte) in [(156, b'2'), (156, b'5'), (157, b'x'), (146, b'7')] {
        let mut edited = whole.clone();
        edited[ledger + at] = byte;
        edited[ledger + 148..ledger + 156].fill(b' ');
        let sum: u32 = edited[ledger..ledger + 512].iter().map(|b| u32::from(*b)).sum();
        edited[ledger + 148..ledger + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let found = flaws(&edited[..]);
        assert!(found.contains(&"what stands around `ledger.jsonl` was changed after the bundle was made".to_owned()));
    }
}

#[test]
fn a_line_without_an_end_and_lines_without_number_are_read_in_little_memory() {
    for filler in [&b"x"[..], b"{}\n"] {
        let long: Vec<u8> = filler.iter().copied().cycle().take(40 << 20).collect();
        let mut parts = needed(0);
        parts[0] = (LEDGER, long.len() as u64, &[]);
        let text = manifest(&parts);
        let found = flaws(&archive(&[(MANIFEST, &text), (LEDGER, &long)])[..]);
        assert!(found.len() < 60 && found.iter().any(|flaw| flaw.contains("`ledger.jsonl` was changed")), "{found:?}");
    }
}
