//! How acts are shown: a heading, a sentence or two, the command and its real output. A signal ends the play at any moment.

use super::{
    super::{Face, args::When, env, words::Failure},
    world::{self, World},
};
use crate::{
    transport::shell::quote,
    ui::{message::Message, screen::Screen, wrap},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{sleep, timeout},
};

/// Why the play ends before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Somebody asked to stop.
    Signal,
    /// An act ended otherwise than it should.
    Differs {
        /// Its number and title.
        act: String,
        /// What was expected and what came.
        why: String,
    },
}

/// A play under way.
pub(super) struct Play {
    /// Where it takes place.
    pub(super) world: World,
    /// Where it is shown.
    pub(super) screen: Screen,
    svcops: PathBuf,
    colour: Option<When>,
    act: String,
    stop: watch::Receiver<u32>,
}

/// On a terminal somebody reads: the time between an act's words and its command.
const READING: Duration = Duration::from_millis(1300);
/// No command of the demo takes longer.
const LONGEST: Duration = Duration::from_secs(60);

impl Play {
    /// Sets the scene. Call it inside the runtime: from here on a signal does not end this process by itself.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(super) fn new(face: &Face, world: World, svcops: PathBuf) -> Result<Self, Failure> {
        let (heard, stop) = watch::channel(0);
        listen(heard)
            .map_err(|e| Failure::wrong(Message::error("could not prepare for signals").because(e.to_string())))?;
        let (screen, colour) = (face.screen, face.global.color);
        Ok(Self { world, screen, svcops, colour, act: String::new(), stop })
    }

    /// Text, folded to the screen.
    pub(super) fn say(&self, text: &str) {
        self.screen.data(&(wrap::words(text, self.screen.width.min(100)).join("\n") + "\n"));
    }

    /// Begins an act.
    pub(super) async fn act(&mut self, number: &str, title: &str, words: &str) -> Result<(), Cut> {
        self.act = format!("{number}, `{title}`,");
        let paint = self.screen.data_paint;
        self.screen.data(&format!("\n{} {}\n", paint.cyan(&format!("── {number}")), paint.bold(title)));
        self.say(words);
        if self.screen.data_live {
            tokio::select! {
                () = sleep(READING) => {}
                _ = self.stop.wait_for(|s| *s > 0) => return Err(Cut::Signal),
            }
        }
        Ok(())
    }

    /// Shows a command as if it were typed.
    pub(super) fn typed(&self, line: &str) {
        let paint = self.screen.data_paint;
        self.screen.data(&format!("\n{} {}\n", paint.dim("$"), paint.bold(line)));
    }

    /// Calls svcops with these words, which hold no blank, and holds its exit code against what is expected.
    pub(super) async fn svcops(&mut self, words: &str, expected: i32) -> Result<(), Cut> {
        self.typed(&format!("svcops {words}"));
        let svcops = self.svcops.clone();
        let child = self.spawn(&svcops, words)?;
        self.ends(child, words, expected).await
    }

    /// Calls another program of this machine.
    pub(super) async fn program(&mut self, line: &str) -> Result<(), Cut> {
        self.typed(line);
        let (program, words) = line.split_once(' ').unwrap_or((line, ""));
        let child = self.spawn(Path::new(program), words)?;
        self.ends(child, line, 0).await
    }

    /// Calls svcops, and kills it without a chance to say goodbye as soon as `when` holds.
    pub(super) async fn killed(&mut self, words: &str, when: impl Fn() -> bool) -> Result<(), Cut> {
        self.typed(&format!("svcops {words}"));
        let svcops = self.svcops.clone();
        let mut child = self.spawn(&svcops, words)?;
        let (begun, mut stop) = (tokio::time::Instant::now(), self.stop.clone());
        while !when() {
            tokio::select! {
                ended = child.wait() => {
                    let code = ended.ok().and_then(|e| e.code());
                    return Err(self.differs(&format!("`svcops {words}` ended before it was killed, {}", exit(code))));
                }
                () = sleep(Duration::from_millis(5)) => {}
                _ = stop.wait_for(|s| *s > 0) => return Err(self.end(child).await),
            }
            if begun.elapsed() > LONGEST {
                drop(child.kill().await);
                return Err(self.differs("the moment to kill it never came"));
            }
        }
        let pid = child.id();
        // It cannot refuse, and may have ended by itself in this moment: the next command shows which.
        drop(child.kill().await);
        if self.screen.data_live {
            // what it drew is nobody's any more; the cursor is there again
            self.screen.data("\r\u{1b}[J\u{1b}[?25h");
        }
        self.typed(&format!("kill -9 {}", pid.unwrap_or_default()));
        Ok(())
    }

    /// Holds a fact of this act.
    pub(super) fn must(&self, holds: bool, why: &str) -> Result<(), Cut> {
        if holds { Ok(()) } else { Err(self.differs(why)) }
    }

    /// A command that makes the folder of the demo the place where svcops works.
    pub(super) fn way_there(&self) -> String {
        let mut line = format!("cd {} && export SVCOPS_STATE=$PWD/state", quote(&self.world.folder.to_string_lossy()));
        if !world::can_keep_undo() {
            line += "\nexport XDG_STATE_HOME=$PWD/state";
        }
        if !on_path(&self.svcops)
            && let Some(folder) = self.svcops.parent()
        {
            line += &format!("\nexport PATH={}:$PATH", quote(&folder.to_string_lossy()));
        }
        line
    }

    fn differs(&self, why: &str) -> Cut {
        Cut::Differs { act: self.act.clone(), why: why.to_owned() }
    }

    fn spawn(&self, program: &Path, words: &str) -> Result<Child, Cut> {
        let mut command = Command::new(program);
        command.args(words.split_whitespace()).current_dir(&self.world.folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SVCOPS_") {
                command.env_remove(name);
            }
        }
        command.env(env::STATE, self.world.state());
        if let Some(colour) = self.colour {
            command.env(
                env::COLOR,
                if colour == When::Always {
                    "always"
                } else if colour == When::Never {
                    "never"
                } else {
                    "auto"
                },
            );
        }
        if !world::can_keep_undo() {
            command.env(env::XDG_STATE_HOME, self.world.state());
        }
        // One stream for all, so that a pipe has everything in its order.
        let stream = std::io::stdout().as_fd().try_clone_to_owned().map_err(|e| self.differs(&e.to_string()))?;
        command.stdin(Stdio::null()).stderr(stream);
        // Of a group of its own, so that Ctrl-C is for the demo, which passes it on once.
        command.process_group(0);
        command.spawn().map_err(|e| self.differs(&format!("`{}` could not be started: {e}", program.display())))
    }

    async fn ends(&mut self, mut child: Child, words: &str, expected: i32) -> Result<(), Cut> {
        let mut stop = self.stop.clone();
        tokio::select! {
            ended = timeout(LONGEST, child.wait()) => match ended {
                Ok(Ok(ended)) if ended.code() == Some(expected) => return Ok(()),
                Ok(Ok(ended)) => {
                    return Err(self.differs(&format!("`{words}`: exit code {expected} expected, {}", exit(ended.code()))));
                }
                Ok(Err(e)) => return Err(self.differs(&e.to_string())),
                Err(_) => {}
            },
            _ = stop.wait_for(|s| *s > 0) => return Err(self.end(child).await),
        }
        drop(child.kill().await);
        Err(self.differs(&format!("`{words}` did not end within {} s", LONGEST.as_secs())))
    }

    /// Passes signals on to a child until it ends; not for long.
    async fn end(&mut self, mut child: Child) -> Cut {
        let mut passed = 0;
        let patience = sleep(Duration::from_secs(10));
        tokio::pin!(patience);
        loop {
            let heard = *self.stop.borrow_and_update();
            if heard > passed {
                passed = heard;
                let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
                // Refused only if it has ended in this moment.
                let _gone = pid.map(|pid| kill_process(pid, Signal::INT));
            }
            tokio::select! {
                _ = child.wait() => return Cut::Signal,
                Ok(()) = self.stop.changed() => {}
                () = &mut patience => {
                    drop(child.kill().await);
                    return Cut::Signal;
                }
            }
        }
    }
}

fn exit(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal ended it".to_owned(), |code| format!("it was {code}"))
}

/// Whether `svcops`, typed at a prompt, is this binary.
fn on_path(svcops: &Path) -> bool {
    let path = env::value(env::PATH).unwrap_or_default();
    let first = std::env::split_paths(&path).map(|folder| folder.join("svcops")).find(|file| file.is_file());
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    first.is_some_and(|first| real(&first).is_some() && real(&first) == real(svcops))
}

/// Counts the signals that ask to stop.
fn listen(heard: watch::Sender<u32>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, heard) = (signal(kind)?, heard.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                heard.send_modify(|n| *n += 1);
            }
        });
    }
    Ok(())
}
