//! A pipeline with every field, for the tests of the builders.

use stockpipe_crds::pipeline::Pipeline;
use stockpipe_crds::spec::StockPipelineSpec;
use stockpipe_crds::{StockPipeline, resolve};

use super::{Blueprint, Monitoring};
use crate::settings::WorkerDefaults;

/// A pipeline and what else its objects follow from.
pub(crate) struct Sample {
    pub(crate) resource: StockPipeline,
    pub(crate) pipeline: Pipeline,
    pub(crate) defaults: WorkerDefaults,
    pub(crate) monitoring: Monitoring,
}

impl Sample {
    /// Every field set.
    pub(crate) fn full() -> Self {
        let text = include_str!("../../../crds/tests/everything.yaml");
        Self::of(stockpipe_crds::load(text, "everything.yaml").unwrap())
    }

    /// A pipeline as people write it.
    pub(crate) fn written(text: &str) -> Self {
        Self::of(stockpipe_crds::load(text, "pipeline.yaml").unwrap())
    }

    fn of(mut resource: StockPipeline) -> Self {
        resource.metadata.uid = Some("uid-1".into());
        resource.metadata.generation = Some(1);
        Self {
            pipeline: resolve(&resource).unwrap(),
            resource,
            defaults: WorkerDefaults {
                image: "stockpipe:0.1.0".into(),
                image_pull_policy: "IfNotPresent".into(),
                image_pull_secrets: Vec::new(),
                prometheus_peer: Default::default(),
                page_peer: Default::default(),
                egress: Vec::new(),
                dashboard_labels: Default::default(),
                operator_namespace: "stockpipe-system".into(),
            },
            monitoring: Monitoring::default(),
        }
    }

    pub(crate) fn edit(&mut self, edit: impl Fn(&mut StockPipelineSpec)) {
        edit(&mut self.resource.spec);
        self.pipeline = resolve(&self.resource).unwrap();
    }

    pub(crate) fn rename(&mut self, name: &str) {
        self.resource.metadata.name = Some(name.into());
        self.pipeline = resolve(&self.resource).unwrap();
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.resource
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(key.into(), value.into());
    }
}

/// The blueprint of a sample, provisioned, with one lander.
pub(crate) fn blueprint(sample: &Sample) -> Blueprint<'_> {
    Blueprint {
        resource: &sample.resource,
        pipeline: &sample.pipeline,
        defaults: &sample.defaults,
        cluster_id: "c1",
        image: "stockpipe:0.1.0",
        landers: 1,
        provisioned: true,
        monitoring: sample.monitoring,
        runs: &[],
    }
}
