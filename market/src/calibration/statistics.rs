//! What is counted of series; gaps in them are passed over.

/// Facts about daily log returns, those by which markets are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Number of returns.
    pub days: usize,
    /// Standard deviation, of a day.
    pub deviation: f64,
    /// Excess kurtosis.
    pub kurtosis: f64,
    /// Hill's index of the largest 2 % of sizes.
    pub hill: f64,
    /// Autocorrelation of sizes at 1, 5 and 20 days.
    pub sizes: [f64; 3],
    /// Correlation of a return with the mean size of the next five days.
    pub leverage: f64,
}

impl Facts {
    /// The facts of a series of returns.
    pub fn of(returns: &[f64]) -> Facts {
        let centre = mean(returns);
        let square = variance(returns);
        let fourth = returns.iter().map(|r| (r - centre).powi(4));
        let fourth = fourth.sum::<f64>() / returns.len().max(1) as f64;
        let sizes: Vec<f64> = returns.iter().map(|r| r.abs()).collect();
        let lagged = |lag: usize| {
            let known = |list: &[f64]| list.iter().copied().map(Some).collect::<Vec<_>>();
            match sizes.len() > lag {
                true => correlation(&known(&sizes[lag..]), &known(&sizes[..sizes.len() - lag])),
                false => 0.0,
            }
        };
        let (before, after): (Vec<_>, Vec<_>) = (0..returns.len().saturating_sub(5))
            .map(|at| (Some(returns[at]), Some(mean(&sizes[at + 1..at + 6]))))
            .unzip();
        Facts {
            days: returns.len(),
            deviation: square.sqrt(),
            kurtosis: fourth / square.powi(2) - 3.0,
            hill: hill(&sizes),
            sizes: [1, 5, 20].map(lagged),
            leverage: correlation(&before, &after),
        }
    }
}

/// B. Hill, "A simple general approach to inference about the tail of a distribution", Annals of
/// Statistics 3, 1975; of the largest 2 %.
fn hill(sizes: &[f64]) -> f64 {
    let mut sorted = sizes.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let count = (sorted.len() / 50).max(2).min(sorted.len());
    match sorted[..count].split_last() {
        Some((least, greater)) if !greater.is_empty() && *least > 0.0 => {
            let logs = greater.iter().map(|size| (size / least).ln());
            greater.len() as f64 / logs.sum::<f64>()
        }
        _ => f64::NAN,
    }
}

/// The mean; 0 of nothing.
pub(super) fn mean(list: &[f64]) -> f64 {
    list.iter().sum::<f64>() / list.len().max(1) as f64
}

/// The variance; 0 of nothing.
pub(super) fn variance(list: &[f64]) -> f64 {
    let centre = mean(list);
    list.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / list.len().max(1) as f64
}

/// Covariance of two series where both are known.
pub(super) fn covariance(a: &[Option<f64>], b: &[Option<f64>]) -> f64 {
    let pairs: Vec<(f64, f64)> = a
        .iter()
        .zip(b)
        .filter_map(|(a, b)| Some(((*a)?, (*b)?)))
        .collect();
    let count = pairs.len().max(1) as f64;
    let centre = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (x, y) = (centre(|pair| pair.0), centre(|pair| pair.1));
    pairs.iter().map(|(a, b)| (a - x) * (b - y)).sum::<f64>() / count
}

/// Correlation of two series where both are known; 0 where one does not move.
pub(super) fn correlation(a: &[Option<f64>], b: &[Option<f64>]) -> f64 {
    let both: (Vec<_>, Vec<_>) = a
        .iter()
        .zip(b)
        .filter(|(a, b)| a.is_some() && b.is_some())
        .map(|(a, b)| (*a, *b))
        .unzip();
    let (a, b) = both;
    let scale = (covariance(&a, &a) * covariance(&b, &b)).sqrt();
    if scale > 0.0 {
        covariance(&a, &b) / scale
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_passed_over() {
        let a = [Some(1.0), None, Some(2.0), Some(3.0), Some(9.0)];
        let b = [Some(2.0), Some(7.0), Some(4.0), Some(6.0), None];
        assert!((correlation(&a, &b) - 1.0).abs() < 1e-12);
        assert!((covariance(&a, &b) - 4.0 / 3.0).abs() < 1e-12);
        assert!(correlation(&a, &[Some(1.0); 5]).abs() < 1e-12);
    }

    #[test]
    fn a_pareto_tail_has_its_index() {
        // Quantiles of P(X > x) = x^−3.
        let sizes: Vec<f64> = (1..=100_000)
            .map(|at| (f64::from(at) / 100_001.0).powf(-1.0 / 3.0))
            .collect();
        assert!((hill(&sizes) - 3.0).abs() < 0.05, "{}", hill(&sizes));
    }
}
