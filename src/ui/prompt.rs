//! Questions to the person at the terminal. They go through `/dev/tty`, so they work while stdin and stdout are pipes.

use super::paint::plain;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// This process has no terminal (cron, CI, a service), or nobody sits there.
    #[error("nobody can be asked: there is no terminal")]
    NoTerminal(#[source] std::io::Error),
    /// The terminal was closed while the question stood.
    #[error("the terminal gave no answer")]
    Ended,
}

/// Asks for yes or no. Anything but a yes is a no.
///
/// # Errors
/// There is no terminal, or it ended.
pub fn yes(question: &str) -> Result<bool, NoAnswer> {
    let answer = line(&format!("{} [y/N] ", plain(question)))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes" | "д" | "да"))
}

/// Asks for a line of text; asks again until there is something in it.
///
/// # Errors
/// As [`yes`].
pub fn text(question: &str) -> Result<String, NoAnswer> {
    loop {
        let answer = line(&format!("{}\n> ", plain(question)))?;
        if !answer.is_empty() {
            return Ok(answer);
        }
    }
}

/// Asks for a line of text; an empty answer is `default`.
///
/// # Errors
/// As [`yes`].
pub fn with_default(question: &str, default: &str) -> Result<String, NoAnswer> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let answer = line(&plain(&format!("{question}{shown}: ")))?;
    Ok(if answer.is_empty() { default.to_owned() } else { answer })
}

/// Whether there is somebody to ask.
pub fn possible() -> bool {
    terminal().is_ok()
}

fn terminal() -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn line(prompt: &str) -> Result<String, NoAnswer> {
    let mut tty = terminal().map_err(NoAnswer::NoTerminal)?;
    tty.write_all(prompt.as_bytes()).map_err(NoAnswer::NoTerminal)?;
    let mut answer = String::new();
    match BufReader::new(tty).read_line(&mut answer) {
        Ok(n) if n > 0 => Ok(answer.trim().to_owned()),
        _ => Err(NoAnswer::Ended),
    }
}
