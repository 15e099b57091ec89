//! The courier: brings ticket systems what the outbox keeps, in order within a run. It may be killed anywhere: what it
//! says is a pure function of the run's records, and is said under a key, so that who delivers again doubles nothing.

use super::{
    Attachment, Draft, Key, Stamp, State, TicketError, TicketId, TicketSystem,
    settings::Settings,
    story::{self, Runbook, Story, Telling},
    texts::{Name, Texts},
};
use crate::{
    base::{Clock as _, RunId, WallClock},
    journal::{
        JournalError,
        event::{Event, Record},
        locks::Locks,
        outbox::{Outbox, TicketOf, Waiting},
    },
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// Makes the report of a run that is over; none where there is none to attach.
pub type ReportOf = Arc<dyn Fn(&RunId) -> Option<Attachment> + Send + Sync>;

/// What a courier works with.
#[derive(Clone)]
pub struct Post {
    /// What is to be told.
    pub outbox: Arc<dyn Outbox>,
    /// Whom.
    pub system: Arc<dyn TicketSystem>,
    /// So that one process at a time delivers.
    pub locks: Option<Arc<Locks>>,
    /// The report that goes with the end of a run.
    pub report: ReportOf,
}

/// How much is delivered in one go.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// This run's events before all others.
    pub first: Option<RunId>,
    /// At most so many events.
    pub most: usize,
    /// Nothing more is begun after this.
    pub until: Option<Instant>,
}

/// What a delivery came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// So many events were delivered.
    pub delivered: usize,
    /// So many are left.
    pub left: usize,
    /// Why something is left, each reason once.
    pub why: Vec<String>,
    /// Another process delivers now.
    pub busy: bool,
    /// What the project should know of its own texts, each once.
    pub notes: Vec<String>,
}

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Ticket(#[from] TicketError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Delivers all that waits, of all runs.
///
/// # Errors
/// The journal cannot be read or written.
pub async fn sync(post: &Post) -> Result<Delivery, JournalError> {
    let bounds = Bounds { first: None, most: usize::MAX, until: None };
    Courier::new(post.clone()).round(&bounds).await
}

/// Delivers; between rounds it remembers how far it has told each run.
pub struct Courier {
    post: Post,
    stories: BTreeMap<RunId, Told>,
}

/// A run's story, and the texts that it is told in.
struct Told {
    story: Story,
    texts: Texts,
    ticket: Option<TicketId>,
}

impl Courier {
    /// One that has told nothing yet.
    pub fn new(post: Post) -> Self {
        Self { post, stories: BTreeMap::new() }
    }

    /// So many events of the run wait.
    pub fn waiting_of(&self, run: &RunId) -> usize {
        let waiting = self.post.outbox.waiting(Some(run), usize::MAX).unwrap_or_default();
        waiting.iter().take_while(|w| w.run == *run).count()
    }

    /// Delivers what waits, within bounds. A run of which an event cannot be delivered is left alone for this round; a
    /// system that cannot be used ends it.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub async fn round(&mut self, bounds: &Bounds) -> Result<Delivery, JournalError> {
        let mut came_to = Delivery::default();
        let turn = self.post.locks.as_ref().map(|locks| locks.courier()).transpose()?;
        if let Some(None) = turn {
            came_to.busy = true;
            came_to.left = self.post.outbox.undelivered()?.rows;
            return Ok(came_to);
        }
        self.deliver(bounds, &mut came_to).await?;
        drop(turn);
        // a story that is over is read anew where it goes on, and so are those that nobody has room for
        self.stories.retain(|_, told| told.story.state.end.is_none());
        while self.stories.len() > STORIES {
            self.stories.pop_first();
        }
        came_to.left = self.post.outbox.undelivered()?.rows;
        Ok(came_to)
    }

    async fn deliver(&mut self, bounds: &Bounds, came_to: &mut Delivery) -> Result<(), JournalError> {
        let mut aside: BTreeSet<RunId> = BTreeSet::new();
        loop {
            let most = (bounds.most - came_to.delivered).min(PORTION);
            // rows of runs that were set aside stand before others
            let waiting = self.post.outbox.waiting(bounds.first.as_ref(), most + ASIDE * aside.len())?;
            let rows: Vec<Waiting> = waiting.into_iter().filter(|w| !aside.contains(&w.run)).take(most).collect();
            let (mut done, mut unavailable) = (Vec::new(), false);
            for row in &rows {
                if bounds.until.is_some_and(|until| Instant::now() >= until) {
                    unavailable = true;
                    break;
                }
                if aside.contains(&row.run) {
                    continue;
                }
                let Err(why) = self.row(row, came_to).await else {
                    done.push(row.row);
                    continue;
                };
                // half told: from the beginning, next time
                self.stories.remove(&row.run);
                aside.insert(row.run.clone());
                let words = chain(&why);
                self.post.outbox.not_delivered(row.row, &words)?;
                once(&mut came_to.why, words);
                unavailable = matches!(why, Undelivered::Ticket(TicketError::Unavailable { .. }));
                if unavailable {
                    break;
                }
            }
            if !done.is_empty() {
                self.post.outbox.delivered(&done, WallClock.now())?;
            }
            came_to.delivered += done.len();
            if unavailable || rows.is_empty() || came_to.delivered >= bounds.most {
                return Ok(());
            }
        }
    }

    async fn row(&mut self, row: &Waiting, came_to: &mut Delivery) -> Result<(), Undelivered> {
        let Some(telling) = self.told(&row.run, row.seq, came_to)? else { return Ok(()) };
        let key = |part: &str| Key(format!("{}/{}/{part}", row.run, row.seq));
        let stamp = |part: &str| Stamp { key: Some(key(part)), author: telling.author.clone(), at: telling.at };
        if let Some((owing, debt)) = &telling.paid {
            return self.paid(owing, debt, &row.run, &stamp("paid"), came_to).await;
        }
        let own = self.ticket(&row.run, came_to).await?;
        let system = Arc::clone(&self.post.system);
        for said in &telling.said {
            let opened = said.name == Name::Opened;
            if opened && !own.given {
                // the ticket began with it
                continue;
            }
            let text = if said.name == Name::Ended {
                self.ending(row, &said.facts, came_to)?
            } else {
                self.text(&row.run, said.name, &said.facts, came_to)
            };
            system.comment(&own.id, &stamp(said.name.word()), &text).await?;
        }
        if let Some(failure) = telling.failure.as_ref().filter(|_| system.capabilities().alike) {
            system.mark(&own.id, &stamp("failure"), failure).await?;
            self.alike(&row.run, &own.id, &telling, failure, came_to).await?;
        }
        if let Some(most) = system.capabilities().attach.filter(|_| telling.report)
            && let Some(report) = (self.post.report)(&row.run).filter(|r| r.bytes.len() <= most)
        {
            system.attach(&own.id, &stamp("report"), &report).await?;
        }
        if let Some(state) = telling.state
            && (state != State::Done || self.settles(&row.run, &own).await?)
        {
            system.state(&own.id, &stamp("state"), state).await?;
        }
        Ok(())
    }

    /// Whether the good end of a run is also that of its ticket. One that was there before the run is somebody's own: a run that
    /// was refused has done nothing of what it asks for, and other runs may still be at it, or owe something.
    async fn settles(&self, run: &RunId, own: &Own) -> Result<bool, Undelivered> {
        if !own.given {
            return Ok(true);
        }
        let refused = self.stories.get(run).is_some_and(|told| told.story.was_refused());
        let ticket = TicketOf { system: self.post.system.name().await?, ticket: own.id.0.clone() };
        Ok(!refused && !self.post.outbox.others_unsettled(&ticket, run)?)
    }

    /// Names earlier tickets of the same failure, and links the last of them.
    async fn alike(
        &mut self,
        run: &RunId,
        own: &TicketId,
        telling: &Telling,
        failure: &super::Fingerprint,
        came_to: &mut Delivery,
    ) -> Result<(), Undelivered> {
        let system = Arc::clone(&self.post.system);
        let earlier = system.alike(failure).await?.into_iter().filter(|a| a.ticket != *own && a.at < telling.at);
        let earlier: Vec<_> = earlier.collect();
        let Some(last) = earlier.last() else { return Ok(()) };
        let mut tickets: Vec<TicketId> = Vec::new();
        for alike in earlier.iter().rev() {
            if tickets.len() < LINKED && !tickets.contains(&alike.ticket) {
                tickets.push(alike.ticket.clone());
            }
        }
        let stamp = |part: &str| Stamp {
            key: Some(Key(format!("{run}/{}/{part}", telling.seq))),
            author: telling.author.clone(),
            at: telling.at,
        };
        if system.capabilities().link {
            for other in &tickets {
                system.link(own, &stamp("link"), other).await?;
            }
        }
        let about = serde_json::json!({
            "times": earlier.len(), "last": last.ticket, "at": story::shown(last.at), "tickets": tickets,
        });
        let Some(told) = self.stories.get(run) else { return Ok(()) };
        let said = told.story.say(Name::Alike, &about);
        let text = self.text(run, said.name, &said.facts, came_to);
        Ok(system.comment(own, &stamp("alike"), &text).await?)
    }

    /// Tells the ticket of the run that owed something; a run that is not recorded any more has nobody to tell.
    async fn paid(
        &mut self,
        owing: &RunId,
        debt: &str,
        payer: &RunId,
        stamp: &Stamp,
        came_to: &mut Delivery,
    ) -> Result<(), Undelivered> {
        let records = self.post.outbox.records_after(owing, 0)?;
        let Some(last) = records.last().map(|r| r.seq) else { return Ok(()) };
        drop(self.told(owing, last, came_to)?);
        let ticket = self.ticket(owing, came_to).await?;
        let Some(told) = self.stories.get(owing) else { return Ok(()) };
        let about = serde_json::json!({ "debt": told.story.debt(debt), "run": payer });
        let said = told.story.say(Name::Paid, &about);
        let text = self.text(owing, said.name, &said.facts, came_to);
        // its own events are told from the beginning again, should any wait
        self.stories.remove(owing);
        Ok(self.post.system.comment(&ticket.id, stamp, &text).await?)
    }

    /// Tells the run's story up to an event, and answers with what is to tell there.
    fn told(&mut self, run: &RunId, seq: u64, came_to: &mut Delivery) -> Result<Option<Telling>, JournalError> {
        let known = self.stories.get(run).filter(|told| told.story.seq < seq);
        let after = known.map_or(0, |told| told.story.seq);
        let records = self.post.outbox.records_after(run, after)?;
        if after == 0 {
            let told = self.begin(run, records.first())?;
            told.texts.notes.iter().for_each(|note| once(&mut came_to.notes, note.clone()));
            self.stories.insert(run.clone(), told);
        }
        let Some(told) = self.stories.get_mut(run) else { return Ok(None) };
        let mut telling = None;
        for record in records.iter().take_while(|r| r.seq <= seq) {
            telling = told.story.take(record);
        }
        Ok(telling.filter(|_| told.story.seq == seq))
    }

    fn begin(&self, run: &RunId, first: Option<&Record>) -> Result<Told, JournalError> {
        let Some(Event::Started(header)) = first.map(|r| &r.event) else {
            return Err(JournalError::NoRun(run.clone()));
        };
        let recorded = |hash| self.post.outbox.get(hash);
        let runbook: Runbook =
            recorded(&header.runbook_hash).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        let inventory: Option<Inventory> =
            recorded(&header.inventory_hash).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let settings = Settings::of(inventory.and_then(|i| i.tickets).as_ref());
        let texts = Texts::of(&settings, Path::new(&header.root));
        Ok(Told { story: Story::new(run.clone(), runbook), texts, ticket: None })
    }

    fn text(&self, run: &RunId, name: Name, facts: &Value, came_to: &mut Delivery) -> String {
        let Some(told) = self.stories.get(run) else { return String::new() };
        let (text, note) = told.texts.write(name, facts);
        if let Some(note) = note {
            once(&mut came_to.notes, note);
        }
        text
    }

    /// The text of an end. The end's entry in the ledger goes with it, whatever the project's own text says: it proves what the
    /// journal was.
    fn ending(&self, row: &Waiting, facts: &Value, came_to: &mut Delivery) -> Result<String, Undelivered> {
        let anchor = self.post.outbox.anchor_of(&row.run, row.seq)?.map(|anchor| anchor.to_string());
        let mut facts = facts.clone();
        if let Some(ended) = facts.get_mut(Name::Ended.word()).and_then(Value::as_object_mut) {
            ended.insert("anchor".to_owned(), serde_json::json!(anchor));
        }
        let text = self.text(&row.run, Name::Ended, &facts, came_to);
        Ok(match anchor {
            Some(anchor) if !text.contains(&anchor) => format!("{text}\n\n{anchor}"),
            _ => text,
        })
    }

    /// The run's ticket: the one that is known, the one that was named, the one that has its key, or a new one. The run's
    /// story has begun by then.
    async fn ticket(&mut self, run: &RunId, came_to: &mut Delivery) -> Result<Own, Undelivered> {
        let (outbox, system) = (Arc::clone(&self.post.outbox), Arc::clone(&self.post.system));
        let Some(told) = self.stories.get(run) else { return Err(JournalError::NoRun(run.clone()).into()) };
        let named = told.story.state.header.as_ref().and_then(|h| h.ticket.as_ref()?.as_str().map(str::to_owned));
        let named = named.and_then(|text| system.id(&text).ok());
        let given = |id: &TicketId| named.as_ref() == Some(id);
        if let Some(id) = &told.ticket {
            return Ok(Own { given: given(id), id: id.clone() });
        }
        let name = system.name().await?;
        let known = outbox.ticket_of(run)?;
        let id = if let Some(known) = known.as_ref().filter(|t| t.system == name) {
            TicketId(known.ticket.clone())
        } else {
            // an id that was named in another system means another ticket here
            let named = named.as_ref().filter(|_| known.is_none());
            let id = match self.named(named).await? {
                Some(id) => id,
                None => self.opened(run, came_to).await?,
            };
            outbox.set_ticket(run, &TicketOf { system: name, ticket: id.0.clone() })?;
            id
        };
        if let Some(told) = self.stories.get_mut(run) {
            told.ticket = Some(id.clone());
        }
        Ok(Own { given: given(&id), id })
    }

    /// The ticket that `--ticket` named, if it is there.
    async fn named(&self, named: Option<&TicketId>) -> Result<Option<TicketId>, Undelivered> {
        let Some(id) = named else { return Ok(None) };
        match self.post.system.show(id).await {
            Ok(_) => Ok(Some(id.clone())),
            Err(TicketError::Gone(_)) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// Finds the ticket that was opened for the run, or opens it; a doubtful answer leads to another look.
    async fn opened(&self, run: &RunId, came_to: &mut Delivery) -> Result<TicketId, Undelivered> {
        let system = &self.post.system;
        let Some(draft) = self.draft(run, came_to) else { return Err(JournalError::NoRun(run.clone()).into()) };
        let key = draft.stamp.key.clone().unwrap_or_else(|| Key(run.to_string()));
        if let Some(id) = system.find(&key).await? {
            return Ok(id);
        }
        match system.create(&draft).await {
            Err(why @ TicketError::Unavailable { doubtful: true, .. }) => Ok(system.find(&key).await?.ok_or(why)?),
            done => Ok(done?),
        }
    }

    fn draft(&self, run: &RunId, came_to: &mut Delivery) -> Option<Draft> {
        let told = self.stories.get(run)?;
        let (header, at) = (told.story.state.header.as_ref()?, told.story.state.began?);
        let write = |name, came_to: &mut Delivery| {
            let said = told.story.say(name, &Value::Null);
            self.text(run, name, &said.facts, came_to)
        };
        let asked = |field: &str| {
            let text = header.ticket.as_ref().and_then(|t| t.get(field)).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let who = &header.operator;
        Some(Draft {
            stamp: Stamp {
                key: Some(Key(format!("{}/{}/{run}", header.project, who.machine))),
                author: who.name.clone(),
                at,
            },
            subject: write(Name::Subject, came_to),
            text: write(Name::Opened, came_to),
            state: State::Open,
            kind: asked("kind"),
            queue: asked("queue"),
            run: Some(run.clone()),
        })
    }
}

/// A run's ticket.
struct Own {
    id: TicketId,
    /// It was there before the run.
    given: bool,
}

/// Of the recorded inventory.
#[derive(Deserialize)]
struct Inventory {
    tickets: Option<Value>,
}

/// So many events are marked as delivered together.
const PORTION: usize = 64;
/// So many runs that are under way are remembered from round to round.
const STORIES: usize = 4;
/// A run that is set aside has about so many events before those of others.
const ASIDE: usize = 512;
/// So many earlier tickets of a failure are linked.
const LINKED: usize = 5;

fn once(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// An error and its sources in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}
