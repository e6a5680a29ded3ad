//! The statistics of a tape, one a gate.

use crate::statistics::{
    acf, correlation, excess_kurtosis, hill, mean, median, quantile, slope, spearman,
};
use crate::tape::{Day, MINUTES, Print, SYMBOLS, Tape};

/// Five-minute returns a day.
const BUCKETS: usize = 78;

/// A symbol's five-minute series, days joined.
struct Series {
    /// Log returns of the mid.
    returns: Vec<f64>,
    /// Those, divided by the mean size in their bucket of the day.
    plain: Vec<f64>,
    /// Volume, likewise divided.
    volume: Vec<f64>,
}

fn log_mid(twice: i64) -> f64 {
    (twice as f64 / 2e9).ln()
}

fn by_bucket(x: &[f64]) -> Vec<f64> {
    let days = x.len() / BUCKETS;
    let mean_of = |bucket: usize| {
        let sizes = (0..days).map(|day| x[day * BUCKETS + bucket].abs());
        sizes.sum::<f64>() / days as f64
    };
    let means: Vec<f64> = (0..BUCKETS).map(mean_of).collect();
    x.iter()
        .enumerate()
        .map(|(at, x)| x / means[at % BUCKETS].max(f64::MIN_POSITIVE))
        .collect()
}

fn series(days: &[Day]) -> Series {
    let (mut returns, mut volume) = (Vec::new(), Vec::new());
    for day in days {
        let mut before = log_mid(day.open);
        for bars in day.minutes.chunks(5) {
            let now = log_mid(bars[4].mid);
            returns.push(now - before);
            before = now;
            volume.push(bars.iter().map(|bar| bar.volume as f64).sum());
        }
    }
    Series {
        plain: by_bucket(&returns),
        volume: by_bucket(&volume),
        returns,
    }
}

fn sizes(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.abs()).collect()
}

/// Every statistic of the table, in its order, by name.
pub(crate) fn measure(tape: &Tape) -> Vec<(&'static str, f64)> {
    let all: Vec<Series> = tape.days.iter().map(|days| series(days)).collect();
    let count = tape.days[0].len();
    let first = count.min(60) * BUCKETS;
    let over = |of: &dyn Fn(&Series) -> f64| median(&all.iter().map(of).collect::<Vec<_>>());
    let top = |of: &dyn Fn(&Series) -> f64| median(&all[..4].iter().map(of).collect::<Vec<_>>());

    let kurtosis = over(&|series| {
        let blocks = series.plain.chunks_exact(60 * BUCKETS).map(excess_kurtosis);
        median(&blocks.collect::<Vec<_>>())
    });
    let acf_return = over(&|series| {
        let bound = 4.0 * median(&sizes(&series.plain));
        let winsorised: Vec<f64> = series
            .plain
            .iter()
            .map(|r| r.clamp(-bound, bound))
            .collect();
        (1..=20)
            .map(|lag| acf(&winsorised, lag).abs())
            .fold(0.0, f64::max)
    });
    let acf_size = |lag| over(&|series| acf(&sizes(&series.plain), lag));
    let taylor = over(&|series| {
        let squares: Vec<f64> = series.plain.iter().map(|r| r * r).collect();
        acf(&sizes(&series.plain), 3) - acf(&squares, 3)
    });
    let hours = over(&|series| {
        let days = series.plain.chunks(BUCKETS);
        let hours: Vec<f64> = days
            .flat_map(|day| day.chunks_exact(12).map(|hour| hour.iter().sum()))
            .collect();
        excess_kurtosis(&hours) / excess_kurtosis(&series.plain)
    });
    let daily = over(&|series| {
        let days = series.returns.chunks(BUCKETS);
        let scaled: Vec<f64> = days
            .map(|day| day.iter().sum::<f64>() / day.iter().map(|r| r * r).sum::<f64>().sqrt())
            .collect();
        excess_kurtosis(&scaled)
    });
    let spread = median(
        &tape
            .days
            .iter()
            .map(|days| spread_volatility(days))
            .collect::<Vec<_>>(),
    );
    vec![
        ("kurtosis", kurtosis),
        ("hill", over(&|series| hill(&series.plain[..first], 0.01))),
        ("acf r", acf_return),
        ("acf |r| 1 h", acf_size(12)),
        ("acf |r| 1 d", acf_size(BUCKETS)),
        ("decay", decay(&all)),
        ("taylor", taylor),
        ("aggregation", hours),
        ("daily r/RV", daily),
        (
            "volume-volatility",
            top(&|series| spearman(&sizes(&series.plain[..first]), &series.volume[..first])),
        ),
        ("edge / midday", over_days(tape, edge)),
        (
            "fano",
            median(
                &tape.days[..4]
                    .iter()
                    .map(|days| fano(days))
                    .collect::<Vec<_>>(),
            ),
        ),
        ("self-excitation", self_excitation(&tape.prints[0])),
        ("durations", durations(&tape.prints[0])),
        ("bounce", bounce(&tape.prints)),
        ("signs acf", signs(&tape.prints).0),
        ("signs slope", signs(&tape.prints).1),
        ("impact", impact(&tape.prints)),
        ("leverage", leverage(&all)),
        ("correlation", correlation_error(&all)),
        ("epps", epps(tape, &all)),
        ("spread-volatility", spread),
        ("overnight", over_days(tape, overnight)),
        ("integrity", tape.violations as f64),
    ]
}

fn over_days(tape: &Tape, of: fn(&[Day]) -> f64) -> f64 {
    median(&tape.days.iter().map(|days| of(days)).collect::<Vec<_>>())
}

/// Exponent of the decay of the mean ACF of sizes, 15 minutes to 10 days in 12 logarithmic bins;
/// not a number if a bin is at most 0.005.
fn decay(all: &[Series]) -> f64 {
    let (least, greatest) = (3.0_f64, 780.0_f64);
    let edge = |bin: usize| least * (greatest / least).powf(bin as f64 / 12.0);
    let sizes: Vec<Vec<f64>> = all.iter().map(|series| sizes(&series.plain)).collect();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for bin in 0..12 {
        let from = edge(bin).round() as usize;
        let until = (edge(bin + 1).round() as usize).max(from + 1);
        // At most eight lags of a bin, evenly: neighbours say the same.
        let step = ((until - from) / 8).max(1);
        let lags: Vec<usize> = (from..until).step_by(step).collect();
        let values: Vec<f64> = lags
            .iter()
            .flat_map(|&lag| sizes.iter().map(move |sizes| acf(sizes, lag)))
            .collect();
        x.push((edge(bin) * edge(bin + 1)).sqrt().ln());
        y.push(mean(&values));
    }
    if y.iter().any(|&y| y <= 0.005) {
        return f64::NAN;
    }
    -slope(&x, &y.iter().map(|y| y.ln()).collect::<Vec<_>>())
}

/// Mean volume a minute in the first and last half hour over that from 12:00 to 13:30.
fn edge(days: &[Day]) -> f64 {
    let sum = |minutes: std::ops::Range<usize>| {
        let bars = days
            .iter()
            .take(60)
            .flat_map(|day| &day.minutes[minutes.clone()]);
        bars.map(|bar| bar.volume as f64).sum::<f64>()
    };
    (sum(0..30) + sum(MINUTES - 30..MINUTES)) / 60.0 / (sum(150..240) / 90.0)
}

/// Variance over mean of a minute's trades across days, the mean over the minutes of the day.
fn fano(days: &[Day]) -> f64 {
    let of = |minute: usize| {
        let counts: Vec<f64> = days
            .iter()
            .map(|day| f64::from(day.minutes[minute].trades))
            .collect();
        let m = mean(&counts);
        counts.iter().map(|count| (count - m).powi(2)).sum::<f64>() / (counts.len() - 1) as f64 / m
    };
    mean(&(0..MINUTES).map(of).collect::<Vec<_>>())
}

/// Dispersion of a minute's twelve counts of five seconds given their sum, where that is at
/// least 12: 1 for a Poisson process of whatever rate.
fn self_excitation(prints: &[Print]) -> f64 {
    let mut dispersions = Vec::new();
    let minute = |print: &Print| (print.day, print.after_ns / 60_000_000_000);
    for prints in prints.chunk_by(|a, b| minute(a) == minute(b)) {
        if prints.len() < 12 {
            continue;
        }
        let mut counts = [0.0; 12];
        for print in prints {
            counts[(print.after_ns % 60_000_000_000 / 5_000_000_000) as usize] += 1.0;
        }
        let expected = prints.len() as f64 / 12.0;
        let square = counts.iter().map(|count: &f64| (count - expected).powi(2));
        dispersions.push(square.sum::<f64>() / expected / 11.0);
    }
    mean(&dispersions)
}

/// Pairs of successive trades of one day.
fn pairs(prints: &[Print]) -> impl Iterator<Item = (&Print, &Print)> {
    prints
        .windows(2)
        .filter(|pair| pair[0].day == pair[1].day)
        .map(|pair| (&pair[0], &pair[1]))
}

/// Coefficient of variation of the time between trades.
fn durations(prints: &[Print]) -> f64 {
    let gaps: Vec<f64> = pairs(prints)
        .map(|(a, b)| (b.after_ns - a.after_ns) as f64)
        .collect();
    let m = mean(&gaps);
    mean(&gaps.iter().map(|gap| (gap - m).powi(2)).collect::<Vec<_>>()).sqrt() / m
}

fn bounce(prints: &[Vec<Print>]) -> f64 {
    let of = |prints: &Vec<Print>| {
        let steps: Vec<f64> = pairs(prints)
            .map(|(a, b)| (b.price / a.price).ln())
            .collect();
        acf(&steps, 1)
    };
    mean(&prints.iter().map(of).collect::<Vec<_>>())
}

/// ACF of signs at lag 1, and the exponent of its decay from lag 1 to 64.
fn signs(prints: &[Vec<Print>]) -> (f64, f64) {
    let signs: Vec<Vec<f64>> = prints
        .iter()
        .map(|prints| prints.iter().map(|print| print.sign).collect())
        .collect();
    let at = |lag| {
        mean(
            &signs
                .iter()
                .map(|signs| acf(signs, lag))
                .collect::<Vec<_>>(),
        )
    };
    let lags = [1, 2, 4, 8, 16, 32, 64];
    let x: Vec<f64> = lags.iter().map(|&lag| (lag as f64).ln()).collect();
    let y: Vec<f64> = lags.iter().map(|&lag| at(lag).ln()).collect();
    let exponent = if y.iter().any(|y| y.is_nan()) {
        f64::NAN
    } else {
        -slope(&x, &y)
    };
    (at(1), exponent)
}

/// How far the mid goes the trade's way until the next trade, in half spreads.
fn impact(prints: &[Vec<Print>]) -> f64 {
    let moves = prints.iter().flat_map(|prints| pairs(prints));
    let moves: Vec<f64> = moves
        .map(|(a, b)| a.sign * (b.mid - a.mid) / a.half_spread)
        .collect();
    mean(&moves)
}

/// Correlation of the index's return with the mean size of its next day's.
fn leverage(all: &[Series]) -> f64 {
    let length = all[0].plain.len();
    let index: Vec<f64> = (0..length)
        .map(|at| all.iter().map(|series| series.returns[at]).sum::<f64>())
        .collect();
    let index = by_bucket(&index);
    let mut sums = vec![0.0];
    for r in &index {
        sums.push(sums[sums.len() - 1] + r.abs());
    }
    let later: Vec<f64> = (0..length - BUCKETS)
        .map(|at| sums[at + 1 + BUCKETS] - sums[at + 1])
        .collect();
    correlation(&index[..length - BUCKETS], &later)
}

fn of_pairs(of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..SYMBOLS.len())
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .map(|(a, b)| of(a, b))
        .collect()
}

/// How far correlations are from those that the model means: 0.5 within a sector, else 0.3.
fn correlation_error(all: &[Series]) -> f64 {
    let errors = of_pairs(|a, b| {
        // The symbols of a sector are every third.
        let meant = if a % 3 == b % 3 { 0.5 } else { 0.3 };
        (correlation(&all[a].returns, &all[b].returns) - meant).abs()
    });
    quantile(&errors, 0.9)
}

/// Mean correlation of last trades over a minute, over that of mids over five.
fn epps(tape: &Tape, all: &[Series]) -> f64 {
    let minutes: Vec<Vec<f64>> = tape
        .days
        .iter()
        .map(|days| {
            let mut returns = Vec::new();
            for day in days.iter().take(60) {
                let mut before = 0.0;
                for bar in &day.minutes {
                    let close = bar.prices[3];
                    let now = if close == 0 {
                        before
                    } else {
                        (close as f64).ln()
                    };
                    returns.push(if before == 0.0 { 0.0 } else { now - before });
                    before = now;
                }
            }
            returns
        })
        .collect();
    let first = minutes[0].len() / 5;
    let fast = of_pairs(|a, b| correlation(&minutes[a], &minutes[b]));
    let slow = of_pairs(|a, b| correlation(&all[a].returns[..first], &all[b].returns[..first]));
    mean(&fast) / mean(&slow)
}

/// Rank correlation of half an hour's mean spread and realized volatility.
fn spread_volatility(days: &[Day]) -> f64 {
    let (mut spreads, mut volatilities) = (Vec::new(), Vec::new());
    for day in days.iter().take(60) {
        let mut before = log_mid(day.open);
        for bars in day.minutes.chunks(30) {
            let (sum, quotes) = bars.iter().fold((0.0, 0), |(sum, n), bar| {
                (sum + bar.spread.0, n + bar.spread.1)
            });
            let mut square = 0.0;
            for bar in bars {
                let now = log_mid(bar.mid);
                square += (now - before).powi(2);
                before = now;
            }
            if quotes > 0 {
                spreads.push(sum / f64::from(quotes));
                volatilities.push(square);
            }
        }
    }
    spearman(&spreads, &volatilities)
}

/// Share of nights in the variance of close-to-close returns.
fn overnight(days: &[Day]) -> f64 {
    let square = |x: Vec<f64>| mean(&x.iter().map(|x| x * x).collect::<Vec<_>>());
    let close = |day: &Day| log_mid(day.minutes[MINUTES - 1].mid);
    let nights = days
        .windows(2)
        .map(|pair| log_mid(pair[1].open) - close(&pair[0]));
    let by_day = days.iter().map(|day| close(day) - log_mid(day.open));
    let night = square(nights.collect());
    night / (night + square(by_day.collect()))
}
