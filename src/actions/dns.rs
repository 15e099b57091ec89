//! `dns.update`: records of a name, by RFC 2136.

use super::{Action, Next, Refusal, Target, Turn, args};
use crate::{
    base::{At, Change, Place, RecordType, RecordUpdate, Span, Zone},
    issue::dns::{PATIENCE, TTL, values},
    resources::{Record, SetFacts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// What `dns.update` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateArgs {
    /// The zone, by its name under `zones:`
    zone: String,
    /// The name, below the zone or in full; `@` is the zone itself
    name: String,
    /// A, AAAA, CNAME, TXT, MX, SRV or PTR
    r#type: String,
    /// The value
    #[serde(default, deserialize_with = "args::said")]
    #[schemars(with = "Option<String>")]
    value: Option<String>,
    /// Or several
    #[serde(default, deserialize_with = "args::list")]
    #[schemars(with = "Vec<String>")]
    values: Vec<String>,
    /// How long others may keep it, such as 5m; as that of the records that are there unless given, else 5m
    ttl: Option<Span>,
    /// present (default): these are among the records of that name and type; only: there are no others; absent: none of
    /// these is there, and none at all where no value is given
    #[serde(default)]
    state: State,
}

/// What should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// They are there.
    #[default]
    Present,
    /// They are there, and nothing beside them.
    Only,
    /// They are not there.
    Absent,
}

/// How long until the next look at servers that lag behind.
const EVERY: Duration = Duration::from_millis(500);

/// `dns.update`.
#[derive(Serialize, Deserialize)]
pub(super) struct Update {
    record: Record,
    /// What should be there of what is meant.
    wanted: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
}

impl Action for Update {
    const NAME: &'static str = "dns.update";
    const ABOUT: &'static str =
        "Puts records of a name into the DNS or takes them out, and waits until all servers of the zone answer so";
    const EXAMPLE: &'static str = "- name: Point the name to the other site
  dns.update: {zone: lab.test, name: billing, type: CNAME, value: billing-dc2.lab.test, ttl: 1m}";
    type Args = UpdateArgs;
    type On = Record;
    fn bind(args: UpdateArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let kind = kind(&args.r#type)?;
        let zone = args::plain("zone", args.zone)?;
        let at = nameservers(&zone, target)?;
        let name =
            values::name_in(&at.name, &args::plain("name", args.name)?).map_err(|why| Refusal::of("name", why))?;
        let given = match (args.value, args.values) {
            (Some(value), none) if none.is_empty() => vec![("value", value)],
            (None, values) => values.into_iter().map(|value| ("values", value)).collect(),
            _ => return Err(Refusal::new("one of `value` and `values` expected, not both")),
        };
        let mut meant = BTreeSet::new();
        for (key, value) in given {
            meant.insert(values::value(kind, &args::plain(key, value)?).map_err(|why| Refusal::of(key, why))?);
        }
        let absent = args.state == State::Absent;
        if meant.is_empty() && !absent {
            return Err(Refusal::of("value", "a value expected: none at all is said by `state: absent`"));
        }
        if kind == RecordType::Cname && meant.len() > 1 {
            return Err(Refusal::of("values", "one value expected: a name has one CNAME at most"));
        }
        // an alias is alone, so whatever else is there makes way for it
        let all = args.state == State::Only || meant.is_empty() || (kind == RecordType::Cname && !absent);
        let only = if all { None } else { Some(meant.clone()) };
        let wanted = if absent { BTreeSet::new() } else { meant };
        let ttl = args.ttl.map(ttl).transpose()?;
        Ok(Self { record: Record { at, name, kind, only, within: PATIENCE }, wanted, ttl })
    }
    fn on(&self) -> &Record {
        &self.record
    }
    fn next(&self, turn: &Turn<SetFacts>) -> Next {
        let ttl = self.ttl.or(turn.seen.ttl).unwrap_or(TTL);
        let lives = self.wanted.is_empty() || self.ttl.is_none() || turn.seen.ttl == self.ttl;
        if turn.seen.values == self.wanted && lives {
            let outputs = json!({"changed": turn.seen.values != turn.before.values || turn.seen.ttl != turn.before.ttl,
                "ttl": turn.seen.ttl, "old_ttl": turn.before.ttl, "old_values": turn.before.values});
            return self.served(turn, outputs);
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(self.ignored(&turn.seen));
        }
        let remove = turn.seen.values.difference(&self.wanted).cloned().collect();
        Next::act(self.change(remove, self.wanted.clone(), ttl), json!({"values": self.wanted}))
    }
    fn undo(&self, turn: &Turn<SetFacts>) -> Next {
        let (before, seen) = (&turn.before, &turn.seen);
        // records beside them live as long as before again, too
        let strayed = before.ttl.is_some() && seen.ttl.is_some() && before.ttl != seen.ttl;
        if seen.values == before.values && !strayed {
            return self.served(turn, Value::Null);
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(self.ignored(seen));
        }
        let remove = seen.values.difference(&before.values).cloned().collect();
        let mut add = before.values.clone();
        if strayed {
            add.extend(seen.beside.iter().cloned());
        }
        let ttl = before.ttl.or(seen.ttl).unwrap_or(TTL);
        Next::act(self.change(remove, add, ttl), json!({"values": before.values}))
    }
}

impl Update {
    fn change(&self, remove: BTreeSet<String>, add: BTreeSet<String>, ttl: u32) -> At<Change> {
        let Record { at, name, kind, .. } = self.record.clone();
        Place::HERE.at(Change::UpdateRecord(RecordUpdate { at, name, kind, remove, add, ttl }))
    }

    /// Done as soon as every server answers what the first one does.
    fn served(&self, turn: &Turn<SetFacts>, outputs: Value) -> Next {
        let Some((server, why)) = turn.seen.behind.iter().next() else { return Next::Done { outputs } };
        let more = turn.seen.behind.len() - 1;
        let others = if more == 0 { String::new() } else { format!(", and {more} more are behind") };
        let why = format!("`{server}` {why} for `{}` {}{others}", self.record.name, self.record.kind);
        if turn.late { Next::GiveUp(why) } else { Next::wait(why, EVERY) }
    }

    /// The server said that it did it, and did not.
    fn ignored(&self, seen: &SetFacts) -> String {
        let Record { at, name, kind, .. } = &self.record;
        let has = if seen.values.is_empty() { "none".to_owned() } else { format!("{:?}", seen.values) };
        let hint = match kind {
            RecordType::Cname => ": a CNAME cannot stand beside records of other types",
            _ => ": where a CNAME stands no other record can",
        };
        format!("`{}` took the update of `{name}` and has {has} of type {kind}{hint}", at.server)
    }
}

fn kind(text: &str) -> Result<RecordType, Refusal> {
    let known = RecordType::ALL.map(|(name, _)| name);
    let found = RecordType::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        Refusal::of("type", format!("one of {} expected, got `{text}`", crate::base::words::list(&known, known.len())))
    })
}

fn ttl(span: Span) -> Result<u32, Refusal> {
    let seconds = span.0.as_secs();
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= 0x7fff_ffff)
        .ok_or_else(|| Refusal::of("ttl", format!("at most 68 years expected, got {span}")))
}

/// The servers of a zone that is declared.
fn nameservers(zone: &str, target: &Target<'_>) -> Result<Zone, Refusal> {
    let zones = &target.inventory.zones;
    let found = zones.get(zone).ok_or_else(|| args::unknown("zone", "zone", zone, zones.keys().map(String::as_str)))?;
    Ok(found.clone())
}
