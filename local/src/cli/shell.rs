//! `stockpipe completions` and `stockpipe man`: what shells and `man` read.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliError};

/// Flags of `stockpipe completions`.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Flags of `stockpipe man`.
#[derive(Args)]
pub(crate) struct ManArgs {
    /// Write a page for every command into this directory, instead of the main one to standard output.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stockpipe", &mut script);
    write_out(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &ManArgs) -> Result<ExitCode, CliError> {
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        write_out(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    let written = std::fs::create_dir_all(directory).and_then(|()| {
        clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)
    });
    written.map_err(|e| {
        format!(
            "cannot write man pages to {}: {e}; name a directory that can be written",
            directory.display()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A reader that has seen enough (`| head`) is no failure.
fn write_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
