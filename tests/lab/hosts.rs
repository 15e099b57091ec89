//! The lab's hosts: one test at a time has them, and leaves them as they were.

use crate::support::Project;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// The lab, held by one test.
pub struct Lab {
    state: PathBuf,
    _held: File,
}

/// What a host shows of billing: equal before and after means that nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `active`, with the id of that start.
    pub unit: String,
    /// The files in `/etc/billing`, each with its hash, mode, owner and time.
    pub files: String,
}

impl Lab {
    /// Takes the lab for this test and brings its hosts to the state that they have after `lab up`. Where there is none,
    /// says so and answers nothing.
    pub fn take(test: &str) -> Option<Self> {
        let Ok(state) = std::env::var("SVCOPS_LAB") else {
            // Past the capture of test output: whoever runs the tests should see it.
            let line = format!("skipped: `{test}` needs the lab: SVCOPS_LAB is not set (tests/lab/README.md)\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let lock = File::create(format!("{}.test.lock", state.trim_end_matches('/'))).unwrap();
        lock.lock().unwrap();
        let lab = Self { state: state.into(), _held: lock };
        assert!(lab.ssh_config().exists(), "SVCOPS_LAB is {}, but no lab is up there", lab.state.display());
        lab.reset();
        // The gate counts these lines: a lab that is up must be used.
        let ran = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("lab-tests-ran");
        writeln!(File::options().create(true).append(true).open(ran).unwrap(), "{test}").unwrap();
        Some(lab)
    }

    /// A project with the language's own example as its inventory, word for word, and the lab's keys in its home.
    pub fn crm(&self) -> Project {
        let project = Project::new(include_str!("../data/crm/svcops.yaml"));
        project.file("runbooks/billing-restart.yaml", include_str!("../data/crm/runbooks/billing-restart.yaml"));
        project.file("files/billing.conf", include_str!("../data/crm/files/billing.conf"));
        fs::create_dir(project.home().join(".ssh")).unwrap();
        fs::copy(self.ssh_config(), project.home().join(".ssh/config")).unwrap();
        project
    }

    /// As [`Lab::crm`], by this client, and with an ssh_config that holds a silent host for lost within seconds, as a
    /// user's may.
    pub fn impatient(&self, client: &str) -> Project {
        let project = self.crm();
        let inventory = include_str!("../data/crm/svcops.yaml");
        let asked = inventory.replacen("ssh: {user: ops,", &format!("ssh: {{user: ops, client: {client},"), 1);
        assert_ne!(asked, inventory);
        project.file("svcops.yaml", &asked);
        Self::ssh_says(&project, "ServerAliveInterval 1\nServerAliveCountMax 3\nConnectTimeout 2\n");
        project
    }

    /// Puts lines before all others of a project's ssh_config.
    pub fn ssh_says(project: &Project, lines: &str) {
        let place = project.home().join(".ssh/config");
        let text = fs::read_to_string(&place).unwrap();
        fs::write(place, format!("{lines}{text}")).unwrap();
    }

    /// A copy of the project of the examples, as it stands, and the lab's keys in its home.
    pub fn examples(&self) -> Project {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/examples");
        let project = Project::new(&fs::read_to_string(from.join("svcops.yaml")).unwrap());
        for folder in ["runbooks", "files"] {
            for entry in fs::read_dir(from.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy();
                project.file(&format!("{folder}/{name}"), &fs::read_to_string(&path).unwrap());
            }
        }
        fs::create_dir(project.home().join(".ssh")).unwrap();
        fs::copy(self.ssh_config(), project.home().join(".ssh/config")).unwrap();
        project
    }

    /// Runs a text on a host and answers what it wrote.
    #[track_caller]
    pub fn on(&self, host: &str, text: &str) -> String {
        let output = self.ssh(host).arg(text).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{host}: `{text}`: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// What the app hosts show now.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        APP_HOSTS.iter().map(|host| ((*host).to_owned(), self.seen_on(host))).collect()
    }

    /// What one of them shows.
    pub fn seen_on(&self, host: &str) -> Seen {
        Seen {
            unit: self.on(host, "systemctl show billing billing-tls -p ActiveState -p InvocationID"),
            files: self
                .on(host, "cd /etc/billing && sudo find . -type f -printf '%p %m %u %g %T@ ' -exec sha256sum {} \\;"),
        }
    }

    /// What an operator set for each server of the backend: `dc1-app1` → `ready`, `drain` or `maint`.
    pub fn balanced() -> BTreeMap<String, &'static str> {
        let table = haproxy("show servers state billing");
        let rows = table.lines().filter(|line| line.contains(" billing "));
        rows.map(|row| {
            let fields: Vec<&str> = row.split(' ').collect();
            // srv_name and srv_admin_state: management guide, 9.3, "show servers state"
            let admin: u32 = fields[6].parse().unwrap();
            let state = if admin & 0x01 != 0 {
                "maint"
            } else if admin & 0x08 != 0 {
                "drain"
            } else {
                "ready"
            };
            (fields[3].to_owned(), state)
        })
        .collect()
    }

    /// Makes sure that the mail sink is up, and answers with the mails in it that have a text in them.
    pub fn mails_with(&self, text: &str) -> Vec<String> {
        if TcpStream::connect("127.0.0.1:1025").is_err() {
            self.lab(&["service", "start", "smtp"]);
        }
        let Ok(folder) = fs::read_dir(self.state.join("svc/smtp/maildir/new")) else { return vec![] };
        let mails = folder.map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned());
        mails.filter(|mail| mail.contains(text)).collect()
    }

    /// Network failure: the host falls silent.
    pub fn cut(&self, host: &str) {
        self.lab(&["cut", host]);
    }

    /// Its end.
    pub fn heal(&self, host: &str) {
        self.lab(&["heal", host]);
    }

    /// Power loss: everything on the host is gone at once, and nobody is told.
    pub fn power_off(&self, host: &str) {
        self.lab(&["kill", host]);
    }

    /// Boots it again, with the disk that it had.
    pub fn power_on(&self, host: &str) {
        self.lab(&["up", host]);
    }

    /// A file of its state directory.
    pub fn state(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// How ssh reaches its hosts.
    pub fn ssh_config(&self) -> PathBuf {
        self.state.join("ssh_config")
    }

    /// ssh to a host, what is to be run there still to come.
    pub fn ssh(&self, host: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.ssh_config()).arg(host).stdin(Stdio::null());
        ssh
    }

    /// The lab's own command, as its README has it.
    pub fn lab(&self, words: &[&str]) {
        assert!(self.tries(words), "lab {words:?}");
    }

    /// The same, where it may fail: a host whose database its boot fence holds back is up, and `degraded`.
    pub fn tries(&self, words: &[&str]) -> bool {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab");
        Command::new(lab).args(words).env("SVCOPS_LAB_DIR", &self.state).status().unwrap().success()
    }

    /// As after `lab up`: links up, no flag of the sample application set, everything running and in rotation.
    pub fn reset(&self) {
        self.lab(&["heal", "*"]);
        std::thread::scope(|scope| {
            for host in APP_HOSTS {
                scope.spawn(|| self.on(host, RESET));
            }
        });
        haproxy(&APP_HOSTS.map(|host| format!("set server billing/{host} state ready")).join("; "));
        for _ in 0..100 {
            let table = haproxy("show stat");
            let up = |host| table.lines().any(|l| l.starts_with(&format!("billing,{host},")) && l.contains(",UP,"));
            if APP_HOSTS.into_iter().all(up) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("HAProxy does not see every server up: {}", haproxy("show stat"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Also after a failure, whose message must stay the one that is seen.
        let reset = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.reset()));
        if reset.is_err() {
            let line = b"the lab could not be brought back to what it was\n";
            std::io::stderr().write_all(line).unwrap_or_default();
        }
    }
}

/// A line to HAProxy's runtime API, and what it answers.
pub fn haproxy(line: &str) -> String {
    let mut api = TcpStream::connect("10.77.0.5:9999").unwrap();
    writeln!(api, "{line}").unwrap();
    let mut said = String::new();
    api.read_to_string(&mut said).unwrap();
    said
}

/// What [`Lab::balanced`] shows while every server takes traffic.
pub fn all_ready() -> BTreeMap<String, &'static str> {
    APP_HOSTS.iter().map(|host| ((*host).to_owned(), "ready")).collect()
}

/// The servers of the backend `billing`.
pub const APP_HOSTS: [&str; 4] = ["dc1-app1", "dc1-app2", "dc2-app1", "dc2-app2"];

const RESET: &str =
    "cd /etc/billing && sudo rm -f fail-start hang-start slow-stop sick billing.conf .svcops-* /var/tmp/svcops-marks
    test ! -d /etc/systemd/system/billing-tls.service.d || {
        sudo rm -r /etc/systemd/system/billing-tls.service.d; sudo systemctl daemon-reload; }
    test ! -d /var/tmp/svcops-tls || {
        sudo cp -p /var/tmp/svcops-tls/tls.crt /var/tmp/svcops-tls/tls.key . && sudo rm -r /var/tmp/svcops-tls &&
        sudo systemctl reload billing-tls; }
    test ! -e /opt/billing/VERSION.before || {
        sudo mv /opt/billing/VERSION.before /opt/billing/VERSION; sudo systemctl restart billing; }
    sudo systemctl reset-failed billing billing-tls # systemd counts the starts of the test before, too
    systemctl is-active -q billing && systemctl is-active -q billing-tls || sudo systemctl start billing billing-tls";
