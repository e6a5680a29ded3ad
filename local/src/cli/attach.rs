//! Reaching a pipeline's services from a command: those of the process that owns
//! the data directory, or servers of this command's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpipe_crds::pipeline::{Endpoint, Pipeline};
use stockpipe_workers::context::Context;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::status::StatusBoard;
use stockpipe_workers::worker::cluster_id;
use tokio_util::sync::CancellationToken;

use super::{CliError, DataArgs};
use crate::cloud::{Cloud, Embedded, Plan, addressed};
use crate::data_dir::{self, DataDir, LastPipeline};
use crate::quickstart;

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
            if let Some(there) = data_dir::endpoints(&data.data)? {
                fill(
                    &mut pipeline,
                    embedded,
                    there.kafka.as_deref(),
                    there.aws.as_deref(),
                )?;
                cluster_id = Some(data_dir::read_cluster_id(&data.data)?);
            } else {
                if !data.data.join("lock").exists() {
                    return Err(format!(
                        "{} holds no pipeline yet: start one with `stockpipe up`, or name its directory with --data",
                        data.data.display()
                    )
                    .into());
                }
                let owned = DataDir::own(&data.data)?;
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
