//! A topic that is much larger than what Kafka may keep of it.

use std::time::Duration;

use super::{Fault, bytes_in, enabled, parameter, yesterday};

const MIB: u64 = 1 << 20;
/// What a record takes in a segment, at least, bytes.
const RECORD: u64 = 200;

/// GB=10 lets the topic be 10 GB.
#[test]
fn a_large_topic_with_64_mib_of_retention() {
    if !enabled() {
        return;
    }
    let bytes = parameter("GB", 1) * 1_000_000_000;
    let a_second = (bytes / RECORD).div_ceil(86_400);
    let spec = format!(
        "  market: {{calendar: 24x7, universe: {{size: 50}}}}
  source: {{simulated: {{seed: 7, ticksPerSecond: {a_second}, start: {}}}}}
  kafka: {{topic: {{partitions: 1, config: {{retention.bytes: \"{}\", segment.bytes: \"{}\"}}}}}}
  lake: {{bucket: fault, roll: {{maxAge: 5s}}}}
",
        yesterday(),
        64 * MIB,
        16 * MIB
    );
    let mut fault = Fault::start("a topic with 64 MiB of retention", &spec, |_, _| {});
    let mut most = 0;
    let limit = Duration::from_secs(300 + bytes / 5_000_000);
    fault.wait("all of it landed", limit, |me| {
        most = most.max(bytes_in(&me.path().join(".stockpipe/kafka")));
        let said = me.process.output();
        let done = said.lines().any(|l| l.starts_with("All of it landed"));
        done.then_some(())
    });
    let made = fault.told()["workers"][0]["ticksTotal"]
        .as_u64()
        .unwrap_or(0)
        * RECORD;
    println!(
        "a topic with 64 MiB of retention: at least {} MB written, at most {} MiB on the disk at once",
        made / 1_000_000,
        most / MIB
    );
    // What is kept, a segment that is being written, and what comes between two looks of ten seconds.
    let bound = (64 + 16) * MIB + 10 * 64 * MIB;
    assert!(made >= bytes && most <= bound, "{made} {most} {bound}");
    fault.end();
}
