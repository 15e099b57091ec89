//! The database file: made with the right permissions, opened with the right settings, brought up to date.

use super::JournalError;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

/// How long a connection waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(30);

/// One file a version, applied in order; `PRAGMA user_version` says how many a database has had.
const MIGRATIONS: &[&str] = &[
    include_str!("sql/001.sql"),
    include_str!("sql/002.sql"),
    include_str!("sql/003.sql"),
    include_str!("sql/004.sql"),
];

/// Makes the file where there is none, brings its tables up to date, and answers with a connection that may write.
pub(super) fn prepare(path: &Path) -> Result<Connection, JournalError> {
    let file = |act| move |why| JournalError::File { act, path: path.to_owned(), why };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mode = mode_in(folder).map_err(file("look at the folder of"))?;
    create(path, mode).map_err(file("create"))?;
    // Two processes that meet a new database at once would both migrate it.
    let turn = shared_file(&folder.join("locks"), mode).map_err(file("take turns at"))?;
    turn.lock().map_err(file("take turns at"))?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate(&connection, path)?;
    Ok(connection)
}

/// A connection for reading only.
pub(super) fn reader(path: &Path) -> Result<Connection, JournalError> {
    if let Err(why) = std::fs::metadata(path) {
        return Err(JournalError::File { act: "read", path: path.to_owned(), why });
    }
    let open = |path: &Path| {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        known(version(&connection, path)?, path)?;
        Ok(connection)
    };
    open(path).or_else(|error| match &error {
        JournalError::Store { why, .. }
            if why.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) && rests(path) =>
        {
            let connection = still(path)?;
            known(version(&connection, path)?, path)?;
            Ok(connection)
        }
        _ => Err(error),
    })
}

/// Whether nobody is writing it and all that was written is in the file itself: the last one to close it takes the
/// other two away.
fn rests(path: &Path) -> bool {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        std::fs::metadata(name)
    };
    beside("-shm").is_err() && beside("-wal").map_or(true, |file| file.len() == 0)
}

/// A connection to a file that does not change, in a folder that cannot be written: SQLite would make its own files beside
/// it (sqlite.org/wal.html, "Read-Only Databases").
fn still(path: &Path) -> Result<Connection, JournalError> {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // writing into a string cannot fail
            let _written = write!(uri, "%{byte:02X}").is_ok();
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).map_err(failed(path))
}

/// The permissions of files in a state directory: the group's too where the directory is the group's.
pub(crate) fn mode_in(folder: &Path) -> io::Result<u32> {
    let shared = std::fs::metadata(folder)?.permissions().mode() & 0o020 != 0;
    Ok(if shared { 0o660 } else { 0o600 })
}

/// Opens a file for reading and writing; made with `mode` whatever the umask says, and never with more.
pub(super) fn shared_file(path: &Path, mode: u32) -> io::Result<File> {
    match create(path, mode)? {
        Some(file) => Ok(file),
        None => OpenOptions::new().read(true).write(true).open(path),
    }
}

/// Makes a file, or answers none where there is one. An existing database must not be opened and closed beside SQLite:
/// the close would drop the POSIX locks that its connections in this process hold.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(mode))?;
            Ok(Some(file))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e),
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, JournalError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let store = failed(path);
    let connection = Connection::open_with_flags(path, flags).map_err(&store)?;
    connection.busy_timeout(PATIENCE).map_err(&store)?;
    connection.set_prepared_statement_cache_capacity(32);
    if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.pragma_update(None, "journal_mode", "wal").map_err(&store)?;
        connection.pragma_update(None, "synchronous", "full").map_err(&store)?;
    }
    Ok(connection)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let store = failed(path);
    let had = known(version(connection, path)?, path)?;
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(had) {
        let step = format!("BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {};\nCOMMIT;", number + 1);
        connection.execute_batch(&step).map_err(&store)?;
    }
    Ok(())
}

fn version(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed(path))
}

/// How many migrations a database has had; an error where a later svcops wrote it.
fn known(version: i64, path: &Path) -> Result<usize, JournalError> {
    match usize::try_from(version) {
        Ok(had) if had <= MIGRATIONS.len() => Ok(had),
        _ => Err(JournalError::TooNew { path: path.to_owned(), version, known: MIGRATIONS.len() }),
    }
}

/// Words an error of SQLite.
pub(super) fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> JournalError + '_ {
    move |why| JournalError::Store { path: path.to_owned(), why }
}
