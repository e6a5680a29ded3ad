//! Whether a child must be written: skips what is right without missing what
//! has drifted.

use super::matches::metadata_is_part_of;
use super::memory::{Record, Version};
use crate::child_kind::ChildKind;
use crate::children::Child;
use crate::resources::Desired;

/// What to do about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it should be.
    Skip,
    /// Make it; it is never changed afterwards.
    Create,
    /// Apply it.
    Write,
    /// Read it first: this process does not know what it holds.
    Compare,
}

/// What to do about `desired`, of which the watch shows `live` and of which
/// `record` is known.
///
/// It is right where what is wanted has not changed since the record, nor the
/// live object: its generation, and its metadata as far as we set it; or its
/// resource version, where the kind has no generation.
#[must_use]
pub fn decide(desired: &Desired, live: Option<&Child>, record: Option<Record>) -> Step {
    let job = desired.kind == ChildKind::Job;
    let Some(live) = live else {
        return if job { Step::Create } else { Step::Write };
    };
    // A Job is named after all that it is, and cannot change. One that is being
    // deleted comes back when it has gone.
    if job || live.deleting {
        return Step::Skip;
    }
    match record {
        None => Step::Compare,
        Some(record) if record.hash != desired.hash => Step::Write,
        Some(_) if !metadata_is_part_of(&desired.object, live) => Step::Write,
        Some(record) if record.version == Version::of(live) => Step::Skip,
        // Somebody wrote it; perhaps only a field of their own.
        Some(_) => Step::Compare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::Detail;
    use crate::labels;
    use serde_json::json;

    fn desired(kind: &str) -> Desired {
        Desired::new(json!({
            "kind": kind,
            "metadata": {"name": "x", "namespace": "n", "labels": labels::of("x", None)},
            "spec": {"replicas": 1}
        }))
    }

    fn live(generation: Option<i64>, version: &str) -> Child {
        Child {
            kind: ChildKind::Deployment,
            namespace: "n".into(),
            name: "x".into(),
            uid: "u".into(),
            resource_version: version.into(),
            generation,
            labels: labels::of("x", None),
            annotations: Default::default(),
            owners: Vec::new(),
            created: None,
            deleting: false,
            detail: Detail::None,
        }
    }

    #[test]
    fn what_has_not_changed_is_skipped_and_what_has_is_not() {
        let wanted = desired("Deployment");
        let generation = |generation| Record {
            hash: wanted.hash.clone(),
            version: Version::Generation(generation),
        };
        let resource = |version: &str| Record {
            hash: wanted.hash.clone(),
            version: Version::Resource(version.into()),
        };
        let other_hash = Record {
            hash: "other".into(),
            version: Version::Generation(1),
        };
        let unlabelled = Child {
            labels: Default::default(),
            ..live(Some(1), "9")
        };
        let more_labels = {
            let mut child = live(Some(1), "9");
            child.labels.insert("team".into(), "data".into());
            child
        };
        let deleting = Child {
            deleting: true,
            ..live(Some(1), "9")
        };
        for (what, child, record, step) in [
            ("missing", None, None, Step::Write),
            ("not known", Some(live(Some(1), "9")), None, Step::Compare),
            (
                "right",
                Some(live(Some(1), "9")),
                Some(generation(1)),
                Step::Skip,
            ),
            (
                "its status changed",
                Some(live(Some(1), "10")),
                Some(generation(1)),
                Step::Skip,
            ),
            (
                "its spec changed",
                Some(live(Some(2), "10")),
                Some(generation(1)),
                Step::Compare,
            ),
            (
                "wanted otherwise",
                Some(live(Some(1), "9")),
                Some(other_hash),
                Step::Write,
            ),
            (
                "our label is gone",
                Some(unlabelled),
                Some(generation(1)),
                Step::Write,
            ),
            (
                "a foreign label",
                Some(more_labels),
                Some(generation(1)),
                Step::Skip,
            ),
            (
                "without generation, right",
                Some(live(None, "9")),
                Some(resource("9")),
                Step::Skip,
            ),
            (
                "without generation, changed",
                Some(live(None, "10")),
                Some(resource("9")),
                Step::Compare,
            ),
            ("being deleted", Some(deleting), None, Step::Skip),
        ] {
            assert_eq!(decide(&wanted, child.as_ref(), record), step, "{what}");
        }
    }

    #[test]
    fn a_job_is_made_once_and_never_changed() {
        let wanted = desired("Job");
        assert_eq!(decide(&wanted, None, None), Step::Create);
        let there = Child {
            kind: ChildKind::Job,
            labels: Default::default(),
            ..live(Some(1), "9")
        };
        assert_eq!(decide(&wanted, Some(&there), None), Step::Skip);
    }
}
