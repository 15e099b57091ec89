//! `svcops cert check` against servers of OpenSSL, whose certificates are made here and now.

use crate::support::{Ended, Project};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A CA, and servers with certificates of it.
struct House {
    folder: tempfile::TempDir,
    servers: Vec<Child>,
}

impl House {
    fn new() -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap(), servers: Vec::new() };
        house.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 300 -subj /CN=House -keyout ca.key -out ca.crt");
        house
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, words: &str) {
        let done = Command::new("openssl").args(words.split(' ')).current_dir(self.folder.path()).output().unwrap();
        assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A certificate for a name and so many days; its key lies beside it.
    fn cert(&self, name: &str, dns: &str, days: u32) {
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=site -addext subjectAltName=DNS:{dns} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -days {days} -copy_extensions copy -out {name}.crt"
        ));
    }

    /// Serves it; the port.
    fn serve(&mut self, name: &str) -> u16 {
        serve(&mut self.servers, self.folder.path(), name, &[])
    }
}

fn serve(servers: &mut Vec<Child>, folder: &Path, name: &str, options: &[&str]) -> u16 {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")])
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    servers.push(server);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    port
}

impl Drop for House {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ended = server.kill().and_then(|()| server.wait()).is_ok();
        }
    }
}

fn word(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_served_is_judged_and_the_exit_code_says_how_it_is() {
    let mut house = House::new();
    for (name, days) in [("sound", 90), ("soon", 20), ("now", 3)] {
        house.cert(name, "localhost", days);
    }
    let ports = ["sound", "soon", "now"].map(|name| format!("localhost:{}", house.serve(name)));
    let [sound, soon, now] = ports.each_ref().map(String::as_str);
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let ca = word(&house.at("ca.crt"));
    let check = |more: &[&str]| crm.svcops(&[&["cert", "check", "--ca", &ca], more].concat());

    check(&[sound]).exits(0).says("OK: 1 certificate at 1 place, nothing is wrong").says("ca.crt");
    check(&[soon]).exits(1).says("at most 30 wanted");
    check(&[now]).exits(2).says("at most 7 wanted");
    check(&[now, "--warn", "3d", "--crit", "1d"]).exits(1);
    check(&[now, "--warn", "1d", "--crit", "1d"]).exits(0);
    check(&[sound, "--share", "50%"]).exits(0);
    check(&[sound, "--name", "crm.example.org"]).exits(2).says("not for `crm.example.org`, but for `localhost`");
    // whom the system trusts knows nothing of this house; it may have no store at all
    crm.svcops(&["cert", "check", sound]).exits(2).says("the system's store");
    check(&["localhost:1"]).exits(3).says("nothing listens there");
    // critical before unknown
    check(&["localhost:1", now]).exits(2);
}

#[test]
fn every_form_of_the_answer_tells_the_same() {
    let mut house = House::new();
    house.cert("soon", "localhost", 20);
    let target = format!("localhost:{}", house.serve("soon"));
    // made for twenty whole days: within its first second it has them all, and from then on nineteen and a part
    std::thread::sleep(Duration::from_millis(1100));
    fs::write(house.at("list"), format!("# those of the shop\n{target}\n{target}  # again\n\n")).unwrap();
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let ca = word(&house.at("ca.crt"));
    let check = |form: &str| crm.svcops(&["cert", "check", "--ca", &ca, &target, "-o", form]).exits(1);

    let json: serde_json::Value = serde_json::from_str(&check("json").stdout).unwrap();
    assert_eq!((&json["status"], &json["exit_code"]), (&"WARNING".into(), &1.into()));
    let place = &json["places"][0];
    assert_eq!(place["target"], target.as_str());
    let days = &place["days_left"];
    assert_eq!(days, 19, "{place}");
    assert_eq!((&place["faults"][0]["fault"], &place["trusted"]), (&"near_expiry".into(), &true.into()));
    assert_eq!(place["chain"].as_array().unwrap().len(), 2, "{place}");
    let nagios = check("nagios").stdout;
    assert!(nagios.starts_with("CERT WARNING: ") && nagios.contains(&format!(" | days={days};30;7\n")), "{nagios}");
    let prometheus = check("prometheus").stdout;
    assert!(prometheus.contains(&format!("svcops_cert_status{{target=\"{target}\"}} 1\n")), "{prometheus}");
    let csv = check("csv").stdout;
    assert!(csv.lines().nth(1).unwrap().starts_with(&format!("WARNING,{target},{days},")), "{csv}");
    // a list from stdin, each once
    let words = ["cert", "check", "--ca", &ca, "-"];
    let listed = Ended::of(&words, crm.command(&words).stdin(fs::File::open(house.at("list")).unwrap()));
    listed.exits(1).says("1 certificate at 1 place");
}

#[test]
fn files_are_looked_at_with_the_key_that_lies_in_them() {
    let house = House::new();
    house.cert("a", "localhost", 90);
    house.cert("b", "localhost", 90);
    let text = |name: &str| fs::read_to_string(house.at(name)).unwrap();
    let folder = house.at("certs");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.pem"), text("a.crt") + &text("a.key")).unwrap();
    fs::write(folder.join("notes.txt"), "nothing").unwrap();
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let folder = word(&folder);
    crm.svcops(&["cert", "check", &folder]).exits(0).says("a.pem");
    fs::write(Path::new(&folder).join("b.pem"), text("b.crt") + &text("a.key")).unwrap();
    let ca = word(&house.at("ca.crt"));
    let mixed = crm.svcops(&["cert", "check", "--ca", &ca, &folder]).exits(2);
    mixed.says("the private key beside it is of another").says("2 certificates at 2 places, 1 CRITICAL");
    crm.svcops(&["cert", "check", "--ca", &ca, &word(&house.at("a.csr"))])
        .exits(3)
        .says("there is no certificate in it");
    crm.svcops(&["cert", "check", "--ca", &word(&house.at("a.key")), &folder]).exits(3).says("no certificate in it");
}

#[test]
fn those_that_never_answer_do_not_hold_the_others() {
    let mut house = House::new();
    house.cert("sound", "localhost", 90);
    let sound = format!("localhost:{}", house.serve("sound"));
    // they take connections, and say nothing
    let silent: Vec<TcpListener> = (0..20).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut words: Vec<String> =
        silent.iter().map(|s| format!("localhost:{}", s.local_addr().unwrap().port())).collect();
    words.push(sound);
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let ca = word(&house.at("ca.crt"));
    let fixed = ["cert", "check", "--ca", &ca, "--timeout", "1s", "-o", "json"];
    let all: Vec<&str> = fixed.into_iter().chain(words.iter().map(String::as_str)).collect();
    let began = Instant::now();
    let json: serde_json::Value = serde_json::from_str(&crm.svcops(&all).exits(3).stdout).unwrap();
    // one after the other they would take twenty
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let of = |status: &str| json["places"].as_array().unwrap().iter().filter(|p| p["status"] == status).count();
    assert_eq!((of("UNKNOWN"), of("OK")), (20, 1), "{json}");
}

#[test]
fn a_chain_is_told_as_a_tree_and_a_request_with_who_holds_its_key() {
    let house = House::new();
    house.cert("a", "localhost", 90);
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let at = |name: &str| word(&house.at(name));
    let chain = crm.svcops(&["cert", "inspect", &at("a.crt"), "--ca", &at("ca.crt")]).exits(0);
    let lines: Vec<&str> = chain.stdout.lines().collect();
    assert!(lines[0].starts_with("House  trusted by ") && lines[0].ends_with("ca.crt, from the store"), "{chain}");
    assert!(lines.contains(&"└─ localhost") && chain.stdout.contains("EC P-256"), "{chain}");
    crm.svcops(&["cert", "inspect", &at("a.crt")]).exits(0).says("does not hold who gave the first of them");
    let request = crm.svcops(&["cert", "inspect", &at("a.csr")]).exits(0);
    request.says("CN=site").says("with its own key, so who asks has it");
    let json = crm.svcops(&["cert", "inspect", &at("a.csr"), "-o", "json"]).exits(0).json();
    assert_eq!((&json["requests"][0]["proven"], &json["certificates"]), (&true.into(), &serde_json::json!([])));
    // of a key nobody sees more than that it is there
    let key = crm.svcops(&["cert", "inspect", &at("a.key")]).exits(0).says("1 private key, not shown");
    assert!(!key.stdout.contains("MII"), "{key}");
    crm.svcops(&["cert", "inspect", &at("nothing.pem")]).exits(2);
    crm.svcops(&["cert", "inspect", "localhost:1"]).exits(1).says("nothing listens there");
}

/// An `ssh` is not needed: a local host is read by the same script.
fn declaring(house: &House, port: u16, more: &str) -> Project {
    let at = |name: &str| word(&house.at(name));
    Project::new(&format!(
        "project: certs\nsecrets: {{store: {{file: {}}}}}\nhosts:\n  here: {{local: true}}\n  next: {{local: true}}\n\
         issuers:\n  house: {{csr: {{}}, trust: {}}}\ncertificates:\n  shop:\n    names: [\"{{{{ host.name }}}}.shop.test\", localhost]\n    \
         issuer: house\n    warn: 40d\n    places:\n      - {{hosts: here, cert: {}, key: {}, served: \"localhost:{port}\"}}\n{more}",
        at("word"),
        at("ca.crt"),
        at("shop.crt"),
        at("shop.key"),
    ))
}

#[test]
fn all_that_is_declared_is_looked_at_on_its_hosts_and_where_it_is_served() {
    let mut house = House::new();
    house.cert("shop", "here.shop.test,DNS:localhost", 60);
    let port = house.serve("shop");
    fs::write(house.at("word"), "open sesame").unwrap();
    let crm = declaring(&house, port, "");
    let json = crm.svcops(&["cert", "check", "-o", "json"]).exits(0).json();
    let places: Vec<(&str, &str, &str)> = json["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["target"].as_str().unwrap(), p["status"].as_str().unwrap(), p["certificate"].as_str().unwrap()))
        .collect();
    let (file, served) = (format!("here:{}", word(&house.at("shop.crt"))), format!("localhost:{port}"));
    assert_eq!(places, [(file.as_str(), "OK", "shop"), (served.as_str(), "OK", "shop")], "{json}");
    crm.svcops(&["cert", "check", "shop"]).exits(0).says("1 certificate at 2 places").says("ca.crt");
    // another one was put there, and nobody made the server read it: its own threshold counts, too
    house.cert("shop", "here.shop.test,DNS:localhost", 39);
    let told = crm.svcops(&["cert", "check"]).exits(1);
    assert!(told.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains("it was not read again"), "{told}");
    told.says("40 wanted");
    // a key of another one, and a name that is missing
    house.cert("other", "localhost", 60);
    fs::copy(house.at("other.key"), house.at("shop.key")).unwrap();
    crm.svcops(&["cert", "check"]).exits(2).says("beside it is of another");
    fs::copy(house.at("other.crt"), house.at("shop.crt")).unwrap();
    crm.svcops(&["cert", "check"]).exits(2).says("not for `here.shop.test`");
    fs::remove_file(house.at("shop.crt")).unwrap();
    let gone = crm.svcops(&["cert", "check"]).exits(3).says("there is no such file");
    assert!(!gone.stdout.contains("os error"), "{gone}");
    // nothing is chosen of what is only here
    crm.svcops(&["cert", "check", "-l", "next"]).exits(3).says("is on a selected host");
}

#[test]
fn files_and_folders_of_a_host_are_read_there_and_no_key_comes_here() {
    let house = House::new();
    house.cert("a", "localhost", 90);
    house.cert("b", "localhost", 90);
    let folder = house.at("имя с пробелом");
    fs::create_dir(&folder).unwrap();
    let text = |name: &str| fs::read_to_string(house.at(name)).unwrap();
    fs::write(folder.join("a.pem"), text("a.crt") + &text("a.key")).unwrap();
    house.openssl("x509 -in b.crt -outform DER -out b.der");
    fs::copy(house.at("b.der"), folder.join("b.der")).unwrap();
    fs::write(folder.join("notes.txt"), "nothing").unwrap();
    fs::write(house.at("word"), "open sesame").unwrap();
    let crm = declaring(&house, 1, "");
    let at = |name: &str| format!("next:{}", word(&folder.join(name)));
    let ca = word(&house.at("ca.crt"));
    let both = crm.svcops(&["cert", "check", "--ca", &ca, &at(""), "-o", "json"]).exits(0).json();
    assert_eq!(both["places"].as_array().unwrap().len(), 2, "{both}");
    fs::write(folder.join("a.pem"), text("a.crt") + &text("b.key")).unwrap();
    crm.svcops(&["cert", "check", &at("a.pem")]).exits(2).says("beside it is of another");
    crm.svcops(&["cert", "check", &at("notes.txt")]).exits(3).says("neither PEM nor");
    crm.svcops(&["cert", "check", "nexd:/etc/x.pem"]).exits(3).says("did you mean `next`?");
}

#[test]
fn a_store_of_pkcs12_is_opened_by_a_secret_here_and_on_hosts() {
    let house = House::new();
    house.cert("a", "localhost", 90);
    house.openssl("pkcs12 -export -in a.crt -inkey a.key -certfile ca.crt -passout pass:open\u{a0}sesame -out a.p12");
    house.openssl("pkcs12 -export -legacy -in a.crt -inkey a.key -passout pass:open\u{a0}sesame -out old.p12");
    fs::write(house.at("word"), "open\u{a0}sesame").unwrap();
    let crm = declaring(&house, 1, "");
    let ca = word(&house.at("ca.crt"));
    for store in ["a.p12", "old.p12"] {
        for place in [word(&house.at(store)), format!("next:{}", word(&house.at(store)))] {
            let with = ["cert", "check", "--ca", &ca, "--password", "store", &place];
            crm.svcops(&with).exits(0).says("1 certificate at 1 place");
            crm.svcops(&with[..4].iter().chain(&[place.as_str()]).copied().collect::<Vec<_>>())
                .exits(3)
                .says("needs a password");
        }
    }
    fs::write(house.at("word"), "shut").unwrap();
    for place in [word(&house.at("a.p12")), format!("next:{}", word(&house.at("a.p12")))] {
        let wrong = crm.svcops(&["cert", "check", "--password", "store", &place]).exits(3);
        let told = wrong.says("the password is another").to_string();
        assert!(!told.contains("shut"), "{told}");
    }
    crm.svcops(&["cert", "check", "--password", "none", &word(&house.at("a.p12"))]).exits(3).says("no secret `none`");
}

#[test]
fn a_key_that_is_encrypted_is_told_and_hides_nothing_of_its_certificate() {
    let house = House::new();
    house.cert("a", "localhost", 90);
    house.openssl("pkey -in a.key -aes256 -passout pass:x -out pkcs8.key");
    house.openssl("ec -in a.key -aes256 -passout pass:x -out sec1.key");
    assert!(fs::read_to_string(house.at("sec1.key")).unwrap().contains("Proc-Type: 4,ENCRYPTED"));
    fs::write(house.at("word"), "x").unwrap();
    let crm = declaring(&house, 1, "");
    let text = |name: &str| fs::read_to_string(house.at(name)).unwrap();
    for key in ["pkcs8.key", "sec1.key"] {
        fs::write(house.at("both.pem"), text(key) + &text("a.crt")).unwrap();
        for place in [word(&house.at("both.pem")), format!("here:{}", word(&house.at("both.pem")))] {
            crm.svcops(&["cert", "check", &place]).exits(0).says("is encrypted:");
        }
    }
}

#[test]
fn a_server_that_asks_for_a_client_is_shown_one_and_its_no_is_told() {
    let mut house = House::new();
    house.cert("a", "localhost", 90);
    house.cert("client", "client.test", 90);
    house
        .openssl("req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=Stranger -keyout stranger.key -out stranger.crt");
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let folder = house.folder.path().to_owned();
    let (at, ca) = (|name: &str| word(&folder.join(name)), word(&house.at("ca.crt")));
    for version in ["-tls1_2", "-tls1_3"] {
        let target = format!(
            "localhost:{}",
            serve(
                &mut house.servers,
                &folder,
                "a",
                &[version, "-Verify", "1", "-verify_return_error", "-CAfile", "ca.crt"]
            )
        );
        let check = |name: &str| {
            let (cert, key) = (at(&format!("{name}.crt")), at(&format!("{name}.key")));
            crm.svcops(&["cert", "check", "--ca", &ca, &target, "--client-cert", &cert, "--client-key", &key])
        };
        check("client").exits(0);
        check("stranger").exits(2).says("the server refused");
        // its own is shown by then, whoever asks
        crm.svcops(&["cert", "check", "--ca", &ca, &target]).exits(0);
    }
    crm.svcops(&["cert", "check", "localhost:1", "--client-cert", &at("client.crt")])
        .exits(3)
        .says("no private key in it");
}

#[test]
fn the_page_of_a_check_loads_nothing_and_holds_no_markup_of_others() {
    let house = House::new();
    house.cert("a", "localhost", 20);
    fs::copy(house.at("a.crt"), house.at("<b>&.pem")).unwrap();
    let crm = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    let page = crm.svcops(&["cert", "check", &word(&house.at("<b>&.pem")), "-o", "html"]).exits(1).stdout;
    assert!(page.starts_with("<!doctype html>") && page.contains("&lt;b&gt;&amp;.pem"), "{page}");
    assert!(page.contains("WARNING") && !page.contains("<b>") && !page.contains("<script"), "{page}");
    crm.svcops(&["cert", "inspect", &word(&house.at("a.crt")), "-o", "html"]).exits(2).says("belongs to");
}

#[test]
fn the_list_tells_what_is_due_and_status_what_is_near() {
    let mut house = House::new();
    house.cert("shop", "here.shop.test,DNS:localhost", 90);
    house.cert("own", "localhost", 90);
    let port = house.serve("shop");
    fs::write(house.at("word"), "open sesame").unwrap();
    let watched =
        format!("  watched: {{trust: {}, places: [{{served: \"localhost:{port}\"}}]}}\n", word(&house.at("ca.crt")));
    let crm = declaring(&house, port, &watched);
    let list = crm.svcops(&["cert", "list"]).exits(0).says("2 certificates, nothing is wrong, and none is due");
    assert!(list.stdout.contains("1 file, 1 endpoint") && list.stdout.contains("not by svcops"), "{list}");
    let json = crm.svcops(&["cert", "list", "shop", "-o", "json"]).exits(0).json();
    let shop = &json["certificates"][0];
    assert_eq!((&shop["name"], &shop["issuer"], &shop["is_due"]), (&"shop".into(), &"house".into(), &false.into()));
    assert_eq!((&shop["renewed"], shop["places"].as_array().map(Vec::len)), (&serde_json::Value::Null, Some(2)));
    crm.svcops(&["status"]).exits(0).says("2 certificates in order").says("is the next to end, in");
    crm.svcops(&["status", "--no-hosts"]).exits(0).says("2 certificates, none was looked at");
    crm.svcops(&["cert", "list", "shopp"]).exits(3).says("did you mean `shop`?");

    // a third of ninety days are thirty: at twenty it is due, and below the threshold of its own
    house.cert("shop", "here.shop.test,DNS:localhost", 20);
    crm.svcops(&["cert", "list"]).exits(1).says("1 not as it should be").says("here:");
    crm.svcops(&["status"]).exits(1).says("certificate `shop` at `here:");
    fs::write(house.at("shop.crt"), "nothing").unwrap();
    crm.svcops(&["cert", "list", "-q"]).exits(3).says("UNKNOWN: 2 certificates");
    crm.svcops(&["status", "-q"]).exits(3);
    // without a declaration there is nothing to list, and nothing that status would say
    let bare = Project::new("project: certs\nhosts:\n  here: {local: true}\n");
    bare.svcops(&["cert", "list"]).exits(3).says("declares no certificates");
    let status = bare.svcops(&["status"]).exits(0);
    assert!(!status.stdout.contains("certificate"), "{status}");
}

#[test]
fn the_list_names_the_run_that_renewed_a_certificate_and_none_that_was_taken_back() {
    let house = House::new();
    house.cert("shop", "here.shop.test,DNS:localhost", 20);
    house.cert("next", "here.shop.test,DNS:localhost", 90);
    fs::write(house.at("word"), "open sesame").unwrap();
    let crm = declaring(&house, 1, "");
    let yaml = fs::read_to_string(crm.root().join("svcops.yaml")).unwrap();
    crm.file("svcops.yaml", &yaml.replace(", served: \"localhost:1\"", ""));
    // staged by hand, as an order leaves it
    let stage = || {
        let chain = ["next.crt", "ca.crt"].map(|name| fs::read_to_string(house.at(name)).unwrap()).concat();
        fs::write(house.at(".svcops-shop.pem"), chain).unwrap();
        fs::copy(house.at("next.key"), house.at(".svcops-shop.key")).unwrap();
    };
    let install = "svcops: 1\nname: renew\ntargets: here\nsteps:\n  - cert.install: {certificate: shop}\n";
    crm.file("runbooks/renew.yaml", install);
    crm.file("runbooks/broken.yaml", &format!("{install}  - check.command: {{run: 'false'}}\n"));
    let renewed = || crm.svcops(&["cert", "list", "-o", "json"]).json()["certificates"][0]["renewed"].clone();
    stage();
    crm.svcops(&["run", "broken", "--yes"]).exits(1);
    assert_eq!(renewed(), serde_json::Value::Null);
    stage();
    crm.svcops(&["run", "renew", "--yes"]).exits(0);
    let run = crm.svcops(&["history", "list", "-o", "json"]).exits(0).json()["runs"][0]["run"].clone();
    assert_eq!(renewed()["run"], run);
    let list = crm.svcops(&["cert", "list"]).exits(0);
    assert!(list.stdout.contains(run.as_str().unwrap()), "{list}");
    // a run that found nothing to do renewed nothing
    crm.svcops(&["run", "renew", "--yes"]);
    assert_eq!(renewed()["run"], run);
}
