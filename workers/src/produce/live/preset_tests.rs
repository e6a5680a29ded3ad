//! Each preset against a server that speaks the shapes that its vendor documents.

use std::time::Duration;

use stockpipe_market::tick::{NOT_HIGH_LOW, NOT_LAST};

use super::fixtures::{Server, Step, live, say, source, take};
use crate::produce::feed::Source;

use Step::{Drop, Hear, Http};

fn ns(instant: &str) -> i64 {
    let at: jiff::Timestamp = instant.parse().unwrap();
    at.as_nanosecond().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn coinbase_counts_trades_over_a_lost_connection_and_ends_at_an_unknown_product() {
    let subscribed = || {
        vec![
            Hear(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["heartbeat"]}"#),
            Hear(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#),
            Hear(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["ticker"]}"#),
            say(
                r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}"#,
            ),
        ]
    };
    let trade = |kind: &str, id: u64, price: &str| {
        say(&format!(
            r#"{{"type":"{kind}","trade_id":{id},"sequence":50,"maker_order_id":"ac92","taker_order_id":"132f","time":"2026-11-20T14:30:00.02845{}Z","product_id":"BTC-USD","size":"5.23512","price":"{price}","side":"sell"}}"#,
            id % 10
        ))
    };
    let heartbeat = |last: u64| {
        say(&format!(
            r#"{{"type":"heartbeat","sequence":90,"last_trade_id":{last},"product_id":"BTC-USD","time":"2026-11-20T14:30:01.000000Z"}}"#
        ))
    };
    let mut first = subscribed();
    first.extend([
        trade("last_match", 10, "400.10"),
        trade("match", 11, "400.23000000"),
        say(r#"{"type":"ticker","sequence":37475248783,"product_id":"BTC-USD","price":"1285.22","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy","time":"2026-11-20T14:30:00.061769Z","trade_id":11,"last_size":"11.4396987"}"#),
        heartbeat(11),
        trade("match", 13, "400.25"),
        say("{{{"),
        trade("match", 14, "400.1234567891"),
        say(r#"{"type":"l2update","product_id":"BTC-USD"}"#),
        trade("match", 12, "400.24"),
        Drop,
    ]);
    let mut second = subscribed();
    second.extend([
        trade("last_match", 13, "400.25"),
        trade("match", 17, "401"),
        heartbeat(19),
        heartbeat(19),
        say(r#"{"type":"error","message":"ErrSlowConsume"}"#),
    ]);
    let third = vec![say(
        r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#,
    )];
    let server = Server::start(vec![first, second, third]).await;
    let rig = source(live("coinbase", Some(&server.url)), &["BTC-USD"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(
        given.told(),
        [
            "0 trade BTC-USD 11: 400.23 x 5.23512 buy 11",
            "1 quote BTC-USD 37475248783: 1285.04 x 0.46688654 / 1285.27 x 1.5663704",
            "2 gap BTC-USD 12: 1",
            "3 trade BTC-USD 13: 400.25 x 5.23512 buy 13",
            "4 trade BTC-USD 12: 400.24 x 5.23512 buy 12",
            "5 gap BTC-USD 14: 3",
            "6 trade BTC-USD 17: 401 x 5.23512 buy 17",
            "7 gap BTC-USD 18: 2",
        ]
    );
    let bad: Vec<_> = given
        .rejected
        .iter()
        .map(|r| (r.seq, r.row.to_string()))
        .collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].1.contains("is not JSON"), "{bad:?}");
    assert!(bad[1].1.contains("400.1234567891"), "{bad:?}");
    let error = given.error.unwrap().to_string();
    assert_eq!(
        error,
        "source.live: the feed coinbase refuses us: Failed to subscribe: BTC-USD is not a valid product"
    );
    let told = feed.live().unwrap().status;
    assert_eq!(
        (told.gaps, told.missing, told.unknown),
        (3, 6, 1),
        "{told:?}"
    );
    assert_eq!(told.reconnects, 2);
    assert_eq!(feed.left_out(), (2, 1));
    assert_eq!(
        given.ticks[0].ts_event_ns,
        ns("2026-11-20T14:30:00.028451Z")
    );
    assert!(
        given
            .ticks
            .iter()
            .all(|t| t.ts_recv_ns.is_some() && &*t.source == "coinbase")
    );
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn binance_is_replaced_when_it_says_so_and_a_trade_that_comes_twice_is_one() {
    let trade = |id: u64, maker: bool| {
        say(&format!(
            r#"{{"e":"trade","E":NOW,"s":"BTCUSDT","t":{id},"p":"0.00100000","q":"100.50","T":NOW,"m":{maker},"M":true}}"#
        ))
    };
    let heard = [
        Hear(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#),
        Hear(r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}"#),
        say(r#"{"result":null,"id":1}"#),
        say(r#"{"result":null,"id":2}"#),
    ];
    let mut first = heard.to_vec();
    first.extend([
        trade(12345, true),
        say(r#"{"u":400900217,"s":"BTCUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#),
        trade(12346, false),
        say(r#"{"e":"serverShutdown","E":NOW}"#),
    ]);
    let mut second = heard.to_vec();
    second.extend([
        trade(12346, false),
        trade(12347, false),
        trade(12350, true),
        say(r#"{"code":-1003,"msg":"Too many requests; please use fewer"}"#),
    ]);
    let third = vec![say(
        r#"{"error":{"code":2,"msg":"Invalid request: unknown stream"},"id":1}"#,
    )];
    let server = Server::start(vec![first, second, third]).await;
    let rig = source(live("binance", Some(&server.url)), &["BTCUSDT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(
        given.told(),
        [
            "0 trade BTCUSDT 12345: 0.001 x 100.5 sell 12345",
            "1 quote BTCUSDT 400900217: 25.3519 x 31.21 / 25.3652 x 40.66",
            "2 trade BTCUSDT 12346: 0.001 x 100.5 buy 12346",
            "3 trade BTCUSDT 12347: 0.001 x 100.5 buy 12347",
            "4 gap BTCUSDT 12348: 2",
            "5 trade BTCUSDT 12350: 0.001 x 100.5 sell 12350",
        ]
    );
    assert!(
        given
            .error
            .unwrap()
            .to_string()
            .ends_with("Invalid request: unknown stream")
    );
    assert_eq!(feed.left_out(), (0, 1));
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn alpaca_logs_in_waits_where_it_is_one_too_many_and_tells_that_something_may_be_missing() {
    let login = [
        say(r#"[{"T":"success","msg":"connected"}]"#),
        Hear(r#"{"action":"auth","key":"K","secret":"K"}"#),
    ];
    let subscribed = [
        say(r#"[{"T":"success","msg":"authenticated"}]"#),
        Hear(r#"{"action":"subscribe","trades":["AAPL"]}"#),
        Hear(r#"{"action":"subscribe","quotes":["AAPL"]}"#),
        say(
            r#"[{"T":"subscription","trades":["AAPL"],"quotes":[],"corrections":["AAPL"],"cancelErrors":["AAPL"]}]"#,
        ),
        say(r#"[{"T":"subscription","trades":["AAPL"],"quotes":["AAPL"]}]"#),
    ];
    let mut one_too_many = login.to_vec();
    one_too_many.push(say(
        r#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#,
    ));
    let mut first = [login.to_vec(), subscribed.to_vec()].concat();
    first.extend([
        say(
            r#"[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2026-11-20T15:51:44.208123456Z","c":["@","I"],"z":"C"},{"T":"q","S":"AAPL","bx":"U","bp":126.5,"bs":1,"ax":"Q","ap":126.6,"as":4,"t":"2026-11-20T15:51:45.335689322Z","c":["R"],"z":"C"}]"#,
        ),
        say(
            r#"[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2026-11-20T15:51:44.208123456Z","c":["@","I"],"z":"C"}]"#,
        ),
        say(
            r#"[{"T":"c","S":"AAPL","x":"M","oi":96921,"op":126.55,"os":1,"oc":["@"],"ci":96922,"cp":126.56,"cs":2,"cc":["@"],"z":"C","t":"2026-11-20T15:51:46Z"},{"T":"x","S":"AAPL","i":96800,"x":"D","p":120.1,"s":5,"a":"C","z":"C","t":"2026-11-20T15:51:47Z"}]"#,
        ),
        Drop,
    ]);
    let second = [login.to_vec(), subscribed.to_vec()].concat();
    let mut second = second;
    second.extend([say(r#"[{"T":"error","code":407,"msg":"slow client"}]"#)]);
    let mut third = login.to_vec();
    third.push(say(r#"[{"T":"error","code":402,"msg":"auth failed"}]"#));
    let server = Server::start(vec![one_too_many, first, second, third]).await;
    let rig = source(live("alpaca", Some(&server.url)), &["AAPL"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(
        given.told(),
        [
            "0 trade AAPL -: 126.55 x 1 - 96921",
            "1 quote AAPL -: 126.5 x 1 / 126.6 x 4",
            "2 correction AAPL -: 126.56 x 2 - 96921",
            "3 correction AAPL -: 120.1 x 5 - 96800",
            "4 gap AAPL -: -",
        ]
    );
    assert_eq!(
        given.ticks[0].flags,
        Some(NOT_LAST | NOT_HIGH_LOW),
        "an odd lot"
    );
    assert_eq!(given.ticks[0].conditions.as_deref(), Some("@,I"));
    assert_eq!(given.ticks[2].status.as_deref(), Some("correct"));
    assert_eq!(given.ticks[3].status.as_deref(), Some("cancel"));
    assert_eq!(
        given.error.unwrap().to_string(),
        "source.live: the feed alpaca refuses us: 402: auth failed"
    );
    assert_eq!((server.connections(), feed.left_out()), (4, (0, 1)));
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn kraken_fills_a_short_gap_from_the_trades_that_a_subscription_begins_with() {
    let subscribed = |trades: &str| {
        vec![
            say(
                r#"{"channel":"status","type":"update","data":[{"api_version":"v2","system":"online"}]}"#,
            ),
            Hear(
                r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true}}"#,
            ),
            Hear(
                r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"],"event_trigger":"bbo","snapshot":true}}"#,
            ),
            say(
                r#"{"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"},"success":true,"time_in":"2026-11-20T09:53:00Z"}"#,
            ),
            say(&format!(
                r#"{{"channel":"trade","type":"snapshot","data":[{trades}]}}"#
            )),
        ]
    };
    let trade = |id: u64| {
        format!(
            r#"{{"symbol":"BTC/USD","side":"sell","price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":{id},"timestamp":"2026-11-20T07:48:36.925533Z"}}"#
        )
    };
    let mut first = subscribed(&[trade(1), trade(2)].join(","));
    first.extend([
        say(&format!(r#"{{"channel":"trade","type":"update","data":[{}]}}"#, trade(3))),
        say(r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035}]}"#),
        say(r#"{"channel":"heartbeat"}"#),
        Drop,
    ]);
    let mut second = subscribed(&[trade(3), trade(4), trade(5)].join(","));
    second.push(say(
        r#"{"error":"Exceeded msg rate","method":"subscribe","success":false}"#,
    ));
    let third = vec![say(
        r#"{"error":"Currency pair not supported BTC/USD","method":"subscribe","success":false,"symbol":"BTC/USD"}"#,
    )];
    let server = Server::start(vec![first, second, third]).await;
    let rig = source(live("kraken", Some(&server.url)), &["BTC/USD"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    // Of the first two only the number is taken: they were before us.
    assert_eq!(
        given.told(),
        [
            "0 trade BTC/USD 3: 0.5147 x 6423.46326 sell 3",
            "1 quote BTC/USD -: 0.10025 x 740 / 0.10036 x 1361.44813783",
            "2 trade BTC/USD 4: 0.5147 x 6423.46326 sell 4",
            "3 trade BTC/USD 5: 0.5147 x 6423.46326 sell 5",
        ]
    );
    assert!(
        given
            .error
            .unwrap()
            .to_string()
            .contains("not supported BTC/USD")
    );
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn finnhub_asks_for_each_symbol_and_a_bad_key_is_refused_at_the_door() {
    let hear = [
        Hear(r#"{"type":"subscribe","symbol":"AAPL"}"#),
        Hear(r#"{"type":"subscribe","symbol":"BINANCE:BTCUSDT"}"#),
    ];
    let mut first = hear.to_vec();
    first.extend([
        say(r#"{"type":"ping"}"#),
        say(
            r#"{"data":[{"p":7296.89,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0.011467,"c":null},{"p":1e-7,"s":"AAPL","t":1575526691135,"v":1.5E+3,"c":["1","12"]}],"type":"trade"}"#,
        ),
        say(r#"{"type":"error","msg":"API limit reached"}"#),
    ]);
    let second = vec![Http(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
    )];
    let third = vec![Http(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 15\r\n\r\nInvalid API key",
    )];
    let server = Server::start(vec![first, second, third]).await;
    let url = format!("{}/?token={{{{secret:token}}}}", server.url);
    let rig = source(live("finnhub", Some(&url)), &["AAPL", "BINANCE:BTCUSDT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(
        given.told(),
        [
            "0 trade BINANCE:BTCUSDT -: 7296.89 x 0.011467 - -",
            "0 trade AAPL -: 0.0000001 x 1500 - -",
        ]
    );
    assert_eq!(given.ticks[0].ts_event_ns, 1_575_526_691_134_000_000);
    let error = given.error.unwrap().to_string();
    assert!(
        error.contains("401 Unauthorized") && error.contains("check the secret"),
        "{error}"
    );
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn massive_logs_in_and_refuses_what_the_plan_does_not_have() {
    let login = [
        say(r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#),
        Hear(r#"{"action":"auth","params":"K"}"#),
    ];
    let mut first = login.to_vec();
    first.extend([
        say(r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#),
        Hear(r#"{"action":"subscribe","params":"T.AAPL,T.MSFT"}"#),
        Hear(r#"{"action":"subscribe","params":"Q.AAPL,Q.MSFT"}"#),
        say(r#"[{"ev":"status","status":"success","message":"subscribed to: T.AAPL"}]"#),
        say(
            r#"[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328},{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]"#,
        ),
        say(r#"[{"ev":"status","status":"max_connections","message":"Maximum number of websocket connections exceeded."}]"#),
    ]);
    let mut second = login.to_vec();
    second.push(say(
        r#"[{"ev":"status","status":"auth_failed","message":"authentication failed"}]"#,
    ));
    let server = Server::start(vec![first, second]).await;
    let rig = source(live("massive", Some(&server.url)), &["AAPL", "MSFT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let given = take(feed.as_mut(), |_| false);
    assert_eq!(
        given.told(),
        [
            "0 trade MSFT 3681328: 114.125 x 100 - 12345",
            "1 quote MSFT 50385480: 114.125 x 100 / 114.128 x 160",
        ]
    );
    assert_eq!(given.ticks[0].conditions.as_deref(), Some("0,12"));
    assert_eq!(
        given.error.unwrap().to_string(),
        "source.live: the feed massive refuses us: auth_failed: authentication failed"
    );
    server.assert_heard();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_preset_that_is_silent_is_given_up_and_one_that_is_old_is_replaced() {
    let ack = r#"{"type":"subscriptions","channels":[]}"#;
    let server = Server::start(vec![vec![say(ack)]]).await;
    // It answers pings, but a feed with heartbeats must say something.
    let mut settings = live("coinbase", Some(&server.url));
    settings.stale_after = Duration::from_millis(200);
    let rig = source(settings, &["BTC-USD"]);
    let mut feed = rig.begin("r", None).unwrap();
    take(feed.as_mut(), |_| server.connections() >= 3);
    assert!(server.connections() >= 3, "{}", server.connections());
    drop(feed);

    let server = Server::start(vec![vec![say(r#"{"result":null,"id":1}"#)]]).await;
    let mut settings = live("binance", Some(&server.url));
    settings.stale_after = Duration::from_secs(1);
    settings.reconnect_after = Some(Duration::from_secs(2));
    let rig = source(settings, &["BTCUSDT"]);
    let mut feed = rig.begin("r", None).unwrap();
    let began = std::time::Instant::now();
    take(feed.as_mut(), |_| server.connections() >= 2);
    // A pong is a sign of life here: only age ends a connection.
    assert!(
        began.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.connections(), 2);
}
