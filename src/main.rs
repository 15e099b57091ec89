//! Parse, run, exit code: nothing else.

use svcops::cli::exit::ExitCode;

fn main() -> std::process::ExitCode {
    let code = svcops::cli::main(std::env::args_os());
    // what went wrong with a run says more than that nobody could write it down
    let lost = code == ExitCode::Done && svcops::ui::screen::lost();
    if lost { ExitCode::Wrong.into() } else { code.into() }
}
