//! A crawler with a schedule, under `stockpipe up`.

use crate::up::{scalar, stockpipe, up};
use stockpipe_tests::python::text;

#[test]
fn a_scheduled_crawl_runs_at_the_start_and_with_the_next_minute() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let spec = "apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: us}
spec:
  market: {calendar: 24x7, symbols: [AAPL]}
  source: {simulated: {seed: 7, ticksPerSecond: 20}}
  lake: {bucket: us-lake, roll: {maxAge: 1s}}
  catalog: {crawler: {target: S3, schedule: {cron: \"* * * * *\"}}}
";
    std::fs::write(home.join("p.yaml"), spec).unwrap();
    let mut running = up(home, &["p.yaml"]);
    let mut told = Vec::new();
    running.until("two crawls of two minutes", |me| {
        let said = me.output();
        let crawls = said.lines().filter(|l| l.starts_with("Crawl 2"));
        told = crawls.map(str::to_owned).collect();
        (told.len() >= 2).then_some(())
    });
    assert!(told.iter().all(|l| l.contains(" partitions, ")), "{told:?}");
    let minute = |line: &String| line.split([':', '(']).next().map(str::to_owned);
    assert_ne!(minute(&told[0]), minute(&told[1]), "{told:?}");
    // The second has seen what had landed.
    let rows = scalar(home, "SELECT count(*) FROM crawled_ticks");
    assert!(rows.is_some_and(|n| n != "0"));

    // By hand, and as a script reads it.
    let by_hand = stockpipe(home, &["crawl", "--attempt", "7", "--output", "json"]);
    assert!(by_hand.status.success(), "{}", text(&by_hand));
    let record: serde_json::Value = serde_json::from_slice(&by_hand.stdout).unwrap();
    assert_eq!(record["state"], "Succeeded", "{record}");
    running.stop();
}
