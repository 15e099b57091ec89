//! Verbs that the design has and this version has not: refused with a sentence, never with a guess.

use crate::ui::message::Message;

/// A verb of a later version, and what it will do.
const LATER: &[(&str, &str)] = &[
    ("scale", "scales an app on Kubernetes"),
    ("access", "grants, revokes and reviews access"),
    ("approve", "approves a run"),
    ("reject", "rejects a run"),
    ("approvals", "lists what waits for approval"),
    ("schedule", "runs runbooks when they are due"),
    ("store", "moves the journal to another store"),
];

/// Adds them to the tree, hidden, so that they are recognised whatever follows.
pub fn add(command: clap::Command) -> clap::Command {
    LATER.iter().fold(command, |command, (name, _)| {
        command.subcommand(
            clap::Command::new(*name)
                .hide(true)
                .disable_help_flag(true)
                .arg(clap::Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true)),
        )
    })
}

/// The refusal, if `verb` is one of them.
pub fn refusal(verb: &str) -> Option<Message> {
    LATER.iter().find(|(name, _)| *name == verb).map(|(name, what)| {
        Message::error(format!("`svcops {name}` is not in version {VERSION}: it comes later, and {what}"))
            .hint("`svcops --help` lists the verbs of this version")
    })
}

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
