//! S3, Glue, Athena and Kafka of the test's own, and the context of a role on them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpipe::athena::{Athena, Backends};
use stockpipe::aws_front::{Listener, Server, Services};
use stockpipe::broker::Broker;
use stockpipe::credentials::Credentials;
use stockpipe::glue::Glue;
use stockpipe::s3;
use stockpipe_crds::Pipeline;
use stockpipe_crds::pipeline::{Aws, Endpoint, Endpoints};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::context::Context;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::status::StatusBoard;
use tokio_util::sync::CancellationToken;

use crate::topic;

const SECRET: &str = "stockpipe-local";

/// The four services on a directory of their own.
pub struct Cloud {
    directory: tempfile::TempDir,
    broker: Broker,
    server: Server,
}

impl Cloud {
    /// Starts them on free ports.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts them with crawlers that read S3 at the URL `crawled` instead.
    pub async fn start_with(crawled: Option<String>) -> Self {
        // Ignored: another test of this process may have installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let credentials = Credentials::generate();
        let secret = root.join("secrets").join(SECRET);
        std::fs::create_dir_all(&secret).unwrap();
        for (key, value) in [
            ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        ] {
            std::fs::write(secret.join(key), value).unwrap();
        }
        let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let aws = aws(listener.addr());
        let clients = Clients::connect(&aws, &secrets(root)).await.unwrap();
        let crawled = match crawled {
            Some(url) => {
                let mut elsewhere = aws.clone();
                elsewhere.endpoints.s3 = Endpoint::Url(url);
                Clients::connect(&elsewhere, &secrets(root))
                    .await
                    .unwrap()
                    .s3
            }
            None => clients.s3.clone(),
        };
        let glue = Glue::open_with_crawlers(&root.join("glue"), crawled).unwrap();
        let backends = Backends {
            glue: clients.glue,
            s3: clients.s3,
            region: aws.region,
            default_output: None,
        };
        let services = Services {
            store: s3::Store::open(&root.join("s3"), s3::Durability::Kill).unwrap(),
            glue: Arc::new(glue),
            athena: Arc::new(Athena::open(&root.join("athena"), backends).unwrap()),
            credentials,
            hosts: Vec::new(),
        };
        Self {
            broker: topic::broker(&root.join("kafka")).await,
            server: Server::serve(listener, services),
            directory,
        }
    }

    /// Directory for files of the test.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Address of the broker.
    pub fn bootstrap(&self) -> String {
        self.broker.addr().to_string()
    }

    /// What a role is given for the pipeline of `yaml`.
    pub fn context(&self, yaml: &str, role: &str) -> Context {
        let mut pipeline =
            Pipeline::from_yaml(yaml, "pipeline.yaml").expect("the test's YAML is right");
        pipeline.kafka.bootstrap_servers = Some(self.bootstrap());
        pipeline.aws = aws(self.server.addr());
        Context {
            pipeline: Arc::new(pipeline),
            secrets: secrets(self.directory.path()),
            cluster_id: "it".to_owned(),
            base_dir: self.directory.path().to_owned(),
            shutdown: CancellationToken::new(),
            status: StatusBoard::new(role),
        }
    }

    /// Clients of the three services.
    pub async fn clients(&self) -> Clients {
        Clients::connect(&aws(self.server.addr()), &secrets(self.directory.path()))
            .await
            .unwrap()
    }

    /// Stops them.
    pub async fn stop(self) {
        self.server.shutdown().await;
        self.broker.shutdown().await.unwrap();
    }
}

fn secrets(root: &Path) -> Secrets {
    Secrets::new([root.join("secrets")])
}

fn aws(address: SocketAddr) -> Aws {
    let url = || Endpoint::Url(format!("http://{address}"));
    Aws {
        region: "eu-central-1".to_owned(),
        credentials_secret: Some(SECRET.to_owned()),
        endpoints: Endpoints {
            s3: url(),
            glue: url(),
            athena: url(),
        },
        s3_path_style: true,
    }
}
