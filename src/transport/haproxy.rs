//! The words of HAProxy's runtime API (management guide, 9.3): what to ask, and what the answers mean. Pure; the same for
//! a socket on a host and for a TCP port.

use super::shell::brief;
use crate::base::{ServerFacts, ServerState};

/// Asks for the state of a server: two answers, one after the other.
pub(crate) fn ask(backend: &str) -> String {
    format!("show servers state {backend};show stat\n")
}

/// Sets the state of a server.
pub(crate) fn set(backend: &str, server: &str, state: ServerState) -> String {
    let state = match state {
        ServerState::Ready => "ready",
        ServerState::Drain => "drain",
        ServerState::Maint => "maint",
    };
    format!("set server {backend}/{server} state {state}\n")
}

/// Ends the sessions of a server.
pub(crate) fn end_sessions(backend: &str, server: &str) -> String {
    format!("shutdown sessions server {backend}/{server}\n")
}

/// Whether names can stand in a command: what would end a word or a command cannot.
pub(crate) fn named(backend: &str, server: &str) -> Result<(), String> {
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| !c.is_whitespace() && !c.is_control() && !";/\\\"'#".contains(c))
    };
    if plain(backend) && plain(server) {
        return Ok(());
    }
    Err(format!("`{backend}/{server}` cannot be the name of a server of a backend"))
}

/// What a command that changes something complained of; it says nothing when it is content.
pub(crate) fn complaint(reply: &str) -> Option<String> {
    let line = reply.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(format!("HAProxy says: {}", brief(line.trim_end_matches('.'))))
}

/// The facts of a server from the answers to [`ask`].
pub(crate) fn facts(backend: &str, server: &str, reply: &str) -> Result<ServerFacts, String> {
    let (Some(states), Some(stat)) = (reply.find("# be_id"), reply.find("# pxname")) else {
        return Err(complaint(reply.trim_start_matches(|c: char| c.is_ascii_digit() || c.is_whitespace()))
            .unwrap_or_else(|| "HAProxy gave no answer".to_owned()));
    };
    let rows = |from: usize| reply.get(from..).unwrap_or_default().lines();
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let state = row(rows(states), fields, &[("be_name", backend), ("srv_name", server)])
        .ok_or_else(|| format!("HAProxy has no server `{server}` in backend `{backend}`"))?;
    let stat = row(rows(stat), csv, &[("pxname", backend), ("svname", server)])
        .ok_or_else(|| format!("HAProxy shows no statistics of `{backend}/{server}`"))?;
    let number = |row: &Row, name: &str| -> Result<u64, String> {
        let text = row.get(name);
        if text.is_empty() {
            return Ok(0);
        }
        text.parse().map_err(|_| format!("HAProxy's `{name}` is `{}`, a number was expected", brief(text)))
    };
    let admin = number(&state, "srv_admin_state")?;
    let operational = number(&state, "srv_op_state")?;
    // no check configured: status is `no check`, and HAProxy holds the server for running
    let up = operational == 2 || stat.get("status") == "no check";
    Ok(ServerFacts {
        state: match admin {
            a if a & MAINTENANCE != 0 => ServerState::Maint,
            a if a & DRAIN != 0 => ServerState::Drain,
            _ => ServerState::Ready,
        },
        sessions: number(&stat, "scur")?.saturating_add(number(&stat, "qcur")?),
        up,
    })
}

/// `SRV_ADMF_FMAINT`, `IMAINT`, `RMAINT`: set by an operator, inherited, by DNS. `CMAINT` (0x04) only remembers that the
/// configuration said `disabled`, and `HMAINT` (0x40) that a name was set: both stay where a server takes traffic.
const MAINTENANCE: u64 = 0x01 | 0x02 | 0x20;
/// `SRV_ADMF_FDRAIN`, `IDRAIN`.
const DRAIN: u64 = 0x08 | 0x10;

struct Row(Vec<(String, String)>);

impl Row {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// The row below the heading in which these columns hold these values.
fn row<'a>(
    mut lines: impl Iterator<Item = &'a str>,
    split: impl Fn(&str) -> Vec<String>,
    wanted: &[(&str, &str)],
) -> Option<Row> {
    let heading = split(lines.next()?.trim_start_matches("# "));
    lines
        .take_while(|line| !line.trim().is_empty())
        .map(|line| Row(heading.iter().cloned().zip(split(line)).collect()))
        .find(|row| wanted.iter().all(|(name, value)| row.get(name) == *value))
}

/// A line of CSV; a field may stand in quotes, in which two quotes are one.
fn csv(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(admin: u32, op: u32, status: &str) -> String {
        format!(
            "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n\
             3 billing 1 app1 10.77.0.11 2 0 1\n3 billing 2 app2 10.77.0.12 {op} {admin} 1\n\n\
             # pxname,svname,qcur,qmax,scur,status,desc\nbilling,FRONTEND,,,0,OPEN,\nbilling,app1,0,0,4,UP,\n\
             billing,app2,2,0,5,{status},\"a, \"\"b\"\"\"\nbilling,BACKEND,0,0,9,UP,\n\n"
        )
    }

    #[test]
    fn the_state_an_operator_set_is_read_from_its_bits() {
        for (admin, state) in [
            (0, ServerState::Ready),
            (0x01, ServerState::Maint),
            (0x04, ServerState::Ready),
            (0x05, ServerState::Maint),
            (0x08, ServerState::Drain),
            (0x09, ServerState::Maint),
        ] {
            let seen = facts("billing", "app2", &reply(admin, 2, "UP")).unwrap();
            assert_eq!(seen, ServerFacts { state, sessions: 7, up: true });
        }
    }

    #[test]
    fn a_server_is_up_by_its_check_or_for_want_of_one() {
        assert!(!facts("billing", "app2", &reply(0, 0, "DOWN")).unwrap().up);
        assert!(facts("billing", "app2", &reply(0, 0, "no check")).unwrap().up);
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(
            facts("billing", "app3", &reply(0, 2, "UP")).unwrap_err(),
            "HAProxy has no server `app3` in backend `billing`"
        );
        assert_eq!(
            facts("x", "y", "Can't find backend.\n\n# pxname,svname\n").unwrap_err(),
            "HAProxy says: Can't find backend"
        );
        assert_eq!(facts("x", "y", "").unwrap_err(), "HAProxy gave no answer");
        assert_eq!(complaint("No such server.\n\n").unwrap(), "HAProxy says: No such server");
        assert_eq!(complaint("\n"), None);
    }

    #[test]
    fn a_name_cannot_smuggle_a_command_in() {
        assert!(named("billing", "dc1-app1").is_ok());
        for name in ["", "a b", "a;shutdown", "a\nb", "a/b"] {
            assert!(named("billing", name).is_err(), "{name:?}");
        }
    }
}
