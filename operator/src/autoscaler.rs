//! What the autoscaler remembers.
/// What the autoscaler remembers of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct History;
