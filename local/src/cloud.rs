//! The embedded servers of one machine, started for the services that nothing external provides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use stockpipe_crds::pipeline::{Aws, Endpoint, Endpoints as ServiceEndpoints};
use stockpipe_workers::aws::{ACCESS_KEY_ID, Clients, SECRET_ACCESS_KEY};
use stockpipe_workers::secrets::Secrets;

use crate::athena::{Athena, Backends};
use crate::aws_front::{Listener, Server, Services};
use crate::broker::{self, Broker};
use crate::credentials::Credentials;
use crate::data_dir::DataDir;
use crate::glue::Glue;
use crate::s3::{self, Durability};

/// Which services are embedded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    /// Kafka.
    pub kafka: bool,
    /// S3.
    pub s3: bool,
    /// Glue.
    pub glue: bool,
    /// Athena.
    pub athena: bool,
}

impl Embedded {
    /// All four.
    pub const ALL: Self = Self {
        kafka: true,
        s3: true,
        glue: true,
        athena: true,
    };

    /// Whether no AWS service is external.
    #[must_use]
    pub fn all_aws(self) -> bool {
        self.s3 && self.glue && self.athena
    }

    /// Whether any AWS service is embedded.
    #[must_use]
    pub fn any_aws(self) -> bool {
        self.s3 || self.glue || self.athena
    }
}

/// Where the servers listen and what the embedded Athena talks to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which services are embedded.
    pub embedded: Embedded,
    /// S3, Glue and Athena.
    pub aws_listen: SocketAddr,
    /// Kafka.
    pub kafka_listen: SocketAddr,
    /// Host name that clients on other machines use; `None`: only this machine's own are answered.
    pub advertise: Option<String>,
    /// The pipeline's own AWS settings, for an Athena whose S3 or Glue is external.
    pub aws: Aws,
    /// Where the credentials of `aws` are.
    pub secrets: Secrets,
    /// Flush every acknowledged write to the disk.
    pub fsync: bool,
}

/// The running servers.
pub struct Cloud {
    broker: Option<Broker>,
    server: Option<Server>,
    credentials: Credentials,
}

/// Why a server could not start, as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CloudError(String);

fn sentence(error: impl std::fmt::Display) -> CloudError {
    CloudError(error.to_string())
}

/// AWS settings that name nothing external.
#[must_use]
pub fn local_aws() -> Aws {
    let unset = || Endpoint::Unset;
    Aws {
        region: REGION.to_owned(),
        credentials_secret: Some(LOCAL_SECRET.to_owned()),
        endpoints: ServiceEndpoints {
            s3: unset(),
            glue: unset(),
            athena: unset(),
        },
        s3_path_style: true,
    }
}

/// Region of the embedded services.
pub const REGION: &str = "us-east-1";
/// Name of the secret that holds the local cloud's key.
pub const LOCAL_SECRET: &str = "stockpipe-local";

impl Cloud {
    /// Starts what `plan` names on the files of `data`.
    ///
    /// # Errors
    /// One sentence: a port that is taken, a directory that cannot be written, a damaged file.
    pub async fn start(data: &DataDir, plan: &Plan) -> Result<Self, CloudError> {
        let credentials = accepted_key(data, plan)?;
        let broker = if plan.embedded.kafka {
            let config = broker::Config {
                fsync: plan.fsync,
                advertised: plan
                    .advertise
                    .clone()
                    .map(|host| (host, plan.kafka_listen.port())),
                ..broker::Config::new(data.root().join("kafka"), plan.kafka_listen)
            };
            Some(Broker::start(config).await.map_err(sentence)?)
        } else {
            None
        };
        let server = if plan.embedded.any_aws() {
            Some(start_aws(data, plan, &credentials).await?)
        } else {
            None
        };
        Ok(Self {
            broker,
            server,
            credentials,
        })
    }

    /// `host:port` of the broker.
    #[must_use]
    pub fn kafka(&self) -> Option<String> {
        self.broker
            .as_ref()
            .map(|b| reachable(b.addr()).to_string())
    }

    /// URL of S3, Glue and Athena.
    #[must_use]
    pub fn aws(&self) -> Option<String> {
        self.server
            .as_ref()
            .map(|s| format!("http://{}", reachable(s.addr())))
    }

    /// The local key.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Answers what is under way, flushes and closes.
    pub async fn shutdown(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
        if let Some(broker) = self.broker
            && let Err(error) = broker.shutdown().await
        {
            tracing::warn!("{error}");
        }
    }
}

/// The key that the embedded services accept. Where some service is external, the
/// pipeline has one key for all of them, and the embedded ones take that.
fn accepted_key(data: &DataDir, plan: &Plan) -> Result<Credentials, CloudError> {
    match &plan.aws.credentials_secret {
        Some(name)
            if name != LOCAL_SECRET && plan.embedded.any_aws() && !plan.embedded.all_aws() =>
        {
            let read = |key| plan.secrets.read(name, key).map_err(sentence);
            Ok(Credentials {
                access_key_id: read(ACCESS_KEY_ID)?.expose().to_owned(),
                secret_access_key: read(SECRET_ACCESS_KEY)?.expose().to_owned(),
            })
        }
        _ => Credentials::load_or_generate(data.root()).map_err(sentence),
    }
}

async fn start_aws(
    data: &DataDir,
    plan: &Plan,
    credentials: &Credentials,
) -> Result<Server, CloudError> {
    let listener = Listener::bind(plan.aws_listen).await.map_err(sentence)?;
    let url = format!("http://{}", reachable(listener.addr()));
    let durability = if plan.fsync {
        Durability::PowerLoss
    } else {
        Durability::Kill
    };
    let store = s3::Store::open(&data.root().join("s3"), durability).map_err(sentence)?;
    let clients = Clients::connect(&addressed(&plan.aws, plan.embedded, &url), &plan.secrets)
        .await
        .map_err(sentence)?;
    let glue = Glue::open_with_crawlers(&data.root().join("glue"), clients.s3.clone());
    let glue = Arc::new(glue.map_err(sentence)?);
    let backends = Backends {
        glue: clients.glue,
        s3: clients.s3,
        region: plan.aws.region.clone(),
        default_output: None,
    };
    let athena = Arc::new(Athena::open(&data.root().join("athena"), backends).map_err(sentence)?);
    let services = Services {
        store,
        glue,
        athena,
        credentials: credentials.clone(),
        hosts: plan.advertise.iter().cloned().collect(),
    };
    Ok(Server::serve(listener, services))
}

/// Where this machine reaches what listens on `listen`: a server that listens everywhere answers on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// `aws` with the address `url` and the local key wherever a service is embedded.
#[must_use]
pub fn addressed(aws: &Aws, embedded: Embedded, url: &str) -> Aws {
    let pick = |is_embedded: bool, named: &Endpoint| {
        if is_embedded {
            Endpoint::Url(url.to_owned())
        } else {
            named.clone()
        }
    };
    let mut addressed = aws.clone();
    addressed.endpoints = ServiceEndpoints {
        s3: pick(embedded.s3, &aws.endpoints.s3),
        glue: pick(embedded.glue, &aws.endpoints.glue),
        athena: pick(embedded.athena, &aws.endpoints.athena),
    };
    addressed.s3_path_style = aws.s3_path_style || embedded.s3;
    // Embedded together, they take the local key whatever key the file has for its external ones.
    if addressed.credentials_secret.is_none() || embedded.all_aws() {
        addressed.credentials_secret = Some(LOCAL_SECRET.to_owned());
    }
    addressed
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("[::]:9000", "[::1]:9000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.1.2.3:9092", "10.1.2.3:9092"),
        ] {
            let reached: std::net::SocketAddr = reached.parse().unwrap();
            assert_eq!(reachable(listen.parse().unwrap()), reached, "{listen}");
        }
    }
}
