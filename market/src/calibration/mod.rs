//! Calibration: which parameters of the [`Model`] given prices would have.
//!
//! Daily bars tell the size of returns, how slowly volatility forgets, how much it rises after a
//! fall, and how symbols move together. Minute bars tell these more exactly, and the tails of
//! returns. What they do not tell keeps its default, and is said to.
//!
//! Log-volatility is seen as ln|r|, or with minute bars as half the logarithm of a session's sum of
//! squares (T. Andersen, T. Bollerslev, F. Diebold, H. Ebens, "The distribution of realized stock
//! return volatility", Journal of Financial Economics 61, 2001). Its noise is independent from day
//! to day, so that autocovariances from lag 1 on are those of volatility alone (A. Harvey, E. Ruiz,
//! N. Shephard, "Multivariate stochastic variance models", Review of Economic Studies 61, 1994).

mod prices;
mod slow;
mod statistics;
mod tails;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::simulator::{Model, sector};

pub use prices::{Day, PriceBar, Prices, PricesError};
pub use statistics::Facts;

use slow::Slow;
use statistics::{correlation, mean, variance};

/// Sessions that a calibration needs at least: a year's.
pub const LEAST_DAYS: usize = 250;

/// Why prices cannot be calibrated to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// Too few.
    #[error("{symbol} has {days} sessions; calibration needs {LEAST_DAYS} or more")]
    Short {
        /// Of which symbol.
        symbol: String,
        /// How many.
        days: usize,
    },
    /// None.
    #[error("there are no prices to calibrate to")]
    Nothing,
    /// Prices that never move.
    #[error("the prices of {0} do not move")]
    Flat(String),
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the prices, and from what in them.
    Fitted(String),
    /// The default, and why.
    Default(String),
}

/// A parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// What it is.
    pub name: &'static str,
    /// Its value, as text with its unit.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// What prices say of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The model with the parameters that were found.
    pub model: Model,
    /// Each parameter, and where it comes from.
    pub fits: Vec<Fit>,
    /// Facts about each symbol's daily returns.
    pub facts: Vec<(String, Facts)>,
}

/// Everything that is read from the prices, before any parameter.
struct Sample {
    symbols: Vec<String>,
    /// Log returns from close to close, a row a date and a column a symbol.
    returns: Vec<Vec<Option<f64>>>,
    /// Log-volatility as it is seen, likewise.
    sizes: Vec<Vec<Option<f64>>>,
    /// Variances of returns, and of their part over night, by symbol.
    total: Vec<f64>,
    nights: Vec<Option<f64>>,
    /// E(|r r'|) / E(r²) of neighbouring minutes, by symbol with minute bars.
    bipower: Vec<f64>,
    has_minutes: bool,
}

impl Sample {
    fn new(all: &[Prices]) -> Result<Sample, CalibrationError> {
        let mut returns: BTreeMap<Date, Vec<Option<f64>>> = BTreeMap::new();
        let mut sizes = returns.clone();
        let mut sample = Sample {
            symbols: Vec::new(),
            returns: Vec::new(),
            sizes: Vec::new(),
            total: Vec::new(),
            nights: Vec::new(),
            bipower: Vec::new(),
            has_minutes: all.iter().all(Prices::has_minutes),
        };
        if all.is_empty() {
            return Err(CalibrationError::Nothing);
        }
        for (column, prices) in all.iter().enumerate() {
            let days = prices.days();
            if days.len() < LEAST_DAYS {
                return Err(CalibrationError::Short {
                    symbol: prices.symbol.clone(),
                    days: days.len(),
                });
            }
            let (mut steps, mut nights) = (Vec::new(), Vec::new());
            for pair in days.windows(2) {
                let (before, day) = (&pair[0], &pair[1]);
                let step = (day.close / before.close).ln();
                let size = match day.variance {
                    Some(variance) if sample.has_minutes => Some(0.5 * variance.ln()),
                    _ => Some(step.abs().ln()),
                };
                let blank = || vec![None; all.len()];
                returns.entry(day.date).or_insert_with(blank)[column] = Some(step);
                // A price that did not move says nothing of how much it moves.
                sizes.entry(day.date).or_insert_with(blank)[column] =
                    size.filter(|size| size.is_finite());
                steps.push(step);
                nights.extend(day.open.map(|open| (open / before.raw_close).ln()));
            }
            let total = variance(&steps);
            if total <= 0.0 {
                return Err(CalibrationError::Flat(prices.symbol.clone()));
            }
            let known = nights.len() == steps.len();
            sample.symbols.push(prices.symbol.clone());
            sample.total.push(total);
            sample.nights.push(known.then(|| variance(&nights)));
            sample.bipower.extend(prices.bipower());
        }
        sample.returns = returns.into_values().collect();
        sample.sizes = sizes.into_values().collect();
        Ok(sample)
    }

    fn column(table: &[Vec<Option<f64>>], at: usize) -> Vec<Option<f64>> {
        table.iter().map(|row| row[at]).collect()
    }

    /// Mean correlations of symbols of different sectors, and of the same.
    fn correlations(&self) -> (Option<f64>, Option<f64>) {
        let (mut apart, mut together) = (Vec::new(), Vec::new());
        let columns: Vec<_> = (0..self.symbols.len())
            .map(|at| Self::column(&self.returns, at))
            .collect();
        for (at, one) in columns.iter().enumerate() {
            for (other, column) in columns[..at].iter().enumerate() {
                let found = correlation(one, column);
                if sector(&self.symbols[at]) == sector(&self.symbols[other]) {
                    together.push(found);
                } else {
                    apart.push(found);
                }
            }
        }
        let known = |list: Vec<f64>| (!list.is_empty()).then(|| mean(&list));
        (known(apart), known(together))
    }

    /// All symbols together: the mean of returns, each in its standard deviations, and the mean of
    /// log-volatilities, each less its own mean.
    fn index(&self) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
        let average = |row: &[Option<f64>], of: &dyn Fn(usize, f64) -> f64| {
            let known: Vec<f64> = row
                .iter()
                .enumerate()
                .filter_map(|(at, value)| value.map(|value| of(at, value)))
                .collect();
            (!known.is_empty()).then(|| mean(&known))
        };
        let centres: Vec<f64> = (0..self.symbols.len())
            .map(|at| {
                let known: Vec<f64> = Self::column(&self.sizes, at)
                    .into_iter()
                    .flatten()
                    .collect();
                mean(&known)
            })
            .collect();
        let returns = self.returns.iter();
        let returns = returns.map(|row| average(row, &|at, step| step / self.total[at].sqrt()));
        let sizes = self.sizes.iter();
        let sizes = sizes.map(|row| average(row, &|at, size| size - centres[at]));
        (returns.collect(), sizes.collect())
    }
}

/// Fits what the prices can tell.
///
/// # Errors
/// Where there are no prices, too few, or ones that never move.
pub fn calibrate(prices: &[Prices]) -> Result<Calibration, CalibrationError> {
    let sample = Sample::new(prices)?;
    let mut model = Model::default();
    let mut fits = Vec::new();
    let mut fit = |name, value: String, origin| {
        fits.push(Fit {
            name,
            value,
            origin,
        });
    };
    let fitted = |what: &str| Origin::Fitted(what.to_owned());
    let default = |why: &str| Origin::Default(why.to_owned());

    // Nights first: what they have of the variance, a session has not.
    let shares: Vec<f64> = (0..sample.total.len())
        .filter_map(|at| sample.nights[at].map(|night| night / sample.total[at]))
        .collect();
    let share = mean(&shares);
    let origin = if shares.len() == sample.total.len() && (0.05..0.7).contains(&share) {
        model.overnight = (share / (1.0 - share)).sqrt();
        fitted("opens against the closes before them")
    } else if shares.is_empty() {
        default("there are no opens")
    } else {
        default("opens are too near to the closes before them to tell nights")
    };
    let text = format!("{:.2} of a session's standard deviation", model.overnight);
    fit("overnight", text, origin);

    // Squares of jumps: their size is in standard deviations of five of a session's 390 minutes.
    let jumps = (model.jumps + model.market_jumps) * model.jump_size.powi(2) * 5.0 / 390.0;
    let session = 1.0 / (1.0 + model.overnight.powi(2) + jumps);
    let deviations = sample.total.iter().map(|total| (total * session).sqrt());
    let least = deviations.clone().fold(f64::INFINITY, f64::min);
    let greatest = deviations.fold(0.0, f64::max);
    model.volatility = (least, greatest);
    let text = format!(
        "{:.2} % to {:.2} % a session",
        100.0 * least,
        100.0 * greatest
    );
    fit("volatility", text, fitted("the variance of daily returns"));

    let (apart, together) = sample.correlations();
    match apart {
        Some(apart) => {
            model.market = apart.clamp(0.0, 0.95);
            let text = format!("{:.2} of the variance", model.market);
            fit("market", text, fitted("symbols of different sectors"));
        }
        None => fit(
            "market",
            format!("{:.2} of the variance", model.market),
            default("there are no two symbols of different sectors"),
        ),
    }
    model.sector = model.sector.min(1.0 - model.market);
    let origin = match together {
        Some(together) => {
            model.sector = (together - model.market).clamp(0.0, 1.0 - model.market);
            fitted("symbols of one sector")
        }
        None => default("there are no two symbols of one sector"),
    };
    fit(
        "sector",
        format!("{:.2} of the variance", model.sector),
        origin,
    );

    Slow::fit(&sample).apply(&mut model);
    for (name, at) in [("common[0]", 0), ("common[1]", 1)] {
        let part = model.common[at];
        let text = format!("{:.2}, forgotten in {:.0} sessions", part.sd, part.sessions);
        fit(
            name,
            text,
            fitted("autocovariance of log-volatility, lags 1 to 60"),
        );
    }

    let (index, sizes) = sample.index();
    model.leverage = slow::leverage(&model, sample.symbols.len(), session, &index, &sizes);
    let text = format!("{:.2}", model.leverage);
    fit(
        "leverage",
        text,
        fitted("returns against log-volatility 1 to 20 sessions later"),
    );

    let origin = if sample.bipower.is_empty() {
        default("only minute bars tell a minute's tail")
    } else {
        model.tail = tails::half_degrees(mean(&sample.bipower), &model, sample.symbols.len());
        fitted("products of neighbouring minutes' sizes")
    };
    let text = model.tail.map_or("normal".to_owned(), |half| {
        format!("{} degrees of freedom", 2 * half)
    });
    fit("tail", text, origin);

    for (name, why) in [
        (
            "common[2], own",
            "they need ticks, or many symbols' minutes",
        ),
        (
            "jumps",
            "they are rare; tails and jumps are hard to tell apart",
        ),
        ("shape", "it is the exchange's, not a symbol's"),
        ("rate, excitation, trades", "they need ticks"),
        ("persistence, impact, spread", "they need trades and quotes"),
    ] {
        fit(name, "default".to_owned(), default(why));
    }
    let facts = sample.symbols.iter().enumerate().map(|(at, symbol)| {
        let steps: Vec<f64> = Sample::column(&sample.returns, at)
            .into_iter()
            .flatten()
            .collect();
        (symbol.clone(), Facts::of(&steps))
    });
    Ok(Calibration {
        facts: facts.collect(),
        model,
        fits,
    })
}
