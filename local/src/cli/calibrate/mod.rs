//! `stockpipe calibrate`: which parameters of the synthetic market real prices would have.

mod file;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{CellAlignment, Table};
use stockpipe_market::calibration::{Calibration, Facts, Origin, calibrate};

use super::CliError;
use super::query::plain;

/// Flags of `stockpipe calibrate`.
#[derive(Args)]
pub(crate) struct CalibrateArgs {
    /// CSV files with a header: daily or minute bars with a column for date or time and one for the close; the open,
    /// the adjusted close and the symbol are read where they are there. A name that ends in .gz is decompressed.
    #[arg(required = true, value_name = "PRICES")]
    files: Vec<PathBuf>,
    /// How dates are written, such as %d.%m.%Y [default: 2026-11-20 or 11/20/2026].
    #[arg(long, value_name = "FORMAT")]
    date_format: Option<String>,
    /// Where the model is written, for `stockpipe market --model`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &CalibrateArgs) -> Result<ExitCode, CliError> {
    let mut prices = Vec::new();
    for path in &args.files {
        prices.extend(file::read(path, args.date_format.as_deref())?);
    }
    let calibration = calibrate(&prices)?;
    println!("{}", facts(&calibration.facts));
    println!("{}", parameters(&calibration));
    if let Some(path) = &args.output {
        let mut json = serde_json::to_string_pretty(&calibration.model)?;
        json.push('\n');
        std::fs::write(path, json)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        eprintln!(
            "{} holds the model: stockpipe market --model {0} …",
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(all: &[(String, Facts)]) -> Table {
    let mut table = Table::new();
    plain(&mut table);
    table.set_header([
        "symbol",
        "days",
        "sd a day",
        "excess kurtosis",
        "tail index",
        "ACF |r| 1, 5, 20",
        "leverage",
    ]);
    for (symbol, facts) in all {
        let [one, five, twenty] = facts.sizes;
        table.add_row([
            symbol.clone(),
            facts.days.to_string(),
            format!("{:.2} %", 100.0 * facts.deviation),
            format!("{:.1}", facts.kurtosis),
            format!("{:.1}", facts.hill),
            format!("{one:.2}, {five:.2}, {twenty:.2}"),
            format!("{:.2}", facts.leverage),
        ]);
    }
    for index in 1..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn parameters(calibration: &Calibration) -> Table {
    let mut table = Table::new();
    plain(&mut table);
    table.set_header(["parameter", "value", "from"]);
    for fit in &calibration.fits {
        let origin = match &fit.origin {
            Origin::Fitted(from) => from.clone(),
            Origin::Default(why) => format!("default: {why}"),
        };
        table.add_row([fit.name.to_owned(), fit.value.clone(), origin]);
    }
    table
}
