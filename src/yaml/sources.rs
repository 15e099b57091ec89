//! Where files come from: a folder, or memory in tests. The rooms above read files through this and nothing else.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Files of a project, by their paths relative to its folder.
pub trait Sources {
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    fn read(&self, path: &str) -> Result<String, String>;
    /// The files that a pattern names, sorted; `*` stands for any part of a name within one folder.
    fn matching(&self, pattern: &str) -> Vec<String>;
}

/// No file that people write for svcops to read (`svcops.yaml`, a runbook, a template) is larger, in bytes.
pub const MOST: u64 = 4 << 20;

/// The text of such a file.
///
/// # Errors
/// It cannot be read, is larger than [`MOST`], or is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if bytes.len() as u64 > MOST {
        return Err(wrong(format!("it is larger than {} MiB", MOST >> 20)));
    }
    String::from_utf8(bytes)
        .map_err(|e| wrong(format!("it is not UTF-8: byte {} is wrong", e.utf8_error().valid_up_to())))
}

/// A folder on this machine.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Sources for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        read_text(&self.0.join(path)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => e.to_string(),
        })
    }
    fn matching(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|p| !p.is_empty() && *p != ".") {
            found = found.iter().flat_map(|below| entries(&self.0, below, part)).collect();
        }
        found.retain(|path| self.0.join(path).is_file());
        found.sort();
        found
    }
}

fn entries(root: &Path, below: &str, part: &str) -> Vec<String> {
    let join = |name: &str| if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
    if !part.contains('*') {
        return vec![join(part)];
    }
    let Ok(entries) = fs::read_dir(root.join(below)) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.') && fits(part, name)).map(|name| join(&name)).collect()
}

impl Sources for BTreeMap<String, String> {
    fn read(&self, path: &str) -> Result<String, String> {
        self.get(path).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
    fn matching(&self, pattern: &str) -> Vec<String> {
        let parts: Vec<&str> = pattern.split('/').collect();
        let fit = |path: &str| {
            let names: Vec<&str> = path.split('/').collect();
            names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| fits(part, name))
        };
        self.keys().filter(|path| fit(path)).cloned().collect()
    }
}

/// Whether a name fits a pattern with stars.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| rest.get(i..).is_some_and(|r| fits(tail, r)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_larger_than_anybody_writes_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        fs::File::create(dir.path().join("big.yaml")).unwrap().set_len(200 << 20).unwrap();
        assert_eq!(folder.read("big.yaml").unwrap_err(), "it is larger than 4 MiB");
        fs::write(dir.path().join("most.yaml"), " ".repeat(4 << 20)).unwrap();
        assert_eq!(folder.read("most.yaml").unwrap().len(), 4 << 20);
        fs::write(dir.path().join("bytes.yaml"), b"a: \xff").unwrap();
        assert_eq!(folder.read("bytes.yaml").unwrap_err(), "it is not UTF-8: byte 3 is wrong");
        assert_eq!(folder.read("none.yaml").unwrap_err(), "there is no such file");
    }

    #[test]
    fn a_star_stays_within_its_folder() {
        let files: BTreeMap<_, _> =
            ["inventory/a.yaml", "inventory/b.yml", "inventory/x/c.yaml"].map(|f| (f.to_owned(), String::new())).into();
        assert_eq!(files.matching("inventory/*.yaml"), ["inventory/a.yaml"]);
        assert!(fits("a*c*", "abc") && !fits("a*c", "abcd") && fits("*", "что"));
    }
}
