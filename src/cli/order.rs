//! What is to be run: the runbook with its params, and the hosts that options left.

use super::{Face, args::Params, opened::Opened, words::Failure};
use crate::{
    actions::CATALOG,
    base::HostName,
    engine::{Order, run::recorded, script, unfinished},
    inventory::{Inventory, select},
    journal::event::Operator,
    runbook::{Runbook, params},
    transport::shell::quote,
    ui::message::Message,
};
use serde_json::Value;
use std::collections::BTreeMap;

impl Face {
    /// An order for a runbook with the params of the command line.
    ///
    /// # Errors
    /// What is wrong with the params or the selection.
    pub fn order(
        &self,
        inventory: &Inventory,
        runbook: Runbook,
        given: &Params,
        opened: &Opened,
    ) -> Result<Order, Failure> {
        let mut texts = BTreeMap::new();
        for (name, text) in &given.params {
            if texts.insert(name.clone(), text.clone()).is_some() {
                return Err(Failure::wrong(Message::error(format!("the parameter `{name}` is given twice"))));
            }
        }
        let params = params::resolve(&runbook.params, &texts, inventory).map_err(|wrong| {
            let mut message = Message::error(format!("the parameters do not fit runbook `{}`", runbook.name));
            for why in wrong.0 {
                message = message.because(why);
            }
            Failure::wrong(message)
        })?;
        self.order_with(inventory, runbook, params, opened)
    }

    /// An order whose params are resolved.
    ///
    /// # Errors
    /// What is wrong with the selection.
    pub fn order_with(
        &self,
        inventory: &Inventory,
        runbook: Runbook,
        params: BTreeMap<String, Value>,
        opened: &Opened,
    ) -> Result<Order, Failure> {
        let mut order = Order {
            limit: None,
            limited_by: None,
            parallel: self.global.parallel,
            operator: Operator::here(),
            reason: self.global.reason.clone(),
            ticket: self.global.ticket.clone().map(Value::String).or_else(|| runbook.ticket.clone()),
            runbook,
            params,
        };
        (order.limit, order.limited_by) = self.selected(inventory, opened)?;
        let chosen = order.limit.is_some();
        if chosen || self.global.limit.is_some() {
            let hosts = first(inventory, &order, self.global.limit.unwrap_or(usize::MAX))?;
            if hosts.is_empty() && chosen && !order.runbook.allow_empty {
                let message = format!("no selected host is one of the hosts of runbook `{}`", order.runbook.name);
                return Err(Failure::wrong(
                    Message::error(message).hint("options only narrow what its `targets:` say"),
                ));
            }
            if self.global.limit.is_some() {
                order.limit = Some(hosts);
            }
        }
        Ok(order)
    }

    /// The hosts that `-l` and `--failed-from` leave (none: all), and all options that leave only some, as written.
    fn selected(
        &self,
        inventory: &Inventory,
        opened: &Opened,
    ) -> Result<(Option<Vec<HostName>>, Option<String>), Failure> {
        let mut hosts = self.hosts(inventory)?;
        let mut options = Vec::new();
        options.extend(self.global.selector.as_deref().map(|text| format!("-l {}", quote(text))));
        if let Some(name) = &self.global.failed_from {
            let run = opened.own_run(name)?;
            let left = unfinished(&recorded(&opened.journal, &run)?, CATALOG)?;
            let nothing = |what: &str| Err(Failure::wrong(Message::error(format!("{what} run {run}"))));
            if left.is_empty() {
                return nothing("there is no host to try again: nothing failed, was taken back or left out in");
            }
            let declared = |host: &HostName| inventory.host(host.as_str()).is_some();
            hosts = Some(match hosts {
                Some(hosts) => hosts.into_iter().filter(|host| left.contains(host)).collect(),
                None => left.into_iter().filter(declared).collect(),
            });
            if hosts.as_ref().is_some_and(Vec::is_empty) {
                return nothing("none of the selected hosts is to be tried again after");
            }
            options.push(format!("--failed-from {run}"));
        }
        options.extend(self.global.limit.map(|most| format!("--limit {most}")));
        Ok((hosts, (!options.is_empty()).then(|| options.join(" "))))
    }

    /// The hosts that `-l` selects; none: it was not given.
    ///
    /// # Errors
    /// It is no selector, or matches no host.
    pub fn hosts(&self, inventory: &Inventory) -> Result<Option<Vec<HostName>>, Failure> {
        let Some(text) = &self.global.selector else { return Ok(None) };
        let selector = select::parse(text).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let hosts: Vec<HostName> = inventory.select(&selector).into_iter().map(|h| h.name.clone()).collect();
        if hosts.is_empty() {
            return Err(Failure::wrong(Message::error(format!("`{text}` matches no host")).hint(LIST)));
        }
        Ok(Some(hosts))
    }
}

const LIST: &str = "`svcops inventory hosts` lists the hosts with their labels";

/// The first hosts that the order would come to.
fn first(inventory: &Inventory, order: &Order, most: usize) -> Result<Vec<HostName>, Failure> {
    let script = script::spread(&order.runbook, &order.params, inventory, order.limit.as_deref(), CATALOG)
        .map_err(|e| Failure::wrong(Message::of(&e)))?;
    let mut hosts: Vec<HostName> = Vec::new();
    // what runs once, from here, is no host that could be counted
    for host in script.stations().iter().filter(|s| !s.traits.once).flat_map(|s| &s.hosts) {
        if hosts.len() < most && !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    Ok(hosts)
}
