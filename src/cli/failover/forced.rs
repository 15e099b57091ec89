//! `svcops failover SERVICE --to SITE --forced`: a look at what is left, what may be lost, what nobody can fence, and a
//! runbook that is composed of it.

use super::{
    look::{self, Seen},
    switch::How,
};
use crate::{
    base::{Answer, Clock as _, HostName, Invocation, PgFacts, Place, Read, Span, WallClock},
    cli::{Face, confirm::Word, exit::ExitCode, run::Terms, stage, words::Failure},
    inventory::{Database, Host, Inventory, Service},
    resources::postgres::role,
    runbook::Project,
    transport::{Transport, shell::quote},
    ui::message::Message,
    verbs::{
        failover::forced::{Forced, Loss, Pace, compose, fences, hosts_of, joined, unproven},
        prepare,
    },
};
use futures_util::future::join_all;
use std::collections::BTreeSet;

/// What is said of a source that is lost.
#[derive(Debug, clap::Args)]
pub struct Lost {
    /// The other site is lost: go without it
    #[arg(long)]
    pub forced: bool,
    /// What has not arrived may be lost; what that can be is told without it
    #[arg(long, requires = "forced")]
    pub accept_loss: bool,
    /// Who says that the other site serves nobody, and how that is known, where no fence proves it
    #[arg(long, value_name = "WORDS", requires = "forced")]
    pub unfenced: Option<String>,
}

/// What was seen of it all.
struct Sight {
    seen: Vec<Seen>,
    /// Hosts of the source that answer.
    reached: BTreeSet<HostName>,
    /// How fast the log grew, by the files of the target.
    pace: Option<Pace>,
}

/// What a standby has received since its latest checkpoint: bytes, seconds, the size of a segment.
const SINCE_CHECKPOINT: &str = "SELECT \
    greatest(0, coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - redo_lsn)::bigint, \
    greatest(1, ceil(extract(epoch FROM pg_last_xact_replay_timestamp() - checkpoint_time)))::bigint, \
    (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size') FROM pg_control_checkpoint()";
/// Time for a look at the files of the log.
const FILES: Span = Span::secs(10);

impl Face {
    pub(super) fn failover_forced(
        &self,
        project: &Project,
        service: &Service,
        how: &How,
        word: Word,
    ) -> Result<ExitCode, Failure> {
        let inventory = &project.inventory;
        let wrong = |e: &dyn std::error::Error| Failure::wrong(Message::of(e));
        let (_, database) = prepare::find(inventory, &service.name).map_err(|e| match e {
            prepare::Unable::Patroni { .. } => {
                let hint = "`patronictl failover` promotes where its leader is lost; `svcops failover` brings the rest";
                Failure::wrong(Message::of(&e).hint(hint))
            }
            e => wrong(&e),
        })?;
        if how.lost.accept_loss || word.given.is_some() {
            // before hosts are asked: a slip of the hand is found at once
            word.fits()?;
        }
        let to = word.word.clone();
        let from = service.other(&to).unwrap_or_default();
        let sight = self.look_at_ruins(project, service, database, (from, &to))?;
        let [old, new] = [from, &to].map(|site| sight.seen.iter().find(|one| one.site == site));
        let (Some(old), Some(new)) = (old, new) else {
            let message = format!("database `{}` has no host at one of `{from}`, `{to}`", database.name);
            return Err(Failure::wrong(Message::error(message)));
        };
        let target = fit(&service.name, (from, &to), &sight.seen, (old, new)).map_err(|why| Failure::wrong(*why))?;
        let loss = loss(target, old, sight.pace);
        let forced = Forced {
            service,
            to: &to,
            reached: sight.reached.clone(),
            stopped: old.facts.as_ref().is_ok_and(|facts| !facts.running && facts.control.is_some()),
            promoted: target.is_primary(),
            unfenced: how.lost.unfenced.as_deref(),
            loss: &loss,
        };
        let without = unproven(inventory, &forced).map_err(|e| wrong(&e))?;
        let told = told(&forced, database, (old, target), &without);
        let text = match compose(inventory, &forced) {
            Ok(text) => text,
            Err(why @ prepare::Unable::Unproven { .. }) => {
                let ways = if fences(service, from).is_empty() {
                    "`fence:` of the service in svcops.yaml names a command that proves it; "
                } else {
                    ""
                };
                let message = Message::error(format!("forced failover of `{}` to `{to}` refused", service.name))
                    .because(why.to_string());
                let message = told.into_iter().fold(message, |message, (label, line)| message.row(label, line));
                let hint = format!("{ways}`--unfenced \"WHO SAYS SO, AND WHY\"` goes without a proof");
                return Err(Failure::wrong(message.hint(hint)));
            }
            Err(why) => return Err(wrong(&why)),
        };
        if how.show {
            self.no_stream()?;
            self.screen.data(&text);
            return Ok(ExitCode::Done);
        }
        if !how.lost.accept_loss && !forced.promoted {
            let message = told.into_iter().fold(
                Message::error(format!("forced failover of `{}` to `{to}` refused: it may lose data", service.name)),
                |message, (label, line)| message.row(label, line),
            );
            return Err(Failure::wrong(message.hint("`--accept-loss` says that this is known and accepted")));
        }
        let title = format!("this goes without `{from}`; read what may be lost, and what nobody could fence");
        let message = told.into_iter().fold(Message::warning(title), |message, (label, line)| message.row(label, line));
        self.screen.tell(&message);
        let idle = format!("`{}` is at `{to}` already: nothing to do", service.name);
        let terms = Terms { word: Some(word), idle: Some(idle), goes_back: true, ..Terms::default() };
        self.carry_over(project, (&format!("failover-{}-to-{to}", service.name), &text), &terms)
    }

    fn look_at_ruins(
        &self,
        project: &Project,
        service: &Service,
        database: &Database,
        (from, to): (&str, &str),
    ) -> Result<Sight, Failure> {
        let inventory = &project.inventory;
        self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, inventory, None);
            ways.progress.doing(&format!("looking what is left: `{}`", service.name));
            let transport = &*ways.transport;
            let target = database.at(inventory, to);
            let look = async {
                let (seen, reached, pace) = tokio::join!(
                    look::look(inventory, service, transport),
                    reached(inventory, service, from, transport),
                    pace(database, target, transport),
                );
                Sight { seen, reached, pace }
            };
            let sight = stage::unless_interrupted(look).await;
            ways.progress.rest();
            ways.transport.close().await;
            sight
        })
    }
}

/// The hosts of a service's parts at a site that answer.
async fn reached(
    inventory: &Inventory,
    service: &Service,
    site: &str,
    transport: &dyn Transport,
) -> BTreeSet<HostName> {
    let hosts: BTreeSet<&HostName> =
        service.parts.iter().flat_map(|part| hosts_of(inventory, part, site)).map(|host| &host.name).collect();
    let answers = hosts.into_iter().map(async |host| {
        let look = transport.look(Some(host), &[]).await;
        look.is_ok().then(|| host.clone())
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// How fast the log of a database grew, by the files that its standby has and by what came since its latest checkpoint.
async fn pace(database: &Database, host: Option<&Host>, transport: &dyn Transport) -> Option<Pace> {
    let host = host?;
    let files = format!("{}/pg_wal", database.spot.data);
    // a name with a blank is no segment's
    let listed = format!("cd {} && stat -c '%Y %s %n' [0-9A-F]* | tail -n 200", quote(&files));
    let (spot, psql) = (&database.spot, format!("{}/psql", database.spot.bin));
    let asked = format!(
        "cd / && exec runuser -u {} -- {} -XAtwq -F ' ' -p {} -d postgres -c {}",
        quote(&spot.user),
        quote(&psql),
        spot.port,
        quote(SINCE_CHECKPOINT)
    );
    let place = Place::on(&host.name).becoming(host.ssh.become_user.clone());
    let reads = [listed, asked].map(|text| place.at(Read::Run(Invocation::shell(text, FILES))));
    let look = transport.look(Some(&host.name), &reads).await.ok()?;
    let said = |answer: Option<&Answer>| match answer {
        Some(Answer::Run(ran)) => ran.stdout.clone(),
        _ => String::new(),
    };
    let (listed, asked) = (said(look.answers.first()), said(look.answers.get(1)));
    [Pace::of(&listed), Pace::since_checkpoint(&asked)].into_iter().flatten().max_by_key(|pace| pace.fastest)
}

/// Whether it can be forced at all; the target's facts.
fn fit<'a>(
    service: &str,
    (from, to): (&str, &str),
    seen: &[Seen],
    (old, new): (&Seen, &'a Seen),
) -> Result<&'a PgFacts, Box<Message>> {
    let refused = format!("forced failover of `{service}` to `{to}` refused");
    let said =
        |title: String| seen.iter().fold(Message::error(title), |message, one| message.because(look::words_of(one)));
    let at_target = new.facts.as_ref();
    if old.facts.as_ref().is_ok_and(|facts| facts.is_primary()) {
        let why = if at_target.is_ok_and(|facts| facts.is_primary()) {
            said(format!("{refused}: two primaries accept writes"))
                .hint("stop the one whose writes are to be lost by hand; then `svcops failover rejoin` it")
        } else {
            said(format!("{refused}: `{from}` is not lost, its primary answers"))
                .hint(format!("`svcops failover {service} --to {to}` moves it without a loss"))
        };
        return Err(Box::new(why));
    }
    if old.facts.as_ref().is_ok_and(|facts| facts.running && !facts.is_standby()) {
        let why = said(format!("{refused}: the database on `{}` runs, and does not say as what", old.host));
        return Err(Box::new(why.hint("stop it there, or wait until it answers: it may accept writes")));
    }
    match at_target {
        Err(_) => {
            let why = said(format!("{refused}: `{to}` was not seen"));
            Err(Box::new(why.hint(format!("`svcops doctor -l site={to}` tries the way there step by step"))))
        }
        Ok(facts) if facts.is_primary() || facts.is_standby() => Ok(facts),
        Ok(facts) => {
            let why = format!("{refused}: `{}` {}; only a running standby can be promoted", new.host, role(facts));
            Err(Box::new(said(why)))
        }
    }
}

/// What may be lost, by what was seen.
fn loss(target: &PgFacts, old: &Seen, pace: Option<Pace>) -> Loss {
    let mut loss = Loss::of(target, WallClock.now(), pace);
    loss.end = old.facts.as_ref().ok().filter(|facts| !facts.running).and_then(|facts| facts.tail.clone());
    loss
}

/// What a person is to know before they type the site's name, line by line under its label.
fn told(
    forced: &Forced<'_>,
    database: &Database,
    (old, target): (&Seen, &PgFacts),
    without: &[String],
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if forced.promoted {
        all.push(("lost", format!("`{}` is promoted already: what is lost is lost", database.name)));
    } else {
        all.push(("lost", forced.loss.words()));
        all.extend(forced.loss.grounds(old.host.as_str()).into_iter().map(|line| ("", line)));
        if forced.loss.may_exceed(forced.service.rpo) {
            all.push(("", format!("that may be more than is allowed: rpo {}", forced.service.rpo)));
        }
    }
    if !without.is_empty() {
        all.push(("open", format!("nothing proves that {} {} nobody", joined(without), serves(without))));
    }
    all.push(("source", look::words_of(old)));
    let fence = old.facts.as_ref().map_or(target.boot_fence, |facts| facts.boot_fence);
    if !fence {
        let line = format!(
            "no boot fence is seen: nothing keeps `{}` from accepting writes once it is back (`svcops failover prepare` puts one in place)",
            old.host
        );
        all.push(("", line));
    }
    all
}

const fn serves(what: &[String]) -> &'static str {
    if what.len() == 1 { "serves" } else { "serve" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{PgControl, PgSql, PgState, PgTail},
        inventory::sample_services::moving,
        ui::paint::Paint,
    };

    fn standby() -> PgFacts {
        let last = "2026-11-23T20:14:03Z".parse().ok();
        PgFacts {
            running: true,
            control: Some(PgControl { state: PgState::InArchiveRecovery, ..PgControl::default() }),
            sql: Some(PgSql { recovery: true, received: "0/3000148".parse().ok(), last, ..PgSql::default() }),
            boot_fence: true,
            ..PgFacts::default()
        }
    }

    fn primary() -> PgFacts {
        PgFacts {
            running: true,
            control: Some(PgControl { state: PgState::InProduction, ..PgControl::default() }),
            sql: Some(PgSql::default()),
            ..PgFacts::default()
        }
    }

    fn off() -> PgFacts {
        PgFacts { control: Some(PgControl::default()), ..PgFacts::default() }
    }

    fn seen(old: Result<PgFacts, &str>, new: Result<PgFacts, &str>) -> [Seen; 2] {
        [("dc1", old), ("dc2", new)].map(|(site, facts)| Seen {
            site: site.to_owned(),
            host: HostName::new(format!("{site}-db1")),
            facts: facts.map(Box::new).map_err(str::to_owned),
        })
    }

    fn refused(both: [Seen; 2]) -> String {
        let why = fit("crm", ("dc1", "dc2"), &both, (&both[0], &both[1])).unwrap_err();
        why.text(Paint::new(false), 200)
    }

    #[test]
    fn a_source_that_answers_as_a_primary_is_moved_by_a_switch() {
        insta::assert_snapshot!(refused(seen(Ok(primary()), Ok(standby()))), @r"
        error: forced failover of `crm` to `dc2` refused: `dc1` is not lost, its primary answers
          caused by: `dc1-db1` is primary: it accepts writes
          caused by: `dc2-db1` is a standby, and streams from nobody
        hint: `svcops failover crm --to dc2` moves it without a loss
        ");
        let two = refused(seen(Ok(primary()), Ok(primary())));
        assert!(two.contains("two primaries accept writes"), "{two}");
    }

    #[test]
    fn nothing_is_forced_to_a_site_that_is_not_seen_or_has_no_running_standby() {
        let unseen = refused(seen(Err("no route to host"), Err("timed out")));
        assert!(unseen.contains("refused: `dc2` was not seen"), "{unseen}");
        let mute = refused(seen(Ok(PgFacts { sql: None, ..primary() }), Ok(standby())));
        assert!(mute.contains("`dc1-db1` runs, and does not say as what"), "{mute}");
        let stopped = refused(seen(Err("no route to host"), Ok(off())));
        assert!(stopped.contains("only a running standby can be promoted"), "{stopped}");
        for old in [Err("no route to host"), Ok(off()), Ok(standby())] {
            let both = seen(old, Ok(standby()));
            assert!(fit("crm", ("dc1", "dc2"), &both, (&both[0], &both[1])).is_ok(), "{both:?}");
        }
    }

    #[test]
    fn who_confirms_has_read_what_may_be_lost_and_what_nobody_fences() {
        let inventory = moving();
        let (old, new) = seen(Err("no route to host"), Ok(PgFacts { boot_fence: false, ..standby() })).into();
        let target = new.facts.unwrap();
        let loss = Loss {
            at: "2026-11-23T20:14:45Z".parse().unwrap(),
            pace: Some(Pace { fastest: 30_000, segment: 1 << 20 }),
            ..loss(&target, &old, None)
        };
        let forced = Forced {
            service: &inventory.services["crm"],
            to: "dc2",
            reached: BTreeSet::new(),
            stopped: false,
            promoted: false,
            unfenced: Some("mkr: dc1 burns"),
            loss: &loss,
        };
        let without = ["database `crm-db` on `dc1-db1`".to_owned()];
        let lines = told(&forced, &inventory.databases["crm-db"], (&old, &target), &without);
        let lines: Vec<String> = lines.into_iter().map(|(label, line)| format!("{label:6} {line}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        lost   at least 0 B and 0s, at most about 1.3 MB and 42s
               at least nothing: nothing here shows that more was written than has arrived
               at most 42s: all that was committed until 2026-11-23T20:14:03Z has arrived; sure, where the clock of `dc1-db1` is right, and it serves nobody any more
               at most about 1.3 MB: at the fastest pace that the log here shows, 30 kB a second; an estimate, for nothing here bounds what was written there
               that may be more than is allowed: rpo 0B
        open   nothing proves that database `crm-db` on `dc1-db1` serves nobody
        source `dc1-db1` was not seen: no route to host
               no boot fence is seen: nothing keeps `dc1-db1` from accepting writes once it is back (`svcops failover prepare` puts one in place)
        ");
    }

    #[test]
    fn the_log_of_a_source_that_shows_it_leaves_no_doubt_about_the_loss() {
        let tail = PgTail { end: "0/3000348".parse().unwrap(), last: None };
        let (old, _) = seen(Ok(PgFacts { tail: Some(tail), ..off() }), Err("")).into();
        assert_eq!(loss(&standby(), &old, None).known(), Some((0x200, 0x200)));
    }
}
