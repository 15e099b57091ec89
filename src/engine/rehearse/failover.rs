//! Composed switches, rehearsed: every fault at every act, and an order that would make two primaries.

use super::{
    tests::{rehearsed_in, wrong},
    *,
};
use crate::{
    actions::{Action, CATALOG, Next, Refusal, Target, Turn},
    base::{Change, PgChange, PgDepth, PgFacts},
    inventory::{Inventory, Part, sample_services::moving},
    resources::Cluster,
    verbs::failover::{Switch, Way, compose},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The sample's service as the lab has it: traffic, database and name move, the app runs at both sites.
fn crm() -> Inventory {
    let mut inventory = moving();
    let service = inventory.services.get_mut("crm").unwrap();
    service.probe = None;
    service.parts.retain_mut(|part| match part {
        Part::App { both, .. } => {
            *both = true;
            true
        }
        Part::Jobs { .. } | Part::Command { .. } => false,
        _ => true,
    });
    inventory
}

fn text(inventory: &Inventory, to: &str, way: Way) -> String {
    compose(inventory, &Switch { service: &inventory.services["crm"], to, way }).unwrap()
}

#[test]
fn a_switch_ends_before_or_goes_forward_whatever_fails_and_never_with_two_primaries() {
    let inventory = crm();
    let text = text(&inventory, "dc2", Way::Whole);
    let rehearsal = rehearsed_in(CATALOG, inventory, &text);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    assert!(rehearsal.no_return.is_some());
    assert_eq!(rehearsal.unbroken.verdict, Verdict::Done);
}

/// Puts a promotion before the stop of the old primary.
fn planted(inventory: &Inventory, promote: serde_json::Value) -> String {
    let mut runbook: serde_json::Value = serde_yaml::from_str(&text(inventory, "dc2", Way::Whole)).unwrap();
    let steps = runbook["steps"].as_array_mut().unwrap();
    steps.retain(|step| step.get("postgres.promote").is_none());
    let stop = steps.iter().position(|step| step.get("postgres.stop").is_some()).unwrap();
    steps.insert(stop, promote);
    serde_yaml::to_string(&runbook).unwrap()
}

#[test]
fn a_promotion_before_the_old_primary_has_ended_is_refused_by_its_own_look() {
    let inventory = crm();
    let promote = json!({"name": "Too early", "targets": "dc2-db1", "no_return": true, "postgres.promote": {"database": "crm-db", "from": "dc1-db1", "unfenced": "planted"}});
    let text = planted(&inventory, promote);
    let rehearsal = rehearsed_in(CATALOG, inventory, &text);
    let told = wrong(&rehearsal);
    assert!(
        told[0].starts_with("it fails without a fault: ") && told[0].contains("it accepts connections"),
        "{told:#?}"
    );
    assert!(!rehearsal.is_clean());
}

/// Promotes whatever it sees.
#[derive(Serialize, Deserialize)]
struct Reckless(Cluster);

#[derive(Deserialize, JsonSchema)]
struct RecklessArgs {
    database: String,
}

impl Action for Reckless {
    const NAME: &'static str = "postgres.reckless";
    const ABOUT: &'static str = "Promotes whatever it sees";
    type Args = RecklessArgs;
    type On = Cluster;
    fn bind(args: RecklessArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let spot = target.inventory.databases[&args.database].spot.clone();
        Ok(Self(Cluster { at: target.place(), spot, depth: PgDepth::Log }))
    }
    fn on(&self) -> &Cluster {
        &self.0
    }
    fn next(&self, turn: &Turn<PgFacts>) -> Next {
        if turn.seen.is_primary() {
            return Next::done();
        }
        let change = Change::Postgres { spot: self.0.spot.clone(), change: PgChange::Promote { past: None } };
        Next::act(self.0.at.at(change), serde_json::Value::Null)
    }
    fn undo(&self, _: &Turn<PgFacts>) -> Next {
        Next::GiveUp("no way back".into())
    }
}

#[test]
fn two_primaries_are_found_as_harm_where_an_act_makes_them() {
    let catalog: Vec<Entry> = CATALOG.iter().copied().chain([Entry::of::<Reckless>()]).collect();
    let inventory = crm();
    let promote = json!({"name": "Too early", "targets": "dc2-db1", "no_return": true, "postgres.reckless": {"database": "crm-db"}});
    let text = planted(&inventory, promote);
    let rehearsal = rehearsed_in(Vec::leak(catalog), inventory, &text);
    assert_eq!(wrong(&rehearsal), ["on the way: `crm-db` accepts writes on `dc1-db1` and `dc2-db1`"]);
}

#[test]
fn a_service_without_a_database_can_be_undone_at_every_act() {
    let mut inventory = crm();
    inventory.services.get_mut("crm").unwrap().parts.retain(|part| !matches!(part, Part::Database(_)));
    let text = text(&inventory, "dc2", Way::Whole);
    let rehearsal = rehearsed_in(CATALOG, inventory, &text);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert_eq!(rehearsal.no_return, None);
}
