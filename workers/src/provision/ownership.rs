//! Who owns the prefix: one pipeline, by a conditional write.

use crate::ledger::{CONTROL, Owner};
use crate::store::{Put, Store};

use super::{Mode, Notes};
use crate::service::ServiceError;

/// Claims `prefix` for `identity`, or finds that it is ours already.
pub(super) async fn provision(
    store: &Store,
    prefix: &str,
    identity: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<Owner, ServiceError> {
    let bucket = store.bucket().to_owned();
    if let Some(owner) = Owner::read(store, prefix).await? {
        return ours(owner, &bucket, prefix, identity);
    }
    refuse_nested(store, prefix, identity).await?;
    mode.may_change(|| format!("prefix `{prefix}` of bucket `{bucket}` has no owner"))?;
    let owner = Owner {
        lake_id: uuid::Uuid::new_v4().to_string(),
        identity: identity.to_owned(),
    };
    if store
        .put_json_if_absent(&Owner::key(prefix), &owner)
        .await?
        == Put::Exists
    {
        // Another's, or our own PUT that the SDK repeated after it had landed.
        let owner = Owner::read(store, prefix).await?.ok_or_else(|| {
            ServiceError::Refused(format!(
                "the owner record of prefix `{prefix}` in bucket `{bucket}` appeared and vanished: start again"
            ))
        })?;
        return ours(owner, &bucket, prefix, identity);
    }
    // Two nested prefixes may be claimed at the same moment; whoever sees the other steps back.
    if let Err(refused) = refuse_nested(store, prefix, identity).await {
        store.delete(&Owner::key(prefix)).await?;
        return Err(refused);
    }
    notes.changed(format!("took s3://{bucket}/{prefix}/ for this pipeline"));
    Ok(owner)
}

fn ours(owner: Owner, bucket: &str, prefix: &str, identity: &str) -> Result<Owner, ServiceError> {
    if owner.identity == identity {
        return Ok(owner);
    }
    Err(ServiceError::Refused(format!(
        "prefix `{prefix}` of bucket `{bucket}` belongs to pipeline `{}`, this one is `{identity}`: choose another lake.prefix",
        owner.identity
    )))
}

/// Refuses a prefix within, or around, one that another pipeline owns.
async fn refuse_nested(store: &Store, prefix: &str, identity: &str) -> Result<(), ServiceError> {
    let root = format!("{CONTROL}/owners/");
    let mut pages = store.list(&root);
    while let Some(page) = pages.next().await? {
        for object in page {
            let Some(other) = object
                .key
                .strip_prefix(&root)
                .and_then(|k| k.strip_suffix(".json"))
            else {
                continue;
            };
            let Some(relation) = nested(prefix, other) else {
                continue;
            };
            let whose = Owner::read(store, other)
                .await?
                .map_or_else(|| "another".to_owned(), |o| o.identity);
            return Err(ServiceError::Refused(format!(
                "prefix `{prefix}` of bucket `{}` {relation} `{other}`, which belongs to pipeline `{whose}`; \
                 this one is `{identity}`: choose a lake.prefix beside it",
                store.bucket()
            )));
        }
    }
    Ok(())
}

/// How `prefix` is nested with `other`, as a verb; `None` where they stand side by side or are the same.
fn nested(prefix: &str, other: &str) -> Option<&'static str> {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if within(prefix, other) {
        Some("lies within")
    } else if within(other, prefix) {
        Some("contains")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_path_segments_nest() {
        for (a, b, expected) in [
            ("us/ticks", "us", Some("lies within")),
            ("us", "us/ticks", Some("contains")),
            ("us", "us", None),
            ("us", "usa", None),
            ("usa/ticks", "us", None),
            ("a/b/c", "a/b/d", None),
        ] {
            assert_eq!(nested(a, b), expected, "{a} and {b}");
        }
    }

    #[test]
    fn a_prefix_of_another_is_refused_naming_both() {
        let owner = Owner {
            lake_id: "l".into(),
            identity: "c1/default/first".into(),
        };
        let error = ours(owner.clone(), "lake", "us/ticks", "c1/default/second").unwrap_err();
        assert_eq!(
            error.to_string(),
            "prefix `us/ticks` of bucket `lake` belongs to pipeline `c1/default/first`, this one is \
             `c1/default/second`: choose another lake.prefix"
        );
        assert_eq!(
            ours(owner.clone(), "lake", "us/ticks", "c1/default/first").unwrap(),
            owner
        );
    }
}
