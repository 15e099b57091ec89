//! The two databases and what leads to them, held by one test: dc1-db1 the primary before it, and after it whatever happened.

use crate::{
    hosts::{Lab, haproxy},
    support::Project,
    writer::{DATABASES, FRONT, sql, try_sql},
};
use std::{cell::Cell, fs, ops::Deref};

/// The lab, with its databases as after `lab up` and a table to write to.
pub struct Pair {
    lab: Lab,
    off: Cell<bool>,
}

impl Pair {
    /// Takes the lab. None: there is none.
    pub fn take(test: &str) -> Option<Self> {
        let pair = Self { lab: Lab::take(test)?, off: Cell::new(false) };
        if as_seen() != Ok(["primary", "standby"]) {
            pair.lab.lab(&["pair"]);
        }
        make_table();
        Some(pair)
    }

    /// The language's own example with a database and the service that moves with it, and a home that has the keys.
    pub fn crm(&self) -> Project {
        self.with(DATABASE, SERVICE)
    }

    /// The same with another database and service.
    pub fn with(&self, database: &str, service: &str) -> Project {
        let crm = self.lab.crm();
        let inventory = include_str!("../data/crm/svcops.yaml").replacen("\nsecrets:", SECRETS, 1);
        crm.file("svcops.yaml", &format!("{inventory}{database}{service}"));
        crm.file("billing.password", "billing\n");
        let key = fs::read_to_string(self.lab.state("tsig.key")).unwrap();
        crm.file("../home/.config/svcops/tsig", key.split('"').nth(3).unwrap());
        // a silent host is held for lost within seconds, as a user's ssh_config may say
        Lab::ssh_says(&crm, "ServerAliveInterval 1\nServerAliveCountMax 3\nConnectTimeout 2\n");
        crm
    }

    /// Power loss; once the test is over, all hosts are powered on.
    pub fn loses_power(&self, host: &str) {
        self.off.set(true);
        self.lab.power_off(host);
    }

    /// Holds that this database is the primary and the other one streams from it, through its slot, and that HAProxy and
    /// the record lead to it.
    #[track_caller]
    pub fn serves_from(&self, host: &str) {
        let (this, other) = if host == DATABASES[0].0 { (0, 1) } else { (1, 0) };
        let mut want = ["standby"; 2];
        want[this] = "primary";
        let mut seen = as_seen();
        for _ in 0..50 {
            if seen.as_ref() == Ok(&want) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            seen = as_seen();
        }
        assert_eq!(seen, Ok(want));
        self.leads_to(this, other);
    }

    #[track_caller]
    fn leads_to(&self, this: usize, other: usize) {
        let table = haproxy("show servers state crm-db");
        let admin = |host: &str| {
            let row = table.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|row| row.get(3) == Some(&host));
            row.unwrap()[6].parse::<u32>().unwrap()
        };
        // srv_admin_state: forced maintenance (0x01) and drain (0x08)
        assert_eq!(admin(DATABASES[this].0) & 0x09, 0, "{table}");
        assert_ne!(admin(DATABASES[other].0) & 0x09, 0, "{table}");
        let record = self.lab.on("lb", "dig +short crm.lab.test @10.77.0.5");
        assert_eq!(record.trim(), DATABASES[this].1);
    }
}

/// `primary`, `standby` or `off` for each database, where that is all there is to say: a standby streams from the other
/// through the one slot that there is. Otherwise what is wrong.
pub fn as_seen() -> Result<[&'static str; 2], String> {
    let seen = DATABASES.map(|(_, address)| try_sql(address, STATE));
    let word = |of: &Result<Vec<String>, String>| match of {
        Ok(rows) if rows.first().is_some_and(|r| r == "f") => "primary",
        Ok(_) => "standby",
        Err(_) => "off",
    };
    let words = [word(&seen[0]), word(&seen[1])];
    for (at, (host, address)) in DATABASES.iter().enumerate() {
        let slots = if words[at] == "off" { vec![] } else { try_sql(address, SLOTS)? };
        let mine = format!("{} streaming", DATABASES[1 - at].0.replace('-', "_"));
        let want = if words[at] == "primary" && words[1 - at] == "standby" { vec![mine] } else { vec![] };
        if slots != want {
            return Err(format!("{host} is {}: slots {slots:?}, not {want:?} ({seen:?})", words[at]));
        }
    }
    Ok(words)
}

impl Deref for Pair {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // each, whatever became of the one before: what failed in the test must stay what is seen
        self.lab.tries(&["heal", "*"]);
        if self.off.get() {
            self.lab.tries(&["up"]);
        }
        self.lab.tries(&["pair"]);
    }
}

/// Makes the table that all writers write to, on whichever is the primary.
pub fn make_table() {
    let make =
        "DROP TABLE IF EXISTS lab_rows; CREATE TABLE lab_rows (writer text, row bigint, PRIMARY KEY (writer, row));
        ALTER TABLE lab_rows OWNER TO billing";
    sql(FRONT, make);
}

const STATE: &str = "SELECT pg_is_in_recovery()";
/// Each slot, and what the standby that uses it does.
const SLOTS: &str = "SELECT slot_name || ' ' || coalesce(state, 'unused') FROM pg_replication_slots
    LEFT JOIN pg_stat_replication ON pid = active_pid";

const SECRETS: &str = "\nsecrets:
  billing-db: {file: billing.password}";

/// The database that moves with it.
pub const DATABASE: &str = "
zones:
  lab.test: {server: '10.77.0.5:53', key: {name: svcops-lab, secret: tsig}}
databases:
  crm-db:
    hosts: role=db
    postgres: {cluster: 15/main}
    replication: {user: replicator}        # whose password the servers know, as libpq does: ~/.pgpass
";

/// The service that the tests move.
pub const SERVICE: &str = r#"
services:
  crm:
    title: Клиенты
    sites: [dc1, dc2]
    rpo: 0B
    rto: 30s
    probe: {postgres: {address: "10.77.0.5:5432", database: billing, user: billing, password: billing-db}, every: 10ms}
    parts:
      - balancer: {name: front, backend: crm-db, servers: role=db}
      - database: crm-db
      - record: {zone: lab.test, name: crm, type: A, values: {dc1: 10.77.0.13, dc2: 10.77.0.23}, ttl: 5s}
"#;
