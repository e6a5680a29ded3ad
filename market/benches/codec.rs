//! Ticks a second on one core: through the codecs, and out of the simulator.
//!
//! `cargo bench -p stockpipe-market` prints them as `thrpt` (elements are ticks); with
//! `--profile dev` it measures what `make run` builds.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::columns::TickColumns;
use stockpipe_market::json;
use stockpipe_market::simulator::{Disorder, Model, Rate, Settings, Simulator};
use stockpipe_market::tick::{Symbol, Tick};

const RATE: u64 = 50_000;
const START_NS: i64 = 1_795_132_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

fn market(symbols: usize) -> Simulator {
    let symbols = (0..symbols)
        .map(|index| Symbol::new(&format!("SYM{index}")).expect("a symbol"))
        .collect();
    let settings = Settings {
        symbols,
        calendar: Calendar::AlwaysOpen,
        seed: 42,
        rate: Rate::Total(RATE),
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

fn simulator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulator");
    group.sample_size(20);
    // A minute at a time, so that each holds its share of the minute's preparation.
    group.throughput(Throughput::Elements(60 * RATE));
    for symbols in [10, 100, 1000, 10_000] {
        group.bench_function(BenchmarkId::from_parameter(symbols), |bencher| {
            let mut simulator = market(symbols);
            bencher.iter(|| {
                let mut count = 0_u64;
                let until_ns = simulator.until_ns() + 60 * SECOND_NS;
                simulator.emit(until_ns, &mut |tick| {
                    black_box(tick);
                    count += 1;
                });
                count
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, simulator);
criterion_main!(benches);
