//! Corporate actions: dividends and splits, on the first session without the right to them.
//!
//! The price opens lower by a dividend, and is divided by a split (J. Elton, M. Gruber, "Marginal
//! stockholder tax rates and the clientele effect", Review of Economics and Statistics 52, 1970).
//! Of the symbols 60 % pay dividends, four a year, of 0.5 to 4 % a year. Shares that have become
//! dear are split, shares that have become cheap are put together.

use super::draws::{Key, Purpose};

/// What happens to a company's shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Money a share, in steps of 1e-9.
    Dividend(i64),
    /// New shares for old ones.
    Split { new: u32, old: u32 },
}

/// Share of symbols that pay.
const PAYING: f64 = 0.6;
const LEAST_YIELD: f64 = 0.005;
const GREATEST_YIELD: f64 = 0.04;
/// Days between two dividends.
const QUARTER: u64 = 91;
/// Dividends are whole hundredths of the currency.
const CENT: f64 = 0.01;
/// Prices (for a price level of 1) beyond which shares are split or put together, and how
/// probable that is in a session.
const DEAR: f64 = 500.0;
const CHEAP: f64 = 2.0;
const SPLIT_CHANCE: f64 = 1.0 / 500.0;
/// Where a split leads to.
const AIM: f64 = 150.0;

/// What happens to a symbol in the session that opens on `day` (days since 1970), after one on
/// `before`, at a price in units of currency.
pub(super) fn action(key: &Key, before: u64, day: u64, price: f64, level: f64) -> Option<Action> {
    let mut draws = key.draws(Purpose::Corporate, day);
    let (chance, at) = (draws.uniform(), price / level);
    if at > DEAR && chance < SPLIT_CHANCE {
        let new = libm::rint(at / AIM).clamp(2.0, 20.0) as u32;
        return Some(Action::Split { new, old: 1 });
    }
    if at < CHEAP && chance < SPLIT_CHANCE {
        return Some(Action::Split { new: 1, old: 10 });
    }
    let mut constants = key.draws(Purpose::Constants, 2);
    let pays = constants.uniform() < PAYING;
    let a_year = LEAST_YIELD + (GREATEST_YIELD - LEAST_YIELD) * constants.uniform();
    let phase = constants.bits() % QUARTER;
    let quarter = |day: u64| (day + phase) / QUARTER;
    if !pays || quarter(before) == quarter(day) {
        return None;
    }
    let cents = libm::rint(price * a_year / 4.0 / CENT);
    (cents >= 1.0).then(|| Action::Dividend(cents as i64 * 10_000_000))
}

impl Action {
    /// What it adds to the logarithm of a price.
    pub(super) fn log_step(self, price: f64) -> f64 {
        match self {
            Action::Dividend(amount) => libm::log(1.0 - amount as f64 / 1e9 / price),
            Action::Split { new, old } => -libm::log(f64::from(new) / f64::from(old)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_symbols_pay_four_times_a_year_and_the_price_gives_way() {
        let (mut paying, mut count) = (0, 0);
        for symbol in 0..200 {
            let key = Key::new(1, &format!("S{symbol}"));
            let dividends: Vec<_> = (20_000..20_364)
                .filter_map(|day| action(&key, day - 1, day, 100.0, 1.0))
                .collect();
            paying += u32::from(!dividends.is_empty());
            count += dividends.len();
            for dividend in dividends {
                let Action::Dividend(amount) = dividend else {
                    panic!("{dividend:?}");
                };
                let part = 1.0 - libm::exp(dividend.log_step(100.0));
                assert!((part - amount as f64 / 1e11).abs() < 1e-12, "{part}");
                assert!((0.001..=0.0101).contains(&part), "{part}");
            }
        }
        assert!((100..140).contains(&paying), "{paying}");
        assert_eq!(count, 4 * paying as usize);
    }

    #[test]
    fn dear_shares_are_split_and_cheap_ones_put_together() {
        let splits = |price: f64| {
            let key = Key::new(1, "A");
            (0..20_000)
                .filter_map(|day| action(&key, day, day, price, 1.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(splits(100.0), []);
        let (dear, cheap) = (splits(900.0), splits(1.0));
        assert!((20..60).contains(&dear.len()), "{}", dear.len());
        assert_eq!(dear[0], Action::Split { new: 6, old: 1 });
        assert_eq!(cheap[0], Action::Split { new: 1, old: 10 });
        assert!((cheap[0].log_step(1.0) - 10_f64.ln()).abs() < 1e-12);
    }
}
