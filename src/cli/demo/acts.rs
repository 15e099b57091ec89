//! The acts, in their order.

use super::{
    client::{Client, Count, page},
    play::{Cut, Play},
    world::NODES,
};
use crate::{
    base::words::count,
    journal::{SqliteJournal, search::Filter},
    transport::shell::quote,
};

/// Plays them all.
pub(super) async fn all(play: &mut Play) -> Result<(), Cut> {
    prologue(play);
    project(play).await?;
    start(play).await?;
    plan(play).await?;
    good(play).await?;
    bad(play).await?;
    killed(play).await?;
    proof(play).await?;
    others(play).await
}

fn prologue(play: &Play) {
    let paint = play.screen.data_paint;
    play.screen.data(&format!("{}\n", paint.bold("svcops demo")));
    play.say(
        "Three nodes of a small web shop get new configurations: one good, one bad, one while svcops itself is killed. \
         The nodes are small HTTP servers on this machine; with real ones only the way there, ssh, would be another. \
         Every command is real: you can type it too.",
    );
    for line in play.way_there().lines() {
        play.typed(line);
    }
}

async fn project(play: &mut Play) -> Result<(), Cut> {
    let words = "A project is a folder: svcops.yaml says what exists, a runbook what to do with it. Lint finds every \
                 mistake in them before anything is touched.";
    play.act("1/8", "A runbook", words).await?;
    play.program("cat runbooks/new-config.yaml").await?;
    play.svcops("lint", 0).await
}

async fn start(play: &mut Play) -> Result<(), Cut> {
    let words = "For everyday work nobody has to write a runbook: a verb composes one.";
    play.act("2/8", "Start the shop", words).await?;
    play.world.give_ports();
    play.svcops("app start shop --yes", 0).await?;
    workers(play, "4").await
}

async fn plan(play: &mut Play) -> Result<(), Cut> {
    let words = "A plan looks at the hosts and says what would change where, in which order, with diffs; it changes \
                 nothing. Here for one node (-l), to keep it short.";
    play.act("3/8", "What would a new configuration change?", words).await?;
    play.svcops("plan new-config -p workers=8 -l node1", 0).await
}

async fn good(play: &mut Play) -> Result<(), Cut> {
    let words = "Node by node: the next one's turn comes only when this one is healthy again. A client asks the shop for \
                 its page all the while.";
    play.act("4/8", "A rolling restart", words).await?;
    let client = Client::begin(play.world.ports.clone());
    let done = play.svcops("run new-config -p workers=8 --yes", 0).await;
    served(play, &client.end().await, done)?;
    workers(play, "8").await
}

async fn bad(play: &mut Play) -> Result<(), Cut> {
    let words = "Somebody types 160 instead of 16, which is more than a node has memory for. The first node does not become \
                 healthy, so it gets back what it had, and the others are never touched.";
    play.act("5/8", "A bad configuration takes itself back", words).await?;
    let client = Client::begin(play.world.ports.clone());
    let done = play.svcops("run new-config -p workers=160 --yes", 1).await;
    served(play, &client.end().await, done)?;
    workers(play, "8").await
}

async fn killed(play: &mut Play) -> Result<(), Cut> {
    let words = "In the middle of a run svcops dies: kill -9, as a power cut would. The journal was written before each act, \
                 so a resume knows what is done, what is not, and does nothing twice.";
    play.act("6/8", "Killed, and resumed", words).await?;
    let client = Client::begin(play.world.ports.clone());
    let second = play.world.node(NODES[1]).join("shop.conf");
    let begun = || std::fs::read_to_string(&second).is_ok_and(|text| text.contains("workers = 16\n"));
    let done = killed_and_resumed(play, begun).await;
    served(play, &client.end().await, done)?;
    workers(play, "16").await
}

async fn killed_and_resumed(play: &mut Play, begun: impl Fn() -> bool) -> Result<(), Cut> {
    play.killed("run new-config -p workers=16 --yes", begun).await?;
    play.svcops("history list --most 1", 0).await?;
    play.svcops("resume last --yes", 0).await
}

async fn proof(play: &mut Play) -> Result<(), Cut> {
    let words = "Who did what, when, and how it ended is in the journal. Its events are chained by hashes: nobody rewrites \
                 one unseen.";
    play.act("7/8", "Proof", words).await?;
    play.svcops("history list", 0).await?;
    play.svcops("history verify", 0).await
}

async fn others(play: &mut Play) -> Result<(), Cut> {
    let words = "Each run has opened a ticket and said in it what it did. Its report is one page that needs nothing else: \
                 print it, attach it. Here of the run that took itself back.";
    play.act("8/8", "For everybody else", words).await?;
    let failed = taken_back(play);
    play.svcops("ticket list --all", 0).await?;
    play.svcops(&format!("ticket show {failed}"), 0).await?;
    play.svcops(&format!("report {failed} --html {REPORT}"), 0).await?;
    let page = std::fs::read_to_string(play.world.folder.join(REPORT)).unwrap_or_default();
    play.must(page.contains(&failed), "its report does not name it")
}

/// The report's file in the demo's folder.
const REPORT: &str = "report.html";

/// The run of the fifth act; `last` is that of the sixth.
fn taken_back(play: &Play) -> String {
    let runs = SqliteJournal::open(&play.world.state())
        .and_then(|journal| journal.list(&Filter::default(), None, 2))
        .unwrap_or_default();
    runs.get(1).map_or_else(|| "last".to_owned(), |row| row.run.to_string())
}

/// What the client saw of an act, after the act's own end.
fn served(play: &Play, seen: &Count, done: Result<(), Cut>) -> Result<(), Cut> {
    done?;
    let each = NODES.iter().zip(&seen.nodes).map(|(node, n)| format!("{node} {n}")).collect::<Vec<_>>().join(", ");
    let paint = play.screen.data_paint;
    let all = count("request", seen.all());
    play.must(seen.failed == 0 && seen.all() > 0, &format!("{} of the client's {all} had no answer", seen.failed))?;
    play.screen.data(&format!("{} {all} meanwhile, none failed ({each})\n", paint.green("client:")));
    Ok(())
}

/// All nodes serve, with so many workers.
async fn workers(play: &Play, expected: &str) -> Result<(), Cut> {
    for (node, port) in NODES.iter().zip(&play.world.ports) {
        let page = page(*port).await.unwrap_or_default();
        let why = format!("`{node}` should serve with {expected} workers, and answers `{}`", page.trim());
        play.must(page.trim().ends_with(&format!("= {expected}")), &why)?;
    }
    Ok(())
}

/// Where everything is, and what to try next.
pub(super) fn ending(play: &Play) {
    let paint = play.screen.data_paint;
    let folder = play.world.folder.to_string_lossy().into_owned();
    play.screen.data(&format!("\n{}\n", paint.bold("That was it")));
    play.say(&format!(
        "The nodes are stopped. The project, its journal and {REPORT} are in {folder} until `svcops demo --clean`."
    ));
    let mut tries = vec![];
    tries.extend(play.way_there().lines().map(|line| (line.to_owned(), "")));
    tries.push(("svcops app start shop".to_owned(), "the nodes again, for ten minutes"));
    tries.push(("svcops run new-config -p workers=12".to_owned(), "shows the plan and asks"));
    tries.push((format!("svcops history show {}", taken_back(play)), "the one that took itself back"));
    // in this one SVCOPS_STATE would put that project's runs beside the demo's
    tries.push((format!("svcops init {}", quote("my project")), "in a new shell: a project of your own"));
    play.screen.data("\nTry next:\n");
    let width = tries.iter().filter(|(_, why)| !why.is_empty()).map(|(line, _)| line.chars().count()).max();
    for (line, why) in tries {
        let line = match (why, width) {
            ("", _) | (_, None) => line,
            (why, Some(width)) => format!("{line:<width$}  {}", paint.dim(&format!("# {why}"))),
        };
        play.screen.data(&format!("  {line}\n"));
    }
}
