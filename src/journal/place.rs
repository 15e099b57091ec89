//! The state directory: one for all admins of a machine where somebody prepared it, else one's own.

use super::{JournalError, operator, schema};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// Where the machine's own state is, once `svcops doctor --prepare` has made it.
pub const SHARED: &str = "/var/lib/svcops";
/// Below the home folder, where XDG_STATE_HOME does not say otherwise.
const OWN: &str = ".local/state";
/// The projects' directories in a place of one's own.
const OWN_PROJECTS: &str = "svcops/projects";
/// The group that shares it.
pub const GROUP: &str = "svcops";

/// A state directory that is there, with the permissions it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory.
    pub dir: PathBuf,
    /// All members of the group use it, so locks and history are shared.
    pub shared: bool,
    /// What the operator should know, a sentence each.
    pub warnings: Vec<String>,
}

/// What decides where the state is; taken from the environment by who calls.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `--state`, `SVCOPS_STATE`.
    pub given: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl State {
    /// The directory of a project, made where it is not there yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn of(project: &str, wish: &Wish) -> Result<Self, JournalError> {
        Self::under(Path::new(SHARED), project, wish)
    }

    /// The directory of a project if it is there, for who only reads: nothing is made.
    pub fn there(project: &str, wish: &Wish) -> Option<PathBuf> {
        let readable =
            |dir: &PathBuf| rustix::fs::access(dir, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK);
        Self::places(project, wish).into_iter().find(|dir| dir.is_dir() && readable(dir).is_ok())
    }

    /// Where the directory of a project can be, the first one first.
    pub fn places(project: &str, wish: &Wish) -> Vec<PathBuf> {
        let own = || {
            let base = wish.xdg_state_home.clone().filter(|xdg| xdg.is_absolute());
            let base = base.or_else(|| wish.home.as_ref().map(|home| home.join(OWN)))?;
            Some(base.join(OWN_PROJECTS).join(project))
        };
        let machine = Path::new(SHARED).join("projects").join(project);
        let places = wish.given.clone().map_or_else(|| [Some(machine), own()], |given| [Some(given), None]);
        places.into_iter().flatten().collect()
    }

    /// As [`State::of`], with another place than [`SHARED`].
    ///
    /// # Errors
    /// As there.
    pub fn under(machine: &Path, project: &str, wish: &Wish) -> Result<Self, JournalError> {
        let mut warnings = Vec::new();
        let (dir, shared) = match &wish.given {
            Some(dir) => {
                make_all(dir, 0o700)?;
                (dir.clone(), schema::mode_in(dir).is_ok_and(|mode| mode == 0o660))
            }
            None => match in_machine(machine, project)? {
                Some(dir) => (dir, true),
                None => (own(machine, project, wish, &mut warnings)?, false),
            },
        };
        match operator::file_system(&dir) {
            Ok(Some(kind)) if ["nfs", "cifs", "smb3", "fuse.sshfs", "9p"].iter().any(|k| kind.starts_with(k)) => {
                warnings.push(format!(
                    "the state directory {} is on a network file system ({kind}): locks and the journal are safe on a local one only",
                    dir.display()
                ));
            }
            _ => {}
        }
        Ok(Self { dir, shared, warnings })
    }
}

/// The project's directory of the machine, where that was prepared and lets us write.
fn in_machine(machine: &Path, project: &str) -> Result<Option<PathBuf>, JournalError> {
    let projects = machine.join("projects");
    // the folder above may be there for undo copies alone
    if !projects.is_dir() {
        return Ok(None);
    }
    let dir = projects.join(project);
    let place = if dir.is_dir() { &dir } else { &projects };
    if rustix::fs::access(place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return Ok(None);
    }
    make(&dir, 0o2770)?;
    Ok(Some(dir))
}

/// A directory of one's own, and the warning that goes with it.
fn own(machine: &Path, project: &str, wish: &Wish, warnings: &mut Vec<String>) -> Result<PathBuf, JournalError> {
    let base = match (&wish.xdg_state_home, &wish.home) {
        (Some(xdg), _) if xdg.is_absolute() => xdg.clone(),
        (_, Some(home)) => home.join(OWN),
        _ => {
            let why = io::Error::new(io::ErrorKind::NotFound, "neither HOME nor XDG_STATE_HOME is set");
            return Err(JournalError::File { act: "find a place for", path: "the state directory".into(), why });
        }
    };
    let dir = base.join(OWN_PROJECTS).join(project);
    make_all(&dir, 0o700)?;
    let machine = &machine.join("projects");
    let why = if machine.is_dir() { "cannot be written by this user" } else { "is not there" };
    warnings.push(format!(
        "the state is in {}, because {} {why}: nobody else's runs are locked out, and nobody else sees this history; `svcops doctor --prepare` makes a shared one",
        dir.display(),
        machine.display()
    ));
    Ok(dir)
}

/// Makes one directory with exactly this mode, whatever the umask says; one that is there stays as it is.
pub(crate) fn make(dir: &Path, mode: u32) -> Result<(), JournalError> {
    let failed = |why| JournalError::File { act: "make", path: dir.to_owned(), why };
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(failed),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(failed(e)),
    }
}

/// Makes the machine's place, for members of the group `gid`, and puts right what stands there already. Says what it did,
/// a line each; nothing if all was well.
///
/// # Errors
/// Something could not be made or put right.
pub fn prepare(machine: &Path, gid: u32) -> Result<String, JournalError> {
    let mut did = String::new();
    for (dir, mode) in [(machine.to_owned(), 0o755), (machine.join("projects"), 0o2770)] {
        if !dir.is_dir() {
            make(&dir, mode)?;
            did += &format!("made {}\n", dir.display());
        }
    }
    put_right(&machine.join("projects"), gid, &mut did)?;
    Ok(did)
}

/// The group and the permissions of a directory and what is in it. Symbolic links are left alone.
fn put_right(dir: &Path, gid: u32, did: &mut String) -> Result<(), JournalError> {
    let failed = |act, path: &Path, why| JournalError::File { act, path: path.to_owned(), why };
    let of = |path: &Path| fs::symlink_metadata(path).map_err(|why| failed("look at", path, why));
    let right = |path: &Path, mode: u32, did: &mut String| -> Result<(), JournalError> {
        let now = of(path)?;
        if now.gid() == gid && now.permissions().mode() & 0o7777 == mode {
            return Ok(());
        }
        chown(path, None, Some(gid)).map_err(|why| failed("change the group of", path, why))?;
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|why| failed("change the mode of", path, why))?;
        *did += &format!("gave {} to the group, mode {mode:o}\n", path.display());
        Ok(())
    };
    right(dir, 0o2770, did)?;
    for entry in fs::read_dir(dir).map_err(|why| failed("list", dir, why))? {
        let path = entry.map_err(|why| failed("list", dir, why))?.path();
        let kind = of(&path)?.file_type();
        if kind.is_dir() {
            put_right(&path, gid, did)?;
        } else if kind.is_file() {
            right(&path, 0o660, did)?;
        }
    }
    Ok(())
}

fn make_all(dir: &Path, mode: u32) -> Result<(), JournalError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_all(parent, mode)?;
    }
    make(dir, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_prepared_machine_shares_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let machine = folder.path().join("machine");
        fs::create_dir_all(machine.join("projects")).unwrap();
        let state = State::under(&machine, "crm", &Wish::default()).unwrap();
        assert_eq!((state.dir.as_path(), state.shared), (machine.join("projects/crm").as_path(), true));
        assert_eq!(mode(&state.dir), 0o2770);
        assert_eq!(state.warnings, [""; 0]);
        drop(crate::journal::SqliteJournal::open(&state.dir).unwrap());
        assert_eq!(mode(&state.dir.join("journal.db")), 0o660);
    }

    #[test]
    fn without_one_the_state_is_ones_own_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let wish = Wish { home: Some(folder.path().into()), ..Wish::default() };
        assert_eq!(State::there("биллинг", &wish), None);
        let state = State::under(Path::new("/nonexistent/svcops"), "биллинг", &wish).unwrap();
        assert_eq!(State::there("биллинг", &wish), Some(state.dir.clone()));
        assert_eq!(state.dir, folder.path().join(".local/state/svcops/projects/биллинг"));
        assert_eq!(mode(&state.dir), 0o700);
        assert!(!state.shared && state.warnings[0].contains("is not there"));
        drop(crate::journal::SqliteJournal::open(&state.dir).unwrap());
        assert_eq!(mode(&state.dir.join("journal.db")), 0o600);
    }

    #[test]
    fn a_given_directory_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("a/b");
        let wish = Wish { given: Some(given.clone()), ..Wish::default() };
        let state = State::under(Path::new("/nonexistent"), "crm", &wish).unwrap();
        assert_eq!((state.dir, state.warnings), (given, vec![]));
    }

    #[test]
    fn preparing_a_machine_puts_right_what_stands_there() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, gid) = (folder.path().join("machine"), fs::metadata(folder.path()).unwrap().gid());
        let did = prepare(&machine, gid).unwrap();
        assert!(did.contains("made"), "{did}");
        assert_eq!((mode(&machine), mode(&machine.join("projects"))), (0o755, 0o2770));
        let crm = machine.join("projects/crm");
        make(&crm, 0o700).unwrap();
        drop(crate::journal::SqliteJournal::open(&crm).unwrap());
        assert_eq!(mode(&crm.join("journal.db")), 0o600);
        prepare(&machine, gid).unwrap();
        assert_eq!((mode(&crm), mode(&crm.join("journal.db"))), (0o2770, 0o660));
        assert_eq!(prepare(&machine, gid).unwrap(), "");
    }
}
