//! What the operator waits for, for `/readyz` to name.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the operator waits for.
#[derive(Default)]
pub struct Readiness {
    waits: Mutex<BTreeMap<String, String>>,
}

impl Readiness {
    /// Waits for `what`, as `why` says; the newest sentence counts.
    pub fn wait_for(&self, what: impl Into<String>, why: impl Into<String>) {
        self.lock().insert(what.into(), why.into());
    }

    /// No longer waits for `what`. Says whether it did.
    pub fn arrived(&self, what: &str) -> bool {
        self.lock().remove(what).is_some()
    }

    /// Whether it waits for anything whose name starts so.
    #[must_use]
    pub fn waits_for(&self, prefix: &str) -> bool {
        self.lock().keys().any(|what| what.starts_with(prefix))
    }

    /// Each thing that it waits for, as a sentence; empty when it is ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_everything_has_arrived() {
        let readiness = Readiness::default();
        readiness.wait_for("watch a ConfigMap", "the list of ConfigMaps in a");
        readiness.wait_for("watch a Job", "the list of Jobs in a");
        assert!(readiness.waits_for("watch a "));
        assert!(!readiness.waits_for("watch b "));
        assert!(readiness.arrived("watch a Job"));
        assert!(!readiness.arrived("watch a Job"));
        assert_eq!(readiness.waiting(), ["the list of ConfigMaps in a"]);
        readiness.arrived("watch a ConfigMap");
        assert!(readiness.waiting().is_empty());
    }
}
