//! The `stockpipe` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    stockpipe::cli::main()
}
