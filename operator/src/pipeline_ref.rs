//! Which pipeline: its namespace and name.

use std::fmt;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use stockpipe_crds::StockPipeline;

/// Namespace and name of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl PipelineRef {
    /// Names a pipeline.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Of a pipeline that a cluster holds.
    #[must_use]
    pub fn of(pipeline: &StockPipeline) -> Self {
        Self::new(
            pipeline.namespace().unwrap_or_default(),
            pipeline.name_any(),
        )
    }

    /// A number in 0..1 that is the same for one pipeline and spread evenly over
    /// many, so that not all do the same at once.
    #[must_use]
    pub fn spread(&self) -> f64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As kube's runtime writes it.
    #[must_use]
    pub fn to_object_ref<K>(&self) -> ObjectRef<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl fmt::Display for PipelineRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
