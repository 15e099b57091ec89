//! Who is let in, where, and by which key: held against both clients.

use super::{CLIENTS, Lost, Sshd, Stage, Transport, sh};
use crate::{base::Outcome, inventory::Client, transport::LostKind};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

fn keygen(arguments: &[&str]) {
    let made = Command::new("ssh-keygen")
        .arg("-q")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "{arguments:?}");
}

impl Sshd {
    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub(super) fn edit(&self, name: &str, edit: impl Fn(String) -> String) {
        let text = std::fs::read_to_string(self.at(name)).unwrap();
        std::fs::write(self.at(name), edit(text)).unwrap();
    }

    /// Puts lines before all others of the client's config.
    fn first(&self, lines: &str) {
        self.edit("config", |text| format!("{lines}\n{text}"));
    }

    /// Has another key shown, of this type.
    fn shows(&mut self, kind: &str) {
        for name in ["host", "host.pub"] {
            std::fs::remove_file(self.at(name)).unwrap();
        }
        keygen(&["-t", kind, "-N", "", "-f", &self.at("host")]);
        self.restart();
    }
}

async fn lost(stage: &Stage) -> Lost {
    let lost = stage.fleet.look(Some(&stage.host), &[]).await.unwrap_err();
    stage.fleet.close().await;
    lost
}

async fn lets_in(stage: &Stage) {
    let receipt = stage.do_once(sh("echo in")).await;
    assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "in\n"));
    stage.fleet.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_key_has_changed_is_refused_in_the_same_words_by_both() {
    let mut said = Vec::new();
    for client in CLIENTS {
        let Some(mut sshd) = Sshd::start("") else { return };
        sshd.shows("ed25519");
        let folder = sshd.at("");
        let lost = lost(&Stage::behind(sshd, client)).await;
        assert_eq!(lost.kind, LostKind::HostKey, "{lost}");
        let (before, after) = lost.why.split_once("SHA256:").unwrap();
        let after = after.split_once(',').unwrap().1.replace(&folder, "DIR/");
        said.push(format!("{before}SHA256:…,{after}"));
    }
    insta::assert_snapshot!(said.first().unwrap(), @"its host key is another than the known one; it shows SHA256:…, the known one stands in DIR/known:1");
    assert_eq!(said.first(), said.get(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_refused_in_the_same_words_by_both() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        // nothing that the config says makes a new key welcome
        sshd.first("StrictHostKeyChecking accept-new");
        std::fs::write(sshd.at("known"), "").unwrap();
        let known = sshd.at("known");
        let lost = lost(&Stage::behind(sshd, client)).await;
        assert_eq!(lost.kind, LostKind::HostKey, "{lost}");
        assert!(lost.why.starts_with("No ED25519 host key is known for [127.0.0.1]:"), "{lost}");
        assert!(lost.why.contains(" and you have requested strict checking"), "{lost}");
        assert_eq!(std::fs::read_to_string(known).unwrap_or_default(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        sshd.edit("known", |text| format!("{text}@revoked * {}", text.split_once(' ').unwrap().1));
        let lost = lost(&Stage::behind(sshd, client)).await;
        assert_eq!(lost.kind, LostKind::HostKey, "{lost}");
        assert!(lost.why.contains("revoked"), "{lost}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_known_by_a_hash_an_alias_or_without_its_port() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        keygen(&["-H", "-f", &sshd.at("known")]);
        assert!(std::fs::read_to_string(sshd.at("known")).unwrap().starts_with("|1|"));
        lets_in(&Stage::behind(sshd, client)).await;

        let Some(sshd) = Sshd::start("") else { return };
        sshd.edit("known", |text| format!("the-alias {}", text.split_once(' ').unwrap().1));
        sshd.first("HostKeyAlias the-alias");
        lets_in(&Stage::behind(sshd, client)).await;

        let Some(sshd) = Sshd::start("") else { return };
        sshd.edit("known", |text| format!("127.0.0.1 {}", text.split_once(' ').unwrap().1));
        lets_in(&Stage::behind(sshd, client)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_several_keys_is_known_by_one() {
    for kind in ["rsa", "ecdsa"] {
        for client in CLIENTS {
            let Some(mut sshd) = Sshd::start("") else { return };
            let other = sshd.at("other");
            keygen(&["-t", kind, "-N", "", "-f", &other]);
            sshd.edit("sshd_config", |text| format!("{text}HostKey {other}\n"));
            let public = std::fs::read_to_string(format!("{other}.pub")).unwrap();
            sshd.edit("known", |text| format!("{} {public}", text.split_once(' ').unwrap().0));
            sshd.restart();
            lets_in(&Stage::behind(sshd, client)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_usual_kind_let_one_in() {
    for kind in ["rsa", "ecdsa", "ed25519"] {
        for client in CLIENTS {
            let Some(sshd) = Sshd::start("") else { return };
            let key = sshd.at("mine");
            keygen(&["-t", kind, "-N", "", "-f", &key]);
            std::fs::copy(format!("{key}.pub"), sshd.at("authorized")).unwrap();
            sshd.first(&format!("IdentityFile {key}"));
            lets_in(&Stage::behind(sshd, client)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_too_many_keys_is_told_as_a_refusal_and_one_that_is_named_comes_first() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("MaxAuthTries 3") else { return };
        let socket = sshd.at("agent");
        let _agent = Agent::start(&socket);
        let add = |path: &str| {
            let added = Command::new("ssh-add").arg(path).env("SSH_AUTH_SOCK", &socket).stderr(Stdio::null()).status();
            assert!(added.unwrap().success(), "{path}");
        };
        for (number, kind) in ["ed25519", "dsa", "ecdsa", "rsa", "ed25519"].into_iter().enumerate() {
            let key = sshd.at(&format!("k{number}"));
            // no longer made everywhere
            let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f", &key]).status();
            if made.is_ok_and(|status| status.success()) {
                add(&key);
            }
        }
        let key = sshd.at("user");
        add(&key);
        sshd.edit("config", |text| text.replace("  IdentitiesOnly yes\n", &format!("  IdentityAgent {socket}\n")));
        let named = std::fs::read_to_string(sshd.at("config")).unwrap();
        sshd.edit("config", |text| text.replace(&key, "/nowhere"));
        let stage = Stage::behind(sshd, client);
        let lost = stage.fleet.look(Some(&stage.host), &[]).await.unwrap_err();
        assert_eq!(lost.kind, LostKind::Denied, "{client:?}: {lost}");
        assert!(lost.why.to_lowercase().contains("too many authentication failures"), "{client:?}: {lost}");
        std::fs::write(stage.sshd.as_ref().unwrap().at("config"), named).unwrap();
        // its private half is the agent's
        std::fs::remove_file(&key).unwrap();
        lets_in(&stage).await;
    }
}

/// An agent with a socket of its own.
struct Agent(Child);

impl Agent {
    fn start(socket: &str) -> Self {
        let child = Command::new("ssh-agent").args(["-D", "-a", socket]).stdout(Stdio::null()).spawn().unwrap();
        for _ in 0..500 {
            if Path::new(socket).exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _killed = self.0.kill().is_ok();
        let _reaped = self.0.wait().is_ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_key_lets_one_in_by_the_agent_alone() {
    for kind in ["ed25519", "rsa"] {
        for client in CLIENTS {
            let Some(sshd) = Sshd::start("") else { return };
            let (key, socket) = (sshd.at("mine"), sshd.at("agent"));
            keygen(&["-t", kind, "-N", "tres-secret-4711", "-f", &key]);
            std::fs::copy(format!("{key}.pub"), sshd.at("authorized")).unwrap();
            sshd.edit("config", |text| text.replace(&sshd.at("user"), &key) + &format!("  IdentityAgent {socket}\n"));
            let agent = Agent::start(&socket);
            let refused = Stage::behind(sshd, client);
            let lost: Lost = refused.fleet.look(Some(&refused.host), &[]).await.unwrap_err();
            assert_eq!(lost.kind, LostKind::Denied, "{lost}");
            assert!(lost.why.contains("Permission denied (publickey"), "{lost}");
            if client == Client::Native {
                assert!(lost.why.contains("is encrypted: give it to the agent (ssh-add "), "{lost}");
            }
            // what ssh-add would be told at a terminal
            let asked = refused.sshd.as_ref().unwrap().at("ask");
            std::fs::write(&asked, "#!/bin/sh\necho tres-secret-4711\n").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(&asked, mode).unwrap();
            let added = Command::new("ssh-add")
                .arg(&key)
                .envs([("SSH_AUTH_SOCK", &*socket), ("SSH_ASKPASS", &*asked), ("SSH_ASKPASS_REQUIRE", "force")])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(added.unwrap().success());
            // the private half is not needed any more
            std::fs::remove_file(&key).unwrap();
            lets_in(&refused).await;
            drop(agent);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_one_in() {
    for client in CLIENTS {
        let Some(mut sshd) = Sshd::start("") else { return };
        let (authority, key) = (sshd.at("authority"), sshd.at("user"));
        keygen(&["-t", "ed25519", "-N", "", "-f", &authority]);
        keygen(&["-s", &authority, "-I", "test", "-n", "root", &format!("{key}.pub")]);
        std::fs::write(sshd.at("authorized"), "").unwrap();
        sshd.edit("sshd_config", |text| format!("{text}TrustedUserCAKeys {authority}.pub\n"));
        sshd.restart();
        lets_in(&Stage::behind(sshd, client)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_not_used() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(sshd.at("user"), mode).unwrap();
        let lost = lost(&Stage::behind(sshd, client)).await;
        assert_eq!(lost.kind, LostKind::Denied, "{lost}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_leads_through_jump_hosts_each_with_its_own_key() {
    for client in CLIENTS {
        let (Some(one), Some(two), Some(target)) = (Sshd::start(""), Sshd::start(""), Sshd::start("")) else { return };
        for (name, jump) in [("one", &one), ("two", &two)] {
            let block = std::fs::read_to_string(jump.at("config")).unwrap();
            let block = block.replace("Host target", &format!("Host {name}")).replace("Host *\n", "");
            target.first(&block);
        }
        // the target's own user key opens the jump hosts, too, each of which has its known_hosts file
        target.first("Host target\n  ProxyJump one,root@two\n");
        let stage = Stage::behind(target, client);
        let receipt = stage.do_once(sh("true")).await;
        assert_eq!(receipt.outcome, Outcome::Ok, "{client:?}");
        for jump in [&one, &two] {
            assert_eq!(jump.logins(), 1, "{client:?}");
        }
        // a jump host that is not who it was is not spoken to
        stage.fleet.close().await;
        std::fs::write(two.at("known"), "").unwrap();
        let lost = stage.fleet.look(Some(&stage.host), &[]).await.unwrap_err();
        if client == Client::Native {
            assert_eq!(lost.kind, LostKind::HostKey, "{lost}");
            assert!(lost.why.starts_with("the jump host two: No ED25519 host key is known"), "{lost}");
        }
        stage.fleet.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_leads_to_itself_is_told() {
    let Some(sshd) = Sshd::start("") else { return };
    sshd.edit("config", |text| text.replace("Host target\n", "Host target jump\n  ProxyJump jump\n"));
    let lost = lost(&Stage::behind(sshd, Client::Native)).await;
    assert_eq!(lost.kind, LostKind::Unreachable, "{lost}");
    assert_eq!(lost.why, "the jump host jump: jumphost loop via jump");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_go_through_a_jump_host_share_one_connection_to_it_and_survive_its_end() {
    let (Some(jump), Some(target)) = (Sshd::start(""), Sshd::start("")) else { return };
    let block = std::fs::read_to_string(jump.at("config")).unwrap();
    target.edit("config", |text| text.replace("Host target\n", "Host target other\n  ProxyJump jump\n"));
    target.first(&block.replace("Host target", "Host jump").replace("Host *\n", ""));
    let stage = Stage::behind(target, Client::Native);
    let look = async || {
        let other = crate::base::HostName::new("other");
        let (one, two) = tokio::join!(stage.fleet.look(Some(&stage.host), &[]), stage.fleet.look(Some(&other), &[]));
        one.unwrap();
        two.unwrap();
    };
    look().await;
    assert_eq!(jump.logins(), 1);
    // all that goes through it is lost, and found again
    jump.hang_up();
    look().await;
    assert_eq!(jump.logins(), 2);
    stage.fleet.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ssh_config_says_of_a_host_holds_for_both() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("AcceptEnv WORD") else { return };
        // each of them would keep one out if it were passed over
        let more = sshd.at("more");
        std::fs::write(&more, "Match originalhost target exec \"true\"\n  SetEnv WORD=said\n").unwrap();
        sshd.first(&format!(
            "Host target\n  Include {more}\nHost other target !elsewhere\n  KexAlgorithms diffie-hellman-group14-sha256\n  \
             Ciphers aes256-ctr\n  MACs hmac-sha2-512\n  RekeyLimit 64K\nMatch all"
        ));
        let stage = Stage::behind(sshd, client);
        let receipt = stage.do_once(sh("echo \"$WORD\"; head -c 300000 /dev/zero | tr '\\000' x")).await;
        let text = &receipt.stdout.text;
        assert!(text.starts_with("said\nxxx"), "{client:?}: {}", text.get(..20).unwrap_or(text));
        stage.fleet.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_client_refuses_by_name_what_it_cannot() {
    let Some(sshd) = Sshd::start("") else { return };
    sshd.first("ProxyCommand nc %h %p");
    let lost = lost(&Stage::behind(sshd, Client::Native)).await;
    insta::assert_snapshot!(lost, @"could not reach `target`: `proxycommand nc %h %p` of its ssh_config is not supported by `client: native`; `client: openssh` is");
    assert_eq!(lost.kind, LostKind::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_is_told_as_ssh_tells_it() {
    let mut said = Vec::new();
    for client in CLIENTS {
        let Some(mut sshd) = Sshd::start("") else { return };
        sshd.stop();
        let lost = lost(&Stage::behind(sshd, client)).await;
        assert_eq!(lost.kind, LostKind::Unreachable, "{lost}");
        said.push(lost.why.split(" port ").next().unwrap().to_owned());
        assert!(lost.why.contains("Connection refused"), "{lost}");
    }
    assert_eq!(said.first(), said.get(1));
}
