//! Questions to the person at the terminal. They go through `/dev/tty`, so they work while stdin and stdout are pipes.

use super::paint::plain;
use crate::base::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
};
use zeroize::Zeroizing;

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

/// Asks for what nobody else may read: it is not shown while it is typed.
///
/// # Errors
/// As [`yes`].
pub fn secret(question: &str) -> Result<Secret, NoAnswer> {
    let mut tty = terminal().map_err(NoAnswer::NoTerminal)?;
    let unhidden = |e: rustix::io::Errno| NoAnswer::NoTerminal(e.into());
    let shown = tcgetattr(&tty).map_err(unhidden)?;
    let mut hidden = shown.clone();
    // Ctrl-C comes as a byte: as a signal it would end this process and leave a terminal that shows nothing
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tty.write_all(plain(&format!("{question}: ")).as_bytes()).map_err(NoAnswer::NoTerminal)?;
    tcsetattr(&tty, OptionalActions::Flush, &hidden).map_err(unhidden)?;
    let typed = typed(&tty);
    let restored = tcsetattr(&tty, OptionalActions::Flush, &shown).map_err(unhidden);
    tty.write_all(b"\n").map_err(NoAnswer::NoTerminal)?;
    restored.and(typed.ok_or(NoAnswer::Ended))
}

/// Up to the end of the line; none: the person went away.
fn typed(tty: &File) -> Option<Secret> {
    let mut answer = Zeroizing::new(Vec::with_capacity(256));
    for byte in BufReader::new(tty).bytes() {
        match byte.ok()? {
            b'\r' | b'\n' => {
                let text = std::str::from_utf8(&answer).ok()?;
                return Some(Secret::new(text.to_owned()));
            }
            // Ctrl-C, Ctrl-D
            3 | 4 => return None,
            // backspace takes a whole character, Ctrl-U all of them
            8 | 127 => while answer.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            21 => answer.clear(),
            byte => answer.push(byte),
        }
    }
    None
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
