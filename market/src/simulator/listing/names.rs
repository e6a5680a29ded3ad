//! Tickers and names of companies that do not exist.

use super::super::draws::{Key, Purpose};

const CONSONANTS: &[u8] = b"BCDFGHKLMNPRSTVWZ";
const VOWELS: &[u8] = b"AEIOU";

/// Rude or hurtful where any part of a ticker.
const RUDE_PARTS: &[&str] = &[
    "ANAL", "ANUS", "ARAB", "COC", "COK", "CUC", "CUK", "CUL", "CUM", "CUN", "DIC", "DIK", "DIL",
    "FAG", "FAP", "FIC", "FIK", "FOT", "FUC", "FUK", "FUT", "GAG", "GAZ", "HOR", "ISIL", "ISIS",
    "KAC", "KIK", "KOC", "KOK", "KUC", "KUK", "KUL", "KUM", "KUN", "KUT", "LUL", "MIC", "NAZ",
    "NEG", "NIG", "NIP", "PED", "PEN", "PIS", "PIZ", "PUS", "PUT", "RAP", "SUC", "SUK", "TIT",
    "TUR", "VAG", "WAC", "WOG", "WOP", "ZIG",
];
/// Rude or hurtful as a whole.
const RUDE_WORDS: &[&str] = &[
    "ACAB", "ADOL", "BITA", "BITE", "BOBA", "BUM", "BUTE", "CACA", "CON", "CONA", "CONO", "COZO",
    "DAGO", "DAM", "DEGO", "DUD", "DUM", "DUMA", "FAT", "FATE", "FETU", "FIGA", "FODA", "FODE",
    "FUD", "FUG", "GIT", "GOB", "GOD", "HAG", "HATE", "HELA", "HIV", "HOBO", "HOMO", "HUN", "KAK",
    "KAKA", "KAKI", "LICE", "LOSE", "LUDE", "MONA", "MUF", "NOB", "NUDE", "OBES", "ORAL", "OSAM",
    "PAK", "PAKI", "PETE", "PIG", "PIPI", "PITO", "POLA", "POM", "POPO", "PUPU", "RABI", "RATA",
    "RIP", "ROT", "SADO", "SAP", "SATA", "SIN", "SOB", "SOD", "SODO", "SOT", "TARA", "TATA",
    "TETA", "TETE", "TOTO", "URIN", "UTER", "VOMI", "WAGE", "ZIPA", "ZIT", "ZOB",
];

fn is_rude(ticker: &str) -> bool {
    RUDE_WORDS.contains(&ticker) || RUDE_PARTS.iter().any(|part| ticker.contains(part))
}

/// A kind of ticker: for each letter, of which it is.
type Form = &'static [&'static [u8]];

/// Forms of tickers, the usual ones first, each with a step without a common factor with the number
/// of its tickers, so that neighbours in the list are far apart in the alphabet.
const FORMS: [(Form, usize); 3] = [
    (&[CONSONANTS, VOWELS, CONSONANTS], 607),
    (&[CONSONANTS, VOWELS, CONSONANTS, VOWELS], 3_001),
    (&[VOWELS, CONSONANTS, VOWELS, CONSONANTS], 3_001),
];

/// Tickers that can be spoken and are not rude, in an order that never changes.
pub(super) fn tickers() -> impl Iterator<Item = String> {
    let of = |(form, step): (Form, usize)| {
        let count: usize = form.iter().map(|letters| letters.len()).product();
        (0..count).map(move |number| spelled(form, number * step % count))
    };
    FORMS
        .into_iter()
        .flat_map(of)
        .filter(|ticker| !is_rude(ticker))
}

/// The ticker of a form that has a number.
fn spelled(form: Form, mut number: usize) -> String {
    let mut letters: Vec<char> = Vec::with_capacity(form.len());
    for choice in form.iter().rev() {
        letters.push(char::from(choice[number % choice.len()]));
        number /= choice.len();
    }
    letters.iter().rev().collect()
}

/// How names go on after the ticker's letters: after a consonant, and after a vowel.
const AFTER_CONSONANT: [&str; 8] = ["ana", "eon", "ico", "ira", "ona", "ium", "ello", "arix"];
const AFTER_VOWEL: [&str; 8] = ["ntis", "lux", "dyne", "ston", "vix", "mark", "tek", "field"];

/// What companies of each sector call themselves.
const TRADES: [[&str; 4]; super::SECTORS] = [
    ["Energy", "Petroleum", "Resources", "Drilling"],
    ["Materials", "Chemical", "Mining", "Steel"],
    ["Industries", "Logistics", "Machinery", "Aerospace"],
    ["Stores", "Motors", "Leisure", "Homes"],
    ["Foods", "Brands", "Beverage", "Farms"],
    ["Health", "Therapeutics", "Biosciences", "Medical"],
    ["Bancorp", "Financial", "Insurance", "Capital"],
    ["Software", "Semiconductor", "Systems", "Data"],
    ["Media", "Communications", "Networks", "Studios"],
    ["Power", "Water", "Gas & Electric", "Utilities"],
    ["Properties", "Realty", "Land", "Storage"],
];
const ENDINGS: [&str; 4] = ["Inc.", "Corp.", "Group", "Holdings"];

/// A name for the company of a ticker, the same each time.
pub(super) fn company(symbol: &str, sector: usize) -> String {
    let mut draws = Key::new(0, symbol).draws(Purpose::Constants, 4);
    let mut pick = |choices: &[&'static str]| choices[draws.bits() as usize % choices.len()];
    let mut stem: String = symbol.to_lowercase();
    if let Some(first) = stem.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let after_vowel = stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    let more = pick(if after_vowel {
        &AFTER_VOWEL
    } else {
        &AFTER_CONSONANT
    });
    let (trade, ending) = (pick(&TRADES[sector]), pick(&ENDINGS));
    format!("{stem}{more} {trade} {ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ticker_is_rude() {
        for ticker in tickers() {
            assert!(!is_rude(&ticker), "{ticker}");
        }
        for rude in ["FUK", "ANUS", "NAZI", "PUTA", "KIKO", "ISIS", "HOMO", "PAK"] {
            assert!(is_rude(rude), "{rude}");
        }
        assert!(!is_rude("BAKO"));
    }

    #[test]
    fn there_are_enough_tickers_for_the_largest_universe_and_none_twice() {
        let all: Vec<String> = tickers().collect();
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
        assert!(all.len() > 12_000, "{}", all.len());
    }

    #[test]
    fn a_step_walks_through_every_ticker_of_its_form() {
        for (form, step) in FORMS {
            let count: usize = form.iter().map(|letters| letters.len()).product();
            let mut seen: Vec<usize> = (0..count).map(|number| number * step % count).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count));
        }
    }

    #[test]
    fn a_name_begins_with_its_ticker_and_stays() {
        let name = company("BAKO", 0);
        assert!(name.starts_with("Bako"), "{name}");
        assert_eq!(name, company("BAKO", 0));
        assert_ne!(name, company("BAKE", 0));
    }
}
