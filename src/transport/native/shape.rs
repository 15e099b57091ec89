//! Which hosts ssh_config treats alike, so that `ssh -G` need not be asked about each.
//!
//! Nothing is understood here but which `Host` blocks there are. Where a file holds anything else by which two hosts could
//! differ (`Match`, tokens, variables, another `HostName`), each is asked about.

use super::{known::like, settings::MEANINGLESS};
use crate::transport::vault::home;
use std::path::{Path, PathBuf};

/// What tells hosts apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Anything: each is asked about.
    Each,
    /// These blocks alone.
    Blocks {
        /// The patterns of each `Host`.
        hosts: Vec<Vec<String>>,
        /// `HostName` stands somewhere: only hosts with an address of their own are alike.
        named: bool,
    },
}

impl Shape {
    /// Reads what there is to read of some files.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let (mut hosts, mut named) = (Vec::new(), false);
        if files.iter().all(|file| take(file, 0, &mut hosts, &mut named).is_some()) {
            return Self::Blocks { hosts, named };
        }
        Self::Each
    }

    /// The same word for hosts that are treated alike; none: it must be asked about by itself.
    pub(super) fn word(&self, host: &str, has_address: bool) -> Option<String> {
        let Self::Blocks { hosts, named } = self else { return None };
        if (*named && !has_address) || host.chars().any(char::is_uppercase) {
            return None;
        }
        let holds = |patterns: &Vec<String>| {
            let not = |pattern: &String| pattern.strip_prefix('!').is_some_and(|pattern| like(pattern, host));
            !patterns.iter().any(not) && patterns.iter().any(|pattern| like(pattern, host))
        };
        Some(hosts.iter().map(|patterns| if holds(patterns) { '1' } else { '0' }).collect())
    }
}

/// None: hosts may differ by something else.
fn take(file: &Path, depth: usize, hosts: &mut Vec<Vec<String>>, named: &mut bool) -> Option<()> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some(()),
        Err(_) => return None,
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end)?;
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
        let patterns = || rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match word.to_ascii_lowercase().as_str() {
            "host" if !rest.contains(['"', '\'', '#']) => hosts.push(patterns()),
            "match" if rest.eq_ignore_ascii_case("all") => {}
            "include" if depth < 16 => {
                for path in patterns() {
                    for file in included(&path)? {
                        take(&file, depth + 1, hosts, named)?;
                    }
                }
            }
            // where two hosts differ by it, their addresses are what counts
            "hostname" => *named = true,
            // ssh tells these with their tokens, which are each host's own afterwards
            "identityfile" | "certificatefile" if !rest.contains('$') => {}
            "host" | "match" | "include" | "identityfile" | "certificatefile" => return None,
            word if word.starts_with("canonical") || word.starts_with("proxy") && word != "proxyjump" => return None,
            word if MEANINGLESS.contains(&word) => {}
            _ if rest.contains(['%', '$']) => return None,
            _ => {}
        }
    }
    Some(())
}

/// The files that an `Include` names; stars in the last part of the path only.
fn included(path: &str) -> Option<Vec<PathBuf>> {
    let path = home(path);
    let (folder, last) = (path.parent()?.to_str()?, path.file_name()?.to_str()?);
    let odd = |c: char| "*?[]{}\"'%$\\#".contains(c);
    if !path.is_absolute() || folder.contains(odd) || last.replace(['*', '?'], "").contains(odd) {
        return None;
    }
    if !last.contains(['*', '?']) {
        return Some(vec![path]);
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Some(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.ok()?.file_name();
        if like(last, name.to_str()?) {
            files.push(Path::new(folder).join(name));
        }
    }
    files.sort();
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(dir.path().join("a.conf"), "Host inner\n  User x\n").unwrap();
        std::fs::write(&file, text.replace("DIR", &dir.path().to_string_lossy())).unwrap();
        Shape::of(&[file, dir.path().join("none")])
    }

    #[test]
    fn hosts_of_the_same_blocks_are_alike() {
        let shape = shape(
            "# text\nUser ops\nHost web* !web9\n  Port=2222\n  IdentityFile ~/.ssh/%h\n  ControlPath ~/%C\nMatch all\n\
             Include DIR/*.conf\nHost *\n  SendEnv LANG\n",
        );
        let word = |host: &str| shape.word(host, false);
        assert_eq!(word("web1"), word("web2"));
        assert_eq!(word("web9"), word("db1"));
        assert_ne!(word("web1"), word("web9"));
        assert_ne!(word("inner"), word("db1"));
        assert_eq!(word("Web1"), None);
    }

    #[test]
    fn a_file_by_which_hosts_could_differ_otherwise_makes_none_alike() {
        for text in [
            "Match user x",
            "Match exec true",
            "Host \"a b\"",
            "UserKnownHostsFile ~/%h",
            "SetEnv A=${B}",
            "Include relative",
            "Include /etc/*/x",
            "CanonicalizeHostname yes",
            "ProxyCommand nc %h %p",
            "IdentityFile ${KEY}",
            "IdentityAgent $AGENT",
            "  match  host a",
        ] {
            assert_eq!(shape(text), Shape::Each, "{text}");
        }
        let named = shape("Host a\n  HostName b\nHost *\n");
        assert_eq!(named.word("c", false), None);
        assert_eq!(named.word("c", true), named.word("d", true));
        assert_ne!(named.word("c", true), named.word("a", true));
    }
}
