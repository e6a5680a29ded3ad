//! Durations and byte sizes, written as text (`60s`, `128Mi`): no floats, and
//! the file says the unit.

use std::time::Duration;

use crate::text::{TextRule, text_types};

text_types! {
    /// A length of time: a whole number and one unit, `s`, `m`, `h` or `d`
    /// (24 hours): `60s`, `10m`, `2h`, `7d`.
    DurationText, 8, [TextRule::must(
        "^[0-9]{1,7}[smhd]$",
        "must be a whole number with unit s, m, h or d, for instance 60s, 10m, 2h or 7d",
    )];

    /// A number of bytes: a whole number, with `k`, `M`, `G`, `T` (powers of
    /// 1000) or `Ki`, `Mi`, `Gi`, `Ti` (powers of 1024) where wanted.
    ByteText, 16, [TextRule::must(
        "^[0-9]{1,14}([KMGT]i|[kMGT])?$",
        "must be a whole number of bytes, with Ki, Mi, Gi or Ti where wanted, for instance 128Mi or 1Gi",
    )];

    /// A share in percent: `0.1%`, `99.9%`.
    PercentText, 8, [TextRule::must(
        "^(100([.]0{1,3})?|[0-9]{1,2}([.][0-9]{1,3})?)%$",
        "must be a percentage such as 99.9%",
    )];
}

impl DurationText {
    /// The length of time.
    pub fn to_duration(&self) -> Duration {
        let (digits, unit) = self.as_str().split_at(self.as_str().len() - 1);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => 86_400,
        };
        // At most 7 digits by the type's rule, so that neither step can fail.
        let count: u64 = digits.parse().unwrap_or(u64::MAX);
        Duration::from_secs(count.saturating_mul(seconds))
    }

    /// Writes whole seconds in the largest unit that divides them.
    pub fn from_seconds(seconds: u64) -> Result<Self, crate::text::TextError> {
        let (count, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size))
            .map_or((seconds, 's'), |(size, unit)| (seconds / size, unit));
        Self::new(format!("{count}{unit}"))
    }
}

impl ByteText {
    /// The number of bytes, `u64::MAX` where it is greater.
    pub fn bytes(&self) -> u64 {
        let text = self.as_str();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let factor: u64 = match &text[digits.len()..] {
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1 << 40,
            _ => 1,
        };
        digits
            .parse::<u64>()
            .unwrap_or(u64::MAX)
            .saturating_mul(factor)
    }
}

impl PercentText {
    /// As a share: 0.001 for `0.1%`.
    pub fn share(&self) -> f64 {
        let digits = self.as_str().trim_end_matches('%');
        digits.parse::<f64>().unwrap_or_default() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("60s", 60),
            ("10m", 600),
            ("2h", 7_200),
            ("7d", 604_800),
        ] {
            assert_eq!(
                DurationText::new(text).unwrap().to_duration().as_secs(),
                seconds
            );
        }
        for bad in ["", "60", "s", "1.5h", "-1s", "1h30m", "10 m", "100ms"] {
            assert!(DurationText::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_written_in_the_largest_whole_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (1, "1s"),
            (90, "90s"),
            (120, "2m"),
            (7_200, "2h"),
            (604_800, "7d"),
        ] {
            assert_eq!(DurationText::from_seconds(seconds).unwrap().as_str(), text);
        }
    }

    #[test]
    fn byte_sizes_know_both_powers() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1k", 1_000),
            ("1Ki", 1_024),
            ("128Mi", 134_217_728),
            ("1Gi", 1_073_741_824),
            ("2T", 2_000_000_000_000),
        ] {
            assert_eq!(ByteText::new(text).unwrap().bytes(), bytes);
        }
        assert_eq!(ByteText::new("99999999999999Ti").unwrap().bytes(), u64::MAX);
        for bad in ["", "1.5Gi", "128MB", "128mi", "-1", "Gi"] {
            assert!(ByteText::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_reach_from_zero_to_a_hundred() {
        for good in ["0%", "0.1%", "99.9%", "100%"] {
            assert!(PercentText::new(good).is_ok(), "{good}");
        }
        let share = |text| PercentText::new(text).unwrap().share();
        assert!((share("0.1%") - 0.001).abs() < 1e-15 && share("0%") < 1e-15);
        for bad in ["", "99.9", "101%", ".5%", "99,9%"] {
            assert!(PercentText::new(bad).is_err(), "{bad}");
        }
    }
}
