//! A change in words.

use super::wrap;
use crate::base::{
    Change, OrderMove, OrderStep, PairChange, PairSpot, PgChange, PgSpot, Program, ProofBy, ProofChange, ProofSpot,
    RecordUpdate, ServerState, Text,
};

/// What a change does, in words: ``restart `billing.service` ``. Secrets in it stay names.
pub fn words(change: &Change) -> String {
    match change {
        Change::StartUnit(unit) => format!("start `{unit}`"),
        Change::StopUnit(unit) => format!("stop `{unit}`"),
        Change::RestartUnit(unit) => format!("restart `{unit}`"),
        Change::ReloadUnit(unit) => format!("reload `{unit}`"),
        Change::EnableUnit(unit) => format!("enable and start `{unit}`"),
        Change::DisableUnit(unit) => format!("stop and disable `{unit}`"),
        Change::MoveFile { from, to } => format!("rename `{from}` to `{}`", to.rsplit('/').next().unwrap_or(to)),
        Change::WriteFile { path, .. } => format!("write `{path}`"),
        Change::RemoveFile(path) => format!("remove `{path}`"),
        Change::Pair { spot, change } => pair(spot, change),
        Change::Postgres { spot, change } => postgres(spot, change),
        Change::Run(invocation) => match &invocation.program {
            Program::Shell(text) => format!("run `{}`", one_line(text)),
            Program::Argv(argv) => format!("run `{}`", one_line(&argv.join(" "))),
            Program::Script { args, .. } if args.is_empty() => "run a script".to_owned(),
            Program::Script { args, .. } => format!("run a script with `{}`", one_line(&args.join(" "))),
        },
        Change::SetServer { backend, server, state, .. } => {
            format!("set `{backend}/{server}` to {}", state_word(*state))
        }
        Change::EndSessions { backend, server, .. } => format!("end the sessions of `{backend}/{server}`"),
        Change::UpdateRecord(update) => record(update),
        Change::Proof { spot, change } => proof(spot, change),
        Change::Switchover(to) => format!("have Patroni make `{}` the leader of `{}`", to.candidate, to.database),
        Change::Tell(ask) => format!("send {} {}", ask.method, one_line(&Text(ask.url.clone()).shown())),
        Change::Mail(letter) => format!("mail {}: {}", letter.to.join(", "), one_line(&letter.subject)),
        Change::Order(step) => order(step),
        Change::Ask { question, .. } => format!("ask: {}", one_line(question)),
    }
}

fn proof(spot: &ProofSpot, change: &ProofChange) -> String {
    match (change, &spot.by) {
        (ProofChange::Put(_), ProofBy::Webroot(root)) => format!("put the proof of a name below `{root}`"),
        (ProofChange::Put(_), ProofBy::Responder(port)) => format!("answer for a name at port {port}"),
        (ProofChange::Drop { .. }, ProofBy::Webroot(root)) => format!("take the proof of a name from below `{root}`"),
        (ProofChange::Drop { .. }, ProofBy::Responder(port)) => format!("end what answers for a name at port {port}"),
    }
}

fn record(update: &RecordUpdate) -> String {
    let (name, kind) = (&update.name, update.kind);
    let list = |values: &std::collections::BTreeSet<String>| {
        one_line(&values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "))
    };
    let (come, go) = (list(&update.add), list(&update.remove));
    match (update.add.is_empty(), update.remove.is_empty()) {
        (false, true) => format!("add {kind} {come} to `{name}`"),
        (true, _) => format!("remove {kind} {go} from `{name}`"),
        (false, false) => format!("put {kind} {come} in the place of {go} at `{name}`"),
    }
}

fn order(step: &OrderStep) -> String {
    let issuer = &step.order.issuer;
    let names = || one_line(&step.names.join(", "));
    match step.kind {
        OrderMove::Sign => format!("have `{issuer}` sign a certificate for {}", names()),
        OrderMove::New => format!("order a certificate for {} from `{issuer}`", names()),
        OrderMove::Answer => format!("have `{issuer}` look at its challenges"),
        OrderMove::Finalize => format!("hand `{issuer}` the request"),
    }
}

fn postgres(spot: &PgSpot, change: &PgChange) -> String {
    let name = &spot.database;
    match change {
        PgChange::Checkpoint => format!("checkpoint `{name}`"),
        PgChange::Mask => format!("mask `{}`", spot.unit),
        PgChange::Unmask => format!("unmask `{}`", spot.unit),
        PgChange::Stop => format!("stop `{name}`"),
        PgChange::Start => format!("start `{name}`"),
        PgChange::Promote { past: None } => format!("promote `{name}`"),
        PgChange::Promote { past: Some(past) } => format!("promote `{name}`, which has received {past}"),
        PgChange::Follow(upstream) => format!("make `{name}` follow `{}`", upstream.host),
        PgChange::Rewind(upstream) => format!("rewind `{name}` to where `{}` left it", upstream.host),
        PgChange::MakeSlot(slot) => format!("make the slot `{slot}` of `{name}`"),
        PgChange::DropSlot(slot) => format!("drop the slot `{slot}` of `{name}`"),
    }
}

fn pair(spot: &PairSpot, change: &PairChange) -> String {
    let (name, path) = (&spot.name, spot.key_file());
    match change {
        PairChange::MakeKey { .. } => format!("make a key for `{name}` beside `{path}`"),
        PairChange::Switch { .. } => {
            format!("put the new certificate of `{name}` in place: `{}`", spot.files().join("`, `"))
        }
        PairChange::Restore { .. } => format!("bring the earlier certificate back: `{}`", spot.files().join("`, `")),
        PairChange::Drop => format!("remove what is staged for `{name}` beside `{path}`"),
    }
}

fn one_line(text: &str) -> String {
    wrap::cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), 60)
}

const fn state_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Ready => "ready",
        ServerState::Drain => "drain",
        ServerState::Maint => "maintenance",
    }
}
