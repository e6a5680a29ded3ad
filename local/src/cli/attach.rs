//! Reaching a pipeline's services from a command: those of the process that owns
//! the data directory, or servers of this command's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stockpipe_crds::pipeline::{Endpoint, Pipeline};
use stockpipe_workers::context::Context;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::status::StatusBoard;
use stockpipe_workers::worker::cluster_id;
use tokio_util::sync::CancellationToken;

use super::{CliError, DataArgs};
use crate::cloud::{Cloud, Embedded, Plan, addressed};
use crate::data_dir::{self, DataDir, DataDirError, Endpoints, LastPipeline};
use crate::quickstart;

/// How long another command, or the start of a pipeline, is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Waits longer than this are told.
const SILENT: Duration = Duration::from_secs(1);

/// Owns the data directory. A command that uses it now, such as a query, is waited for; who serves there is not.
///
/// # Errors
/// Where it stays in use, or cannot be made or written.
pub(crate) async fn own(root: &Path) -> Result<DataDir, DataDirError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match DataDir::own(root) {
            Err(DataDirError::InUse { path, pid })
                if !data_dir::is_served(root) && began.elapsed() < PATIENCE =>
            {
                if !told && began.elapsed() > SILENT {
                    told = true;
                    eprintln!(
                        "stockpipe: waiting for another stockpipe (pid {pid}) that uses {path}"
                    );
                }
            }
            ended => return ended,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A pipeline file as given on the command line, remembered, or the quickstart.
pub(crate) struct PipelineFile {
    pub(crate) pipeline: Pipeline,
    /// `metadata.annotations["stockpipe.dev/cluster-id"]`.
    pub(crate) cluster_id: Option<String>,
    /// What only a cluster uses, by field path.
    pub(crate) cluster_only: Vec<String>,
    pub(crate) remembered: LastPipeline,
}

impl PipelineFile {
    /// FILE, else the pipeline that ran last on `data`, else the quickstart.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong with the file.
    pub(crate) fn find(file: Option<&Path>, data: &DataArgs) -> Result<Self, CliError> {
        let mut remembered = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
                LastPipeline {
                    file: Some(path.canonicalize()?),
                    text,
                    secrets: None,
                }
            }
            None => match data_dir::last_pipeline(&data.data)? {
                Some(last) => match &last.file {
                    // The file may have changed since; where it is gone, its last text still serves.
                    Some(path) => match std::fs::read_to_string(path) {
                        Ok(text) => LastPipeline { text, ..last },
                        Err(_) => last,
                    },
                    None => last,
                },
                None => quickstart::pipeline(),
            },
        };
        if data.secrets.is_some() {
            remembered.secrets.clone_from(&data.secrets);
        }
        let name = remembered
            .file
            .as_ref()
            .map_or_else(|| "quickstart".to_owned(), |p| p.display().to_string());
        let resource = stockpipe_crds::load(&remembered.text, &name)?;
        let pipeline = Pipeline::from_yaml(&remembered.text, &name)?;
        Ok(Self {
            pipeline,
            cluster_id: cluster_id(&resource),
            cluster_only: stockpipe_crds::cluster_only_fields(&resource),
            remembered,
        })
    }

    /// Folder that relative paths of the file start from.
    pub(crate) fn base_dir(&self) -> PathBuf {
        self.remembered
            .file
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// The user's secrets first, then those of the data directory.
    pub(crate) fn secrets(&self, data: &Path) -> Secrets {
        let named = self
            .remembered
            .secrets
            .clone()
            .unwrap_or_else(|| self.base_dir().join("secrets"));
        Secrets::new([named, data.join("secrets")])
    }

    /// What nothing external provides.
    pub(crate) fn embedded(&self) -> Embedded {
        let aws = &self.pipeline.aws.endpoints;
        let is_embedded = |e: &Endpoint| matches!(e, Endpoint::Unset | Endpoint::Embedded);
        Embedded {
            kafka: self.pipeline.kafka.bootstrap_servers.is_none(),
            s3: is_embedded(&aws.s3),
            glue: is_embedded(&aws.glue),
            athena: is_embedded(&aws.athena),
        }
    }
}

/// Who serves what is embedded.
enum Services {
    /// The process that owns the data directory.
    Theirs(Endpoints),
    /// This command, which owns it now.
    Ours(DataDir),
}

impl Services {
    async fn find(root: &Path) -> Result<Self, CliError> {
        loop {
            if let Some(there) = data_dir::endpoints(root)? {
                return Ok(Self::Theirs(there));
            }
            if !root.join("lock").exists() {
                return Err(format!(
                    "{} holds no pipeline yet: start one with `stockpipe up`, or name its directory with --data",
                    root.display()
                )
                .into());
            }
            match own(root).await {
                Ok(owned) => return Ok(Self::Ours(owned)),
                // A pipeline that was starting: it serves now.
                Err(DataDirError::InUse { .. }) if data_dir::is_served(root) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A pipeline whose services answer, until this value is shut down.
pub(crate) struct Attached {
    pub(crate) context: Context,
    own: Option<(Cloud, DataDir)>,
}

impl Attached {
    /// Attaches to the owner of the data directory, or starts servers on free ports.
    ///
    /// # Errors
    /// One sentence: the file, the data directory, a server that does not start.
    pub(crate) async fn open(file: Option<&Path>, data: &DataArgs) -> Result<Self, CliError> {
        let found = PipelineFile::find(file, data)?;
        let embedded = found.embedded();
        let mut pipeline = found.pipeline.clone();
        let mut cluster_id = found.cluster_id.clone();
        let mut own = None;
        if embedded.kafka || embedded.any_aws() {
            match Services::find(&data.data).await? {
                Services::Theirs(there) => {
                    fill(
                        &mut pipeline,
                        embedded,
                        there.kafka.as_deref(),
                        there.aws.as_deref(),
                    )?;
                    cluster_id = Some(data_dir::read_cluster_id(&data.data)?);
                }
                Services::Ours(owned) => {
                    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    let plan = Plan {
                        embedded,
                        aws_listen: any,
                        kafka_listen: any,
                        advertise: None,
                        aws: pipeline.aws.clone(),
                        secrets: found.secrets(owned.root()),
                        fsync: false,
                    };
                    let cloud = Cloud::start(&owned, &plan).await?;
                    fill(
                        &mut pipeline,
                        embedded,
                        cloud.kafka().as_deref(),
                        cloud.aws().as_deref(),
                    )?;
                    cluster_id = Some(owned.cluster_id()?);
                    own = Some((cloud, owned));
                }
            }
        } else if cluster_id.is_none() && data.data.join("cluster-id").exists() {
            cluster_id = Some(data_dir::read_cluster_id(&data.data)?);
        }
        let context = Context {
            pipeline: Arc::new(pipeline),
            secrets: found.secrets(&data.data),
            cluster_id: cluster_id.unwrap_or_else(|| "local".to_owned()),
            base_dir: found.base_dir(),
            shutdown: CancellationToken::new(),
            status: StatusBoard::new("command"),
        };
        Ok(Self { context, own })
    }

    /// Ends the servers that this command started for itself.
    pub(crate) async fn close(self) {
        if let Some((cloud, data)) = self.own {
            cloud.shutdown().await;
            drop(data);
        }
    }
}

/// Writes the addresses of embedded services into the pipeline.
pub(crate) fn fill(
    pipeline: &mut Pipeline,
    embedded: Embedded,
    kafka: Option<&str>,
    aws: Option<&str>,
) -> Result<(), CliError> {
    if embedded.kafka {
        let address = kafka.ok_or(
            "the stockpipe that runs there embeds no Kafka, but the file names none either",
        )?;
        pipeline.kafka.bootstrap_servers = Some(address.to_owned());
    }
    if embedded.any_aws() {
        let url = aws.ok_or(
            "the stockpipe that runs there embeds no AWS services, but the file names none either",
        )?;
        pipeline.aws = addressed(&pipeline.aws, embedded, url);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_is_waited_for_and_a_server_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let command = DataDir::own(dir.path()).unwrap();
        let waiting = own(dir.path());
        let ending = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(command);
        };
        let (owned, ()) = tokio::join!(waiting, ending);
        let owned = owned.unwrap();
        owned
            .publish(&Endpoints {
                pid: std::process::id(),
                aws: None,
                kafka: None,
                page: None,
                status: None,
            })
            .unwrap();
        let began = Instant::now();
        let refused = own(dir.path()).await.unwrap_err();
        assert!(matches!(refused, DataDirError::InUse { .. }), "{refused}");
        assert!(began.elapsed() < SILENT);
    }

    #[tokio::test]
    async fn a_command_attaches_to_a_pipeline_that_is_just_starting() {
        let dir = tempfile::tempdir().unwrap();
        let starting = DataDir::own(dir.path()).unwrap();
        let here = Endpoints {
            pid: std::process::id(),
            aws: Some("http://127.0.0.1:1".to_owned()),
            kafka: None,
            page: None,
            status: None,
        };
        let publishing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            starting.publish(&here).unwrap();
        };
        let (found, ()) = tokio::join!(Services::find(dir.path()), publishing);
        assert!(matches!(found, Ok(Services::Theirs(there)) if there == here));
    }
}
