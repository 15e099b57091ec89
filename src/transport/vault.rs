//! Where secrets and contents come from. A secret is read when it is first needed, the redactor hears of it before
//! anybody else, and no error text holds one.

use crate::{
    base::{Content, Hash, Redactor, Secret, Source, Text},
    inventory::SecretSource,
};
use aws_lc_rs::digest;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};
use zeroize::Zeroizing;

/// Gives secrets by name and contents by hash.
pub struct Vault {
    sources: BTreeMap<String, SecretSource>,
    root: PathBuf,
    redactor: Redactor,
    known: Mutex<BTreeMap<String, Secret>>,
    /// What is on its way from one host to another.
    passing: Mutex<BTreeMap<Hash, Zeroizing<Vec<u8>>>>,
}

/// Why a secret or a content cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// `svcops.yaml` declares no such secret.
    #[error("secret `{0}` is not declared")]
    Unknown(String),
    /// Its environment variable is not set.
    #[error("secret `{name}`: the environment variable `{variable}` is not set")]
    Unset {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// It is a credential, and systemd passed none.
    #[error("secret `{0}`: `$CREDENTIALS_DIRECTORY` is not set, so systemd passed no credential")]
    NoCredentials(String),
    /// Its file cannot be read.
    #[error("secret `{name}`: could not read `{}`", path.display())]
    Unread {
        /// The secret.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its command did not end well.
    #[error("secret `{name}`: `{program}` {why}")]
    Command {
        /// The secret.
        name: String,
        /// The program.
        program: String,
        /// How it ended.
        why: String,
    },
    /// It is no UTF-8.
    #[error("secret `{0}` is not UTF-8 text")]
    NotText(String),
    /// A file cannot be read.
    #[error("could not read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not the one that was planned with.
    #[error("`{path}` has changed since it was planned with: {found} was found, {wanted} expected")]
    Changed {
        /// The file.
        path: String,
        /// Its hash now, short.
        found: String,
        /// The hash planned with, short.
        wanted: String,
    },
    /// A secret in a text is another one than when it was planned.
    #[error("a text has changed since it was planned: a secret in it is another one by now")]
    TextChanged,
    /// Its bytes are on the host only.
    #[error("the content {0} is in the undo folder of its host, not here")]
    NotHere(String),
    /// Its bytes were not fetched from their host.
    #[error("the content {hash} is `{path}` on `{host}`, and was not fetched from there")]
    NotFetched {
        /// The content, short.
        hash: String,
        /// The file.
        path: String,
        /// Its host.
        host: String,
    },
}

/// Bytes on their way to a host.
#[derive(Debug)]
pub enum Bytes {
    /// From a file, whose hash was right when it was opened.
    File(File),
    /// From memory.
    Held(Zeroizing<Vec<u8>>),
}

impl Vault {
    /// Reads nothing yet. Relative files are looked for below `root`, the project's folder.
    pub fn new(sources: BTreeMap<String, SecretSource>, root: PathBuf, redactor: Redactor) -> Self {
        Self { sources, root, redactor, known: Mutex::new(BTreeMap::new()), passing: Mutex::default() }
    }

    /// The value of a secret; read once.
    ///
    /// # Errors
    /// It is not declared or cannot be had.
    pub fn secret(&self, name: &str) -> Result<Secret, VaultError> {
        // held while it is read: a command that asks a person must not ask twice
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(secret) = known.get(name) {
            return Ok(secret.clone());
        }
        let source = self.sources.get(name).ok_or_else(|| VaultError::Unknown(name.to_owned()))?;
        let bytes = self.read(name, source)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::NotText(name.to_owned()))?;
        let text = match source {
            SecretSource::Env(_) => text,
            _ => text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t)),
        };
        let secret = Secret::new(text.to_owned());
        self.redactor.hide(&secret);
        known.insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    /// A text with the values of the secrets that it names.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn fill(&self, text: &Text) -> Result<Secret, VaultError> {
        text.fill(|name| self.secret(name))
    }

    /// The content of a file, streamed; the path is made absolute.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, path: &str) -> Result<Content, VaultError> {
        let path = self.path(path);
        let (_, hash, size) = open(&path)?;
        Ok(Content { hash, size, from: Source::File(path.to_string_lossy().into_owned()) })
    }

    /// The content of a text.
    ///
    /// # Errors
    /// A secret in it cannot be had.
    pub fn text(&self, text: &Text) -> Result<Content, VaultError> {
        let filled = self.fill(text)?;
        let bytes = filled.reveal().as_bytes();
        Ok(Content { hash: Hash::of(bytes), size: bytes.len() as u64, from: Source::Text(text.clone()) })
    }

    /// The bytes of a content, to be streamed.
    ///
    /// # Errors
    /// They cannot be had, are others by now, or are on the host only.
    pub fn open(&self, content: &Content) -> Result<Bytes, VaultError> {
        match &content.from {
            Source::File(path) => {
                let (file, hash, _) = open(&self.path(path))?;
                if hash != content.hash {
                    let (found, wanted) = (hash.short().to_owned(), content.hash.short().to_owned());
                    return Err(VaultError::Changed { path: path.clone(), found, wanted });
                }
                Ok(Bytes::File(file))
            }
            Source::Text(text) => {
                let filled = self.fill(text)?;
                let bytes = Zeroizing::new(filled.reveal().as_bytes().to_vec());
                if Hash::of(&bytes) != content.hash {
                    return Err(VaultError::TextChanged);
                }
                Ok(Bytes::Held(bytes))
            }
            Source::Undo => Err(VaultError::NotHere(content.hash.short().to_owned())),
            Source::Host { at, path } => {
                let passing = self.passing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let missing = || VaultError::NotFetched {
                    hash: content.hash.short().to_owned(),
                    path: path.clone(),
                    host: at.to_string(),
                };
                passing.get(&content.hash).map(|bytes| Bytes::Held(bytes.clone())).ok_or_else(missing)
            }
        }
    }

    /// The bytes of a content, all at once.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn bytes(&self, content: &Content) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        match self.open(content)? {
            Bytes::Held(bytes) => Ok(bytes),
            Bytes::File(mut file) => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(content.size).unwrap_or(0)));
                file.read_to_end(&mut bytes).map_err(|source| VaultError::File {
                    path: match &content.from {
                        Source::File(path) => self.path(path),
                        _ => PathBuf::new(),
                    },
                    source,
                })?;
                Ok(bytes)
            }
        }
    }

    /// Keeps what was fetched from one host until it was sent to another. The redactor hears of every line of a key.
    pub(crate) fn pass(&self, bytes: Zeroizing<Vec<u8>>) {
        let secret = String::from_utf8_lossy(&bytes);
        for line in secret.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----")) {
            self.redactor.hide(&Secret::new(line.to_owned()));
        }
        self.passing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(Hash::of(&bytes), bytes);
    }
    /// It was sent.
    pub(crate) fn passed(&self, hash: &Hash) {
        self.passing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(hash);
    }

    /// The redactor that hears of every secret.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn read(&self, name: &str, source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let file = |path: PathBuf| {
            std::fs::read(&path).map(Zeroizing::new).map_err(|source| VaultError::Unread {
                name: name.to_owned(),
                path,
                source,
            })
        };
        match source {
            SecretSource::Env(variable) => std::env::var(variable)
                .map(|value| Zeroizing::new(value.into_bytes()))
                .map_err(|_| VaultError::Unset { name: name.to_owned(), variable: variable.clone() }),
            SecretSource::File(path) => file(self.path(path)),
            SecretSource::Credential(credential) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| VaultError::NoCredentials(name.to_owned()))?;
                file(Path::new(&folder).join(credential))
            }
            SecretSource::Command(argv) => self.command(name, argv),
        }
    }

    fn command(&self, name: &str, argv: &[String]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (program, args) = argv.split_first().map_or(("", argv), |(p, a)| (p.as_str(), a));
        let failed = |why: String| VaultError::Command { name: name.to_owned(), program: program.to_owned(), why };
        let out = Command::new(program)
            .args(args)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| failed(format!("could not be run: {e}")))?;
        let bytes = Zeroizing::new(out.stdout);
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = self.redactor.clean(said.lines().next().unwrap_or_default().trim()).0;
            let colon = if said.is_empty() { "" } else { ": " };
            return Err(failed(format!("ended with {}{colon}{said}", out.status)));
        }
        Ok(bytes)
    }

    /// A path as the project means it: below its folder, `~` being the home folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(home(path))
    }
}

/// `~` and `~/…` below the home folder.
pub(crate) fn home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

/// An open file at its beginning, its hash and its size; read through once, 64 KiB at a time.
fn open(path: &Path) -> Result<(File, Hash, u64), VaultError> {
    let read = || {
        let mut file = File::open(path)?;
        let mut sum = digest::Context::new(&digest::SHA256);
        let mut part = Zeroizing::new(vec![0u8; 64 * 1024]);
        let mut size = 0u64;
        loop {
            let n = file.read(&mut part)?;
            if n == 0 {
                break;
            }
            sum.update(part.get(..n).unwrap_or_default());
            size += n as u64;
        }
        file.rewind()?;
        let hash = sum.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Ok((file, Hash(hash), size))
    };
    read().map_err(|source| VaultError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(root: &Path, sources: &[(&str, SecretSource)]) -> Vault {
        let sources = sources.iter().map(|(n, s)| ((*n).to_owned(), s.clone())).collect();
        Vault::new(sources, root.to_owned(), Redactor::default())
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_last_newline_and_is_hidden_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "correct horse\n\n").unwrap();
        let vault = vault(dir.path(), &[("pw", SecretSource::File("pw".into()))]);
        assert_eq!(vault.redactor().clean("correct horse").0, "correct horse");
        assert_eq!(vault.secret("pw").unwrap().reveal(), "correct horse\n");
        assert_eq!(vault.redactor().clean("my correct horse").0, "my ***");
    }

    #[test]
    fn a_command_gives_a_secret_once_and_its_failure_says_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let sh = |text: &str| SecretSource::Command(vec!["sh".into(), "-c".into(), text.into()]);
        let vault = vault(
            dir.path(),
            &[("good", sh("echo x >>count; echo s3cret")), ("bad", sh("echo out; echo no entry >&2; exit 3"))],
        );
        assert_eq!(vault.secret("good").unwrap().reveal(), "s3cret");
        assert_eq!(vault.secret("good").unwrap().reveal(), "s3cret");
        assert_eq!(std::fs::read_to_string(dir.path().join("count")).unwrap(), "x\n");
        let error = vault.secret("bad").unwrap_err().to_string();
        assert_eq!(error, "secret `bad`: `sh` ended with exit status: 3: no entry");
        assert!(matches!(vault.secret("none"), Err(VaultError::Unknown(_))));
    }

    #[test]
    fn a_file_that_changed_since_it_was_planned_with_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "one").unwrap();
        let vault = vault(dir.path(), &[]);
        let content = vault.file("f").unwrap();
        assert_eq!((content.size, &content.hash), (3, &Hash::of(b"one")));
        assert_eq!(vault.bytes(&content).unwrap().as_slice(), b"one");
        std::fs::write(dir.path().join("f"), "two").unwrap();
        assert!(matches!(vault.bytes(&content), Err(VaultError::Changed { .. })));
    }

    #[test]
    fn a_text_is_hashed_with_its_secrets_and_names_them_still() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "geheim").unwrap();
        let vault = vault(dir.path(), &[("pw", SecretSource::File("pw".into()))]);
        let text = Text(format!("password={}", Text::mark("pw")));
        let content = vault.text(&text).unwrap();
        assert_eq!(content.hash, Hash::of(b"password=geheim"));
        assert_eq!(content.from, Source::Text(text));
        assert_eq!(vault.bytes(&content).unwrap().as_slice(), b"password=geheim");
    }
}
