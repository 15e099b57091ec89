//! `svcops failover prepare`: the boot fence. A database that was a primary when it ended starts only where every other
//! host of it answers as a standby, or a person on the host says so.

use super::{
    app::{NoRunbook, step},
    failover,
};
use crate::{
    inventory::{Database, Host, Inventory, Service},
    transport::shell::quote,
};
use serde_json::{Value, json};

/// What the fence is, but for its settings.
const FENCE: &str = include_str!("boot-fence.sh");
/// Where it lies on a host.
const FOLDER: &str = "/usr/local/lib/svcops";
/// Where a person's word waits for the next start. It is empty after a boot.
const WORDS: &str = "/run/svcops";
/// The name of the drop-in of the database's unit: by it the fence is seen.
pub const DROP_IN: &str = "svcops-boot-fence.conf";

/// Why a service cannot be prepared, forced or rejoined.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unable {
    /// No such service or site.
    #[error(transparent)]
    Runbook(#[from] NoRunbook),
    /// It has nothing that two could write to.
    #[error("service `{service}` has no database among its parts")]
    NoDatabase {
        /// The service.
        service: String,
    },
    /// Somebody else manages its database.
    #[error("database `{database}` is managed by Patroni, which starts no primary without its lease")]
    Patroni {
        /// The database.
        database: String,
    },
    /// Nothing proves that the source serves nobody.
    #[error("nothing proves that {} serve nobody", failover::forced::joined(what))]
    Unproven {
        /// What may go on there.
        what: Vec<String>,
    },
}

/// The service of that name, and its database.
///
/// # Errors
/// There is none, it has no database, or Patroni manages that.
pub fn find<'a>(inventory: &'a Inventory, name: &str) -> Result<(&'a Service, &'a Database), Unable> {
    let service = failover::find(inventory, name)?;
    let database = service.database(inventory).ok_or_else(|| Unable::NoDatabase { service: name.to_owned() })?;
    if database.patroni.is_some() {
        return Err(Unable::Patroni { database: database.name.clone() });
    }
    Ok((service, database))
}

/// The runbook, as YAML text. It ends with each host asking the others: a fence that cannot ask would refuse for ever.
///
/// # Errors
/// As [`find`].
pub fn compose(inventory: &Inventory, name: &str) -> Result<String, Unable> {
    let (service, database) = find(inventory, name)?;
    let spot = &database.spot;
    let fence = path(&database.name);
    let unit_folder = format!("/etc/systemd/system/{}.d", spot.unit);
    let mut steps = Vec::new();
    if let (Some(passfile), Some(password)) = (database.passfile(), &database.replication.password) {
        steps.push(step(
            "The password of replication, for libpq",
            "file.copy",
            json!({
                "content": passfile_text(spot.port, &database.replication.user, password),
                "dest": passfile,
                "mode": "0600",
                "owner": spot.user,
            }),
        ));
    }
    steps.push(folder("The folder of the boot fence", FOLDER));
    steps.push(step(
        "The boot fence",
        "file.copy",
        json!({
            "content": script(inventory, service, database),
            "dest": fence,
            "mode": "0755",
            "owner": "root",
            "group": "root",
            "validate": "/bin/sh -n %s",
        }),
    ));
    steps.push(folder(&format!("The folder of drop-ins of {}", spot.unit), &unit_folder));
    let mut drop_in = step(
        "The unit asks the boot fence before it starts",
        "file.copy",
        json!({
            "content": drop_in(&fence),
            "dest": format!("{unit_folder}/{DROP_IN}"),
            "mode": "0644",
            "owner": "root",
            "group": "root",
        }),
    );
    let reload = json!({
        "name": "systemd reads its units again",
        "command": ["systemctl", "daemon-reload"],
        "touches": [format!("unit:{}", spot.unit)],
    });
    if let Some(map) = drop_in.as_object_mut() {
        map.insert("then".into(), json!([reload]));
    }
    steps.push(drop_in);
    steps.push(step("Can it ask the others?", "check.command", json!({"run": ["/bin/sh", fence, "ask"]})));
    let title = service.title.as_ref().unwrap_or(&service.name);
    written(&json!({
        "svcops": 1,
        "name": format!("failover-prepare-{name}"),
        "title": format!("Prepare {title} for a failover: the boot fence of {}", database.name),
        "targets": database.hosts.text,
        "steps": steps,
    }))
}

/// Where the fence of a database lies on its hosts.
pub fn path(database: &str) -> String {
    format!("{FOLDER}/boot-fence-{database}")
}

/// Where the boot fence of a database lies: the fence, and the drop-in of the unit that calls it.
pub fn places(database: &Database) -> [String; 2] {
    let unit = &database.spot.unit;
    [path(&database.name), format!("/etc/systemd/system/{unit}.d/{DROP_IN}")]
}

/// What lies there on a host, once the service was prepared.
pub fn texts(inventory: &Inventory, service: &Service, database: &Database, host: &Host) -> [String; 2] {
    let fence = script(inventory, service, database).replace(OWN_NAME, host.name.as_str());
    [fence, drop_in(&path(&database.name))]
}

/// A runbook as text.
pub(in crate::verbs) fn written(runbook: &Value) -> Result<String, Unable> {
    let text = serde_yaml::to_string(runbook).map_err(|e| NoRunbook::Unwritable(e.to_string()))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// One line of libpq's password file, for whichever host is asked.
fn passfile_text(port: u16, user: &str, password: &str) -> String {
    let user = user.replace('\\', r"\\").replace(':', r"\:");
    format!("*:{port}:*:{user}:{{{{ secret('{password}', 'pgpass') }}}}\n")
}

fn folder(name: &str, folder: &str) -> Value {
    json!({
        "name": name,
        "command": {"run": ["mkdir", "-p", folder], "unless": ["test", "-d", folder]},
        "touches": [format!("file:{folder}")],
        "undo": [{
            "name": format!("{name}, where it is empty"),
            "command": ["rmdir", "--ignore-fail-on-non-empty", folder],
            "touches": [format!("file:{folder}")],
        }],
    })
}

/// Filled in on each host.
const OWN_NAME: &str = "{{ host.name }}";

/// The fence with its settings; a template, in which each host finds its own name.
fn script(inventory: &Inventory, service: &Service, database: &Database) -> String {
    let spot = &database.spot;
    let hosts: Vec<String> = inventory
        .select(&database.hosts)
        .into_iter()
        .map(|host| format!("{} {}", host.name.as_str(), host.address.as_deref().unwrap_or(host.name.as_str())))
        .collect();
    let port = spot.port.to_string();
    let settings = [
        ("service", service.name.as_str()),
        ("database", &database.name),
        ("unit", &spot.unit),
        ("data", &spot.data),
        ("bin", &spot.bin),
        ("port", &port),
        ("owner", &spot.user),
        ("user", &database.replication.user),
        ("passfile", &database.passfile().unwrap_or_default()),
        ("run_dir", WORDS),
        ("self", &path(&database.name)),
    ];
    let settings: String = settings.iter().map(|(name, value)| format!("{name}={}\n", quote(value))).collect();
    format!("#!/bin/sh\nme='{OWN_NAME}'\nhosts={}\n{settings}\n{FENCE}", quote(&hosts.join("\n")))
}

/// `+`: as root, whoever the unit runs as. By its interpreter: `/usr/local` may be mounted without `exec`.
fn drop_in(fence: &str) -> String {
    let fence = fence.replace('%', "%%");
    format!(
        "# svcops put this here: `svcops failover prepare`\n\
         [Unit]\nAfter=network-online.target\n\
         [Service]\nExecStartPre=+/bin/sh {fence} check\nExecStartPost=+/bin/sh {fence} after\n"
    )
}

#[cfg(test)]
pub(in crate::verbs) mod tests;
#[cfg(test)]
mod tried;
