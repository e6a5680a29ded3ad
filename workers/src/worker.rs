//! The process around one role: file, signals, `/status`, exit code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use stockpipe_crds::pipeline::Pipeline;
use stockpipe_crds::run_record::RunRecord;
use stockpipe_crds::worker_status::{REFUSED_EXIT_CODE, TeardownStatus};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::secrets::Secrets;
use crate::service::{PATIENCE, ServiceError};
use crate::status::StatusBoard;
use crate::{
    analyze, crawl, failpoint, land, produce, provision, report, rotation, status, teardown,
};

/// Any failure of a role, as one sentence.
pub type RoleError = Box<dyn std::error::Error + Send + Sync>;

/// Command line of `stockpipe-worker`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Role.
    pub role: String,
    /// The StockPipeline file.
    pub pipeline: PathBuf,
    /// Run key, with `#ATTEMPT` when run by hand.
    pub run: Option<String>,
    /// Folder of secrets.
    pub secrets: PathBuf,
    /// `/status` and `/healthz`.
    pub listen: SocketAddr,
    /// The page of `analyze`.
    pub page: SocketAddr,
}

/// Name of the Kubernetes Job that a run belongs to, from the downward API.
const JOB_NAME: &str = "STOCKPIPE_JOB_NAME";
/// Where Kubernetes takes a container's last words from.
const LAST_WORDS: &str = "/dev/termination-log";
/// Longest sentence in the last words, in bytes: all of them fit 2 KiB.
const LONGEST: usize = 512;
/// Most of a list in the last words, in bytes.
const LONGEST_LIST: usize = 900;

/// Annotation that tells a worker which cluster, or which data directory, its pipeline is of.
pub const CLUSTER_ID: &str = "stockpipe.dev/cluster-id";

/// The cluster that `resource` names.
#[must_use]
pub fn cluster_id(resource: &stockpipe_crds::StockPipeline) -> Option<String> {
    resource
        .metadata
        .annotations
        .as_ref()?
        .get(CLUSTER_ID)
        .cloned()
}

/// Runs one role to its end or to SIGTERM; the process's exit code.
#[must_use]
pub fn main(invocation: Invocation) -> ExitCode {
    if invocation.role == "failpoints" {
        failpoint::POINTS.iter().for_each(|p| println!("{p}"));
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("STOCKPIPE_LOG")
                .unwrap_or_else(|_| "info".into()),
        )
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("stockpipe-worker: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(invocation)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stockpipe-worker: {error}");
            let refused = matches!(error.downcast_ref(), Some(ServiceError::Refused(_)))
                || matches!(
                    error.downcast_ref(),
                    Some(produce::ProduceError::Refused(_))
                );
            if refused {
                ExitCode::from(REFUSED_EXIT_CODE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(invocation: Invocation) -> Result<(), RoleError> {
    // First of all: the first process of a container ignores a SIGTERM that nobody has asked for yet, and the kubelet
    // then waits for all of the grace period.
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone())?;
    // Ignored: another provider can only have been installed by this same line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    failpoint::arm_from_environment()?;
    let text = std::fs::read_to_string(&invocation.pipeline)
        .map_err(|e| format!("cannot read {}: {e}", invocation.pipeline.display()))?;
    let name = invocation.pipeline.display().to_string();
    let resource = stockpipe_crds::load(&text, &name)?;
    let pipeline = Pipeline::from_yaml(&text, &name)?;
    let cluster_id = cluster_id(&resource).ok_or_else(|| {
        format!("{name}: metadata.annotations has no `{CLUSTER_ID}`: write the identity of the cluster there")
    })?;
    let in_a_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let context = Context {
        pipeline: Arc::new(pipeline),
        secrets: Secrets::new([invocation.secrets.clone()]).mounted(in_a_pod),
        cluster_id,
        base_dir: invocation
            .pipeline
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default(),
        shutdown: shutdown.clone(),
        status: StatusBoard::new(&invocation.role),
    };
    let listener = status::bind(invocation.listen).await?;
    let serving = tokio::spawn(status::serve(
        listener,
        context.status.clone(),
        CancellationToken::new(),
    ));
    let lasting = matches!(invocation.role.as_str(), "produce" | "land" | "analyze");
    let keys = rotation::keys(&context.pipeline, &invocation.role);
    // A provision Job has a deadline of its own, and each of its pods that ends counts as a failure.
    let patience = (!lasting && invocation.role != "provision").then_some(PATIENCE);
    let Some(known) = rotation::wait(&context, &invocation.role, &keys, patience).await? else {
        // A Job whose pod is stopped must not count as done.
        return if lasting {
            Ok(())
        } else {
            Err(ServiceError::Stopped.into())
        };
    };
    if lasting {
        let secrets = context.secrets.clone();
        tokio::spawn(rotation::watch(keys, secrets, known, shutdown));
    }
    let result = match invocation.role.as_str() {
        "provision" => provision::run(&context).await.map_err(RoleError::from),
        "produce" => produce::run(&context).await.map_err(RoleError::from),
        "land" => land::run(&context).await.map_err(RoleError::from),
        "analyze" => analyze::run(&context, invocation.page)
            .await
            .map_err(RoleError::from),
        "report" => {
            let key = match invocation.run {
                Some(key) => key,
                None => report::scheduled_key(&context, std::env::var(JOB_NAME).ok().as_deref())?,
            };
            report::run(&context, &key)
                .await
                .map(|outcome| leave_word(&brief(outcome.record)))
                .map_err(RoleError::from)
        }
        "crawl" => {
            let key = match invocation.run {
                Some(key) => key,
                None => crawl::scheduled_key(&context, std::env::var(JOB_NAME).ok().as_deref())?,
            };
            let record = crawl::run(&context, &key).await?;
            let failure = crawl::failure(&record);
            leave_word(&brief(record));
            // The stored result is final: the same run again would only tell it again.
            failure.map_or(Ok(()), |why| Err(ServiceError::Refused(why).into()))
        }
        "teardown" => teardown::run(&context)
            .await
            .map(|status| leave_word(&listed(status)))
            .map_err(RoleError::from),
        other => Err(format!(
            "no role `{other}`: write provision, produce, land, analyze, report, crawl or teardown"
        )
        .into()),
    };
    serving.abort();
    result
}

/// Leaves what came of it where Kubernetes shows it; elsewhere there is no such file, and nothing is left.
fn leave_word(result: &impl Serialize) {
    let word = serde_json::to_vec(result).expect("a result has only string keys");
    let file = std::fs::OpenOptions::new().write(true).open(LAST_WORDS);
    if let Err(error) = file.and_then(|mut file| std::io::Write::write_all(&mut file, &word))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the result was not left in {LAST_WORDS}");
    }
}

/// The status as far as it fits; the log has all of it.
fn listed(status: TeardownStatus) -> TeardownStatus {
    TeardownStatus {
        deleted: fitting(status.deleted),
        stayed: fitting(status.stayed),
    }
}

fn fitting(mut phrases: Vec<String>) -> Vec<String> {
    let (count, mut bytes) = (phrases.len(), 0);
    let fit = phrases.iter().take_while(|phrase| {
        bytes += phrase.len() + 3;
        bytes <= LONGEST_LIST
    });
    let fit = fit.count();
    if fit < count {
        phrases.truncate(fit);
        phrases.push(format!("and {} more", count - fit));
    }
    phrases
}

/// The record without its statement, and with a clipped error.
fn brief(mut record: RunRecord) -> RunRecord {
    record.query = None;
    if let Some(error) = &mut record.error {
        let end = error.message.floor_char_boundary(LONGEST);
        error.message.truncate(end);
    }
    record
}

/// Cancels `shutdown` at SIGTERM or SIGINT; the signals are caught when this returns.
///
/// # Errors
/// Where they cannot be.
pub fn stop_on_signal(shutdown: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_teardown_leaves_to_say_fits_its_last_words() {
        let status = listed(TeardownStatus {
            deleted: (0..100)
                .map(|n| format!("Athena workgroup stockpipe-us-{n}"))
                .collect(),
            stayed: vec!["bucket lake, which has other objects".to_owned()],
        });
        assert!(
            status.deleted.last().unwrap().ends_with(" more"),
            "{status:?}"
        );
        assert_eq!(status.stayed.len(), 1);
        assert!(serde_json::to_vec(&status).unwrap().len() <= 2_048);
    }
}
