//! A renewal by an own authority on this machine, killed at each of its events: no half pair stays on the disk, and no key
//! outside of its place.

use crate::support::{Project, is};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn a_renewal_that_is_killed_at_any_event_is_resumed_to_a_whole_pair() {
    at_every_event(|world, run| {
        world.project.svcops(&["resume", run, "--yes"]).exits(0);
        assert_eq!(world.project.outcome(run), "done");
        world.has_a_new_pair();
        // what is there is not due
        world.project.svcops(&["cert", "renew", "--yes"]).exits(0);
        assert_eq!(world.project.newest()["run"], run, "renewed once more");
    });
}

#[test]
fn a_renewal_that_is_killed_at_any_event_is_rolled_back_to_the_earlier_pair() {
    at_every_event(|world, run| {
        world.project.svcops(&["rollback", run, "--yes"]).exits(0);
        assert_eq!(world.project.outcome(run), "rolled_back");
        assert_eq!(world.pair(), world.before, "all as it was");
    });
}

/// A project whose certificate is due, and what lay in its place.
struct World {
    project: Project,
    before: BTreeMap<String, String>,
}

impl World {
    /// `house`: an authority that was made once for all of them.
    fn new(house: &Path) -> Self {
        let project = Project::new("");
        let tls = project.root().join("tls");
        let tls = tls.display();
        project.file(
            "svcops.yaml",
            &format!(
                "project: дом\nhosts:\n  here: {{local: true}}\nsecrets:\n  ca-key: {{file: ca.password}}\nissuers:\n  house: {{ca: {{folder: '{}', password: ca-key}}}}\ncertificates:\n  web:\n    names: [web.lab.test]\n    issuer: house\n    renew: 30d\n    places: [{{hosts: here, cert: '{tls}/web.crt', key: '{tls}/web.key'}}]\n",
                house.display()
            ),
        );
        project.file("ca.password", "correct horse\n").file("tls/keep", "");
        let folder = project.root().join("tls");
        openssl(
            &folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=old -addext subjectAltName=DNS:web.lab.test -keyout web.key -out web.crt",
        );
        let mut world = Self { project, before: BTreeMap::new() };
        world.before = world.pair();
        world
    }

    /// All that lies beside the pair.
    fn pair(&self) -> BTreeMap<String, String> {
        let files = fs::read_dir(self.project.root().join("tls")).unwrap().map(|file| file.unwrap().path());
        files
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
            .collect()
    }

    fn has_a_new_pair(&self) {
        let pair = self.pair();
        assert_eq!(pair.keys().collect::<Vec<_>>(), ["keep", "web.crt", "web.key"], "nothing stays staged");
        assert!(pair["web.crt"] != self.before["web.crt"] && pair["web.key"] != self.before["web.key"]);
        self.is_whole();
    }

    /// The key in its place is the certificate's.
    fn is_whole(&self) {
        let folder = self.project.root().join("tls");
        let of_cert = openssl(&folder, "x509 -in web.crt -noout -pubkey");
        assert_eq!(of_cert, openssl(&folder, "pkey -in web.key -pubout"), "half a pair");
    }

    /// Keys stand beside the pair, in the undo folder of the run, and nowhere else.
    fn keeps_keys_in_their_place(&self, run: &str) {
        let home = self.project.root().parent().unwrap().to_owned();
        let receipts =
            fs::read_dir(format!("/tmp/svcops-{}", uid())).into_iter().flatten().map(|entry| entry.unwrap().path());
        let receipts = receipts.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(run));
        for place in receipts.chain([home, PathBuf::from("/var/lib/svcops/undo").join(run)]) {
            for path in keys_below(&place) {
                let beside = path.starts_with(self.project.root().join("tls"));
                let undo = path.components().any(|part| part.as_os_str() == "undo");
                let text = fs::read_to_string(&path).unwrap_or_default();
                let ours = text.contains(self.before["web.key"].lines().nth(1).unwrap());
                assert!(beside || (undo && ours), "a key in {}", path.display());
            }
        }
    }
}

/// Kills a renewal at its first event, another at its second, and so on.
fn at_every_event(then: impl Fn(&World, &str)) {
    let home = tempfile::tempdir().unwrap();
    let first = World::new(&home.path().join("house"));
    first.project.svcops(&["cert", "ca", "create", "house", "--algorithm", "p256"]).exits(0);
    let mut at = 0;
    loop {
        at += 1;
        let world = World::new(&home.path().join("house"));
        let mut running = world.project.stream(&["cert", "renew", "web", "--yes"]);
        let seen = std::iter::from_fn(|| running.event()).take(at).collect::<Vec<_>>();
        if seen.len() < at || is(seen.last().unwrap(), "finished") {
            running.finish().exits(0);
            world.has_a_new_pair();
            assert!(at > 15, "the renewal has only {at} events");
            return;
        }
        running.kill();
        let newest = world.project.newest();
        let run = newest["run"].as_str().unwrap();
        world.is_whole();
        world.keeps_keys_in_their_place(run);
        if newest["outcome"] != "interrupted" {
            continue;
        }
        if !world.project.events(run).iter().any(|e| is(e, "locked")) {
            continue;
        }
        then(&world, run);
        world.is_whole();
        world.keeps_keys_in_their_place(run);
    }
}

fn openssl(folder: &Path, words: &str) -> String {
    let done = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn keys_below(folder: &Path) -> Vec<PathBuf> {
    let found = Command::new("grep").args(["-rlaE", "BEGIN (EC |RSA )?PRIVATE KEY"]).arg(folder).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(PathBuf::from).collect()
}

fn uid() -> String {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}
