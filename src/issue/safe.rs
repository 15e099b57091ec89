//! Files that are there whole or not at all, and private from their first byte where they must be.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// For what only its owner may read.
pub(crate) const PRIVATE: u32 = 0o600;
/// For what everybody may know.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file beside its place, and renames it when its bytes are on the disk. Whoever writes the same file at the same
/// time must hold a lock: what lies beside it is taken for what a killed process left.
///
/// # Errors
/// It cannot be written; what stood there stands.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path)?;
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if let Err(why) = written {
        // the reason is what counts; what cannot be taken away either is taken away by the next who writes
        drop(fs::remove_file(&beside));
        return Err(why);
    }
    folder(path).map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes a folder that only its owner may enter, with those above it; one that is there stays as it is.
///
/// # Errors
/// It cannot be made.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    Ok(path.with_file_name(beside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_kill_left_beside_a_file_is_replaced_and_its_mode_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("root.key");
        fs::write(home.path().join(".root.key.new"), "half").unwrap();
        write(&path, b"whole", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
