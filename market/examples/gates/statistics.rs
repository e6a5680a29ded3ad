//! Estimators.

/// Mean.
pub(crate) fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// The q-quantile (0 to 1), the nearest value; not a number without values.
pub(crate) fn quantile(x: &[f64], q: f64) -> f64 {
    let mut sorted: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[(q * (n - 1) as f64).round() as usize],
    }
}

/// Median; of an even number of values the mean of the middle two.
pub(crate) fn median(x: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

/// Fourth standardized moment, less 3.
pub(crate) fn excess_kurtosis(x: &[f64]) -> f64 {
    let m = mean(x);
    let moment = |power| x.iter().map(|x| (x - m).powi(power)).sum::<f64>() / x.len() as f64;
    moment(4) / moment(2).powi(2) - 3.0
}

/// Tail index of the greatest `share` of |x| (B. Hill, Annals of Statistics 3, 1975).
pub(crate) fn hill(x: &[f64], share: f64) -> f64 {
    let mut sizes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let k = (share * sizes.len() as f64) as usize;
    let logs = sizes[..k].iter().map(|size| (size / sizes[k]).ln());
    k as f64 / logs.sum::<f64>()
}

/// Autocorrelation at one lag.
pub(crate) fn acf(x: &[f64], lag: usize) -> f64 {
    let m = mean(x);
    let variance: f64 = x.iter().map(|x| (x - m).powi(2)).sum();
    let products = x.iter().zip(&x[lag.min(x.len())..]);
    products.map(|(a, b)| (a - m) * (b - m)).sum::<f64>() / variance
}

pub(crate) fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let dot = |a: &[f64], ma: f64, b: &[f64], mb: f64| {
        let products = a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb));
        products.sum::<f64>()
    };
    dot(x, mx, y, my) / (dot(x, mx, x, mx) * dot(y, my, y, my)).sqrt()
}

/// Ranks from 0, equal values sharing their mean rank.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut from = 0;
    for group in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = from as f64 + (group.len() - 1) as f64 / 2.0;
        for &at in group {
            ranks[at] = rank;
        }
        from += group.len();
    }
    ranks
}

/// Rank correlation.
pub(crate) fn spearman(x: &[f64], y: &[f64]) -> f64 {
    correlation(&ranks(x), &ranks(y))
}

/// Slope of the least-squares line.
pub(crate) fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let above: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    above / x.iter().map(|x| (x - mx).powi(2)).sum::<f64>()
}
