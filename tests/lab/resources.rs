//! What runs out on a real host, what is left there, and svcops itself killed a hundred times.

use crate::{
    hosts::{APP_HOSTS, Lab},
    support::{Ended, Project},
};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

const MARKS: &str = "svcops: 1
name: marks
targets: HOST
params: {mark: {type: string}}
steps:
  - name: First
    command: {run: 'echo {{ params.mark }} 1 >> /var/tmp/svcops-marks'}
    undo: [{command: \"sed -i '/^{{ params.mark }} 1$/d' /var/tmp/svcops-marks\"}]
  - {name: File, file.copy: {content: '{{ params.mark }}', dest: /var/tmp/svcops-killed.conf}}
  - name: Second
    command: {run: 'echo {{ params.mark }} 2 >> /var/tmp/svcops-marks'}
    become: none
    undo: [{command: \"sudo sed -i '/^{{ params.mark }} 2$/d' /var/tmp/svcops-marks\"}]
  - name: Slow
    command: {run: 'sleep 0.1; echo {{ params.mark }} 3 >> /var/tmp/svcops-marks'}
    undo: [{command: \"sed -i '/^{{ params.mark }} 3$/d' /var/tmp/svcops-marks\"}]
";

/// On each of four hosts.
const KILLS: usize = 25;

#[test]
fn killed_a_hundred_times_at_random_svcops_does_each_act_once_or_takes_it_back() {
    let Some(lab) = Lab::take("killed_a_hundred_times_at_random_svcops_does_each_act_once_or_takes_it_back") else {
        return;
    };
    for host in APP_HOSTS {
        lab.on(host, "sudo install -m 666 /dev/null /var/tmp/svcops-marks; sudo rm -f /var/tmp/svcops-killed.conf");
    }
    std::thread::scope(|scope| {
        for (number, host) in APP_HOSTS.into_iter().enumerate() {
            let lab = &lab;
            scope.spawn(move || killed_on(lab, host, 4711 + number as u64));
        }
    });
}

fn killed_on(lab: &Lab, host: &str, seed: u64) {
    let crm = lab.crm();
    crm.file("runbooks/marks.yaml", &MARKS.replace("HOST", host));
    let mut dice = Dice(seed);
    let whole = {
        let begun = Instant::now();
        crm.svcops(&["run", "runbooks/marks.yaml", "-p", "mark=m0", "--yes"]).exits(0);
        begun.elapsed()
    };
    let (mut kills, mut round, mut marks, mut file) = (0, 0, expected("m0"), "m0".to_owned());
    while kills < KILLS {
        round += 1;
        let mark = format!("m{round}");
        let param = format!("mark={mark}");
        let before = crm.newest()["run"].clone();
        let mut alive = killed_after(&crm, &["run", "runbooks/marks.yaml", "-p", &param, "--yes"], dice.part_of(whole));
        kills += usize::from(alive);
        let newest = crm.newest();
        if newest["run"] == before {
            continue;
        }
        let run = newest["run"].as_str().unwrap();
        if crm.svcops(&["history", "show", run]).exits(0).stdout.is_empty() || !begun(&crm, run) {
            crm.svcops(&["resume", run, "--yes"]).exits(2).says("before it began");
            continue;
        }
        let back = dice.roll().is_multiple_of(2);
        let on = [if back { "rollback" } else { "resume" }, run, "--yes"];
        for _ in 0..dice.roll() % 3 {
            if alive && kills < KILLS {
                alive = killed_after(&crm, &on, dice.part_of(whole));
                kills += usize::from(alive);
            }
        }
        if crm.outcome(run) == "interrupted" {
            crm.svcops(&on).exits(0);
        }
        match crm.outcome(run).as_str() {
            "done" => {
                marks.extend(expected(&mark));
                file = mark;
            }
            "rolled_back" => {}
            other => panic!("seed {seed}, round {round} on {host}: {run} is {other}"),
        }
    }
    let seen = lab.on(host, "cat /var/tmp/svcops-marks");
    assert_eq!(seen.lines().collect::<Vec<_>>(), marks, "seed {seed} on {host}");
    assert_eq!(lab.on(host, "sudo cat /var/tmp/svcops-killed.conf"), file, "seed {seed} on {host}");
    assert_eq!(lab.on(host, "pgrep -f 'svcops-[a]ct' || true"), "", "no act is left on {host}");
    assert_eq!(
        lab.on(host, "ls -A /var/tmp | grep '^[.]svcops-killed' || true"),
        "",
        "no half a file is left on {host}"
    );
    crm.svcops(&["history", "verify"]).exits(0);
    lab.on(host, "sudo rm -f /var/tmp/svcops-killed.conf");
}

/// Whether a run came as far as its locks: before that it has touched nothing.
fn begun(crm: &Project, run: &str) -> bool {
    crm.events(run).iter().any(|event| crate::support::is(event, "locked"))
}

fn expected(mark: &str) -> Vec<String> {
    (1..=3).map(|n| format!("{mark} {n}")).collect()
}

/// Starts svcops and kills it after a while; whether it was still there.
fn killed_after(crm: &Project, words: &[&str], delay: Duration) -> bool {
    let mut child = crm.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

/// Numbers that look random and are the same for the same seed (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }
    fn part_of(&mut self, whole: Duration) -> Duration {
        whole * u32::try_from(self.roll() % 1000).unwrap() / 1000
    }
}

/// A small file system mounted over a folder of a host, and taken away again.
struct Tiny<'a> {
    lab: &'a Lab,
    host: &'static str,
    at: &'static str,
}

impl<'a> Tiny<'a> {
    fn over(lab: &'a Lab, host: &'static str, at: &'static str, options: &str) -> Self {
        lab.on(host, &format!("sudo mkdir -p {at} && sudo mount -t tmpfs -o {options} tmpfs {at}"));
        Self { lab, host, at }
    }
    /// To its last byte.
    fn fill(&self) {
        self.lab.on(self.host, &format!("sudo dd if=/dev/zero of={}/fill 2> /dev/null || true", self.at));
    }
    fn empty(&self) {
        self.lab.on(self.host, &format!("sudo rm {}/fill", self.at));
    }
}

impl Drop for Tiny<'_> {
    fn drop(&mut self) {
        let text = format!("sudo umount -l {at}; sudo rmdir {at} 2> /dev/null || true", at = self.at);
        let _gone = self.lab.ssh(self.host).arg(text).status().is_ok();
    }
}

const HOST: &str = "dc1-app1";

fn run(crm: &Project, step: &str) -> Ended {
    crm.file("runbooks/one.yaml", &format!("svcops: 1\nname: one\ntargets: {HOST}\nsteps:\n  - {step}\n"));
    crm.svcops(&["run", "runbooks/one.yaml", "--yes"])
}

#[test]
fn where_the_targets_disk_is_full_the_file_stays_as_it_was() {
    let Some(lab) = Lab::take("where_the_targets_disk_is_full_the_file_stays_as_it_was") else { return };
    let crm = lab.crm();
    let disk = Tiny::over(&lab, HOST, "/srv/svcops-full", "size=256k");
    lab.on(HOST, "echo before | sudo tee /srv/svcops-full/app.conf");
    disk.fill();
    crm.file("files/large", &"x".repeat(200_000));

    let full = run(&crm, "file.copy: {src: files/large, dest: /srv/svcops-full/app.conf}").exits(1);
    full.clone().says("No space left on device").says(HOST);
    assert_eq!(
        lab.on(HOST, "ls -A /srv/svcops-full; cat /srv/svcops-full/app.conf"),
        "app.conf\nfill\nbefore\n",
        "{full}"
    );

    disk.empty();
    run(&crm, "file.copy: {src: files/large, dest: /srv/svcops-full/app.conf}").exits(0);
    crm.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn where_what_stands_cannot_be_kept_for_an_undo_nothing_is_written() {
    let Some(lab) = Lab::take("where_what_stands_cannot_be_kept_for_an_undo_nothing_is_written") else { return };
    let crm = lab.crm();
    lab.on(HOST, "head -c 200000 /dev/zero | tr '\\000' x | sudo tee /etc/billing/billing.conf > /dev/null");
    let before = lab.on(HOST, "sha256sum /etc/billing/billing.conf; ls -A /etc/billing");
    let step = "file.copy: {content: new, dest: /etc/billing/billing.conf}";
    {
        let disk = Tiny::over(&lab, HOST, "/var/lib/svcops/undo", "size=64k");
        disk.fill();
        let full = run(&crm, step).exits(1);
        full.clone().says("could not be kept: No space left on device").says(HOST);
        assert_eq!(lab.on(HOST, "sha256sum /etc/billing/billing.conf; ls -A /etc/billing"), before, "{full}");
    }
    run(&crm, step).exits(0);
    crm.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn where_no_receipt_can_be_kept_nothing_begins() {
    let Some(lab) = Lab::take("where_no_receipt_can_be_kept_nothing_begins") else { return };
    let crm = lab.crm();
    let disk = Tiny::over(&lab, HOST, "/tmp/svcops-2000", "size=64k,mode=700,uid=2000,gid=2000");
    disk.fill();
    let step = "command: {run: 'echo done >> /var/tmp/svcops-marks'}";

    let full = run(&crm, step).exits(1);
    full.clone().says("no receipt can be kept").says("/tmp/svcops-2000");
    assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks 2> /dev/null || true"), "", "{full}");

    disk.empty();
    run(&crm, step).exits(0);
    assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks"), "done\n");
    crm.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn a_disk_that_fills_under_the_receipts_during_an_act_loses_output_and_not_the_outcome() {
    let Some(lab) = Lab::take("a_disk_that_fills_under_the_receipts_during_an_act_loses_output_and_not_the_outcome")
    else {
        return;
    };
    let crm = lab.crm();
    let _disk = Tiny::over(&lab, HOST, "/tmp/svcops-2000", "size=128k,mode=700,uid=2000,gid=2000");
    let fills = "dd if=/dev/zero of=/tmp/svcops-2000/fill 2> /dev/null; seq 100000; echo done >> /var/tmp/svcops-marks";

    let failed = run(&crm, &format!("command: {{run: '{fills}; exit 3'}}")).exits(3).says("exit code 3");
    lab.on(HOST, "sudo rm /tmp/svcops-2000/fill");
    let went = run(&crm, &format!("command: {{run: '{fills}'}}")).exits(0);
    assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks"), "done\ndone\n", "{failed}{went}");
    crm.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn out_of_time_the_children_of_root_are_ended_too() {
    let Some(lab) = Lab::take("out_of_time_the_children_of_root_are_ended_too") else { return };
    let crm = lab.crm();
    let text = "(trap \"\" TERM; exec -a svcops-child sleep 301) & exec sleep 302";
    let step = format!("{{command: [bash, -c, '{text}'], timeout: 1s}}");
    run(&crm, &step).exits(3).says("ran out of time after 1 s");
    assert_eq!(lab.on(HOST, "pgrep -af '30[12]' | grep -w sleep || true; pgrep -af 'svcops-[c]hild' || true"), "");
    crm.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn where_sudo_asks_for_a_password_or_a_terminal_the_step_fails_at_once_and_nothing_ran() {
    let Some(lab) = Lab::take("where_sudo_asks_for_a_password_or_a_terminal_the_step_fails_at_once_and_nothing_ran")
    else {
        return;
    };
    let crm = lab.crm();
    let step = "{command: {run: 'echo done >> /tmp/svcops-asked'}, become: nobody}";
    for (rule, code, says) in [
        ("ops ALL=(nobody) PASSWD: ALL", 3, "a password is required"),
        ("Defaults>nobody requiretty", 1, "a tty to run sudo"),
    ] {
        let _rule = Rule::new(&lab, rule);
        // the first is no refusal: sudo lists what it would let run with a password, too
        let refused = run(&crm, step).exits(code).says(says).says(HOST);
        assert_eq!(lab.on(HOST, "ls /tmp/svcops-asked 2> /dev/null || true"), "", "{refused}");
        assert_eq!(lab.on(HOST, "pgrep -x sudo || true"), "", "no sudo waits for an answer\n{refused}");
    }
    run(&crm, step).exits(0);
    lab.on(HOST, "sudo rm /tmp/svcops-asked");
    crm.svcops(&["history", "verify"]).exits(0);
}

/// A rule of sudo's, taken back afterwards.
struct Rule<'a>(&'a Lab);

impl<'a> Rule<'a> {
    fn new(lab: &'a Lab, rule: &str) -> Self {
        let this = Self(lab);
        lab.on(HOST, &format!("echo '{rule}' | sudo install -m 440 /dev/stdin {FILE} && sudo visudo -cq"));
        this
    }
}

impl Drop for Rule<'_> {
    fn drop(&mut self) {
        let _gone = self.0.ssh(HOST).arg(format!("sudo rm -f {FILE}")).status().is_ok();
    }
}

const FILE: &str = "/etc/sudoers.d/zz-svcops-test";
