//! One suite for every way to a host: what the contract of [`Transport`] promises, held against this machine and against
//! a throw-away sshd on it.

mod clusters;
mod files;
mod logins;
mod pairs;
mod places;
mod proofs;
mod sshd;

use super::{
    Lost, Settled, Terms, Transport,
    fleet::{Fleet, Options, Prompter},
    vault::Vault,
};
use crate::{
    base::{
        Act, Answer, At, Change, Content, FileFacts, Hash, HostName, Invocation, Outcome, Place, Program, Read,
        Receipt, Redactor, RunId, Source, Span, Text, Way,
    },
    inventory::{Client, Host, Inventory, SecretSource, Ssh},
};
use sshd::Sshd;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A host under test, and a folder that it and the test both see.
struct Stage {
    fleet: Arc<Fleet>,
    host: HostName,
    run: RunId,
    folder: tempfile::TempDir,
    vault: Arc<Vault>,
    acts: AtomicUsize,
    sshd: Option<Sshd>,
}

struct Nobody;
impl Prompter for Nobody {
    fn ask(&self, _question: &str, _evidence: bool) -> Result<String, String> {
        Err("nobody is there".to_owned())
    }
}

impl Stage {
    fn here() -> Self {
        Self::with(None, Client::OpenSsh, Options::default())
    }

    fn behind(sshd: Sshd, client: Client) -> Self {
        Self::with(Some(sshd), client, Options::default())
    }

    fn with(sshd: Option<Sshd>, client: Client, options: Options) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), "tres-secret-4711").unwrap();
        let config = sshd.as_ref().map(|s| s.folder.path().join("config").to_string_lossy().into_owned());
        let named = |name: &str| Host {
            name: name.into(),
            site: None,
            address: None,
            labels: BTreeMap::new(),
            local: sshd.is_none(),
            ssh: Ssh { config: config.clone(), client, ..Ssh::default() },
        };
        let inventory =
            Inventory { project: "test".into(), hosts: ["target", "other"].map(named).into(), ..Inventory::default() };
        let redactor = Redactor::default();
        let secrets = BTreeMap::from([("pw".to_owned(), SecretSource::File("pw".into()))]);
        let vault = Arc::new(Vault::new(secrets, folder.path().to_owned(), redactor.clone()));
        let fleet = Arc::new(Fleet::new(&inventory, Arc::clone(&vault), redactor, options, Arc::new(Nobody)));
        let millis = u64::from(std::process::id()) * 1000 + RUNS.fetch_add(1, Ordering::SeqCst);
        let run = RunId::at_millis(1_700_000_000_000 + millis);
        Self { fleet, host: HostName::new("target"), run, folder, vault, acts: AtomicUsize::new(0), sshd }
    }

    fn place(&self) -> Place {
        Place::on(&self.host)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    async fn look(&self, reads: Vec<Read>) -> Vec<Answer> {
        let reads: Vec<At<Read>> = reads.into_iter().map(|read| self.place().at(read)).collect();
        self.fleet.look(Some(&self.host), &reads).await.unwrap().answers
    }

    async fn act(&self) -> Act {
        let boot = self.fleet.open(&self.run, &self.place()).await.unwrap();
        assert!(!boot.is_empty());
        let number = self.acts.fetch_add(1, Ordering::SeqCst);
        Act { run: self.run.clone(), task: "1@target".into(), way: Way::Forward, number, boot }
    }

    async fn carry(&self, act: &Act, change: Change) -> Receipt {
        self.fleet.carry(act, &self.place().at(change), TERMS).await.unwrap()
    }

    async fn do_once(&self, change: Change) -> Receipt {
        let act = self.act().await;
        self.carry(&act, change).await
    }

    fn write(&self, path: &str, text: &str) -> Change {
        let content = self.vault.text(&Text::from(text)).unwrap();
        write(path, content)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let uid = rustix::process::getuid();
        for left in [PathBuf::from(format!("/tmp/svcops-{}", uid.as_raw())), undo_folder()] {
            let _gone = std::fs::remove_dir_all(left.join(self.run.as_str())).is_ok();
        }
    }
}

/// Where this user's runs keep what they replace.
fn undo_folder() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    let state = std::env::var_os("XDG_STATE_HOME").map_or_else(|| home.join(".local/state"), PathBuf::from);
    let base = if rustix::process::getuid().is_root() { PathBuf::from("/var/lib") } else { state };
    base.join("svcops/undo")
}

const TERMS: Terms = Terms { within: Duration::from_secs(60), interruptible: true };

fn sh(text: &str) -> Change {
    Change::Run(invocation(Program::Shell(text.to_owned())))
}

fn invocation(program: Program) -> Invocation {
    Invocation {
        program,
        stdin: None,
        env: BTreeMap::new(),
        cwd: None,
        within: Span::secs(20),
        codes: vec![0],
        touches: Vec::new(),
    }
}

fn write(path: &str, content: Content) -> Change {
    Change::WriteFile { path: path.to_owned(), content, mode: None, owner: None, group: None, validate: None }
}

/// Waits until something is so; a test that waits in vain fails.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

async fn a_command_answers_with_its_code_and_what_it_wrote(stage: &Stage) {
    let receipt = stage.do_once(sh("echo привет; printf '\\377\\000x' >&2; exit 3")).await;
    assert_eq!(receipt.code, Some(3));
    assert_eq!(receipt.stdout.text, "привет\n");
    assert_eq!((receipt.stderr.text.as_str(), receipt.stderr.bytes), ("\u{fffd}\0x", 3));
    assert!(matches!(&receipt.outcome, Outcome::Failed(why) if why.starts_with("exit code 3")), "{receipt:?}");
    assert_eq!(stage.do_once(sh("exit 0")).await.outcome, Outcome::Ok);
    assert_eq!(stage.do_once(sh("kill -KILL $$")).await.code, Some(137));
    let expecting =
        |text: &str| Change::Run(Invocation { codes: vec![1, 3], ..invocation(Program::Shell(text.to_owned())) });
    assert_eq!(stage.do_once(expecting("exit 3")).await.outcome, Outcome::Ok);
    assert!(matches!(stage.do_once(expecting("exit 0")).await.outcome, Outcome::Failed(_)));
}

async fn a_command_gets_its_input_arguments_environment_and_folder(stage: &Stage) {
    let program = Program::Argv(vec![
        "sh".into(),
        "-c".into(),
        "cat; pwd; echo \"$1|$V\"".into(),
        "x".into(),
        "it's $HOME".into(),
    ]);
    let change = Change::Run(Invocation {
        stdin: Some(Text::from("one\ntwo")),
        env: BTreeMap::from([("V".to_owned(), Text::from("a 'b'\nc"))]),
        cwd: Some("/usr".into()),
        ..invocation(program)
    });
    let receipt = stage.do_once(change).await;
    assert_eq!(receipt.stdout.text, "one\ntwo/usr\nit's $HOME|a 'b'\nc\n", "{receipt:?}");
    // nothing on the input is an end of it, not a wait
    assert_eq!(stage.do_once(sh("cat; echo done")).await.stdout.text, "done\n");
}

async fn a_script_is_sent_and_run_by_its_first_line(stage: &Stage) {
    let content = stage.vault.text(&Text::from("#!/bin/sh -u\necho \"$1\" \"$-\"\n")).unwrap();
    let program = Program::Script { content, interpreter: None, args: vec!["a b".into()] };
    let receipt = stage.do_once(Change::Run(invocation(program))).await;
    assert!(receipt.stdout.text.starts_with("a b ") && receipt.stdout.text.contains('u'), "{receipt:?}");
}

async fn what_cannot_begin_is_refused(stage: &Stage) {
    let none = stage.do_once(Change::Run(invocation(Program::Argv(vec!["no-such-program-4711".into()])))).await;
    assert_eq!(none.outcome, Outcome::Refused("`no-such-program-4711` was not found".into()));
    let folder = Change::Run(Invocation { cwd: Some("/no/such".into()), ..invocation(Program::Shell("true".into())) });
    assert!(matches!(stage.do_once(folder).await.outcome, Outcome::Refused(_)));
    // not found somewhere inside is a failure: what stood before it ran
    assert!(matches!(stage.do_once(sh("no-such-program-4711")).await.outcome, Outcome::Failed(_)));
}

async fn a_flood_of_output_neither_kills_the_command_nor_is_kept(stage: &Stage) {
    let text = "echo first; dd if=/dev/zero bs=1048576 count=50 2>/dev/null | tr '\\000' x; echo last";
    let receipt = stage.do_once(sh(text)).await;
    assert_eq!(receipt.outcome, Outcome::Ok, "{:?}", receipt.stderr);
    let out = &receipt.stdout;
    assert!(out.text.len() <= crate::base::Output::CAP, "{}", out.text.len());
    assert!(out.text.starts_with("first\n") && out.text.ends_with("last\n"));
    // counted to within one block of the reader, which is lost where it stops keeping
    assert!(out.bytes.abs_diff(50 * 1_048_576 + 11) <= 4096, "{}", out.bytes);
}

async fn a_child_left_behind_holds_nothing_up(stage: &Stage) {
    let pid = stage.path("left");
    let receipt = stage.do_once(sh(&format!("sleep 300 & echo $! >{pid}; echo started"))).await;
    assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "started\n"));
    let pid = stage.text("left");
    assert!(alive(&pid));
    let killed = std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(killed.success());
}

async fn past_its_deadline_a_command_is_ended_with_its_group(stage: &Stage) {
    let pid = stage.path("child");
    let act = stage.act().await;
    let change = stage.place().at(sh(&format!("sleep 300 & echo $! >{pid}; wait")));
    let terms = Terms { within: Duration::from_secs(1), interruptible: true };
    let receipt = stage.fleet.carry(&act, &change, terms).await.unwrap();
    assert!(matches!(&receipt.outcome, Outcome::Failed(why) if why.contains("ran out of time")), "{receipt:?}");
    assert!(!alive(&stage.text("child")));
    // and so it is told again
    assert_eq!(stage.fleet.carry(&act, &change, terms).await.unwrap().outcome, receipt.outcome);
}

async fn what_must_not_be_interrupted_is_left_alone_and_called_unknown(stage: &Stage) {
    let pid = stage.path("alone");
    let act = stage.act().await;
    let change = stage.place().at(sh(&format!("echo $$ >{pid}; exec sleep 300")));
    let terms = Terms { within: Duration::from_secs(1), interruptible: false };
    let receipt = stage.fleet.carry(&act, &change, terms).await.unwrap();
    assert!(matches!(&receipt.outcome, Outcome::Unknown(why) if why.contains("still running")), "{receipt:?}");
    assert!(alive(&stage.text("alone")));
    assert!(stage.fleet.cancel(&act, &stage.place()).await.unwrap());
    assert!(!alive(&stage.text("alone")));
}

async fn the_same_act_is_carried_out_once(stage: &Stage) {
    let act = stage.act().await;
    let change = stage.place().at(sh(&format!("echo x >>{}; sleep 0.3; echo said", stage.path("once"))));
    let five = (0..5).map(|_| stage.fleet.carry(&act, &change, TERMS));
    for receipt in futures_util::future::join_all(five).await {
        let receipt = receipt.unwrap();
        assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "said\n"));
    }
    assert_eq!(stage.fleet.carry(&act, &change, TERMS).await.unwrap().stdout.text, "said\n");
    assert_eq!(stage.text("once"), "x\n");
    let settled = stage.fleet.settle(&act, &change, TERMS).await.unwrap();
    assert!(matches!(settled, Settled::Was(Receipt { outcome: Outcome::Ok, .. })));
}

async fn what_was_settled_as_never_begun_never_begins(stage: &Stage) {
    let act = stage.act().await;
    let change = stage.place().at(sh(&format!("echo x >{}", stage.path("never"))));
    assert_eq!(stage.fleet.settle(&act, &change, TERMS).await.unwrap(), Settled::Never);
    assert_eq!(stage.fleet.settle(&act, &change, TERMS).await.unwrap(), Settled::Never);
    let late = stage.fleet.carry(&act, &change, TERMS).await.unwrap();
    assert!(matches!(late.outcome, Outcome::Refused(_)), "{late:?}");
    assert_eq!(stage.text("never"), "");
}

async fn an_act_of_another_boot_is_unknown(stage: &Stage) {
    let act = Act { boot: "another".into(), ..stage.act().await };
    let change = stage.place().at(sh(&format!("echo x >{}", stage.path("boot"))));
    let receipt = stage.fleet.carry(&act, &change, TERMS).await.unwrap();
    assert!(matches!(receipt.outcome, Outcome::Unknown(_)), "{receipt:?}");
    let settled = stage.fleet.settle(&act, &change, TERMS).await.unwrap();
    assert!(matches!(settled, Settled::Was(Receipt { outcome: Outcome::Unknown(_), .. })), "{settled:?}");
    assert_eq!(stage.text("boot"), "");
}

async fn an_act_outlives_the_loss_of_contact(stage: &Stage) {
    let act = stage.act().await;
    let go = stage.path("go");
    let change = stage.place().at(sh(&format!("echo x >>{go}.n; until [ -e {go} ]; do sleep 0.05; done; echo went")));
    {
        let carry = stage.fleet.carry(&act, &change, TERMS);
        let begun = until("the act begins", || stage.text("go.n") == "x\n");
        tokio::select! { _ = carry => panic!("it waits"), () = begun => {} }
    }
    stage.fleet.close().await;
    std::fs::write(&go, "").unwrap();
    let receipt = stage.fleet.carry(&act, &change, TERMS).await.unwrap();
    assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "went\n"));
    assert_eq!(stage.text("go.n"), "x\n");
}

async fn an_act_whose_processes_died_without_an_end_is_unknown(stage: &Stage) {
    let act = stage.act().await;
    let change = stage.place().at(sh(&format!("echo $$ >{}; exec sleep 300", stage.path("dies"))));
    let kill = async {
        until("it begins", || stage.text("dies").ends_with('\n')).await;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", stage.text("dies").trim())).unwrap();
        let group = stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap().to_owned();
        let status = std::process::Command::new("kill").args(["-s", "KILL", "--", &format!("-{group}")]).status();
        assert!(status.unwrap().success());
    };
    let (receipt, ()) = tokio::join!(stage.fleet.carry(&act, &change, TERMS), kill);
    assert!(matches!(receipt.unwrap().outcome, Outcome::Unknown(_)));
}

async fn secrets_stand_in_no_argv_and_in_no_receipt(stage: &Stage) {
    let secret = Text(Text::mark("pw"));
    // the pattern does not match itself in grep's own argv
    let program = "cat; echo \"$PW\"; cat /proc/[0-9]*/cmdline | tr '\\000' ' ' | grep -c 'tres-secret-471[1]'";
    let change = Change::Run(Invocation {
        stdin: Some(secret.clone()),
        env: BTreeMap::from([("PW".to_owned(), secret)]),
        ..invocation(Program::Shell(program.into()))
    });
    let receipt = stage.do_once(change).await;
    assert_eq!(receipt.stdout.text, "*** ***\n0\n".replace(' ', ""), "{receipt:?}");
    assert!(receipt.stdout.redacted);
}

async fn somebody_else_is_become_by_sudo(stage: &Stage) {
    if std::process::Command::new("sudo").args(["-n", "-u", "nobody", "true"]).status().is_err() {
        return;
    }
    let nobody = stage.place().becoming(Some("nobody".into()));
    let carry = |place: Place, change: Change| async move {
        stage.fleet.carry(&stage.act().await, &place.at(change), TERMS).await.unwrap()
    };
    assert_eq!(carry(nobody.clone(), sh("id -un")).await.stdout.text, "nobody\n");
    let change = Change::Run(Invocation {
        stdin: Some(Text::from("in")),
        env: BTreeMap::from([("PW".to_owned(), Text(Text::mark("pw")))]),
        cwd: Some("/usr".into()),
        ..invocation(Program::Shell(
            "cat; pwd; echo \"${#PW}\"; cat /proc/[0-9]*/cmdline | grep -c 'tres-secret-471[1]'".into(),
        ))
    });
    assert_eq!(carry(nobody.clone(), change).await.stdout.text, "in/usr\n16\n0\n");
    let content = stage.vault.text(&Text::from("id -un; echo $1")).unwrap();
    let script = Program::Script { content, interpreter: Some("/bin/sh".into()), args: vec!["x".into()] };
    assert_eq!(carry(nobody.clone(), Change::Run(invocation(script))).await.stdout.text, "nobody\nx\n");
    let failed = carry(nobody.clone(), sh("exit 1")).await;
    assert_eq!((failed.code, failed.outcome), (Some(1), Outcome::Failed("exit code 1".into())));
    let stranger = stage.place().becoming(Some("no-such-user".into()));
    let refused = carry(stranger, sh("true")).await;
    assert!(matches!(refused.outcome, Outcome::Refused(_)), "{refused:?}");
    let pid = stage.path("by-nobody");
    std::fs::write(&pid, "").unwrap();
    let act = stage.act().await;
    let change = nobody.at(sh("trap '' HUP; sleep 300; true"));
    let terms = Terms { within: Duration::from_secs(1), interruptible: true };
    let receipt = stage.fleet.carry(&act, &change, terms).await.unwrap();
    assert!(matches!(&receipt.outcome, Outcome::Failed(why) if why.contains("ran out of time")), "{receipt:?}");
}

async fn reads_are_answered_in_their_order_and_each_for_itself(stage: &Stage) {
    std::fs::write(stage.path("r1"), "x").unwrap();
    let answers = stage
        .look(vec![
            Read::Run(invocation(Program::Shell("echo out; echo err >&2; exit 7".into()))),
            Read::File { path: stage.path("r1") },
            Read::Run(invocation(Program::Argv(vec!["no-such-program-4711".into()]))),
            Read::File { path: stage.path("none") },
            Read::Run(Invocation { within: Span::secs(1), ..invocation(Program::Shell("sleep 300".into())) }),
        ])
        .await;
    let [Answer::Run(one), Answer::File(Some(_)), Answer::Bad(why), Answer::File(None), Answer::Run(slow)] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!((one.code, one.stdout.as_str(), one.stderr.as_str()), (Some(7), "out\n", "err\n"));
    assert!(why.contains("was not found"));
    assert_eq!(slow.code, None);
}

async fn a_port_and_a_page_are_seen_from_the_host(stage: &Stage) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            if stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                let said = stream.write_all(b"HTTP/1.1 503 Sick\r\nContent-Length: 4\r\n\r\nsick").await;
                drop(said);
            }
        }
    });
    let http = crate::base::HttpAsk {
        url: format!("http://127.0.0.1:{port}/health"),
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        ca: None,
        within: Span::secs(10),
    };
    let tcp = |port| Read::Tcp { host: "127.0.0.1".into(), port, within: Span::secs(10) };
    let answers = stage.look(vec![Read::Http(http), tcp(port), tcp(1)]).await;
    server.abort();
    let [Answer::Http(page), Answer::Tcp(open), Answer::Tcp(shut)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((page.status, page.body.as_str()), (Some(503), "sick"), "{page:?}");
    assert!(open.open && !shut.open);
    assert_eq!(shut.error.as_deref(), Some("connection refused"));
}

/// Runs all of the suite, most of it at once: a host has many acts at a time, too.
async fn the_receipts_of_a_run_that_is_over_are_taken_away(stage: &Stage) {
    let act = stage.act().await;
    stage.fleet.carry(&act, &stage.place().at(sh("echo said")), TERMS).await.unwrap();
    let folder = PathBuf::from(format!("/tmp/svcops-{}/{}", rustix::process::getuid().as_raw(), stage.run));
    assert!(folder.is_dir());
    stage.fleet.forget(&stage.run, &BTreeSet::new()).await;
    assert!(!folder.exists());
    let receipt = stage.fleet.carry(&act, &stage.place().at(sh("echo again")), TERMS).await.unwrap();
    assert!(matches!(receipt.outcome, Outcome::Unknown(_)), "{receipt:?}");
}

async fn all(stage: &Stage) {
    let cases: Vec<super::Fut<'_, ()>> = vec![
        Box::pin(a_command_answers_with_its_code_and_what_it_wrote(stage)),
        Box::pin(a_command_gets_its_input_arguments_environment_and_folder(stage)),
        Box::pin(a_script_is_sent_and_run_by_its_first_line(stage)),
        Box::pin(what_cannot_begin_is_refused(stage)),
        Box::pin(a_flood_of_output_neither_kills_the_command_nor_is_kept(stage)),
        Box::pin(a_child_left_behind_holds_nothing_up(stage)),
        Box::pin(past_its_deadline_a_command_is_ended_with_its_group(stage)),
        Box::pin(what_must_not_be_interrupted_is_left_alone_and_called_unknown(stage)),
        Box::pin(the_same_act_is_carried_out_once(stage)),
        Box::pin(what_was_settled_as_never_begun_never_begins(stage)),
        Box::pin(an_act_of_another_boot_is_unknown(stage)),
        Box::pin(an_act_whose_processes_died_without_an_end_is_unknown(stage)),
        Box::pin(files::an_input_comes_as_it_is_whether_told_or_sent(stage)),
        Box::pin(files::a_file_is_put_at_its_place_and_brought_back(stage)),
        Box::pin(files::a_file_gets_another_name_where_nothing_is(stage)),
        Box::pin(files::what_was_kept_a_quarter_ago_is_kept_no_more(stage)),
        Box::pin(files::a_file_behind_a_link_is_written_through_it(stage)),
        Box::pin(files::a_file_that_does_not_validate_changes_nothing(stage)),
        Box::pin(files::a_large_file_is_streamed_whole(stage)),
        Box::pin(pairs::a_pair_is_switched_and_brought_back_and_no_key_stays_elsewhere(stage)),
        Box::pin(proofs::the_proof_of_a_name_comes_and_goes_with_the_folders_that_were_made_for_it(stage)),
        Box::pin(proofs::what_answers_for_a_name_serves_it_alone_and_is_gone_when_it_is_told(stage)),
        Box::pin(pairs::keys_of_every_kind_are_made(stage)),
        Box::pin(pairs::half_a_pair_is_seen_and_repaired(stage)),
        Box::pin(pairs::what_cannot_be_replaced_is_told_before(stage)),
        Box::pin(pairs::a_key_goes_from_one_host_to_another_and_stands_nowhere_between(stage)),
        Box::pin(secrets_stand_in_no_argv_and_in_no_receipt(stage)),
        Box::pin(somebody_else_is_become_by_sudo(stage)),
        Box::pin(reads_are_answered_in_their_order_and_each_for_itself(stage)),
        Box::pin(a_port_and_a_page_are_seen_from_the_host(stage)),
    ];
    futures_util::future::join_all(cases).await;
    assert_eq!(files::leftovers(stage.folder.path()), Vec::<PathBuf>::new());
    an_act_outlives_the_loss_of_contact(stage).await;
    the_receipts_of_a_run_that_is_over_are_taken_away(stage).await;
    stage.fleet.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_keeps_the_contract() {
    all(&Stage::here()).await;
}

/// What must hold for each of them.
const CLIENTS: [Client; 2] = [Client::OpenSsh, Client::Native];

/// A client speaks to two hosts, which are both this machine.
async fn both(client: Client) {
    if let Some(sshd) = Sshd::start("") {
        sshd.edit("config", |text| text.replace("Host target", "Host target other"));
        all(&Stage::behind(sshd, client)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_keeps_the_contract() {
    both(Client::OpenSsh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_client_keeps_the_contract() {
    both(Client::Native).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_costs_no_act() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        let stage = Stage::behind(sshd, client);
        let act = stage.act().await;
        let go = stage.path("go");
        let change =
            stage.place().at(sh(&format!("echo x >>{go}.n; until [ -e {go} ]; do sleep 0.05; done; echo went")));
        let cut = async {
            until("the act begins", || stage.text("go.n") == "x\n").await;
            stage.sshd.as_ref().unwrap().hang_up();
            std::fs::write(&go, "").unwrap();
        };
        let (first, ()) = tokio::join!(stage.fleet.carry(&act, &change, TERMS), cut);
        let receipt = match first {
            Ok(receipt) => receipt,
            Err(_) => stage.fleet.carry(&act, &change, TERMS).await.unwrap(),
        };
        assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "went\n"));
        assert_eq!(stage.text("go.n"), "x\n");
        stage.fleet.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_an_unknown_key_is_not_spoken_to() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        std::fs::write(sshd.folder.path().join("known"), "").unwrap();
        let stage = Stage::behind(sshd, client);
        let lost: Lost = stage.fleet.look(Some(&stage.host), &[]).await.unwrap_err();
        assert_eq!(lost.kind, super::LostKind::HostKey, "{lost}");
        stage.fleet.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_not_let_in_is_told_so() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        std::fs::write(sshd.folder.path().join("authorized"), "").unwrap();
        let stage = Stage::behind(sshd, client);
        let lost: Lost = stage.fleet.look(Some(&stage.host), &[]).await.unwrap_err();
        assert_eq!(lost.kind, super::LostKind::Denied, "{lost}");
        assert!(lost.why.contains("Permission denied"), "{lost}");
        stage.fleet.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_two_stores_with_one_id_keep_their_receipts_apart() {
    let stage = Stage::here();
    let host = Host {
        name: stage.host.clone(),
        site: None,
        address: None,
        labels: BTreeMap::new(),
        local: true,
        ssh: Ssh::default(),
    };
    let inventory = Inventory { hosts: vec![host], ..crate::inventory::sample::sample() };
    let of = |store: &str| {
        let options = Options { store: store.into(), ..Options::default() };
        Fleet::new(&inventory, Arc::clone(&stage.vault), Redactor::default(), options, Arc::new(Nobody))
    };
    let (one, other) = (of("-one"), of("-other"));
    let place = stage.place();
    let words = (one.open(&stage.run, &place).await.unwrap(), other.open(&stage.run, &place).await.unwrap());
    assert_ne!(words.0, words.1);
    one.forget(&stage.run, &BTreeSet::new()).await;
    let act = Act { run: stage.run.clone(), task: "1@x".into(), way: Way::Forward, number: 0, boot: words.1 };
    let receipt = other.carry(&act, &place.at(sh("echo said")), TERMS).await.unwrap();
    assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "said\n"));
    // as a resume in another process would, which has opened nothing
    let folder = PathBuf::from(format!("/tmp/svcops-{}/{}-other", rustix::process::getuid().as_raw(), stage.run));
    of("-other").forget(&stage.run, &BTreeSet::new()).await;
    assert!(folder.is_dir(), "it is not known to have acted there");
    of("-other").forget(&stage.run, &BTreeSet::from([stage.host.clone()])).await;
    assert!(!folder.exists());
}
