//! `svcops inventory hosts|apps|services|databases [-l SELECTOR]`: what exists, as rows.

pub mod services;

use crate::{
    base::HostName,
    inventory::{Host, Inventory, Manager, select},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// `inventory`.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Kind {
    /// The hosts
    #[command(after_help = "Examples:
  svcops inventory hosts -l 'role in (app,db)'")]
    Hosts,
    /// The apps
    #[command(after_help = "Examples:
  svcops inventory apps
  svcops inventory apps -l site=dc1")]
    Apps,
    /// The services that move from site to site, and what they are made of
    #[command(after_help = "Examples:
  svcops inventory services
  svcops inventory services -o json

`svcops failover status` looks where they are.")]
    Services,
    /// The databases, and which services stand on them
    #[command(after_help = "Examples:
  svcops inventory databases
  svcops inventory databases -l site=dc1")]
    Databases,
}

/// A host's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostRow {
    /// Its name.
    pub host: String,
    /// Its site.
    pub site: Option<String>,
    /// Its address, where one is given.
    pub address: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The apps on it.
    pub apps: Vec<String>,
    /// How it is reached: `local`, or `ssh` with the user where one is given.
    pub way: String,
}

/// An app's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppRow {
    /// Its name.
    pub app: String,
    /// For people.
    pub title: Option<String>,
    /// What manages it: the unit, or `command`.
    pub manager: String,
    /// Its hosts that the selector chose.
    pub hosts: Vec<HostName>,
    /// What must run before it.
    pub requires: Vec<String>,
}

/// The heads of [`host_cells`].
pub const HOST_HEADS: [&str; 6] = ["HOST", "SITE", "ADDRESS", "LABELS", "APPS", "WAY"];
/// The heads of [`app_cells`].
pub const APP_HEADS: [&str; 5] = ["APP", "TITLE", "MANAGER", "HOSTS", "REQUIRES"];

/// The hosts that a selector chooses; all without one.
///
/// # Errors
/// The selector is none.
pub fn hosts(inventory: &Inventory, selector: Option<&str>) -> Result<Vec<HostRow>, select::NotASelector> {
    let on: Vec<(&str, Vec<&Host>)> =
        inventory.apps.values().map(|app| (app.name.as_str(), inventory.select(&app.hosts))).collect();
    let row = |host: &Host| HostRow {
        host: host.name.to_string(),
        site: host.site.clone(),
        address: host.address.clone(),
        labels: host.labels.clone(),
        apps: on
            .iter()
            .filter(|(_, hosts)| hosts.iter().any(|h| h.name == host.name))
            .map(|(a, _)| (*a).to_owned())
            .collect(),
        way: if host.local {
            "local".to_owned()
        } else {
            host.ssh.user.as_ref().map_or_else(|| "ssh".to_owned(), |user| format!("ssh as {user}"))
        },
    };
    Ok(inventory.select(&select::parse(selector.unwrap_or("all"))?).into_iter().map(row).collect())
}

/// The apps with at least one host that a selector chooses.
///
/// # Errors
/// The selector is none.
pub fn apps(inventory: &Inventory, selector: Option<&str>) -> Result<Vec<AppRow>, select::NotASelector> {
    let chosen = inventory.select(&select::parse(selector.unwrap_or("all"))?);
    let mut rows = Vec::new();
    for app in inventory.apps.values() {
        let mut hosts = inventory.select(&app.hosts);
        hosts.retain(|h| chosen.iter().any(|c| c.name == h.name));
        if hosts.is_empty() {
            continue;
        }
        rows.push(AppRow {
            app: app.name.clone(),
            title: app.title.clone(),
            manager: match &app.manager {
                Manager::Systemd(unit) => unit.clone(),
                Manager::Command { .. } => "command".to_owned(),
            },
            hosts: hosts.into_iter().map(|h| h.name.clone()).collect(),
            requires: app.requires.clone(),
        });
    }
    Ok(rows)
}

/// A row as cells, in the order of [`HOST_HEADS`].
pub fn host_cells(row: &HostRow) -> Vec<String> {
    let labels: Vec<String> = row.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    vec![
        row.host.clone(),
        or_dash(&row.site),
        or_dash(&row.address),
        labels.join(" "),
        row.apps.join(" "),
        row.way.clone(),
    ]
}

/// A row as cells, in the order of [`APP_HEADS`].
pub fn app_cells(row: &AppRow) -> Vec<String> {
    let hosts: Vec<&str> = row.hosts.iter().map(HostName::as_str).collect();
    let title = row.title.clone().unwrap_or_else(|| "–".to_owned());
    vec![row.app.clone(), title, row.manager.clone(), hosts.join(" "), row.requires.join(" ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;

    #[test]
    fn rows_show_what_is_on_a_host_and_where_an_app_is() {
        let inventory = inventory();
        let rows = hosts(&inventory, Some("site=dc1,role=app")).unwrap();
        assert_eq!(
            rows.iter().map(host_cells).collect::<Vec<_>>(),
            [
                ["dc1-app1", "dc1", "10.77.0.11", "role=app", "billing billing-tls", "ssh as ops"],
                ["dc1-app2", "dc1", "10.77.0.12", "role=app", "billing billing-tls", "ssh as ops"]
            ]
        );
        let rows = apps(&inventory, Some("dc2-app1")).unwrap();
        assert_eq!(app_cells(&rows[0]), ["billing", "Биллинг", "billing.service", "dc2-app1", ""]);
        assert!(apps(&inventory, Some("a b")).is_err());
    }
}
