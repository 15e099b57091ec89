//! A switch of the databases by hand, as fast as a hand can be: what svcops is held against.

use super::{
    hosts::{Lab, haproxy},
    writer::DATABASES,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// Everything that a switch needs, open already: a root shell on both database hosts.
pub struct ByHand {
    shells: Vec<Shell>,
}

impl ByHand {
    /// Logs in.
    pub fn ready(lab: &Lab) -> Self {
        Self { shells: DATABASES.iter().map(|(host, _)| Shell::open(lab, host)).collect() }
    }

    /// Switches from one side (0 or 1) to the other: signal, look every two milliseconds, promote without waiting, one
    /// order to HAProxy for both servers.
    pub fn switch(&mut self, from: usize) {
        let to = 1 - from;
        for shell in &mut self.shells {
            shell.say("runuser -u postgres -- psql -XAtqc CHECKPOINT");
        }
        let [(source, _), (target, _)] = if from == 0 { DATABASES } else { [DATABASES[1], DATABASES[0]] };
        // an open session on the target: a login costs milliseconds
        self.shells[to].say("coproc SQL { exec runuser -u postgres -- psql -XAtq; }; echo 'SELECT 1;' >&${SQL[1]}; read -r _ <&${SQL[0]}");
        haproxy(&format!("set server crm-db/{source} state maint"));
        let end = self.shells[from].say(
            "kill -INT \"$(head -1 $DATA/postmaster.pid)\"
             until $BIN/pg_controldata $DATA | grep -q 'state: *shut down$'; do sleep 0.002; done
             $BIN/pg_controldata $DATA | sed -n 's/^Latest checkpoint location: *//p'",
        );
        self.shells[to].say(&format!(
            "until echo \"SELECT pg_last_wal_receive_lsn() > '{end}';\" >&${{SQL[1]}}; read -r said <&${{SQL[0]}}; [ $said = t ]; do sleep 0.002; done
             echo 'SELECT pg_promote(false);' >&${{SQL[1]}}; read -r _ <&${{SQL[0]}}
             until echo 'SELECT pg_is_in_recovery();' >&${{SQL[1]}}; read -r said <&${{SQL[0]}}; [ $said = f ]; do sleep 0.002; done"
        ));
        haproxy(&format!("set server crm-db/{target} state ready"));
        self.follow(from);
    }

    /// The old primary follows: a slot for it, none for the new one.
    fn follow(&mut self, from: usize) {
        let ((old, _), (new, address)) = (DATABASES[from], DATABASES[1 - from]);
        let slot = |host: &str| host.replace('-', "_");
        self.shells[1 - from].say(&format!(
            "echo \"SELECT pg_create_physical_replication_slot('{}', true);\" >&${{SQL[1]}}; read -r _ <&${{SQL[0]}}
             echo '\\q' >&${{SQL[1]}}; wait",
            slot(old)
        ));
        self.shells[from].say(&format!(
            "cat >> $DATA/postgresql.auto.conf << CONF
primary_conninfo = 'host={address} user=replicator password=replicator application_name={old}'
primary_slot_name = '{}'
CONF
             runuser -u postgres -- touch $DATA/standby.signal; systemctl restart postgresql@15-main
             runuser -u postgres -- psql -XAtqc \"SELECT pg_drop_replication_slot('{}')\"
             until [ \"$(runuser -u postgres -- psql -XAtqc 'SELECT status FROM pg_stat_wal_receiver')\" = streaming ]; do sleep 0.02; done",
            slot(old),
            slot(new)
        ));
    }
}

/// A root shell that stays open.
struct Shell {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Shell {
    fn open(lab: &Lab, host: &str) -> Self {
        let mut ssh = lab.ssh(host);
        ssh.arg("cd /; sudo bash").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = ssh.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut shell = Self { child, to, from };
        shell.say("BIN=/usr/lib/postgresql/15/bin DATA=/var/lib/postgresql/15/main");
        shell
    }
    /// Runs that, and answers with the last line that it wrote.
    fn say(&mut self, text: &str) -> String {
        writeln!(self.to, "{text}\necho; echo over").unwrap();
        let mut last = String::new();
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "the shell is gone");
            match line.trim_end() {
                "over" => return last,
                "" => {}
                said => said.clone_into(&mut last),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}
