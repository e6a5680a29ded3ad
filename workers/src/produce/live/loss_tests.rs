//! What is lost is told, and what comes twice is left out: over restarts, and while Kafka is away.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fixtures::{Given, Server, Step, described, live, say, source, take};
use super::stream::State;
use crate::produce::feed::Source;
use crate::produce::recovery::{Number, Numbers, Present};
use crate::produce::replay::BAD_ROWS;

fn trade(id: u64) -> Step {
    say(&format!(
        r#"{{"e":"trade","E":NOW,"s":"BTCUSDT","t":{id},"p":"1","q":"2","T":NOW,"m":true}}"#
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_restarted_producer_goes_on_behind_what_the_log_holds() {
    let server = Server::start(vec![
        vec![
            say(r#"{"result":null,"id":1}"#),
            trade(5),
            trade(6),
            trade(7),
            say("x"),
        ],
        vec![
            say(r#"{"result":null,"id":1}"#),
            trade(8),
            trade(9),
            trade(12),
        ],
    ])
    .await;
    let source = source(live("binance", Some(&server.url)), &["BTCUSDT"]);
    let mut first = source.begin("r", None).unwrap();
    let state = first.state();
    let given = take(first.as_mut(), |given| given.rejected.len() == 1);
    assert_eq!(given.ticks.len(), 3);
    drop(first);
    // The log holds the three and one more, of which the checkpoint, which is older, knows nothing.
    let present = Present::from([("BTCUSDT".to_owned(), 3), (BAD_ROWS.to_owned(), 0)]);
    let number = Number {
        highest: 8,
        at: given.ticks[2].ts_event_ns,
    };
    let numbers = Numbers::from([("BTCUSDT".to_owned(), number)]);
    let mut second = source
        .resume_behind("r", &state, &present, &numbers)
        .unwrap()
        .unwrap();
    assert_eq!(second.left_out().0, 1, "the next bad message has number 1");
    let given = take(second.as_mut(), |given| given.ticks.len() == 3);
    assert_eq!(
        given.told(),
        [
            "4 trade BTCUSDT 9: 1 x 2 sell 9",
            "5 gap BTCUSDT 10: 2",
            "6 trade BTCUSDT 12: 1 x 2 sell 12",
        ]
    );
    assert_eq!(second.left_out().1, 1);
    assert!(
        source
            .resume("r", &serde_json::json!({"rows": 1}))
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_restart_of_a_feed_without_numbers_is_a_gap_in_every_symbol() {
    let server = Server::start(vec![vec![]]).await;
    let source = source(live("finnhub", Some(&server.url)), &["AAPL", "MSFT"]);
    let state = serde_json::to_value(State::default()).unwrap();
    let mut feed = source.resume("r", &state).unwrap().unwrap();
    let given = take(feed.as_mut(), |given| given.ticks.len() == 2);
    assert_eq!(given.told(), ["0 gap AAPL -: -", "0 gap MSFT -: -"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_does_not_fit_while_kafka_is_away_is_a_gap_and_memory_stays_bounded() {
    let mut script = vec![say(r#"{"result":null,"id":1}"#)];
    script.extend((1..=500).map(trade));
    script.push(Step::Wait(Duration::from_secs(3)));
    script.push(trade(501));
    script.push(trade(502));
    let server = Server::start(vec![script]).await;
    let mut source = source(live("binance", Some(&server.url)), &["BTCUSDT"]);
    source.queue = 50;
    let mut feed = source.begin("r", None).unwrap();
    // Nobody takes anything, as while Kafka is away.
    let behind = std::time::Instant::now();
    while feed.live().unwrap().status.messages < 501 && behind.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let given: Given = take(feed.as_mut(), |given| {
        given
            .ticks
            .last()
            .is_some_and(|tick| tick.source_seq == Some(502))
    });
    let mut covered = BTreeMap::new();
    for tick in &given.ticks {
        let count = match tick.kind {
            stockpipe_market::tick::Kind::Gap => tick.size.unwrap().to_string().parse().unwrap(),
            _ => 1_u64,
        };
        covered.insert(tick.source_seq.unwrap(), count);
    }
    // Trades and gaps together are every number, each once.
    let mut next = 1;
    for (first, count) in covered {
        assert_eq!(first, next);
        next += count;
    }
    assert_eq!(next, 503);
    let told = feed.live().unwrap().status;
    assert!(told.overflow > 400 && told.gaps == 1, "{told:?}");
    assert!(
        given
            .ticks
            .iter()
            .enumerate()
            .all(|(n, tick)| tick.seq == n as u64)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_feed_that_is_described_is_read_by_its_pointers() {
    let server = Server::start(vec![vec![
        Step::Hear(r#"{"op":"sub","what":["AAPL","MSFT"]}"#),
        say(r#"{"ok":1}"#),
        say(r#"{"kind":"prints","rows":[{"sym":"aapl","px":{"last":"12.5"},"qty":3,"who":"B","at":1700000000.25}]}"#),
        Step::Hear("still there"),
        say(r#"{"kind":"fatal","why":"no entitlement"}"#),
    ]])
    .await;
    let live = described(&format!(
        "{{url: \"{}\", feed: {{
            timeFormat: Seconds, gaps: None, ping: {{text: still there, every: 1s}},
            subscribe: [{{text: '{{\"op\":\"sub\",\"what\":[{{{{symbols}}}}]}}'}}],
            messages: [
              {{when: [{{path: /ok}}], is: Subscribed}},
              {{when: [{{path: /kind, equals: [prints]}}], is: Trade, each: /rows, symbol: /sym, price: /px/last,
                size: /qty, time: /at, side: {{path: /who, buy: B, sell: S}}}},
              {{when: [{{path: /kind, equals: [fatal]}}], is: Refused, text: [/why]}}]}}}}",
        server.url
    ));
    assert_eq!(live.name, "127.0.0.1");
    let rig = source(live, &["AAPL", "MSFT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(given.told(), ["0 trade AAPL -: 12.5 x 3 buy -"]);
    assert_eq!(given.ticks[0].ts_event_ns, 1_700_000_000_250_000_000);
    assert!(
        given
            .error
            .unwrap()
            .to_string()
            .ends_with("refuses us: no entitlement")
    );
    server.assert_heard();
}

const ASKED: [Step; 2] = [
    Step::Hear(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#),
    Step::Hear(r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}"#),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_symbol_without_a_number_before_the_connection_was_lost_has_a_gap_of_unknown_size() {
    let taken = || [ASKED.to_vec(), vec![say(r#"{"result":null,"id":1}"#)]].concat();
    let mut first = taken();
    first.push(Step::Drop);
    let mut second = taken();
    second.extend([trade(8), trade(9), Step::Drop]);
    let mut third = taken();
    third.push(trade(10));
    let server = Server::start(vec![first, second, third]).await;
    let rig = source(live("binance", Some(&server.url)), &["BTCUSDT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |given| given.ticks.len() == 4);
    assert_eq!(
        given.told(),
        [
            "0 gap BTCUSDT -: -",
            "1 trade BTCUSDT 8: 1 x 2 sell 8",
            "2 trade BTCUSDT 9: 1 x 2 sell 9",
            "3 trade BTCUSDT 10: 1 x 2 sell 10",
        ]
    );
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_key_that_a_feed_says_back_is_not_kept() {
    let server = Server::start(vec![vec![
        Step::Hear(r#"{"action":"auth","key":"K","secret":"K"}"#),
        say(r#"cannot read {"action":"auth","key":"K","secret":"K"}"#),
    ]])
    .await;
    let rig = source(live("alpaca", Some(&server.url)), &["AAPL"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |given| !given.rejected.is_empty());
    let row = &given.rejected[0].row.cells[0];
    assert!(
        row.contains(r#""key":"…","secret":"…""#) && !row.contains('K'),
        "{row}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_feed_that_is_open_to_all_and_forbids_is_asked_again() {
    let server = Server::start(vec![
        vec![Step::Http(
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        )],
        [ASKED.to_vec(), vec![trade(1)]].concat(),
    ])
    .await;
    let rig = source(live("binance", Some(&server.url)), &["BTCUSDT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |given| !given.ticks.is_empty());
    assert_eq!(given.told(), ["0 trade BTCUSDT 1: 1 x 2 sell 1"]);
    assert_eq!(server.connections(), 2);
}
