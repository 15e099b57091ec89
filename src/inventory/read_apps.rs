//! The apps of `svcops.yaml`, and what must hold between them and the rest of it.

use super::{
    App, AppBalancer, AppRolling, Health, HealthCheck, Inventory, Manager, Selector, Share, read::suggest, select,
};
use crate::{
    base::{Span, Spot, words},
    yaml::{Fault, Faults, Fields, Key, Kind, Node, Notes},
};
use std::collections::BTreeMap;

/// An app with the places that later checks point at.
pub(super) struct DraftApp {
    app: App,
    hosts: Spot,
    balancer: Spot,
    requires: Vec<(String, Spot)>,
}

pub(super) fn app(key: &Key, node: &Node, notes: &mut Notes) -> Option<DraftApp> {
    let mut fields = Fields::of(node, "an app", notes)?;
    fields.mark = key.mark;
    let title = fields.text("title", notes);
    let hosts = fields.need("hosts", notes).and_then(|n| Some((n.mark, selector(n, notes)?)));
    let manager = fields.need("manager", notes).and_then(|n| manager(n, notes));
    let health = fields.take("health", notes).map(|n| health(n, notes));
    let config = fields.take("config", notes).and_then(|n| paths(n, notes)).unwrap_or_default();
    let balancer = fields.take("balancer", notes).and_then(|n| balancer(n, notes));
    let rolling = fields.take("rolling", notes).map(|n| rolling(n, notes));
    let mut requires = Vec::new();
    for item in fields.take("requires", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
        if let Some(name) = item.text(notes) {
            requires.push((name, notes.spot(item.mark)));
        }
    }
    fields.end(notes);
    let (mark, hosts) = hosts?;
    Some(DraftApp {
        hosts: notes.spot(mark),
        balancer: balancer.as_ref().map(|(spot, _)| spot.clone()).unwrap_or_default(),
        app: App {
            name: key.text.clone(),
            title,
            hosts,
            manager: manager?,
            health: health.flatten(),
            config,
            balancer: balancer.map(|(_, b)| b),
            rolling: rolling.unwrap_or(AppRolling { batch: Share::Number(1), min_healthy: 0 }),
            requires: requires.iter().map(|(name, _)| name.clone()).collect(),
        },
        requires,
    })
}

/// A selector, with its fault at its place.
pub(super) fn selector(node: &Node, notes: &mut Notes) -> Option<Selector> {
    let text = node.text(notes)?;
    select::parse(&text).map_err(|e| notes.error(node.mark, e.to_string())).ok()
}

fn manager(node: &Node, notes: &mut Notes) -> Option<Manager> {
    let mut fields = Fields::of(node, "a manager", notes)?;
    fields.later(&["kubernetes"], notes);
    let unit = fields.take("systemd", notes).and_then(|n| {
        let unit = n.text(notes)?;
        let suffixes = [".service", ".target", ".socket", ".timer", ".mount", ".path"];
        if !suffixes.iter().any(|s| unit.ends_with(s)) {
            notes.hinted(n.mark, format!("`{unit}` has no suffix"), format!("write {unit}.service"));
            return None;
        }
        Some(Manager::Systemd(unit))
    });
    let command = fields.take("command", notes).and_then(|n| {
        let mut fields = Fields::of(n, "`command:`", notes)?;
        let start = fields.need("start", notes).and_then(|n| n.text(notes));
        let stop = fields.need("stop", notes).and_then(|n| n.text(notes));
        let status = fields.need("status", notes).and_then(|n| n.text(notes));
        let reload = fields.text("reload", notes);
        fields.end(notes);
        Some(Manager::Command { start: start?, stop: stop?, status: status?, reload })
    });
    let mark = fields.mark;
    fields.end(notes);
    match (unit, command) {
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(_), Some(_)) => {
            notes.error(mark, "an app has one manager: `systemd` or `command`");
            None
        }
        (None, None) => {
            if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
                notes.error(node.mark, "a manager is `systemd` or `command`");
            }
            None
        }
    }
}

fn health(node: &Node, notes: &mut Notes) -> Option<Health> {
    let mut fields = Fields::of(node, "`health:`", notes)?;
    let url = fields.take("http", notes).and_then(|n| {
        let url = n.text(notes)?;
        if !url.starts_with("http://") && !url.starts_with("https://") && !url.starts_with("{{") {
            notes.error(n.mark, format!("`{url}` is no http:// or https:// address"));
        }
        Some(url)
    });
    let tcp = fields.take("tcp", notes).and_then(|n| n.text(notes));
    let command = fields.text("command", notes);
    let status = fields.take("status", notes).and_then(|n| {
        let status = n.whole(100, notes)?;
        u16::try_from(status).ok().filter(|s| *s < 600).or_else(|| {
            notes.error(n.mark, format!("{status} is no HTTP status"));
            None
        })
    });
    let ca = fields.text("ca", notes);
    let within = fields.span("within", notes).unwrap_or(Span::secs(60));
    let from_host =
        fields.take("from", notes).and_then(|n| n.word(&["here", "host"], notes)).is_some_and(|f| f == "host");
    let mark = fields.mark;
    if url.is_none() && (status.is_some() || ca.is_some()) {
        notes.error(mark, "`status` and `ca` belong to `http`");
    }
    fields.end(notes);
    let kinds = usize::from(url.is_some()) + usize::from(tcp.is_some()) + usize::from(command.is_some());
    if kinds != 1 {
        notes.error(mark, "`health:` has one of `http`, `tcp`, `command`");
        return None;
    }
    let check = match (url, tcp, command) {
        (Some(url), ..) => HealthCheck::Http { url, status: status.unwrap_or(200), ca },
        (_, Some(tcp), _) => HealthCheck::Tcp(tcp),
        (_, _, command) => HealthCheck::Command(command?),
    };
    Some(Health { check, within, from_host })
}

fn paths(node: &Node, notes: &mut Notes) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    for item in node.list(notes)? {
        let Some(path) = item.text(notes) else { continue };
        if path.starts_with('/') {
            paths.push(path);
        } else {
            notes.error(item.mark, format!("`{path}` is no absolute path"));
        }
    }
    Some(paths)
}

fn balancer(node: &Node, notes: &mut Notes) -> Option<(Spot, AppBalancer)> {
    let mut fields = Fields::of(node, "`balancer:`", notes)?;
    let name = fields.need("name", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
    let backend = fields.need("backend", notes).and_then(|n| n.text(notes));
    let server = fields.text("server", notes);
    fields.end(notes);
    let (mark, name) = name?;
    Some((notes.spot(mark), AppBalancer { name, backend: backend?, server }))
}

fn rolling(node: &Node, notes: &mut Notes) -> AppRolling {
    let mut words = AppRolling { batch: Share::Number(1), min_healthy: 0 };
    let Some(mut fields) = Fields::of(node, "`rolling:`", notes) else { return words };
    if let Some(batch) = fields.take("batch", notes).and_then(|n| share(n, notes)) {
        words.batch = batch;
    }
    if let Some(least) = fields.take("min_healthy", notes).and_then(|n| n.whole(0, notes)) {
        words.min_healthy = usize::try_from(least).unwrap_or(usize::MAX);
    }
    fields.end(notes);
    words
}

/// A number from 1 on, or a share.
pub(crate) fn share(node: &Node, notes: &mut Notes) -> Option<Share> {
    let share = if let Kind::Number(_) = &node.kind {
        Share::Number(usize::try_from(node.whole(1, notes)?).unwrap_or(usize::MAX))
    } else {
        let text = node.text(notes)?;
        Share::parse(&text).map_err(|why| notes.error(node.mark, why)).ok()?
    };
    if matches!(share, Share::Number(0) | Share::Percent(0)) {
        notes.error(node.mark, "none at a time leads nowhere: write 1 or more");
        return None;
    }
    Some(share)
}

/// `HOST:PORT`.
pub(super) fn host_port(node: &Node, notes: &mut Notes) -> Option<String> {
    let text = node.text(notes)?;
    let good = text.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok_and(|p| p > 0));
    if !good {
        notes.hinted(node.mark, format!("`{text}` is not HOST:PORT"), "write it like \"10.0.0.5:9999\"");
        return None;
    }
    Some(text)
}

/// Holds the apps against the rest, and takes them in.
pub(super) fn check(inventory: &mut Inventory, drafts: Vec<DraftApp>, faults: &mut Faults) {
    let names: Vec<String> = drafts.iter().map(|d| d.app.name.clone()).collect();
    for draft in &drafts {
        if inventory.select(&draft.app.hosts).is_empty() {
            let message = format!("`{}` matches no host", draft.app.hosts.text);
            faults.0.push(
                Fault::error(draft.hosts.clone(), message).hint("`svcops inventory hosts` shows names and labels"),
            );
        }
        if let Some(balancer) = &draft.app.balancer
            && !inventory.balancers.contains_key(&balancer.name)
        {
            let near = words::nearest(&balancer.name, inventory.balancers.keys().map(String::as_str));
            let fault = Fault::error(draft.balancer.clone(), format!("there is no balancer `{}`", balancer.name));
            faults.0.push(suggest(fault, near, "declare it under `balancers:`"));
        }
        for (name, spot) in &draft.requires {
            if !names.contains(name) {
                let near = words::nearest(name, names.iter().map(String::as_str));
                let fault = Fault::error(spot.clone(), format!("there is no app `{name}`"));
                faults.0.push(suggest(fault, near, "declare it under `apps:`"));
            }
        }
    }
    circles(&drafts, faults);
    inventory.apps = drafts.into_iter().map(|d| (d.app.name.clone(), d.app)).collect();
}

/// Names each circle of `requires:` once, where it closes.
fn circles(drafts: &[DraftApp], faults: &mut Faults) {
    let by_name: BTreeMap<&str, &DraftApp> = drafts.iter().map(|d| (d.app.name.as_str(), d)).collect();
    let mut done: Vec<&str> = Vec::new();
    for draft in drafts {
        // Depth first, with the way here; what is done needs no second visit.
        let mut stack: Vec<(&DraftApp, usize)> = vec![(draft, 0)];
        while let Some((here, next)) = stack.last().copied() {
            let name = here.app.name.as_str();
            let Some((wanted, spot)) = here.requires.get(next).filter(|_| !done.contains(&name)) else {
                if !done.contains(&name) {
                    done.push(name);
                }
                stack.pop();
                continue;
            };
            if let Some(top) = stack.last_mut() {
                top.1 += 1;
            }
            let start = stack.iter().position(|(d, _)| d.app.name == *wanted);
            if let Some(start) = start {
                let way: Vec<&str> = stack.iter().skip(start).map(|(d, _)| d.app.name.as_str()).collect();
                let message = format!("`requires:` runs in a circle: {} → {wanted}", way.join(" → "));
                faults.0.push(Fault::error(spot.clone(), message));
            } else if let Some(next) = by_name.get(wanted.as_str()) {
                stack.push((next, 0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::yaml::fields;

    fn faults(text: &str) -> Vec<String> {
        let (_, faults) = parse("svcops.yaml", &BTreeMap::from([("svcops.yaml".to_owned(), text.to_owned())]));
        faults.0.iter().map(|f| format!("{}:{} {}", f.spot.line, f.spot.column, f.message)).collect()
    }

    #[test]
    fn a_circle_of_requirements_is_named_once() {
        let app = |name: &str, of: &str| {
            format!("  {name}: {{hosts: all, manager: {{systemd: x.service}}, requires: [{of}]}}\n")
        };
        let text = format!(
            "project: p\nhosts: {{h: {{local: true}}}}\napps:\n{}{}{}",
            app("a", "b"),
            app("b", "c"),
            app("c", "a, d")
        );
        assert_eq!(faults(&text), ["6:61 `requires:` runs in a circle: a → b → c → a", "6:64 there is no app `d`"]);
    }

    #[test]
    fn later_managers_are_refused() {
        let text =
            "project: p\nhosts: {h: {local: true}}\napps: {a: {hosts: h, manager: {kubernetes: {deployment: x}}}}\n";
        assert_eq!(faults(text), [format!("3:32 {}", fields::later("kubernetes"))]);
    }
}
