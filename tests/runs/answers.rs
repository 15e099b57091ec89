//! A certificate that people issue: the request goes into the ticket, and `cert import` takes what they answer.

use crate::support::Project;
use rusqlite::Connection;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// A project whose certificate is due, with people (`pki/`) who answer.
fn world() -> Project {
    let project = Project::new("");
    let tls = project.root().join("tls");
    let tls = tls.display();
    project
        .file(
            "svcops.yaml",
            &format!(
                "project: дом\nhosts:\n  here: {{local: true}}\nissuers:\n  corp: {{csr: {{note: Send it to the PKI desk}}, trust: pki/ca.pem}}\ncertificates:\n  web:\n    names: [web.lab.test]\n    issuer: corp\n    renew: 30d\n    places: [{{hosts: here, cert: '{tls}/web.crt', key: '{tls}/web.key'}}]\n"
            ),
        )
        .file("tls/keep", "")
        .file("pki/names", "subjectAltName=DNS:web.lab.test\n");
    openssl(
        &project.root().join("tls"),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=old -addext subjectAltName=DNS:web.lab.test -keyout web.key -out web.crt",
    );
    for ca in ["ca", "other"] {
        openssl(
            &project.root().join("pki"),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 900 -subj /CN={ca} -addext keyUsage=critical,keyCertSign -keyout {ca}.key -out {ca}.pem"
            ),
        );
    }
    project
}

/// All that lies beside the pair.
fn pair(project: &Project) -> BTreeMap<String, String> {
    let files = fs::read_dir(project.root().join("tls")).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// People answer `request` with a certificate by `ca`.
fn answer(project: &Project, request: &str, ca: &str, file: &str) {
    openssl(
        &project.root().join("pki"),
        &format!(
            "x509 -req -in {request} -CA {ca}.pem -CAkey {ca}.key -set_serial 0x{file} -days 90 -extfile names -out {file}"
        ),
    );
}

fn comments(project: &Project) -> Vec<String> {
    let desk = Connection::open(project.state().join("desk.db")).unwrap();
    let mut ask = desk.prepare("SELECT text FROM entries WHERE what = 'comment' ORDER BY id").unwrap();
    ask.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_request_goes_into_the_ticket_and_what_people_answer_is_put_in_place() {
    let project = world();
    let before = pair(&project);
    project
        .svcops(&["cert", "renew", "web", "--yes"])
        .exits(0)
        .says("the request for `web` on `here` waits for people to answer it")
        .says("Send it to the PKI desk")
        .says("svcops cert import web FILE");
    let run = project.newest()["run"].clone();
    let staged = pair(&project);
    assert_eq!((&staged["web.crt"], &staged["web.key"]), (&before["web.crt"], &before["web.key"]));
    project.svcops(&["ticket", "sync"]).exits(0);
    let said = comments(&project);
    let told: Vec<&String> = said.iter().filter(|text| text.contains("BEGIN CERTIFICATE REQUEST")).collect();
    let [told] = told.as_slice() else { panic!("told {} times: {said:#?}", told.len()) };
    for words in ["request   for `web.lab.test` on `here`", "Send it to the PKI desk", "`svcops cert import web FILE`"]
    {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    let (begin, end) = ("-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----");
    let body = told.split_once(begin).unwrap().1.split_once(end).unwrap().0;
    let pem = format!("{begin}{body}{end}\n");
    assert!(staged.values().any(|text| text.trim() == pem.trim()), "another request is staged");
    project.file("pki/request", &pem);

    // nothing new while they think, nor for who insists
    for words in [&["cert", "renew", "--yes"][..], &["cert", "renew", "web", "--yes", "-o", "json"]] {
        project.svcops(words).exits(0).says("waits for people to answer it");
        assert_eq!((&project.newest()["run"], pair(&project)), (&run, staged.clone()));
    }
    project.svcops(&["cert", "renew", "web", "--force", "--yes"]).exits(0).says("waits for people to answer it");
    assert_eq!(pair(&project), staged, "the request that people have is the one that is staged");

    // answers that are none
    openssl(
        &project.root().join("pki"),
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=web.lab.test -keyout own.key -out own",
    );
    answer(&project, "own", "ca", "01");
    answer(&project, "request", "other", "02");
    project.file("pki/names", "subjectAltName=DNS:shop.lab.test\n");
    answer(&project, "request", "ca", "03");
    project.file("pki/names", "subjectAltName=DNS:web.lab.test\n").file("pki/04", "Дорогие коллеги!\n");
    let newest = project.newest()["run"].clone();
    for (file, why) in [
        ("01", "answers a request for `web` that waits on a host"),
        ("02", "the answer for `web` on `here` does not hold"),
        ("03", "the answer for `web` on `here` does not hold"),
        ("04", "pki/04"),
        ("05", "pki/05"),
    ] {
        project.svcops(&["cert", "import", "web", &format!("pki/{file}"), "--yes"]).exits(2).says(why);
        assert_eq!((pair(&project), &project.newest()["run"]), (staged.clone(), &newest), "{file} touched something");
    }

    answer(&project, "request", "ca", "06");
    project.svcops(&["cert", "import", "web", "pki/06", "--yes"]).exits(0);
    let after = pair(&project);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["keep", "web.crt", "web.key"], "nothing stays staged");
    let tls = project.root().join("tls");
    assert_eq!(openssl(&tls, "x509 -in web.crt -noout -serial"), "serial=06\n");
    let key = openssl(&tls, "pkey -in web.key -pubout");
    assert_eq!(openssl(&tls, "x509 -in web.crt -noout -pubkey"), key);
    project.svcops(&["cert", "import", "web", "pki/06", "--yes"]).exits(2).says("no request for `web` waits");
    project.svcops(&["cert", "renew", "--yes"]).exits(0).says("nothing is due");
}

fn openssl(folder: &Path, words: &str) -> String {
    let done = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
