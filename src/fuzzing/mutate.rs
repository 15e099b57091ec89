//! Changes samples a little, the same way for the same seed: what a fuzzer does, without its eyes.

/// Makes inputs out of samples. The numbers are those of `splitmix64`.
pub(super) struct Mutator {
    state: u64,
    samples: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

/// No input is longer, in bytes.
const MOST: usize = 64 * 1024;

impl Mutator {
    /// With samples to begin from; they lend their words to each other.
    pub(super) fn new(seed: u64, samples: Vec<Vec<u8>>) -> Self {
        let mut words: Vec<Vec<u8>> =
            samples.iter().flat_map(|s| parts(s)).filter(|w| (2..40).contains(&w.len())).collect();
        words.extend(ODD.iter().map(|w| w.as_bytes().to_vec()));
        words.sort();
        words.dedup();
        Self { state: seed, samples, words }
    }

    /// The next input.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.sample();
        for _ in 0..=self.below(6) {
            self.change(&mut bytes);
        }
        bytes.truncate(MOST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(12)).min(bytes.len());
        match self.below(12) {
            0 if at < bytes.len() => bytes[at] = self.byte(),
            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 => bytes.insert(at, self.byte()),
            3 => drop(bytes.drain(at.min(end)..end)),
            4 => {
                let word = self.word();
                bytes.splice(at..at, word);
            }
            5 => {
                // a word in another's place
                let word = self.word();
                let start = bytes[..at].iter().rposition(|b| !is_word(*b)).map_or(0, |p| p + 1);
                let stop = bytes[at..].iter().position(|b| !is_word(*b)).map_or(bytes.len(), |p| at + p);
                bytes.splice(start..stop, word);
            }
            6 => {
                // the same once more, or often
                let part = bytes[at.min(end)..end].to_vec();
                let times = [1, 2, 50, 3000][self.below(4)];
                let times = times.min(MOST / part.len().max(1));
                let many: Vec<u8> = part.iter().copied().cycle().take(part.len() * times).collect();
                bytes.splice(end..end, many);
            }
            7 => {
                // a line away, or twice
                let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
                let which = at % lines.len().max(1);
                let twice = end.is_multiple_of(2);
                let keep = |n: usize| {
                    if n != which {
                        1
                    } else if twice {
                        2
                    } else {
                        0
                    }
                };
                *bytes = lines.iter().enumerate().flat_map(|(n, l)| l.repeat(keep(n))).collect();
            }
            8 => {
                // the head of one, the tail of another
                let other = self.sample();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            9 => bytes.truncate(at),
            10 => {
                // a line deeper, or less deep
                let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
                if end.is_multiple_of(2) {
                    bytes.splice(start..start, b"  ".iter().copied());
                } else if bytes[start..].starts_with(b"  ") {
                    bytes.drain(start..start + 2);
                }
            }
            _ => {
                // a number becomes an odd one
                let odd = [
                    "0",
                    "-1",
                    "65536",
                    "18446744073709551615",
                    "9223372036854775808",
                    "1e999",
                    "00000000000000000001",
                ];
                let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|p| at + p) else { return };
                let stop = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |p| start + p);
                bytes.splice(start..stop, odd[self.below(odd.len())].bytes());
            }
        }
    }

    fn sample(&mut self) -> Vec<u8> {
        let which = self.below(self.samples.len());
        self.samples.get(which).cloned().unwrap_or_default()
    }
    fn word(&mut self) -> Vec<u8> {
        let which = self.below(self.words.len());
        self.words[which].clone()
    }
    fn byte(&mut self) -> u8 {
        const LIKED: &[u8] = b" \n\t:-{}[]()\"'#&*!|>%@`,=0719azAZ_.\\/\r\0\x7f\xff\xc3";
        if self.below(3) == 0 { self.draw().to_le_bytes()[0] } else { LIKED[self.below(LIKED.len())] }
    }
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.draw() % (most.max(1) as u64)).unwrap_or(0)
    }
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) || byte >= 0x80
}

fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|b| !is_word(*b)).chain(bytes.split(|b| *b == b'\n')).map(<[u8]>::to_vec).collect()
}

/// Words that have a meaning somewhere.
const ODD: &[&str] = &[
    "{{ ",
    " }}",
    "{% for i in range(99999) %}",
    "{% endfor %}",
    "{{ params.evil }}",
    "{{ secret('tsig') }}",
    "<<: ",
    "&a ",
    "*a",
    "!!str ",
    "---\n",
    "...\n",
    "[1-9999]",
    "[0-00000000001]",
    "\u{feff}",
    "\u{e000}tsig\u{e001}",
    "\u{202e}",
    "\u{85}",
    "\u{2028}",
    "null",
    "true",
    "yes",
    "~",
    "0x10",
    "0o17",
    "1_000",
    ".inf",
    "\r\n",
    "\\u0000",
    "\\ud800",
    "привет",
    "ﬀ",
    "e\u{301}",
    "🦀",
    "|-\n",
    ">+2\n",
    "1s",
    "99999999999999999999h",
    "5%",
    "101%",
    "all",
    "for_each",
    "rolling",
    "parallel",
    "no_return",
    "retry",
    "require",
    "when",
];
