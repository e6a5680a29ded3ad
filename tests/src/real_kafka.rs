//! A real Apache Kafka broker (KRaft, one node) from the jars that `scripts/setup real` fetches.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Process, free_port, until};
use crate::python::prepared;

/// A running broker; ends with this value.
pub struct RealKafka {
    process: Process,
    port: u16,
    libraries: PathBuf,
    _directory: tempfile::TempDir,
}

fn java(libraries: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command
        .arg(heap)
        .arg("-cp")
        .arg(format!("{}/*", libraries.display()));
    command
}

impl RealKafka {
    /// Formats a directory, starts a broker on free ports and waits until it serves.
    ///
    /// # Panics
    /// Where Java, the jars or the ports are missing.
    #[must_use]
    pub fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka");
        let libraries = libraries();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, controller) = (free_port(), free_port());
        let root = directory.path();
        let properties = root.join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://127.0.0.1:{port}\n\
             listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=CLIENT\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            root.join("data").display()
        );
        std::fs::write(&properties, text).expect("writable");
        let log = root.join("server.log");
        let logging = [
            format!(
                "-Dlog4j2.configurationFile={}",
                here.join("log4j2.yaml").display()
            ),
            format!("-Dkafka.logfile={}", log.display()),
        ];
        let cluster = "stockpipeTestCluster0A";
        let format = java(&libraries, "-Xmx128m")
            .args(&logging)
            .args(["kafka.tools.StorageTool", "format", "-t", cluster, "-c"])
            .arg(&properties)
            .output()
            .expect("java runs");
        assert!(format.status.success(), "{}", crate::python::text(&format));
        let mut process = Process::start(
            "Apache Kafka",
            java(&libraries, "-Xmx512m")
                .args(&logging)
                .arg("kafka.Kafka")
                .arg(&properties),
        );
        process.until("Kafka Server started", |_| {
            std::fs::read_to_string(&log)
                .ok()
                .filter(|t| t.contains("Kafka Server started"))
        });
        Self {
            process,
            port,
            libraries,
            _directory: directory,
        }
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs one of Kafka's own tools by its class, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        Tools {
            libraries: self.libraries.clone(),
        }
        .run(class, args, "")
    }

    /// Whether the broker's process runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }
}

/// Apache Kafka's own command-line tools, on any broker.
pub struct Tools {
    libraries: PathBuf,
}

impl Tools {
    /// Those of the jars that `scripts/setup real` fetches.
    #[must_use]
    pub fn prepared() -> Self {
        Self {
            libraries: libraries(),
        }
    }

    /// Runs a tool by its class with `input` to read, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn run(&self, class: &str, args: &[&str], input: &str) -> String {
        use std::io::Write as _;
        let mut child = java(&self.libraries, "-Xmx256m")
            .arg(class)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("java runs");
        let mut stdin = child.stdin.take().expect("piped");
        // A tool that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("java ends");
        let text = crate::python::text(&output);
        assert!(output.status.success(), "{class} {args:?}: {text}");
        text
    }
}

fn libraries() -> PathBuf {
    prepared(
        "kafka",
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml"),
    )
    .join("libs")
}

/// An S3 and a Glue that others wrote (ministack), on one port.
pub struct OtherCloud {
    _process: Process,
    url: String,
    _directory: tempfile::TempDir,
}

impl OtherCloud {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// Where the Python environment is missing.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let program = crate::python::interpreter().with_file_name("ministack");
        let process = Process::start(
            "ministack",
            Command::new(program)
                .current_dir(directory.path())
                .env("BIND_HOST", "127.0.0.1")
                .env("MINISTACK_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string())
                .env("IOT_MTLS_ENABLED", "0"),
        );
        until("an answer of ministack", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            _process: process,
            url: format!("http://127.0.0.1:{port}"),
            _directory: directory,
        }
    }

    /// URL of S3 and Glue.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
