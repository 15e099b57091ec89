//! Reads as one script, and the answers that come back.

use super::super::{
    haproxy,
    shell::{Frames, bare, brief, quote, words},
};
use super::act::SOCKET;
use crate::base::{Answer, At, FileFacts, HaproxyApi, Hash, Read, UnitFacts, UnitState};

/// Looks at a file as whoever runs it: one line of facts, then the hash, then where a link leads.
const FILE: &str = include_str!("file.sh");

/// The part of the probe's script for one read; none: it does not travel by a script of its own.
pub(crate) fn script(number: usize, read: &At<Read>) -> Option<String> {
    let user = quote(read.at.become_user.as_deref().unwrap_or_default());
    match &read.what {
        Read::Unit { name } => Some(format!("s_unit r{number} {}\n", quote(name))),
        Read::File { path } => Some(format!("s_file r{number} {user} {}\n", quote(path))),
        Read::Server { api: HaproxyApi::Socket(socket), backend, server } => {
            haproxy::named(backend, server).ok()?;
            Some(format!("s_socket r{number} {user} {} {}\n", quote(socket), quote(&haproxy::ask(backend))))
        }
        Read::Postgres(_) => super::pg::script(number, read),
        Read::Server { .. }
        | Read::Run(_)
        | Read::Http(_)
        | Read::Tcp { .. }
        | Read::Pair(_)
        | Read::Client(_)
        | Read::Served(_)
        | Read::Record(_)
        | Read::Proof(_)
        | Read::Addresses(_)
        | Read::Order(_) => None,
    }
}

/// What the parts of a probe call.
pub(crate) fn lesson() -> String {
    format!("S_file={}\nS_socket={}\n{}", quote(&bare(FILE)), quote(&bare(SOCKET)), bare(include_str!("probe.sh")))
}

/// The answer to one read of [`script`].
pub(crate) fn answer(number: usize, read: &Read, frames: &Frames) -> Answer {
    let Some(bytes) = frames.bytes(&format!("r{number}")) else {
        return Answer::Bad("the host gave no answer to this read".to_owned());
    };
    let text = String::from_utf8_lossy(bytes);
    let read = match read {
        Read::Unit { name } => unit(name, &text).map(Answer::Unit),
        Read::File { path } => file(path, &text).map(Answer::File),
        Read::Server { backend, server, .. } => haproxy::facts(backend, server, &text)
            .map_err(|why| {
                let said = frames.text(&format!("r{number}.err"));
                if said.is_empty() { why } else { said }
            })
            .map(Answer::Server),
        Read::Pair(spot) => super::pair::answer(number, spot, frames).map(|facts| Answer::Pair(Box::new(facts))),
        Read::Postgres(ask) => super::pg::answer(number, ask, frames).map(|facts| Answer::Postgres(Box::new(facts))),
        _ => Err("this is not read by a script".to_owned()),
    };
    read.unwrap_or_else(|why| Answer::Bad(brief(&why).into_owned()))
}

/// `systemctl show`: a property a line.
fn unit(name: &str, text: &str) -> Result<UnitFacts, String> {
    let property = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key).and_then(|v| v.strip_prefix('='))).map(str::trim)
    };
    let (Some(load), Some(active)) = (property("LoadState"), property("ActiveState")) else {
        let said = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("systemctl said nothing");
        return Err(format!("could not read unit `{name}`: {said}"));
    };
    let state = match active {
        "active" => UnitState::Active,
        // `refreshing` since systemd 257
        "reloading" | "refreshing" => UnitState::Reloading,
        "inactive" => UnitState::Inactive,
        "failed" => UnitState::Failed,
        "activating" => UnitState::Activating,
        "deactivating" => UnitState::Deactivating,
        "maintenance" => UnitState::Maintenance,
        other => return Err(format!("unit `{name}` is in a state without a meaning here: `{other}`")),
    };
    Ok(UnitFacts {
        loaded: load == "loaded",
        state,
        enabled: matches!(property("UnitFileState"), Some("enabled" | "enabled-runtime" | "alias" | "linked")),
        pid: property("MainPID").and_then(|v| v.parse().ok()).unwrap_or(0),
        // 32 digits; what is longer is no id, and tells no two starts apart
        invocation: property("InvocationID").filter(|id| id.len() <= 64).unwrap_or_default().to_owned(),
        since: property("StateChangeTimestampMonotonic").and_then(|v| v.parse().ok()).unwrap_or(0),
    })
}

/// The lines of `file.sh`: `none`, `bad WHY`, or `file SIZE MODE OWNER GROUP HASH` and `link WHERE`.
pub(crate) fn file(path: &str, text: &str) -> Result<Option<FileFacts>, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first == "none" {
        return Ok(None);
    }
    if let Some(why) = first.strip_prefix("bad ") {
        return Err(format!("could not read `{path}`: {why}"));
    }
    let parts: Vec<&str> = first.split(' ').collect();
    let (["file", size, mode, owner, group, hash], true) = (parts.as_slice(), first.len() > 64) else {
        let said = if first.is_empty() { "the host said nothing" } else { first };
        return Err(format!("could not read `{path}`: {said}"));
    };
    let wrong = || format!("could not read `{path}`: the host answered `{first}`");
    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(wrong)?;
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) || owner.len().max(group.len()) > 256 {
        return Err(wrong());
    }
    Ok(Some(FileFacts {
        hash: Hash((*hash).to_owned()),
        size: size.parse().map_err(|_| wrong())?,
        mode,
        owner: (*owner).to_owned(),
        group: (*group).to_owned(),
        // no path is longer (PATH_MAX)
        link: lines.find_map(|l| l.strip_prefix("link ")).filter(|l| l.len() <= 4096).map(str::to_owned),
    }))
}

/// The script of a command that tries a port, with whatever the host has for it.
pub(crate) fn port(host: &str, port: u16) -> String {
    words(["sh", "-c", include_str!("port.sh"), "svcops", host, &port.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_from_its_properties_and_an_unknown_one_is_not_loaded() {
        let seen = unit(
            "billing.service",
            "MainPID=812\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nInvocationID=ab12\nStateChangeTimestampMonotonic=99\n",
        );
        let facts = UnitFacts {
            loaded: true,
            state: UnitState::Active,
            enabled: true,
            pid: 812,
            invocation: "ab12".into(),
            since: 99,
        };
        assert_eq!(seen, Ok(facts));
        let none = unit("no.service", "LoadState=not-found\nActiveState=inactive\nInvocationID=\n").unwrap();
        assert!(!none.loaded && none.state == UnitState::Inactive);
        let bad = unit("x.service", "Failed to connect to bus: No such file\n").unwrap_err();
        assert_eq!(bad, "could not read unit `x.service`: Failed to connect to bus: No such file");
    }

    #[test]
    fn a_file_is_read_from_its_line() {
        let hash = Hash::of(b"x");
        let seen = file("/etc/x", &format!("file 1 4755 root adm {hash}\nlink ../y z\n")).unwrap().unwrap();
        assert_eq!((seen.size, seen.mode, seen.link.as_deref()), (1, 0o4755, Some("../y z")));
        assert_eq!(file("/etc/x", "none\n"), Ok(None));
        assert_eq!(file("/etc", "bad it is a folder\n"), Err("could not read `/etc`: it is a folder".into()));
        assert!(file("/x", "").is_err());
    }
}
