//! Slow volatility, and leverage: what log-volatility remembers, and what it follows.
//!
//! Of volatility on many scales two parts are found; the third, of minutes, needs ticks.

use super::Sample;
use super::statistics::{covariance, mean};
use crate::simulator::Model;

/// Lags in sessions.
const LAGS: usize = 60;
const LEVERAGE_LAGS: usize = 20;
/// Sessions in which the slow part may forget, and the faster one.
const SLOW: [f64; 10] = [
    10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 113.0, 160.0, 226.0,
];
const FASTER: [f64; 6] = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0];

/// Two parts of common log-volatility: sessions in which they forget, and variances.
#[derive(Clone, Copy)]
pub(super) struct Slow {
    sessions: [f64; 2],
    variances: [f64; 2],
}

/// The autocovariance of a part of variance 1 that forgets in `sessions`, seen as means over
/// sessions, at a lag of 1 or more.
pub(super) fn remembered(sessions: f64, lag: usize) -> f64 {
    let half = (0.5 / sessions).sinh();
    4.0 * sessions.powi(2) * half.powi(2) * (-(lag as f64) / sessions).exp()
}

/// What symbols' log-volatilities have in common at each lag: of one symbol its own
/// autocovariance.
fn common(sample: &Sample) -> Vec<f64> {
    let columns: Vec<_> = (0..sample.symbols.len())
        .map(|at| Sample::column(&sample.sizes, at))
        .collect();
    let at_lag = |lag: usize| {
        let lagged = |one: &[Option<f64>], other: &[Option<f64>]| {
            covariance(&one[lag..], &other[..other.len() - lag])
        };
        if let [only] = &columns[..] {
            return lagged(only, only);
        }
        let mut all = Vec::new();
        for (at, one) in columns.iter().enumerate() {
            for (other, column) in columns.iter().enumerate() {
                if at != other {
                    all.push(lagged(one, column));
                }
            }
        }
        mean(&all)
    };
    let longest = LAGS.min(sample.sizes.len() / 4);
    (1..=longest).map(at_lag).collect()
}

impl Slow {
    /// The two parts that are nearest to what is seen, by least squares.
    pub(super) fn fit(sample: &Sample) -> Slow {
        let seen = common(sample);
        let part = |sessions: f64| -> Vec<f64> {
            (1..=seen.len())
                .map(|lag| remembered(sessions, lag))
                .collect()
        };
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut best: Option<(f64, Slow)> = None;
        for faster in FASTER {
            for slow in SLOW.into_iter().filter(|slow| *slow >= 3.0 * faster) {
                let (one, two) = (part(slow), part(faster));
                let (a, b, c) = (
                    product(&one, &one),
                    product(&one, &two),
                    product(&two, &two),
                );
                let (p, q) = (product(&one, &seen), product(&two, &seen));
                let determinant = a * c - b * b;
                let (x, y) = ((c * p - b * q) / determinant, (a * q - b * p) / determinant);
                // A variance that would be negative is none.
                let (x, y) = match (x > 0.0, y > 0.0) {
                    (true, true) => (x, y),
                    (_, false) => ((p / a).max(0.0), 0.0),
                    (false, true) => (0.0, (q / c).max(0.0)),
                };
                let error: f64 = (0..seen.len())
                    .map(|at| (seen[at] - x * one[at] - y * two[at]).powi(2))
                    .sum();
                if best.is_none_or(|(least, _)| error < least) {
                    let found = Slow {
                        sessions: [slow, faster],
                        variances: [x, y],
                    };
                    best = Some((error, found));
                }
            }
        }
        best.map_or(
            Slow {
                sessions: [SLOW[0], FASTER[0]],
                variances: [0.0; 2],
            },
            |(_, found)| found,
        )
    }

    pub(super) fn apply(&self, model: &mut Model) {
        for (at, part) in model.common.iter_mut().take(2).enumerate() {
            part.sessions = self.sessions[at];
            part.sd = self.variances[at].sqrt();
        }
    }
}

/// Correlation of the market's returns with the shocks of volatility that follow them: what makes
/// `index` (in standard deviations) have the covariances with `sizes` some sessions later that it
/// has. `session` is the share of a session in a day's variance.
pub(super) fn leverage(
    model: &Model,
    symbols: usize,
    session: f64,
    index: &[Option<f64>],
    sizes: &[Option<f64>],
) -> f64 {
    // Returns in the standard deviations of their time: of the 20 sessions before.
    let mut scale = 0.0;
    let scaled: Vec<Option<f64>> = index
        .iter()
        .zip(sizes)
        .map(|(step, size)| {
            let now = step.map(|step| step / f64::exp(scale));
            scale = 0.95 * scale + 0.05 * size.unwrap_or(scale);
            now
        })
        .collect();
    let spread = covariance(&scaled, &scaled).sqrt();
    // A shock reaches a part a minute later and fades; both ends are means over a session.
    let expected = |lag: usize| -> f64 {
        let parts = model.common.iter().map(|part| {
            let within = part.sessions * (1.0 - (-1.0 / part.sessions).exp());
            let fades = (-((lag - 1) as f64) / part.sessions).exp();
            part.sd * (2.0 / part.sessions).sqrt() * within.powi(2) * fades
        });
        parts.sum()
    };
    // Of all symbols together the market is the greater part; of one, that is the market itself.
    let others = model.sector / symbols.clamp(1, 11) as f64
        + (1.0 - model.market - model.sector) / symbols as f64;
    let market = if symbols == 1 {
        1.0
    } else {
        model.market / (model.market + others)
    };
    // A shock is the normal part of a return that has a tail: their correlation is E g.
    let tail = model.tail.map_or(1.0, |half| {
        let half = f64::from(half);
        (half - 1.0).sqrt() * (libm::lgamma(half - 0.5) - libm::lgamma(half)).exp()
    });
    let (mut with, mut of) = (0.0, 0.0);
    for lag in 1..=LEVERAGE_LAGS.min(index.len() / 4) {
        let seen = covariance(&sizes[lag..], &scaled[..scaled.len() - lag]) / spread;
        with += seen * expected(lag);
        of += expected(lag).powi(2);
    }
    if of > 0.0 {
        (with / of / ((market * session).sqrt() * tail)).clamp(-0.99, 0.99)
    } else {
        0.0
    }
}
