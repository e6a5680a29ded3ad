//! Kill -9 at every write point of the producer and the lander, landers that
//! freeze and wake, and the local cloud killed under them: nothing is lost,
//! nothing doubled.

use jiff::{ToSpan, Zoned, tz::TimeZone};
use rustix::process::Signal;
use serde_json::{Value, json};
use stockpipe_tests::process::until;
use stockpipe_tests::stack::{Cloud, Pipeline, Services, Worker};
use stockpipe_workers::failpoint::POINTS;

use crate::tier;

/// At which pass of a point the process is killed, life after life: not always at the first.
/// Checkpoints are rare, so few of them are passed in one life.
fn kills(point: &str) -> [u32; 3] {
    if point.contains("checkpoint") {
        [1, 1, 2]
    } else {
        [1, 2, 4]
    }
}

fn enabled() -> bool {
    tier::runs("STOCKPIPE_DESTRUCTION", "make test-destruction")
}

/// A few hundred thousand ticks of history in 2 partitions, rolled often.
fn pipeline(name: &str, services: &Services) -> Pipeline {
    let yesterday = Zoned::now()
        .with_time_zone(TimeZone::UTC)
        .date()
        .checked_sub(1.day())
        .unwrap();
    Pipeline::new(
        name,
        services,
        &json!({
            "market": {"calendar": "24x7", "symbols": ["AAPL", "KO", "MSFT", "NVDA", "TSLA"]},
            "source": {"simulated": {"seed": 7, "ticksPerSecond": 3, "start": yesterday.to_string()}},
            "kafka": {"topic": {"partitions": 2}},
            "lake": {"partitionBy": "Hour", "roll": {"maxAge": "1s", "maxRows": 10000}},
        }),
    )
}

/// Waits until the producer has made all of history, ends it, and waits until all of it has landed.
fn land_everything(producer: Worker, lander: Worker) {
    until("the producer to catch up with the clock", || {
        let status = producer.status()?;
        (status.get("behind") == Some(&Value::Bool(false))).then_some(())
    });
    producer.process.stop();
    until("lag 0", || {
        let status = lander.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        (partitions.len() == 2 && partitions.iter().all(|p| p.get("lag") == Some(&json!(0))))
            .then_some(())
    });
    lander.process.stop();
}

#[test]
fn a_producer_killed_at_every_write_point_loses_and_doubles_nothing() {
    killed_at_every_write_point("produce");
}

#[test]
fn a_lander_killed_at_every_write_point_loses_and_doubles_nothing() {
    killed_at_every_write_point("land");
}

fn killed_at_every_write_point(role: &str) {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    println!(
        "{:<32} {:>5} {:>9} {:>7} {:>5} {:>8}",
        "write point", "kills", "rows", "claims", "lost", "doubled"
    );
    let is_producer = role == "produce";
    let points = POINTS
        .iter()
        .filter(|point| point.starts_with("produce.") == is_producer);
    for (index, point) in points.enumerate() {
        let pipeline = pipeline(&format!("kill-{role}-{index}"), cloud.services());
        pipeline.provision();
        let mut other = (!is_producer).then(|| pipeline.start("produce"));
        let mut lander = is_producer.then(|| pipeline.start("land"));
        for count in kills(point) {
            let mut victim = pipeline.start_with(role, Some(&format!("{point}:{count}")));
            let status = victim.process.wait();
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            assert_eq!(
                signal,
                Some(9),
                "{point} was not hit: {status}\n{}",
                victim.process.output()
            );
        }
        let producer = other.take().unwrap_or_else(|| pipeline.start("produce"));
        let lander = lander.take().unwrap_or_else(|| pipeline.start("land"));
        land_everything(producer, lander);
        let verified = pipeline.assert_verified();
        println!(
            "{point:<32} {:>5} {:>9} {:>7} {:>5} {:>8}",
            kills(point).len(),
            verified.rows,
            verified.claims,
            verified.missing,
            verified.doubled
        );
    }
}

#[test]
fn two_landers_of_one_group_share_the_partitions() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let pipeline = pipeline("two", cloud.services());
    pipeline.provision();
    let first = pipeline.start("land");
    let second = pipeline.start("land");
    let producer = pipeline.start("produce");
    until("the producer to catch up with the clock", || {
        (producer.status()?.get("behind") == Some(&Value::Bool(false))).then_some(())
    });
    producer.process.stop();
    first.process.stop();
    until("lag 0", || {
        let status = second.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        (partitions.len() == 2 && partitions.iter().all(|p| p.get("lag") == Some(&json!(0))))
            .then_some(())
    });
    second.process.stop();
    pipeline.assert_verified();
}

fn claims(status: &Value) -> u64 {
    let partitions = status["partitions"].as_array().into_iter().flatten();
    partitions.filter_map(|p| p["claims"].as_u64()).sum()
}

#[test]
fn rivals_that_both_believe_they_own_every_partition_land_each_record_once() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let pipeline = pipeline("rivals", cloud.services());
    pipeline.provision();
    let owns_both = |lander: &Worker| {
        let status = lander.status()?;
        (status["partitions"].as_array()?.len() == 2).then_some(())
    };
    let first = pipeline.start("land");
    until("the first to own both partitions", || owns_both(&first));
    let rival = pipeline.usurped_by("rival");
    let second = rival.start("land");
    until("the second to own both partitions", || owns_both(&second));
    let producer = pipeline.start("produce");
    until("the producer to catch up with the clock", || {
        (producer.status()?.get("behind") == Some(&Value::Bool(false))).then_some(())
    });
    producer.process.stop();
    for lander in [&first, &second] {
        until("lag 0", || {
            let status = lander.status()?;
            let partitions = status["partitions"].as_array()?;
            partitions
                .iter()
                .all(|p| p.get("lag") == Some(&json!(0)))
                .then_some(())
        });
    }
    let made = [&first, &second].map(|l| l.status().map_or(0, |s| claims(&s)));
    first.process.stop();
    second.process.stop();
    let verified = rival.assert_verified();
    println!(
        "rivals on the same partitions: {} rows in {} claims, {} of the first and {} of the second",
        verified.rows, verified.claims, made[0], made[1]
    );
    assert!(
        made[0] + made[1] <= verified.claims,
        "a claim was counted twice"
    );
}

#[test]
fn a_lander_frozen_past_its_session_wakes_as_a_zombie_and_harms_nothing() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let pipeline = pipeline("frozen", cloud.services());
    pipeline.provision();
    let producer = pipeline.start("produce");
    let frozen = pipeline.start("land");
    until("the first claim", || {
        let status = frozen.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        partitions
            .iter()
            .any(|p| p.get("claims").and_then(Value::as_u64) > Some(0))
            .then_some(())
    });
    frozen.process.signal(Signal::STOP);
    let heir = pipeline.start("land");
    // The heir gets the partitions only once the group has given the frozen one up.
    until("the heir to own both partitions", || {
        let status = heir.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        (partitions.len() == 2).then_some(())
    });
    frozen.process.signal(Signal::CONT);
    // Both run now; whoever holds what, it all lands once.
    until("the producer to catch up with the clock", || {
        (producer.status()?.get("behind") == Some(&Value::Bool(false))).then_some(())
    });
    producer.process.stop();
    frozen.process.stop();
    until("lag 0", || {
        let status = heir.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        (partitions.len() == 2 && partitions.iter().all(|p| p.get("lag") == Some(&json!(0))))
            .then_some(())
    });
    heir.process.stop();
    pipeline.assert_verified();
}

#[test]
fn the_local_cloud_killed_under_them_comes_back_with_all_it_acknowledged() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut cloud = Cloud::start(home.path());
    let pipeline = pipeline("cloud-kill", cloud.services());
    pipeline.provision();
    let producer = pipeline.start("produce");
    let lander = pipeline.start("land");
    for _ in 0..3 {
        let before = lander.status().map_or(0, |s| claims(&s));
        until("another claim", || {
            lander.status().filter(|s| claims(s) > before)
        });
        cloud.kill();
        cloud.revive();
    }
    land_everything(producer, lander);
    pipeline.assert_verified();
}
