//! The exchange's hours at market time.

use stockpipe_market::calendar::Calendar;

use super::publication::instant;
use super::wire::SessionInfo;

/// Whether `calendar` is open at `market_ns`, and when it opens next.
#[must_use]
pub fn session(calendar: Calendar, market_ns: i64) -> SessionInfo {
    let open = calendar.session_at(market_ns).is_some();
    SessionInfo {
        open,
        next_open: if open {
            None
        } else {
            calendar
                .session_closing_after(market_ns)
                .and_then(|session| instant(session.open_ns))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(calendar: &str, time: &str) -> SessionInfo {
        let time: jiff::Timestamp = time.parse().unwrap();
        session(
            Calendar::parse(calendar).unwrap(),
            time.as_nanosecond() as i64,
        )
    }

    #[test]
    fn a_closed_exchange_says_when_it_opens_and_an_open_one_does_not() {
        assert!(at("XNYS", "2026-11-20T15:00:00Z").open);
        let weekend = at("XNYS", "2026-11-21T15:00:00Z");
        assert!(!weekend.open);
        assert_eq!(
            weekend.next_open.unwrap().to_string(),
            "2026-11-23T14:30:00Z"
        );
        assert_eq!(at("XNYS", "2026-11-20T15:00:00Z").next_open, None);
    }

    #[test]
    fn a_market_that_never_closes_is_open() {
        assert!(at("24x7", "2026-11-21T15:00:00Z").open);
    }
}
