//! The courier, with a desk that fails before or after any call, and the texts that people read.

use super::{
    Alike, Attachment, Capabilities, Desk, Draft, Filter, Fingerprint, Fut, Key, Row, Stamp, State, Ticket,
    TicketError, TicketId, TicketSystem, What,
    courier::{Bounds, Courier, Delivery, Post, sync},
    facts,
    settings::Language,
    texts::{self, Name},
};
use crate::{
    base::{At, Change, Hash, HostName, Place, RunId, Span, TaskId, Way},
    journal::{
        Journal as _, MemoryJournal,
        event::{Batch, Began, Debt, End, Event, Header, How, Operator, Scope, Summary},
        outbox::Outbox as _,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A desk that dies before or after its n-th call.
struct Mortal {
    desk: Desk,
    calls: AtomicUsize,
    /// The call, from 1; 0: it lives.
    at: usize,
    /// It dies when it has done it.
    after: bool,
}

impl Mortal {
    fn of(folder: &Path, at: usize, after: bool) -> Self {
        Self { desk: Desk::of(folder), calls: AtomicUsize::new(0), at, after }
    }
    fn call<'a, T: Send + 'a>(&'a self, work: impl FnOnce() -> Fut<'a, T> + Send + 'a) -> Fut<'a, T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        Box::pin(async move {
            let dies = self.at > 0 && number >= self.at;
            if !dies || (number == self.at && self.after) {
                let done = work().await;
                if !dies {
                    return done;
                }
            }
            Err(TicketError::Unavailable { system: "the desk".into(), why: "it is dead".into(), doubtful: true })
        })
    }
}

impl TicketSystem for Mortal {
    fn ready(&self) -> Fut<'_, ()> {
        self.desk.ready()
    }
    fn name(&self) -> Fut<'_, String> {
        self.call(|| self.desk.name())
    }
    fn capabilities(&self) -> Capabilities {
        self.desk.capabilities()
    }
    fn id(&self, text: &str) -> Result<TicketId, TicketError> {
        self.desk.id(text)
    }
    fn find<'a>(&'a self, key: &'a Key) -> Fut<'a, Option<TicketId>> {
        self.call(|| self.desk.find(key))
    }
    fn create<'a>(&'a self, draft: &'a Draft) -> Fut<'a, TicketId> {
        self.call(|| self.desk.create(draft))
    }
    fn comment<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, text: &'a str) -> Fut<'a, ()> {
        self.call(move || self.desk.comment(id, stamp, text))
    }
    fn state<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, target: State) -> Fut<'a, ()> {
        self.call(move || self.desk.state(id, stamp, target))
    }
    fn attach<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, file: &'a Attachment) -> Fut<'a, ()> {
        self.call(move || self.desk.attach(id, stamp, file))
    }
    fn link<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, other: &'a TicketId) -> Fut<'a, ()> {
        self.call(move || self.desk.link(id, stamp, other))
    }
    fn mark<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, failure: &'a Fingerprint) -> Fut<'a, ()> {
        self.call(move || self.desk.mark(id, stamp, failure))
    }
    fn alike<'a>(&'a self, failure: &'a Fingerprint) -> Fut<'a, Vec<Alike>> {
        self.call(|| self.desk.alike(failure))
    }
    fn show<'a>(&'a self, id: &'a TicketId) -> Fut<'a, Ticket> {
        self.call(|| self.desk.show(id))
    }
    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Vec<Row>> {
        self.call(|| self.desk.list(filter))
    }
    fn content<'a>(&'a self, id: &'a TicketId, name: &'a str) -> Fut<'a, Vec<u8>> {
        self.call(move || self.desk.content(id, name))
    }
}

/// Events of runs, at one second each.
pub(super) struct Told {
    pub(super) journal: Arc<MemoryJournal>,
    second: i64,
}

fn who(name: &str) -> Operator {
    Operator { name: name.into(), uid: 1000, login: true, machine: "ops-1".into(), pid: 1 }
}

impl Told {
    pub(super) fn new() -> Self {
        Self { journal: Arc::new(MemoryJournal::new()), second: 0 }
    }
    fn at(&mut self) -> Timestamp {
        self.second += 1;
        Timestamp::from_second(1_795_000_000 + self.second).unwrap()
    }
    pub(super) fn begin(&mut self, ticket: Option<Value>, tickets: &Value) -> RunId {
        let runbook = json!({"title": "Перезапуск billing", "owner": "СРК", "targets": "app={{ params.app }}"});
        let header = Header {
            project: "crm".into(),
            runbook: "billing-restart".into(),
            file: Some("runbooks/billing-restart.yaml".into()),
            runbook_hash: self.journal.put(runbook.to_string().as_bytes()).unwrap(),
            inventory_hash: self.journal.put(json!({ "tickets": tickets }).to_string().as_bytes()).unwrap(),
            params: BTreeMap::from([("app".into(), json!("billing")), ("share".into(), json!(50))]),
            limit: None,
            limited_by: None,
            parallel: 32,
            plan: Some(Hash::of(b"plan")),
            operator: who("мария"),
            reason: Some("плановые работы".into()),
            ticket,
            shown: None,
            root: "/nowhere".into(),
            version: "0.1.0".into(),
        };
        let at = self.at();
        self.journal.begin(at, header).unwrap().run
    }
    async fn say(&mut self, run: &RunId, event: Event) {
        let at = self.at();
        self.journal.append(run, at, event).await.unwrap();
    }
    async fn phase(&mut self, run: &RunId, step: &str, name: &str, batch: Option<Batch>, hosts: &[&str]) {
        let hosts = hosts.iter().map(|h| HostName::from(*h)).collect();
        self.say(run, Event::Phase { step: step.into(), name: name.into(), batch, hosts }).await;
    }
    /// A task that acts, and ends so.
    async fn task(&mut self, run: &RunId, step: &str, (name, host): (&str, &str), how: How) {
        let task = self.began(run, step, (name, host)).await;
        self.say(run, Event::Ended { task, way: Way::Forward, how, seen: None, changed: true }).await;
    }
    /// An order that acts on nothing.
    async fn order(&mut self, run: &RunId, step: &str, host: &str, outputs: Value) {
        let task = TaskId::new(step, &host.into());
        let began = Began {
            task: task.clone(),
            step: step.into(),
            place: String::new(),
            id: None,
            name: "Get it".into(),
            host: host.into(),
            action: "cert.order".into(),
            value: Value::Null.into(),
            before: Some(Value::Null.into()),
            then: vec![],
            undo: vec![],
            inherits: vec![],
            pays: None,
            within: Span::secs(60),
            patience: None,
            in_rollback: false,
            leaves_nothing: false,
            opaque: false,
            always: false,
        };
        self.say(run, Event::Began(Box::new(began))).await;
        let how = How::Done { outputs };
        self.say(run, Event::Ended { task, way: Way::Forward, how, seen: None, changed: false }).await;
    }
    /// A task that acts.
    async fn began(&mut self, run: &RunId, step: &str, (name, host): (&str, &str)) -> TaskId {
        let task = TaskId::new(step, &host.into());
        let debt = Debt {
            key: format!("{host} restart"),
            step: format!("{step}.then1"),
            name: "Restart".into(),
            host: host.into(),
            action: "app.restart".into(),
            value: Value::Null,
            within: None,
        };
        let began = Began {
            task: task.clone(),
            step: step.into(),
            place: String::new(),
            id: None,
            name: name.into(),
            host: host.into(),
            action: "command".into(),
            value: Value::Null.into(),
            before: Some(Value::Null.into()),
            then: vec![debt],
            undo: vec![],
            inherits: vec![],
            pays: None,
            within: Span::secs(60),
            patience: None,
            in_rollback: false,
            leaves_nothing: false,
            opaque: false,
            always: false,
        };
        self.say(run, Event::Began(Box::new(began))).await;
        let change: At<Change> = Place::on(&host.into()).at(Change::RestartUnit("b.service".into()));
        let (way, changes, expect) = (Way::Forward, vec![change], Value::Null);
        let announced = Event::Announced {
            task: task.clone(),
            way,
            number: 0,
            changes,
            expect,
            boot: "b".into(),
            no_return: false,
        };
        self.say(run, announced).await;
        task
    }
    async fn finish(&mut self, run: &RunId, outcome: End, why: Option<&str>, stands: &[&str]) {
        let end = Summary {
            outcome,
            exit_code: outcome.code(),
            why: why.map(str::to_owned),
            changed: 3,
            owed: usize::from(outcome == End::Failed),
            stands: stands.iter().map(|s| (*s).to_owned()).collect(),
        };
        self.say(run, Event::Finished(end)).await;
    }
    /// A run that rolls over three batches, is stopped, goes on, and fails.
    pub(super) async fn failing(&mut self, tickets: &Value, host: &str) -> RunId {
        let run = self.begin(None, tickets);
        for number in 1..=2 {
            let hosts = [format!("web{number}"), format!("web1{number}")];
            let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let batch = Some(Batch { number, of: 3 });
            for (step, name) in [("1.1", "Новая конфигурация"), ("1.2", "Перезапуск")] {
                self.phase(&run, step, name, batch, &names).await;
                for host in &names {
                    self.task(&run, &format!("{step}.{number}"), (name, host), done()).await;
                }
            }
            if number == 1 {
                self.finish(&run, End::Stopped, None, &[]).await;
                self.say(&run, Event::Resumed { operator: who("олег") }).await;
            }
        }
        self.phase(&run, "1.1", "Новая конфигурация", Some(Batch { number: 3, of: 3 }), &[host, "web9"]).await;
        let why = "не стал здоровым: HTTP 503, 31 попытка".to_owned();
        self.task(&run, "1.1.3", ("Новая конфигурация", host), How::Failed(why.clone())).await;
        self.say(&run, Event::RollingBack { scope: Scope::Run, why: why.clone(), drill: false }).await;
        self.finish(&run, End::Failed, Some(&why), &["`Перезапуск` on `web1` stands"]).await;
        run
    }
    fn post(&self, system: Arc<dyn TicketSystem>) -> Post {
        let report = |run: &RunId| {
            let media = "text/html; charset=utf-8".to_owned();
            Some(Attachment { name: format!("{run}.html"), media, bytes: b"<html>".to_vec() })
        };
        Post { outbox: self.journal.clone(), system, locks: None, report: Arc::new(report) }
    }
    pub(super) fn with_desk(&self, folder: &Path) -> Post {
        self.post(Arc::new(Desk::of(folder)))
    }
}

/// A folder that needs no disk, where the machine has one: the desk flushes each of its writes.
pub(super) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn done() -> How {
    How::Done { outputs: Value::Null }
}

async fn all(folder: &Path) -> Vec<Ticket> {
    let desk = Desk::of(folder);
    let mut tickets = Vec::new();
    for row in desk.list(&Filter { states: vec![], most: 999 }).await.unwrap() {
        tickets.push(desk.show(&row.id).await.unwrap());
    }
    tickets
}

/// What people read in a ticket.
fn read(ticket: &Ticket) -> String {
    let entries = ticket.entries.iter().map(|e| match e.what {
        What::Comment => format!("-- {}:\n{}\n", e.author, e.text),
        what => format!("-- {}: {} {}\n", e.author, what.word(), e.text),
    });
    format!("{} [{}]\n{}", ticket.row.subject, ticket.row.state.word(), entries.collect::<String>())
}

#[tokio::test]
async fn a_desk_that_dies_at_any_call_has_each_ticket_and_each_comment_once_in_the_end() {
    let mut told = Told::new();
    let tickets = json!({"language": "ru"});
    let first = told.failing(&tickets, "web3").await;
    told.failing(&tickets, "web7").await;
    let payer = told.begin(None, &Value::Null);
    told.say(&payer, Event::Paid { run_owing: first.clone(), debt: "web1 restart".into() }).await;
    told.finish(&payer, End::Done, None, &[]).await;
    let events: Vec<(RunId, Vec<Event>)> = [&payer, &first]
        .into_iter()
        .chain(told.journal.runs(9).unwrap().iter().filter(|r| **r != payer && **r != first))
        .map(|run| (run.clone(), told.journal.records(run).unwrap().into_iter().map(|r| r.event).collect()))
        .collect();
    assert_eq!(events.len(), 3);

    let whole = tempfile::tempdir().unwrap();
    let delivery = sync(&told.with_desk(whole.path())).await.unwrap();
    assert_eq!((delivery.left, delivery.why.len(), delivery.delivered > 20), (0, 0, true), "{delivery:?}");
    let wanted = all(whole.path()).await;
    assert_eq!(wanted.len(), 3);
    assert_eq!(sync(&told.with_desk(whole.path())).await.unwrap(), Delivery::default());

    let mut deaths = 0;
    for after in [false, true] {
        for at in 1.. {
            // the same events in a journal that has delivered nothing
            let again = told.anew().await;
            let folder = in_memory();
            let mortal = Arc::new(Mortal::of(folder.path(), at, after));
            let cut = sync(&again.post(mortal.clone())).await.unwrap();
            if mortal.calls.load(Ordering::Relaxed) < at {
                assert_eq!(cut.left, 0);
                break;
            }
            deaths += 1;
            assert!(cut.left > 0 && cut.why.len() == 1, "{cut:?}");
            assert!(again.journal.undelivered().unwrap().why.unwrap().contains("it is dead"));
            let rest = sync(&again.with_desk(folder.path())).await.unwrap();
            assert_eq!(rest.left, 0, "{rest:?}");
            assert_eq!(all(folder.path()).await, wanted, "call {at}, after {after}");
        }
    }
    assert!(deaths > 80, "{deaths}");
}

impl Told {
    /// The same events, none of them delivered.
    async fn anew(&self) -> Self {
        let journal = MemoryJournal::new();
        for run in self.journal.runs(99).unwrap().iter().rev() {
            let mut records = self.journal.records(run).unwrap().into_iter();
            let first = records.next().unwrap();
            let Event::Started(header) = first.event else { panic!("no beginning") };
            for hash in [&header.runbook_hash, &header.inventory_hash] {
                journal.put(&self.journal.get(hash).unwrap()).unwrap();
            }
            assert_eq!(journal.begin(first.at, *header).unwrap().run, *run);
            for record in records {
                journal.append(run, record.at, record.event).await.unwrap();
            }
        }
        Self { journal: Arc::new(journal), second: self.second }
    }
}

#[tokio::test]
async fn a_ticket_tells_a_run_in_english() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    told.failing(&Value::Null, "web3").await;
    let run = told.failing(&Value::Null, "web7").await;
    assert_eq!(sync(&told.with_desk(folder.path())).await.unwrap().left, 0);
    let tickets = all(folder.path()).await;
    assert_eq!((tickets[0].row.run.as_ref(), tickets.len()), (Some(&run), 2));
    assert_eq!(
        (&tickets[0].links, &tickets[1].links),
        (&vec![tickets[1].row.id.clone()], &vec![tickets[0].row.id.clone()])
    );
    insta::assert_snapshot!(read(&tickets[0]).replace(run.as_str(), "RUN"), @r"
    Перезапуск billing (crm) [open]
    -- мария:
    `мария` began `billing-restart`: плановые работы

    project   crm
    runbook   Перезапуск billing, runbooks/billing-restart.yaml, answered for by СРК
    targets   app=billing
    params    app = billing
              share = 50
    operator  мария on ops-1
    began     2026-11-18 11:07:18 UTC
    run       RUN
    -- мария:
    Step 1, batch 1 of 3: Новая конфигурация, Перезапуск

    on        `web1`, `web11`
    done      on 2 hosts, 2 changed
    took      14 s
    -- мария:
    Stopped: the run was asked to stop

    owed      Restart on web1
              Restart on web11
    took      15 s
    run       RUN (exit code 130)
    next      `svcops resume RUN`
              `svcops rollback RUN`
    -- мария: attached RUN.html
    -- мария: state waiting
    -- олег:
    `олег` on ops-1 goes on with the run, which was stopped
    -- олег: state open
    -- олег:
    Step 1, batch 2 of 3: Новая конфигурация, Перезапуск

    on        `web2`, `web12`
    done      on 2 hosts, 2 changed
    took      14 s
    -- олег:
    Step 1, batch 3 of 3: Новая конфигурация

    on        `web7`, `web9`
    failed    `Новая конфигурация` on `web7`: не стал здоровым: HTTP 503, 31 попытка
    not begun on 1 host
    took      4.0 s
    -- олег:
    The run goes back: не стал здоровым: HTTP 503, 31 попытка
    -- олег:
    Failed: не стал здоровым: HTTP 503, 31 попытка

    stands    `Перезапуск` on `web1` stands
    owed      Restart on web1
              Restart on web11
              Restart on web12
              Restart on web2
              Restart on web7
    took      36 s
    run       RUN (exit code 3)
    next      `svcops history show RUN`
              `svcops owed`
    -- олег: linked SV-000001
    -- олег:
    This failure is known, seen 1 time before, last in SV-000001 on 2026-11-18 11:07:17 UTC
    -- олег: attached RUN.html
    ");
}

#[tokio::test]
async fn a_ticket_tells_a_run_in_russian() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    told.failing(&json!({"language": "ru"}), "web3").await;
    let run = told.failing(&json!({"language": "ru"}), "web7").await;
    assert_eq!(sync(&told.with_desk(folder.path())).await.unwrap().left, 0);
    insta::assert_snapshot!(read(&all(folder.path()).await[0]).replace(run.as_str(), "RUN"), @r"
    Перезапуск billing (crm) [open]
    -- мария:
    `мария` начал `billing-restart`: плановые работы

    проект     crm
    регламент  Перезапуск billing, runbooks/billing-restart.yaml, отвечает СРК
    цели       app=billing
    параметры  app = billing
               share = 50
    оператор   мария на ops-1
    начало     2026-11-18 11:07:18 UTC
    запуск     RUN
    -- мария:
    Шаг 1, пакет 1 из 3: Новая конфигурация, Перезапуск

    где         `web1`, `web11`
    выполнено   на 2 хостах, изменено: 2
    заняло      14 с
    -- мария:
    Остановлено: запуск попросили остановиться

    долг        Restart on web1
                Restart on web11
    заняло      15 с
    запуск      RUN (код возврата 130)
    дальше      `svcops resume RUN`
                `svcops rollback RUN`
    -- мария: attached RUN.html
    -- мария: state waiting
    -- олег:
    `олег` на ops-1 продолжает запуск, который был остановлен
    -- олег: state open
    -- олег:
    Шаг 1, пакет 2 из 3: Новая конфигурация, Перезапуск

    где         `web2`, `web12`
    выполнено   на 2 хостах, изменено: 2
    заняло      14 с
    -- олег:
    Шаг 1, пакет 3 из 3: Новая конфигурация

    где         `web7`, `web9`
    сбой        `Новая конфигурация` на `web7`: не стал здоровым: HTTP 503, 31 попытка
    не начато   на 1 хосте
    заняло      4,0 с
    -- олег:
    Всё возвращается назад: не стал здоровым: HTTP 503, 31 попытка
    -- олег:
    Сбой: не стал здоровым: HTTP 503, 31 попытка

    осталось    `Перезапуск` on `web1` stands
    долг        Restart on web1
                Restart on web11
                Restart on web12
                Restart on web2
                Restart on web7
    заняло      36 с
    запуск      RUN (код возврата 3)
    дальше      `svcops history show RUN`
                `svcops owed`
    -- олег: linked SV-000001
    -- олег:
    Такой сбой уже был: 1 раз, в последний раз в SV-000001, 2026-11-18 11:07:17 UTC
    -- олег: attached RUN.html
    ");
}

#[tokio::test]
async fn a_ticket_that_was_named_is_used_and_closed_at_the_good_end() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let desk = Desk::of(folder.path());
    let draft = Draft {
        stamp: Stamp { key: None, author: "олег".into(), at: told.at() },
        subject: "Заявка".into(),
        text: "Сделать ночью".into(),
        state: State::New,
        kind: None,
        queue: None,
        run: None,
    };
    let id = desk.create(&draft).await.unwrap();
    let run = told.begin(Some(json!(id)), &Value::Null);
    told.phase(&run, "1", "Restart", None, &["web1"]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    assert_eq!(desk.show(&id).await.unwrap().row.state, State::Open);
    told.finish(&run, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let tickets = all(folder.path()).await;
    assert_eq!((tickets.len(), &tickets[0].row.id, tickets[0].row.state), (1, &id, State::Done));
    assert_eq!(told.journal.ticket_of(&run).unwrap().unwrap().ticket, id.0);
    assert!(
        tickets[0].entries[1].text.starts_with("`мария` began `billing-restart`: плановые работы\n"),
        "{tickets:?}"
    );
    assert_eq!(tickets[0].attachments.len(), 1);
    // one that is not there (the desk could not be asked at the beginning) is replaced by the run's own
    let lost = told.begin(Some(json!("SV-000777")), &Value::Null);
    sync(&told.with_desk(folder.path())).await.unwrap();
    let own = told.journal.ticket_of(&lost).unwrap().unwrap().ticket;
    assert_eq!(own, "SV-000002");
}

#[tokio::test]
async fn somebodys_own_ticket_is_closed_only_when_all_that_was_done_for_it_has_come_to_an_end() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let desk = Desk::of(folder.path());
    let stamp = Stamp { key: None, author: "олег".into(), at: told.at() };
    let draft = |subject: &str, stamp: &Stamp| Draft {
        stamp: stamp.clone(),
        subject: subject.into(),
        text: String::new(),
        state: State::New,
        kind: None,
        queue: None,
        run: None,
    };
    let id = desk.create(&draft("CHG-77", &stamp)).await.unwrap();
    let refused = told.begin(Some(json!(id)), &Value::Null);
    told.say(&refused, Event::Refused { code: 75, why: "`web1` is held".into() }).await;
    told.finish(&refused, End::NotNow, Some("`web1` is held"), &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let state = desk.show(&id).await.unwrap().row.state;
    assert_eq!(state, State::New, "a refusal leaves it as it was");

    let other = told.begin(Some(json!(id)), &Value::Null);
    told.phase(&other, "1", "Restart", None, &["web1"]).await;
    let good = told.begin(Some(json!(id)), &Value::Null);
    told.phase(&good, "1", "Restart", None, &["web2"]).await;
    told.finish(&good, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let state = desk.show(&id).await.unwrap().row.state;
    assert_eq!(state, State::Open, "another run is under way");
    told.finish(&other, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    assert_eq!(desk.show(&id).await.unwrap().row.state, State::Done);
}

#[tokio::test]
async fn how_a_run_ended_is_the_state_of_its_ticket() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let mut wanted = Vec::new();
    for (outcome, state) in [
        (End::Done, State::Done),
        (End::RolledBack, State::Open),
        (End::Failed, State::Open),
        (End::Unknown, State::Open),
        (End::Stopped, State::Waiting),
    ] {
        let run = told.begin(Some(json!({"kind": "change", "queue": "Ночь"})), &Value::Null);
        told.phase(&run, "1", "Restart", None, &["web1"]).await;
        told.finish(&run, outcome, None, &[]).await;
        wanted.push((run, state));
    }
    let refused = told.begin(None, &Value::Null);
    told.say(&refused, Event::Refused { code: 75, why: "`web1` is held".into() }).await;
    told.finish(&refused, End::NotNow, Some("`web1` is held"), &[]).await;
    // a person took everything back, and that went well
    let undone = told.begin(None, &Value::Null);
    told.phase(&undone, "1", "Restart", None, &["web1"]).await;
    told.finish(&undone, End::Stopped, None, &[]).await;
    told.say(&undone, Event::Resumed { operator: who("олег") }).await;
    told.say(&undone, Event::RollingBack { scope: Scope::Run, why: "`svcops rollback`".into(), drill: false }).await;
    told.finish(&undone, End::RolledBack, None, &[]).await;
    wanted.extend([(refused.clone(), State::Done), (undone.clone(), State::Done)]);
    // a drill that came to its end, and one that did not
    let mut drills = Vec::new();
    for (drill, outcome, state) in [(true, End::Done, State::Done), (false, End::RolledBack, State::Open)] {
        let run = told.begin(None, &Value::Null);
        told.phase(&run, "1", "Stop", None, &["web1"]).await;
        told.task(&run, "1", ("Stop", "web1"), done()).await;
        told.say(&run, Event::RollingBack { scope: Scope::Run, why: "the drill has come to its end".into(), drill })
            .await;
        told.say(&run, Event::RolledBack { scope: Scope::Run }).await;
        told.finish(&run, outcome, None, &[]).await;
        drills.push(run.clone());
        wanted.push((run, state));
    }
    sync(&told.with_desk(folder.path())).await.unwrap();
    let tickets = all(folder.path()).await;
    let of = |run: &RunId| tickets.iter().find(|t| t.row.run.as_ref() == Some(run)).unwrap();
    for (run, state) in &wanted {
        assert_eq!(of(run).row.state, *state, "{}", read(of(run)));
    }
    assert_eq!(of(&wanted[0].0).row.queue.as_deref(), Some("Ночь"));
    let said: Vec<_> = of(&refused).entries.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(said[1..], ["Refused, not now: `web1` is held\n\nNothing was touched.", "done"]);
    assert_eq!(of(&refused).attachments.len(), 0);
    let last = of(&undone).entries.iter().rfind(|e| e.what == What::Comment).unwrap();
    assert!(last.text.starts_with("Undone, as somebody asked"), "{last:?}");
    let last = of(&drills[0]).entries.iter().rfind(|e| e.what == What::Comment).unwrap();
    assert!(
        last.text.starts_with("Done, and taken back: this was a drill. 1 task carried out on 1 host; "),
        "{last:?}"
    );
}

#[tokio::test]
async fn what_somebody_asked_to_take_back_is_undone_however_often_it_was_asked_for() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let asked = Event::RollingBack { scope: Scope::Run, why: "`svcops rollback`".into(), drill: false };
    let by_hand = Event::Resumed { operator: who("олег") };
    // the first way back was killed; the second is asked for, and then gone on with
    let killed = told.begin(None, &Value::Null);
    told.phase(&killed, "1", "Restart", None, &["web1"]).await;
    told.task(&killed, "1", ("Restart", "web1"), done()).await;
    for event in [&by_hand, &asked, &by_hand, &asked, &by_hand] {
        told.say(&killed, event.clone()).await;
    }
    told.finish(&killed, End::RolledBack, Some("`svcops rollback`"), &[]).await;
    // nobody knew what a task had done
    let mut unknown = Vec::new();
    for outcome in [End::RolledBack, End::Unknown] {
        let run = told.begin(None, &Value::Null);
        let task = TaskId::new("1", &"web1".into());
        told.phase(&run, "1", "Restart", None, &["web1"]).await;
        told.began(&run, "1", ("Restart", "web1")).await;
        let doubt = Event::InDoubt { task, way: Way::Forward, why: "no answer".into() };
        told.say(&run, doubt).await;
        told.finish(&run, End::Unknown, None, &[]).await;
        for event in [&by_hand, &asked] {
            told.say(&run, event.clone()).await;
        }
        told.finish(&run, outcome, Some("`svcops rollback`"), &[]).await;
        unknown.push(run);
    }
    sync(&told.with_desk(folder.path())).await.unwrap();
    let tickets = all(folder.path()).await;
    let of = |run: &RunId| tickets.iter().find(|t| t.row.run.as_ref() == Some(run)).unwrap();
    let last = |run: &RunId| of(run).entries.iter().rfind(|e| e.what == What::Comment).unwrap().text.clone();
    for run in [&killed, &unknown[0]] {
        assert_eq!(of(run).row.state, State::Done, "{}", read(of(run)));
        assert!(last(run).starts_with("Undone, as somebody asked"), "{}", last(run));
    }
    assert!(of(&killed).links.is_empty(), "what was asked for is no failure");
    assert_eq!(of(&unknown[1]).row.state, State::Open);
    let said = read(of(&unknown[1]));
    assert!(!said.contains("look: `svcops rollback`"), "{said}");
    assert!(said.contains("Outcome unknown, a person must look: `Restart` on `web1`: no answer"), "{said}");
}

#[tokio::test]
async fn a_step_that_was_cut_off_is_never_told_as_nothing_to_do() {
    for (language, cut, nothing) in [
        ("en", "cut off   on `web1`: under way when the run was interrupted", "nothing to do"),
        ("ru", "прервано    на `web1`: выполнялось, когда запуск прервался", "делать было нечего"),
    ] {
        let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
        let run = told.begin(None, &json!({ "language": language }));
        told.phase(&run, "1", "Restart", None, &["web1"]).await;
        let task = told.began(&run, "1", ("Restart", "web1")).await;
        told.say(&run, Event::Resumed { operator: who("олег") }).await;
        told.say(&run, Event::RollingBack { scope: Scope::Run, why: "`svcops rollback`".into(), drill: false }).await;
        told.say(&run, Event::UndoBegan { task: task.clone() }).await;
        let how = done();
        told.say(&run, Event::Ended { task, way: Way::Undo, how, seen: None, changed: true }).await;
        told.finish(&run, End::RolledBack, None, &[]).await;
        sync(&told.with_desk(folder.path())).await.unwrap();
        let said = read(&all(folder.path()).await[0]);
        assert!(said.contains(cut), "{said}");
        assert!(!said.contains(nothing), "{said}");
    }
    // what ended after all was not cut off
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let run = told.begin(None, &Value::Null);
    told.phase(&run, "1", "Restart", None, &["web1"]).await;
    let task = told.began(&run, "1", ("Restart", "web1")).await;
    told.say(&run, Event::Resumed { operator: who("олег") }).await;
    told.say(&run, Event::Ended { task, way: Way::Forward, how: done(), seen: None, changed: true }).await;
    told.finish(&run, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let said = read(&all(folder.path()).await[0]);
    assert!(said.contains("done      on 1 host, 1 changed") && !said.contains("cut off"), "{said}");
}

#[tokio::test]
async fn a_request_that_people_are_to_answer_stands_in_the_ticket() {
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n";
    let outputs = |n: usize, request: &str| {
        let names = [format!("web{n}.lab.test"), "billing.lab.test".to_owned()];
        json!({"changed": false, "request": request, "certificate": "billing-tls", "names": names, "note": "В отдел ИБ"})
    };
    let mut texts = Vec::new();
    for language in ["en", "ru"] {
        let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
        let run = told.begin(None, &json!({ "language": language }));
        told.phase(&run, "1", "Get it", None, &["web1"]).await;
        told.order(&run, "1", "web1", outputs(1, pem)).await;
        let hosts: Vec<String> = (1..=13).map(|n| format!("web{n}")).collect();
        told.phase(&run, "2", "Get them", None, &hosts.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (n, host) in hosts.iter().enumerate() {
            told.order(&run, "2", host, outputs(n + 1, pem)).await;
        }
        told.finish(&run, End::Done, None, &[]).await;
        sync(&told.with_desk(folder.path())).await.unwrap();
        let ticket = all(folder.path()).await.remove(0);
        let comments: Vec<&str> =
            ticket.entries.iter().filter(|e| e.what == What::Comment).map(|e| e.text.as_str()).collect();
        assert_eq!(comments[2].matches("BEGIN CERTIFICATE REQUEST").count(), 10, "{}", comments[2]);
        texts.push(format!("{}\n{}", comments[1], comments[2].lines().last().unwrap()));
    }
    insta::assert_snapshot!(texts.join("\n--\n"), @r"
    Step 1: Get it

    on        `web1`
    as it was 1 host: nothing to do there
    took      3.0 s
    request   for `web1.lab.test`, `billing.lab.test` on `web1` waits for people to answer it: В отдел ИБ
    next      `svcops cert import billing-tls FILE` takes the answer
    -----BEGIN CERTIFICATE REQUEST-----
    MIIB
    -----END CERTIFICATE REQUEST-----
    request   and 3 more, on `web11`, `web12`, `web13`
    --
    Шаг 1: Get it

    где         `web1`
    как было    1 хост: делать было нечего
    заняло      3,0 с
    запрос      для `web1.lab.test`, `billing.lab.test` на `web1` ждёт ответа людей: В отдел ИБ
    дальше      `svcops cert import billing-tls FILE` примет ответ
    -----BEGIN CERTIFICATE REQUEST-----
    MIIB
    -----END CERTIFICATE REQUEST-----
    запрос      и ещё 3, на `web11`, `web12`, `web13`
    ");
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_shown() {
    let (request, says) = ("x".repeat(20_000), "too long to be shown");
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let run = told.begin(None, &Value::Null);
    told.phase(&run, "1", "Get it", None, &["web1"]).await;
    told.order(&run, "1", "web1", json!({"request": request})).await;
    // an output of that name that another action gives is none
    told.task(&run, "1.1", ("Ask", "web1"), How::Done { outputs: json!({"request": "other"}) }).await;
    told.finish(&run, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let said = read(&all(folder.path()).await[0]);
    assert!(said.contains(says) && !said.contains("xx") && !said.contains("other"), "{said}");
}

#[tokio::test]
async fn a_group_of_many_hosts_gets_a_comment_a_batch() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let run = told.begin(None, &Value::Null);
    for number in 1..=50 {
        let hosts: Vec<String> = (1..=10).map(|n| format!("web{number:02}{n:02}")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        for step in ["1.1", "1.2", "1.3", "1.4"] {
            let batch = Some(Batch { number, of: 50 });
            told.phase(&run, step, "Step", batch, &hosts).await;
            for host in &hosts {
                told.say(&run, Event::Skipped { task: TaskId::new(step, &(*host).into()), why: "false".into() }).await;
            }
        }
    }
    told.finish(&run, End::Done, None, &[]).await;
    sync(&told.with_desk(folder.path())).await.unwrap();
    let ticket = all(folder.path()).await.remove(0);
    let comments = ticket.entries.iter().filter(|e| e.what == What::Comment).count();
    assert_eq!(comments, 52, "the beginning, fifty batches, the end");
    assert_eq!(ticket.entries[1].text.lines().nth(3), Some("as it was 10 hosts: nothing to do there"));
}

#[tokio::test]
async fn one_run_that_cannot_be_told_of_holds_up_no_other() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let bad = told.begin(None, &Value::Null);
    told.finish(&bad, End::Done, None, &[]).await;
    let good = told.begin(None, &Value::Null);
    let desk = Desk::of(folder.path());
    desk.name().await.unwrap();
    let refuse = format!(
        "CREATE TRIGGER no BEFORE INSERT ON tickets WHEN NEW.run = '{bad}' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    );
    let store = rusqlite::Connection::open(desk.path()).unwrap();
    store.execute_batch(&refuse).unwrap();
    let came_to = sync(&told.with_desk(folder.path())).await.unwrap();
    assert_eq!((came_to.delivered, came_to.left), (1, 2));
    assert!(came_to.why[0].contains("not this one"), "{came_to:?}");
    assert!(told.journal.ticket_of(&good).unwrap().is_some());
    store.execute_batch("DROP TRIGGER no").unwrap();
    assert_eq!(sync(&told.with_desk(folder.path())).await.unwrap().left, 0);
    assert_eq!(all(folder.path()).await.len(), 2);
}

#[tokio::test]
async fn bounds_hold_and_the_run_under_way_goes_first() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    let [_, mine] = [told.begin(None, &Value::Null), told.begin(None, &Value::Null)];
    let mut courier = Courier::new(told.with_desk(folder.path()));
    let over = Bounds { first: None, most: 9, until: Some(std::time::Instant::now()) };
    assert_eq!(courier.round(&over).await.unwrap().left, 2);
    let one = Bounds { first: Some(mine.clone()), most: 1, until: None };
    assert_eq!(courier.round(&one).await.unwrap().left, 1);
    assert!(told.journal.ticket_of(&mine).unwrap().is_some());
    // what the story was told so far is not told again
    told.phase(&mine, "1", "Restart", None, &["web1"]).await;
    told.finish(&mine, End::Done, None, &[]).await;
    courier.round(&Bounds { most: 99, ..one }).await.unwrap();
    let ticket = all(folder.path()).await.into_iter().find(|t| t.row.run.as_ref() == Some(&mine)).unwrap();
    assert_eq!(ticket.entries.iter().filter(|e| e.what == What::Comment).count(), 3, "{}", read(&ticket));
}

#[tokio::test]
async fn a_desk_that_was_made_anew_gets_tickets_of_its_own() {
    let (mut told, folders) = (Told::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let run = told.begin(None, &Value::Null);
    sync(&told.with_desk(folders[0].path())).await.unwrap();
    // the first ticket of the new desk has the same number, and is somebody else's
    let other = told.begin(None, &Value::Null);
    sync(&told.with_desk(folders[1].path())).await.unwrap();
    told.finish(&run, End::Done, None, &[]).await;
    sync(&told.with_desk(folders[1].path())).await.unwrap();
    let tickets = all(folders[1].path()).await;
    let states: Vec<_> = tickets.iter().map(|t| (t.row.run.clone().unwrap(), t.row.state)).collect();
    assert_eq!(states, [(run, State::Done), (other, State::Open)]);
}

#[tokio::test]
async fn an_id_that_was_named_in_one_desk_is_no_ticket_of_another() {
    let (mut told, folders) = (Told::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let first = told.begin(None, &Value::Null);
    sync(&told.with_desk(folders[0].path())).await.unwrap();
    let named = told.begin(Some(json!("SV-000001")), &Value::Null);
    told.phase(&named, "1", "Restart", None, &["web1"]).await;
    sync(&told.with_desk(folders[0].path())).await.unwrap();
    assert_eq!(told.journal.ticket_of(&named).unwrap().unwrap().ticket, "SV-000001");
    // the desk is lost, and the first ticket of the new one is about something else
    told.finish(&first, End::Done, None, &[]).await;
    sync(&told.with_desk(folders[1].path())).await.unwrap();
    told.finish(&named, End::Done, None, &[]).await;
    sync(&told.with_desk(folders[1].path())).await.unwrap();
    assert_eq!(told.journal.ticket_of(&named).unwrap().unwrap().ticket, "SV-000002");
}

#[tokio::test]
async fn the_projects_own_texts_stand_for_the_binarys_until_they_fail() {
    let (mut told, folder) = (Told::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("subject.txt"), "{{ run.project | upper }}:\n{{ run.title }}\n").unwrap();
    std::fs::write(folder.path().join("refused.txt"), "{{ refused.why[99] | upper }}").unwrap();
    let run = told.begin(None, &json!({"templates": folder.path()}));
    told.say(&run, Event::Refused { code: 77, why: "too many".into() }).await;
    let came_to = sync(&told.with_desk(folder.path())).await.unwrap();
    let ticket = all(folder.path()).await.remove(0);
    assert_eq!(ticket.row.subject, "CRM: Перезапуск billing");
    assert!(ticket.entries[1].text.starts_with("Refused, not allowed: too many"), "{}", read(&ticket));
    assert_eq!(came_to.notes, ["the project's ticket text `refused.txt` failed: a name in it means nothing here"]);
}

#[test]
fn every_text_of_the_binary_is_right_in_both_languages() {
    for language in [Language::En, Language::Ru] {
        for name in Name::ALL {
            texts::check(name, language, texts::standard(language, name)).unwrap_or_else(|e| panic!("{name:?}: {e}"));
        }
    }
}

#[test]
fn an_outage_is_told_at_the_end_in_both_languages() {
    let phase = |kind, name: &str, ms, acts| facts::OutagePhase {
        kind,
        name: name.into(),
        back: false,
        ms,
        acts,
        own: if kind == "step" { ms - acts } else { 0 },
    };
    let crm = facts::Outage {
        service: "crm".into(),
        over: true,
        whole: true,
        ms: 143,
        count: 1,
        tries: 700,
        failed: 14,
        rto: Some("30s".into()),
        rto_met: Some(true),
        rpo: Some("0B".into()),
        rpo_met: Some(true),
        lost: Some(0),
        phases: vec![phase("before", "", 4, 0), phase("step", "6 Остановить базу", 118, 95), phase("after", "", 21, 0)],
    };
    let none = facts::Outage { ms: 0, failed: 0, tries: 1, phases: vec![], lost: None, ..crm.clone() };
    let open = facts::Outage {
        over: false,
        ms: 61_000,
        count: 2,
        rto_met: Some(false),
        lost: Some(8192),
        rpo_met: None,
        phases: vec![],
        ..crm.clone()
    };
    let part = facts::Outage { whole: false, rto_met: None, lost: None, phases: vec![], ..crm.clone() };
    let about = facts::Ended {
        outcome: "done".into(),
        acted: 4,
        hosts: 2,
        outages: vec![crm, none, open, part],
        took: 12_000,
        ..facts::Ended::default()
    };
    let told = |language: &str| {
        let settings = serde_json::from_value(json!({ "language": language })).unwrap();
        let facts = json!({ "ended": about, "run": facts::Run::default() });
        texts::Texts::of(&settings, Path::new("/")).write(Name::Ended, &facts).0
    };
    insta::assert_snapshot!(told("en"), @r"
    Done: 4 tasks carried out on 2 hosts, 0 changed

    outage    `crm`: 143 ms (RTO 30s: met), 14 of 700 requests failed
              RPO 0B: met, nothing lost
              4 ms: before the first act
              118 ms: 6 Остановить базу (act 95 ms, svcops 23 ms)
              21 ms: until clients were back
    outage    `crm`: none, 1 request answered
    outage    `crm`: 1 min 1 s, and not over (RTO 30s: missed), the longest of 2, 14 of 700 requests failed
              RPO 0B: at most 8192 bytes of the log lost
    outage    `crm`: at least 143 ms (RTO 30s: not known), 14 of 700 requests failed
    took      12 s
    run        (exit code 0)
    ");
    insta::assert_snapshot!(told("ru"), @r"
    Готово: 4 задачи выполнены на 2 хостах, изменено: 0

    перерыв     `crm`: 143 мс (RTO 30s: выполнено), не удалось 14 запросов из 700
                RPO 0B: выполнено, ничего не потеряно
                4 мс: до первого действия
                118 мс: 6 Остановить базу (действие 95 мс, svcops 23 мс)
                21 мс: пока вернулись клиенты
    перерыв     `crm`: не было, получено ответов: 1
    перерыв     `crm`: 1 мин 1 с, и ещё не кончился (RTO 30s: не выполнено), самый долгий из 2, не удалось 14 запросов из 700
                RPO 0B: потеряно не больше 8192 байт журнала
    перерыв     `crm`: не меньше 143 мс (RTO 30s: неизвестно), не удалось 14 запросов из 700
    заняло      12 с
    запуск       (код возврата 0)
    ");
}

#[test]
fn the_tickets_of_a_known_failure_are_called_the_newest_and_not_all() {
    let about = json!({"times": 21, "last": "SV-21", "at": "2026-11-23 06:00 UTC", "tickets": ["SV-21", "SV-20"]});
    for (language, said) in [("en", ". Newest: SV-21, SV-20"), ("ru", ". Последние: SV-21, SV-20")] {
        let settings = serde_json::from_value(json!({ "language": language })).unwrap();
        let (text, _) = texts::Texts::of(&settings, Path::new("/")).write(Name::Alike, &json!({ "alike": about }));
        assert!(text.ends_with(said), "{text}");
    }
}

#[test]
fn a_text_of_a_project_is_checked_before_it_is_needed() {
    let check = |text| texts::check(Name::Phase, Language::En, text).unwrap_err();
    let unknown = check("Шаг {{ phase.step }} на {{ phase.hsots | names }}");
    assert_eq!(unknown.what, "unknown name `phase.hsots`");
    assert_eq!(unknown.hint.as_deref(), Some("did you mean `phase.hosts`?"));
    assert_eq!(unknown.at, Some("Шаг {{ phase.step }} на {{ ".len()));
    assert!(check("{{ ended.why }}").what.contains("unknown name `ended`"));
    assert!(check("{% if phase.step %}").what.contains("cannot be read"), "{:?}", check("{% if phase.step %}"));
    assert!(check("{{ phase.step | nosuch }}").what.contains("nosuch"));
    let own = "{{ run.params.app }} {% for f in phase.failed %}{{ f.host }}{% endfor %}{{ 5 | count('хост', 'хоста', 'хостов') }}";
    let without_param = texts::check(Name::Phase, Language::Ru, own).unwrap_err();
    assert!(without_param.what.contains("means nothing"), "what one runbook has another has not: {without_param:?}");
    texts::check(Name::Phase, Language::Ru, &own.replace("params.app", "params.app | default('-')")).unwrap();
}
