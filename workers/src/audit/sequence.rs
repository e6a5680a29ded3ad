//! The ticks' own numbers: `(run, symbol, seq)` is contiguous and unique in a simulated market.

use std::collections::{BTreeMap, HashMap};

use super::report::{Findings, SequenceAudit};

/// Runs of numbers kept for one series; a lake with more holes than that is not worth listing.
const RUNS: usize = 4_096;

/// The numbers seen of every (run, symbol).
#[derive(Debug, Default)]
pub struct Sequences {
    /// By run, then symbol.
    series: HashMap<Box<str>, HashMap<Box<str>, Numbers>>,
    audit: SequenceAudit,
}

/// A set of numbers as runs `first..=last`.
#[derive(Debug, Default)]
struct Numbers {
    runs: BTreeMap<u64, u64>,
    overflown: bool,
}

impl Sequences {
    /// Takes note of a row; whether its number is new.
    pub fn see(&mut self, run: &str, symbol: &str, seq: u64) -> bool {
        self.audit.rows += 1;
        // A lookup that allocates only for what is new.
        if !self.series.contains_key(run) {
            self.series.insert(run.into(), HashMap::new());
        }
        let symbols = self.series.get_mut(run).expect("it was just inserted");
        if !symbols.contains_key(symbol) {
            symbols.insert(symbol.into(), Numbers::default());
        }
        let numbers = symbols.get_mut(symbol).expect("it was just inserted");
        let new = numbers.add(seq);
        self.audit.doubled += u64::from(!new);
        new
    }

    /// Adds holes to the findings. Where the lake is `whole` (from the first offset, nothing lost), a series
    /// starts with the number 0 or 1.
    pub fn conclude(mut self, whole: bool, findings: &mut Findings) -> SequenceAudit {
        for (run, symbols) in &self.series {
            for (symbol, numbers) in symbols {
                self.audit.series += 1;
                if numbers.overflown {
                    findings.add(
                        None,
                        None,
                        format!("run {run}, {symbol}: too many holes to list"),
                    );
                }
                let first = numbers
                    .runs
                    .first_key_value()
                    .map_or(0, |(first, _)| *first);
                if whole && first > 1 {
                    self.audit.missing += first - 1;
                    findings.add(
                        None,
                        None,
                        format!("run {run}, {symbol}: seq 1 to {} are missing", first - 1),
                    );
                }
                if !whole {
                    // What is missing at lost offsets is accounted for there.
                    continue;
                }
                let ends = numbers.runs.values();
                for (end, next) in ends.zip(numbers.runs.keys().skip(1)) {
                    self.audit.missing += next - end - 1;
                    let message = format!(
                        "run {run}, {symbol}: seq {} to {} are missing",
                        end + 1,
                        next - 1
                    );
                    findings.add(None, None, message);
                }
            }
        }
        self.audit
    }
}

impl Numbers {
    /// Whether `n` was not in the set.
    fn add(&mut self, n: u64) -> bool {
        let before = self
            .runs
            .range(..=n)
            .next_back()
            .map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| n <= last) {
            return false;
        }
        let joins_before = before
            .filter(|(_, last)| last + 1 == n)
            .map(|(first, _)| first);
        let joins_after = self.runs.get(&(n + 1)).copied();
        let (first, last) = (joins_before.unwrap_or(n), joins_after.unwrap_or(n));
        if joins_after.is_some() {
            self.runs.remove(&(n + 1));
        }
        if self.runs.len() < RUNS || joins_before.is_some() {
            self.runs.insert(first, last);
        } else {
            self.overflown = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(numbers: &[u64], whole: bool) -> (SequenceAudit, Vec<String>) {
        let mut sequences = Sequences::default();
        for &n in numbers {
            sequences.see("r", "AAPL", n);
        }
        let mut findings = Findings::default();
        let audit = sequences.conclude(whole, &mut findings);
        (
            audit,
            findings.list.into_iter().map(|f| f.message).collect(),
        )
    }

    #[test]
    fn numbers_in_any_order_without_holes_are_sound() {
        let (audit, findings) = audit(&[3, 1, 2, 0, 5, 4], true);
        assert_eq!(
            (audit.series, audit.rows, audit.missing, audit.doubled),
            (1, 6, 0, 0)
        );
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn holes_and_a_missing_beginning_are_named() {
        let (result, findings) = audit(&[5, 6, 9], true);
        assert_eq!(result.missing, 6);
        assert_eq!(
            findings,
            [
                "run r, AAPL: seq 1 to 4 are missing",
                "run r, AAPL: seq 7 to 8 are missing"
            ]
        );
        let (_, findings) = audit(&[5, 6, 9], false);
        assert!(
            findings.is_empty(),
            "the ledger accounts for what is lost: {findings:?}"
        );
    }

    #[test]
    fn a_doubled_number_is_counted() {
        let (audit, _) = audit(&[0, 1, 1, 2, 0], true);
        assert_eq!(audit.doubled, 2);
    }
}
