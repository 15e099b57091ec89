//! What ssh_config says of a host, as `ssh -G` tells it: so `Host`, `Match` and `Include` mean what they mean to ssh.
//!
//! A word that differs from ssh's own default is honoured, or is without meaning here, or is refused by its name.

use crate::transport::vault::home;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// How to reach a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where it is.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// Its name in the known_hosts files, where that is another.
    pub(super) alias: Option<String>,
    /// The user's files, and then the machine's.
    pub(super) known: Vec<PathBuf>,
    pub(super) check_ip: bool,
    pub(super) identities: Vec<PathBuf>,
    pub(super) certificates: Vec<PathBuf>,
    /// No other keys of the agent are offered.
    pub(super) only: bool,
    pub(super) agent: Option<PathBuf>,
    /// `inet` or `inet6`: only such addresses.
    pub(super) family: Option<String>,
    /// The address to call from.
    pub(super) bind: Option<String>,
    pub(super) attempts: u32,
    /// How long each may take; none: as long as svcops has patience.
    pub(super) within: Option<Duration>,
    /// The host is asked for a sign of life after so much silence; none: never.
    pub(super) alive: Option<Duration>,
    /// It is left after so many that were asked for in vain.
    pub(super) alive_most: u32,
    /// `user@host:port`, the nearest one first.
    pub(super) jumps: Vec<String>,
    pub(super) kex: Vec<String>,
    pub(super) ciphers: Vec<String>,
    pub(super) macs: Vec<String>,
    pub(super) host_keys: Vec<String>,
    pub(super) user_keys: Vec<String>,
    /// RSA keys below this many bits are refused.
    pub(super) rsa_bits: usize,
    pub(super) env: Vec<(String, String)>,
    /// New session keys after so many bytes, and so long; none: as the library does.
    pub(super) rekey_bytes: Option<usize>,
    pub(super) rekey_time: Option<Duration>,
    /// GSSAPI would be tried first by ssh.
    pub(super) gssapi: bool,
}

/// Words that are honoured.
const HONOURED: &[&str] = &[
    "addressfamily",
    "bindaddress",
    "certificatefile",
    "checkhostip",
    "ciphers",
    "connectionattempts",
    "connecttimeout",
    "globalknownhostsfile",
    "host",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "kexalgorithms",
    "macs",
    "port",
    "preferredauthentications",
    "proxyjump",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "rekeylimit",
    "requiredrsasize",
    "serveralivecountmax",
    "serveraliveinterval",
    "setenv",
    "user",
    "userknownhostsfile",
];

/// Words without meaning for commands that nobody watches, or ones that svcops sets itself with either client: host keys
/// are strict, and nothing is asked for.
pub(super) const MEANINGLESS: &[&str] = &[
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizehostname",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "clearallforwardings",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "hashknownhosts",
    "hostbasedacceptedalgorithms",
    "ignoreunknown",
    "ipqos",
    "kbdinteractiveauthentication",
    "localcommand",
    "loglevel",
    "logverbose",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "passwordauthentication",
    "permitlocalcommand",
    "permitremoteopen",
    "proxyusefdpass",
    "requesttty",
    "securitykeyprovider",
    "sendenv",
    "sessiontype",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "stricthostkeychecking",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunneldevice",
    "updatehostkeys",
    "visualhostkey",
    "xauthlocation",
];

/// The lines of `ssh -G`: a word, and all that is said of it.
type Said<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn lines(text: &str) -> Said<'_> {
    let mut said = Said::new();
    for line in text.lines() {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        said.entry(word).or_default().push(value.trim());
    }
    said
}

impl Settings {
    /// What `ssh -G` said of a host, beside what it says without any config file. `agent` is `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// Names what is not supported.
    pub(super) fn read(text: &str, plain: &str, agent: Option<&str>) -> Result<Self, String> {
        let (said, plain) = (lines(text), lines(plain));
        for (word, values) in &said {
            let lower = word.to_ascii_lowercase();
            let fine = HONOURED.contains(&&*lower) || MEANINGLESS.contains(&&*lower) || lower.starts_with("gss");
            if !fine && plain.get(word) != Some(values) && values.as_slice() != ["none"] {
                return Err(unsupported(&format!("{word} {}", values.join(" "))));
            }
        }
        let one = |word: &str| said.get(word).and_then(|values| values.first()).copied().filter(|v| !v.is_empty());
        let some = |word: &str| one(word).filter(|v| *v != "none").map(str::to_owned);
        let list = |word: &str| one(word).map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>());
        let yes = |word: &str| matches!(one(word), Some("yes" | "true"));
        let number = |word: &str| one(word).and_then(|v| v.parse::<u64>().ok());
        if one("pubkeyauthentication").is_some_and(|v| matches!(v, "no" | "false")) {
            return Err(unsupported(&format!(
                "pubkeyauthentication {}",
                one("pubkeyauthentication").unwrap_or_default()
            )));
        }
        if let Some(ways) = one("preferredauthentications")
            && !ways.split(',').any(|way| way == "publickey")
        {
            return Err(unsupported(&format!("preferredauthentications {ways}")));
        }
        let host = one("hostname").ok_or("`ssh -G` names no host")?.to_owned();
        let mut settings = Self {
            port: number("port").and_then(|p| u16::try_from(p).ok()).unwrap_or(22),
            user: one("user").unwrap_or_default().to_owned(),
            alias: some("hostkeyalias"),
            check_ip: yes("checkhostip"),
            only: yes("identitiesonly"),
            family: some("addressfamily").filter(|family| family != "any"),
            bind: some("bindaddress"),
            attempts: number("connectionattempts").and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1),
            within: number("connecttimeout").filter(|n| *n > 0).map(Duration::from_secs),
            alive: number("serveraliveinterval").filter(|n| *n > 0).map(Duration::from_secs),
            alive_most: number("serveralivecountmax").and_then(|n| u32::try_from(n).ok()).unwrap_or(3).max(1),
            jumps: some("proxyjump").map(|v| v.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            kex: list("kexalgorithms").unwrap_or_default(),
            ciphers: list("ciphers").unwrap_or_default(),
            macs: list("macs").unwrap_or_default(),
            host_keys: list("hostkeyalgorithms").unwrap_or_default(),
            user_keys: list("pubkeyacceptedalgorithms").unwrap_or_default(),
            rsa_bits: number("requiredrsasize").and_then(|n| usize::try_from(n).ok()).unwrap_or(1024),
            gssapi: yes("gssapiauthentication"),
            host,
            ..Self::default()
        };
        for word in ["userknownhostsfile", "globalknownhostsfile"] {
            for path in one(word).unwrap_or_default().split(' ').filter(|p| !matches!(*p, "none" | "")) {
                if !path.starts_with(['/', '~']) {
                    let why = "`ssh -G` does not tell where one path ends and the next begins";
                    return Err(format!("{}: {why}", unsupported(&format!("{word} with a space in a path"))));
                }
                settings.known.push(home(path));
            }
        }
        let name = one("host").unwrap_or_default();
        for (word, paths) in
            [("identityfile", &mut settings.identities), ("certificatefile", &mut settings.certificates)]
        {
            for value in said.get(word).into_iter().flatten().filter(|v| **v != "none") {
                paths.push(home(&expand(value, name, &settings.host, &settings.user, settings.port)?));
            }
        }
        settings.agent = match one("identityagent") {
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK") => agent.map(PathBuf::from),
            Some(value) => match value.strip_prefix('$') {
                Some(variable) => std::env::var_os(variable.trim_matches(['{', '}'])).map(PathBuf::from),
                None => Some(home(value)),
            },
        };
        for value in said.get("setenv").into_iter().flatten() {
            if let Some((name, value)) = value.split_once('=') {
                settings.env.push((name.to_owned(), value.to_owned()));
            }
        }
        if let Some((bytes, seconds)) = one("rekeylimit").and_then(|v| v.split_once(' ')) {
            settings.rekey_bytes = bytes.parse().ok().filter(|n| *n > 0);
            settings.rekey_time = seconds.parse().ok().filter(|n| *n > 0).map(Duration::from_secs);
        }
        Ok(settings)
    }

    /// Who is let in where: for messages.
    pub(super) fn login(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

pub(super) fn unsupported(what: &str) -> String {
    format!("`{what}` of its ssh_config is not supported by `client: native`; `client: openssh` is")
}

/// The tokens of ssh_config(5) in the path of a key.
fn expand(value: &str, name: &str, host: &str, user: &str, port: u16) -> Result<String, String> {
    let mut text = String::new();
    let mut signs = value.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            text.push(sign);
            continue;
        }
        match signs.next() {
            Some('%') => text.push('%'),
            Some('d') => text.push_str(&home("~").to_string_lossy()),
            Some('h') => text.push_str(host),
            Some('n') => text.push_str(name),
            Some('p') => text.push_str(&port.to_string()),
            Some('r') => text.push_str(user),
            Some('i') => text.push_str(&rustix::process::getuid().as_raw().to_string()),
            Some('u') => text += &std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default(),
            other => return Err(unsupported(&format!("%{} in {value}", other.map(String::from).unwrap_or_default()))),
        }
    }
    if text.contains("${") {
        return Err(unsupported(&format!("a variable in {value}")));
    }
    Ok(text)
}

/// One host of a `ProxyJump`: `[user@]host[:port]`, or the same as a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

impl Hop {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no jump host: [user@]host[:port] expected");
        let rest = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong).map(|(host, port)| (host, port.strip_prefix(':')))?,
            // more than one colon: an IPv6 address without a port
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?;
        // what begins with a dash would be an option of the `ssh` that is asked about it
        if host.is_empty()
            || host.starts_with('-')
            || user.as_deref().is_some_and(|u| u.is_empty() || u.starts_with('-'))
        {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), user, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "host x\nhostname x\nport 22\nuser ops\ncompression no\nforwardagent no\ngssapiauthentication no\n\
                         proxycommand none\nrekeylimit 0 0\nidentityfile ~/.ssh/id_rsa\n";

    fn read(more: &str) -> Result<Settings, String> {
        Settings::read(&format!("{PLAIN}{more}"), PLAIN, Some("/run/agent"))
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_name() {
        let said = |text: &str| Settings::read(text, PLAIN, None).unwrap_err();
        let with = |more: &str| said(&format!("host x\nhostname x\n{more}\n"));
        insta::assert_snapshot!(with("proxycommand nc %h %p"), @"`proxycommand nc %h %p` of its ssh_config is not supported by `client: native`; `client: openssh` is");
        for word in [
            "compression yes",
            "forwardagent yes",
            "pkcs11provider /usr/lib/x.so",
            "knownhostscommand /bin/x",
            "revokedhostkeys /etc/krl",
            "verifyhostkeydns true",
            "hostbasedauthentication yes",
            "nohostauthenticationforlocalhost yes",
            "bindinterface eth0",
            "localforward 1 [x]:2",
            "remotecommand ls",
            "pubkeyauthentication false",
            "preferredauthentications password,gssapi-with-mic",
            "a-word-of-tomorrow yes",
        ] {
            let said = with(word);
            assert!(said.starts_with(&format!("`{word}` ")) && said.contains("client: openssh"), "{said}");
        }
        assert!(with("identityfile ~/%C").starts_with("`%C in "));
        assert!(with("userknownhostsfile /a b").contains("a space"));
        // what is ssh's own default is nobody's wish
        assert!(read("").is_ok() && read("pkcs11provider none\n").is_ok());
    }

    #[test]
    fn what_is_supported_is_taken_as_ssh_says_it() {
        let read = Settings::read(
            "host web\nhostname 10.0.0.1\nport 2222\nuser ops\nhostkeyalias w\nidentitiesonly yes\nidentityfile /k/%h-%r-%n-%p-%%\n\
             certificatefile /c\nidentityagent /a\nuserknownhostsfile /k1 /k2\nglobalknownhostsfile none\nproxyjump a,u@b:23\n\
             kexalgorithms x,y\nsetenv A=b c\nrekeylimit 1000 60\ngssapiauthentication yes\naddressfamily inet\nrequiredrsasize 3072\n\
             connecttimeout 7\nserveraliveinterval 4\nserveralivecountmax 2\n",
            PLAIN,
            None,
        )
        .unwrap();
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let wanted = Settings {
            host: "10.0.0.1".into(),
            port: 2222,
            user: "ops".into(),
            alias: Some("w".into()),
            known: paths(&["/k1", "/k2"]),
            identities: paths(&["/k/10.0.0.1-ops-web-2222-%"]),
            certificates: paths(&["/c"]),
            only: true,
            agent: Some("/a".into()),
            family: Some("inet".into()),
            attempts: 1,
            within: Some(Duration::from_secs(7)),
            alive: Some(Duration::from_secs(4)),
            alive_most: 2,
            jumps: vec!["a".into(), "u@b:23".into()],
            kex: vec!["x".into(), "y".into()],
            rsa_bits: 3072,
            env: vec![("A".into(), "b c".into())],
            rekey_bytes: Some(1000),
            rekey_time: Some(Duration::from_secs(60)),
            gssapi: true,
            ..Settings::default()
        };
        assert_eq!(read, wanted);
    }

    #[test]
    fn the_agent_is_the_one_that_is_named() {
        assert_eq!(read("").unwrap().agent, Some("/run/agent".into()));
        assert_eq!(read("identityagent none\n").unwrap().agent, None);
        assert_eq!(read("identityagent SSH_AUTH_SOCK\n").unwrap().agent, Some("/run/agent".into()));
        assert_eq!(read("identityagent $NO_SUCH_VARIABLE_4711\n").unwrap().agent, None);
    }

    #[test]
    fn a_jump_host_is_read_with_user_and_port() {
        let hop = |text: &str| Hop::read(text).map(|hop| (hop.user.unwrap_or_default(), hop.host, hop.port));
        let is = |user: &str, host: &str, port| Ok((user.to_owned(), host.to_owned(), port));
        assert_eq!(hop("a"), is("", "a", None));
        assert_eq!(hop("u@a:23"), is("u", "a", Some(23)));
        assert_eq!(hop("ssh://u@x@a:23/"), is("u@x", "a", Some(23)));
        assert_eq!(hop("[::1]:23"), is("", "::1", Some(23)));
        assert_eq!(hop("::1"), is("", "::1", None));
        for wrong in ["", "a:x", "-oProxyCommand=x", "@a", "-l@a", "[::1"] {
            assert!(hop(wrong).is_err(), "{wrong}");
        }
    }
}
