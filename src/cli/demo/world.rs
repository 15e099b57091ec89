//! The folder of a demo: the project that users could have written, its nodes, and what stays in other places of this
//! machine (receipts, undo copies), so that `--clean` takes all of it away.

use super::{super::words::Failure, node};
use crate::{
    journal::{SqliteJournal, search::Filter},
    transport::shell::quote,
    ui::message::Message,
};
use rustix::fs::{Access, FlockOperation, access, flock};
use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher as _, Hasher as _},
    io,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// The files of the project: where, and what is in them.
pub(super) const FILES: &[(&str, &str)] = &[
    ("svcops.yaml", include_str!("project/svcops.yaml")),
    ("runbooks/new-config.yaml", include_str!("project/runbooks/new-config.yaml")),
    ("files/shop.conf", include_str!("project/files/shop.conf")),
];
/// Where the shop is in those files; a demo writes its own folder instead.
const PLACE: &str = "/srv/shop";
/// The ports in those files; a demo writes free ones instead.
const PORTS: &str = "[18081-18083]";
/// The nodes in those files.
pub(super) const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// What every demo's folder is called, before its own word.
const PREFIX: &str = "svcops-demo-";
/// This file marks a demo's folder; a demo holds it while it runs.
const MARK: &str = ".demo";

/// A demo's folder.
pub(super) struct World {
    /// The folder, absolute.
    pub(super) folder: PathBuf,
    /// The port of each node.
    pub(super) ports: Vec<u16>,
    /// Keeps other processes off the ports until the nodes take them.
    kept: Vec<TcpListener>,
    _held: File,
}

impl World {
    /// Makes a folder below `temp`, with the project and its nodes; nothing runs yet.
    ///
    /// # Errors
    /// It cannot be made, or its path cannot stand in a YAML text.
    pub(super) fn make(temp: &Path, svcops: &Path) -> Result<Self, Failure> {
        let temp = std::path::absolute(temp).unwrap_or_else(|_| temp.to_owned());
        let odd = |c: char| matches!(c, '"' | '\\' | '{' | '}') || c.is_control();
        if temp.to_str().is_none_or(|path| path.contains(odd)) {
            let temp = temp.display();
            let message =
                format!("the folder for temporary files, `{temp}`, has a character that the demo cannot write");
            return Err(Failure::wrong(
                Message::error(message).hint("`TMPDIR=FOLDER svcops demo` makes its folder in another place"),
            ));
        }
        let folder = temp.join(format!("{PREFIX}{}", word()));
        let made = Self::made(&folder, svcops);
        made.map_err(|why| {
            let failure = Failure::file("make the demo's folder", &folder, &why);
            failure.hint("`TMPDIR=FOLDER svcops demo` makes it in another place")
        })
    }

    fn made(folder: &Path, svcops: &Path) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(folder)?;
        let held = File::create(folder.join(MARK))?;
        flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        let (ports, kept) = free_ports()?;
        let world = Self { folder: folder.to_owned(), ports, kept, _held: held };
        let path = folder.to_string_lossy();
        for (file, text) in FILES {
            let ports = world.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
            // in YAML's double quotes a backslash, which a quote in the path brings, is written twice
            let control = quote(&format!("{path}/shop")).replace('\\', "\\\\");
            let text = text.replace(&format!("{PLACE}/shop "), &format!("{control} "));
            world.write(file, &text.replace(PLACE, &path).replace(PORTS, &format!("[{ports}]")))?;
        }
        let control = format!(
            "# The shop's control script: sh shop start|stop|status|reload NODE [PORT]\n\
             act=$1 node=$2\nshift 2\nexec {} demo-app \"$act\" {}/\"$node\" \"$@\"\n",
            quote(&svcops.to_string_lossy()),
            quote(&path),
        );
        // called as `sh shop`: a folder for temporary files may be one where nothing is executed
        world.write("shop", &control)?;
        for node in NODES {
            world.write(
                &format!("{node}/shop.conf"),
                &format!("# Магазин: the configuration of {node}\nworkers = 4\n"),
            )?;
        }
        Ok(world)
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    }

    /// The ports are the nodes' from here on.
    pub(super) fn give_ports(&mut self) {
        self.kept.clear();
    }
    /// The journal's folder.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }
    /// The folder of a node.
    pub(super) fn node(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
    /// Stops all nodes, and says which did not end.
    pub(super) fn stop_nodes(&self) -> Vec<String> {
        stop_nodes(&self.folder)
    }
}

fn stop_nodes(folder: &Path) -> Vec<String> {
    let stays = |node: &&str| node::stop(&folder.join(node)).is_err();
    NODES.into_iter().filter(stays).map(str::to_owned).collect()
}

/// What became of a demo's folder at a `--clean`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cleaned {
    /// It is gone, and its nodes are.
    Gone,
    /// A demo runs in it.
    InUse,
    /// It is still there, because.
    Stays(String),
}

/// Removes the folders of all demos of this user below `temp` but those that run, with what else their runs left.
pub(super) fn clean(temp: &Path) -> Vec<(PathBuf, Cleaned)> {
    let me = rustix::process::geteuid().as_raw();
    let ours = |path: &PathBuf| {
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        // a link is not followed: it may lead anywhere
        named && fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.uid() == me) && path.join(MARK).is_file()
    };
    let entries = fs::read_dir(temp).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(ours).collect();
    folders.sort();
    folders.into_iter().map(|folder| (folder.clone(), clean_one(&folder))).collect()
}

fn clean_one(folder: &Path) -> Cleaned {
    match File::open(folder.join(MARK)) {
        Ok(mark) if flock(&mark, FlockOperation::NonBlockingLockExclusive).is_err() => return Cleaned::InUse,
        Ok(_) => {}
        Err(why) => return Cleaned::Stays(why.to_string()),
    }
    if let [node, ..] = stop_nodes(folder).as_slice() {
        return Cleaned::Stays(format!("`{node}` does not end"));
    }
    for leaving in leavings(folder) {
        // Somebody else may have tidied it already.
        drop(fs::remove_dir_all(leaving));
    }
    match fs::remove_dir_all(folder) {
        Ok(()) => Cleaned::Gone,
        Err(why) => Cleaned::Stays(why.to_string()),
    }
}

/// The folders of receipts and of undo copies of a demo's runs.
fn leavings(folder: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let state = folder.join("state");
    let Ok(journal) = state.join("journal.db").exists().then(|| SqliteJournal::open(&state)).transpose() else {
        return Vec::new();
    };
    let runs = journal.and_then(|journal| journal.list(&Filter::default(), None, 1000).ok()).unwrap_or_default();
    let places = [PathBuf::from(format!("/tmp/svcops-{uid}")), undo_folder()];
    let mut found = Vec::new();
    for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_run = |run: &str| name.strip_prefix(run).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if runs.iter().any(|row| of_run(&row.run.to_string())) {
            found.push(entry.path());
        }
    }
    found
}

/// Where this user's undo copies are kept on this machine.
fn undo_folder() -> PathBuf {
    use super::super::env;
    if rustix::process::geteuid().is_root() {
        return "/var/lib/svcops/undo".into();
    }
    let base = env::value(env::XDG_STATE_HOME).map(PathBuf::from);
    let home = || env::value(env::HOME).map(|home| Path::new(&home).join(".local/state"));
    base.or_else(home).unwrap_or_default().join("svcops/undo")
}

/// Whether undo copies can be kept where they belong; where they cannot, the demo keeps them in its own folder.
pub(super) fn can_keep_undo() -> bool {
    let place = undo_folder();
    let there = place.ancestors().find(|folder| folder.exists());
    place.is_absolute() && there.is_some_and(|folder| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

/// A few letters and digits that no other demo has.
fn word() -> String {
    let mut number = random();
    let mut word = String::new();
    for _ in 0..5 {
        word.extend(char::from_digit((number % 36) as u32, 36));
        number /= 36;
    }
    word
}

fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// A free port for each node, one after the other, below those that the system gives to outgoing connections.
fn free_ports() -> io::Result<(Vec<u16>, Vec<TcpListener>)> {
    let mut why = io::Error::other("no free port was found");
    for _ in 0..100 {
        let first = 20_000 + (random() % 12_000) as u16;
        let ports: Vec<u16> = (first..).take(NODES.len()).collect();
        match ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port))).collect() {
            Ok(listeners) => return Ok((ports, listeners)),
            Err(e) => why = e,
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join(name);
        fs::create_dir(&inner).unwrap();
        (outer, inner)
    }

    #[test]
    fn every_place_and_port_of_the_files_is_replaced() {
        let (_outer, temp) = folder("мои файлы's");
        let world = World::make(&temp, Path::new("/opt/my tools/svcops")).unwrap();
        for (file, _) in FILES {
            let text = fs::read_to_string(world.folder.join(file)).unwrap();
            assert!(!text.contains(PLACE) && !text.contains(PORTS), "{file}: {text}");
        }
        let (text, code) =
            crate::cli::lint::lint(&world.folder, &[], true, crate::cli::lint::Format::Plain, crate::actions::CATALOG);
        assert_eq!((text.as_str(), code), ("", 0));
        let control = fs::read_to_string(world.folder.join("shop")).unwrap();
        assert!(control.contains("exec '/opt/my tools/svcops' demo-app"), "{control}");
        assert!(World::make(Path::new("/tmp/{{ x }}"), Path::new("svcops")).is_err());
    }

    #[test]
    fn cleaning_takes_away_only_what_a_demo_made_and_no_demo_uses() {
        let (_outer, temp) = folder("temp");
        fs::create_dir(temp.join("svcops-demo-mine")).unwrap();
        fs::create_dir(temp.join("another")).unwrap();
        let world = World::make(&temp, Path::new("svcops")).unwrap();
        assert_eq!(clean(&temp), [(world.folder.clone(), Cleaned::InUse)]);
        let gone = world.folder.clone();
        drop(world);
        assert_eq!(clean(&temp), [(gone.clone(), Cleaned::Gone)]);
        assert!(!gone.exists() && temp.join("svcops-demo-mine").exists() && temp.join("another").exists());
        assert_eq!(clean(&temp), []);
    }
}
