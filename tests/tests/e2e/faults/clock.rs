//! A clock that somebody sets, under a pipeline that runs. The process is given another clock by libfaketime
//! (Debian: `libfaketime`), and the system's is left alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fault, enabled};

const SOON: Duration = Duration::from_secs(120);

/// The library, or a loud skip.
fn libfaketime() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("STOCKPIPE_ALL_TIERS").is_none(),
            "libfaketime is missing, though every tier must run"
        );
        eprintln!("SKIPPED: install libfaketime, which gives a process another clock");
    }
    found
}

/// Sets the clock of a process to so many seconds beside the system's.
fn set_clock(home: &Path, seconds: i64) {
    // Renamed, so that it is never read half.
    std::fs::write(home.join("clock.new"), format!("{seconds:+}\n")).unwrap();
    std::fs::rename(home.join("clock.new"), home.join("clock")).unwrap();
}

#[test]
fn a_clock_that_steps_back_and_is_set_right_again() {
    if !enabled() {
        return;
    }
    let Some(library) = libfaketime() else { return };
    let spec = "  market: {calendar: 24x7, symbols: [AAPL, KO, MSFT]}
  source: {simulated: {seed: 7, ticksPerSecond: 200}}
  lake: {bucket: fault, roll: {maxAge: 1s}}
";
    let mut fault = Fault::start("a clock that steps", spec, |home, command| {
        set_clock(home, 0);
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", home.join("clock"))
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    // By `top`: a query would be signed with the system's clock, and refused.
    let mut rows = 0;
    let mut more = |fault: &mut Fault, what: &str, least: u64| {
        let before = rows;
        rows = fault.wait(what, SOON, |me| {
            me.landed().filter(|n| *n >= before + least)
        });
    };
    more(&mut fault, "rows", 400);
    // Back by ten minutes: the market has been there, and waits until the clock comes by again.
    set_clock(fault.path(), -600);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(fault.told()["workers"][0]["state"], "Running");
    // To where it was: the market goes on.
    set_clock(fault.path(), 0);
    more(&mut fault, "rows after the clock is right again", 400);
    fault.end();
}
