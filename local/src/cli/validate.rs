//! `stockpipe validate`: pipeline files, checked without running them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::CliError;

/// Flags of `stockpipe validate`.
#[derive(Args)]
pub(crate) struct ValidateArgs {
    /// StockPipeline files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode, CliError> {
    let mut is_valid = true;
    for path in &args.files {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{name}: cannot be read: {error}");
                is_valid = false;
                continue;
            }
        };
        let checked = stockpipe_crds::load(&text, &name).and_then(|resource| {
            stockpipe_crds::Pipeline::from_yaml(&text, &name).map(|p| (resource, p))
        });
        match checked {
            Ok((resource, pipeline)) => {
                let cluster = stockpipe_crds::cluster_only_fields(&resource);
                println!("{name}: pipeline {} is valid", pipeline.name);
                if !cluster.is_empty() {
                    println!("{name}: only a cluster uses {}", cluster.join(", "));
                }
            }
            Err(error) => {
                eprintln!("{error}");
                is_valid = false;
            }
        }
    }
    Ok(if is_valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
