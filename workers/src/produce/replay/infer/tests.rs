use std::collections::BTreeMap;

use super::*;

fn infer_text(name: &str, text: &str) -> Result<Proposal, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    infer_in(dir.path(), &[name]).map_err(|e| e.to_string())
}

fn infer_in(folder: &std::path::Path, uris: &[&str]) -> Result<Proposal, FeedError> {
    let uris: Vec<_> = uris.iter().map(ToString::to_string).collect();
    infer(&uris, &Access::local(folder), Calendar::Xnys)
}

/// What the proposal says below `replay:`, without the columns.
fn settings(proposal: &Proposal) -> BTreeMap<String, String> {
    let yaml: Value = serde_norway::from_str(&proposal.yaml).unwrap();
    let Some(Value::Mapping(replay)) = yaml.get("source").and_then(|s| s.get("replay")) else {
        panic!("{}", proposal.yaml);
    };
    let text = |v: &Value| {
        serde_norway::to_string(v)
            .unwrap()
            .trim()
            .replace('\n', " ")
    };
    let mut found = BTreeMap::new();
    for (key, value) in replay {
        match (text(key).as_str(), value) {
            ("columns", Value::Mapping(columns)) => {
                found.extend(
                    columns
                        .iter()
                        .map(|(k, v)| (format!("columns.{}", text(k)), text(v))),
                );
            }
            (key, value) => {
                found.insert(key.to_owned(), text(value));
            }
        }
    }
    found.remove("uri");
    found
}

#[test]
fn files_of_the_wild_are_proposed_as_they_are() {
    for (name, text, expected, close, unsure) in [
        (
            "GSPC.csv",
            "Date,Open,High,Low,Close,Adj Close,Volume\n1/4/1999,1.5,2,1,1.75,1.75,9\n1/5/1999,1.5,2,1,1.8,1.8,9\n1/20/1999,1,2,1,2,2,9\n",
            &[
                ("columns.adjClose", "Adj Close"),
                ("columns.close", "Close"),
                ("columns.high", "High"),
                ("columns.low", "Low"),
                ("columns.open", "Open"),
                ("columns.symbol", "from: FileName"),
                ("columns.time", "Date"),
                ("columns.timeFormat", "'%m/%d/%Y'"),
                ("columns.volume", "Volume"),
            ][..],
            Some("1.75"),
            &["GSPC, is taken", "daily bar"][..],
        ),
        (
            "kurse mit langem namen.csv",
            "\u{feff}Datum;Erster;Hoch;Tief;Schlusskurs;Stücke\r\n27.11.2026;1.234,5;1.300;1.200;1.250,25;n/a\r\n25.11.2026;1.234,5;1.300;1.200;1.251,75;12\r\n",
            &[
                ("columns.close", "Schlusskurs"),
                ("columns.high", "Hoch"),
                ("columns.low", "Tief"),
                ("columns.open", "Erster"),
                ("columns.symbol", "const: SYMBOL"),
                ("columns.time", "Datum"),
                ("columns.timeFormat", "'%d.%m.%Y'"),
                ("decimal", "Comma"),
                ("delimiter", "Semicolon"),
                ("missing", "- n/a"),
                ("thousands", "Point"),
                ("unsortedRows", "Sort"),
            ],
            Some("1250.25"),
            &["write it for SYMBOL", "n/a", "not in order", "daily bar"],
        ),
        (
            "bars.txt",
            "AAPL|1795185000|1|3|0.5|2|10\nMSFT|1795185060|1|3|0.5|2.5|11\n",
            &[
                ("columns.close", "'6'"),
                ("columns.high", "'4'"),
                ("columns.low", "'5'"),
                ("columns.open", "'3'"),
                ("columns.symbol", "'1'"),
                ("columns.time", "'2'"),
                ("columns.volume", "'7'"),
                ("delimiter", "Pipe"),
                ("header", "false"),
            ],
            Some("2"),
            &["guessed", "no header"],
        ),
        (
            "trades.jsonl",
            "{\"s\":\"BTC-USD\",\"p\":\"1.5\",\"q\":0.25,\"t\":1795185000123,\"side\":\"buy\"}\n",
            &[
                ("columns.price", "p"),
                ("columns.side", "side"),
                ("columns.size", "q"),
                ("columns.symbol", "s"),
                ("columns.time", "t"),
            ],
            None,
            &[],
        ),
        (
            "quotes.tsv",
            "sym\ttime\tdate\tbid\task\tlast\nA\t09:30:00\t11/20/2026\t1\t2\t1.5\n",
            &[
                ("columns.date", "date"),
                ("columns.price", "last"),
                ("columns.symbol", "sym"),
                ("columns.time", "time"),
                ("columns.timeFormat", "'%m/%d/%Y %H:%M:%S'"),
                ("delimiter", "Tab"),
            ],
            None,
            &["more than one kind", "name no zone"],
        ),
    ] {
        let proposal = infer_text(name, text).unwrap();
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(settings(&proposal), expected, "{name}: {}", proposal.yaml);
        assert_eq!(proposal.bad, 0, "{name}: {:?}", proposal.problems);
        assert!(!proposal.ticks.is_empty(), "{name}");
        let first = proposal.ticks[0].close.map(|c| c.to_string());
        assert_eq!(first.as_deref(), close, "{name}");
        for unsure in unsure {
            assert!(
                proposal.unsure.iter().any(|u| u.contains(unsure)),
                "{name}: {unsure} in {:?}",
                proposal.unsure
            );
        }
    }
}

#[test]
fn every_fixture_that_can_be_read_is_proposed_for() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    for (name, ticks, says) in [
        ("typed.parquet", 1, ""),
        ("nested.jsonl", 1, ""),
        ("no-header.csv", 3, "header: false"),
        ("mixed.csv", 2, "unsortedRows: Sort"),
        ("twice.csv", 1, "close: '2'"),
        ("quotes-of-books.csv", 2, "askSize: asz"),
        ("landed.jsonl", 2, "uri: landed.jsonl\n"),
        ("landed.csv", 2, "uri: landed.csv\n"),
        ("fold.csv", 6, "time: t"),
        ("array.json", 1, "symbol: s"),
        ("array-pretty.json", 2, "price: price"),
        ("utf16.csv", 3, "close: Close"),
    ] {
        let proposal = infer_in(&folder, &[name]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(proposal.yaml.contains(says), "{name}: {}", proposal.yaml);
        assert!(
            proposal.ticks.len() >= ticks,
            "{name}: {:?}",
            proposal.problems
        );
    }
}

#[test]
fn several_files_and_patterns_are_proposed_for_by_their_first() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.csv", "b.csv"] {
        let text = "symbol,time,price\nA,2026-11-20T14:30:00Z,1\n";
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    for (uris, says) in [
        (&["a.csv", "b.csv"][..], "uris:\n    - a.csv\n    - b.csv\n"),
        (&["*.csv"][..], "uri: '*.csv'\n"),
    ] {
        let proposal = infer_in(dir.path(), uris).unwrap();
        assert!(proposal.yaml.contains(says), "{}", proposal.yaml);
        assert_eq!(proposal.ticks.len(), 1);
        assert!(
            proposal.unsure[0].starts_with("2 files are replayed"),
            "{:?}",
            proposal.unsure
        );
    }
}

#[test]
fn a_file_without_times_or_prices_is_told_so() {
    for (text, says) in [
        (
            "symbol,price\nA,1\n",
            "no column looks like a time: it has symbol, price",
        ),
        (
            "symbol,time\nA,2026-11-20\n",
            "no column looks like a price: it has symbol, time",
        ),
        (
            "symbol,time,price\nA,yesterday,1\n",
            "column time is in no format that is known, such as `yesterday`",
        ),
        ("", "the file is empty"),
        ("symbol,time,price\n", "the file has no rows"),
    ] {
        let error = infer_text("p.csv", text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}
