//! Parse, run, exit code: nothing else.

fn main() -> std::process::ExitCode {
    svcops::cli::main(std::env::args_os()).into()
}
