//! Much of everything.

use std::io::Write;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;

use super::{Fault, enabled, parameter, yesterday};

const LONG: Duration = Duration::from_secs(900);

/// A day of history and what comes until it has landed.
fn history_lands(name: &'static str, spec: &str, at_least: u64) {
    if !enabled() {
        return;
    }
    let spec = spec.replace("YESTERDAY", &yesterday().to_string());
    let mut fault = Fault::start(name, &spec, |_, _| {});
    fault.wait_for_line("All of it landed", LONG);
    let rows = fault.end();
    assert!(rows >= at_least, "{rows} rows");
}

#[test]
fn two_hundred_partitions() {
    history_lands(
        "200 partitions",
        "  market: {calendar: 24x7, universe: {size: 400}}
  source: {simulated: {seed: 7, ticksPerSecond: 10, start: YESTERDAY}}
  kafka: {topic: {partitions: 200}}
  lake: {bucket: fault, partitionBy: Hour, roll: {maxAge: 5s}}
",
        864_000,
    );
}

#[test]
fn ten_thousand_symbols() {
    history_lands(
        "10,000 symbols",
        "  market: {calendar: 24x7, universe: {size: 10000}}
  source: {simulated: {seed: 7, ticksPerSecond: 20, start: YESTERDAY}}
  lake: {bucket: fault, roll: {maxAge: 5s}}
",
        1_728_000,
    );
}

/// Trades of ten symbols on each of 900 days, ten a day.
#[test]
fn a_replay_of_900_days() {
    if !enabled() {
        return;
    }
    const DAYS: i32 = 900;
    const OF_A_DAY: u64 = 100;
    let home = tempfile::tempdir().unwrap();
    let mut file =
        std::io::BufWriter::new(std::fs::File::create(home.path().join("days.csv")).unwrap());
    writeln!(file, "symbol,time,price,size").unwrap();
    let first: Date = "2024-01-01".parse().unwrap();
    for day in 0..DAYS {
        let date = first + day.days();
        for n in 0..OF_A_DAY {
            let (hour, minute) = (n * 24 / OF_A_DAY, n % 60);
            let cents = 10_000 + u64::from(day.unsigned_abs()) * 3 + n;
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            writeln!(
                file,
                "S{},{date}T{hour:02}:{minute:02}:00Z,{price},{n}",
                n % 10
            )
            .unwrap();
        }
    }
    file.into_inner().unwrap();
    let spec = "  market: {calendar: 24x7, symbols: [S0]}
  source: {replay: {uri: days.csv, unsortedRows: Sort, columns: {symbol: symbol, time: time, price: price, size: size}}}
  lake: {bucket: fault, partitionBy: Day, roll: {maxAge: 5s}}
";
    let mut fault = Fault::start_in(home, "replay of 900 days", spec, &[], |_, _| {});
    let rows = u64::from(DAYS.unsigned_abs()) * OF_A_DAY;
    fault.wait("every row", LONG, |me| (me.rows()? == rows).then_some(()));
    let days = "SELECT count(DISTINCT dt) FROM fault_ticks";
    assert_eq!(
        crate::up::scalar(fault.path(), days),
        Some(DAYS.to_string())
    );
    assert_eq!(fault.end(), rows);
}

/// 24 hours of the market in 24 minutes, and a report of each. HOURS=2 makes it two minutes.
#[test]
fn a_day_at_speed_sixty() {
    if !enabled() {
        return;
    }
    let hours = parameter("HOURS", 24);
    let spec = "  market: {calendar: 24x7, symbols: [AAPL, KO, MSFT, NVDA]}
  source: {simulated: {seed: 7, ticksPerSecond: 10, speed: 60, start: 2026-11-19, clock: FromStart}}
  lake: {bucket: fault, roll: {maxAge: 5s}}
  reports:
    - {name: hourly, builtin: vwap, interval: Hour, schedule: {cron: \"5 * * * *\", timeZone: UTC}}
";
    let mut fault = Fault::start("a day at speed 60", spec, |_, _| {});
    let reports = |fault: &Fault| {
        let said = fault.process.output();
        let told: Vec<_> = said
            .lines()
            .filter(|l| l.starts_with("Report hourly"))
            .collect();
        assert!(told.iter().all(|l| l.contains(": 4 rows")), "{said}");
        told.len() as u64
    };
    let limit = Duration::from_secs(hours * 60 + 180);
    let mut half = 0;
    fault.wait("a report of every hour", limit, |me| {
        let done = reports(me);
        if half == 0 && done >= hours / 2 {
            half = me.peak();
        }
        (done >= hours).then_some(())
    });
    // It does not grow with the hours.
    let peak = fault.peak();
    println!("a day at speed 60: {half} MiB after half of it, {peak} MiB at its end");
    assert!(peak <= half + half / 4 + 64, "{half} MiB, then {peak} MiB");
    let rows = fault.end();
    assert!(rows >= hours * 36_000, "{rows} rows");
}
