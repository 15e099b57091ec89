//! `svcops cert ca` as its users meet it; what it makes is held against OpenSSL.

use crate::support::Project;
use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

fn house() -> Project {
    let project = Project::new(
        "project: дом\nhosts:\n  here: {local: true}\nsecrets:\n  ca-key: {file: ca.password}\nissuers:\n  house: {ca: {folder: pki/house, password: ca-key}}\n",
    );
    project.file("ca.password", "верный пароль\n");
    let file = project.root().join("ca.password");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    project
}

#[test]
fn what_an_own_authority_took_back_is_critical_where_it_still_lies() {
    let project = house();
    let at = |name: &str| project.root().join(name).display().to_string();
    project.file("svcops.yaml", &format!("{}certificates:\n  web:\n    names: [web.lab.test]\n    issuer: house\n    places: [{{hosts: here, cert: {}, key: {}}}]\n",
        fs::read_to_string(project.root().join("svcops.yaml")).unwrap(), at("web.crt"), at("web.key")));
    project.svcops(&["cert", "ca", "create", "house"]).exits(0);
    project.svcops(&["cert", "renew", "--yes"]).exits(0);
    project.svcops(&["cert", "check", "web"]).exits(0);
    let listed = project.svcops(&["cert", "list", "-o", "json"]).exits(0).json();
    let serial = listed["certificates"][0]["places"][0]["serial"].as_str().unwrap().to_owned();

    project.svcops(&["cert", "ca", "revoke", "house", &serial, "--yes"]).exits(0);
    project.svcops(&["cert", "check", "web"]).exits(2).says("CRITICAL").says("revoked").says("crl.pem");
    project.svcops(&["cert", "list"]).exits(2).says("CRITICAL").says("revoked");
    project.svcops(&["status"]).exits(2).says("revoked");
    // a list that does not read is no list without it
    project.file("pki/house/crl.pem", "half a li");
    project.svcops(&["cert", "check", "web"]).exits(3).says("crl.pem");
    // a new one takes its place
    project.svcops(&["cert", "ca", "crl", "house"]).exits(0);
    project.svcops(&["cert", "renew", "--force", "--yes"]).exits(0);
    project.svcops(&["cert", "check", "web"]).exits(0);
}

#[test]
fn an_authority_is_made_shown_rotated_and_retired() {
    let project = house();
    project
        .svcops(&["cert", "ca", "show", "house"])
        .exits(2)
        .says("there is no CA in")
        .says("svcops cert ca create house");
    project.svcops(&["cert", "ca", "create", "home"]).exits(2).says("no own authority `home`: it has `house`");
    project.svcops(&["cert", "ca", "create", "house", "--intermediate"]).exits(0).says("CN=дом house until");
    project.svcops(&["cert", "ca", "create", "house"]).exits(2).says("there is a CA in");
    let folder = project.root().join("pki/house");
    let trust = folder.join("trust.pem");
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-CAfile"]).arg(&trust).arg(folder.join("intermediate-1.pem"));
    assert!(verify.output().unwrap().status.success());
    project.svcops(&["cert", "ca", "show", "house"]).exits(0).says("signs").says("no certificate of it is valid now");
    project.svcops(&["cert", "ca", "retire", "house", "--yes"]).exits(2).says("there is no older root to retire");
    // nobody is there to be asked
    project.svcops(&["cert", "ca", "rotate", "house"]).exits(2).says("`--yes` answers");
    project.svcops(&["cert", "ca", "rotate", "house", "--yes"]).exits(0).says("CN=дом house 2");
    let shown = project.svcops(&["cert", "ca", "show", "house", "-o", "json"]).exits(0).json();
    let stands: Vec<_> = shown["roots"].as_array().unwrap().iter().map(|r| (&r["root"], &r["retired"])).collect();
    assert_eq!(stands, [(&1.into(), &serde_json::Value::Null), (&2.into(), &serde_json::Value::Null)]);
    assert_eq!(fs::read_to_string(&trust).unwrap().matches("BEGIN CERTIFICATE").count(), 2);
    let retired = project.svcops(&["cert", "ca", "retire", "house", "--yes", "-o", "json"]).exits(0).json();
    assert_eq!(retired["retired"], serde_json::json!([1]));
    assert_eq!(fs::read_to_string(&trust).unwrap().matches("BEGIN CERTIFICATE").count(), 1);
    assert!(!folder.join("root-1.key").exists() && folder.join("root-2.key").exists());
    project.svcops(&["cert", "ca", "crl", "house", "--days", "7"]).exits(0).says("crl.pem");
    project
        .svcops(&["cert", "ca", "revoke", "house", "00ff", "--yes"])
        .exits(2)
        .says("no certificate with the serial number");
    // the password stands nowhere but in its own file
    let written =
        Command::new("grep").args(["-rl", "верный"]).arg(project.root()).arg(project.state()).output().unwrap();
    let places = String::from_utf8(written.stdout).unwrap();
    assert_eq!(places.lines().map(|l| l.rsplit('/').next().unwrap()).collect::<Vec<_>>(), ["ca.password"]);
    project.file("ca.password", "неверный\n");
    project.svcops(&["cert", "ca", "crl", "house"]).exits(2).says("the password does not open");
}
