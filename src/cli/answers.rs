//! Verbs that only look, wired to what they show: lint, schema, inventory, history, owed, doctor.

use super::{
    Face,
    args::{self, History, Output, SchemaOf},
    doctor,
    exit::ExitCode,
    history::{self, Past},
    inventory, lint,
    opened::Opened,
    owed, plan, schema, sudoers,
    words::Failure,
};
use crate::{
    actions::CATALOG,
    base::{HostName, WallClock, words::count},
    evidence::syslog,
    inventory::{Host, select::NotASelector},
    journal::place::State,
    runbook::Project,
    ui::{message::Message, table::table},
};
use serde::Serialize;
use std::collections::BTreeSet;

impl Face {
    pub(super) fn lint(&self, args: &args::Lint) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let format = match self.global.output {
            Output::Table => lint::Format::Pretty { color: self.screen.data_paint.on() },
            _ => lint::Format::Json,
        };
        let (text, code) = lint::lint(&self.global.dir, &args.paths, args.strict, format, CATALOG);
        self.screen.data(&text);
        Ok(if code == 0 { ExitCode::Done } else { ExitCode::Wrong })
    }

    pub(super) fn schema(&self, args: &args::Schema) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let kind = match args.of {
            SchemaOf::Project => schema::Kind::Project,
            SchemaOf::Runbook => schema::Kind::Runbook,
            SchemaOf::Events => schema::Kind::Events,
        };
        self.screen.json(&schema::schema(kind, CATALOG));
        Ok(ExitCode::Done)
    }

    pub(super) fn inventory(&self, of: inventory::Kind) -> Result<ExitCode, Failure> {
        use inventory::services;
        self.no_stream()?;
        let found = self.project()?.inventory;
        self.hosts(&found)?;
        let selector = self.global.selector.as_deref();
        let wrong = |e: NotASelector| Failure::wrong(Message::of(&e));
        match of {
            inventory::Kind::Hosts => {
                let rows = inventory::hosts(&found, selector).map_err(wrong)?;
                self.listed("host", &inventory::HOST_HEADS, &rows, inventory::host_cells);
            }
            inventory::Kind::Apps => {
                let rows = inventory::apps(&found, selector).map_err(wrong)?;
                self.listed("app", &inventory::APP_HEADS, &rows, inventory::app_cells);
            }
            inventory::Kind::Services => {
                let rows = services::services(&found, selector).map_err(wrong)?;
                self.listed("service", &services::SERVICE_HEADS, &rows, services::service_cells);
            }
            inventory::Kind::Databases => {
                let rows = services::databases(&found, selector).map_err(wrong)?;
                self.listed("database", &services::DATABASE_HEADS, &rows, services::database_cells);
            }
        }
        Ok(ExitCode::Done)
    }

    /// Rows of one kind, as a table or as JSON; that there is none is said.
    fn listed<R: Serialize>(&self, kind: &str, heads: &[&str], rows: &[R], cells: fn(&R) -> Vec<String>) {
        if self.global.output != Output::Table {
            self.screen.json(&serde_json::json!({"schema_version": 1, (format!("{kind}s")): rows}));
        } else if rows.is_empty() && self.global.selector.is_some() {
            self.screen.data(&format!("no {kind} is on a selected host\n"));
        } else if rows.is_empty() {
            self.screen.data(&format!("svcops.yaml declares no {kind}s\n"));
        } else {
            self.screen.data(&table(&self.screen, heads, &rows.iter().map(cells).collect::<Vec<_>>()));
        }
    }

    pub(super) fn history(&self, of: &History) -> Result<ExitCode, Failure> {
        match of {
            History::Verify { bundle: Some(path), against, allowed_signers, revoked_keys } => {
                let signers = history::signers(None, allowed_signers.as_ref(), revoked_keys.as_ref());
                return self.verify_bundle(path, against.as_deref(), signers.as_ref());
            }
            History::Export(args) => return self.export(args),
            History::Prune(args) => return self.prune(args),
            History::Verify { .. } => self.journal_is_there()?,
            _ => {}
        }
        let (opened, project) = self.read_past()?;
        let past = self.past(&opened, project.as_ref());
        match of {
            History::List(args) => {
                self.no_stream()?;
                self.screen.data(&history::list::list(&past, args, opened.project.as_deref())?);
            }
            History::Show { run, follow } => {
                let run = opened.run(run)?;
                if *follow {
                    let follow = history::follow(&past, &run, |text| self.screen.data(text));
                    self.runtime()?.block_on(follow)?;
                } else {
                    self.screen.data(&history::show(&past, &run)?);
                }
            }
            History::Export(_) | History::Prune(_) => {}
            History::Verify { against, allowed_signers, revoked_keys, .. } => {
                self.no_stream()?;
                let signers = history::signers(project.as_ref(), allowed_signers.as_ref(), revoked_keys.as_ref());
                let label = syslog::label(&opened.state);
                let log = history::told::log(project.as_ref(), &opened.state);
                let known = history::Known {
                    against: against.as_deref(),
                    signers: signers.as_ref(),
                    label: &label,
                    log: log.as_ref(),
                };
                let (text, code) = history::verify(&past, None, &known)?;
                self.screen.data(&text);
                return Ok(code);
            }
        }
        Ok(ExitCode::Done)
    }

    pub(super) fn owed(&self, args: args::Owed) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let (opened, project) = self.read_past()?;
        let here = opened.project.as_deref().filter(|_| !args.all_projects);
        self.screen.data(&owed::owed(&self.past(&opened, project.as_ref()), here)?);
        Ok(ExitCode::Done)
    }

    pub(super) fn past<'a>(&'a self, opened: &'a Opened, project: Option<&Project>) -> Past<'a> {
        Past {
            journal: &opened.journal,
            locks: &opened.locks,
            zone: history::zone(project.and_then(|p| p.inventory.timezone.as_deref())),
            screen: &self.screen,
            output: self.global.output,
            clock: &WallClock,
        }
    }

    pub(super) fn doctor(&self, args: &args::Doctor) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        if args.prepare {
            self.screen.data(&doctor::prepare()?);
            return Ok(ExitCode::Done);
        }
        let project = self.project()?;
        if let Some(name) = &args.sudoers {
            let plan = plan::made(self, &project, name, &args::Params::default())?.plan;
            let login = crate::journal::event::Operator::here().name;
            self.screen.data(&sudoers::sudoers(&plan, &project.inventory, &login));
            return Ok(ExitCode::Done);
        }
        let chosen: Option<BTreeSet<HostName>> = self.hosts(&project.inventory)?.map(|h| h.into_iter().collect());
        let chosen = |h: &&Host| chosen.as_ref().is_none_or(|c| c.contains(&h.name));
        let hosts: Vec<&Host> = project.inventory.hosts.iter().filter(chosen).collect();
        let state = State::of(&project.inventory.project, &self.wish());
        let mut findings = doctor::here(&state, &hosts);
        findings.extend(self.runtime()?.block_on(async {
            let fleet = self.fleet(&project.root, &project.inventory, None);
            fleet.progress.doing(&format!("looking at {}", count("host", hosts.len())));
            let (ways, parallel) = (&*fleet.transport, self.global.parallel);
            let databases = doctor::databases(ways, &project.inventory, &hosts, parallel);
            let hosts = doctor::hosts(ways, &hosts, parallel, &WallClock);
            let pen = fleet.pen();
            let mail = doctor::mail(project.inventory.mail.as_ref(), &pen);
            let (mail, hosts, databases) = tokio::join!(mail, hosts, databases);
            fleet.progress.rest();
            fleet.transport.close().await;
            mail.into_iter().chain(hosts).chain(databases).collect::<Vec<_>>()
        }));
        let (text, code) = doctor::report(&findings, &self.screen, self.global.output);
        self.screen.data(&text);
        Ok(code)
    }
}
