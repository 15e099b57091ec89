//! Databases of `svcops doctor`: what a switch, `--forced` and a rejoin will need on their hosts, told while nobody is in a
//! hurry.

use super::{Finding, Level};
use crate::{
    base::{
        Answer, At, FileFacts, Hash, Invocation, PgAsk, PgDepth, PgFacts, PgSql, Place, Program, Read, Span, words,
    },
    inventory::{Database, Host, Inventory},
    resources::postgres::role,
    transport::{Transport, shell::quote},
    verbs::prepare,
};
use futures_util::{StreamExt as _, stream};

/// Looks at the databases of these hosts, so many hosts side by side.
pub(crate) async fn databases(
    transport: &dyn Transport,
    inventory: &Inventory,
    hosts: &[&Host],
    parallel: usize,
) -> Vec<Finding> {
    let mut asks = Vec::new();
    for database in inventory.databases.values() {
        let on = inventory.select(&database.hosts);
        let chosen = on.into_iter().filter(|host| hosts.iter().any(|one| one.name == host.name));
        asks.extend(chosen.map(|host| Ask::of(inventory, database, host)));
    }
    let looks = stream::iter(asks.into_iter().map(|ask| look(transport, ask))).buffered(parallel.max(1));
    findings(&looks.collect::<Vec<_>>().await)
}

async fn look<'a>(transport: &dyn Transport, ask: Ask<'a>) -> (Ask<'a>, Seen) {
    let told = transport.look(Some(&ask.host.name), &ask.reads()).await;
    let mut seen = told.map_or_else(|lost| Seen::unseen(&lost.why), |look| Seen::of(look.answers));
    let run = |script| ask.place().at(Read::Run(Invocation::of(Program::Shell(script), Span::secs(30))));
    if is_current(&ask, &seen) {
        // it asks as it would before a start, and decides nothing
        seen.asked = one(transport, &ask, run(format!("/bin/sh {} ask", quote(&ask.fence[0])))).await;
    }
    if seen.facts().is_some() && ask.database.patroni.is_none() && !ask.others.is_empty() {
        seen.sources = one(transport, &ask, run(sources(&ask))).await;
    }
    (ask, seen)
}

async fn one(transport: &dyn Transport, ask: &Ask<'_>, read: At<Read>) -> Option<Answer> {
    transport.look(Some(&ask.host.name), &[read]).await.ok()?.answers.into_iter().next()
}

/// Connects to each of the others as pg_rewind(1) would, and says `refused HOST: WHY` of one that answers and refuses.
fn sources(ask: &Ask<'_>) -> String {
    let Database { spot, replication, .. } = ask.database;
    let owner = quote(&spot.user);
    let mut script = format!(
        "cd / || exit 1\nexport LC_ALL=C PGCONNECT_TIMEOUT=3\n\
         t() {{\n  said=$(\"$@\" 2>&1 </dev/null) || case $said in *FATAL:*) echo \"refused $name: ${{said##*FATAL:}}\" | head -n 1 ;; esac\n}}\n\
         try() {{\n  if [ \"$(id -u)\" = 0 ]; then t setpriv --reuid {owner} --regid \"$(id -g {owner})\" --init-groups -- \"$@\"; \
         else t \"$@\"; fi\n}}\nhome=$(getent passwd {owner} | cut -d: -f6)\n"
    );
    let passfile = ask.database.passfile().map(|path| format!("PGPASSFILE={} ", quote(&path))).unwrap_or_default();
    for other in &ask.others {
        script += &format!(
            "name={}\ntry env HOME=\"${{home:-/}}\" {passfile}{}/psql -XAtqw -h {} -p {} -U {} -d postgres -c 'SELECT 1'\n",
            quote(other.name.as_str()),
            quote(&spot.bin),
            quote(other.address.as_deref().unwrap_or(other.name.as_str())),
            spot.port,
            quote(&replication.user),
        );
    }
    script + "true\n"
}

/// The boot fence is the one that a service's `failover prepare` would put there now.
fn is_current(ask: &Ask<'_>, seen: &Seen) -> bool {
    let hash = |file: &File| file.as_ref().ok().and_then(|file| file.as_ref().map(|file| file.hash.clone()));
    let [Some(fence), Some(drop_in)] = [hash(&seen.fence[0]), hash(&seen.fence[1])] else { return false };
    ask.services.iter().any(|(_, hashes)| *hashes == [fence.clone(), drop_in.clone()])
}

/// A database on one of its hosts.
struct Ask<'a> {
    database: &'a Database,
    host: &'a Host,
    /// The services that stand on it, where svcops itself fences them: the hashes of the files of each one's boot fence.
    services: Vec<(&'a str, [Hash; 2])>,
    /// The other hosts of the database.
    others: Vec<&'a Host>,
    /// Where the files of the fence lie.
    fence: [String; 2],
}

impl<'a> Ask<'a> {
    fn of(inventory: &'a Inventory, database: &'a Database, host: &'a Host) -> Self {
        let own = inventory.services.values().filter(|service| {
            database.patroni.is_none() && service.database(inventory).is_some_and(|one| one.name == database.name)
        });
        let hashes = |service| {
            let [fence, drop_in] = prepare::texts(inventory, service, database, host);
            (service.name.as_str(), [Hash::of(fence.as_bytes()), Hash::of(drop_in.as_bytes())])
        };
        let others = inventory.select(&database.hosts).into_iter().filter(|other| other.name != host.name);
        let (services, fence) = (own.map(hashes).collect(), prepare::places(database));
        Self { database, host, services, others: others.collect(), fence }
    }
    fn place(&self) -> Place {
        Place::on(&self.host.name).becoming(self.host.ssh.become_user.clone())
    }
    fn reads(&self) -> Vec<At<Read>> {
        let place = self.place();
        let spot = &self.database.spot;
        let ask = PgAsk { spot: spot.clone(), depth: PgDepth::Whole, peer: None };
        let programs = Invocation::of(Program::Shell(programs(self.database)), Span::secs(20));
        let [fence, drop_in] = self.fence.clone();
        let file = |path| place.at(Read::File { path });
        vec![
            place.at(Read::Postgres(ask)),
            Place::on(&self.host.name).at(Read::Run(programs)),
            file(fence),
            file(drop_in),
            file(spot.passfile()),
        ]
    }
}

/// Says `missing PROGRAM`, a line each, and `drop-ins PATHS` where systemd says which ones of the unit it has read.
fn programs(database: &Database) -> String {
    let spot = &database.spot;
    let own: &[&str] = match database.patroni {
        Some(_) => &["psql", "pg_controldata"],
        None => &["psql", "pg_controldata", "pg_isready", "pg_rewind", "pg_waldump"],
    };
    let mut script =
        format!("for p in {}; do [ -x {}/\"$p\" ] || echo \"missing $p\"; done\n", own.join(" "), quote(&spot.bin));
    let mut found: Vec<&str> = Vec::new();
    // Debian's units call it
    if spot.unit.starts_with("postgresql@") && spot.config.is_some() {
        found.push("pg_ctlcluster");
    }
    // and these the boot fence
    if database.patroni.is_none() {
        found.extend(["timeout", "setpriv"]);
    }
    if !found.is_empty() {
        script += &format!(
            "for p in {}; do (PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin; command -v \"$p\") >/dev/null 2>&1 || echo \"missing $p\"; done\n",
            found.join(" ")
        );
    }
    script
        + &format!(
            "D=$(systemctl show -p DropInPaths --value -- {} 2>/dev/null) && echo \"drop-ins $D\"\ntrue\n",
            quote(&spot.unit)
        )
}

type File = Result<Option<FileFacts>, String>;

/// What was seen there.
struct Seen {
    cluster: Result<Box<PgFacts>, String>,
    programs: Option<String>,
    fence: [File; 2],
    passfile: File,
    /// What the boot fence was answered by the others, where it is current.
    asked: Option<Answer>,
    /// What the others said to who came as pg_rewind(1) would.
    sources: Option<Answer>,
}

impl Seen {
    fn unseen(why: &str) -> Self {
        let file = || Err(why.to_owned());
        Self {
            cluster: Err(why.to_owned()),
            programs: None,
            fence: [file(), file()],
            passfile: file(),
            asked: None,
            sources: None,
        }
    }
    /// By the answers to [`Ask::reads`].
    fn of(answers: Vec<Answer>) -> Self {
        let mut answers = answers.into_iter();
        let cluster = match answers.next() {
            Some(Answer::Postgres(facts)) => Ok(facts),
            Some(Answer::Bad(why)) => Err(why),
            _ => Err("nobody has looked".to_owned()),
        };
        let programs = match answers.next() {
            Some(Answer::Run(run)) if run.code == Some(0) => Some(run.stdout),
            _ => None,
        };
        let mut file = || match answers.next() {
            Some(Answer::File(file)) => Ok(file),
            Some(Answer::Bad(why)) => Err(why),
            _ => Err("nobody has looked".to_owned()),
        };
        Self { cluster, programs, fence: [file(), file()], passfile: file(), asked: None, sources: None }
    }
    fn facts(&self) -> Option<&PgFacts> {
        self.cluster.as_deref().ok()
    }
    fn lines<'a>(&'a self, begin: &'a str) -> impl Iterator<Item = &'a str> {
        self.programs.iter().flat_map(|text| text.lines()).filter_map(move |line| line.strip_prefix(begin))
    }
}

fn findings(seen: &[(Ask<'_>, Seen)]) -> Vec<Finding> {
    let mut all = Vec::new();
    for (ask, one) in seen {
        let mut found = cluster(ask, one);
        found.extend(missing(ask, one));
        found.extend(passfile(ask, one));
        found.extend(fence(ask, one));
        if asks_for_rights(ask, one, seen) {
            found.extend(one.facts().and_then(|facts| facts.sql.as_ref()).and_then(|sql| rights(ask, sql)));
        }
        found.extend(hints(ask, one));
        found.extend(refusals(ask, one));
        if found.is_empty() {
            found.push(well(ask, one));
        }
        all.extend(found);
    }
    all
}

fn finding(ask: &Ask<'_>, level: Level, says: &str) -> Finding {
    Finding::new(level, ask.host.name.as_str(), format!("`{}` {says}", ask.database.name))
}

fn well(ask: &Ask<'_>, seen: &Seen) -> Finding {
    let is = seen.facts().map(role).unwrap_or_default();
    let says = match (&ask.database.patroni, ask.services.as_slice()) {
        (Some(_), _) => format!("{is}, managed by Patroni"),
        (None, []) => format!("{is}, and has what is needed; no service stands on it"),
        (None, services) => {
            let names: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
            format!("{is}, and has what a switch of {} needs, also a forced one", words::list(&names, 3))
        }
    };
    finding(ask, Level::Ok, &says)
}

/// Whether it is there, runs and answers.
fn cluster(ask: &Ask<'_>, seen: &Seen) -> Vec<Finding> {
    let lies = || {
        format!(
            "`postgres:` of database `{}` in svcops.yaml says where it lies, and `ssh:` as whom it is looked at",
            ask.database.name
        )
    };
    let facts = match &seen.cluster {
        Ok(facts) => facts,
        // the way there is a matter of the host itself
        Err(why) if seen.programs.is_none() => {
            return vec![finding(ask, Level::Unknown, &format!("was not seen: {why}"))];
        }
        Err(why) => return vec![finding(ask, Level::Critical, &format!("was not seen: {why}")).hint(lies())],
    };
    if facts.control.is_none() && !facts.running {
        let says = format!("is not there: no cluster lies in {}", ask.database.spot.data);
        return vec![finding(ask, Level::Critical, &says).hint(lies())];
    }
    if !facts.running {
        let says = format!("{}: what its server would say was not seen", role(facts));
        let hint = match ask.services.first() {
            // a former primary refuses to start beside the present one; a standby starts again by the same command
            Some((service, _)) => format!(
                "where the other site serves, `svcops failover rejoin {service}` makes it a standby; `svcops failover status {service}` tells"
            ),
            None => "`svcops failover status` tells what that means".to_owned(),
        };
        return vec![finding(ask, Level::Warning, &says).hint(hint)];
    }
    if facts.sql.is_none() {
        let why = facts.silent.as_deref().unwrap_or("it gave no reason");
        let hint = format!(
            "svcops asks as `{}` over the Unix socket: `psql -p {}` there shows the same",
            ask.database.spot.user, ask.database.spot.port
        );
        return vec![finding(ask, Level::Unknown, &format!("runs and does not answer: {why}")).hint(hint)];
    }
    Vec::new()
}

fn missing(ask: &Ask<'_>, seen: &Seen) -> Option<Finding> {
    let missing: Vec<&str> = seen.lines("missing ").collect();
    let says = format!(
        "needs {}: not found there, neither in {} nor in the PATH",
        words::list(&missing, 9),
        ask.database.spot.bin
    );
    let hint =
        format!("`bin:` of database `{}` in svcops.yaml names the folder of PostgreSQL's programs", ask.database.name);
    (!missing.is_empty()).then(|| finding(ask, Level::Critical, &says).hint(hint))
}

/// The password that a standby streams with, which libpq reads only where nobody else can.
fn passfile(ask: &Ask<'_>, seen: &Seen) -> Option<Finding> {
    let database = ask.database;
    if database.replication.password.is_none() || database.patroni.is_some() {
        return None;
    }
    let (path, user) = (database.spot.passfile(), &database.spot.user);
    let put = |says: &str| {
        let found = finding(ask, Level::Critical, says);
        match ask.services.first() {
            Some((service, _)) => found.hint(format!("`svcops failover prepare {service}` puts it there")),
            None => found.hint("`svcops failover prepare SERVICE` puts it there for a service that stands on it"),
        }
    };
    match &seen.passfile {
        Ok(None) => Some(put(&format!("lacks {path}, the password of replication: it could follow nobody"))),
        Ok(Some(file)) if file.mode & 0o077 != 0 => Some(put(&format!(
            "could follow nobody: libpq passes {path} over, for its mode is {:04o} and not 0600",
            file.mode
        ))),
        Ok(Some(file)) if file.owner != *user => {
            Some(put(&format!("could follow nobody: {path} is `{}`'s, and `{user}` cannot read it", file.owner)))
        }
        Ok(Some(_)) => None,
        // whoever may not read it may know that it is there
        Err(_) if seen.facts().is_none_or(|facts| facts.passfile) => None,
        Err(why) => {
            Some(finding(ask, Level::Unknown, &format!("has {path}, or not: it could not be looked at: {why}")))
        }
    }
}

/// The boot fence, for each service: without it a former primary that comes back serves beside the new one.
fn fence(ask: &Ask<'_>, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let names: Vec<&str> = ask.services.iter().map(|(name, _)| *name).collect();
    let Some(first) = names.first() else { return found };
    let unready = |level, says: &str| {
        Finding::new(
            level,
            ask.host.name.as_str(),
            format!("{} is not ready for --forced: {says}", words::list(&names, 3)),
        )
        .hint(format!("`svcops failover prepare {first}` puts it there"))
    };
    let known = |file: &File| file.as_ref().ok().map(|file| file.as_ref().map(|file| file.hash.clone()));
    match [known(&seen.fence[0]), known(&seen.fence[1])] {
        [Some(None), _] | [_, Some(None)] => {
            found.push(unready(Level::Warning, &format!("no boot fence before `{}`", ask.database.name)));
        }
        [Some(Some(_)), Some(Some(drop_in))] => {
            if !is_current(ask, seen) {
                let stale = ask.services.iter().any(|(_, hashes)| hashes[1] == drop_in);
                let path = if stale { &ask.fence[0] } else { &ask.fence[1] };
                let says = format!("its boot fence is not what svcops.yaml and this svcops make of it: {path} differs");
                found.push(unready(Level::Warning, &says));
            }
            let read = seen.lines("drop-ins ").next().filter(|_| seen.facts().is_some_and(|facts| !facts.masked));
            if read.is_some_and(|read| !read.split(' ').any(|path| path == ask.fence[1])) {
                let says = format!("systemd has not read `{}` again since its boot fence came", ask.database.spot.unit);
                found.push(unready(Level::Warning, &says).hint("`systemctl daemon-reload` as root there"));
            }
        }
        _ => {
            let why = seen.fence.iter().find_map(|file| file.as_ref().err()).map_or("", String::as_str);
            // why the host was not seen stands above
            if seen.facts().is_some() {
                let says = format!("has a boot fence, or not: it could not be read: {why}");
                found.push(finding(ask, Level::Unknown, &says));
            }
        }
    }
    let is_there = seen.facts().is_some_and(|facts| facts.control.is_some());
    // so its host would come back without its database, whoever is at fault
    if let Some(Answer::Run(run)) = seen.asked.as_ref().filter(|_| found.is_empty() && is_there)
        && run.code != Some(0)
    {
        let said = [&run.stdout, &run.stderr].into_iter().find_map(|text| text.lines().next());
        let why = said.map_or("it gave no answer in time", |line| line.strip_prefix("boot fence: ").unwrap_or(line));
        let says = format!("could not start as a primary now: its boot fence asked the others, and {why}");
        let hint =
            format!("`svcops failover status {first}` shows the others, `replication:` in svcops.yaml as whom it asks");
        found.push(finding(ask, Level::Warning, &says).hint(hint));
    }
    found
}

/// Roles are the same on all hosts of a database: they are told of once, at its primary, or else at the first that answers.
fn asks_for_rights(ask: &Ask<'_>, one: &Seen, all: &[(Ask<'_>, Seen)]) -> bool {
    let answers = |seen: &&(Ask<'_>, Seen)| {
        seen.0.database.name == ask.database.name && seen.1.facts().is_some_and(|facts| facts.sql.is_some())
    };
    let primary = all.iter().filter(answers).find(|seen| seen.1.facts().is_some_and(PgFacts::is_primary));
    let teller = primary.or_else(|| all.iter().find(answers));
    teller.is_some_and(|teller| std::ptr::eq(&raw const teller.1, one))
}

/// Whether a standby may stream as the role that is declared, and be rewound as it.
fn rights(ask: &Ask<'_>, sql: &PgSql) -> Option<Finding> {
    let user = &ask.database.replication.user;
    // a superuser there always is: nobody asked
    if ask.database.patroni.is_some() || sql.replicators.is_empty() {
        return None;
    }
    let sql_name = format!("\"{}\"", user.replace('"', "\"\""));
    match sql.replicators.iter().find(|role| role.name == *user) {
        None => {
            let says = format!("has no role `{user}` with LOGIN and REPLICATION: nobody can stream from it as that");
            let hint =
                format!("`CREATE ROLE {sql_name} LOGIN REPLICATION`, or `user:` below `replication:` in svcops.yaml");
            Some(finding(ask, Level::Critical, &says).hint(hint))
        }
        Some(role) if !role.rewinds => {
            let says =
                format!("does not let `{user}` run pg_rewind: an old primary whose log went on could not rejoin");
            Some(
                finding(ask, Level::Warning, &says)
                    .hint(format!("in its database `postgres`: GRANT EXECUTE ON FUNCTION {FILES} TO {sql_name}")),
            )
        }
        Some(_) => None,
    }
}

/// What pg_rewind(1) calls on its source.
const FILES: &str = "pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean)";

/// The others that would not let it be rewound from them, once they are the primary.
fn refusals(ask: &Ask<'_>, seen: &Seen) -> Vec<Finding> {
    let Some(Answer::Run(run)) = &seen.sources else { return Vec::new() };
    let refused = run.stdout.lines().filter_map(|line| line.strip_prefix("refused ")?.split_once(':'));
    let user = &ask.database.replication.user;
    let told = |(host, why): (&str, &str)| {
        let says = format!(
            "could not be rewound from `{host}`, which refuses `{user}` its database `postgres`: {}",
            why.trim()
        );
        let hint = format!(
            "pg_hba.conf on `{host}` must let `{user}` in from here, to `replication` and to `postgres`, with this password"
        );
        finding(ask, Level::Warning, &says).hint(hint)
    };
    refused.map(told).collect()
}

/// Each of them may be an old primary one day.
fn hints(ask: &Ask<'_>, seen: &Seen) -> Option<Finding> {
    let sql = seen.facts()?.sql.as_ref()?;
    (ask.database.patroni.is_none() && sql.hints == Some(false)).then(|| {
        let says = "has neither wal_log_hints nor data checksums: pg_rewind would refuse it, and an old primary whose log went on could only be made anew";
        finding(ask, Level::Warning, says).hint("`wal_log_hints = on` in its postgresql.conf, and a restart")
    })
}

#[cfg(test)]
mod tests;
