//! The process around one role: file, signals, `/status`, exit code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use stockpipe_crds::pipeline::Pipeline;
use stockpipe_crds::run_record::RunRecord;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::secrets::Secrets;
use crate::status::StatusBoard;
use crate::{analyze, failpoint, land, produce, provision, report, status};

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
            ExitCode::FAILURE
        }
    }
}

async fn run(invocation: Invocation) -> Result<(), RoleError> {
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
    let shutdown = CancellationToken::new();
    let context = Context {
        pipeline: Arc::new(pipeline),
        secrets: Secrets::new([invocation.secrets.clone()]),
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
    tokio::spawn(stop_on_signal(shutdown));
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
                .map(|outcome| leave_word(outcome.record))
                .map_err(RoleError::from)
        }
        other => Err(format!(
            "no role `{other}`: write provision, produce, land, analyze or report"
        )
        .into()),
    };
    serving.abort();
    result
}

/// Leaves a copy of a run's record where Kubernetes shows it; elsewhere there is no such file, and nothing is left.
fn leave_word(record: RunRecord) {
    let word = serde_json::to_vec(&brief(record)).expect("a run record has only string keys");
    let file = std::fs::OpenOptions::new().write(true).open(LAST_WORDS);
    if let Err(error) = file.and_then(|mut file| std::io::Write::write_all(&mut file, &word))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the run's record was not left in {LAST_WORDS}");
    }
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

/// Cancels `shutdown` at SIGTERM or SIGINT.
pub async fn stop_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    shutdown.cancel();
}
