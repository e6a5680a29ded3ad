//! What all calendars have in common, and the notable days of each exchange.

use super::*;
use jiff::civil::date;
use proptest::prelude::*;

fn ns(text: &str) -> i64 {
    let instant: Timestamp = text.parse().expect("an instant");
    i64::try_from(instant.as_nanosecond()).expect("within 64 bits")
}

#[test]
fn names_are_parsed_and_others_refused_with_a_sentence() {
    assert_eq!(Calendar::parse("XNYS"), Ok(Calendar::Xnys));
    assert_eq!("24x7".parse(), Ok(Calendar::AlwaysOpen));
    for calendar in Calendar::ALL {
        assert_eq!(Calendar::parse(calendar.name()), Ok(calendar));
    }
    let refused = Calendar::parse("XSHG").expect_err("no calendar of Shanghai");
    let sentence = refused.to_string();
    assert!(sentence.starts_with("unknown calendar `XSHG`; write XNYS, "));
    for calendar in Calendar::ALL {
        assert!(sentence.contains(calendar.name()), "{calendar}");
    }
}

#[test]
fn new_york_sessions_follow_daylight_saving() {
    let winter = Calendar::Xnys
        .session(date(2026, 11, 20))
        .expect("a session");
    assert_eq!(winter.open_ns, ns("2026-11-20T14:30:00Z"));
    assert_eq!(winter.close_ns, ns("2026-11-20T21:00:00Z"));
    let summer = Calendar::Xnys.session(date(2026, 7, 1)).expect("a session");
    assert_eq!(summer.open_ns, ns("2026-07-01T13:30:00Z"));
    assert_eq!(summer.close_ns, ns("2026-07-01T20:00:00Z"));
    let half = Calendar::Xnys
        .session(date(2026, 11, 27))
        .expect("a session");
    assert_eq!(half.close_ns, ns("2026-11-27T18:00:00Z"));
}

#[test]
fn a_round_the_clock_session_is_the_utc_day() {
    let day = Calendar::AlwaysOpen
        .session(date(2026, 11, 22))
        .expect("a session");
    assert_eq!(day.open_ns, ns("2026-11-22T00:00:00Z"));
    assert_eq!(day.close_ns, ns("2026-11-23T00:00:00Z"));
    assert_eq!(
        Calendar::AlwaysOpen.window(day.date),
        Some((day.open_ns, day.close_ns))
    );
    assert_eq!(
        Calendar::AlwaysOpen.complete_at(day.date),
        Some(day.close_ns)
    );
}

#[test]
fn the_weekend_counts_for_monday() {
    let calendar = Calendar::Xnys;
    for (instant, trade_date) in [
        ("2026-11-20T05:00:00Z", date(2026, 11, 20)),
        ("2026-11-21T04:59:59Z", date(2026, 11, 20)),
        ("2026-11-21T05:00:00Z", date(2026, 11, 23)),
        ("2026-11-22T12:00:00Z", date(2026, 11, 23)),
        ("2026-11-26T15:00:00Z", date(2026, 11, 27)),
    ] {
        assert_eq!(calendar.trade_date_at(ns(instant)), trade_date, "{instant}");
    }
    assert_eq!(
        calendar.window(date(2026, 11, 23)),
        Some((ns("2026-11-21T05:00:00Z"), ns("2026-11-24T05:00:00Z")))
    );
    assert_eq!(calendar.window(date(2026, 11, 22)), None);
}

#[test]
fn a_session_counts_as_closed_from_its_close_on() {
    let calendar = Calendar::Xnys;
    for (instant, newest) in [
        ("2026-11-20T20:59:59.999999999Z", date(2026, 11, 19)),
        ("2026-11-20T21:00:00Z", date(2026, 11, 20)),
        ("2026-11-23T14:00:00Z", date(2026, 11, 20)),
        ("2026-11-26T22:00:00Z", date(2026, 11, 25)),
    ] {
        assert_eq!(
            calendar.newest_closed_session(ns(instant)),
            Some(newest),
            "{instant}"
        );
    }
    assert_eq!(
        Calendar::AlwaysOpen.newest_closed_session(ns("2026-11-22T00:00:00Z")),
        Some(date(2026, 11, 21))
    );
}

#[test]
fn the_next_session_to_close_is_the_open_one_or_the_next() {
    let calendar = Calendar::Xnys;
    for (instant, session) in [
        ("2026-11-20T12:00:00Z", date(2026, 11, 20)),
        ("2026-11-20T20:59:59Z", date(2026, 11, 20)),
        ("2026-11-20T21:00:00Z", date(2026, 11, 23)),
        ("2026-11-22T12:00:00Z", date(2026, 11, 23)),
    ] {
        let found = calendar
            .session_closing_after(ns(instant))
            .expect("a session");
        assert_eq!(found.date, session, "{instant}");
    }
}

#[test]
fn dates_beyond_the_calendar_have_no_session() {
    for calendar in Calendar::ALL {
        for date in [Date::MIN, date(1699, 12, 31), date(2200, 1, 3), Date::MAX] {
            assert_eq!(calendar.session(date), None);
            assert_eq!(calendar.window(date), None);
        }
        assert_eq!(calendar.next_session(Date::MAX), None);
        assert_eq!(calendar.previous_session(Date::MIN), None);
        assert!(calendar.next_session(Date::MIN).is_some());
        assert!(calendar.previous_session(Date::MAX).is_some());
        calendar.trade_date_at(i64::MIN);
        calendar.trade_date_at(i64::MAX);
    }
    for (calendar, before, first, last, after) in [
        (
            Calendar::Xnys,
            date(1989, 12, 29),
            date(1990, 1, 2),
            date(2199, 12, 31),
            date(2200, 1, 2),
        ),
        (
            Calendar::Xlon,
            date(1999, 12, 30),
            date(2000, 1, 4),
            date(2199, 12, 31),
            date(2200, 1, 2),
        ),
        (
            Calendar::Xtks,
            date(1999, 12, 30),
            date(2000, 1, 4),
            date(2099, 12, 30),
            date(2100, 1, 4),
        ),
        (
            Calendar::Xhkg,
            date(1999, 12, 30),
            date(2000, 1, 3),
            date(2049, 12, 31),
            date(2050, 1, 3),
        ),
        (
            Calendar::Xbom,
            date(1999, 12, 30),
            date(2000, 1, 3),
            date(2026, 12, 31),
            date(2027, 1, 4),
        ),
    ] {
        assert_eq!(calendar.session(before), None, "{calendar}");
        assert!(calendar.session(first).is_some(), "{calendar}");
        assert_eq!(calendar.previous_session(first), None, "{calendar}");
        assert!(calendar.session(last).is_some(), "{calendar}");
        assert_eq!(calendar.next_session(last), None, "{calendar}");
        assert_eq!(calendar.session(after), None, "{calendar}");
    }
}

proptest! {
    #[test]
    fn windows_tile_time_and_hold_exactly_their_trade_date(
        // From 2000 to the middle of December 2026, which every calendar reaches.
        at in 946_857_600_i64..1_797_292_800, nanosecond in 0_i64..1_000_000_000,
    ) {
        let ns = at * 1_000_000_000 + nanosecond;
        for calendar in Calendar::ALL {
            let date = calendar.trade_date_at(ns);
            let (start, end) = calendar.window(date).expect("a trade date has a session");
            prop_assert!(start <= ns && ns < end);
            prop_assert_eq!(calendar.trade_date_at(start), date);
            prop_assert_eq!(calendar.trade_date_at(end - 1), date);
            let following = calendar.next_session(date).expect("a session");
            prop_assert_eq!(calendar.trade_date_at(end), following.date);
            prop_assert_eq!(calendar.window(following.date).expect("a session").0, end);
            let session = calendar.session(date).expect("a session");
            prop_assert!(start <= session.open_ns && session.close_ns <= end);
            prop_assert!(session.last_trade_ns >= session.close_ns - 1 && session.last_trade_ns < end);
            prop_assert_eq!(calendar.session_at(session.open_ns), Some(session));
            prop_assert_eq!(
                calendar.previous_session(following.date).expect("a session"), session
            );
        }
    }
}

proptest! {
    #[test]
    fn phases_tile_the_session_and_an_instant_has_the_phase_it_lies_in(day in 0_i32..9_800) {
        for calendar in Calendar::ALL {
            let date = date(2000, 1, 4).saturating_add(jiff::Span::new().days(day));
            let phases = calendar.phases(date);
            let Some(session) = calendar.session(date) else {
                prop_assert!(phases.is_empty());
                continue;
            };
            for pair in phases.windows(2) {
                prop_assert_eq!(pair[0].end_ns, pair[1].start_ns);
            }
            for span in &phases {
                prop_assert!(span.start_ns < span.end_ns);
                prop_assert_eq!(calendar.phase_at(span.start_ns), Some(span.phase));
                prop_assert_eq!(calendar.phase_at(span.end_ns - 1), Some(span.phase));
            }
            let lunches: Vec<(i64, i64)> = phases
                .iter()
                .filter(|span| span.phase == Phase::Lunch)
                .map(|span| (span.start_ns, span.end_ns))
                .collect();
            prop_assert_eq!(lunches, session.lunch_ns.into_iter().collect::<Vec<_>>());
            let first = phases.iter().find(|span| span.phase == Phase::Continuous);
            prop_assert_eq!(first.map(|span| span.start_ns), Some(session.open_ns));
            let end = phases.last().map(|span| span.end_ns);
            let trades_end = session.last_trade_ns.max(session.close_ns);
            prop_assert_eq!(end, Some(trades_end));
        }
    }
}

/// One notable day: open, lunch, close and last trade on the exchange's clock, or closed.
type Day = (i16, i8, i8, &'static str);

fn clock(calendar: Calendar, (year, month, day, _): Day) -> String {
    let Some(session) = calendar.session(date(year, month, day)) else {
        return "closed".to_owned();
    };
    let time = |ns: i64| {
        let local = calendar.time_zone().to_datetime(timestamp(ns));
        local.strftime("%H:%M").to_string()
    };
    let mut text = time(session.open_ns);
    if let Some((from, to)) = session.lunch_ns {
        text += &format!("-{} {}", time(from), time(to));
    }
    text += &format!("-{}", time(session.close_ns));
    if session.last_trade_ns > session.close_ns {
        text += &format!(" +{}", time(session.last_trade_ns));
    }
    text
}

#[test]
fn notable_days_of_each_exchange_have_their_hours() {
    let days: [(Calendar, &[Day]); 10] = [
        (
            Calendar::Xnys,
            &[
                (2026, 11, 20, "09:30-16:00"),
                (2026, 11, 26, "closed"),
                (2026, 11, 27, "09:30-13:00"),
                (2025, 1, 9, "closed"),
            ],
        ),
        (
            Calendar::Xnas,
            &[(2012, 10, 29, "closed"), (2026, 12, 24, "09:30-13:00")],
        ),
        (
            Calendar::Xlon,
            &[
                (2026, 11, 20, "08:00-16:30 +16:35"),
                (2026, 12, 24, "08:00-12:30 +12:35"),
                // Christmas Eve on a Saturday.
                (2022, 12, 23, "08:00-12:30 +12:35"),
                // Christmas on a Saturday: 27 and 28 December in lieu.
                (2021, 12, 27, "closed"),
                (2021, 12, 28, "closed"),
                // The early May holiday, moved for the anniversary.
                (2020, 5, 4, "08:00-16:30 +16:35"),
                (2020, 5, 8, "closed"),
                (2022, 5, 30, "08:00-16:30 +16:35"),
                (2022, 6, 3, "closed"),
                (2022, 9, 19, "closed"),
                (2011, 4, 29, "closed"),
                (2026, 8, 31, "closed"),
            ],
        ),
        (
            Calendar::Xetr,
            &[
                (2026, 11, 20, "09:00-17:30 +17:35"),
                (2026, 12, 24, "closed"),
                (2026, 12, 30, "09:00-14:00 +14:05"),
                // 31 December on a Sunday.
                (2023, 12, 29, "09:00-14:00 +14:05"),
                (2009, 12, 30, "09:00-17:30 +17:35"),
                // Whit Monday and the Day of German Unity, for some years.
                (2021, 5, 24, "closed"),
                (2022, 6, 6, "09:00-17:30 +17:35"),
                (2019, 10, 3, "closed"),
                (2024, 10, 3, "09:00-17:30 +17:35"),
                (2017, 10, 31, "closed"),
            ],
        ),
        (
            Calendar::Xtks,
            &[
                (2024, 11, 1, "09:00-11:30 12:30-15:00"),
                (2024, 11, 4, "closed"),
                (2024, 11, 5, "09:00-11:30 12:30-15:30"),
                // Lunch began at 11:00 until then; year's ends had a morning only.
                (2011, 11, 18, "09:00-11:00 12:30-15:00"),
                (2011, 11, 21, "09:00-11:30 12:30-15:00"),
                (2008, 12, 30, "09:00-11:00"),
                (2009, 1, 5, "09:00-11:00"),
                (2009, 12, 30, "09:00-11:00 12:30-15:00"),
                // Ten days of Golden Week; the enthronement; the Olympic years.
                (2019, 4, 30, "closed"),
                (2019, 5, 2, "closed"),
                (2019, 10, 22, "closed"),
                (2020, 7, 24, "closed"),
                (2021, 8, 9, "closed"),
                (2021, 10, 11, "09:00-11:30 12:30-15:00"),
                // Between Respect for the Aged Day and the equinox.
                (2026, 9, 22, "closed"),
                // Constitution Day on a Sunday, made up for on Wednesday.
                (2026, 5, 6, "closed"),
                (2020, 10, 1, "closed"),
            ],
        ),
        (
            Calendar::Xpar,
            &[
                (2026, 11, 20, "09:00-17:30 +17:35"),
                (2026, 12, 24, "09:00-14:05 +14:10"),
                (2026, 12, 31, "09:00-14:05 +14:10"),
                (2000, 7, 14, "closed"),
                (2026, 7, 14, "09:00-17:30 +17:35"),
                (2001, 6, 4, "closed"),
                (2026, 5, 1, "closed"),
            ],
        ),
        (
            Calendar::Xhkg,
            &[
                (2026, 11, 20, "09:30-12:00 13:00-16:00 +16:10"),
                (2026, 2, 16, "09:30-12:00 +12:10"),
                (2026, 2, 17, "closed"),
                (2016, 7, 22, "09:30-12:00 13:00-16:00"),
                (2012, 3, 2, "09:30-12:00 13:30-16:00"),
                (2012, 3, 5, "09:30-12:00 13:00-16:00"),
                (2011, 3, 4, "10:00-12:30 14:30-16:00"),
                (2011, 3, 7, "09:30-12:00 13:30-16:00"),
                (2011, 2, 2, "10:00-12:30"),
                (2008, 6, 2, "10:00-12:30 14:30-16:00 +16:10"),
                // Lunar New Year on a Saturday: its eve, by the law until 2012.
                (2003, 1, 31, "closed"),
                // On a Sunday: its fourth day, since 2013.
                (2023, 1, 25, "closed"),
                // Typhoon Talim.
                (2023, 7, 17, "closed"),
                // Ching Ming on Easter Sunday; the day after Mid-Autumn on National Day.
                (2026, 4, 7, "closed"),
                (2012, 10, 2, "closed"),
                (2026, 9, 25, "09:30-12:00 13:00-16:00 +16:10"),
            ],
        ),
        (
            Calendar::Xasx,
            &[
                (2026, 11, 20, "10:00-16:00 +16:10"),
                (2026, 12, 24, "10:00-14:10 +14:20"),
                (2022, 12, 23, "10:00-16:00 +16:10"),
                (2022, 9, 22, "closed"),
                (2026, 1, 26, "closed"),
                // Anzac Day on a Sunday, in lieu only in 2010.
                (2010, 4, 26, "closed"),
                (2021, 4, 26, "10:00-16:00 +16:10"),
                (2011, 4, 26, "closed"),
            ],
        ),
        (
            Calendar::Xtse,
            &[
                (2026, 11, 20, "09:30-16:00"),
                (2026, 12, 24, "09:30-13:00"),
                (2001, 9, 12, "closed"),
                (2001, 9, 13, "09:30-16:00"),
                (2007, 2, 19, "09:30-16:00"),
                (2008, 2, 18, "closed"),
                (2026, 5, 18, "closed"),
                (2026, 10, 12, "closed"),
            ],
        ),
        (
            Calendar::Xbom,
            &[
                (2026, 11, 20, "09:15-15:30"),
                (2026, 11, 24, "closed"),
                (2024, 1, 20, "09:15-15:30"),
                (2025, 2, 1, "09:15-15:30"),
                (2026, 1, 26, "closed"),
            ],
        ),
    ];
    for (calendar, days) in days {
        for day in days {
            let (year, month, number, hours) = *day;
            assert_eq!(
                clock(calendar, *day),
                hours,
                "{calendar} {year}-{month}-{number}"
            );
        }
    }
}

#[test]
fn a_session_in_sydney_counts_for_its_date_though_it_opens_on_the_utc_date_before() {
    let calendar = Calendar::Xasx;
    let summer = calendar.session(date(2026, 11, 23)).expect("a session");
    assert_eq!(summer.open_ns, ns("2026-11-22T23:00:00Z"));
    assert_eq!(calendar.trade_date_at(summer.open_ns), date(2026, 11, 23));
    assert_eq!(calendar.session_at(summer.open_ns), Some(summer));
    let winter = calendar.session(date(2026, 7, 6)).expect("a session");
    assert_eq!(winter.open_ns, ns("2026-07-06T00:00:00Z"));
}

#[test]
fn clocks_change_on_each_exchanges_own_day() {
    for (calendar, day, open) in [
        // Clocks of New York have changed, those of London not yet.
        (Calendar::Xnys, date(2026, 3, 9), "2026-03-09T13:30:00Z"),
        (Calendar::Xlon, date(2026, 3, 9), "2026-03-09T08:00:00Z"),
        (Calendar::Xlon, date(2026, 3, 30), "2026-03-30T07:00:00Z"),
        (Calendar::Xetr, date(2026, 3, 30), "2026-03-30T07:00:00Z"),
        (Calendar::Xpar, date(2026, 10, 26), "2026-10-26T08:00:00Z"),
        (Calendar::Xtse, date(2026, 11, 2), "2026-11-02T14:30:00Z"),
        (Calendar::Xtks, date(2026, 7, 1), "2026-07-01T00:00:00Z"),
        (Calendar::Xbom, date(2026, 7, 1), "2026-07-01T03:45:00Z"),
    ] {
        let session = calendar.session(day).expect("a session");
        assert_eq!(session.open_ns, ns(open), "{calendar} {day}");
    }
}

#[test]
fn a_session_is_complete_only_after_its_closing_auction() {
    let complete = Calendar::Xlon.complete_at(date(2026, 11, 20));
    assert_eq!(complete, Some(ns("2026-11-20T16:35:00Z") + 1));
    let complete = Calendar::Xnys.complete_at(date(2026, 11, 20));
    assert_eq!(complete, Some(ns("2026-11-20T21:00:00Z") + 1));
    let bar = Calendar::Xhkg.daily_bar_at(date(2026, 11, 20));
    assert_eq!(bar, Some(ns("2026-11-20T08:10:00Z")));
}

#[test]
fn the_phase_of_an_instant_is_the_exchanges() {
    for (calendar, instant, phase) in [
        (Calendar::Xnys, "2026-11-20T10:00:00Z", None),
        (Calendar::Xnas, "2026-11-20T10:00:00Z", Some(Phase::PreOpen)),
        (
            Calendar::Xlon,
            "2026-11-20T07:55:00Z",
            Some(Phase::OpeningAuction),
        ),
        (
            Calendar::Xlon,
            "2026-11-20T16:32:00Z",
            Some(Phase::ClosingAuction),
        ),
        (Calendar::Xtks, "2026-11-20T03:00:00Z", Some(Phase::Lunch)),
        (
            Calendar::Xtks,
            "2026-11-20T06:26:00Z",
            Some(Phase::ClosingAuction),
        ),
        (
            Calendar::Xhkg,
            "2026-11-20T02:00:00Z",
            Some(Phase::Continuous),
        ),
        (Calendar::Xhkg, "2026-11-21T02:00:00Z", None),
        (
            Calendar::AlwaysOpen,
            "2026-11-21T02:00:00Z",
            Some(Phase::Continuous),
        ),
    ] {
        assert_eq!(
            calendar.phase_at(ns(instant)),
            phase,
            "{calendar} {instant}"
        );
    }
}
