//! Who it is: the kernel's login uid, which survives sudo, never `$USER`.

use super::event::Operator;
use std::{fs, io, path::Path, process::Command};

/// The kernel's word for *nobody has logged in*: (uid_t) -1.
const UNSET: u32 = u32::MAX;

impl Operator {
    /// Who runs this process, on which machine.
    pub fn here() -> Self {
        let login = fs::read_to_string("/proc/self/loginuid").ok();
        let real = rustix::process::getuid().as_raw();
        let (uid, login) = uid_of(login.as_deref(), real);
        Self { name: name_of(uid), uid, login, machine: machine(), pid: std::process::id() }
    }
}

/// The login uid where one is set, else the real one.
fn uid_of(loginuid: Option<&str>, real: u32) -> (u32, bool) {
    match loginuid.and_then(|text| text.trim().parse().ok()) {
        Some(uid) if uid != UNSET => (uid, true),
        _ => (real, false),
    }
}

/// The user's name: from `/etc/passwd`, else from whatever `getent` knows (LDAP, SSSD), else the number.
fn name_of(uid: u32) -> String {
    let local = fs::read_to_string("/etc/passwd").ok().and_then(|text| name_in(&text, uid));
    let named = || {
        let answer = Command::new("getent").args(["passwd", &uid.to_string()]).output().ok()?;
        name_in(&String::from_utf8_lossy(&answer.stdout), uid)
    };
    local.or_else(named).unwrap_or_else(|| format!("uid {uid}"))
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

/// The kind of file system that holds a path, by `/proc/self/mounts`: the longest mount point above it.
pub(super) fn file_system(path: &Path) -> io::Result<Option<String>> {
    Ok(kind_in(&fs::read_to_string("/proc/self/mounts")?, &fs::canonicalize(path)?))
}

fn kind_in(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?.replace("\\040", " "), fields.next()?);
            path.starts_with(&point).then(|| (point.len(), kind.to_owned()))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_login_uid_counts_as_no_login() {
        assert_eq!(uid_of(Some("1000\n"), 0), (1000, true));
        assert_eq!(uid_of(Some("4294967295"), 0), (0, false));
        assert_eq!(uid_of(None, 33), (33, false));
    }

    #[test]
    fn a_name_is_found_by_its_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nmaria:x:1000:1000:Мария:/home/maria:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("maria"));
        assert_eq!(name_in(passwd, 7), None);
    }

    #[test]
    fn the_longest_mount_point_holds_the_path() {
        let mounts = "/dev/sda / ext4 rw 0 0\nsrv:/x /var/lib nfs4 rw 0 0\ntmpfs /var/library tmpfs rw 0 0\n";
        assert_eq!(kind_in(mounts, Path::new("/var/lib/svcops")).as_deref(), Some("nfs4"));
        assert_eq!(kind_in(mounts, Path::new("/srv")).as_deref(), Some("ext4"));
    }

    #[test]
    fn somebody_is_always_here() {
        let who = Operator::here();
        assert!(!who.name.is_empty() && !who.machine.is_empty() && who.pid > 0);
    }
}
