//! `svcops failover rejoin`: a former primary becomes a standby of the present one, and what a forced failover has cost is
//! found out.

use super::look::{self, Seen};
use crate::{
    base::{Lsn, PgFacts, RunId},
    cli::{Face, exit::ExitCode, run::Terms, words::Failure},
    inventory::{Database, Rpo, Service},
    journal::{Journal, JournalError, event::How},
    runbook::Project,
    ui::message::{Kind, Message},
    verbs::{
        failover::forced::{Found, Stated, rejoin},
        prepare,
    },
};

/// `failover rejoin`.
#[derive(Debug, clap::Args)]
pub struct Rejoin {
    /// The service
    pub service: String,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover rejoin crm
  svcops failover rejoin crm --show > runbooks/crm-rejoin.yaml

It looks who is primary now; the other one follows it. Where that one has
written what the new primary never received, pg_rewind throws it away: how much
is said before, and against what the forced failover stated after. Who wants to
save those rows copies the data directory first: docs/failover.md.";

impl Face {
    pub(super) fn failover_rejoin(&self, args: &Rejoin) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let inventory = &project.inventory;
        let wrong = |e: &dyn std::error::Error| Failure::wrong(Message::of(e));
        let (service, database) = prepare::find(inventory, &args.service).map_err(|e| wrong(&e))?;
        let seen = self.look_at_service(&project, service)?;
        let (primary, old) = pair(&service.name, &seen).map_err(|why| Failure::wrong(*why))?;
        let (Some(new_host), Some(old_host)) =
            (inventory.host(primary.host.as_str()), inventory.host(old.host.as_str()))
        else {
            return Err(Failure::wrong(Message::error("the hosts of the database are not in svcops.yaml any more")));
        };
        let stated = self.stated(&project, service, &primary.site)?;
        let text = rejoin(service, database, (old_host, new_host), stated.as_ref()).map_err(|e| wrong(&e))?;
        if args.show {
            self.no_stream()?;
            self.screen.data(&text);
            return Ok(ExitCode::Done);
        }
        if let (Ok(new), Ok(facts)) = (&primary.facts, &old.facts)
            && let Some(message) = thrown_away(old, facts, new)
        {
            self.screen.tell(&message);
        }
        let idle = format!("`{}` on `{}` follows `{}`: nothing to do", database.name, old.host, primary.host);
        let name = format!("failover-rejoin-{}", service.name);
        let before = self.newest(&project, &name)?;
        let terms = Terms { idle: Some(idle), ..Terms::default() };
        let code = self.carry_over(&project, (&name, &text), &terms)?;
        let after = self.newest(&project, &name)?.filter(|run| Some(run) != before.as_ref());
        if let (Some(run), ExitCode::Done) = (after, code) {
            self.tell_found(&project, (service, database), &run, stated.as_ref())?;
        }
        Ok(code)
    }

    /// What the last forced failover to a site stated, if the service was not moved elsewhere since.
    fn stated(&self, project: &Project, service: &Service, site: &str) -> Result<Option<Stated>, Failure> {
        let own = &project.inventory.project;
        let opened = self.open_to_read(own)?;
        let moves = format!("failover-{}-to-", service.name);
        let find = || -> Result<Option<Stated>, JournalError> {
            for run in opened.journal.runs(usize::MAX)? {
                let header = opened.journal.header(&run)?;
                if header.project != *own {
                    continue;
                }
                match header.runbook.strip_prefix(moves.as_str()) {
                    // one that only brought the rest states nothing
                    Some(there) if there == site => {
                        if let Some(stated) = Stated::of(&run, &header.params) {
                            return Ok(Some(stated));
                        }
                    }
                    Some(_) => return Ok(None),
                    None => {}
                }
            }
            Ok(None)
        };
        Ok(find()?)
    }

    /// The newest run of a name.
    fn newest(&self, project: &Project, name: &str) -> Result<Option<RunId>, Failure> {
        let own = &project.inventory.project;
        let opened = self.open_to_read(own)?;
        let find = || -> Result<Option<RunId>, JournalError> {
            for run in opened.journal.runs(usize::MAX)? {
                let header = opened.journal.header(&run)?;
                if header.project == *own && header.runbook == name {
                    return Ok(Some(run));
                }
            }
            Ok(None)
        };
        Ok(find()?)
    }

    /// What was lost in truth, against what was stated.
    fn tell_found(
        &self,
        project: &Project,
        (service, database): (&Service, &Database),
        run: &RunId,
        stated: Option<&Stated>,
    ) -> Result<(), Failure> {
        let opened = self.open_to_read(&project.inventory.project)?;
        let state = opened.journal.state(run)?;
        let outputs = state.tasks.iter().find_map(|task| match &task.forward.how {
            Some(How::Done { outputs }) if task.began.action == "postgres.follow" => Some(outputs),
            _ => None,
        });
        let Some(found) = outputs.map(Found::of) else { return Ok(()) };
        let message = Message::new(Kind::Done, found.words(&database.name));
        let message = match stated {
            Some(stated) => {
                let message = message.row("stated", format!("{}, by run {}", stated.words(), stated.run));
                message.row("found", found.against(stated))
            }
            None => message,
        };
        let over = stated.zip(found.lost).is_some_and(|(stated, bytes)| {
            let time = found.time(stated.kept_until);
            // whether a promise of time was kept, nobody can tell without one
            let known = matches!(service.rpo, Rpo::Bytes(_)) || time.is_some();
            known && !service.rpo.allows(bytes, time)
        });
        let message = if over { message.row("rpo", format!("not met: {} was promised", service.rpo)) } else { message };
        self.screen.tell(&message);
        Ok(())
    }
}

/// Who is primary, and who is to follow it.
fn pair<'a>(service: &str, seen: &'a [Seen]) -> Result<(&'a Seen, &'a Seen), Box<Message>> {
    let refused = format!("rejoin of `{service}` refused");
    let said =
        |title: String| seen.iter().fold(Message::error(title), |message, one| message.because(look::words_of(one)));
    if let Some(unseen) = seen.iter().find(|one| one.facts.is_err()) {
        let why = said(format!("{refused}: `{}` was not seen", unseen.host));
        let hint = format!("`svcops doctor -l site={}` tries the way there step by step", unseen.site);
        return Err(Box::new(why.hint(hint)));
    }
    let (primaries, others): (Vec<&Seen>, Vec<&Seen>) =
        seen.iter().partition(|one| one.facts.as_ref().is_ok_and(|facts| facts.is_primary()));
    match (primaries.as_slice(), others.as_slice()) {
        ([primary], [other]) => Ok((primary, other)),
        ([_, _, ..], _) => {
            let why = said(format!("{refused}: two primaries accept writes"));
            Err(Box::new(why.hint("stop the one whose writes are to be lost by hand; then rejoin it")))
        }
        _ => {
            let why = said(format!("{refused}: no primary is seen, so there is nobody to follow"));
            Err(Box::new(why.hint(format!("`svcops failover status {service}` says what is seen"))))
        }
    }
}

/// What a rejoin throws away, as far as it shows before anything is done.
fn thrown_away(old: &Seen, facts: &PgFacts, primary: &PgFacts) -> Option<Message> {
    let tail = facts.tail.as_ref()?;
    let mine = facts.control.as_ref()?.timeline;
    let left: Lsn = primary.history.iter().find(|branch| branch.timeline == mine)?.left;
    let bytes = tail.end.past(left);
    if bytes == 0 {
        return None;
    }
    let title =
        format!("`{}` has {bytes} B of log that the new primary never received; they are thrown away", old.host);
    let message = Message::warning(title);
    Some(match &tail.last {
        Some(last) => message.row("last", format!("commit there at {last}")),
        None => message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{HostName, PgBranch, PgControl, PgSql, PgState, PgTail},
        ui::paint::Paint,
    };

    fn primary() -> PgFacts {
        PgFacts {
            running: true,
            control: Some(PgControl { state: PgState::InProduction, timeline: 2, ..PgControl::default() }),
            sql: Some(PgSql::default()),
            history: vec![PgBranch { timeline: 1, left: Lsn(0x300_0148) }],
            ..PgFacts::default()
        }
    }

    fn crashed() -> PgFacts {
        let last = "2026-11-23T20:14:10Z".parse().ok();
        PgFacts {
            control: Some(PgControl { state: PgState::InProduction, timeline: 1, ..PgControl::default() }),
            tail: Some(PgTail { end: Lsn(0x300_0348), last }),
            ..PgFacts::default()
        }
    }

    fn seen(all: [Result<PgFacts, &str>; 2]) -> Vec<Seen> {
        let site = |(n, facts): (usize, Result<PgFacts, &str>)| Seen {
            site: format!("dc{}", n + 1),
            host: HostName::new(format!("dc{}-db1", n + 1)),
            facts: facts.map(Box::new).map_err(str::to_owned),
        };
        all.into_iter().enumerate().map(site).collect()
    }

    #[test]
    fn the_one_that_is_no_primary_follows_the_one_that_is() {
        let both = seen([Ok(crashed()), Ok(primary())]);
        let (new, old) = pair("crm", &both).unwrap();
        assert_eq!((new.host.as_str(), old.host.as_str()), ("dc2-db1", "dc1-db1"));
    }

    #[test]
    fn nobody_follows_where_there_are_two_primaries_or_none_or_one_is_not_seen() {
        let why = |all| pair("crm", &seen(all)).unwrap_err().text(Paint::new(false), 100);
        insta::assert_snapshot!(why([Ok(primary()), Ok(primary())]), @r"
        error: rejoin of `crm` refused: two primaries accept writes
          caused by: `dc1-db1` is primary: it accepts writes
          caused by: `dc2-db1` is primary: it accepts writes
        hint: stop the one whose writes are to be lost by hand; then rejoin it
        ");
        insta::assert_snapshot!(why([Err("no route to host"), Ok(primary())]), @r"
        error: rejoin of `crm` refused: `dc1-db1` was not seen
          caused by: `dc1-db1` was not seen: no route to host
          caused by: `dc2-db1` is primary: it accepts writes
        hint: `svcops doctor -l site=dc1` tries the way there step by step
        ");
        assert!(why([Ok(crashed()), Ok(crashed())]).contains("no primary is seen"));
    }

    #[test]
    fn what_is_thrown_away_is_told_before_it_is() {
        let both = seen([Ok(crashed()), Ok(primary())]);
        insta::assert_snapshot!(thrown_away(&both[0], &crashed(), &primary()).unwrap().text(Paint::new(false), 100), @r"
        warning: `dc1-db1` has 512 B of log that the new primary never received; they are thrown away
          last    commit there at 2026-11-23T20:14:10Z
        ");
        let level = PgFacts { history: vec![PgBranch { timeline: 1, left: Lsn(0x300_0348) }], ..primary() };
        assert!(thrown_away(&both[0], &crashed(), &level).is_none());
    }
}
