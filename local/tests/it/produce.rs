//! The producer: nothing twice, nothing left out, whatever happens to it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use stockpipe_crds::worker_status::{ProduceStatus, RoleStatus};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::{Disorder, Model, Rate, Settings, Simulator};
use stockpipe_market::tick::{Kind, Symbol, Tick};
use stockpipe_workers::context::Context;
use stockpipe_workers::{failpoint, produce};
use tokio::signal::unix::{SignalKind, signal};

use crate::topic::{
    Contents, broker, broker_at, context, create, end_of, grow, read, until, watcher,
};

const TOPIC: &str = "sim.ticks";
const SYMBOLS: [&str; 5] = ["AAPL", "MSFT", "NVDA", "TSLA", "AMZN"];

/// A market whose history begins two days ago.
fn simulated(ticks_per_second: u32, seed: u32) -> String {
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    format!(
        r#"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: sim}}
spec:
  market: {{calendar: 24x7, symbols: [{}]}}
  source:
    simulated: {{seed: {seed}, ticksPerSecond: {ticks_per_second}, start: "{}"}}
  lake: {{bucket: it-lake}}
"#,
        SYMBOLS.join(", "),
        start.strftime("%Y-%m-%d"),
    )
}

fn told(context: &Context) -> ProduceStatus {
    match context.status.snapshot().map(|s| s.role) {
        Some(RoleStatus::Produce(status)) => status,
        _ => ProduceStatus::default(),
    }
}

/// Runs a producer until `done`, then drains it.
async fn run_until(context: &Context, what: &str, done: impl Fn(&Context) -> bool) {
    let role = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    // A test that fails must not leave the role running: the runtime would wait for it.
    let _stop = context.shutdown.clone().drop_guard();
    until(what, || role.is_finished() || done(context)).await;
    context.shutdown.cancel();
    role.await.unwrap().unwrap();
}

/// What the market of `contents` should have been, as far as it went.
fn assert_as_simulated(contents: &Contents, ticks_per_second: u32, seed: u32) {
    let runs = contents.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    // The first promise is the market's beginning; that of a partition that came later is not.
    let start_ns = contents.heartbeats.iter().map(|(_, _, b)| b.until).min();
    let settings = Settings {
        symbols: SYMBOLS.map(|s| Symbol::new(s).unwrap()).to_vec(),
        calendar: Calendar::AlwaysOpen,
        seed: seed.into(),
        rate: Rate::Total(ticks_per_second.into()),
        start_ns: start_ns.unwrap(),
        run: runs[0].as_str().into(),
        universe: Vec::new(),
        model: Model::default(),
        scenarios: Vec::new(),
        disorder: Disorder::default(),
    };
    let last = contents.ticks.iter().map(|(_, t)| t.ts_event_ns).max();
    let mut expected: Vec<Tick> = Vec::new();
    Simulator::new(settings)
        .unwrap()
        .emit(last.unwrap() + 1, &mut |tick| expected.push(tick.clone()));
    let mut found: Vec<Tick> = contents.ticks.iter().map(|(_, t)| t.clone()).collect();
    for tick in &mut found {
        assert!(tick.ts_ingest_ns.take().is_some(), "{tick:?}");
    }
    let order = |tick: &Tick| (tick.symbol.clone(), tick.seq);
    expected.sort_by_key(order);
    found.sort_by_key(order);
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the ticks differ from the simulator's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_producer_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 3).await;
    let yaml = simulated(20, 1);
    for round in 1..=4_u64 {
        let context = context(&yaml, dir.path(), &bootstrap, "produce");
        run_until(&context, "some ticks are there", |c| {
            told(c).ticks_total > 20_000 * round
        })
        .await;
    }
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    contents.assert_promises_kept();
    assert_as_simulated(&contents, 20, 1);
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn history_ends_at_the_present_and_then_ticks_come_with_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 2).await;
    let context = context(&simulated(1, 2), dir.path(), &bootstrap, "produce");
    let began = jiff::Timestamp::now();
    run_until(&context, "the market is live", |c| {
        !told(c).behind && told(c).ticks_total > 100_000
    })
    .await;
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    let newest = contents.ticks.iter().map(|(_, t)| t.ts_event_ns).max();
    let newest = jiff::Timestamp::from_nanosecond(newest.unwrap().into()).unwrap();
    assert!(newest > began - jiff::SignedDuration::from_secs(60));
    assert!(newest <= jiff::Timestamp::now());
    // Each partition's last promise is of the present, whether it has ticks or not.
    for partition in 0..2 {
        let (_, _, last) = contents
            .heartbeats
            .iter()
            .rfind(|(p, ..)| *p == partition)
            .unwrap();
        assert!(i128::from(last.until) > began.as_nanosecond(), "{last:?}");
        assert!(last.checkpoint.as_ref().unwrap().closed);
    }
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_may_go_away_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let address = kafka.addr();
    let bootstrap = address.to_string();
    create(&bootstrap, TOPIC, 3).await;
    let context = context(&simulated(20, 3), dir.path(), &bootstrap, "produce");
    let role = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    let _stop = context.shutdown.clone().drop_guard();
    let mut kafka = kafka;
    for round in 1..=3_u64 {
        until("some ticks are there", || {
            role.is_finished() || told(&context).ticks_total > 30_000 * round
        })
        .await;
        kafka.shutdown().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        kafka = broker_at(dir.path(), address).await;
    }
    until("ticks flow again", || {
        role.is_finished() || told(&context).ticks_total > 150_000
    })
    .await;
    context.shutdown.cancel();
    role.await.unwrap().unwrap();
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    contents.assert_promises_kept();
    assert_as_simulated(&contents, 20, 3);
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_begin_a_new_run_where_the_old_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 2).await;
    for seed in [1, 2] {
        let context = context(&simulated(20, seed), dir.path(), &bootstrap, "produce");
        run_until(&context, "some ticks are there", |c| {
            told(c).ticks_total > 5000
        })
        .await;
    }
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    let runs = contents.runs();
    assert_eq!(runs.len(), 2);
    let of = |run: &str| {
        let run = run.to_owned();
        contents
            .ticks
            .iter()
            .map(|(_, t)| t)
            .filter(move |t| *t.run == *run)
            .map(|t| t.ts_event_ns)
    };
    assert!(of(&runs[0]).max() < of(&runs[1]).min());
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_grew_between_two_lives_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 1).await;
    let yaml = simulated(20, 4);
    for (round, partitions) in [(1, 3), (2, 7), (3, 7)] {
        let context = context(&yaml, dir.path(), &bootstrap, "produce");
        run_until(&context, "some ticks are there", |c| {
            told(c).ticks_total > 9000
        })
        .await;
        if round < 3 {
            grow(&bootstrap, TOPIC, partitions).await;
        }
    }
    let mut contents = read(&bootstrap, TOPIC);
    // A symbol that moved lies in two partitions: in the order of its seq.
    contents.ticks.sort_by_key(|(_, t)| t.seq);
    contents.assert_contiguous();
    assert_as_simulated(&contents, 20, 4);
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_grows_meanwhile_is_adopted_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(dir.path()).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 1).await;
    let context = context(&simulated(200, 6), dir.path(), &bootstrap, "produce");
    let _stop = context.shutdown.clone().drop_guard();
    let role = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    until("some ticks are there", || told(&context).ticks_total > 1000).await;
    grow(&bootstrap, TOPIC, 4).await;
    let consumer = watcher(&bootstrap);
    until("the last partition has records", || {
        end_of(&consumer, TOPIC, 3) > 0
    })
    .await;
    context.shutdown.cancel();
    role.await.unwrap().unwrap();
    let mut contents = read(&bootstrap, TOPIC);
    contents.assert_promises_kept();
    contents.ticks.sort_by_key(|(_, t)| t.seq);
    contents.assert_contiguous();
    assert_as_simulated(&contents, 200, 6);
    kafka.shutdown().await.unwrap();
}

/// The producer as a process of its own, which a failpoint may kill. Does nothing unless a test starts it.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let (Ok(file), Ok(bootstrap)) = (std::env::var("IT_PIPELINE"), std::env::var("IT_BOOTSTRAP"))
    else {
        return;
    };
    failpoint::arm_from_environment().unwrap();
    let yaml = std::fs::read_to_string(&file).unwrap();
    let context = context(&yaml, Path::new("."), &bootstrap, "produce");
    let stop = context.shutdown.clone();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        terminate.recv().await;
        stop.cancel();
    });
    produce::run(&context).await.unwrap();
}

fn spawn_child(pipeline: &Path, bootstrap: &str, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["produce::child", "--exact", "--test-threads=1"])
        .env("IT_PIPELINE", pipeline)
        .env("IT_BOOTSTRAP", bootstrap)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("STOCKPIPE_FAILPOINT", failpoint);
    }
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_killed_at_any_point_neither_repeats_nor_skips() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(&dir.path().join("kafka")).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 3).await;
    let file = dir.path().join("pipeline.yaml");
    std::fs::write(&file, simulated(30, 5)).unwrap();
    // The counts reach past the next checkpoint, which comes after 200,000 ticks.
    let kills = [
        "produce.between-checkpoints:1",
        "produce.after-send:1",
        "produce.before-send:30001",
        "produce.between-checkpoints:1",
        "produce.after-send:77777",
        "produce.before-checkpoint:1",
        "produce.after-checkpoint:1",
        "produce.before-send:1",
    ];
    for kill in kills {
        let mut child = spawn_child(&file, &bootstrap, Some(kill));
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(9), "{kill}: {status}");
    }
    // The last one lives until it is asked to end.
    let mut child = spawn_child(&file, &bootstrap, None);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(status.success(), "{status}");
    let contents = tokio::task::spawn_blocking({
        let bootstrap = bootstrap.clone();
        move || read(&bootstrap, TOPIC)
    })
    .await
    .unwrap();
    contents.assert_contiguous();
    contents.assert_promises_kept();
    assert_as_simulated(&contents, 30, 5);
    kafka.shutdown().await.unwrap();
}

const PRICES: &str = "Date,Open,High,Low,Close,Adj Close,Volume
1/4/1999,2207.540039,2233.570068,2192.679932,2208.050049,2208.050049,936660000
1/5/1999,2207.75,2251.77002,2206.48999,2251.27002,2251.27002,948350000
1/6/1999,2285.62,2320.860107,2285.62,2320.860107,2320.860107,1252870000
";

fn replay(uri: &str) -> String {
    format!(
        r#"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: sim}}
spec:
  market: {{calendar: XNYS, symbols: [IXIC]}}
  source:
    replay:
      uri: {uri}
      speed: 0
      columns:
        symbol: {{const: IXIC}}
        time: Date
        timeFormat: "%m/%d/%Y"
        open: Open
        high: High
        low: Low
        close: Close
        adjClose: Adj Close
        volume: Volume
  lake: {{bucket: it-lake, partitionBy: Month}}
"#
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_file_and_is_finished_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(&dir.path().join("kafka")).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 2).await;
    std::fs::write(dir.path().join("day.csv.gz"), gzip(PRICES)).unwrap();
    let yaml = replay("day.csv.gz");
    // The second life finds that there is nothing left to do.
    for _ in 0..2 {
        let context = context(&yaml, dir.path(), &bootstrap, "produce");
        run_until(&context, "the replay is finished", |c| told(c).finished).await;
    }
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    contents.assert_promises_kept();
    let rows: Vec<String> = contents
        .ticks
        .iter()
        .map(|(_, t)| {
            assert_eq!(
                (t.kind, &*t.source, &*t.symbol),
                (Kind::Bar, "replay", "IXIC")
            );
            let date = t.trade_date;
            format!(
                "{}/{}/{},{},{},{},{},{},{}",
                date.month(),
                date.day(),
                date.year(),
                t.open.unwrap(),
                t.high.unwrap(),
                t.low.unwrap(),
                t.close.unwrap(),
                t.adj_close.unwrap(),
                t.volume.unwrap()
            )
        })
        .collect();
    let expected: Vec<&str> = PRICES.lines().skip(1).collect();
    assert_eq!(rows, expected);
    // The day after the last row begins: nothing earlier comes any more.
    let (_, _, last) = contents.heartbeats.last().unwrap();
    assert_eq!(
        i128::from(last.until),
        "1999-01-07T00:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_nanosecond()
    );
    kafka.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_appended_to_a_replayed_file_are_sent_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(&dir.path().join("kafka")).await;
    let bootstrap = kafka.addr().to_string();
    create(&bootstrap, TOPIC, 2).await;
    let file = dir.path().join("day.csv");
    let yaml = replay("day.csv");
    for text in [
        PRICES.to_owned(),
        format!("{PRICES}1/7/1999,2310.5,2330.0,2300.25,2326.09,2326.09,1103180000\n"),
    ] {
        std::fs::write(&file, text).unwrap();
        let context = context(&yaml, dir.path(), &bootstrap, "produce");
        run_until(&context, "the replay is finished", |c| told(c).finished).await;
    }
    let contents = read(&bootstrap, TOPIC);
    contents.assert_contiguous();
    assert_eq!((contents.ticks.len(), contents.runs().len()), (4, 1));
    kafka.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_told_before_kafka_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = "127.0.0.1:9";
    let missing = context(&replay("none.csv"), dir.path(), nobody, "produce");
    let error = produce::run(&missing).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read ") && error.contains("none.csv"),
        "{error}"
    );
    std::fs::write(
        dir.path().join("day.csv"),
        PRICES.replace(",Close,", ",Last,"),
    )
    .unwrap();
    let other = context(&replay("day.csv"), dir.path(), nobody, "produce");
    let error = produce::run(&other).await.unwrap_err().to_string();
    assert!(
        error.contains("no column `Close` for close: it has Date, Open"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_ends_the_replay_with_a_sentence_and_nothing_after_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = broker(&dir.path().join("kafka")).await;
    let bootstrap = kafka.addr().to_string();
    let file = dir.path().join("bad.csv");
    let after = "1/7/1999,2310.5,2330.0,2300.25,2326.09,2326.09,1103180000\n";
    for (n, (row, parts)) in [
        (
            "1/6/1999,2285.62,2320.86,2285.62,n/a,2320.86,1252870000",
            &["bad.csv:4", "Close", "n/a"][..],
        ),
        (
            "1/4/1999,2285.62,2320.86,2285.62,2320.86,2320.86,1252870000",
            &["bad.csv:4", "line 3", "sort the file by time"][..],
        ),
        ("1/6/1999,2285.62", &["bad.csv:4", "2", "7"][..]),
        (
            "13/6/1999,2285.62,2320.86,2285.62,2320.86,2320.86,1252870000",
            &["bad.csv:4", "Date", "13/6/1999"][..],
        ),
        (
            "1/6/1999,2285.6200000001,2320.86,2285.62,2320.86,2320.86,1252870000",
            &["bad.csv:4", "Open", "2285.6200000001"][..],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("bad-{n}.ticks");
        create(&bootstrap, &topic, 1).await;
        let good: Vec<&str> = PRICES.lines().take(3).collect();
        std::fs::write(&file, format!("{}\n{row}\n{after}", good.join("\n"))).unwrap();
        let yaml = replay("bad.csv").replace("name: sim", &format!("name: bad-{n}"));
        let bad = context(&yaml, dir.path(), &bootstrap, "produce");
        let error = produce::run(&bad).await.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert_eq!(read(&bootstrap, &topic).ticks.len(), 2, "{error}");
        // Mended, it goes on with the row that was bad.
        std::fs::write(&file, format!("{PRICES}{after}")).unwrap();
        let mended = context(&yaml, dir.path(), &bootstrap, "produce");
        run_until(&mended, "the replay is finished", |c| told(c).finished).await;
        let contents = read(&bootstrap, &topic);
        contents.assert_contiguous();
        assert_eq!((contents.ticks.len(), contents.runs().len()), (4, 1));
    }
    kafka.shutdown().await.unwrap();
}
