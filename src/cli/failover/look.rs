//! Who is active: seen, and never taken from a file.

use super::open::{self, Open};
use crate::{
    base::{Answer, Clock as _, HostName, PgAsk, PgDepth, PgFacts, Place, Read, WallClock},
    cli::{Face, stage, words::Failure},
    inventory::{Host, Inventory, Part, Service},
    resources::Answers,
    runbook::Project,
    survey::service::{
        certs::{self, Ending},
        names,
    },
    transport::Transport,
    ui::message::Message,
};
use futures_util::future::join_all;

/// One of a database's hosts, as it was seen.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Seen {
    /// Its site.
    pub site: String,
    /// The host.
    pub host: HostName,
    /// What was seen; else why nothing was.
    pub facts: Result<Box<PgFacts>, String>,
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Active {
    /// Its database's only primary is at that site.
    At(String),
    /// It has no database: what its parts do is seen part by part.
    Stateless,
}

/// Why nobody can say where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Unclear {
    /// Two of its databases accept writes.
    Two,
    /// None does.
    None,
    /// A host was not seen, at that site.
    Unseen(String),
}

/// Where a service is, by what was seen of its database at both sites.
pub(in crate::cli) fn active(service: &Service, seen: &[Seen]) -> Result<Active, Unclear> {
    if seen.is_empty() {
        return Ok(Active::Stateless);
    }
    let primary = |one: &&Seen| one.facts.as_ref().is_ok_and(|facts| facts.is_primary());
    let primaries: Vec<&Seen> = seen.iter().filter(primary).collect();
    let unseen = seen.iter().find(|one| one.facts.as_ref().map_or(true, |facts| is_mute(facts)));
    match (primaries.as_slice(), unseen) {
        ([_, _, ..], _) => Err(Unclear::Two),
        // whether it is the only one, nobody has seen
        (_, Some(unseen)) if service.sites.contains(&unseen.site) => Err(Unclear::Unseen(unseen.site.clone())),
        ([one], _) => Ok(Active::At(one.site.clone())),
        ([], _) => Err(Unclear::None),
    }
}

/// It runs and does not say what it is.
fn is_mute(facts: &PgFacts) -> bool {
    facts.running && facts.sql.is_none()
}

/// What a host's cluster is, in words.
pub(super) fn words_of(one: &Seen) -> String {
    let at = format!("`{}`", one.host);
    match &one.facts {
        Err(why) => format!("{at} was not seen: {why}"),
        Ok(facts) if facts.is_primary() => format!("{at} is primary: it accepts writes"),
        Ok(facts) if facts.is_standby() => match facts.sql.as_ref().and_then(|sql| sql.streams_from.as_ref()) {
            Some(from) => format!("{at} is a standby and streams from {from}"),
            None => format!("{at} is a standby, and streams from nobody"),
        },
        Ok(facts) if facts.running => {
            format!("{at} runs and does not answer: {}", facts.silent.as_deref().unwrap_or("no word"))
        }
        Ok(facts) => match facts.ended_at() {
            Some(lsn) => {
                format!("{at} ended cleanly as a primary at {lsn}{}", if facts.masked { ", and is masked" } else { "" })
            }
            None => format!("{at} does not run{}", if facts.masked { ", and is masked" } else { "" }),
        },
    }
}

/// Why there is no switch: what was seen, and what to do next.
fn refusal(service: &str, (from, to): (&str, &str), seen: &[Seen], why: &Unclear) -> Message {
    let refused = format!("failover of `{service}` to `{to}` refused");
    let (title, hints) = match why {
        Unclear::Two => (
            format!("{refused}: two primaries accept writes"),
            vec![
                "stop one of them by hand, the one whose writes are to be lost; then `svcops failover rejoin` it"
                    .to_owned(),
            ],
        ),
        Unclear::None => (
            format!("{refused}: no primary is seen"),
            vec![format!(
                "`svcops failover status {service}` shows all of it; where that is no mishap of now, start the one that was primary"
            )],
        ),
        Unclear::Unseen(site) if site == from => (
            format!("{refused}: `{site}` was not seen, so nobody knows whether it accepts writes"),
            vec![format!("where it is lost, `svcops failover {service} --to {to} --forced` goes without it")],
        ),
        Unclear::Unseen(site) => (
            format!("{refused}: `{site}` was not seen"),
            vec![format!("`svcops doctor -l site={site}` tries the way there step by step")],
        ),
    };
    let message = seen.iter().fold(Message::error(title), |message, one| message.because(words_of(one)));
    hints.into_iter().fold(message, Message::hint)
}

/// Looks at the database of a service, at both sites side by side.
pub(in crate::cli) async fn look(inventory: &Inventory, service: &Service, transport: &dyn Transport) -> Vec<Seen> {
    let Some(database) = service.database(inventory) else { return Vec::new() };
    let hosts = service.sites.iter().filter_map(|site| Some((site, database.at(inventory, site)?)));
    let one = async |site: &String, host: &Host| {
        let ask = PgAsk { spot: database.spot.clone(), depth: PgDepth::Whole, peer: None };
        let place = Place::on(&host.name).becoming(host.ssh.become_user.clone());
        let looked = transport.look(Some(&host.name), &[place.at(Read::Postgres(ask))]).await;
        let facts = match looked {
            Err(lost) => Err(lost.to_string()),
            Ok(look) => facts(look.answers),
        };
        Seen { site: site.clone(), host: host.name.clone(), facts }
    };
    join_all(hosts.map(|(site, host)| one(site, host))).await
}

fn facts(answers: Vec<Answer>) -> Result<Box<PgFacts>, String> {
    let picked =
        Answers::new(answers).take(|answer| if let Answer::Postgres(facts) = answer { Some(facts) } else { None });
    picked.map_err(|why| why.to_string())
}

/// Why there is no switch: what has expired at the target; else what is to be said of what will.
pub(in crate::cli) fn certificates(service: &str, to: &str, ending: &[Ending]) -> Result<Option<Message>, Failure> {
    let told = |title: Message, expired: bool| {
        let of = ending.iter().filter(|one| one.expired == expired);
        let message = of.fold(title, |message, one| message.because(one.words()));
        message.hint("`svcops cert list` tells more of them, and `svcops cert renew` puts new ones there")
    };
    if ending.iter().any(|one| one.expired) {
        let title = format!("failover of `{service}` to `{to}` refused: certificates have expired there");
        return Err(Failure::wrong(told(Message::error(title), true)));
    }
    let title = Message::warning(format!("certificates at `{to}` expire within a day"));
    Ok((!ending.is_empty()).then(|| told(title, false)))
}

impl Face {
    /// The run of a service that is not over. That the journal cannot be read is said where a run is to begin.
    pub(super) fn unfinished(&self, project: &Project, service: &Service) -> Option<Open> {
        let opened = self.open_to_read(&project.inventory.project).ok()?;
        open::open(&self.past(&opened, Some(project)), &project.inventory, service).ok().flatten()
    }

    /// Refuses at once while a run moves the service: what would be seen is its doing.
    pub(super) fn nobody_moves(&self, project: &Project, service: &Service, to: &str) -> Result<(), Failure> {
        match self.unfinished(project, service).filter(|open| open.run.alive) {
            Some(open) => Err(open.refusal(&service.name, to, [])),
            None => Ok(()),
        }
    }

    /// Why nobody can say where it is: the run that left it so, else what was seen.
    pub(super) fn unclear(
        &self,
        project: &Project,
        service: &Service,
        sites: (&str, &str),
        (seen, why): (&[Seen], &Unclear),
    ) -> Failure {
        match self.unfinished(project, service) {
            // what two primaries write is a matter of now
            Some(open) if *why != Unclear::Two => open.refusal(&service.name, sites.1, seen.iter().map(words_of)),
            _ => Failure::wrong(refusal(&service.name, sites, seen, why)),
        }
    }

    /// Before a service moves: its certificates at the target are looked at, and whether its names can be changed.
    pub(super) fn look_before(&self, project: &Project, service: &Service, to: &str) -> Result<(), Failure> {
        let inventory = &project.inventory;
        let names = service.parts.iter().any(|part| matches!(part, Part::Record { .. }));
        if inventory.certificates.is_empty() && !names {
            return Ok(());
        }
        let (ending, unchangeable) = self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, inventory, None);
            ways.progress.doing(&format!("looking at the certificates of `{to}`, and at names"));
            let now = WallClock.now();
            let looks = async {
                tokio::join!(
                    certs::ending(&*ways.transport, inventory, service, to, now),
                    names::unchangeable(&*ways.transport, inventory, service)
                )
            };
            let seen = stage::unless_interrupted(looks).await;
            ways.progress.rest();
            ways.transport.close().await;
            seen
        })?;
        if !unchangeable.is_empty() {
            let refused = format!("failover of `{}` to `{to}` refused: its names could not follow", service.name);
            return Err(Failure::wrong(unchangeable.into_iter().fold(Message::error(refused), Message::because)));
        }
        if let Some(warning) = certificates(&service.name, to, &ending)? {
            self.screen.tell(&warning);
        }
        Ok(())
    }

    pub(super) fn look_at_service(&self, project: &Project, service: &Service) -> Result<Vec<Seen>, Failure> {
        if service.database(&project.inventory).is_none() {
            return Ok(Vec::new());
        }
        self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, &project.inventory, None);
            ways.progress.doing(&format!("looking who is active: `{}`", service.name));
            let seen = stage::unless_interrupted(look(&project.inventory, service, &*ways.transport)).await;
            ways.progress.rest();
            ways.transport.close().await;
            seen
        })
    }
}
