//! What is listed: plausible prices and sectors of known symbols, and names for universes.

use super::draws::{Key, Purpose};
use crate::tick::Symbol;

/// Number of sectors, those of the Global Industry Classification Standard.
pub(super) const SECTORS: usize = 11;

/// Symbols with a first price in dollars near what they have been known for (not a quotation),
/// and their sector: 0 energy, 1 materials, 2 industrials, 3 discretionary, 4 staples, 5 health,
/// 6 financials, 7 technology, 8 communication, 9 utilities, 10 real estate.
const KNOWN: [(&str, f64, u8); 48] = [
    ("NVDA", 135.0, 7),
    ("AAPL", 225.0, 7),
    ("MSFT", 420.0, 7),
    ("TSLA", 320.0, 3),
    ("AMZN", 200.0, 3),
    ("AMD", 140.0, 7),
    ("META", 560.0, 8),
    ("GOOGL", 175.0, 8),
    ("JPM", 240.0, 6),
    ("XOM", 120.0, 0),
    ("UNH", 580.0, 5),
    ("JNJ", 155.0, 5),
    ("WMT", 85.0, 4),
    ("V", 305.0, 6),
    ("PG", 168.0, 4),
    ("HD", 400.0, 3),
    ("BAC", 46.0, 6),
    ("CVX", 155.0, 0),
    ("LLY", 800.0, 5),
    ("PFE", 26.0, 5),
    ("KO", 63.0, 4),
    ("PEP", 160.0, 4),
    ("NFLX", 820.0, 8),
    ("DIS", 110.0, 8),
    ("INTC", 25.0, 7),
    ("ORCL", 180.0, 7),
    ("CSCO", 58.0, 7),
    ("IBM", 210.0, 7),
    ("BRK.B", 465.0, 6),
    ("GS", 590.0, 6),
    ("MRK", 100.0, 5),
    ("COP", 108.0, 0),
    ("SLB", 42.0, 0),
    ("CAT", 390.0, 2),
    ("GE", 178.0, 2),
    ("BA", 150.0, 2),
    ("LIN", 455.0, 1),
    ("FCX", 44.0, 1),
    ("NEE", 77.0, 9),
    ("SO", 88.0, 9),
    ("PLD", 115.0, 10),
    ("AMT", 203.0, 10),
    ("T", 23.0, 8),
    ("VZ", 42.0, 8),
    ("NKE", 76.0, 3),
    ("MCD", 295.0, 3),
    ("GOOG", 176.0, 8),
    ("C", 69.0, 6),
];

/// Symbols that are no company's: known for their price, of no particular sector.
const OTHERS: [(&str, f64); 5] = [
    ("SPY", 590.0),
    ("QQQ", 505.0),
    ("BTC-USD", 95_000.0),
    ("ETH-USD", 3_300.0),
    ("SOL-USD", 240.0),
];

/// A first price in dollars, for symbols that are known.
pub(super) fn known_price(symbol: &str) -> Option<f64> {
    let known = KNOWN.iter().map(|&(name, price, _)| (name, price));
    known
        .chain(OTHERS)
        .find_map(|(name, price)| (name == symbol).then_some(price))
}

/// The sector of a symbol; one that is not known gets its own from its name.
pub(crate) fn sector(symbol: &str) -> usize {
    let known = KNOWN.iter().find(|(name, ..)| *name == symbol);
    known.map_or_else(
        || {
            let bits = Key::new(0, symbol).draws(Purpose::Constants, 1).bits();
            (bits % SECTORS as u64) as usize
        },
        |&(_, _, sector)| usize::from(sector),
    )
}

/// The names of a universe of that size, most active first: known ones, then tickers of three
/// and four letters that can be spoken. A smaller universe is the beginning of a larger one.
pub fn universe(size: usize) -> Vec<Symbol> {
    const CONSONANTS: &[u8] = b"BCDFGHKLMNPRSTVWZ";
    const VOWELS: &[u8] = b"AEIOU";
    let (c, v) = (CONSONANTS.len(), VOWELS.len());
    let three = c * v * c;
    let ticker = |number: usize| {
        // A step without a common factor walks through all of them, far apart from one another.
        let spread = |number: usize, count: usize, step: usize| (number * step) % count;
        let (base, end) = if number < three {
            (spread(number, three, 607), None)
        } else {
            let number = spread(number - three, three * v, 3_001);
            (number / v, Some(VOWELS[number % v]))
        };
        let letters = [
            CONSONANTS[base / (v * c)],
            VOWELS[base / c % v],
            CONSONANTS[base % c],
        ];
        letters
            .into_iter()
            .chain(end)
            .map(char::from)
            .collect::<String>()
    };
    let known = KNOWN.iter().map(|&(name, ..)| name.to_owned());
    let made = (0..three * (1 + v))
        .map(ticker)
        .filter(|name| known_price(name).is_none());
    let numbered = (0..).map(|number| format!("ZZ{number}"));
    known
        .chain(made)
        .chain(numbered)
        .take(size)
        .map(|name| Symbol::from_valid(&name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_universe_has_unique_names_and_begins_like_a_smaller_one() {
        let names = universe(10_000);
        assert_eq!(names.len(), 10_000);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 10_000);
        assert_eq!(universe(60)[..], names[..60]);
        assert!(names.iter().all(|name| Symbol::is_valid(name)));
    }

    #[test]
    fn unknown_symbols_are_spread_over_all_sectors() {
        let names = universe(1_000);
        let sectors: HashSet<usize> = names[48..].iter().map(|name| sector(name)).collect();
        assert_eq!(sectors.len(), SECTORS);
        assert_eq!(sector("AAPL"), 7);
    }
}
