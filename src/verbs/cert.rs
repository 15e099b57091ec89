//! `svcops cert renew|import`.

use super::app::{NoRunbook, balancer, quorum, step};
use crate::{
    base::{HostName, words},
    inventory::{By, CertPlace, Certificate, Host, Inventory, Share},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What to renew.
#[derive(Clone, Debug, Default)]
pub struct Renewal<'a> {
    /// The certificates by name, in this order.
    pub names: Vec<&'a str>,
    /// Only on the hosts of this site.
    pub site: Option<&'a str>,
    /// Also what is not due.
    pub force: bool,
    /// What is renewed though it is not due by itself: by certificate, place (from 1) and host.
    pub early: BTreeSet<(String, usize, HostName)>,
    /// Chains that came from elsewhere, as PEM: by certificate, place (from 1) and host.
    pub chains: BTreeMap<(String, usize, HostName), String>,
}

/// The certificate of that name.
///
/// # Errors
/// There is none.
pub fn find<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a Certificate, NoRunbook> {
    inventory.certificates.get(name).ok_or_else(|| NoRunbook::NoCertificate {
        certificate: name.to_owned(),
        near: words::nearest(name, inventory.certificates.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// Those of the names, or all, that somebody issues and that lie on a host of the site.
///
/// # Errors
/// A name or a site that is not there; a name that nobody issues, or that lies nowhere there.
pub fn issued<'a>(
    inventory: &'a Inventory,
    names: &[String],
    site: Option<&str>,
) -> Result<Vec<&'a Certificate>, NoRunbook> {
    if let Some(site) = site.filter(|s| !inventory.sites.contains_key(*s)) {
        let near = words::nearest(site, inventory.sites.keys().map(String::as_str)).map(str::to_owned);
        return Err(NoRunbook::NoSite { site: site.to_owned(), near });
    }
    let lies = |certificate: &Certificate| stored(certificate).any(|(_, place)| lies_at(inventory, place, site));
    if names.is_empty() {
        return Ok(inventory.certificates.values().filter(|c| c.issuer.is_some() && lies(c)).collect());
    }
    let mut found = Vec::new();
    for name in names {
        let certificate = find(inventory, name)?;
        if certificate.issuer.is_none() {
            return Err(NoRunbook::Watched { certificate: name.clone() });
        }
        if !lies(certificate) {
            return Err(NoRunbook::Nowhere { certificate: name.clone(), site: site.map(str::to_owned) });
        }
        if !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    Ok(found)
}

/// The runbook of a renewal, as YAML text: the same parser reads it. Keys and requests first, then the orders one by one,
/// and only when every certificate is there the hosts, batch by batch.
///
/// # Errors
/// A certificate that is not there.
pub fn compose(inventory: &Inventory, renewal: &Renewal<'_>) -> Result<String, NoRunbook> {
    let mut steps = Vec::new();
    let (verb, title) = if renewal.chains.is_empty() { ("renew", "Renew") } else { ("import", "Import") };
    for name in &renewal.names {
        let certificate = find(inventory, name)?;
        let places: Vec<(usize, &CertPlace)> =
            stored(certificate).filter(|(_, place)| lies_at(inventory, place, renewal.site)).collect();
        let elsewhere = |host: &&Host| host.site.as_deref() != renewal.site;
        let everywhere = stored(certificate).flat_map(|(_, place)| inventory.hosts_at(place));
        if certificate.shared && renewal.site.is_some() && everywhere.into_iter().any(|host| elsewhere(&host)) {
            return Err(NoRunbook::Shared { certificate: certificate.name.clone() });
        }
        if renewal.chains.is_empty() {
            steps.extend(requests(inventory, certificate, &places, renewal));
            for (number, place) in &places {
                let order = step("Get the certificate", "cert.order", args(certificate, *number, false));
                let rolling = json!({"name": format!("Order {name}, one by one"), "targets": targets(place, renewal.site), "rolling": {"batch": 1}, "steps": [order]});
                steps.push(rolling);
            }
        }
        for ((_, number, host), chain) in renewal.chains.iter().filter(|((of, ..), _)| of == name) {
            let Some((_, place)) = places.iter().find(|(at, _)| at == number) else { continue };
            let Some(store) = place.store.clone() else { continue };
            let dest = crate::base::PairSpot { name: (*name).to_owned(), store }.staged_chain();
            let mut put = step(
                &format!("Stage the answer for {name}"),
                "file.copy",
                json!({"content": chain, "dest": dest, "mode": "0644"}),
            );
            aim(&mut put, host.as_str());
            steps.push(put);
        }
        for (number, place) in &places {
            steps.push(switch(inventory, certificate, (*number, place), renewal.site));
        }
    }
    let all = all_targets(inventory, renewal);
    for step in steps.iter_mut().filter_map(Value::as_object_mut) {
        // what is said above need not be said again
        if step.get("targets").and_then(Value::as_str) == Some(&all) {
            step.shift_remove("targets");
        }
    }
    let whose = renewal.names.join(", ");
    let place = renewal.site.map(|s| format!(" at {s}")).unwrap_or_default();
    let runbook = json!({
        "svcops": 1,
        "name": match renewal.names.as_slice() {
            [one] => format!("cert-{verb}-{one}"),
            _ => format!("cert-{verb}"),
        },
        "title": format!("{title} {whose}{place}"),
        "targets": all,
        "steps": steps,
    });
    let text = serde_yaml::to_string(&runbook).map_err(|e| NoRunbook::Unwritable(e.to_string()))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// The places of a certificate where it lies, counted from 1 among all.
fn stored(certificate: &Certificate) -> impl Iterator<Item = (usize, &CertPlace)> {
    certificate.places.iter().enumerate().map(|(at, place)| (at + 1, place)).filter(|(_, place)| place.store.is_some())
}

fn lies_at(inventory: &Inventory, place: &CertPlace, site: Option<&str>) -> bool {
    inventory.hosts_at(place).iter().any(|host| site.is_none() || host.site.as_deref() == site)
}

fn targets(place: &CertPlace, site: Option<&str>) -> String {
    let hosts = place.hosts.as_ref().map_or("", |hosts| hosts.text.as_str());
    site.map_or_else(|| hosts.to_owned(), |site| format!("{hosts}, site={site}"))
}

/// Where all have the same hosts these, else every step names its own.
fn all_targets(inventory: &Inventory, renewal: &Renewal<'_>) -> String {
    let certificates = renewal.names.iter().filter_map(|name| inventory.certificates.get(*name));
    let places = certificates.flat_map(stored).filter(|(_, place)| lies_at(inventory, place, renewal.site));
    let mut texts: Vec<String> = places.map(|(_, place)| targets(place, renewal.site)).collect();
    texts.dedup();
    match texts.as_slice() {
        [one] => one.clone(),
        _ => renewal.site.map_or_else(|| "all".to_owned(), |site| format!("site={site}")),
    }
}

fn args(certificate: &Certificate, place: usize, force: bool) -> Value {
    let mut args = json!({"certificate": certificate.name});
    if let Some(map) = args.as_object_mut() {
        // where there is one place only, its number says nothing
        if stored(certificate).count() > 1 {
            map.insert("place".into(), json!(place));
        }
        if force {
            map.insert("force".into(), json!(true));
        }
    }
    args
}

fn aim(step: &mut Value, targets: &str) {
    if let Some(map) = step.as_object_mut() {
        map.insert("targets".into(), targets.into());
    }
}

/// A key and a request on each host; a key that all share is made on the first one, and the others wait for it.
fn requests(
    inventory: &Inventory,
    certificate: &Certificate,
    places: &[(usize, &CertPlace)],
    renewal: &Renewal<'_>,
) -> Vec<Value> {
    let mut steps = Vec::new();
    let early = || renewal.early.iter().filter(|(of, ..)| *of == certificate.name);
    // a key that all share is new for all of them
    let all = renewal.force || (certificate.shared && early().next().is_some());
    let request = |name: &str, number: usize, targets: &str, force: bool| {
        let mut one = step(name, "cert.request", args(certificate, number, force));
        aim(&mut one, targets);
        one
    };
    let origin = stored(certificate)
        .find_map(|(number, place)| Some((number, inventory.hosts_at(place).first()?.name.as_str().to_owned())))
        .filter(|_| certificate.shared);
    if let Some((number, host)) = &origin {
        steps.push(request(&format!("The key of {} that all share", certificate.name), *number, host, all));
    }
    for (_, number, host) in early().filter(|_| !all) {
        let title = format!("Key and request of {}, as its issuer asks", certificate.name);
        steps.push(request(&title, *number, host.as_str(), true));
    }
    for (number, place) in places {
        steps.push(request(
            &format!("Key and request of {}, where it is due", certificate.name),
            *number,
            &targets(place, renewal.site),
            all,
        ));
    }
    steps
}

/// Batch by batch: enough others? switch, and see it served.
fn switch(
    inventory: &Inventory,
    certificate: &Certificate,
    (number, place): (usize, &CertPlace),
    site: Option<&str>,
) -> Value {
    let app = place.app.as_ref().and_then(|name| inventory.apps.get(name));
    let batch = match app.map_or(Share::Number(1), |app| app.rolling.batch) {
        Share::Number(n) => json!(n),
        Share::Percent(p) => json!(format!("{p}%")),
    };
    let restarted = app.filter(|_| place.by == By::Restart);
    let mut install = step("Put it in place", "cert.install", args(certificate, number, false));
    if let Some(map) = install.as_object_mut() {
        let serve = json!({"cert.serve": args(certificate, number, false)});
        map.insert("then".into(), json!([serve]));
    }
    let mut steps = Vec::new();
    steps.extend(app.and_then(|app| quorum(inventory, app, site)));
    steps.extend(restarted.and_then(|app| balancer(app, "Take it out of the balancer", "haproxy.drain")));
    steps.push(install);
    steps.extend(restarted.and_then(|app| balancer(app, "Bring it in again", "haproxy.enable")));
    json!({
        "name": format!("Switch to the new {}, batch by batch", certificate.name),
        "targets": targets(place, site),
        "rolling": {"batch": batch},
        "steps": steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::sample::sample;

    fn composed(names: &[&str], site: Option<&str>, force: bool) -> String {
        let renewal = Renewal { names: names.to_vec(), site, force, ..Renewal::default() };
        compose(&sample(), &renewal).unwrap()
    }

    #[test]
    fn a_renewal_has_every_certificate_before_the_first_host_is_switched() {
        insta::assert_snapshot!(composed(&["billing-tls"], Some("dc1"), false), @r"
        svcops: 1
        name: cert-renew-billing-tls
        title: Renew billing-tls at dc1
        targets: role=app, site=dc1
        steps:
        - name: Key and request of billing-tls, where it is due
          cert.request:
            certificate: billing-tls
        - name: Order billing-tls, one by one
          rolling:
            batch: 1
          steps:
          - name: Get the certificate
            cert.order:
              certificate: billing-tls
        - name: Switch to the new billing-tls, batch by batch
          rolling:
            batch: 1
          steps:
          - name: Are enough others healthy?
            check.app:
              app: billing
              min_healthy: 1
          - name: Put it in place
            cert.install:
              certificate: billing-tls
            then:
            - cert.serve:
                certificate: billing-tls
        ");
    }

    /// Each step with what it is given and where it runs, groups unfolded.
    fn outline(text: &str) -> Vec<String> {
        fn walk(steps: &Value, around: &str, out: &mut Vec<String>) {
            for step in steps.as_array().into_iter().flatten() {
                let on = step.get("targets").and_then(Value::as_str).unwrap_or(around);
                if let Some(inner) = step.get("steps") {
                    walk(inner, on, out);
                    continue;
                }
                let (action, args) = step.as_object().unwrap().iter().find(|(key, _)| key.contains('.')).unwrap();
                let place = args.get("place").map(|place| format!(" at {place}")).unwrap_or_default();
                out.push(format!("{action}{place} on {on}"));
            }
        }
        let value: Value = serde_yaml::from_str(text).unwrap();
        let mut out = vec![];
        walk(&value["steps"], value["targets"].as_str().unwrap(), &mut out);
        out
    }

    #[test]
    fn a_key_that_all_share_is_made_on_the_first_host_before_the_others_ask_for_it() {
        let steps = outline(&composed(&["pair"], None, true));
        assert_eq!(steps[..2], ["cert.request at 1 on dc1-app1", "cert.request at 1 on role=app"]);
        assert_eq!(steps[2..4], ["cert.request at 2 on role=lb", "cert.request at 3 on role=lb"]);
        assert_eq!(steps.last().unwrap(), "cert.install at 3 on role=lb");
        let renewal = Renewal { names: vec!["pair"], site: Some("dc2"), ..Renewal::default() };
        let why = compose(&sample(), &renewal).unwrap_err().to_string();
        assert_eq!(why, "all hosts of certificate `pair` share one key: it is renewed at all sites or at none");
    }

    #[test]
    fn what_an_issuer_asks_for_is_requested_on_that_host_alone() {
        let early = [("billing-tls".to_owned(), 1, HostName::new("dc1-app1"))].into();
        let renewal = Renewal { names: vec!["billing-tls"], early, ..Renewal::default() };
        let text = compose(&sample(), &renewal).unwrap();
        let steps = outline(&text);
        assert_eq!(steps[..2], ["cert.request on dc1-app1", "cert.request on role=app"]);
        assert_eq!(text.matches("force: true").count(), 1, "{text}");
        let early = [("pair".to_owned(), 2, HostName::new("lb"))].into();
        let renewal = Renewal { names: vec!["pair"], early, ..Renewal::default() };
        assert_eq!(compose(&sample(), &renewal).unwrap(), composed(&["pair"], None, true), "all share its key");
    }

    #[test]
    fn what_is_restarted_is_out_of_its_balancer_meanwhile() {
        let mut inventory = sample();
        inventory.certificates.get_mut("billing-tls").unwrap().places[0].by = By::Restart;
        let renewal = Renewal { names: vec!["billing-tls"], ..Renewal::default() };
        let steps = outline(&compose(&inventory, &renewal).unwrap());
        let actions: Vec<_> = steps.iter().map(|step| step.split(' ').next().unwrap()).collect();
        assert_eq!(
            actions,
            ["cert.request", "cert.order", "check.app", "haproxy.drain", "cert.install", "haproxy.enable"]
        );
    }

    #[test]
    fn an_answer_is_staged_on_its_own_host_and_then_all_are_switched() {
        let chains = BTreeMap::from([(("corp-tls".to_owned(), 2, HostName::new("lb")), "PEM\n".to_owned())]);
        let renewal = Renewal { names: vec!["corp-tls"], chains, ..Renewal::default() };
        let text = compose(&sample(), &renewal).unwrap();
        let on = |step: &str| format!("{step} on role=lb");
        assert_eq!(outline(&text), ["file.copy on lb".to_owned(), on("cert.install at 1"), on("cert.install at 2")]);
        assert!(text.contains("dest: /etc/corp/.svcops-corp-tls.pem"), "{text}");
    }

    #[test]
    fn what_is_not_there_or_issued_by_nobody_is_said() {
        let said = |names: &[&str], site| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            issued(&sample(), &names, site).map(|c| c.len()).map_err(|e| e.to_string())
        };
        assert_eq!(
            said(&["biling-tls"], None),
            Err("svcops.yaml has no certificate `biling-tls`; did you mean `billing-tls`?".into())
        );
        assert_eq!(said(&["watched"], None), Err("nobody issues certificate `watched`: it is only watched".into()));
        assert_eq!(said(&["front-tls"], Some("dc1")), Err("certificate `front-tls` lies nowhere at site `dc1`".into()));
        assert_eq!(said(&[], Some("dc3")), Err("svcops.yaml has no site `dc3`; did you mean `dc1`?".into()));
        assert!(issued(&sample(), &[], None).unwrap().iter().all(|c| c.issuer.is_some()));
        assert_eq!(said(&["pair", "pair"], None), Ok(1));
    }
}
