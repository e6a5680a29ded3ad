//! From flags, and a pipeline's file, to a market's settings.

use std::path::Path;
use std::str::FromStr;

use jiff::civil::Date;
use stockpipe_crds::pipeline::Pipeline;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::{
    Disorder, Model, Rate, Scenario, ScenarioKind, Settings, universe,
};
use stockpipe_market::tick::Symbol;
use stockpipe_workers::produce;

use super::MarketArgs;
use super::span::{self, Moment, Span};
use crate::cli::CliError;

/// Symbols, seed and rate of a market that names none.
const SYMBOLS: usize = 8;
const SEED: u64 = 42;
const TICKS_PER_SECOND: u64 = 100;
/// Most symbols that the model's names are made for.
const MAX_SYMBOLS: usize = 10_000;

/// Which symbols.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symbols(Vec<Symbol>);

impl FromStr for Symbols {
    type Err = String;

    fn from_str(text: &str) -> Result<Symbols, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|size| (1..=MAX_SYMBOLS).contains(size))
                .map(|size| Symbols(universe(size)))
                .ok_or_else(|| format!("write a number from 1 to {MAX_SYMBOLS}, or names"));
        }
        let names = text.split(',').map(|name| Symbol::new(name.trim()));
        names
            .collect::<Result<_, _>>()
            .map(Symbols)
            .map_err(|error| error.to_string())
    }
}

/// A scenario as the command line has it; `normal` is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScenarioArg {
    kind: Option<ScenarioKind>,
    from: Option<Moment>,
    to: Option<Moment>,
    symbol: Option<Symbol>,
}

impl FromStr for ScenarioArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ScenarioArg, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let mut scenario = ScenarioArg {
            kind: match name {
                "normal" => None,
                _ => Some(ScenarioKind::parse(name).map_err(|error| error.to_string())?),
            },
            from: None,
            to: None,
            symbol: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("from", when)) => scenario.from = Some(when.parse()?),
                Some(("to", when)) => scenario.to = Some(when.parse()?),
                Some(("symbol", name)) => {
                    let symbol = Symbol::new(name).map_err(|error| error.to_string())?;
                    scenario.symbol = Some(symbol);
                }
                _ => {
                    return Err(format!(
                        "`{part}` is not understood; write from=10:00, to=10:20 or symbol=AAPL"
                    ));
                }
            }
        }
        Ok(scenario)
    }
}

impl ScenarioArg {
    fn resolve(&self, calendar: Calendar, span: &Span) -> Result<Option<Scenario>, String> {
        let Some(kind) = self.kind else {
            return Ok(None);
        };
        let at = |moment, end| {
            span::instant(calendar, span.day, moment, end)
                .map_err(|clause| format!("--scenario {kind}: {clause}"))
        };
        Ok(Some(Scenario {
            kind,
            from_ns: self
                .from
                .map_or(Ok(span.start_ns), |from| at(from, false))?,
            until_ns: self.to.map_or(Ok(span.until_ns), |to| at(to, true))?,
            symbol: self.symbol.clone(),
        }))
    }
}

/// What is made, and what of it is written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) from_ns: i64,
    pub(super) until_ns: i64,
}

impl Plan {
    pub(super) fn new(args: &MarketArgs) -> Result<Plan, CliError> {
        let mut settings = match &args.file {
            Some(path) => of_file(path)?,
            None => Settings {
                symbols: universe(SYMBOLS),
                universe: Vec::new(),
                calendar: Calendar::Xnys,
                seed: SEED,
                rate: Rate::Total(TICKS_PER_SECOND),
                start_ns: 0,
                run: "".into(),
                model: Model::default(),
                scenarios: Vec::new(),
                disorder: Disorder::default(),
            },
        };
        if let Some(Symbols(symbols)) = &args.symbols {
            settings.symbols.clone_from(symbols);
        }
        settings.calendar = args.calendar.unwrap_or(settings.calendar);
        settings.seed = args.seed.unwrap_or(settings.seed);
        settings.rate = args.ticks_per_second.map_or(settings.rate, Rate::Total);
        if let Some(path) = &args.model {
            settings.model = model(path)?;
        }
        let share = |percent: Option<f64>, or| percent.map_or(or, |percent| percent / 100.0);
        settings.disorder = Disorder {
            late: share(args.late, settings.disorder.late),
            corrections: share(args.corrections, settings.disorder.corrections),
        };
        let span = span::span(settings.calendar, args.day, args.from, args.to)?;
        for scenario in &args.scenario {
            let resolved = scenario.resolve(settings.calendar, &span)?;
            settings.scenarios.extend(resolved);
        }
        settings.start_ns = span.start_ns;
        settings.run = run(settings.calendar.local_date(span.start_ns), settings.seed).into();
        Ok(Plan {
            settings,
            from_ns: span.from_ns,
            until_ns: span.until_ns,
        })
    }
}

/// The `run` of its ticks: it says which market this is, and nothing of when it was made.
fn run(date: Date, seed: u64) -> String {
    format!("market-{date}-{seed}")
}

fn model(path: &Path) -> Result<Model, CliError> {
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{name} holds no model: {error}").into())
}

fn of_file(path: &Path) -> Result<Settings, CliError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let pipeline = Pipeline::from_yaml(&text, &name)?;
    Ok(
        produce::simulated_settings(&pipeline, "", 0)
            .map_err(|error| format!("{name}: {error}"))?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_a_number_or_names() {
        let parsed = |text: &str| text.parse::<Symbols>().map(|symbols| symbols.0.len());
        assert_eq!(parsed("500"), Ok(500));
        assert_eq!(parsed("AAPL, MSFT"), Ok(2));
        assert_eq!(
            parsed("0"),
            Err("write a number from 1 to 10000, or names".to_owned())
        );
        assert!(parsed("AAPL,,MSFT").is_err());
    }

    #[test]
    fn a_scenario_has_its_time_and_symbol() {
        let scenario: ScenarioArg = "halt,from=10:00,to=10:20,symbol=AAPL".parse().unwrap();
        let span = span::span(
            Calendar::Xnys,
            Some(jiff::civil::date(2026, 11, 20)),
            None,
            None,
        )
        .unwrap();
        let resolved = scenario.resolve(Calendar::Xnys, &span).unwrap().unwrap();
        assert_eq!(resolved.until_ns - resolved.from_ns, 20 * 60_000_000_000);
        assert_eq!(resolved.symbol.as_deref(), Some("AAPL"));
        let normal: ScenarioArg = "normal".parse().unwrap();
        assert_eq!(normal.resolve(Calendar::Xnys, &span), Ok(None));
        for (text, words) in [
            ("panic", "unknown scenario `panic`; write calm,"),
            (
                "halt,at=10:00",
                "`at=10:00` is not understood; write from=10:00",
            ),
            ("halt,from=x", "write a time such as 10:00"),
        ] {
            let refusal = text.parse::<ScenarioArg>().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
