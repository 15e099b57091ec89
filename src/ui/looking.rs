//! A look that may take a while, on a terminal: nothing for a second, then what it waits for and how long already.

use super::screen::Screen;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{future::Future, time::Duration};

/// What is shown meanwhile.
pub struct Looking {
    bar: ProgressBar,
}

impl Looking {
    /// Shows nothing yet; never anything where nobody looks, or wants to.
    pub fn new(screen: &Screen, quiet: bool, what: &'static str) -> Self {
        let bar = ProgressBar::hidden();
        if screen.live && !quiet {
            let style = ProgressStyle::with_template("{msg}: {pos} of {len}, {elapsed}, {eta} to go");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
        }
        Self { bar }
    }

    /// So many are done.
    pub fn told(&self, done: usize, of: usize) {
        let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
        self.bar.set_length(number(of));
        self.bar.set_position(number(done));
    }

    /// As [`told`](Self::told), for work that nothing waits beside: it is shown once it has taken long.
    pub fn step(&self, done: usize, of: usize) {
        self.told(done, of);
        if self.bar.is_hidden() && self.bar.message() != "" && self.bar.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// Takes it away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// What the work comes to. Once it takes long it is shown, and taken away at its end.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(work, patience);
        tokio::select! {
            done = &mut work => return done,
            () = &mut patience => {}
        }
        if self.bar.message() != "" {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            self.bar.enable_steady_tick(Duration::from_millis(500));
        }
        let done = work.await;
        self.bar.finish_and_clear();
        done
    }
}

/// Shorter than this is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);
