//! What the operator counts, for `/metrics`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use stockpipe_crds::status::StockPipelineStatus;

use crate::child_kind::ChildKind;
use crate::pipeline_ref::PipelineRef;

/// Seconds that a reconcile takes, in which they are counted: below 10 ms are
/// those that write nothing.
const BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// A write to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum WriteKind {
    /// Of an object that is never changed.
    Create,
    /// Server-side apply.
    Apply,
    /// Deletion.
    Delete,
    /// Of a status.
    Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    write: WriteKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PipelineLabels {
    pipeline: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    pipeline: String,
    r#type: String,
}

/// What the operator counts.
pub struct Metrics {
    registry: Registry,
    reconciles: Histogram,
    errors: Family<ReasonLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    polls: Family<ReasonLabels, Counter>,
    left_behind: Counter,
    leader: Gauge,
    condition: Family<ConditionLabels, Gauge>,
    lag: Family<PipelineLabels, Gauge>,
    children: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("stockpipe");
        let metrics = Self {
            reconciles: Histogram::new(BUCKETS),
            errors: Family::default(),
            writes: Family::default(),
            polls: Family::default(),
            left_behind: Counter::default(),
            leader: Gauge::default(),
            condition: Family::default(),
            lag: Family::default(),
            children: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register(
            "operator_reconcile_seconds",
            "How long reconciling a pipeline took",
            metrics.reconciles.clone(),
        );
        registry.register(
            "operator_reconcile_errors",
            "Reconciles that failed, by reason",
            metrics.errors.clone(),
        );
        registry.register(
            "operator_writes",
            "Writes to the API server",
            metrics.writes.clone(),
        );
        registry.register(
            "operator_polls",
            "Polls of workers, by what came of them",
            metrics.polls.clone(),
        );
        registry.register(
            "operator_teardowns_given_up",
            "Pipelines released although what they had made stays behind",
            metrics.left_behind.clone(),
        );
        registry.register(
            "operator_leader",
            "1 while this process leads",
            metrics.leader.clone(),
        );
        registry.register(
            "operator_children",
            "Objects of pipelines in the cache",
            metrics.children.clone(),
        );
        registry.register(
            "pipeline_condition",
            "Conditions of a pipeline: 1 true, 0 false, -1 unknown",
            metrics.condition.clone(),
        );
        registry.register(
            "pipeline_lag_records",
            "Records that have not landed",
            metrics.lag.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }

    /// The metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, took: Duration) {
        self.reconciles.observe(took.as_secs_f64());
    }

    /// A reconcile has failed.
    pub fn failed(&self, reason: &'static str) {
        self.errors.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A child was written.
    pub fn wrote(&self, kind: ChildKind, write: WriteKind) {
        let kind = kind.as_str();
        self.writes
            .get_or_create(&WriteLabels { kind, write })
            .inc();
    }

    /// A status was written.
    pub fn wrote_status(&self) {
        let labels = WriteLabels {
            kind: "StockPipeline",
            write: WriteKind::Status,
        };
        self.writes.get_or_create(&labels).inc();
    }

    /// A worker was polled.
    pub fn polled(&self, reason: &'static str) {
        self.polls.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A pipeline was released and something stays behind.
    pub fn left_behind(&self) {
        self.left_behind.inc();
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many children the cache holds.
    pub fn children(&self, count: usize) {
        self.children.set(count as f64);
    }

    /// What a pipeline's status says.
    pub fn pipeline(&self, pipeline: &PipelineRef, status: &StockPipelineStatus) {
        for condition in &status.conditions {
            let labels = ConditionLabels {
                pipeline: pipeline.to_string(),
                r#type: condition.type_.clone(),
            };
            self.condition
                .get_or_create(&labels)
                .set(match condition.status.as_str() {
                    "True" => 1,
                    "False" => 0,
                    _ => -1,
                });
        }
        let lag = status.consumer.as_ref().and_then(|consumer| consumer.lag);
        if let Some(lag) = lag {
            let labels = PipelineLabels {
                pipeline: pipeline.to_string(),
            };
            self.lag.get_or_create(&labels).set(lag);
        }
    }

    /// A pipeline is gone.
    pub fn forget(&self, pipeline: &PipelineRef) {
        let pipeline = pipeline.to_string();
        for kind in crate::status::CONDITION_TYPES {
            self.condition.remove(&ConditionLabels {
                pipeline: pipeline.clone(),
                r#type: kind.to_owned(),
            });
        }
        self.lag.remove(&PipelineLabels { pipeline });
    }
}

/// Shared by everything that counts.
pub type SharedMetrics = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text_and_a_gone_pipeline_is_not() {
        let metrics = Metrics::new();
        metrics.wrote(ChildKind::Job, WriteKind::Create);
        metrics.reconciled(Duration::from_millis(3));
        let pipeline = PipelineRef::new("market", "us-equities");
        let status = StockPipelineStatus {
            conditions: vec![crate::status::condition_of("Ready", "True")],
            ..StockPipelineStatus::default()
        };
        metrics.pipeline(&pipeline, &status);
        let text = metrics.encode();
        assert!(
            text.contains("stockpipe_operator_writes_total{kind=\"Job\",write=\"Create\"} 1"),
            "{text}"
        );
        let ready =
            "stockpipe_pipeline_condition{pipeline=\"market/us-equities\",type=\"Ready\"} 1";
        assert!(text.contains(ready), "{text}");
        metrics.forget(&pipeline);
        assert!(!metrics.encode().contains(ready));
    }
}
