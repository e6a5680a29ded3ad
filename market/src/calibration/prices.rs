//! Prices to calibrate to.

use jiff::civil::{Date, DateTime};

/// One bar: of a day, or of a minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriceBar {
    /// When, on the exchange's clock; midnight for a daily bar.
    pub at: DateTime,
    /// First price, where it is known.
    pub open: Option<f64>,
    /// Last price.
    pub close: f64,
    /// Last price adjusted for dividends and splits, where it is known.
    pub adjusted: Option<f64>,
}

/// Prices of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// Its name.
    pub symbol: String,
    bars: Vec<PriceBar>,
}

/// Bars that are no prices of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    /// Two bars of one time.
    #[error("two bars are of {0}; a symbol has one at a time")]
    Twice(DateTime),
    /// A price of nothing.
    #[error("the price at {0} is not above zero")]
    NotPositive(DateTime),
}

/// A session of a symbol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Day {
    /// Its date.
    pub date: Date,
    /// Its first price.
    pub open: Option<f64>,
    /// Its last price, adjusted where that is known.
    pub close: f64,
    /// Its last price as it was.
    pub raw_close: f64,
    /// The sum of squares of its minutes' log returns.
    pub variance: Option<f64>,
}

impl Prices {
    /// Prices of a symbol, in any order.
    ///
    /// # Errors
    /// Where two bars have one time, or a price is not above zero.
    pub fn new(symbol: String, mut bars: Vec<PriceBar>) -> Result<Prices, PricesError> {
        bars.sort_by_key(|bar| bar.at);
        if let Some(pair) = bars.windows(2).find(|pair| pair[0].at == pair[1].at) {
            return Err(PricesError::Twice(pair[0].at));
        }
        for bar in &bars {
            let all = [Some(bar.close), bar.open, bar.adjusted];
            if all
                .into_iter()
                .flatten()
                .any(|price| price.is_nan() || price <= 0.0)
            {
                return Err(PricesError::NotPositive(bar.at));
            }
        }
        Ok(Prices { symbol, bars })
    }

    /// Whether days have many bars.
    pub fn has_minutes(&self) -> bool {
        let days = self.bars.chunk_by(|a, b| a.at.date() == b.at.date());
        self.bars.len() >= 20 * days.count().max(1)
    }

    /// Its sessions.
    pub fn days(&self) -> Vec<Day> {
        let minutes = self.has_minutes();
        self.bars
            .chunk_by(|a, b| a.at.date() == b.at.date())
            .map(|bars| {
                let (first, last) = (&bars[0], &bars[bars.len() - 1]);
                let squares = steps(bars).map(|step| step * step).sum::<f64>();
                Day {
                    date: first.at.date(),
                    open: first.open.or(minutes.then_some(first.close)),
                    close: last.adjusted.unwrap_or(last.close),
                    raw_close: last.close,
                    variance: minutes.then_some(squares),
                }
            })
            .collect()
    }

    /// E|r r'| / E r² of neighbouring minutes; none without minutes.
    pub(super) fn bipower(&self) -> Option<f64> {
        if !self.has_minutes() {
            return None;
        }
        let (mut products, mut squares) = (0.0, 0.0);
        for day in self.bars.chunk_by(|a, b| a.at.date() == b.at.date()) {
            let steps: Vec<f64> = steps(day).collect();
            products += steps
                .windows(2)
                .map(|pair| (pair[0] * pair[1]).abs())
                .sum::<f64>();
            squares += steps.iter().skip(1).map(|step| step * step).sum::<f64>();
        }
        (squares > 0.0).then(|| products / squares)
    }
}

/// Log returns from bar to bar.
fn steps(bars: &[PriceBar]) -> impl Iterator<Item = f64> {
    bars.windows(2)
        .map(|pair| (pair[1].close / pair[0].close).ln())
}
