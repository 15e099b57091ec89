//! Draws an inventory, a runbook for it, and what goes wrong.

use super::dice::Dice;
use svcops::transport::Fault;

/// An inventory.
pub struct Land {
    pub hosts: Vec<String>,
    pub apps: Vec<App>,
    pub text: String,
}

/// An app of it.
pub struct App {
    pub name: String,
    /// Managed by commands, not by a unit.
    pub commands: bool,
    pub reloads: bool,
    pub config: Option<String>,
    pub balanced: bool,
    pub health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Health {
    None,
    Http,
    Tcp,
    Command,
}

/// What goes wrong with one run.
#[derive(Clone, Debug)]
pub struct Mishap {
    /// The number of an act, and what befalls it.
    pub faults: Vec<(usize, Fault)>,
    /// A host that falls silent stays so longer than any deadline.
    pub long: bool,
    /// After so many more events the process dies; true: the last of them is not kept.
    pub kills: Vec<(usize, bool)>,
    /// A run that died is taken back, not resumed.
    pub rollback: bool,
    /// After so many events it is asked to stop: 1 once, 2 twice.
    pub stop: Option<(usize, u8)>,
    /// What goes wrong when a task is taken back: its number among those of the run without a fault.
    pub undo: Option<(usize, Fault)>,
    /// After so many events this befalls a host.
    pub blow: Option<(usize, String, Blow)>,
}

/// What befalls a whole host.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// It starts anew.
    Reboot,
    /// It cannot be spoken to for as long as this process lives.
    Cut,
}

impl Land {
    pub fn draw(dice: &mut Dice) -> Self {
        let sites = dice.within(0, 2);
        let hosts: Vec<String> =
            (1..=dice.within(1, if sites == 2 { 4 } else { 3 })).map(|n| format!("h{n}")).collect();
        let mut text = "project: random\nmail: {smtp: \"127.0.0.1:1025\", from: svcops@lab.test}\n".to_owned();
        if sites > 0 {
            text.push_str("sites:\n");
            (1..=sites).for_each(|n| text.push_str(&format!("  s{n}: {{title: Площадка {n}}}\n")));
        }
        text.push_str("hosts:\n");
        for (n, host) in hosts.iter().enumerate() {
            let site = if sites > 0 { format!("site: s{}, ", n % sites + 1) } else { String::new() };
            text.push_str(&format!("  {host}: {{{site}address: 10.0.0.{}, labels: {{role: app}}}}\n", n + 1));
        }
        text.push_str("  lb: {address: 10.0.0.200}\napps:\n");
        let apps: Vec<App> = (0..dice.within(1, 2)).map(|n| App::draw(dice, n)).collect();
        for (n, app) in apps.iter().enumerate() {
            let requires = if n == 1 && dice.chance(40) { ", requires: [web]" } else { "" };
            text.push_str(&app.text(dice, requires));
        }
        text.push_str("balancers:\n  front: {haproxy: {host: lb, socket: /run/haproxy/admin.sock}}\n");
        Self { hosts, apps, text }
    }
}

impl Land {
    /// An app is not asked for its health.
    pub fn is_blind(&self) -> bool {
        self.apps.iter().any(|app| app.health == Health::None)
    }
    /// Harm that nobody could have known of: to an app that is not asked for its health.
    pub fn cannot_see(&self, harm: &str) -> bool {
        self.apps.iter().any(|app| app.health == Health::None && harm.starts_with(&format!("`{}/", app.name)))
    }
}

impl App {
    fn draw(dice: &mut Dice, n: usize) -> Self {
        let name = ["web", "back"][n].to_owned();
        Self {
            commands: dice.chance(30),
            reloads: dice.chance(60),
            config: dice.chance(70).then(|| format!("/etc/{name}.conf")),
            balanced: dice.chance(60),
            health: *dice.pick(&[Health::None, Health::Http, Health::Http, Health::Tcp, Health::Command]),
            name,
        }
    }
    fn text(&self, dice: &mut Dice, requires: &str) -> String {
        let name = &self.name;
        let manager = if self.commands {
            let reload = if self.reloads { format!(", reload: /opt/{name} reload") } else { String::new() };
            format!(
                "{{command: {{start: /opt/{name} start, stop: /opt/{name} stop, status: /opt/{name} status{reload}}}}}"
            )
        } else {
            format!("{{systemd: {name}.service}}")
        };
        let port = if name == "web" { 8080 } else { 9090 };
        let health = match self.health {
            Health::None => String::new(),
            Health::Http => {
                format!(", health: {{http: \"http://{{{{ host.address }}}}:{port}/health\", status: 200, within: 30s}}")
            }
            Health::Tcp => format!(", health: {{tcp: \"{{{{ host.address }}}}:{port}\", within: 20s}}"),
            Health::Command => format!(", health: {{command: /opt/{name}-health, within: 10s}}"),
        };
        let config = self.config.as_ref().map(|path| format!(", config: [{path}]")).unwrap_or_default();
        let balancer =
            if self.balanced { format!(", balancer: {{name: front, backend: {name}}}") } else { String::new() };
        let (batch, least) = (dice.within(1, 2), dice.below(2));
        format!(
            "  {name}: {{hosts: role=app, manager: {manager}{health}{config}{balancer}, \
             rolling: {{batch: {batch}, min_healthy: {least}}}{requires}}}\n"
        )
    }
}

const POLICIES: [&str; 6] = [
    "rollback",
    "stop",
    "continue",
    "{do: rollback, scope: host}",
    "{do: rollback, scope: batch}",
    "{do: stop, scope: host}",
];
/// Files that steps write, beside what the apps read.
pub const PATHS: [&str; 5] = ["/etc/a.conf", "/etc/b", "/etc/c", "/etc/never", "/etc/gate"];
/// Those of steps that have their own.
pub const OWN: [&str; 6] = ["/etc/own-0", "/etc/own-1", "/etc/own-2", "/etc/own-3", "/etc/each-x", "/etc/each-y"];

/// A runbook for a land.
pub fn runbook(dice: &mut Dice, land: &Land) -> String {
    let first = land.hosts[0].as_str();
    let site = if land.text.contains("  s1:") { "role=app, site=s1" } else { "role=app" };
    let targets = *dice.pick(&["role=app", "role=app", site, first]);
    let policy = if dice.chance(50) { "rollback" } else { *dice.pick(&POLICIES) };
    let mut text = format!("targets: {targets}\non_failure: {policy}\nsteps:\n");
    for part in 0..dice.within(1, 4) {
        match dice.below(9) {
            0..=3 => text.push_str(&format!("  - {}\n", step(dice, land, &format!("S{part}"), None, None))),
            4..=7 => rolling(dice, land, part, &mut text),
            _ => {
                text.push_str(&format!("  - name: P{part}\n    parallel: true\n    steps:\n"));
                for n in 0..dice.within(1, 3) {
                    text.push_str(&format!("      - {}\n", step(dice, land, &format!("P{part}x{n}"), Some(n), None)));
                }
            }
        }
    }
    if dice.chance(30) {
        text.push_str(if dice.chance(70) {
            "  - {name: Tell, always: true, notify.webhook: {url: \"http://127.0.0.1:9/x\", body: \"{{ run.outcome }}\"}}\n"
        } else {
            "  - {name: Mail, always: true, notify.email: {to: duty@lab.test, subject: \"{{ run.outcome }}\"}}\n"
        });
    }
    text
}

fn rolling(dice: &mut Dice, land: &Land, part: usize, text: &mut String) {
    let (batch, failed) = (dice.within(1, 3), dice.below(2));
    let pause = if dice.chance(50) { ", pause: 2s" } else { "" };
    text.push_str(&format!(
        "  - name: R{part}\n    rolling: {{batch: {batch}, max_failed: {failed}{pause}}}\n    steps:\n"
    ));
    let balanced: Vec<&App> = land.apps.iter().filter(|app| app.balanced).collect();
    let drained = (!balanced.is_empty() && dice.chance(75)).then(|| *dice.pick(&balanced));
    let server = |app: &App| format!("balancer: front, backend: {}, server: \"{{{{ host.name }}}}\"", app.name);
    if let Some(app) = drained {
        text.push_str(&format!("      - {{name: Drain{part}, haproxy.drain: {{{}, within: 30s}}}}\n", server(app)));
    }
    for n in 0..dice.within(1, 3) {
        text.push_str(&format!(
            "      - {}\n",
            step(dice, land, &format!("R{part}x{n}"), None, drained.map(|app| app.name.as_str()))
        ));
    }
    if let Some(app) = drained {
        text.push_str(&format!("      - {{name: Enable{part}, haproxy.enable: {{{}}}}}\n", server(app)));
    }
}

/// One step; `own`: its place in a parallel group, where it must not touch what its siblings do; `drained`: the app that
/// takes no traffic now. Who stops an app that takes some does the harm himself.
fn step(dice: &mut Dice, land: &Land, name: &str, own: Option<usize>, drained: Option<&str>) -> String {
    let app = match own {
        // two steps side by side on one app would be a fault of the runbook
        Some(n) => &land.apps[n % land.apps.len()],
        None => dice.pick(&land.apps),
    };
    let managed = own.is_none_or(|n| n < land.apps.len());
    let dest = |n: usize| own.map_or_else(|| PATHS[n].to_owned(), |n| OWN[n].to_owned());
    let content = *dice.pick(&["one", "two", "bad", "sick"]);
    let app_name = &app.name;
    let server = format!("balancer: front, backend: {app_name}, server: \"{{{{ host.name }}}}\"");
    let copy = format!("file.copy: {{content: {content}, dest: {}}}", dest(dice.below(3)));
    let deed = match dice.below(36) {
        5..=8 if managed && app.config.is_some() => {
            let (path, again) =
                (app.config.clone().unwrap(), if app.reloads && dice.chance(30) { "reload" } else { "restart" });
            format!("file.copy: {{content: {content}, dest: {path}}}, then: [{{app.{again}: {{app: {app_name}}}}}]")
        }
        9..=10 if managed => format!("app.restart: {{app: {app_name}}}"),
        11 if managed && (!app.balanced || drained == Some(app_name.as_str())) => {
            format!("app.stop: {{app: {app_name}}}")
        }
        12 if managed => format!("app.start: {{app: {app_name}}}"),
        13 if managed && app.reloads => format!("app.reload: {{app: {app_name}}}"),
        14 if managed && app.balanced => format!("haproxy.drain: {{{server}, within: 30s}}"),
        15 if managed && app.balanced => format!("haproxy.enable: {{{server}}}"),
        16 => format!("file.template: {{src: files/some.tmpl, dest: {}}}", dest(dice.below(3))),
        17 => format!("file.absent: {{path: {}}}", dest(dice.below(3))),
        18 if own.is_none() => {
            "for_each: [x, y], file.copy: {content: \"{{ item }}\", dest: \"/etc/each-{{ item }}\"}".to_owned()
        }
        19 => format!(
            "command: touch /m-{name}, touches: [\"unit:none-{name}.service\"], \
             undo: [{{command: rm /m-{name}, touches: [\"unit:none-{name}.service\"]}}]"
        ),
        20 => format!("command: touch /n-{name}, touches: [\"file:/n-{name}\"]"),
        21 => format!(
            "script: {{inline: \"set -e\\ntrue\\n\"}}, touches: [\"file:/s-{name}\"], \
             undo: [{{command: rm /s-{name}, touches: [\"file:/s-{name}\"]}}]"
        ),
        22 if app.health == Health::Http => {
            let port = if app_name == "web" { 8080 } else { 9090 };
            format!("check.http: {{url: \"http://{{{{ host.address }}}}:{port}/health\", status: 200}}")
        }
        22 if app.health == Health::Tcp => {
            let port = if app_name == "web" { 8080 } else { 9090 };
            format!("check.tcp: {{address: \"{{{{ host.address }}}}:{port}\"}}")
        }
        23 => format!("check.app: {{app: {app_name}, min_healthy: 1}}"),
        24 => "when: \"1 == 2\", file.copy: {content: no, dest: /etc/never}".to_owned(),
        25 => format!("when: \"host.name != 'h1'\", {copy}"),
        26 => "require: [\"1 == 2\"], file.copy: {content: no, dest: /etc/gate}".to_owned(),
        27 => format!("require: [\"host.name != 'h2'\"], {copy}"),
        28 => format!("no_return: true, {copy}"),
        _ => copy,
    };
    let policy = if dice.chance(15) { format!(", on_failure: {}", dice.pick(&POLICIES)) } else { String::new() };
    let targets = if dice.chance(8) { format!(", targets: {}", dice.pick(&land.hosts)) } else { String::new() };
    let retry = if dice.chance(10) && !deed.contains("no_return") { ", retry: {attempts: 2, delay: 1s}" } else { "" };
    format!("{{name: {name}, {deed}{policy}{targets}{retry}}}")
}

impl Mishap {
    /// Nothing goes wrong.
    pub const NONE: Self =
        Self { faults: vec![], long: false, kills: vec![], rollback: false, stop: None, undo: None, blow: None };

    /// `acts`, `events` and `tasks`: how many of them the run has if nothing goes wrong.
    pub fn draw(dice: &mut Dice, land: &Land, [acts, events, tasks]: [usize; 3]) -> Self {
        let mut faults: Vec<(usize, Fault)> = Vec::new();
        for _ in 0..*dice.pick(&[0, 1, 1, 1, 2, 2, 3]) {
            let near = faults.last().map(|(at, _)| at + dice.within(1, 4));
            let at = near.filter(|_| dice.chance(60)).unwrap_or_else(|| dice.below(acts + acts / 2 + 1));
            faults.push((at, fault(dice, land)));
        }
        let kills = *dice.pick(&[0, 0, 1, 1, 2]);
        Self {
            faults,
            long: dice.chance(50),
            kills: (0..kills).map(|_| (dice.within(1, events.max(2)), dice.chance(50))).collect(),
            rollback: dice.chance(30),
            stop: dice.chance(20).then(|| (dice.within(1, events.max(2)), if dice.chance(50) { 1 } else { 2 })),
            undo: dice.chance(15).then(|| (dice.below(tasks), fault(dice, land))),
            blow: dice.chance(15).then(|| {
                let host = if dice.chance(15) { "lb" } else { dice.pick(&land.hosts).as_str() };
                let blow = if dice.chance(50) { Blow::Reboot } else { Blow::Cut };
                (dice.within(1, events.max(2)), host.to_owned(), blow)
            }),
        }
    }

    /// Nothing but that the process may die.
    pub fn only_dies(&self) -> bool {
        self.faults.is_empty() && self.undo.is_none() && self.blow.is_none() && self.stop.is_none() && !self.rollback
    }

    /// The same with one thing less, each in turn.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        all.extend((0..self.faults.len()).map(|n| {
            let mut less = self.clone();
            less.faults.remove(n);
            less
        }));
        all.extend((0..self.kills.len()).map(|n| {
            let mut less = self.clone();
            less.kills.remove(n);
            less
        }));
        all.extend(self.stop.map(|_| Self { stop: None, ..self.clone() }));
        all.extend(self.undo.map(|_| Self { undo: None, ..self.clone() }));
        all.extend(self.blow.as_ref().map(|_| Self { blow: None, ..self.clone() }));
        all.extend(self.long.then(|| Self { long: false, ..self.clone() }));
        all.extend(self.rollback.then(|| Self { rollback: false, ..self.clone() }));
        all
    }
}

/// Nobody can see that an app is ill which is not asked for its health.
fn fault(dice: &mut Dice, land: &Land) -> Fault {
    let fault = *dice.pick(&Fault::ALL);
    if fault == Fault::Sick && land.is_blind() { Fault::FailedAfter } else { fault }
}
