//! The one form of a bundle's bytes: a plain ustar archive in which nothing is left to chance, neither times nor owners nor
//! what fills a block. So a reader knows each byte that is not a part's own, and any other is an edit. `tar tf` lists it.

use crate::base::{Hash, hash::Hasher};
use std::io::{self, Read, Write};

/// The archive's unit: headers and parts fill whole blocks.
const BLOCK: usize = 512;
/// More does not fit the eleven octal digits of a header.
pub(super) const MOST: u64 = 0o77_777_777_777;

/// The header of a plain file: readable and writable by its owner alone, of no time.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, b"0000600\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    put(&mut block, 136, b"00000000000\0");
    put(&mut block, 148, b"        ");
    put(&mut block, 156, b"0");
    put(&mut block, 257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// So many zeros fill the last block of a part.
fn filling(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// Writes an archive, and knows the hash of what it has written.
pub(super) struct Archive<W> {
    to: W,
    all: Hasher,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, all: Hasher::new() }
    }
    /// One part of exactly `size` bytes, which `fill` writes.
    pub(super) fn part<E: From<io::Error>>(
        &mut self,
        name: &str,
        size: u64,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        if size > MOST {
            return Err(
                io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} is larger than a bundle holds")).into()
            );
        }
        self.write_all(&header(name, size))?;
        fill(self)?;
        let zeros = [0; BLOCK];
        self.write_all(zeros.get(..filling(size)).unwrap_or_default())?;
        Ok(())
    }
    /// The hash of all that was written so far.
    pub(super) fn hash(&self) -> Hash {
        self.all.hash()
    }
    /// The end of the archive.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Archive<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.all.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Reads what should be an archive.
pub(super) struct Unpacked<R> {
    from: R,
    all: Hasher,
}

/// What a header says.
pub(super) struct Member {
    /// The name, as far as it is text.
    pub(super) name: String,
    /// The size.
    pub(super) size: u64,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, all: Hasher::new() }
    }
    /// The hash of all that was read so far.
    pub(super) fn hash(&self) -> Hash {
        self.all.hash()
    }
    /// The next header, if it is one that [`Archive`] writes; none: it is something else.
    pub(super) fn member(&mut self) -> io::Result<Option<Member>> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        let text = |from: usize, to: usize| {
            let field = block.get(from..to).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
        };
        let name = text(0, 100);
        let Ok(size) = u64::from_str_radix(&text(124, 136), 8) else { return Ok(None) };
        Ok((size <= MOST && header(&name, size) == block).then_some(Member { name, size }))
    }
    /// Whether the next header is this one.
    pub(super) fn is_next(&mut self, name: &str, size: u64) -> io::Result<bool> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block == header(name, size))
    }
    /// The bytes of a part; whoever takes fewer leaves the rest to [`after`](Self::after).
    pub(super) fn part(&mut self, size: u64) -> io::Take<&mut Self> {
        self.take(size)
    }
    /// Whether what fills the last block of a part is as it should be.
    pub(super) fn after(&mut self, size: u64) -> io::Result<bool> {
        let mut zeros = [0; BLOCK];
        let Some(zeros) = zeros.get_mut(..filling(size)) else { return Ok(true) };
        self.read_exact(zeros)?;
        Ok(zeros.iter().all(|byte| *byte == 0))
    }
    /// Whether the archive ends here as it should, and nothing follows it.
    pub(super) fn ends(&mut self) -> io::Result<bool> {
        let mut rest = Vec::new();
        self.take(3 * BLOCK as u64).read_to_end(&mut rest)?;
        Ok(rest == [0; 2 * BLOCK])
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.all.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
