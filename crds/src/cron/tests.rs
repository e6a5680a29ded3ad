use super::*;

/// Expression, zone, instant, and what robfig/cron v3.0.1 answers as the next
/// instant (empty: none within five years).
const ANSWERS_OF_ROBFIG_CRON: &[(&str, &str, &str, &str)] = &[
    (
        "* * * * *",
        "Etc/UTC",
        "2026-11-20T15:04:05Z",
        "2026-11-20T15:05:00Z",
    ),
    (
        "* * * * *",
        "Etc/UTC",
        "2026-11-20T15:04:00Z",
        "2026-11-20T15:05:00Z",
    ),
    (
        "*/15 * * * *",
        "Etc/UTC",
        "2026-11-20T15:46:00Z",
        "2026-11-20T16:00:00Z",
    ),
    (
        "5/20 * * * *",
        "Etc/UTC",
        "2026-11-20T15:25:00Z",
        "2026-11-20T15:45:00Z",
    ),
    (
        "20-35/15 * * * *",
        "Etc/UTC",
        "2026-11-20T15:20:30Z",
        "2026-11-20T15:35:00Z",
    ),
    (
        "1,2,3 0 * * *",
        "Etc/UTC",
        "2026-11-20T15:20:30Z",
        "2026-11-21T00:01:00Z",
    ),
    (
        "30 16 * * 1-5",
        "America/New_York",
        "2026-11-20T21:29:59Z",
        "2026-11-20T21:30:00Z",
    ),
    (
        "30 16 * * 1-5",
        "America/New_York",
        "2026-11-20T21:30:00Z",
        "2026-11-23T21:30:00Z",
    ),
    (
        "30 16 * * MON-FRI",
        "America/New_York",
        "2026-11-21T00:00:00Z",
        "2026-11-23T21:30:00Z",
    ),
    (
        "0 9 * * sun",
        "Europe/Berlin",
        "2026-11-20T00:00:00Z",
        "2026-11-22T08:00:00Z",
    ),
    (
        "0 0 1 jan ?",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2027-01-01T00:00:00Z",
    ),
    (
        "0 0 31 * *",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-12-31T00:00:00Z",
    ),
    ("0 0 31 2,4,6,9,11 *", "Etc/UTC", "2026-11-20T00:00:00Z", ""),
    (
        "0 0 29 2 *",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2028-02-29T00:00:00Z",
    ),
    ("0 0 30 2 *", "Etc/UTC", "2026-11-20T00:00:00Z", ""),
    (
        "0 0 13 * 5",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-11-27T00:00:00Z",
    ),
    (
        "0 0 13 * fri",
        "Etc/UTC",
        "2026-11-28T00:00:00Z",
        "2026-12-04T00:00:00Z",
    ),
    (
        "0 0 */2 * 1",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-11-21T00:00:00Z",
    ),
    (
        "0 0 */1 * 1",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-11-23T00:00:00Z",
    ),
    (
        "0 0 ? * 1",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-11-23T00:00:00Z",
    ),
    (
        "0 0 1 * ?",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-12-01T00:00:00Z",
    ),
    (
        "0 0 1,15 * *",
        "Etc/UTC",
        "2026-11-20T00:00:00Z",
        "2026-12-01T00:00:00Z",
    ),
    (
        "0 0 */5 * */2",
        "Etc/UTC",
        "2026-11-21T00:00:00Z",
        "2026-11-22T00:00:00Z",
    ),
    (
        "0 0 *,13 * 5",
        "Etc/UTC",
        "2026-11-21T00:00:00Z",
        "2026-11-27T00:00:00Z",
    ),
    (
        "0 22 * * 1-5",
        "America/New_York",
        "2026-12-31T23:59:59Z",
        "2027-01-01T03:00:00Z",
    ),
    (
        "59 23 31 12 *",
        "Asia/Tokyo",
        "2026-11-20T00:00:00Z",
        "2026-12-31T14:59:00Z",
    ),
    (
        "0 8-16/4 * * *",
        "Asia/Kolkata",
        "2026-11-20T06:00:00Z",
        "2026-11-20T06:30:00Z",
    ),
    (
        "0 10/4 * * *",
        "Etc/UTC",
        "2026-11-20T14:00:00Z",
        "2026-11-20T18:00:00Z",
    ),
    (
        "0 0 * 3/3 *",
        "Etc/UTC",
        "2026-11-20T14:00:00Z",
        "2026-12-01T00:00:00Z",
    ),
    (
        "0 0 * * 2/2",
        "Etc/UTC",
        "2026-11-20T14:00:00Z",
        "2026-11-21T00:00:00Z",
    ),
    (
        "@hourly",
        "Asia/Kolkata",
        "2026-11-20T15:04:05Z",
        "2026-11-20T15:30:00Z",
    ),
    (
        "@daily",
        "America/New_York",
        "2026-11-20T15:04:05Z",
        "2026-11-21T05:00:00Z",
    ),
    (
        "@midnight",
        "America/New_York",
        "2026-11-20T15:04:05Z",
        "2026-11-21T05:00:00Z",
    ),
    (
        "@weekly",
        "America/New_York",
        "2026-11-20T15:04:05Z",
        "2026-11-22T05:00:00Z",
    ),
    (
        "@monthly",
        "America/New_York",
        "2026-11-20T15:04:05Z",
        "2026-12-01T05:00:00Z",
    ),
    (
        "@yearly",
        "America/New_York",
        "2026-11-20T15:04:05Z",
        "2027-01-01T05:00:00Z",
    ),
    (
        "@annually",
        "Etc/UTC",
        "2026-11-20T15:04:05Z",
        "2027-01-01T00:00:00Z",
    ),
    (
        "30 2 * * *",
        "America/New_York",
        "2027-03-14T00:00:00Z",
        "2027-03-15T06:30:00Z",
    ),
    (
        "30 2 14 3 *",
        "America/New_York",
        "2027-03-14T00:00:00Z",
        "2028-03-14T06:30:00Z",
    ),
    (
        "0 * * * *",
        "America/New_York",
        "2027-03-14T06:00:00Z",
        "2027-03-14T07:00:00Z",
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2027-03-14T06:30:00Z",
        "2027-03-14T07:00:00Z",
    ),
    (
        "0 3 * * *",
        "America/New_York",
        "2027-03-14T05:00:00Z",
        "2027-03-14T07:00:00Z",
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T04:00:00Z",
        "2026-11-01T05:30:00Z",
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T05:30:00Z",
        "2026-11-01T06:30:00Z",
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T06:30:00Z",
        "2026-11-02T06:30:00Z",
    ),
    (
        "0 * * * *",
        "America/New_York",
        "2026-11-01T05:00:00Z",
        "2026-11-01T06:00:00Z",
    ),
    (
        "0 2 * * *",
        "America/New_York",
        "2026-11-01T05:00:00Z",
        "2026-11-01T07:00:00Z",
    ),
    (
        "0 0 * * *",
        "America/New_York",
        "2026-11-01T05:30:00Z",
        "2026-11-02T05:00:00Z",
    ),
    (
        "15 2 * * *",
        "Europe/Berlin",
        "2027-03-27T12:00:00Z",
        "2027-03-29T00:15:00Z",
    ),
    (
        "15 2 * * *",
        "Europe/Berlin",
        "2026-10-25T00:15:00Z",
        "2026-10-25T01:15:00Z",
    ),
    (
        "0 9 10 * ?",
        "America/Sao_Paulo",
        "2018-10-17T09:00:00Z",
        "2018-11-10T11:00:00Z",
    ),
    (
        "0 9 22 * ?",
        "America/Sao_Paulo",
        "2018-02-14T10:00:00Z",
        "2018-02-22T12:00:00Z",
    ),
    (
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03T12:00:00Z",
        "2018-11-05T02:00:00Z",
    ),
    (
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-18T01:30:00Z",
        "2018-02-18T02:30:00Z",
    ),
    (
        "0 12 * * *",
        "Asia/Kathmandu",
        "2026-11-20T06:15:00Z",
        "2026-11-21T06:15:00Z",
    ),
    (
        "45 23 * * *",
        "Pacific/Chatham",
        "2026-11-20T12:00:00Z",
        "2026-11-21T10:00:00Z",
    ),
    (
        "0 0 * * 0",
        "Pacific/Apia",
        "2026-11-20T12:00:00Z",
        "2026-11-21T11:00:00Z",
    ),
];

fn cron(text: &str) -> Cron {
    text.parse().unwrap()
}

#[test]
fn next_instants_are_those_of_robfig_cron() {
    for (expression, zone, after, expected) in ANSWERS_OF_ROBFIG_CRON {
        let zone = TimeZone::get(zone).unwrap();
        let next = cron(expression)
            .next(after.parse().unwrap(), &zone)
            .map(|next| next.to_string())
            .unwrap_or_default();
        assert_eq!(&next, expected, "{expression} after {after}");
    }
}

#[test]
fn what_robfig_cron_refuses_is_refused() {
    for (expression, says) in [
        ("", "write five"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "0 to 59"),
        ("* 24 * * *", "0 to 23"),
        ("* * 0 * *", "1 to 31"),
        ("* * 32 * *", "1 to 31"),
        ("* * * 0 *", "1 to 12, or a name such as jan"),
        ("* * * 13 *", "1 to 12"),
        ("* * * * 7", "write 0 for Sunday"),
        ("* * * * sunday", "a name such as sun"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "a step"),
        ("1/2/3 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("a * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("*/-1 * * * *", "minute"),
        ("@fortnightly", "@hourly"),
        ("TZ=Etc/UTC * * * * *", "timeZone"),
        ("CRON_TZ=Etc/UTC * * * * *", "timeZone"),
    ] {
        let error = expression.parse::<Cron>().unwrap_err().to_string();
        assert!(error.contains(says), "{expression}: {error}");
    }
}

#[test]
fn typing_errors_that_robfig_cron_overlooks_are_refused_too() {
    for expression in [
        "+1 * * * *",
        "*/+1 * * * *",
        "*-5 * * * *",
        "1,,2 * * * *",
        ", * * * *",
    ] {
        assert!(expression.parse::<Cron>().is_err(), "{expression}");
    }
    assert!("@every 1h".parse::<Cron>().is_err());
}

#[test]
fn expressions_that_fire_alike_are_equal() {
    assert_eq!(cron("@daily"), cron("0 0 * * *"));
    assert_eq!(cron("0 0 * * mon"), cron("0  0 * * 1"));
    assert_ne!(cron("0 0 */2 * 1"), cron("0 0 * * 1"));
    assert_eq!(cron(" @daily ").to_string(), "@daily");
}

#[test]
fn instants_only_go_forward() {
    let zone = TimeZone::get("America/New_York").unwrap();
    let every = cron("*/7 * * * *");
    let mut at: Timestamp = "2026-10-31T22:00:00Z".parse().unwrap();
    let end: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let mut fired = 0;
    while at < end {
        let next = every.next(at, &zone).unwrap();
        assert!(next > at);
        at = next;
        fired += 1;
    }
    // 26 hours of 9 each.
    assert_eq!(fired, 26 * 9);
}
