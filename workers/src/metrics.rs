//! `GET /metrics`: what workers say on `/status`, as OpenMetrics text.
//!
//! The status is the one source: a number that only one of the two knows does not exist. Names and units are in
//! `docs/reference/metrics.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use stockpipe_crds::worker_status::{
    AnalyzeStatus, LandStatus, LiveStatus, PartitionStatus, ProduceStatus, RoleStatus, WorkerState,
    WorkerStatus,
};

/// Content type of [`encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [WorkerState; 6] = [
    WorkerState::Starting,
    WorkerState::Waiting,
    WorkerState::Running,
    WorkerState::Draining,
    WorkerState::Done,
    WorkerState::Stopped,
];

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>;
type Counters = Family<Labels, Counter>;

/// The metrics of these workers; several roles may run in one process.
#[must_use]
pub fn encode<'a>(statuses: impl IntoIterator<Item = &'a WorkerStatus>) -> String {
    let mut scrape = Scrape::default();
    for status in statuses {
        scrape.worker(status);
    }
    scrape.text()
}

/// One answer to a scrape.
struct Scrape {
    registry: Registry,
    gauges: BTreeMap<&'static str, Gauges>,
    counters: BTreeMap<&'static str, Counters>,
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            registry: Registry::with_prefix("stockpipe"),
            gauges: BTreeMap::new(),
            counters: BTreeMap::new(),
        }
    }
}

impl Scrape {
    fn gauge(&mut self, name: &'static str, help: &str, labels: &Labels, value: f64) {
        let registry = &mut self.registry;
        let family = self.gauges.entry(name).or_insert_with(|| {
            let family = Gauges::default();
            registry.register(name, help, family.clone());
            family
        });
        family.get_or_create(labels).set(value);
    }

    fn counter(&mut self, name: &'static str, help: &str, labels: &Labels, value: u64) {
        let registry = &mut self.registry;
        let family = self.counters.entry(name).or_insert_with(|| {
            let family = Counters::default();
            registry.register(name, help, family.clone());
            family
        });
        family.get_or_create(labels).inc_by(value);
    }

    fn worker(&mut self, status: &WorkerStatus) {
        let role = role_name(&status.role);
        let pipeline: Labels = vec![("pipeline", status.pipeline.clone())];
        let worker = with(&pipeline, "role", role);
        self.gauge(
            "worker_info",
            "The version that runs",
            &with(&worker, "version", &status.version),
            1.0,
        );
        self.gauge(
            "worker_start_time_seconds",
            "When it started, in seconds since 1970",
            &worker,
            seconds(status.started_at),
        );
        for state in STATES {
            self.gauge(
                "worker_state",
                "1 for what it is doing, 0 for the others",
                &with(&worker, "state", &format!("{state:?}")),
                f64::from(u8::from(state == status.state)),
            );
        }
        for condition in &status.conditions {
            let labels = with(&worker, "type", &condition.kind);
            self.gauge(
                "worker_condition",
                "What it has to say: 1 all is well, 0 something is wrong",
                &with(&labels, "reason", &condition.reason),
                f64::from(u8::from(condition.ok)),
            );
        }
        match &status.role {
            RoleStatus::Produce(status) => self.produce(&pipeline, status),
            RoleStatus::Land(status) => self.land(&pipeline, status),
            RoleStatus::Analyze(status) => self.analyze(&pipeline, status),
            RoleStatus::Provision(_)
            | RoleStatus::Report(_)
            | RoleStatus::Crawl(_)
            | RoleStatus::Teardown(_) => {}
        }
    }

    fn produce(&mut self, labels: &Labels, status: &ProduceStatus) {
        self.counter(
            "produce_ticks",
            "Ticks that Kafka acknowledged",
            labels,
            status.ticks_total,
        );
        for (name, help, value) in [
            (
                "produce_bad_rows",
                "Rows of replayed files, or messages of a live feed, that went to quarantine",
                status.bad_rows,
            ),
            (
                "produce_duplicate_rows",
                "Rows of replayed files, or trades of a live feed, that said what another said, and were left out",
                status.duplicate_rows,
            ),
        ] {
            self.counter(name, help, labels, value);
        }
        for (name, help, value) in [
            (
                "produce_rate",
                "Ticks a second over the last few seconds",
                float(status.rate),
            ),
            (
                "produce_in_flight",
                "Ticks that are sent and not acknowledged yet",
                float(status.in_flight),
            ),
            (
                "produce_behind",
                "1 while history is made, as fast as it lands",
                f64::from(u8::from(status.behind)),
            ),
            (
                "produce_finished",
                "1 when the source has ended",
                f64::from(u8::from(status.finished)),
            ),
        ] {
            self.gauge(name, help, labels, value);
        }
        if let Some(time) = status.market_time {
            self.gauge(
                "produce_market_time_seconds",
                "Market time that it has reached, in seconds since 1970",
                labels,
                seconds(time),
            );
        }
        if let Some(live) = &status.live {
            self.live(&with(labels, "feed", &live.feed), live);
        }
    }

    fn live(&mut self, labels: &Labels, status: &LiveStatus) {
        for (name, help, value) in [
            (
                "produce_live_reconnects",
                "Connections to the live feed that were lost or replaced",
                status.reconnects,
            ),
            (
                "produce_live_messages",
                "Messages of the live feed",
                status.messages,
            ),
            (
                "produce_live_unknown_messages",
                "Messages of no known meaning, passed over",
                status.unknown,
            ),
            (
                "produce_live_overflow",
                "Messages that were given up because Kafka was away for too long",
                status.overflow,
            ),
            ("produce_live_gaps", "Gap records", status.gaps),
            (
                "produce_live_missing_trades",
                "Trades that are known to be missing, by the feed's own numbers",
                status.missing,
            ),
        ] {
            self.counter(name, help, labels, value);
        }
        self.gauge(
            "produce_live_connected",
            "1 while the live feed is connected and subscribed",
            labels,
            f64::from(u8::from(status.connected)),
        );
        if let Some(time) = status.last_message {
            self.gauge(
                "produce_live_last_message_seconds",
                "When the live feed last said something, in seconds since 1970",
                labels,
                seconds(time),
            );
        }
    }

    fn land(&mut self, labels: &Labels, status: &LandStatus) {
        for (name, help, value) in [
            ("land_rows", "Rows that landed", status.rows_total),
            (
                "land_files",
                "Files that were published",
                status.files_total,
            ),
            ("land_bytes", "Bytes of those files", status.bytes_total),
        ] {
            self.counter(name, help, labels, value);
        }
        for (name, help, value) in [
            (
                "land_buffered_bytes",
                "Bytes that are buffered, Kafka's client included",
                status.buffered_bytes,
            ),
            (
                "land_budget_bytes",
                "Bytes that may be buffered",
                status.memory_budget,
            ),
        ] {
            self.gauge(name, help, labels, float(value));
        }
        if let Some(milliseconds) = status.freshness_ms {
            self.gauge(
                "land_freshness_seconds",
                "From ingestion to landing, of the newest published range",
                labels,
                float(milliseconds) / 1000.0,
            );
        }
        for partition in &status.partitions {
            let labels = with(labels, "partition", &partition.partition.to_string());
            self.partition(&labels, partition);
        }
    }

    fn partition(&mut self, labels: &Labels, status: &PartitionStatus) {
        for (name, help, value) in [
            (
                "land_lag_records",
                "Records that have not landed",
                status.lag,
            ),
            (
                "land_position",
                "First offset that has not landed",
                status.position,
            ),
            (
                "land_end",
                "First offset that Kafka has not got yet",
                status.end,
            ),
        ] {
            self.gauge(name, help, labels, status_float(value));
        }
        for (name, help, value) in [
            ("land_claims", "Ranges that it claimed", status.claims),
            (
                "land_quarantined",
                "Records that are no ticks, put into quarantine",
                status.quarantined,
            ),
            (
                "land_late_rows",
                "Rows of a period that was closed",
                status.late,
            ),
            ("land_heartbeats", "Heartbeats", status.heartbeats),
        ] {
            self.counter(name, help, labels, value);
        }
        if let Some(watermark) = status.watermark {
            self.gauge(
                "land_watermark_seconds",
                "Event time up to which everything has landed, in seconds since 1970",
                labels,
                seconds(watermark),
            );
        }
    }

    fn analyze(&mut self, labels: &Labels, status: &AnalyzeStatus) {
        for (name, help, value) in [
            (
                "analyze_ticks",
                "Ticks that it has seen",
                status.ticks_total,
            ),
            (
                "analyze_bad_records",
                "Records that were neither tick nor heartbeat",
                status.bad_records,
            ),
        ] {
            self.counter(name, help, labels, value);
        }
        for (name, help, value) in [
            (
                "analyze_rate",
                "Ticks a second over the last few seconds",
                float(status.rate),
            ),
            (
                "analyze_symbols",
                "Symbols that it has seen",
                f64::from(status.symbols),
            ),
            (
                "analyze_streams",
                "Readers of the live page",
                f64::from(status.streams),
            ),
        ] {
            self.gauge(name, help, labels, value);
        }
    }

    fn text(&self) -> String {
        let mut written = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut written, &self.registry);
        written
    }
}

fn with(labels: &Labels, name: &'static str, value: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push((name, value.to_owned()));
    labels
}

/// The role as it is started.
fn role_name(role: &RoleStatus) -> &'static str {
    match role {
        RoleStatus::Provision(_) => "provision",
        RoleStatus::Produce(_) => "produce",
        RoleStatus::Land(_) => "land",
        RoleStatus::Analyze(_) => "analyze",
        RoleStatus::Report(_) => "report",
        RoleStatus::Crawl(_) => "crawl",
        RoleStatus::Teardown(_) => "teardown",
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Prometheus knows floats only: past 2^53 the last digits are lost, and nothing here gets there.
#[expect(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss)]
fn status_float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::worker_status::WorkerCondition;

    fn worker(state: WorkerState, role: RoleStatus) -> WorkerStatus {
        WorkerStatus {
            version: "0.1.0".to_owned(),
            pipeline: "market/us".to_owned(),
            instance: "host/1".to_owned(),
            started_at: Timestamp::from_second(100).unwrap(),
            state,
            conditions: Vec::new(),
            role,
        }
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }

    #[test]
    fn a_lander_is_told_by_partition_and_with_its_budget() {
        let partition = |partition, lag| PartitionStatus {
            partition,
            lag,
            watermark: Some(Timestamp::from_second(60).unwrap()),
            quarantined: 2,
            ..PartitionStatus::default()
        };
        let status = LandStatus {
            partitions: vec![partition(0, 5), partition(1, 7)],
            rows_total: 1_000,
            freshness_ms: Some(1_500),
            memory_budget: 1 << 28,
            ..LandStatus::default()
        };
        let mut worker = worker(WorkerState::Waiting, RoleStatus::Land(status));
        worker.conditions.push(WorkerCondition {
            kind: "Landing".to_owned(),
            ok: false,
            reason: "StoreUnreachable".to_owned(),
            message: "a sentence".to_owned(),
            since: Timestamp::UNIX_EPOCH,
        });
        let text = encode([&worker]);
        for line in [
            "stockpipe_land_rows_total{pipeline=\"market/us\"} 1000",
            "stockpipe_land_budget_bytes{pipeline=\"market/us\"} 268435456.0",
            "stockpipe_land_freshness_seconds{pipeline=\"market/us\"} 1.5",
            "stockpipe_land_lag_records{pipeline=\"market/us\",partition=\"1\"} 7.0",
            "stockpipe_land_watermark_seconds{pipeline=\"market/us\",partition=\"0\"} 60.0",
            "stockpipe_land_quarantined_total{pipeline=\"market/us\",partition=\"0\"} 2",
            "stockpipe_worker_state{pipeline=\"market/us\",role=\"land\",state=\"Waiting\"} 1.0",
            "stockpipe_worker_state{pipeline=\"market/us\",role=\"land\",state=\"Running\"} 0.0",
            "stockpipe_worker_condition{pipeline=\"market/us\",role=\"land\",type=\"Landing\",reason=\"StoreUnreachable\"} 0.0",
            "# EOF",
        ] {
            has(&text, line);
        }
    }

    #[test]
    fn roles_of_one_process_share_one_answer() {
        let producer = ProduceStatus {
            ticks_total: 42,
            behind: true,
            ..ProduceStatus::default()
        };
        let roles = [
            worker(WorkerState::Running, RoleStatus::Produce(producer)),
            worker(
                WorkerState::Running,
                RoleStatus::Analyze(AnalyzeStatus::default()),
            ),
        ];
        let text = encode(&roles);
        has(
            &text,
            "stockpipe_produce_ticks_total{pipeline=\"market/us\"} 42",
        );
        has(
            &text,
            "stockpipe_produce_behind{pipeline=\"market/us\"} 1.0",
        );
        has(
            &text,
            "stockpipe_analyze_symbols{pipeline=\"market/us\"} 0.0",
        );
        let described = text.matches("# HELP stockpipe_worker_info ").count();
        assert_eq!(described, 1, "{text}");
    }

    #[test]
    fn a_role_that_has_said_nothing_yet_has_no_metrics() {
        assert_eq!(encode([]), "# EOF\n");
    }

    /// The page that explains them names each, and no other.
    #[test]
    fn the_reference_names_every_metric() {
        let land = LandStatus {
            partitions: vec![PartitionStatus {
                watermark: Some(Timestamp::UNIX_EPOCH),
                ..PartitionStatus::default()
            }],
            freshness_ms: Some(1),
            ..LandStatus::default()
        };
        let produce = ProduceStatus {
            market_time: Some(Timestamp::UNIX_EPOCH),
            live: Some(LiveStatus {
                last_message: Some(Timestamp::UNIX_EPOCH),
                ..LiveStatus::default()
            }),
            ..ProduceStatus::default()
        };
        let mut roles = [
            worker(WorkerState::Running, RoleStatus::Produce(produce)),
            worker(WorkerState::Running, RoleStatus::Land(land)),
            worker(
                WorkerState::Running,
                RoleStatus::Analyze(AnalyzeStatus::default()),
            ),
        ];
        roles[0].conditions.push(WorkerCondition {
            kind: "Producing".to_owned(),
            ok: true,
            reason: "Suspended".to_owned(),
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
        });
        let text = encode(&roles);
        let served: std::collections::BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let reference = include_str!("../../docs/reference/metrics.md");
        let named: std::collections::BTreeSet<&str> = reference
            .split('`')
            .filter(|word| {
                [
                    "stockpipe_worker_",
                    "stockpipe_produce_",
                    "stockpipe_land_",
                    "stockpipe_analyze_",
                ]
                .iter()
                .any(|prefix| word.starts_with(prefix))
            })
            .collect();
        assert_eq!(served, named);
    }
}
