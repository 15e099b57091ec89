//! `svcops completions SHELL`: the scripts of `completions/`, which are the same for every version: what fits, the binary
//! itself knows.

use super::{Face, exit::ExitCode, words::Failure};
use clap::ValueEnum;

/// `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can be completed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// From bash 4.2 on
    Bash,
    /// With `compinit`
    Zsh,
    /// From fish 3 on
    Fish,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops completions bash > /etc/bash_completion.d/svcops
  svcops completions zsh > /usr/local/share/zsh/site-functions/_svcops
  svcops completions fish > ~/.config/fish/completions/svcops.fish

To try it in this shell: `source <(svcops completions bash)`. Hosts, apps, runbooks, their params and runs are completed from the project of the current folder, or of `-C DIR`; no host is asked.";

/// The script for a shell.
pub const fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("../../completions/svcops.bash"),
        Shell::Zsh => include_str!("../../completions/_svcops"),
        Shell::Fish => include_str!("../../completions/svcops.fish"),
    }
}

impl Face {
    pub(super) fn completions(&self, args: Args) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        self.screen.data(script(args.shell));
        Ok(ExitCode::Done)
    }
}
