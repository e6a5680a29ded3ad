//! The local cloud and the workers as processes of their own, and the pipeline file between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::ledger::Owner;
use stockpipe_workers::secrets::Secrets;
use stockpipe_workers::store::Store;

use crate::process::{Process, binary, free_port};

/// Where a pipeline's services are, and their key.
#[derive(Clone, Debug)]
pub struct Services {
    /// Kafka, `host:port`.
    pub kafka: String,
    /// S3 and Glue.
    pub aws: String,
    /// Athena; where an emulator has none, one of our own.
    pub athena: String,
    /// Access key id and secret.
    pub key: (String, String),
}

/// `stockpipe cloud` in a process of its own.
pub struct Cloud {
    process: Option<Process>,
    data: PathBuf,
    services: Services,
}

impl Cloud {
    /// Starts it on free ports with its data in `data`.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    pub fn start(data: &Path) -> Self {
        let services = Services {
            kafka: format!("127.0.0.1:{}", free_port()),
            aws: format!("http://127.0.0.1:{}", free_port()),
            athena: String::new(),
            key: (String::new(), String::new()),
        };
        let mut cloud = Self {
            process: None,
            data: data.to_owned(),
            services,
        };
        cloud.revive();
        let secret = |key| {
            std::fs::read_to_string(data.join("secrets/stockpipe-local").join(key))
                .expect("made at start")
                .trim()
                .to_owned()
        };
        cloud.services.key = (secret("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY"));
        cloud.services.athena = cloud.services.aws.clone();
        cloud
    }

    /// Starts it again on the same ports and the same data.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub fn revive(&mut self) {
        let mut process = Process::start(
            "stockpipe cloud",
            Command::new(binary("stockpipe"))
                .arg("cloud")
                .arg("--data")
                .arg(&self.data)
                .args(["--listen", self.services.aws.trim_start_matches("http://")])
                .args(["--kafka-listen", &self.services.kafka]),
        );
        process.wait_for("ready", |line| (line == "ready").then_some(()));
        self.process = Some(process);
    }

    /// Where it serves.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }
}

/// A pipeline file on disk, with its secrets, and the workers that run it.
pub struct Pipeline {
    directory: tempfile::TempDir,
    name: String,
    services: Services,
    resource: Value,
}

impl Pipeline {
    /// Writes `spec` (merged over the addresses of `services`) as the pipeline `name`.
    ///
    /// # Panics
    /// Where the file cannot be written.
    #[must_use]
    pub fn new(name: &str, services: &Services, spec: &Value) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secret = directory.path().join("secrets/key");
        std::fs::create_dir_all(&secret).expect("writable");
        std::fs::write(secret.join("AWS_ACCESS_KEY_ID"), &services.key.0).expect("writable");
        std::fs::write(secret.join("AWS_SECRET_ACCESS_KEY"), &services.key.1).expect("writable");
        let mut resource = json!({
            "apiVersion": "stockpipe.dev/v1alpha1",
            "kind": "StockPipeline",
            "metadata": {"name": name, "annotations": {"stockpipe.dev/cluster-id": "tests"}},
            "spec": {
                "kafka": {"bootstrapServers": services.kafka, "topic": {"replicationFactor": 1}},
                "lake": {"bucket": format!("lake-{name}")},
                "aws": {
                    "region": "us-east-1",
                    "credentialsSecretRef": {"name": "key"},
                    "endpoints": {"s3": services.aws, "glue": services.aws, "athena": services.athena},
                    "s3PathStyle": true,
                },
            },
        });
        merge(&mut resource["spec"], spec);
        let pipeline = Self {
            directory,
            name: name.to_owned(),
            services: services.clone(),
            resource,
        };
        pipeline.write();
        pipeline
    }

    fn write(&self) {
        let text = serde_norway::to_string(&self.resource).expect("plain values");
        std::fs::write(self.file(), text).expect("writable");
    }

    /// The same pipeline as another cluster runs it, which takes the prefix over behind the back of whoever
    /// lands there: from now on both believe that they own it, each in a consumer group of its own.
    ///
    /// # Panics
    /// Where the owner's record cannot be replaced.
    #[must_use]
    pub fn usurped_by(&self, cluster: &str) -> Self {
        let mut rival = Self::new(&self.name, &self.services, &self.resource["spec"]);
        rival.resource["metadata"]["annotations"]["stockpipe.dev/cluster-id"] = json!(cluster);
        rival.write();
        let text = std::fs::read_to_string(rival.file()).expect("just written");
        let resolved = stockpipe_crds::Pipeline::from_yaml(&text, &rival.name).expect("valid");
        let replaced = async {
            let secrets = Secrets::new([rival.secrets()]);
            let clients = Clients::connect(&resolved.aws, &secrets).await?;
            let store = Store::new(clients.s3, &rival.bucket());
            let owner = Owner::read(&store, &rival.prefix()).await?;
            let taken = Owner {
                identity: format!("{cluster}/default/{}", rival.name),
                ..owner.ok_or("the prefix has no owner yet")?
            };
            store.put_json(&Owner::key(&rival.prefix()), &taken).await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        runtime()
            .block_on(replaced)
            .expect("the record is replaced");
        rival
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("pipeline.yaml")
    }

    /// Folder of its secrets.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.directory.path().join("secrets")
    }

    /// Where it runs.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Its bucket.
    #[must_use]
    pub fn bucket(&self) -> String {
        format!("lake-{}", self.name)
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("{}.ticks", self.name)
    }

    /// Its prefix.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/ticks", self.name)
    }

    fn command(&self, role: &str, port: u16) -> Command {
        let mut command = Command::new(binary("stockpipe-worker"));
        command
            .arg(role)
            .arg("--pipeline")
            .arg(self.file())
            .arg("--secrets")
            .arg(self.secrets())
            .args(["--listen", &format!("127.0.0.1:{port}")]);
        command
    }

    /// Runs a role that ends by itself.
    ///
    /// # Panics
    /// Where the worker cannot be started.
    #[must_use]
    pub fn run(&self, role: &str) -> Output {
        self.command(role, 0).output().expect("the worker starts")
    }

    /// Runs `provision`.
    ///
    /// # Panics
    /// Where it fails.
    pub fn provision(&self) {
        let output = self.run("provision");
        assert!(output.status.success(), "{}", crate::python::text(&output));
    }

    /// Starts a role that goes on.
    #[must_use]
    pub fn start(&self, role: &str) -> Worker {
        self.start_with(role, None)
    }

    /// Starts a role that kills itself at `failpoint` (`NAME:COUNT`).
    #[must_use]
    pub fn start_with(&self, role: &str, failpoint: Option<&str>) -> Worker {
        let port = free_port();
        let mut command = self.command(role, port);
        if let Some(failpoint) = failpoint {
            command.env("STOCKPIPE_FAILPOINT", failpoint);
        }
        Worker {
            process: Process::start(role, &mut command),
            port,
        }
    }

    /// `stockpipe verify` on the file: its exit code, and its document or what it said instead.
    ///
    /// # Panics
    /// Where the command cannot be started.
    pub fn verify(&self) -> (i32, Result<Value, String>) {
        let output = Command::new(binary("stockpipe"))
            .arg("verify")
            .arg(self.file())
            .arg("--secrets")
            .arg(self.secrets())
            .arg("--data")
            .arg(self.directory.path().join("data"))
            .args(["--output", "json"])
            .output()
            .expect("stockpipe starts");
        let report =
            serde_json::from_slice(&output.stdout).map_err(|_| crate::python::text(&output));
        (output.status.code().unwrap_or(-1), report)
    }

    /// Asserts that the audit looked at something, found nothing, and that nothing was lost.
    ///
    /// Losses that the ledger records are no findings, and switch the look for missing `seq` off: so they are
    /// refused here.
    ///
    /// # Panics
    /// Where it finds anything, anything was lost, or nothing was looked at.
    pub fn assert_verified(&self) -> Verified {
        let (code, report) = self.verify();
        let report = report.unwrap_or_else(|said| panic!("verify exited with {code}: {said}"));
        assert_eq!(code, 0, "verify: {report:#}");
        let partitions = report["partitions"].as_array().expect("a list");
        let sum = |field: &str| partitions.iter().filter_map(|p| p[field].as_u64()).sum();
        let sequences = |field: &str| report["sequences"][field].as_u64().expect("a number");
        let losses: usize = partitions
            .iter()
            .map(|p| p["losses"].as_array().expect("a list").len())
            .sum();
        let verified = Verified {
            rows: sum("rows"),
            claims: sum("claims"),
            missing: sequences("missing"),
            doubled: sequences("doubled"),
        };
        assert!(verified.rows > 0 && sequences("series") > 0, "{report:#}");
        assert_eq!(
            (losses, verified.missing, verified.doubled),
            (0, 0, 0),
            "{report:#}"
        );
        verified
    }
}

/// What an audit that found nothing had looked at.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Rows in files.
    pub rows: u64,
    /// Claims.
    pub claims: u64,
    /// Ticks whose number is missing.
    pub missing: u64,
    /// Ticks whose number is there twice.
    pub doubled: u64,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("threads")
}

/// Replaces what `over` names in `base`, field by field.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// A running role.
pub struct Worker {
    /// Its process.
    pub process: Process,
    port: u16,
}

impl Worker {
    /// `GET /metrics`, or nothing while it does not answer.
    #[must_use]
    pub fn metrics(&self) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        runtime().block_on(async { reqwest::get(url).await.ok()?.text().await.ok() })
    }

    /// `GET /status`, or nothing while it does not answer.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/status", self.port);
        runtime().block_on(async { reqwest::get(url).await.ok()?.json().await.ok() })
    }
}
