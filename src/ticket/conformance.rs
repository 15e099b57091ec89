//! What every ticket system must do; run for each of them.

use super::{
    Attachment, Desk, Draft, Filter, Fingerprint, Key, Stamp, State, TicketError, TicketId, TicketSystem, What,
};
use crate::base::{Hash, RunId};
use jiff::Timestamp;

fn stamp(key: &str, second: i64) -> Stamp {
    let key = (!key.is_empty()).then(|| Key(key.to_owned()));
    Stamp { key, author: "мария".into(), at: Timestamp::from_second(1_795_000_000 + second).unwrap() }
}

fn draft(key: &str) -> Draft {
    Draft {
        stamp: stamp(key, 0),
        subject: "Перезапуск billing".into(),
        text: "Начато".into(),
        state: State::Open,
        kind: Some("change".into()),
        queue: Some("Обслуживание".into()),
        run: Some(RunId::at_millis(1_795_000_000_000)),
    }
}

async fn conforms(system: &dyn TicketSystem) {
    opens_a_ticket_once_under_its_key(system).await;
    says_once_what_has_a_key(system).await;
    goes_through_states(system).await;
    keeps_files(system).await;
    links_and_finds_what_is_alike(system).await;
    knows_what_is_not_there(system).await;
}

async fn opens_a_ticket_once_under_its_key(system: &dyn TicketSystem) {
    let key = Key("crm/ops-1/one".into());
    assert_eq!(system.find(&key).await.unwrap(), None);
    let id = system.create(&draft(&key.0)).await.unwrap();
    assert_eq!(system.create(&draft(&key.0)).await.unwrap(), id);
    assert_eq!(system.find(&key).await.unwrap(), Some(id.clone()));
    assert_eq!(system.id(&id.0.to_ascii_lowercase()).unwrap(), id);
    let ticket = system.show(&id).await.unwrap();
    let wanted = draft(&key.0);
    assert_eq!((&ticket.row.subject, ticket.row.state), (&wanted.subject, State::Open));
    assert_eq!((&ticket.row.kind, &ticket.row.queue, &ticket.row.run), (&wanted.kind, &wanted.queue, &wanted.run));
    assert_eq!((ticket.row.opened, &ticket.row.author), (wanted.stamp.at, &wanted.stamp.author));
    // a person's tickets have no key: each is its own
    let by_hand = [system.create(&draft("")).await.unwrap(), system.create(&draft("")).await.unwrap()];
    assert!(by_hand[0] != by_hand[1] && !by_hand.contains(&id));
    let newest = system.list(&Filter { states: vec![State::Open], most: 2 }).await.unwrap();
    assert_eq!(newest.iter().map(|r| &r.id).collect::<Vec<_>>(), [&by_hand[1], &by_hand[0]]);
    assert_eq!(system.list(&Filter { states: vec![State::New, State::Done], most: 9 }).await.unwrap(), []);
    assert!(system.list(&Filter { states: vec![], most: 99 }).await.unwrap().iter().any(|r| r.id == id));
}

async fn says_once_what_has_a_key(system: &dyn TicketSystem) {
    let [id, other] =
        [system.create(&draft("say")).await.unwrap(), system.create(&draft("say elsewhere")).await.unwrap()];
    for _ in 0..2 {
        system.comment(&id, &stamp("said", 1), "Пакет 1: «готово»\nвторая строка").await.unwrap();
        system.comment(&other, &stamp("said", 1), "the same key in another ticket").await.unwrap();
        system.comment(&id, &stamp("", 2), "by hand").await.unwrap();
    }
    let texts = |ticket: super::Ticket| ticket.entries.into_iter().map(|e| e.text).collect::<Vec<_>>();
    let said = system.show(&id).await.unwrap();
    assert_eq!(said.entries[1].at, stamp("", 1).at);
    assert_eq!(said.row.changed, stamp("", 2).at);
    assert_eq!(texts(said), ["Начато", "Пакет 1: «готово»\nвторая строка", "by hand", "by hand"]);
    assert_eq!(texts(system.show(&other).await.unwrap()), ["Начато", "the same key in another ticket"]);
}

async fn goes_through_states(system: &dyn TicketSystem) {
    let id = system.create(&draft("states")).await.unwrap();
    for (n, target) in [State::Waiting, State::Open, State::Done].into_iter().enumerate() {
        system.state(&id, &stamp(&format!("state {n}"), 3), target).await.unwrap();
        assert_eq!(system.show(&id).await.unwrap().row.state, target);
    }
    // what comes late does not bring back a state that was left since, nor one in which the ticket was anyway
    system.state(&id, &stamp("state 0", 3), State::Waiting).await.unwrap();
    let ticket = system.show(&id).await.unwrap();
    assert_eq!(ticket.row.state, State::Done);
    let went: Vec<_> = ticket.entries.iter().filter(|e| e.what == What::State).map(|e| e.text.as_str()).collect();
    assert_eq!(went, ["waiting", "open", "done"]);
}

async fn keeps_files(system: &dyn TicketSystem) {
    assert!(system.capabilities().attach.is_some());
    let id = system.create(&draft("files")).await.unwrap();
    let file =
        |bytes: &[u8]| Attachment { name: "отчёт.html".into(), media: "text/html".into(), bytes: bytes.to_vec() };
    for _ in 0..2 {
        system.attach(&id, &stamp("file", 4), &file(b"\0<p>")).await.unwrap();
    }
    let ticket = system.show(&id).await.unwrap();
    assert_eq!((ticket.attachments.len(), ticket.attachments[0].bytes), (1, 4));
    assert_eq!(system.content(&id, "отчёт.html").await.unwrap(), b"\0<p>");
    system.attach(&id, &stamp("file again", 5), &file(b"newer")).await.unwrap();
    assert_eq!(system.content(&id, "отчёт.html").await.unwrap(), b"newer");
    let missing = system.content(&id, "no.html").await.unwrap_err();
    assert!(matches!(missing, TicketError::NoAttachment { .. }), "{missing}");
}

async fn links_and_finds_what_is_alike(system: &dyn TicketSystem) {
    let [one, two] = [system.create(&draft("like 1")).await.unwrap(), system.create(&draft("like 2")).await.unwrap()];
    let failure = Fingerprint(Hash::of(b"the health check"));
    assert_eq!(system.alike(&failure).await.unwrap(), []);
    for _ in 0..2 {
        system.mark(&two, &stamp("fails 2", 8), &failure).await.unwrap();
        system.mark(&one, &stamp("fails 1", 7), &failure).await.unwrap();
        system.link(&two, &stamp("link", 9), &one).await.unwrap();
        system.link(&one, &stamp("link", 9), &two).await.unwrap();
        system.link(&one, &stamp("link", 9), &one).await.unwrap();
    }
    let found = system.alike(&failure).await.unwrap();
    assert_eq!(found.iter().map(|a| &a.ticket).collect::<Vec<_>>(), [&one, &two]);
    assert_eq!(found[0].at, stamp("", 7).at);
    for (id, other) in [(&one, &two), (&two, &one)] {
        let ticket = system.show(id).await.unwrap();
        assert_eq!((ticket.links.as_slice(), ticket.entries.len()), ([other.clone()].as_slice(), 2), "{ticket:?}");
    }
}

async fn knows_what_is_not_there(system: &dyn TicketSystem) {
    assert!(matches!(system.id("no ticket at all"), Err(TicketError::NotAnId { .. })));
    let id: TicketId = system.id("999999").unwrap();
    let (stamp, file) = (stamp("", 1), Attachment { name: "a".into(), media: "text/plain".into(), bytes: vec![] });
    let there = system.create(&draft("there")).await.unwrap();
    let failure = Fingerprint(Hash::of(b""));
    for answer in [
        system.show(&id).await.map(drop),
        system.comment(&id, &stamp, "?").await,
        system.state(&id, &stamp, State::Done).await,
        system.attach(&id, &stamp, &file).await,
        system.link(&there, &stamp, &id).await,
        system.link(&id, &stamp, &there).await,
        system.mark(&id, &stamp, &failure).await,
    ] {
        assert!(matches!(&answer, Err(TicketError::Gone(gone)) if *gone == id), "{answer:?}");
    }
}

#[tokio::test]
async fn the_desk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::of(folder.path());
    conforms(&desk).await;
    assert_eq!(desk.name().await.unwrap(), Desk::of(folder.path()).name().await.unwrap());
}
