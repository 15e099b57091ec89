//! Composed switches, rehearsed: every fault at every act, and an order that would make two primaries.

use super::{
    tests::{planned_in, rehearsed_in, rehearsed_on, wrong},
    *,
};
use crate::{
    actions::{Action, CATALOG, Next, Refusal, Target, Turn},
    base::{Act as Deeds, Answer, At, Change, PgChange, PgDepth, PgFacts, PgPeer, Place, Read, Receipt, RunId},
    inventory::{Fence, Inventory, Part, sample_services::moving},
    resources::Cluster,
    transport::{Fut, Look, Lost, LostKind, Settled, Terms, Transport},
    verbs::failover::{
        Switch, Way, compose,
        forced::{self, Forced, Loss},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

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
    let mut inventory = crm();
    inventory.services.get_mut("crm").unwrap().probe.clone_from(&moving().services["crm"].probe);
    let text = text(&inventory, "dc2", Way::Whole);
    assert!(text.contains("run.outcome"), "its last step knows how the run came out: {text}");
    let rehearsal = rehearsed_in(CATALOG, inventory, &text);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    assert!(rehearsal.no_return.is_some());
    assert_eq!(rehearsal.unbroken.verdict, Verdict::Done);
    // while it is not known whether the target is the primary, nothing that builds on it begins: no name, no follower
    let promotion = rehearsal.deeds.iter().position(|deed| deed.step == "Promote crm-db on dc2-db1").unwrap();
    let in_doubt = |p: &&Point| p.deed == promotion && p.trouble == Trouble::LostForGood;
    let ending = &rehearsal.points.iter().find(in_doubt).unwrap().ending;
    assert_eq!(ending.outcome, Some(End::Unknown));
    insta::assert_snapshot!(ending.stands.join("\n"), @r"
    `Nothing starts crm-db on dc1-db1 again` on `dc1-db1` stands
    `Take crm-db at dc1 out of front` on `dc1-db1` stands
    `Stop crm-db on dc1-db1` on `dc1-db1` stands
    nobody knows what became of `Promote crm-db on dc2-db1` on `dc2-db1`: could not reach `dc2-db1`: it does not answer
    ");
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

/// A world in which a site has no power: its hosts are silent, and so are its databases as seen from the other site.
struct Ruins(Assumed);

const RUINED: &str = "dc1-";

fn silent(host: Option<&HostName>) -> Option<Lost> {
    let host = host.filter(|host| host.as_str().starts_with(RUINED))?;
    Some(Lost { host: Some(host.clone()), why: "no route to host".into(), kind: LostKind::Unreachable })
}

impl Transport for Ruins {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            if let Some(lost) = silent(host) {
                return Err(lost);
            }
            let mut look = self.0.look(host, reads).await?;
            for answer in &mut look.answers {
                if let Answer::Postgres(facts) = answer {
                    facts.peer = facts.peer.map(|_| PgPeer::Silent);
                }
            }
            Ok(look)
        })
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.0.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a Deeds, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        self.0.carry(act, change, terms)
    }
    fn settle<'a>(&'a self, act: &'a Deeds, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.0.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a Deeds, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.0.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        self.0.fetch(at, path, cap)
    }
    fn supposes(&self) -> bool {
        self.0.supposes()
    }
    fn close(&self) -> Fut<'_, ()> {
        self.0.close()
    }
}

fn without_dc1(inventory: &Inventory, unfenced: Option<&str>) -> String {
    let loss = Loss::of(&PgFacts::default(), jiff::Timestamp::UNIX_EPOCH, None);
    let forced = Forced {
        service: &inventory.services["crm"],
        to: "dc2",
        reached: BTreeSet::new(),
        stopped: false,
        promoted: false,
        unfenced,
        loss: &loss,
    };
    forced::compose(inventory, &forced).unwrap()
}

#[test]
fn a_forced_failover_ends_before_or_goes_forward_whatever_fails_and_asks_nothing_of_who_is_lost() {
    let inventory = crm();
    let text = without_dc1(&inventory, Some("mkr: dc1 burns"));
    let ruins = Arc::new(Ruins(Assumed::wished(&inventory, Wish::Healthy)));
    let rehearsal = rehearsed_on(ruins, inventory, &text);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    assert!(rehearsal.no_return.is_some());
    assert_eq!(rehearsal.unbroken.verdict, Verdict::Done);
    assert!(rehearsal.deeds.iter().all(|deed| !deed.host.as_str().starts_with(RUINED)), "{:#?}", rehearsal.deeds);
}

#[test]
fn a_fence_that_fails_keeps_a_forced_failover_from_promoting() {
    let mut inventory = crm();
    let power = Fence { name: "power".into(), at: HostName::new("lb"), site: None, run: "power-off {{ site }}".into() };
    inventory.services.get_mut("crm").unwrap().fence = vec![power];
    let text = without_dc1(&inventory, None);
    let ruins = Arc::new(Ruins(Assumed::wished(&inventory, Wish::Healthy)));
    let rehearsal = rehearsed_on(ruins, inventory, &text);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert_eq!(rehearsal.unbroken.verdict, Verdict::Done);
    let fence = rehearsal.deeds.iter().position(|deed| deed.step == "Fence dc1: power").unwrap();
    let of = |trouble| rehearsal.points.iter().find(|p| p.deed == fence && p.trouble == Trouble::Act(trouble)).unwrap();
    for fault in [Fault::Refused, Fault::FailedBefore] {
        assert_ne!(of(fault).ending.verdict, Verdict::Forward, "{fault:?}: without a proof nothing is promoted");
        assert_ne!(of(fault).ending.verdict, Verdict::Done, "{fault:?}: without a proof nothing is promoted");
    }
}

#[test]
fn a_forced_failover_beside_a_primary_that_lives_is_refused_by_its_own_look() {
    let inventory = crm();
    let text = without_dc1(&inventory, Some("mkr: dc1 burns"));
    let told = wrong(&rehearsed_in(CATALOG, inventory, &text));
    assert!(
        told[0].starts_with("it fails without a fault: ") && told[0].contains("it accepts connections"),
        "{told:#?}"
    );
}

#[test]
fn the_plan_of_a_switch_has_one_point_of_no_return_and_that_of_a_drill_is_in_no_trouble() {
    let mut inventory = crm();
    inventory.services.get_mut("crm").unwrap().probe.clone_from(&moving().services["crm"].probe);
    let plan = |way: Way| {
        let plan = planned_in(inventory.clone(), &text(&inventory, "dc2", way));
        let trouble = plan.tasks.iter().filter_map(|task| task.trouble.clone()).collect::<Vec<_>>();
        let crossing = plan.tasks.iter().filter(|task| task.no_return).map(|task| task.action.clone());
        (trouble, crossing.collect::<Vec<_>>())
    };
    assert_eq!(plan(Way::Whole), (vec![], vec!["postgres.promote".to_owned()]));
    assert_eq!(plan(Way::Drill), (vec![], vec![]));
}
