//! What is listed: plausible prices and sectors of known symbols, and names for universes.

mod names;

use super::draws::{Key, Purpose};
use super::ladder::Ladder;
use super::lane::first_price;
use crate::calendar::Calendar;
use crate::tick::{Price, Symbol};

/// The sectors of the Global Industry Classification Standard (MSCI and S&P, as of 2023).
const SECTOR_NAMES: [&str; SECTORS] = [
    "Energy",
    "Materials",
    "Industrials",
    "Consumer Discretionary",
    "Consumer Staples",
    "Health Care",
    "Financials",
    "Information Technology",
    "Communication Services",
    "Utilities",
    "Real Estate",
];

/// Number of sectors.
pub(super) const SECTORS: usize = 11;

/// Symbols with their company, a first price in dollars near what they have been known for (not a
/// quotation), and their sector, an index of [`SECTOR_NAMES`].
const KNOWN: [(&str, &str, f64, u8); 48] = [
    ("NVDA", "Nvidia", 135.0, 7),
    ("AAPL", "Apple", 225.0, 7),
    ("MSFT", "Microsoft", 420.0, 7),
    ("TSLA", "Tesla", 320.0, 3),
    ("AMZN", "Amazon.com", 200.0, 3),
    ("AMD", "Advanced Micro Devices", 140.0, 7),
    ("META", "Meta Platforms", 560.0, 8),
    ("GOOGL", "Alphabet, class A", 175.0, 8),
    ("JPM", "JPMorgan Chase", 240.0, 6),
    ("XOM", "Exxon Mobil", 120.0, 0),
    ("UNH", "UnitedHealth", 580.0, 5),
    ("JNJ", "Johnson & Johnson", 155.0, 5),
    ("WMT", "Walmart", 85.0, 4),
    ("V", "Visa", 305.0, 6),
    ("PG", "Procter & Gamble", 168.0, 4),
    ("HD", "Home Depot", 400.0, 3),
    ("BAC", "Bank of America", 46.0, 6),
    ("CVX", "Chevron", 155.0, 0),
    ("LLY", "Eli Lilly", 800.0, 5),
    ("PFE", "Pfizer", 26.0, 5),
    ("KO", "Coca-Cola", 63.0, 4),
    ("PEP", "PepsiCo", 160.0, 4),
    ("NFLX", "Netflix", 820.0, 8),
    ("DIS", "Walt Disney", 110.0, 8),
    ("INTC", "Intel", 25.0, 7),
    ("ORCL", "Oracle", 180.0, 7),
    ("CSCO", "Cisco Systems", 58.0, 7),
    ("IBM", "International Business Machines", 210.0, 7),
    ("BRK.B", "Berkshire Hathaway, class B", 465.0, 6),
    ("GS", "Goldman Sachs", 590.0, 6),
    ("MRK", "Merck", 100.0, 5),
    ("COP", "ConocoPhillips", 108.0, 0),
    ("SLB", "SLB", 42.0, 0),
    ("CAT", "Caterpillar", 390.0, 2),
    ("GE", "GE Aerospace", 178.0, 2),
    ("BA", "Boeing", 150.0, 2),
    ("LIN", "Linde", 455.0, 1),
    ("FCX", "Freeport-McMoRan", 44.0, 1),
    ("NEE", "NextEra Energy", 77.0, 9),
    ("SO", "Southern Company", 88.0, 9),
    ("PLD", "Prologis", 115.0, 10),
    ("AMT", "American Tower", 203.0, 10),
    ("T", "AT&T", 23.0, 8),
    ("VZ", "Verizon", 42.0, 8),
    ("NKE", "Nike", 76.0, 3),
    ("MCD", "McDonald's", 295.0, 3),
    ("GOOG", "Alphabet, class C", 176.0, 8),
    ("C", "Citigroup", 69.0, 6),
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
    let known = KNOWN.iter().map(|&(name, _, price, _)| (name, price));
    known
        .chain(OTHERS)
        .find_map(|(name, price)| (name == symbol).then_some(price))
}

/// Whether a symbol is known by its price: large companies, funds and coins.
pub(super) fn is_known(symbol: &str) -> bool {
    known_price(symbol).is_some()
}

/// The sector of a symbol; one that is not known gets its own from its name.
pub(crate) fn sector(symbol: &str) -> usize {
    let known = KNOWN.iter().find(|(name, ..)| *name == symbol);
    known.map_or_else(
        || {
            let bits = Key::new(0, symbol).draws(Purpose::Constants, 1).bits();
            (bits % SECTORS as u64) as usize
        },
        |&(_, _, _, sector)| usize::from(sector),
    )
}

/// The names of a universe of that size, most active first: known ones, then tickers of three
/// and four letters that can be spoken, none of them rude. A smaller universe is the beginning of a
/// larger one.
pub fn universe(size: usize) -> Vec<Symbol> {
    let known = KNOWN.iter().map(|&(name, ..)| name.to_owned());
    let made = names::tickers().filter(|name| !is_known(name));
    known
        .chain(made)
        .take(size)
        .map(|name| Symbol::from_valid(&name))
        .collect()
}

/// What a synthetic market says of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The symbol.
    pub symbol: Symbol,
    /// The company's name: that of a known symbol, else one that is made up.
    pub name: String,
    /// Its sector (Global Industry Classification Standard), by whose factor it moves.
    pub sector: &'static str,
    /// The price that it begins with, on the exchange's ladder.
    pub price: Price,
    /// ISO 4217 code of the price's currency.
    pub currency: &'static str,
}

/// What a market of a seed says of symbols before its first tick.
pub fn listing(symbols: &[Symbol], calendar: Calendar, seed: u64) -> Vec<Listed> {
    let ladder = Ladder::of(calendar.mic());
    let listed = symbols.iter().map(|symbol| {
        let luck = Key::new(seed, symbol)
            .draws(Purpose::Constants, 0)
            .uniform();
        let price = (first_price(symbol, &ladder, luck) * 1e9) as i64;
        let sector = sector(symbol);
        let known = KNOWN.iter().find(|(name, ..)| *name == &**symbol);
        Listed {
            symbol: symbol.clone(),
            name: known.map_or_else(
                || names::company(symbol, sector),
                |&(_, name, ..)| name.to_owned(),
            ),
            sector: SECTOR_NAMES[sector],
            price: Price::from_steps(ladder.at_or_below(price)).unwrap_or(Price::ZERO),
            currency: ladder.currency,
        }
    });
    listed.collect()
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
    fn every_symbol_of_a_universe_can_be_spoken_and_is_short() {
        for name in &universe(10_000)[48..] {
            let letters = name.as_bytes();
            assert!((3..=4).contains(&letters.len()), "{name}");
            let vowels = letters.iter().filter(|&letter| b"AEIOU".contains(letter));
            assert!(vowels.count() >= 1, "{name}");
            assert!(letters.iter().all(u8::is_ascii_uppercase), "{name}");
        }
    }

    #[test]
    fn unknown_symbols_are_spread_over_all_sectors() {
        let names = universe(1_000);
        let sectors: HashSet<usize> = names[48..].iter().map(|name| sector(name)).collect();
        assert_eq!(sectors.len(), SECTORS);
        assert_eq!(sector("AAPL"), 7);
    }

    #[test]
    fn a_listing_tells_names_sectors_prices_and_currency() {
        let symbols = universe(10_000);
        let listed = listing(&symbols, Calendar::Xnys, 42);
        assert_eq!(
            (listed[1].name.as_str(), listed[1].currency),
            ("Apple", "USD")
        );
        assert_eq!(listed[1].sector, "Information Technology");
        assert_eq!(listed[1].price.to_string(), "225");
        let names: HashSet<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(names.len(), 10_000);
        for listed in &listed[48..] {
            assert!(
                (15.0..=400.0).contains(&listed.price.to_f64()),
                "{listed:?}"
            );
            let (first, name) = (&listed.symbol[..3], listed.name.to_uppercase());
            assert!(name.starts_with(first), "{listed:?}");
        }
        let tokyo = listing(&symbols[..2], Calendar::Xtks, 42);
        assert_eq!(
            (tokyo[1].price.to_string().as_str(), tokyo[1].currency),
            ("5620", "JPY")
        );
    }
}
