//! Locks that the operating system holds: they end with their process, whatever ended it. Each lock is one byte of one
//! file, at an offset made from its name (fcntl(2), "Open file description locks"); beside it a note says who holds it.

use super::{JournalError, event::Operator, place, schema};
use crate::base::{Clock, Hash, Lock, RunId, WallClock};
use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The locks of a state directory.
#[derive(Clone, Debug)]
pub struct Locks {
    file: PathBuf,
    notes: PathBuf,
}

/// Why locks were not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has one of them.
    #[error("`{}` is held by run {} since {}, started by `{}` on `{}`: {}", .0.lock, .0.run, .0.since.strftime("%F %H:%M:%SZ"), .0.operator, .0.machine, .0.reason)]
    Busy(Box<Busy>),
    /// Somebody has one of them, and left no note yet.
    #[error("`{0}` is held by another run")]
    Held(Lock),
    /// The run is under way in another process.
    #[error("run {0} is under way")]
    UnderWay(RunId),
    /// The lock file.
    #[error(transparent)]
    Files(#[from] JournalError),
}

/// What a run holds, as the note about it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The run.
    pub run: RunId,
    /// The operator's name.
    pub operator: String,
    /// The machine.
    pub machine: String,
    /// Since when.
    pub since: Timestamp,
    /// What for, in words.
    pub reason: String,
    /// Held alone.
    pub exclusive: Vec<Lock>,
    /// Held with others.
    pub shared: Vec<Lock>,
}

/// Who holds a lock, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The lock.
    pub lock: Lock,
    /// The run.
    pub run: RunId,
    /// The operator's name.
    pub operator: String,
    /// The machine.
    pub machine: String,
    /// Since when.
    pub since: Timestamp,
    /// What for, in words.
    pub reason: String,
}

/// Locks that were taken. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping it gives the locks back"]
pub struct Held {
    _locks: File,
    _note: Note,
}

/// A run that this process owns. Dropping it lets go.
#[derive(Debug)]
#[must_use = "dropping it lets go of the run"]
pub struct Owned {
    _lock: File,
}

impl Locks {
    /// The locks of a state directory.
    ///
    /// # Errors
    /// Its lock file cannot be made.
    pub fn open(state: &Path) -> Result<Self, JournalError> {
        let locks = Self::asked(state);
        let mode = schema::mode_in(state).map_err(|why| failed("look at", state, why))?;
        schema::shared_file(&locks.file, mode).map_err(|why| failed("open", &locks.file, why))?;
        place::make(&locks.notes, if mode == 0o660 { 0o2770 } else { 0o700 })?;
        Ok(locks)
    }

    /// The locks of a state directory where somebody has made them, for who only asks.
    pub fn there(state: &Path) -> Option<Self> {
        let locks = Self::asked(state);
        locks.file.is_file().then_some(locks)
    }

    /// The locks of a state directory, made or not, for who takes none.
    pub fn asked(state: &Path) -> Self {
        Self { file: state.join("locks"), notes: state.join("held") }
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(&self.file)
    }

    /// Takes all of these locks, or none. What stands in both lists is taken exclusively.
    ///
    /// # Errors
    /// [`LockError::Busy`] with the holder of the first one that could not be had.
    pub fn take(
        &self,
        run: &RunId,
        who: &Operator,
        reason: &str,
        exclusive: &[Lock],
        shared: &[Lock],
    ) -> Result<Held, LockError> {
        let exclusive: BTreeSet<&Lock> = exclusive.iter().collect();
        let shared: BTreeSet<&Lock> = shared.iter().filter(|l| !exclusive.contains(l)).collect();
        let words = Holding {
            run: run.clone(),
            operator: who.name.clone(),
            machine: who.machine.clone(),
            since: WallClock.now(),
            reason: reason.to_owned(),
            exclusive: exclusive.iter().map(|l| (*l).clone()).collect(),
            shared: shared.iter().map(|l| (*l).clone()).collect(),
        };
        let note = Note::leave(&self.notes, who.pid, &words)?;
        let file = self.handle()?;
        let sorted: BTreeSet<&Lock> = exclusive.union(&shared).copied().collect();
        for lock in sorted {
            let alone = exclusive.contains(lock);
            if !set(&file, offset("lock", &lock.0), alone).map_err(|why| self.failed(why))? {
                return Err(self.refusal(lock, alone, &note));
            }
        }
        Ok(Held { _locks: file, _note: note.stands()? })
    }

    /// Makes this process the run's owner, until it ends or drops what is answered.
    ///
    /// # Errors
    /// [`LockError::UnderWay`] where another process is.
    pub fn own(&self, run: &RunId) -> Result<Owned, LockError> {
        let file = self.handle()?;
        match set(&file, offset("run", run.as_str()), true) {
            Ok(true) => Ok(Owned { _lock: file }),
            Ok(false) => Err(LockError::UnderWay(run.clone())),
            Err(why) => Err(self.failed(why).into()),
        }
    }

    /// Makes this process the one that delivers to ticket systems, until it ends or drops what is answered; none while
    /// another one is.
    ///
    /// # Errors
    /// The lock file cannot be used.
    pub fn courier(&self) -> Result<Option<Owned>, JournalError> {
        let file = self.handle()?;
        let had = set(&file, offset("courier", ""), true).map_err(|why| self.failed(why))?;
        Ok(had.then_some(Owned { _lock: file }))
    }

    /// Whether some process owns the run. Where that cannot be asked, nobody is said to.
    pub fn alive(&self, run: &RunId) -> bool {
        let ask = || -> Result<bool, JournalError> {
            // asking needs no right to write
            let file = File::open(&self.file).map_err(|why| failed("open", &self.file, why))?;
            let mut lock = byte(offset("run", run.as_str()), true);
            fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).map_err(|e| self.failed(e))?;
            Ok(i32::from(lock.l_type) != libc::F_UNLCK)
        };
        ask().unwrap_or_else(|e| {
            tracing::warn!("could not ask whether run {run} is alive: {e}");
            false
        })
    }

    /// What is held now, oldest first. What is only asked for is not in it, and takes nothing away of what is there.
    pub fn held(&self) -> Vec<Holding> {
        let mut held = Vec::new();
        for entry in fs::read_dir(&self.notes).into_iter().flatten().flatten() {
            let path = entry.path();
            let stands = path.extension().is_some_and(|e| e == "json");
            let Some(file) = stands.then(|| File::open(&path).ok()).flatten() else { continue };
            // whose own lock can be had has lost its writer
            if file.try_lock_shared().is_err() {
                held.extend(fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Holding>(&text).ok()));
            }
        }
        held.sort_by_key(|holding| holding.since);
        held
    }

    fn handle(&self) -> Result<File, JournalError> {
        File::options().read(true).write(true).open(&self.file).map_err(|why| failed("open", &self.file, why))
    }

    fn failed(&self, why: Errno) -> JournalError {
        failed("lock", &self.file, why.into())
    }

    /// Finds who holds a lock. Notes whose own lock is free belong to processes that are gone; they are taken away.
    fn refusal(&self, lock: &Lock, alone: bool, mine: &Note) -> LockError {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.notes).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(file) = File::open(&path) else { continue };
            if path == mine.path {
                continue;
            }
            if file.try_lock().is_ok() {
                if let Err(e) = fs::remove_file(&path) {
                    tracing::debug!("could not take the note {} away: {e}", path.display());
                }
                continue;
            }
            let words = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Holding>(&text).ok());
            let holds = |w: &Holding| w.exclusive.contains(lock) || alone && w.shared.contains(lock);
            if let Some(words) = words.filter(holds) {
                let stands = path.extension().is_some_and(|e| e == "json");
                found.push((!stands, words));
            }
        }
        // Who has its locks goes before who is still asking for them.
        found.sort_by_key(|(asking, words)| (*asking, words.since));
        match found.into_iter().next() {
            Some((_, w)) => LockError::Busy(Box::new(Busy {
                lock: lock.clone(),
                run: w.run,
                operator: w.operator,
                machine: w.machine,
                since: w.since,
                reason: w.reason,
            })),
            None => LockError::Held(lock.clone()),
        }
    }
}

/// A note about held locks: a file that is itself locked (flock(2)) as long as its writer lives.
#[derive(Debug)]
struct Note {
    path: PathBuf,
    file: File,
}

impl Note {
    /// Leaves a note of what is asked for.
    fn leave(folder: &Path, pid: u32, words: &Holding) -> Result<Self, JournalError> {
        let mode = schema::mode_in(folder).map_err(|why| failed("look at", folder, why))?;
        for number in 0.. {
            let path = folder.join(format!("{}.{pid}.{number}.asked", words.run));
            if path.with_extension("json").exists() {
                continue;
            }
            let wrong = |why| failed("write", &path, why);
            let Some(file) = schema::create(&path, mode).map_err(wrong)? else { continue };
            let mut note = Self { path: path.clone(), file };
            note.file.lock().map_err(wrong)?;
            // Before it was locked, somebody may have taken it for a note of the dead.
            if !path.exists() {
                continue;
            }
            let text = serde_json::to_vec(words).map_err(|e| wrong(e.into()))?;
            note.file.write_all(&text).map_err(wrong)?;
            return Ok(note);
        }
        Err(failed("write a note in", folder, io::ErrorKind::AlreadyExists.into()))
    }

    /// The locks were had.
    fn stands(mut self) -> Result<Self, JournalError> {
        let path = self.path.with_extension("json");
        fs::rename(&self.path, &path).map_err(|why| failed("write", &path, why))?;
        self.path = path;
        Ok(self)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.path) {
            tracing::debug!("could not take the note {} away: {e}", self.path.display());
        }
    }
}

/// Locks one byte; false where somebody else has it.
fn set(file: &File, offset: i64, exclusive: bool) -> Result<bool, Errno> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&byte(offset, exclusive))) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

fn byte(offset: i64, exclusive: bool) -> libc::flock {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: offset,
        l_len: 1,
        l_pid: 0,
    }
}

/// 62 bits of the SHA-256 of a name.
fn offset(kind: &str, name: &str) -> i64 {
    let hash = Hash::of(format!("{kind}\0{name}").as_bytes());
    let bits = hash.0.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0) >> 2;
    i64::try_from(bits).unwrap_or(0)
}

fn failed(act: &'static str, path: &Path, why: io::Error) -> JournalError {
    JournalError::File { act, path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Operator {
        Operator { name: name.into(), uid: 1, login: true, machine: "ops-1".into(), pid: std::process::id() }
    }

    fn names(names: &[&str]) -> Vec<Lock> {
        names.iter().map(|n| Lock((*n).into())).collect()
    }

    #[test]
    fn a_refusal_says_who_and_why_and_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::open(folder.path()).unwrap();
        let (one, other) = (RunId::at_millis(1), RunId::at_millis(2));
        let held = locks.take(&one, &who("мария"), "restart", &names(&["b"]), &names(&["host"])).unwrap();
        let refused = locks.take(&other, &who("mkr"), "stop", &names(&["a", "b"]), &names(&["host"])).unwrap_err();
        let LockError::Busy(busy) = refused else { panic!("{refused}") };
        assert_eq!((busy.lock.0.as_str(), &busy.run, busy.operator.as_str()), ("b", &one, "мария"));
        assert_eq!(busy.reason, "restart");
        // nothing was kept of the refused take, and shared goes with shared
        let third = locks.take(&other, &who("mkr"), "stop", &names(&["a"]), &names(&["host"])).unwrap();
        assert!(matches!(locks.take(&other, &who("x"), "", &names(&["host"]), &[]), Err(LockError::Busy(_))));
        drop(third);
        drop(held);
        drop(locks.take(&other, &who("mkr"), "stop", &names(&["host", "b"]), &[]).unwrap());
        assert_eq!(fs::read_dir(folder.path().join("held")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_held_is_told_as_long_as_its_holder_lives() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::open(folder.path()).unwrap();
        assert_eq!(locks.held(), []);
        let held =
            locks.take(&RunId::at_millis(1), &who("мария"), "restart", &names(&["b", "a"]), &names(&["host"])).unwrap();
        let note = fs::read_dir(folder.path().join("held")).unwrap().next().unwrap().unwrap().path();
        fs::copy(&note, folder.path().join("held/0000000009.1.0.json")).unwrap();
        let told = locks.held();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].operator.as_str(), &told[0].exclusive), ("мария", &names(&["a", "b"])));
        assert_eq!(told[0].shared, names(&["host"]));
        drop(held);
        assert_eq!(locks.held(), []);
    }

    #[test]
    fn thousands_of_locks_are_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::open(folder.path()).unwrap();
        let many: Vec<Lock> = (0..3000).map(|n| Lock(format!("web{n}/unit/a.service"))).collect();
        let held = locks.take(&RunId::at_millis(1), &who("a"), "", &many, &[]).unwrap();
        let last = [Lock("web2999/unit/a.service".into())];
        assert!(matches!(locks.take(&RunId::at_millis(2), &who("b"), "", &last, &[]), Err(LockError::Busy(_))));
        drop(held);
    }

    #[test]
    fn an_owner_is_alive_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::open(folder.path()).unwrap();
        let run = RunId::at_millis(1);
        assert!(!locks.alive(&run));
        let owned = locks.own(&run).unwrap();
        assert!(locks.alive(&run));
        assert!(matches!(locks.own(&run), Err(LockError::UnderWay(_))));
        assert!(!locks.alive(&RunId::at_millis(2)));
        drop(owned);
        assert!(!locks.alive(&run));
    }

    #[test]
    fn the_note_of_a_process_that_is_gone_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::open(folder.path()).unwrap();
        let _held = locks.take(&RunId::at_millis(1), &who("a"), "", &names(&["b"]), &[]).unwrap();
        let stale = folder.path().join("held/0000000009.1.0.json");
        let note = fs::read_dir(folder.path().join("held")).unwrap().next().unwrap().unwrap().path();
        fs::copy(note, &stale).unwrap();
        let refused = locks.take(&RunId::at_millis(2), &who("b"), "", &names(&["b"]), &[]).unwrap_err();
        let LockError::Busy(busy) = refused else { panic!("{refused}") };
        assert_eq!(busy.run, RunId::at_millis(1));
        assert!(!stale.exists());
    }
}
