//! How a column's times are written.

use jiff::tz::TimeZone;
use stockpipe_crds::pipeline::Fold;

use super::super::instant::{Clock, When};

/// Dates that do not say by themselves how they are written.
const DATES: [&str; 16] = [
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%Y%m%d",
    "%Y-%m-%d",
];
/// What may follow a date.
const TIMES: [&str; 9] = [
    "",
    " %H:%M:%S",
    " %H:%M",
    " %H:%M:%S%.f",
    " %I:%M:%S %p",
    " %I:%M %p",
    "T%H:%M:%S%.f",
    " %H%M%S",
    " %H:%M:%S %z",
];
/// Most formats that are proposed for one column.
const MOST: usize = 4;

/// What was found out about a column's times.
pub struct Found {
    /// Formats to write; none where the times say it themselves.
    pub formats: Vec<String>,
    /// As good a format.
    pub rival: Option<String>,
    /// Whether they are dates without times.
    pub only_dates: bool,
    /// Whether they lack their zone.
    pub local: bool,
}

/// Whether a text is a time in any way that is known.
pub fn is_time(text: &str) -> bool {
    // A number alone says nothing.
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    !is_number && (reads(&[], text).is_some() || candidates().any(|f| reads(&[f], text).is_some()))
}

/// As [`is_time`], or a number of so many digits that it hardly counts anything but seconds since 1970 or their parts.
pub fn is_time_or_epoch(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    is_time(text) || digits >= 10 && reads(&[], text).is_some()
}

/// How these texts are written, if they are times at all.
pub fn find(texts: &[&str]) -> Option<Found> {
    let is_known = |text: &&&str| {
        reads(&[], text).is_some()
            || candidates().any(|f| reads(std::slice::from_ref(&f), text).is_some())
    };
    // A few cells may hold anything.
    let known: Vec<&str> = texts.iter().filter(is_known).copied().collect();
    if known.is_empty() || known.len() * 5 < texts.len() * 4 {
        return None;
    }
    let texts = known.as_slice();
    let fits = |formats: &[String]| texts.iter().all(|text| reads(formats, text).is_some());
    if fits(&[]) {
        return Some(found(Vec::new(), None, texts));
    }
    let mut fitting: Vec<String> = candidates()
        .filter(|f| fits(std::slice::from_ref(f)))
        .collect();
    // Where two fit, it is the one that turns back less often.
    fitting.sort_by_key(|format| turns(format, texts));
    if !fitting.is_empty() {
        let best = fitting.remove(0);
        let rival = fitting.into_iter().find(|other| {
            turns(other, texts) == turns(&best, texts)
                && texts.iter().any(|t| {
                    reads(std::slice::from_ref(other), t) != reads(std::slice::from_ref(&best), t)
                })
        });
        return Some(found(vec![best], rival, texts));
    }
    // Several formats, each for what the ones before it do not read.
    let mut formats: Vec<String> = Vec::new();
    let mut left: Vec<&str> = texts.to_vec();
    while !left.is_empty() && formats.len() < MOST {
        let best = candidates().max_by_key(|f| {
            left.iter()
                .filter(|t| reads(std::slice::from_ref(f), t).is_some())
                .count()
        })?;
        let before = left.len();
        left.retain(|t| reads(std::slice::from_ref(&best), t).is_none());
        if left.len() == before {
            return None;
        }
        formats.push(best);
    }
    left.is_empty().then(|| found(formats, None, texts))
}

fn candidates() -> impl Iterator<Item = String> {
    DATES
        .into_iter()
        .flat_map(|date| TIMES.into_iter().map(move |time| format!("{date}{time}")))
}

fn found(formats: Vec<String>, rival: Option<String>, texts: &[&str]) -> Found {
    let when: Vec<_> = texts.iter().filter_map(|t| reads(&formats, t)).collect();
    let only_dates = when.iter().all(|w| matches!(w, When::Date(_)));
    // A zone shows in what is read only where none is written.
    let elsewhere = clock(&formats, &TimeZone::fixed(jiff::tz::offset(7)));
    let local = !only_dates
        && texts
            .iter()
            .zip(&when)
            .any(|(text, when)| elsewhere.read(text, None).as_ref() != Ok(when));
    Found {
        formats,
        rival,
        only_dates,
        local,
    }
}

fn clock(formats: &[String], zone: &TimeZone) -> Clock {
    Clock::new(zone.clone(), Fold::Earlier, formats)
}

fn reads(formats: &[String], text: &str) -> Option<When> {
    clock(formats, &TimeZone::UTC).read(text, None).ok()
}

/// How often the times change direction.
fn turns(format: &str, texts: &[&str]) -> usize {
    let clock = clock(&[format.to_owned()], &TimeZone::UTC);
    let days = |when| match when {
        When::Instant(ns) => i128::from(ns),
        When::Date(date) => date
            .to_zoned(TimeZone::UTC)
            .map_or(0, |z| z.timestamp().as_nanosecond()),
    };
    let times: Vec<i128> = texts
        .iter()
        .filter_map(|t| clock.read(t, None).ok().map(days))
        .collect();
    let steps: Vec<_> = times
        .windows(2)
        .map(|w| w[1].cmp(&w[0]))
        .filter(|o| o.is_ne())
        .collect();
    steps.windows(2).filter(|w| w[0] != w[1]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_and_rivals_told() {
        for (texts, formats, rival) in [
            (&["2026-11-20", "2026-11-23"][..], &[][..], None),
            (&["11/20/2026", "11/23/2026"], &["%m/%d/%Y"], None),
            (&["20/11/2026", "23/11/2026"], &["%d/%m/%Y"], None),
            (&["1/2/2026", "2/2/2026"], &["%m/%d/%Y"], Some("%d/%m/%Y")),
            (&["1/2/2026", "2/2/2026", "1/3/2026"], &["%d/%m/%Y"], None),
            (&["20.11.2026 15:30:00"], &["%d.%m.%Y %H:%M:%S"], None),
            (&["Nov 20, 2026", "Nov 23, 2026"], &["%b %d, %Y"], None),
            (&["11/20/2026 09:30 AM"], &["%m/%d/%Y %I:%M %p"], None),
            (
                &["20.11.2026", "11/23/2026"],
                &["%d.%m.%Y", "%m/%d/%Y"],
                None,
            ),
            (&["1795185000000"], &[], None),
        ] {
            let found = find(texts).unwrap_or_else(|| panic!("{texts:?}"));
            let mut sorted = found.formats.clone();
            sorted.sort();
            let mut expected: Vec<_> = formats.to_vec();
            expected.sort_unstable();
            assert_eq!(sorted, expected, "{texts:?}");
            assert_eq!(found.rival.as_deref(), rival, "{texts:?}");
        }
        assert!(find(&["AAPL"]).is_none());
        assert!(find(&["2026-11-20 09:30:00"]).unwrap().local);
        assert!(!find(&["2026-11-20T09:30:00Z"]).unwrap().local);
        assert!(find(&["2026-11-20"]).unwrap().only_dates);
    }
}
