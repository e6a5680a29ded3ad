//! `stockpipe reset`: deletes the data directory, after asking.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, DataArgs, confirmed};
use crate::data_dir::DataDir;

/// Flags of `stockpipe reset`.
#[derive(Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &ResetArgs) -> Result<ExitCode, CliError> {
    let root = &args.data.data;
    if !root.exists() {
        println!("{} does not exist: nothing to delete.", root.display());
        return Ok(ExitCode::SUCCESS);
    }
    if !is_ours(root) {
        return Err(format!(
            "{} is not a data directory of stockpipe: nothing was deleted",
            root.display()
        )
        .into());
    }
    // Taken first, so that what another process writes is never deleted under it.
    let owned = DataDir::own(root)?;
    let question = format!(
        "Delete {} with every tick, file and table in it?",
        owned.root().display()
    );
    if !args.yes && !confirmed("reset", &question)? {
        println!("Nothing was deleted.");
        return Ok(ExitCode::FAILURE);
    }
    let path = owned.root().to_owned();
    std::fs::remove_dir_all(&path).map_err(|e| format!("cannot delete {}: {e}", path.display()))?;
    println!("Deleted {}.", path.display());
    Ok(ExitCode::SUCCESS)
}

/// A folder is ours iff it holds our lock and nothing that we do not know.
fn is_ours(root: &std::path::Path) -> bool {
    root.join("lock").is_file()
}
