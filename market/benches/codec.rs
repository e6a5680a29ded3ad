//! Ticks a second on one core: through the codecs, and out of the simulator.
//!
//! `cargo bench -p stockpipe-market` prints them as `thrpt` (elements are ticks); with
//! `--profile dev` it measures what `make run` builds.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::columns::TickColumns;
use stockpipe_market::json;
use stockpipe_market::simulator::{Disorder, Model, Rate, Settings, Simulator};
use stockpipe_market::tick::{Symbol, Tick};

const RATE: u64 = 50_000;
const START_NS: i64 = 1_795_132_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

fn market(symbols: usize) -> Simulator {
    market_at(symbols, Rate::Total(RATE))
}

fn market_at(symbols: usize, rate: Rate) -> Simulator {
    let symbols = (0..symbols)
        .map(|index| Symbol::new(&format!("SYM{index}")).expect("a symbol"))
        .collect();
    let settings = Settings {
        symbols,
        calendar: Calendar::AlwaysOpen,
        seed: 42,
        rate,
        start_ns: START_NS,
        universe: Vec::new(),
        model: Model::default(),
        scenarios: Vec::new(),
        disorder: Disorder::default(),
        run: "20261120T000000Z-42".into(),
    };
    Simulator::new(settings).expect("a market")
}

/// A second of a market of 100 symbols, as a producer sends it.
fn sample() -> Vec<Tick> {
    let mut ticks = Vec::new();
    market(100).emit(START_NS + SECOND_NS, &mut |tick| {
        let sent = Tick {
            ts_ingest_ns: tick.ts_recv_ns,
            ..tick.clone()
        };
        ticks.push(sent);
    });
    ticks
}

fn codec(criterion: &mut Criterion) {
    let ticks = sample();
    let records: Vec<Vec<u8>> = ticks
        .iter()
        .map(|tick| {
            let mut record = Vec::new();
            json::encode(tick, &mut record);
            record
        })
        .collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!(
        "{} ticks of {} bytes of JSON in the mean",
        ticks.len(),
        bytes / ticks.len()
    );

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(ticks.len() as u64));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::with_capacity(bytes);
        bencher.iter(|| {
            out.clear();
            for tick in &ticks {
                json::encode(black_box(tick), &mut out);
            }
            out.len()
        });
    });
    group.bench_function("view", |bencher| {
        bencher.iter(|| {
            for record in &records {
                black_box(json::view(black_box(record)).expect("a tick"));
            }
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for record in &records {
                black_box(json::decode(black_box(record)).expect("a tick"));
            }
        });
    });
    group.bench_function("decode+append", |bencher| {
        let mut columns = TickColumns::new();
        bencher.iter(|| {
            for record in &records {
                columns.push_json(black_box(record)).expect("a tick");
            }
            columns.finish()
        });
    });
    group.finish();
}

/// Rows of a batch: about what a lander's buffer and a Parquet row group hold.
const BATCH: usize = 65_536;

/// How fast the full model makes ticks: as ticks alone, into Arrow columns (a lander's and a
/// Parquet file's batch), and as the JSON of the producer's records.
///
/// Every symbol has five ticks a second or more, and all together 50,000 or more: the r-th has
/// one r-th of the first one's, so that with few symbols the busiest has very many.
fn simulator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulator");
    group.sample_size(10);
    for symbols in [10, 100, 1000, 10_000] {
        let rate = rate_of(symbols);
        let total = market_at(symbols, rate).settings().ticks_per_second();
        // About three million ticks; a minute at most, as that is what is prepared at once.
        let seconds = i64::try_from(3_000_000 / total).map_or(60, |seconds| seconds.clamp(6, 60));
        let until_ns = START_NS + seconds * SECOND_NS;
        // A market is the same each time, so that its ticks can be counted beforehand.
        let mut count = 0_u64;
        market_at(symbols, rate).emit(until_ns, &mut |_| count += 1);
        println!(
            "{symbols} symbols: {count} ticks in {seconds} s, the last symbol's share {:.1} a second",
            count as f64 / seconds as f64 / shares(symbols) / symbols as f64
        );
        group.throughput(Throughput::Elements(count));
        let market = || market_at(symbols, rate);
        group.bench_function(BenchmarkId::new("ticks", symbols), |bencher| {
            bencher.iter_batched(
                market,
                |mut simulator| {
                    simulator.emit(until_ns, &mut |tick| {
                        black_box(tick);
                    });
                    simulator
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("columns", symbols), |bencher| {
            let mut columns = TickColumns::new();
            bencher.iter_batched(
                market,
                |mut simulator| {
                    let mut rows = 0;
                    simulator.emit(until_ns, &mut |tick| {
                        columns.push(tick);
                        rows += 1;
                        if rows == BATCH {
                            black_box(columns.finish());
                            rows = 0;
                        }
                    });
                    simulator
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("json", symbols), |bencher| {
            let mut records = Vec::with_capacity(BATCH * 512);
            bencher.iter_batched(
                market,
                |mut simulator| {
                    let mut rows = 0;
                    simulator.emit(until_ns, &mut |tick| {
                        json::encode(tick, &mut records);
                        rows += 1;
                        if rows == BATCH {
                            black_box(&records);
                            records.clear();
                            rows = 0;
                        }
                    });
                    simulator
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// 1 + 1/2 + … + 1/count.
fn shares(count: usize) -> f64 {
    (1..=count).map(|rank| 1.0 / rank as f64).sum()
}

fn rate_of(symbols: usize) -> Rate {
    let top = (RATE as f64 / shares(symbols)).max(5.0 * symbols as f64);
    Rate::Top(top.ceil() as u64)
}

criterion_group!(benches, codec, simulator);
criterion_main!(benches);
