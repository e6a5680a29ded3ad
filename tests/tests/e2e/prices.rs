//! Real prices, end to end: what `SELECT` gives back is what the file says.

use std::io::Read;
use std::path::Path;

use stockpipe_tests::python::text;

use crate::tier;
use crate::up::{scalar, stockpipe, up};

fn rows_of(file: &Path) -> Vec<Vec<String>> {
    let mut plain = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap())
        .read_to_string(&mut plain)
        .unwrap();
    let mut reader = csv::Reader::from_reader(plain.as_bytes());
    reader
        .records()
        .map(|r| r.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

/// `1/4/1999` as `1999-01-04`.
fn iso(date: &str) -> String {
    let [month, day, year] = date.split('/').collect::<Vec<_>>()[..] else {
        panic!("{date}")
    };
    format!("{year}-{month:0>2}-{day:0>2}")
}

/// `2207.540039000` as `2207.540039`: the lake's DECIMAL(18,9) pads what the file wrote.
fn plain(decimal: &str) -> &str {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.')
    } else {
        decimal
    }
}

#[test]
fn select_gives_back_exactly_the_numbers_of_the_file() {
    let Some(folder) = tier::prices() else { return };
    for (name, symbol) in [("sp500", "GSPC"), ("nasdaq", "IXIC")] {
        let home = tempfile::tempdir().unwrap();
        let file = folder.join(format!("{name}-daily.csv.gz"));
        let expected = rows_of(&file);
        let yaml = include_str!("../../../examples/daily-prices.yaml")
            .replace("uri: prices.csv.gz", &format!("uri: {}", file.display()))
            .replace("GSPC", symbol);
        std::fs::write(home.path().join("prices.yaml"), yaml).unwrap();
        let mut running = up(home.path(), &["prices.yaml"]);
        running.until("every row landed", |_| {
            let landed = scalar(
                home.path(),
                "SELECT count(*) FROM daily_prices_ticks WHERE kind = 'bar'",
            );
            (landed? == expected.len().to_string()).then_some(())
        });
        let sql = "SELECT trade_date, open, high, low, close, adj_close, volume FROM daily_prices_ticks \
                   WHERE kind = 'bar' ORDER BY trade_date";
        let output = stockpipe(home.path(), &["query", sql, "--output", "csv"]);
        assert!(output.status.success(), "{}", text(&output));
        let mut reader = csv::Reader::from_reader(&output.stdout[..]);
        let mut compared = 0;
        for (got, want) in reader.records().map(Result::unwrap).zip(&expected) {
            assert_eq!(got[0], iso(&want[0]));
            for column in 1..=6 {
                assert_eq!(
                    plain(&got[column]),
                    plain(&want[column]),
                    "{} column {column}",
                    want[0]
                );
            }
            compared += 1;
        }
        assert_eq!(compared, expected.len());
        let october = expected
            .iter()
            .filter(|r| iso(&r[0]).starts_with("2008-10"))
            .count();
        let sql = "SELECT count(*) FROM daily_prices_ticks WHERE month = '2008-10'";
        assert_eq!(scalar(home.path(), sql), Some(october.to_string()));
        running.stop();
        let verify = stockpipe(home.path(), &["verify"]);
        assert!(verify.status.success(), "{}", text(&verify));
        println!("{name}: {compared} sessions, every number as in the file");
    }
}
