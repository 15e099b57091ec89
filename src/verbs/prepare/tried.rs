//! The fence itself, between two clusters of PostgreSQL on two addresses of this machine.

use super::{script, tests::lab};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Makes the pair: `a` a primary on 127.0.0.2, `b` its standby on 127.0.0.3; both run.
const PAIR: &str = r#"
install -d -o postgres -m 700 "$D"
r "$B/initdb" -D "$D/a" --no-sync --wal-segsize=1 -E UTF8 --locale=C
cat >> "$D/a/postgresql.conf" << END
port = $P
unix_socket_directories = ''
fsync = off
wal_log_hints = on
shared_buffers = 16MB
END
echo 'host all,replication all 127.0.0.0/8 scram-sha-256' > "$D/a/pg_hba.conf"
r "$B/postgres" --single -D "$D/a" postgres << 'END'
CREATE ROLE "repl:icator" LOGIN REPLICATION PASSWORD 'pa:ss\word';
END
cp -a "$D/a" "$D/b"
echo "listen_addresses = '127.0.0.2'" >> "$D/a/postgresql.conf"
cat >> "$D/b/postgresql.conf" << END
listen_addresses = '127.0.0.3'
primary_conninfo = 'host=127.0.0.2 port=$P user=''repl:icator'' passfile=$D/pass'
END
r touch "$D/b/standby.signal"
printf '%s\n' "*:$P:*:repl\:icator:pa\:ss\\\\word" > "$D/pass"
chown postgres "$D/pass"; chmod 600 "$D/pass"
up a; up b
"#;

/// What the scripts of the test have: the programs run as the clusters' owner, who is not in this folder.
const WORDS: &str = r#"
r() { (cd / && setpriv --reuid postgres --regid postgres --init-groups -- "$@" > /dev/null 2>> "$D.log"); }
up() { r "$B/pg_ctl" -D "$D/$1" -l "$D/$1.log" -w start; }
down() { r "$B/pg_ctl" -D "$D/$1" -m "${2:-fast}" -w stop; }
"#;

struct Pair {
    folder: tempfile::TempDir,
    port: String,
}

impl Pair {
    /// None where this machine cannot have one.
    fn new() -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n");
        if !root || !Path::new("/usr/lib/postgresql/15/bin/initdb").exists() {
            eprintln!("skipped: the boot fence is tried by root, with PostgreSQL 15");
            return None;
        }
        let port = crate::base::ports::free("127.0.0.2").to_string();
        let pair = Self { folder: tempfile::tempdir().unwrap(), port };
        assert!(Command::new("chmod").arg("755").arg(pair.folder.path()).status().unwrap().success());
        for host in ["a", "b"] {
            fs::write(pair.fence(host), pair.script(host)).unwrap();
        }
        pair.sh(PAIR);
        Some(pair)
    }
    fn fence(&self, host: &str) -> String {
        self.folder.path().join(format!("fence-{host}")).display().to_string()
    }
    /// The fence as it is composed, with the addresses of this machine and less patience.
    fn script(&self, host: &str) -> String {
        let mut inventory = lab();
        let database = inventory.databases.get_mut("crm-db").unwrap();
        database.spot.port = self.port.parse().unwrap();
        database.spot.data = format!("{}/pg/{host}", self.folder.path().display());
        let passfile = database.passfile().unwrap();
        for (name, to, address) in [("dc1-db1", "a", "127.0.0.2"), ("dc2-db1", "b", "127.0.0.3")] {
            let one = inventory.hosts.iter_mut().find(|one| one.name.as_str() == name).unwrap();
            (one.name, one.address) = (crate::base::HostName::new(to), Some(address.into()));
        }
        let text = script(&inventory, &inventory.services["crm"], &inventory.databases["crm-db"]);
        let mut text = text.replace("{{ host.name }}", host);
        for (from, to) in [
            ("patience=30 ", "patience=0 "),
            ("run_dir=/run/svcops", &format!("run_dir={}/run", self.folder.path().display())),
            (&format!("passfile={passfile}"), &format!("passfile={}/pg/pass", self.folder.path().display())),
        ] {
            assert!(text.contains(from), "{from}\n{text}");
            text = text.replace(from, to);
        }
        text
    }
    fn sh(&self, text: &str) {
        let pg = self.folder.path().join("pg");
        let done = Command::new("sh")
            .args(["-euc", &format!("{WORDS}\n{text}")])
            .env("D", &pg)
            .env("P", &self.port)
            .env("B", "/usr/lib/postgresql/15/bin")
            .env_remove("LANGUAGE")
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "{text}\n{}", fs::read_to_string(pg.with_extension("log")).unwrap_or_default());
    }
    /// How a call of the fence of `a` ends, and what it says; the port is `PORT`, the folder `HERE`.
    fn says(&self, args: &[&str]) -> (i32, String) {
        self.of("a", args)
    }
    fn of(&self, host: &str, args: &[&str]) -> (i32, String) {
        let done = Command::new("/bin/sh")
            .arg(self.fence(host))
            .args(args)
            .env_remove("JOURNAL_STREAM")
            .env("SUDO_USER", "mkr")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let here = self.folder.path().display().to_string();
        (done.status.code().unwrap(), said.replace(&self.port, "PORT").replace(&here, "HERE"))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.sh("down a immediate || :; down b immediate || :");
    }
}

#[test]
fn a_former_primary_starts_only_beside_a_standby_or_by_the_word_of_a_person() {
    let Some(pair) = Pair::new() else { return };
    assert_eq!(pair.says(&["ask"]), (0, "`b` (127.0.0.3:PORT) is a standby, on timeline 1\n".into()));
    assert_eq!(pair.of("b", &["ask"]), (0, "`a` (127.0.0.2:PORT) is the primary now, on timeline 1\n".into()));
    let beside =
        "boot fence: `b` (127.0.0.3:PORT) is a standby, on timeline 1: this one starts as the primary that it was\n";
    assert_eq!(pair.says(&["check"]), (0, beside.into()));
    assert_eq!(pair.says(&["after"]), (0, String::new()));
    assert_eq!(pair.of("b", &["check"]), (0, String::new()), "a standby always starts");

    // nobody answers
    pair.sh("down a immediate; down b");
    let (code, said) = pair.says(&["check"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(said, @r"
    boot fence: not started: `b` (127.0.0.3:PORT) does not answer
    boot fence: this database was a primary when it ended; whether another one is the primary now cannot be known
    boot fence: is `b` the primary? `svcops failover rejoin crm`; a standby that answers? `systemctl start postgresql@15-main.service`
    boot fence: who knows that it serves nobody and will not come back as a primary says so as root, then starts this one:
    boot fence: /bin/sh /usr/local/lib/svcops/boot-fence-crm-db allow 'NAME: HOW YOU KNOW'
    ");
    assert_eq!(pair.says(&["ask"]).0, 1);
    assert_eq!(pair.says(&["allow"]).0, 2, "a word has a name and a reason");
    assert_eq!(pair.says(&["allow", "mkr: dc2 has no power, I stand beside it"]).0, 0);
    let (code, said) = pair.says(&["check"]);
    assert_eq!(code, 0);
    let (before, words) = said.split_once(" by the word of mkr, ").unwrap();
    assert_eq!(before, "boot fence: `b` (127.0.0.3:PORT) does not answer; this one starts as a primary nevertheless,");
    assert!(words.ends_with(": mkr: dc2 has no power, I stand beside it \n"), "{words}");
    assert_eq!(pair.says(&["check"]).0, 1, "a word is used once");
    let word = pair.folder.path().join("run/boot-fence-crm-db.allow");
    for spoilt in ["touch -d '20 minutes ago'", "chown postgres", "chmod 666"] {
        assert_eq!(pair.says(&["allow", "mkr: dc2 has no power"]).0, 0);
        pair.sh(&format!("{spoilt} '{}'", word.display()));
        assert_eq!(pair.says(&["check"]).0, 1, "{spoilt}");
    }
    // it cannot ask
    pair.sh("up b; mv $D/pass $D/pass-away");
    let (code, said) = pair.says(&["check"]);
    assert_eq!(
        (code, said.lines().next().unwrap()),
        (1, "boot fence: not started: `b` (127.0.0.3:PORT) does not say what it is: fe_sendauth: no password supplied")
    );
    pair.sh("mv $D/pass-away $D/pass");
    assert_eq!(pair.says(&["check"]), (0, beside.into()));
}

#[test]
fn a_former_primary_that_was_left_behind_is_not_started_whatever_anybody_says() {
    let Some(pair) = Pair::new() else { return };
    pair.sh("down a immediate; r $B/pg_ctl -D $D/b -w promote");
    let (code, left) = pair.says(&["check"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(left, @r"
    boot fence: not started: `b` (127.0.0.3:PORT) is the primary now, on timeline 2
    boot fence: this one was left behind on timeline 1; `svcops failover rejoin crm` makes it a standby of `b`
    ");
    assert_eq!(pair.says(&["allow", "mkr: I know better"]).0, 0);
    assert_eq!(pair.says(&["check"]), (1, left.clone()));
    // promoted while this one recovered
    assert_eq!(pair.says(&["after"]), (1, left.replace("not started", "stopped again")));
    // as a standby it may
    pair.sh("r touch $D/a/standby.signal");
    assert_eq!(pair.says(&["check"]), (0, String::new()));
    assert_eq!(pair.says(&["after"]), (0, String::new()));
    // the other one is a standby again, but has been a primary since
    pair.sh("rm $D/a/standby.signal; down b; r touch $D/b/standby.signal; up b");
    let (code, said) = pair.says(&["check"]);
    assert_eq!(
        (code, said.lines().next().unwrap()),
        (
            1,
            "boot fence: not started: `b` (127.0.0.3:PORT) is a standby, but on timeline 2: it was the primary after this one ended on timeline 1"
        )
    );
    // another database at that address
    pair.sh("down b; mv $D/b $D/b-away; r $B/initdb -D $D/b --no-sync --wal-segsize=1 -E UTF8 --locale=C; cp $D/b-away/*.conf $D/b; sed -i /primary_conninfo/d $D/b/postgresql.conf");
    pair.sh("r $B/postgres --single -D $D/b postgres << 'END'\nCREATE ROLE \"repl:icator\" LOGIN REPLICATION PASSWORD 'pa:ss\\word';\nEND\nup b");
    let (code, said) = pair.says(&["check"]);
    assert_eq!(code, 1);
    assert!(said.contains("answers, but is another database: its system identifier is "), "{said}");
    // nothing here that could serve
    pair.sh("mv $D/a $D/a-away");
    assert_eq!(pair.says(&["check"]), (0, String::new()));
    pair.sh("mv $D/a-away $D/a");
}
