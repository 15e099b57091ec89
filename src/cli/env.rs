//! Every environment variable that the command line reads; nothing else of svcops looks at one.

/// The project's folder, as `-C`.
pub const DIR: &str = "SVCOPS_DIR";
/// The state directory, as `--state`.
pub const STATE: &str = "SVCOPS_STATE";
/// The form of the answer, as `-o`.
pub const OUTPUT: &str = "SVCOPS_OUTPUT";
/// As `-q`.
pub const QUIET: &str = "SVCOPS_QUIET";
/// As `-v`.
pub const VERBOSE: &str = "SVCOPS_VERBOSE";
/// As `--color`.
pub const COLOR: &str = "SVCOPS_COLOR";
/// As `--parallel`.
pub const PARALLEL: &str = "SVCOPS_PARALLEL";
/// As `-l`.
pub const SELECTOR: &str = "SVCOPS_SELECTOR";
/// As `--limit`.
pub const LIMIT: &str = "SVCOPS_LIMIT";
/// As `--failed-from`.
pub const FAILED_FROM: &str = "SVCOPS_FAILED_FROM";
/// As `--ticket`.
pub const TICKET: &str = "SVCOPS_TICKET";

/// <https://no-color.org>: set and not empty means no colour.
pub const NO_COLOR: &str = "NO_COLOR";
/// A terminal that says `dumb` gets neither colour nor bars.
pub const TERM: &str = "TERM";
/// The locale's variables, the first that is set counts: they say whether a terminal shows more than ASCII.
pub const LOCALE: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];
/// How wide lines may be where there is no terminal to ask.
pub const COLUMNS: &str = "COLUMNS";
/// Where programs are found.
pub const PATH: &str = "PATH";
/// Where temporary files go; `/tmp` unless set.
pub const TMPDIR: &str = "TMPDIR";
/// The home folder.
pub const HOME: &str = "HOME";
/// Where state goes that is one user's own.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// What `tracing` writes to stderr, for whoever looks for a fault in svcops itself.
pub const LOG: &str = "SVCOPS_LOG";

/// The value of a variable, if it is set to something.
pub fn value(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}
