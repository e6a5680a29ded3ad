//! A live feed, over everything that may go wrong between it and the lake.

use std::process::Command;
use std::time::{Duration, Instant};

use stockpipe_tests::process::{Process, binary, free_port, until};
use stockpipe_tests::python::text;

use crate::bad_input::up_fails;
use crate::up::{scalar, stockpipe, up};

fn feed(port: u16) -> Process {
    let mut feed = Process::start(
        "the feed",
        Command::new(binary("stockpipe-test-feed")).arg(port.to_string()),
    );
    feed.wait_for("the feed", |l| (l == "listening").then_some(()));
    feed
}

/// Rows of kind `kind` that have landed.
fn landed(home: &std::path::Path, kind: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM coinbase_ticks WHERE kind = '{kind}'");
    scalar(home, &sql).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn whatever_is_killed_every_trade_of_a_live_feed_is_there_once_or_a_gap_says_so() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let yaml = include_str!("../../../examples/coinbase.yaml").replace(
        "preset: coinbase",
        &format!("preset: coinbase\n      url: ws://127.0.0.1:{port}"),
    );
    std::fs::write(home.path().join("live.yaml"), yaml).unwrap();
    let mut server = feed(port);
    let mut running = up(home.path(), &["live.yaml"]);
    running.wait_for("first file", |l| l.starts_with("First file").then_some(()));

    // The feed is killed, and is away for a while.
    server.kill();
    std::thread::sleep(Duration::from_secs(2));
    server = feed(port);
    until("a gap in the lake", || {
        (landed(home.path(), "gap") >= 2).then_some(())
    });
    // The pipeline is killed, twice.
    for _ in 0..2 {
        let before = landed(home.path(), "trade");
        running.kill();
        std::thread::sleep(Duration::from_secs(1));
        running = up(home.path(), &["live.yaml"]);
        // Until it is up, a query would open the data itself.
        running.wait_for("its page", |l| l.contains("Page ").then_some(()));
        running.until("more trades", |_| {
            (landed(home.path(), "trade") > before + 100).then_some(())
        });
    }
    running.stop();
    drop(server);

    let verify = stockpipe(home.path(), &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
    let sql = "SELECT symbol, kind, source_seq, CAST(size AS BIGINT) AS size, trade_id, run, seq FROM coinbase_ticks \
               WHERE kind IN ('trade', 'gap') ORDER BY symbol, source_seq";
    let output = stockpipe(home.path(), &["query", sql, "--output", "csv"]);
    assert!(output.status.success(), "{}", text(&output));
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let (mut trades, mut missing, mut gaps) = (0_u64, 0_u64, 0_u64);
    for symbol in ["BTC-USD", "ETH-USD"] {
        let mut next = None;
        for row in rows.iter().filter(|row| &row[0] == symbol) {
            let first: u64 = row[2]
                .parse()
                .unwrap_or_else(|_| panic!("no number in {row:?}"));
            let count = match &row[1] {
                "gap" => {
                    gaps += 1;
                    let count: u64 = row[3].parse().unwrap();
                    missing += count;
                    count
                }
                _ => {
                    trades += 1;
                    1
                }
            };
            if let Some(next) = next {
                assert_eq!(first, next, "{row:?} follows the number before it");
            }
            next = Some(first + count);
        }
    }
    let runs: std::collections::BTreeSet<_> = rows.iter().map(|row| row[5].to_owned()).collect();
    assert_eq!(runs.len(), 1, "one run over all its lives");
    assert!(
        trades > 300 && gaps >= 6 && missing > 100,
        "{trades} trades, {gaps} gaps of {missing}"
    );
    println!("{trades} trades and {gaps} gaps of {missing}: every number of the feed once");
}

/// What `up` says of `live.yaml` before it gives up.
fn given_up(home: &std::path::Path) -> String {
    let began = Instant::now();
    let output = up_fails(home, &["live.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(began.elapsed() < Duration::from_secs(60));
    said
}

#[test]
fn a_feed_that_knows_no_such_product_ends_up_with_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let _server = feed(port);
    let yaml = format!(
        "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: p}}\nspec:\n  \
         market: {{calendar: 24x7, symbols: [BTC-USD, NO-SUCH]}}\n  lake: {{bucket: lake}}\n  \
         source: {{live: {{preset: coinbase, url: 'ws://127.0.0.1:{port}'}}}}\n"
    );
    std::fs::write(home.path().join("live.yaml"), yaml).unwrap();
    let said = given_up(home.path());
    let sentence = "source.live: the feed coinbase refuses us: Failed to subscribe: NO-SUCH is not a valid product";
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn a_feed_without_its_key_ends_up_with_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let yaml = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\nspec:\n  \
                lake: {bucket: lake}\n  source: {live: {preset: alpaca, credentialsSecretRef: {name: alpaca}}}\n";
    std::fs::write(home.path().join("live.yaml"), yaml).unwrap();
    let validate = stockpipe(home.path(), &["validate", "live.yaml"]);
    assert!(validate.status.success(), "{}", text(&validate));
    let said = given_up(home.path());
    assert!(said.contains("secret `alpaca` has no key `key`"), "{said}");
}
