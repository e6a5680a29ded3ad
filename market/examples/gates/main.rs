//! Holds the synthetic market to what is known of real ones, and shows that the tests can fail:
//! poorer models must not pass.
//!
//! `cargo run -p stockpipe-market --example gates -- [--seeds N] [--model-only] [--export DIR]`
//! prints one table and exits with 1 if a gate does not hold: of the model's seeds nine in ten
//! must pass, of a control's that must fail at most one in ten may. With `--export` it writes the
//! first seed's bars, raw ticks and more for `tests/python/market_gates.py`; with `--model-only`
//! it leaves the controls out.

mod integrity;
mod measure;
mod statistics;
mod tape;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use measure::measure;
use statistics::{median, quantile, slope};
use stockpipe_market::simulator::Model;
use tape::Tape;

/// Which controls must fail.
#[derive(Clone, Copy, PartialEq)]
enum Must {
    /// None: the gate only guards.
    Nothing,
    /// Geometric Brownian motion.
    Gbm,
    /// That, and also with the shape of the day.
    Shaped,
    /// Those, and also arrivals that follow volatility without exciting one another.
    Cox,
}

struct Gate {
    name: &'static str,
    least: f64,
    greatest: f64,
    must: Must,
}

const NONE: f64 = f64::INFINITY;

const fn gate(name: &'static str, least: f64, greatest: f64, must: Must) -> Gate {
    Gate {
        name,
        least,
        greatest,
        must,
    }
}

/// The table. Sources of the facts and of the bounds: `docs/guides/market-model.md`.
const GATES: [Gate; 25] = [
    gate("kurtosis", 3.0, 50.0, Must::Shaped),
    gate("hill", 2.0, 5.0, Must::Shaped),
    gate("acf r", 0.0, 0.05, Must::Nothing),
    gate("acf |r| 1 h", 0.1, NONE, Must::Shaped),
    gate("acf |r| 1 d", 0.03, NONE, Must::Shaped),
    gate("decay", 0.1, 0.5, Must::Shaped),
    gate("taylor", 0.02, NONE, Must::Shaped),
    gate("aggregation", 0.0, 1.0, Must::Nothing),
    gate("daily r/RV", -1.0, 0.5, Must::Nothing),
    gate("volume-volatility", 0.2, NONE, Must::Shaped),
    gate("edge / midday", 1.5, 5.0, Must::Gbm),
    gate("fano", 3.0, NONE, Must::Shaped),
    gate("self-excitation", 1.2, NONE, Must::Cox),
    gate("durations", 1.3, NONE, Must::Shaped),
    gate("bounce", -0.5, -0.05, Must::Nothing),
    gate("signs acf", 0.1, 0.6, Must::Gbm),
    gate("signs slope", 0.3, 0.8, Must::Gbm),
    gate("impact", 0.03, 0.5, Must::Gbm),
    gate("leverage", -1.0, -0.02, Must::Shaped),
    gate("correlation", 0.0, 0.1, Must::Nothing),
    gate("epps", 0.0, 0.9, Must::Nothing),
    gate("spread-volatility", 0.3, NONE, Must::Gbm),
    gate("overnight", 0.1, 0.35, Must::Nothing),
    gate("integrity", 0.0, 0.0, Must::Nothing),
    gate("zipf slope", -1.15, -0.85, Must::Nothing),
];

impl Gate {
    fn passes(&self, value: f64) -> bool {
        (self.least..=self.greatest).contains(&value)
    }

    fn bound(&self) -> String {
        match (self.least, self.greatest) {
            (least, NONE) => format!("> {least}"),
            (0.0, 0.0) => "0".to_owned(),
            (least, greatest) => format!("{least} … {greatest}"),
        }
    }
}

struct Arguments {
    seeds: u64,
    model_only: bool,
    export: Option<PathBuf>,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 20,
        model_only: false,
        export: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--model-only" {
            arguments.model_only = true;
            continue;
        }
        let value = words.next();
        match (word.as_str(), value) {
            ("--seeds", Some(text)) => {
                let seeds = text.parse().ok().filter(|seeds| (1..=1000).contains(seeds));
                arguments.seeds = seeds
                    .ok_or_else(|| format!("--seeds {text}: write a number from 1 to 1000"))?;
            }
            ("--export", Some(text)) => arguments.export = Some(text.into()),
            _ => {
                return Err(format!(
                    "{word}: write [--seeds N] [--model-only] [--export DIR]"
                ));
            }
        }
    }
    Ok(arguments)
}

/// Sessions of each seed.
const DAYS: usize = 250;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("gates: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gates: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<bool> {
    let begun = Instant::now();
    let mut ticks = 0;
    let models = [
        ("model", Model::default()),
        ("GBM", Model::gbm()),
        ("GBM+U", Model::gbm_with_shape()),
        ("Cox", Model::cox()),
    ];
    // Per model, per gate, the values of all seeds.
    let mut values = vec![vec![Vec::new(); GATES.len()]; models.len()];
    let played = if arguments.model_only {
        1
    } else {
        models.len()
    };
    for (at, (name, model)) in models.iter().enumerate().take(played) {
        for seed in 1..=arguments.seeds {
            let first = at == 0 && seed == 1;
            let export = arguments.export.as_ref().filter(|_| first);
            let tape = play(model, seed, export)?;
            ticks += tape.ticks;
            let mut found = measure(&tape);
            if at == 0 {
                let counts = tape::activity(model, seed);
                if let Some(mut out) = create(export, "activity.csv")? {
                    for count in &counts {
                        writeln!(out, "{count}")?;
                    }
                    out.flush()?;
                }
                found.push(("zipf slope", zipf(&counts)));
                if let Some(mut out) = create(export, "daily.csv")? {
                    tape::write_daily(&mut out, model, seed)?;
                    out.flush()?;
                }
            }
            if let Some(folder) = export {
                let mut out = File::create(folder.join("gates.csv"))?;
                for (name, value) in &found {
                    writeln!(out, "{name},{value}")?;
                }
            }
            for (gate, values) in GATES.iter().zip(&mut values[at]) {
                values.extend(
                    found
                        .iter()
                        .filter(|(name, _)| *name == gate.name)
                        .map(|&(_, value)| value),
                );
            }
            eprintln!(
                "{name}, seed {seed}: {:.0} s",
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let good = print(&values, arguments.seeds);
    println!(
        "\n{} seeds of {DAYS} sessions; {:.0} million ticks; {:.0} s",
        arguments.seeds,
        ticks as f64 / 1e6,
        begun.elapsed().as_secs_f64()
    );
    Ok(good)
}

/// A seed's tape; `export` gets its bars and raw ticks, and those of a market that is disturbed.
fn play(model: &Model, seed: u64, export: Option<&PathBuf>) -> std::io::Result<Tape> {
    let mut ticks = create(export, "ticks.csv")?;
    if let Some(out) = &mut ticks {
        writeln!(
            out,
            "symbol,day,after_ns,kind,price,size,side,bid,ask,conditions"
        )?;
    }
    let out = ticks.as_mut().map(|out| out as &mut dyn Write);
    let mut tape = tape::play(model, seed, DAYS, out)?;
    let mut bars = create(export, "bars.csv")?;
    if let Some(out) = &mut bars {
        tape::write_bars(out, &tape)?;
    }
    let mut disturbed = create(export, "disturbed.csv")?;
    let out = disturbed.as_mut().map(|out| out as &mut dyn Write);
    tape.violations += integrity::disturbed(model, seed, out)?;
    for mut out in [ticks, bars, disturbed].into_iter().flatten() {
        out.flush()?;
    }
    Ok(tape)
}

/// A file of the export, where there is one.
fn create(folder: Option<&PathBuf>, name: &str) -> std::io::Result<Option<BufWriter<File>>> {
    let create = |folder: &PathBuf| File::create(folder.join(name)).map(BufWriter::new);
    folder.map(create).transpose()
}

/// Slope of trades over rank, ranks 1 to 250, both logarithmic.
fn zipf(counts: &[f64]) -> f64 {
    let x: Vec<f64> = (1..=250).map(|rank| f64::from(rank).ln()).collect();
    let mut sorted = counts.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let y: Vec<f64> = sorted[..250]
        .iter()
        .map(|count| count.max(0.5).ln())
        .collect();
    slope(&x, &y)
}

/// Prints the table; whether all gates hold.
fn print(values: &[Vec<Vec<f64>>], seeds: u64) -> bool {
    let (least_passes, most_passes) = ((0.9 * seeds as f64).ceil() as usize, seeds as usize / 10);
    println!(
        "{:<18} {:<14} {:>8} {:>18}  {:>5}  {:>5} {:>5} {:>5}  verdict",
        "gate", "bound", "median", "[5 %, 95 %]", "model", "GBM", "GBM+U", "Cox"
    );
    let mut all_good = true;
    for (at, gate) in GATES.iter().enumerate() {
        let passes: Vec<usize> = values
            .iter()
            .map(|values| {
                values[at]
                    .iter()
                    .filter(|&&value| gate.passes(value))
                    .count()
            })
            .collect();
        let must_fail = match gate.must {
            Must::Nothing => 0,
            Must::Gbm => 1,
            Must::Shaped => 2,
            Must::Cox => 3,
        };
        let good = passes[0] >= least_passes
            && passes[1..=must_fail]
                .iter()
                .all(|&passes| passes <= most_passes);
        all_good &= good;
        let of = |control: usize| match (values[control][at].is_empty(), control <= must_fail) {
            (true, _) => "–".to_owned(),
            (false, true) => format!("{}!", passes[control]),
            (false, false) => passes[control].to_string(),
        };
        let model = &values[0][at];
        println!(
            "{:<18} {:<14} {:>8.3} {:>18}  {:>5}  {:>5} {:>5} {:>5}  {}",
            gate.name,
            gate.bound(),
            median(model),
            format!(
                "[{:.3}, {:.3}]",
                quantile(model, 0.05),
                quantile(model, 0.95)
            ),
            passes[0],
            of(1),
            of(2),
            of(3),
            if good { "ok" } else { "FAILS" }
        );
    }
    println!("\nPasses per column, of {seeds}; a control marked ! must fail.");
    all_good
}
