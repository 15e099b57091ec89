//! Signals: the first Ctrl-C (or SIGTERM) stops softly, the second ends what runs on hosts too, and SIGHUP stops nothing:
//! a run outlives the terminal that began it.

use tokio::signal::unix::{SignalKind, signal};

/// Calls `heard` for every signal that asks to stop, with its name and whether it is the second or a later one. Call it
/// inside the runtime, before the first act.
///
/// # Errors
/// The system does not let signals be caught.
pub fn watch(mut heard: impl FnMut(&'static str, bool) + Send + 'static) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut again = false;
        loop {
            let name = tokio::select! {
                Some(()) = interrupt.recv() => "SIGINT",
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = hangup.recv() => continue,
                else => return,
            };
            heard(name, again);
            again = true;
        }
    });
    Ok(())
}
