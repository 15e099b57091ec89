//! The embedded desk: tickets in an SQLite file of their own beside the journal, so that a desk that is locked, full or
//! broken stops no run.

use super::{
    Alike, Attached, Attachment, Capabilities, Draft, Entry, Filter, Fingerprint, Fut, Key, Row, Stamp, State, Ticket,
    TicketError, TicketId, TicketSystem, What,
};
use crate::{
    base::{Clock as _, Hash, WallClock},
    journal,
};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params, params_from_iter};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The file's name in a state directory.
pub const FILE: &str = "desk.db";
/// What an id looks like.
const EXPECTED: &str = "an id such as SV-000123";
/// How long a call waits for another process's transaction: whoever waits is beside a run, or a person.
const PATIENCE: Duration = Duration::from_secs(1);
/// One file a version, applied in order.
const MIGRATIONS: &[&str] = &[include_str!("sql/001.sql")];

/// The desk of a state directory. Its file is opened, and made, when it is first needed.
#[derive(Debug)]
pub struct Desk {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Desk {
    /// The desk of a state directory; nothing is opened yet.
    pub fn of(state: &Path) -> Self {
        Self { path: state.join(FILE), connection: Mutex::new(None) }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Wrong>) -> Result<T, TicketError> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match slot.take().map_or_else(|| open(&self.path), Ok) {
            Ok(connection) => {
                let done = work(&connection);
                // after a failure the file may be another one: it is opened anew
                if !matches!(done, Err(Wrong::Store(_))) {
                    *slot = Some(connection);
                }
                done
            }
            Err(why) => Err(why),
        };
        done.map_err(|wrong| self.worded(wrong))
    }

    /// A write: all of it, or nothing.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Wrong>) -> Result<T, TicketError> {
        self.with(|desk| {
            let turn = rusqlite::Transaction::new_unchecked(desk, rusqlite::TransactionBehavior::Immediate)?;
            let done = work(&turn)?;
            turn.commit()?;
            Ok(done)
        })
    }

    fn worded(&self, wrong: Wrong) -> TicketError {
        let system = format!("the desk {}", self.path.display());
        match wrong {
            Wrong::Ticket(error) => error,
            Wrong::File(why) => TicketError::Unavailable { system, why: why.into(), doubtful: false },
            Wrong::Store(rusqlite::Error::SqliteFailure(e, why)) if e.code == ErrorCode::ConstraintViolation => {
                TicketError::Refused { system, why: why.unwrap_or_else(|| e.to_string()) }
            }
            Wrong::Store(why) => TicketError::Unavailable { system, why: why.into(), doubtful: false },
        }
    }
}

impl TicketSystem for Desk {
    fn name(&self) -> Fut<'_, String> {
        ready(self.with(|desk| {
            let name: String = desk.query_row("SELECT name FROM desk", [], |r| r.get(0))?;
            Ok(format!("desk {name}"))
        }))
    }
    fn ready(&self) -> Fut<'_, ()> {
        // a write that changes nothing: a full file system can still be read
        ready(self.write(|desk| Ok(desk.execute("UPDATE desk SET name = name", []).map(drop)?)))
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { attach: Some(64 << 20), link: true, alike: true }
    }
    fn id(&self, text: &str) -> Result<TicketId, TicketError> {
        number(text).map(shown)
    }
    fn find<'a>(&'a self, key: &'a Key) -> Fut<'a, Option<TicketId>> {
        ready(self.with(|desk| Ok(by_key(desk, key)?.map(shown))))
    }
    fn create<'a>(&'a self, draft: &'a Draft) -> Fut<'a, TicketId> {
        ready(self.write(|desk| {
            if let Some(key) = &draft.stamp.key
                && let Some(there) = by_key(desk, key)?
            {
                return Ok(shown(there));
            }
            let (key, at) = (draft.stamp.key.as_ref().map(|k| &k.0), stored(draft.stamp.at));
            desk.prepare_cached(
                "INSERT INTO tickets (key, subject, state, kind, queue, author, run, opened, changed)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                key,
                draft.subject,
                draft.state.word(),
                draft.kind,
                draft.queue,
                draft.stamp.author,
                draft.run.as_ref().map(crate::base::RunId::as_str),
                at,
                at
            ])?;
            let ticket = desk.last_insert_rowid();
            if !draft.text.is_empty() {
                enter(desk, ticket, &draft.stamp, (What::Comment, &draft.text))?;
            }
            Ok(shown(ticket))
        }))
    }
    fn comment<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, text: &'a str) -> Fut<'a, ()> {
        ready(self.write(|desk| enter(desk, there(desk, id)?.0, stamp, (What::Comment, text)).map(drop)))
    }
    fn state<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, target: State) -> Fut<'a, ()> {
        ready(self.write(|desk| {
            let (ticket, now) = there(desk, id)?;
            // A state that was reached under this key may have been left since, and is not brought back. That holds for one
            // in which the ticket was anyway, so its key is kept as well, without a word to show.
            let moves = now != target.word();
            if !moves && stamp.key.is_none() {
                return Ok(());
            }
            let text = if moves { target.word() } else { UNMOVED };
            if enter(desk, ticket, stamp, (What::State, text))?.is_some() && moves {
                desk.prepare_cached("UPDATE tickets SET state = ? WHERE id = ?")?
                    .execute(params![target.word(), ticket])?;
            }
            Ok(())
        }))
    }
    fn attach<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, file: &'a Attachment) -> Fut<'a, ()> {
        ready(self.write(|desk| {
            let ticket = there(desk, id)?.0;
            if let Some(entry) = enter(desk, ticket, stamp, (What::Attached, &file.name))? {
                desk.prepare_cached(
                    "INSERT INTO attachments (entry, ticket, name, media, bytes) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![entry, ticket, file.name, file.media, file.bytes])?;
            }
            Ok(())
        }))
    }
    fn link<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, other: &'a TicketId) -> Fut<'a, ()> {
        ready(self.write(|desk| {
            let (one, two) = (there(desk, id)?.0, there(desk, other)?.0);
            let mut insert = desk.prepare_cached("INSERT OR IGNORE INTO links (ticket, other) VALUES (?, ?)")?;
            let mut new = 0;
            for (from, to) in [(one, two), (two, one)].into_iter().filter(|(from, to)| from != to) {
                if insert.execute(params![from, to])? > 0 {
                    new += 1;
                    let stamp = Stamp { key: None, ..stamp.clone() };
                    enter(desk, from, &stamp, (What::Linked, &shown(to).0))?;
                }
            }
            tracing::debug!("{new} new links between {id} and {other}");
            Ok(())
        }))
    }
    fn mark<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, failure: &'a Fingerprint) -> Fut<'a, ()> {
        ready(self.write(|desk| {
            let ticket = there(desk, id)?.0;
            let key = stamp.key.as_ref().map_or_else(|| stamp.at.to_string(), |k| k.0.clone());
            desk.prepare_cached("INSERT OR IGNORE INTO failures (fingerprint, ticket, key, at) VALUES (?, ?, ?, ?)")?
                .execute(params![failure.0.0, ticket, key, stored(stamp.at)])?;
            Ok(())
        }))
    }
    fn alike<'a>(&'a self, failure: &'a Fingerprint) -> Fut<'a, Vec<Alike>> {
        ready(self.with(|desk| {
            let mut ask =
                desk.prepare_cached("SELECT ticket, at FROM failures WHERE fingerprint = ? ORDER BY at, ticket")?;
            let found = ask.query_map([&failure.0.0], |r| Ok(Alike { ticket: shown(r.get(0)?), at: time(r, 1)? }))?;
            Ok(found.collect::<Result<_, _>>()?)
        }))
    }
    fn show<'a>(&'a self, id: &'a TicketId) -> Fut<'a, Ticket> {
        ready(self.with(|desk| {
            let number = number(&id.0)?;
            let row = desk
                .prepare_cached(&format!("SELECT {ROW} FROM tickets WHERE id = ?"))?
                .query_row([number], row)
                .optional()?
                .ok_or_else(|| TicketError::Gone(id.clone()))?;
            let entries = desk
                .prepare_cached(
                    "SELECT at, author, what, text FROM entries WHERE ticket = ? AND NOT (what = ? AND text = ?) ORDER BY id",
                )?
                .query_map(params![number, What::State.word(), UNMOVED], |r| {
                    let what = what(&r.get::<_, String>(2)?);
                    Ok(Entry { at: time(r, 0)?, author: r.get(1)?, what, text: r.get(3)? })
                })?
                .collect::<Result<_, _>>()?;
            let attachments = desk
                .prepare_cached(
                    "SELECT a.name, a.media, length(a.bytes), e.at FROM attachments a JOIN entries e ON e.id = a.entry
                     WHERE a.ticket = ? ORDER BY a.entry",
                )?
                .query_map([number], |r| {
                    let bytes = usize::try_from(r.get::<_, i64>(2)?).unwrap_or(0);
                    Ok(Attached { name: r.get(0)?, media: r.get(1)?, bytes, at: time(r, 3)? })
                })?
                .collect::<Result<_, _>>()?;
            let links = desk
                .prepare_cached("SELECT other FROM links WHERE ticket = ? ORDER BY other")?
                .query_map([number], |r| r.get(0).map(shown))?
                .collect::<Result<_, _>>()?;
            Ok(Ticket { row, entries, attachments, links })
        }))
    }
    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Vec<Row>> {
        ready(self.with(|desk| {
            let holes = vec!["?"; filter.states.len()].join(", ");
            let within = if holes.is_empty() { String::new() } else { format!("WHERE state IN ({holes})") };
            let most = i64::try_from(filter.most).unwrap_or(i64::MAX);
            let sql = format!("SELECT {ROW} FROM tickets {within} ORDER BY id DESC LIMIT {most}");
            let mut ask = desk.prepare_cached(&sql)?;
            let found = ask.query_map(params_from_iter(filter.states.iter().map(|s| s.word())), row)?;
            Ok(found.collect::<Result<_, _>>()?)
        }))
    }
    fn content<'a>(&'a self, id: &'a TicketId, name: &'a str) -> Fut<'a, Vec<u8>> {
        ready(self.with(|desk| {
            let ticket = there(desk, id)?.0;
            desk.prepare_cached(
                "SELECT bytes FROM attachments WHERE ticket = ? AND name = ? ORDER BY entry DESC LIMIT 1",
            )?
            .query_row(params![ticket, name], |r| r.get(0))
            .optional()?
            .ok_or_else(|| TicketError::NoAttachment { ticket: id.clone(), name: name.to_owned() }.into())
        }))
    }
}

/// What can go wrong in here.
enum Wrong {
    Ticket(TicketError),
    Store(rusqlite::Error),
    File(std::io::Error),
}

impl From<TicketError> for Wrong {
    fn from(error: TicketError) -> Self {
        Self::Ticket(error)
    }
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

/// The calls of a database in this process are over when they return.
fn ready<'a, T: Send + 'a>(done: Result<T, TicketError>) -> Fut<'a, T> {
    Box::pin(std::future::ready(done))
}

/// Opens the file, made with the permissions of the journal's where there is none, and brings its tables up to date.
fn open(path: &Path) -> Result<Connection, Wrong> {
    let mode = journal::mode_in(path.parent().unwrap_or_else(|| Path::new(".")))?;
    journal::create(path, mode)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let desk = Connection::open_with_flags(path, flags)?;
    desk.busy_timeout(PATIENCE)?;
    desk.set_prepared_statement_cache_capacity(32);
    desk.pragma_update(None, "journal_mode", "wal")?;
    desk.pragma_update(None, "synchronous", "full")?;
    desk.pragma_update(None, "foreign_keys", true)?;
    migrate(&desk)?;
    Ok(desk)
}

fn migrate(desk: &Connection) -> Result<(), Wrong> {
    let version = |desk: &Connection| desk.pragma_query_value(None, "user_version", |r| r.get::<_, u32>(0));
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if version(desk)? == known {
        return Ok(());
    }
    let turn = rusqlite::Transaction::new_unchecked(desk, rusqlite::TransactionBehavior::Immediate)?;
    // another process may have been faster
    let had = version(&turn)?;
    if had > known {
        return Err(std::io::Error::other(format!("it has version {had}, this svcops knows up to {known}")).into());
    }
    for sql in MIGRATIONS.iter().skip(had as usize) {
        turn.execute_batch(sql)?;
    }
    if had == 0 {
        let name = Hash::of(format!("{} {}", WallClock.now(), std::process::id()).as_bytes());
        turn.execute("INSERT INTO desk (name) VALUES (?)", [name.short()])?;
    }
    turn.pragma_update(None, "user_version", known)?;
    turn.commit()?;
    Ok(())
}

/// `SV-000123`, `sv-123`, `123`.
fn number(text: &str) -> Result<i64, TicketError> {
    let wrong = || TicketError::NotAnId { text: text.to_owned(), expected: EXPECTED };
    let trimmed = text.trim();
    let digits = match trimmed.get(..3) {
        Some(head) if head.eq_ignore_ascii_case("SV-") => trimmed.get(3..).unwrap_or_default(),
        _ => trimmed,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = plain.then(|| digits.parse::<i64>().ok()).flatten();
    number.filter(|n| *n > 0).ok_or_else(wrong)
}

fn shown(number: i64) -> TicketId {
    TicketId(format!("SV-{number:06}"))
}

fn by_key(desk: &Connection, key: &Key) -> rusqlite::Result<Option<i64>> {
    desk.prepare_cached("SELECT id FROM tickets WHERE key = ?")?.query_row([&key.0], |r| r.get(0)).optional()
}

/// A ticket's number and its state's word.
fn there(desk: &Connection, id: &TicketId) -> Result<(i64, String), Wrong> {
    let number = number(&id.0)?;
    desk.prepare_cached("SELECT id, state FROM tickets WHERE id = ?")?
        .query_row([number], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?
        .ok_or_else(|| TicketError::Gone(id.clone()).into())
}

/// The text of a state's entry where the ticket was in that state already.
const UNMOVED: &str = "";

/// Writes an entry, once under its key: none where it stands there already.
fn enter(desk: &Connection, ticket: i64, stamp: &Stamp, (what, text): (What, &str)) -> Result<Option<i64>, Wrong> {
    let (key, at) = (stamp.key.as_ref().map(|k| &k.0), stored(stamp.at));
    let new = desk
        .prepare_cached(
            "INSERT INTO entries (ticket, key, what, author, at, text) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (ticket, key) DO NOTHING",
        )?
        .execute(params![ticket, key, what.word(), stamp.author, at, text])?;
    if new == 0 {
        return Ok(None);
    }
    let entry = desk.last_insert_rowid();
    desk.prepare_cached("UPDATE tickets SET changed = max(changed, ?) WHERE id = ?")?.execute(params![at, ticket])?;
    Ok(Some(entry))
}

const ROW: &str = "id, subject, state, kind, queue, author, run, opened, changed";

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: shown(r.get(0)?),
        subject: r.get(1)?,
        state: State::of_word(&r.get::<_, String>(2)?).unwrap_or(State::Open),
        kind: r.get(3)?,
        queue: r.get(4)?,
        author: r.get(5)?,
        run: r.get::<_, Option<String>>(6)?.and_then(|run| run.parse().ok()),
        opened: time(r, 7)?,
        changed: time(r, 8)?,
    })
}

fn what(word: &str) -> What {
    [What::State, What::Attached, What::Linked].into_iter().find(|w| w.word() == word).unwrap_or(What::Comment)
}

/// As text that sorts by time.
fn stored(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn time(r: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    r.get::<_, String>(column)?
        .parse()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn draft(key: &str) -> Draft {
        let stamp = Stamp { key: Some(Key(key.into())), author: "мария".into(), at: Timestamp::UNIX_EPOCH };
        Draft {
            stamp,
            subject: "Перезапуск".into(),
            text: String::new(),
            state: State::Open,
            kind: None,
            queue: None,
            run: None,
        }
    }

    #[test]
    fn an_id_is_read_as_people_write_it() {
        for text in ["SV-000123", "sv-123", "123", " Sv-0123 "] {
            assert_eq!(number(text).unwrap(), 123, "{text}");
        }
        for text in ["", "SV-", "SV-0", "OPS-4412", "-1", "+1", "1.5", "СВ-1", "SV-99999999999999999999"] {
            assert!(matches!(number(text), Err(TicketError::NotAnId { .. })), "{text}");
        }
        assert_eq!(shown(1_234_567).0, "SV-1234567");
    }

    #[tokio::test]
    async fn its_file_is_for_those_who_may_read_the_journal() {
        for (folder_mode, file_mode) in [(0o700, 0o600), (0o2770, 0o660)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(folder_mode)).unwrap();
            let desk = Desk::of(folder.path());
            assert!(!desk.path().exists());
            desk.create(&draft("a")).await.unwrap();
            for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, file_mode, "{:?}", file.path());
            }
        }
    }

    #[tokio::test]
    async fn what_it_holds_outlives_it_and_its_name_is_its_own() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let desk = Desk::of(folders[0].path());
        let (name, id) = (desk.name().await.unwrap(), desk.create(&draft("a")).await.unwrap());
        drop(desk);
        let again = Desk::of(folders[0].path());
        assert_eq!(
            (again.name().await.unwrap(), again.find(&Key("a".into())).await.unwrap()),
            (name.clone(), Some(id))
        );
        assert_ne!(Desk::of(folders[1].path()).name().await.unwrap(), name);
    }

    #[tokio::test]
    async fn a_desk_that_cannot_be_used_says_so_and_is_used_again_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::of(folder.path());
        std::fs::write(desk.path(), "this is no database, and has never been one: ".repeat(50)).unwrap();
        let broken = desk.create(&draft("a")).await.unwrap_err();
        assert!(
            matches!(&broken, TicketError::Unavailable { why, .. } if why.to_string().contains("not a database")),
            "{broken:?}"
        );
        std::fs::remove_file(desk.path()).unwrap();
        let id = desk.create(&draft("a")).await.unwrap();

        let holder = Connection::open(desk.path()).unwrap();
        holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let locked = desk.comment(&id, &draft("b").stamp, "Слышно?").await.unwrap_err();
        assert!(
            matches!(&locked, TicketError::Unavailable { why, .. } if why.to_string().contains("locked")),
            "{locked:?}"
        );
        drop(holder);
        desk.comment(&id, &draft("b").stamp, "Слышно?").await.unwrap();
        assert_eq!(desk.show(&id).await.unwrap().entries.len(), 1);
    }

    #[tokio::test]
    async fn a_desk_of_a_later_svcops_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::of(folder.path());
        desk.create(&draft("a")).await.unwrap();
        Connection::open(desk.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let refused = Desk::of(folder.path()).name().await.unwrap_err();
        assert!(matches!(&refused, TicketError::Unavailable { why, .. } if why.to_string().contains("version 99")));
    }
}
