//! Secrets that come late, and secrets that change.
//!
//! A worker waits for a secret that is missing and says which. One that runs looks again every few seconds; when a
//! value has changed it drains and ends well, and whoever runs it starts it again with the new one. The kubelet swaps
//! all keys of a secret at once, so that no look sees a half of it.

use std::time::Duration;

use sha2::{Digest, Sha256};
use stockpipe_crds::pipeline::{Pipeline, Source};
use stockpipe_crds::worker_status::{
    AnalyzeStatus, LandStatus, ProduceStatus, ProvisionStatus, RoleStatus, TeardownStatus,
    WorkerCondition, WorkerState,
};
use tokio_util::sync::CancellationToken;

use crate::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};
use crate::context::Context;
use crate::secrets::{SecretError, Secrets};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(10);
/// Between two looks for a file that is missing.
const LOOK_FOR_MISSING: Duration = Duration::from_secs(1);

/// A key of a secret that a worker reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    secret: String,
    key: String,
    /// Whether the worker can do without.
    optional: bool,
}

/// What a worker of `role` reads of the secrets. A producer speaks to Kafka, and to AWS only where it replays from S3.
#[must_use]
pub fn keys(pipeline: &Pipeline, role: &str) -> Vec<SecretKey> {
    let key = |secret: &str, key: &str, optional| SecretKey {
        secret: secret.to_owned(),
        key: key.to_owned(),
        optional,
    };
    let reads_aws = match &pipeline.source {
        _ if role != "produce" => true,
        Source::Replay(replay) => replay.reads_s3(),
        _ => false,
    };
    let mut keys = Vec::new();
    if let Some(secret) = pipeline
        .aws
        .credentials_secret
        .as_ref()
        .filter(|_| reads_aws)
    {
        keys.push(key(secret, ACCESS_KEY_ID, false));
        keys.push(key(secret, SECRET_ACCESS_KEY, false));
        keys.push(key(secret, SESSION_TOKEN, true));
    }
    if let Source::Live(live) = &pipeline.source
        && let Some(secret) = live
            .credentials_secret
            .as_ref()
            .filter(|_| role == "produce")
    {
        let named = live.secret_keys();
        keys.extend(named.iter().map(|named| key(secret, named, false)));
    }
    keys
}

/// A hash of the values of all `keys`; the values themselves are kept nowhere.
///
/// # Errors
/// Where one is missing that cannot be done without, or cannot be read.
pub fn fingerprint(keys: &[SecretKey], secrets: &Secrets) -> Result<[u8; 32], SecretError> {
    let mut hash = Sha256::new();
    for wanted in keys {
        let (secret, key) = (&wanted.secret, &wanted.key);
        let value = match secrets.find(secret, key)? {
            None if !wanted.optional => Some(secrets.read(secret, key)?),
            found => found,
        };
        let bytes = value.as_ref().map_or(&[][..], |v| v.expose().as_bytes());
        hash.update([u8::from(value.is_some())]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    Ok(hash.finalize().into())
}

/// Waits until every secret is there, and says on `/status` which is not; its fingerprint, or `None` where shutdown
/// came first.
///
/// # Errors
/// The sentence that names the missing key, where the patience is at its end.
pub async fn wait(
    ctx: &Context,
    role: &str,
    keys: &[SecretKey],
    patience: Option<Duration>,
) -> Result<Option<[u8; 32]>, SecretError> {
    let began = std::time::Instant::now();
    let mut told = None;
    loop {
        let error = match fingerprint(keys, &ctx.secrets) {
            Ok(fingerprint) => return Ok(Some(fingerprint)),
            Err(error) if patience.is_some_and(|most| began.elapsed() >= most) => {
                return Err(error);
            }
            Err(error) => error.to_string(),
        };
        if told.as_ref() != Some(&error) {
            tracing::warn!("waiting: {error}");
            if let Some((kind, status)) = nothing_yet(role) {
                let missing = WorkerCondition {
                    kind: kind.to_owned(),
                    ok: false,
                    reason: "SecretMissing".to_owned(),
                    message: error.clone(),
                    since: jiff::Timestamp::now(),
                };
                ctx.show(WorkerState::Waiting, vec![missing], status);
            }
            told = Some(error);
        }
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(LOOK_FOR_MISSING) => {}
        }
    }
}

/// The condition that a missing secret spoils, and the status of a role that has done nothing yet.
fn nothing_yet(role: &str) -> Option<(&'static str, RoleStatus)> {
    Some(match role {
        "provision" => (
            "Provisioned",
            RoleStatus::Provision(ProvisionStatus::default()),
        ),
        "produce" => ("Producing", RoleStatus::Produce(ProduceStatus::default())),
        "land" => ("Landing", RoleStatus::Land(LandStatus::default())),
        "analyze" => ("Healthy", RoleStatus::Analyze(AnalyzeStatus::default())),
        "teardown" => ("Ready", RoleStatus::Teardown(TeardownStatus::default())),
        _ => return None,
    })
}

/// Cancels `shutdown` once the values of `keys` are not those of `known` any more. A secret that is deleted changes
/// nothing: what was read stays good until its service refuses it.
pub async fn watch(
    keys: Vec<SecretKey>,
    secrets: Secrets,
    known: [u8; 32],
    shutdown: CancellationToken,
) {
    watch_every(LOOK, keys, secrets, known, shutdown).await;
}

async fn watch_every(
    look: Duration,
    keys: Vec<SecretKey>,
    secrets: Secrets,
    known: [u8; 32],
    shutdown: CancellationToken,
) {
    let Some(SecretKey { secret, .. }) = keys.first() else {
        return;
    };
    let mut unreadable = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(look) => {}
        }
        match fingerprint(&keys, &secrets) {
            Ok(now) if now == known => unreadable = false,
            Ok(_) => {
                tracing::info!("secret `{secret}` has changed: draining, to start again with it");
                shutdown.cancel();
                return;
            }
            Err(error) if !unreadable => {
                unreadable = true;
                tracing::warn!("{error}; going on with what was read at the start");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// Puts a secret where the kubelet would: `..data` points to a directory of all keys, and is swapped at once.
    fn mount(root: &Path, generation: &str, keys: &[(&str, &str)]) {
        let secret = root.join("key");
        let values = secret.join(generation);
        std::fs::create_dir_all(&values).unwrap();
        for (key, value) in keys {
            std::fs::write(values.join(key), value).unwrap();
            let link = secret.join(key);
            if !link.is_symlink() {
                symlink(format!("..data/{key}"), link).unwrap();
            }
        }
        let new = secret.join("..data_tmp");
        symlink(generation, &new).unwrap();
        std::fs::rename(new, secret.join("..data")).unwrap();
    }

    fn keys_of(role: &str, spec: &str) -> Vec<SecretKey> {
        let text = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: us}}\n\
             spec:\n  lake: {{bucket: lake}}\n  {spec}\n"
        );
        keys(&Pipeline::from_yaml(&text, "us.yaml").unwrap(), role)
    }

    const AWS: &str = "aws: {credentialsSecretRef: {name: key}}";

    fn aws() -> Vec<SecretKey> {
        keys_of("land", AWS)
    }

    const OLD: &[(&str, &str)] = &[(ACCESS_KEY_ID, "AKIDOLD"), (SECRET_ACCESS_KEY, "old")];
    const NEW: &[(&str, &str)] = &[(ACCESS_KEY_ID, "AKIDNEW"), (SECRET_ACCESS_KEY, "new")];

    #[test]
    fn a_fingerprint_tells_values_apart_and_names_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([root.path().to_owned()]);
        let missing = fingerprint(&aws(), &secrets).unwrap_err().to_string();
        assert!(
            missing.contains("secret `key` has no key `AWS_ACCESS_KEY_ID`"),
            "{missing}"
        );
        mount(root.path(), "..1", OLD);
        let old = fingerprint(&aws(), &secrets).unwrap();
        // The same values again, as a resync of the kubelet writes them.
        mount(root.path(), "..2", OLD);
        assert_eq!(fingerprint(&aws(), &secrets).unwrap(), old);
        mount(root.path(), "..3", NEW);
        assert_ne!(fingerprint(&aws(), &secrets).unwrap(), old);
        let mut with_token = NEW.to_vec();
        with_token.push((SESSION_TOKEN, ""));
        let new = fingerprint(&aws(), &secrets).unwrap();
        mount(root.path(), "..4", &with_token);
        assert_ne!(fingerprint(&aws(), &secrets).unwrap(), new);
    }

    #[tokio::test]
    async fn a_change_stops_the_worker_and_a_deletion_does_not() {
        let root = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([root.path().to_owned()]);
        mount(root.path(), "..1", OLD);
        let known = fingerprint(&aws(), &secrets).unwrap();
        let shutdown = CancellationToken::new();
        let look = Duration::from_millis(1);
        let watching = tokio::spawn(watch_every(
            look,
            aws(),
            secrets.clone(),
            known,
            shutdown.clone(),
        ));
        std::fs::remove_dir_all(root.path().join("key")).unwrap();
        // Many looks at nothing.
        tokio::time::sleep(look * 50).await;
        assert!(!shutdown.is_cancelled());
        mount(root.path(), "..2", NEW);
        tokio::time::timeout(Duration::from_secs(30), watching)
            .await
            .unwrap()
            .unwrap();
        assert!(shutdown.is_cancelled());
    }

    #[test]
    fn each_role_reads_the_secrets_of_what_it_speaks_to() {
        let named = |role, spec: &str| -> Vec<String> {
            let keys = keys_of(role, spec).into_iter();
            keys.map(|key| format!("{}/{}", key.secret, key.key))
                .collect()
        };
        let of_aws = [
            "key/AWS_ACCESS_KEY_ID",
            "key/AWS_SECRET_ACCESS_KEY",
            "key/AWS_SESSION_TOKEN",
        ];
        let replay = |uri: &str| {
            let columns = "{symbol: s, time: t, close: c}";
            format!("{AWS}\n  source: {{replay: {{uri: '{uri}', columns: {columns}}}}}")
        };
        let (s3, file) = (replay("s3://history/a.csv"), replay("a.csv"));
        let live = format!(
            "{AWS}\n  market: {{symbols: [AAPL]}}\n  \
             source: {{live: {{preset: alpaca, credentialsSecretRef: {{name: feed}}}}}}"
        );
        for (role, spec, expected) in [
            ("land", AWS, &of_aws[..]),
            ("provision", AWS, &of_aws),
            ("produce", AWS, &[]),
            ("produce", &s3, &of_aws),
            ("produce", &file, &[]),
            ("produce", &live, &["feed/key", "feed/secret"]),
            ("land", &live, &of_aws),
            ("land", "market: {calendar: XNYS}", &[]),
        ] {
            assert_eq!(named(role, spec), expected, "{role}, {spec}");
        }
    }

    #[tokio::test]
    async fn no_secret_is_no_wait_and_no_watch() {
        let secrets = Secrets::default();
        let known = fingerprint(&[], &secrets).unwrap();
        watch(Vec::new(), secrets, known, CancellationToken::new()).await;
    }
}
