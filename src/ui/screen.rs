//! The two streams, and what is known of the terminal behind them.

use super::{message::Message, paint::Paint, signs};
use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

/// Data that could not be written to stdout: the process has failed then, however well the rest went.
static LOST: AtomicBool = AtomicBool::new(false);

/// Where text goes: data to stdout, everything else to stderr. A stream that nobody reads any more is no error: what runs
/// goes on. Data that a full disk refused is one: it is told once, and [`lost`] knows.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns that a line may take.
    pub width: usize,
    /// Rows of the terminal.
    pub rows: usize,
    /// Stderr is a terminal.
    pub live: bool,
    /// Stdout is a terminal.
    pub data_live: bool,
    /// Colour on stderr.
    pub paint: Paint,
    /// Colour on stdout.
    pub data_paint: Paint,
    /// Terminals show more than ASCII: the locale says UTF-8.
    pub unicode: bool,
    /// Stdout is a file or a pipe that nobody gave a width: a row of a table is one line there.
    pub endless: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Screen {
    /// A stream into a file or a pipe, of that width and without colour.
    pub fn plain(width: usize) -> Self {
        let paint = Paint::default();
        Self { width, rows: 24, live: false, data_live: false, paint, data_paint: paint, unicode: true, endless: false }
    }
    /// Asks the terminal. `columns` is what `$COLUMNS` says: it counts where there is no terminal.
    pub fn ask(colour: Colour, columns: Option<usize>) -> Self {
        let (live, data_live) = (std::io::stderr().is_terminal(), std::io::stdout().is_terminal());
        let size = [live.then(|| rustix::termios::tcgetwinsize(std::io::stderr())), {
            data_live.then(|| rustix::termios::tcgetwinsize(std::io::stdout()))
        }];
        let size = size.into_iter().flatten().flatten().find(|s| s.ws_col > 0);
        let width = size.map(|s| usize::from(s.ws_col)).or(columns).unwrap_or(100).clamp(40, 400);
        let rows = size.map_or(24, |s| usize::from(s.ws_row)).max(5);
        let on = |terminal: bool| match colour {
            Colour::Auto => terminal,
            Colour::Always => true,
            Colour::Never => false,
        };
        Self {
            width,
            rows,
            live,
            data_live,
            paint: Paint::new(on(live)),
            data_paint: Paint::new(on(data_live)),
            unicode: true,
            endless: !data_live && columns.is_none(),
        }
    }
    /// For what the environment says of the terminal: its locale's name, and that it can do nothing but print.
    #[must_use]
    pub fn with(self, locale: &str, dumb: bool) -> Self {
        Self { unicode: signs::unicode(locale), live: self.live && !dumb, ..self }
    }
    /// The columns and rows of the terminal behind stderr at this moment: somebody may have pulled at its corner.
    pub fn size(&self) -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|s| s.ws_col > 0 && s.ws_row > 0);
        size.map_or((self.width, self.rows), |s| (usize::from(s.ws_col), usize::from(s.ws_row)))
    }
    /// Data, for stdout.
    pub fn data(&self, text: &str) {
        let text = if self.data_live && !self.unicode { &signs::ascii(text) } else { text };
        self.deliver(text);
    }
    /// A value as JSON, for stdout.
    pub fn json<T: serde::Serialize>(&self, value: &T) {
        // to the letter, whatever the terminal can show; and never whole in memory
        let mut out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
        let written = serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from);
        let written = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        // what is left of it has nowhere to go
        drop(out.into_parts());
        self.delivered(written);
    }
    fn deliver(&self, text: &str) {
        self.delivered(send(&mut std::io::stdout().lock(), text));
    }
    fn delivered(&self, written: std::io::Result<()>) {
        let Err(why) = written else { return };
        if !self.gone(&why) && !LOST.swap(true, Ordering::Relaxed) {
            self.tell(&Message::error("could not write to stdout").because(why.to_string()));
        }
    }
    /// A broken pipe or a terminal that hung up: whoever read this has gone, and there is nobody left to tell.
    fn gone(&self, why: &std::io::Error) -> bool {
        let hung_up = why.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        why.kind() == std::io::ErrorKind::BrokenPipe || (self.data_live && hung_up)
    }
    /// A message, for stderr.
    pub fn tell(&self, message: &Message) {
        self.note(&message.text(self.paint, self.width));
    }
    /// What moves the cursor of the terminal behind stderr, or draws there.
    pub fn raw(&self, text: &str) {
        // if stderr fails, there is nowhere left to say so
        drop(send(&mut std::io::stderr().lock(), text));
    }
    /// Other text for stderr.
    pub fn note(&self, text: &str) {
        let text = if !self.unicode && std::io::stderr().is_terminal() { &signs::ascii(text) } else { text };
        drop(send(&mut std::io::stderr().lock(), text));
    }
}

/// Data for stdout was lost, and not because nobody reads it any more.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

fn send(to: &mut impl std::io::Write, text: &str) -> std::io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
