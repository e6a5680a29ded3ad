//! A control plane, a namespace of each test's own, and operators in it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use stockpipe_crds::StockPipeline;

/// How long anything may take. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The control plane, one for the whole run; ended with the process.
struct ControlPlane {
    kubeconfig: PathBuf,
}

fn testcluster() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("STOCKPIPE_TESTCLUSTER") {
        return Some(named.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let found = cache.join("stockpipe/testcluster/current/testcluster");
    found.exists().then_some(found)
}

fn control_plane() -> Option<&'static ControlPlane> {
    static PLANE: OnceLock<Option<ControlPlane>> = OnceLock::new();
    PLANE
        .get_or_init(|| {
            let Some(program) = testcluster() else {
                let missing =
                    "no testcluster: run scripts/setup cluster, or set STOCKPIPE_TESTCLUSTER";
                assert!(
                    std::env::var_os("STOCKPIPE_ALL_TIERS").is_none(),
                    "{missing}"
                );
                eprintln!("SKIPPED the operator on a control plane: {missing}");
                return None;
            };
            let directory = tempfile::tempdir().unwrap().keep();
            // Ends with this process, whatever ends it.
            let script = r#"
                "$0" up --dir "$1" --control-plane-only >"$1/up.log" 2>&1 || exit 1
                touch "$1/ready"
                while kill -0 "$2" 2>/dev/null; do sleep 0.5; done
                "$0" down --dir "$1" >/dev/null 2>&1
                rm -rf "$1"
            "#;
            let mut keeper = Command::new("sh")
                .args(["-c", script])
                .arg(&program)
                .arg(&directory)
                .arg(std::process::id().to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::spawn(move || keeper.wait());
            let log = || std::fs::read_to_string(directory.join("up.log")).unwrap_or_default();
            let start = Instant::now();
            while !directory.join("ready").exists() {
                assert!(
                    start.elapsed() < Duration::from_secs(180),
                    "no control plane: {}",
                    log()
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            Some(ControlPlane {
                kubeconfig: directory.join("kubeconfig"),
            })
        })
        .as_ref()
}

/// A namespace of a test's own on the control plane.
pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Where the operator says that it lives.
    pub(crate) system: String,
    kubeconfig: PathBuf,
    operators: Vec<Operator>,
    user: Option<String>,
    proxied: Option<PathBuf>,
}

/// How an operator is started.
struct Launch {
    kubeconfig: PathBuf,
    namespace: String,
    name: String,
    system: String,
    install: Option<String>,
}

impl Launch {
    fn start(&self) -> Operator {
        // Free now, and nobody else here asks for it in the next moment.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = tempfile::tempdir().unwrap().keep().join("log");
        let named = self.install.iter().flat_map(|name| ["--install", name]);
        let process = Command::new(env!("CARGO_BIN_EXE_stockpipe-operator"))
            .args(named)
            .args(["--watch-namespace", &self.namespace])
            .args(["--workers-image", "stockpipe:0.1.0"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("POD_NAME", &self.name)
            .env("POD_NAMESPACE", &self.system)
            .env("KUBECONFIG", &self.kubeconfig)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Operator { process, port, log }
    }
}

/// An operator that is started again when it ends; told to end when it is dropped.
pub(crate) struct KeptAlive {
    stop: Arc<AtomicBool>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

impl Drop for KeptAlive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// An operator's process; killed when it is dropped.
pub(crate) struct Operator {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Operator {
    /// Status code and text of one of its addresses; 0 where nobody listens.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else {
            return (0, String::new());
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).is_err()
            || stream.read_to_string(&mut answer).is_err()
        {
            return (0, String::new());
        }
        let code = answer
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        (code, answer)
    }

    /// One of its counters, by the start of its line.
    pub(crate) fn count(&self, start: &str) -> f64 {
        self.get("/metrics")
            .1
            .lines()
            .filter(|line| line.starts_with(start))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it in its tracks, or lets it go on.
    pub(crate) fn freeze(&self, freeze: bool) {
        let signal = if freeze { "-STOP" } else { "-CONT" };
        let pid = self.process.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Tells it to end; how long that took.
    pub(crate) fn terminate(mut self) -> Duration {
        let start = Instant::now();
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        start.elapsed()
    }
}

/// The bed of a test; `None` where there is no control plane.
pub(crate) async fn make(test: &str) -> Option<Bed> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Ignored: another provider can only have been installed by this same line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let plane = control_plane()?;
    let client = client(&plane.kubeconfig).await;
    define(&client).await;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let bed = Bed {
        namespace: format!("{test}-{number}"),
        system: format!("{test}-{number}-system"),
        client,
        kubeconfig: plane.kubeconfig.clone(),
        operators: Vec::new(),
        user: None,
        proxied: None,
    };
    bed.make_namespace(&bed.namespace).await;
    bed.make_namespace(&bed.system).await;
    Some(bed)
}

async fn client(kubeconfig: &PathBuf) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

async fn define(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = stockpipe_crds::schema::crd();
    let name = definition.metadata.name.clone().unwrap();
    let parameters = PatchParams::apply("it").force();
    api.patch(&name, &parameters, &Patch::Apply(&definition))
        .await
        .unwrap();
    until("the definition is served", || async {
        let list: Api<StockPipeline> = Api::all(client.clone());
        list.list(&ListParams::default()).await.ok().map(|_| ())
    })
    .await;
}

impl Bed {
    pub(crate) async fn make_namespace(&self, name: &str) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        api.create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// Later operators call the API server as this user.
    pub(crate) fn act_as(&mut self, user: &str) {
        self.user = Some(user.to_owned());
    }

    /// Starts an operator, which the bed keeps.
    pub(crate) fn start(&mut self) -> usize {
        let operator = self.operator(
            &format!("operator-{}", self.operators.len()),
            &self.system.clone(),
        );
        self.operators.push(operator);
        self.operators.len() - 1
    }

    pub(crate) fn running(&self, index: usize) -> &Operator {
        &self.operators[index]
    }

    pub(crate) fn take(&mut self, index: usize) -> Operator {
        self.operators.remove(index)
    }

    /// An operator of that name, that says it lives in `system`.
    pub(crate) fn operator(&self, name: &str, system: &str) -> Operator {
        self.launch(name, system).start()
    }

    /// As [`Bed::operator`], of the install of that name.
    pub(crate) fn operator_of(&self, install: &str, name: &str) -> Operator {
        let mut launch = self.launch(name, &self.system);
        launch.install = Some(install.to_owned());
        launch.start()
    }

    /// Starts an operator that is started again whenever it ends, as a
    /// Deployment would.
    pub(crate) fn start_kept_alive(&self) -> KeptAlive {
        let launch = self.launch("kept-alive", &self.system);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let keeper = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut operator = launch.start();
                while operator.process.try_wait().unwrap().is_none()
                    && !stopped.load(Ordering::Relaxed)
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                // Its Lease is free at once where it ends well.
                if operator.process.try_wait().unwrap().is_none() {
                    let pid = operator.process.id().to_string();
                    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
                    operator.process.wait().unwrap();
                }
            }
        });
        KeptAlive {
            stop,
            keeper: Some(keeper),
        }
    }

    /// Later operators call the API server by way of `proxy`.
    pub(crate) fn call_through(&mut self, proxy: SocketAddr) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{proxy}")}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        let path = tempfile::tempdir().unwrap().keep().join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        self.proxied = Some(path);
    }

    /// Later operators call the API server itself.
    pub(crate) fn call_directly(&mut self) {
        self.proxied = None;
    }

    fn launch(&self, name: &str, system: &str) -> Launch {
        let kubeconfig = match (&self.proxied, &self.user) {
            (Some(proxied), _) => proxied.clone(),
            (None, None) => self.kubeconfig.clone(),
            (None, Some(user)) => {
                let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
                let mut config: serde_norway::Value = serde_norway::from_str(&text).unwrap();
                for entry in config["users"].as_sequence_mut().unwrap() {
                    entry["user"]["as"] = user.as_str().into();
                }
                let path = tempfile::tempdir().unwrap().keep().join("kubeconfig");
                std::fs::write(&path, serde_norway::to_string(&config).unwrap()).unwrap();
                path
            }
        };
        Launch {
            kubeconfig,
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            system: system.to_owned(),
            install: None,
        }
    }

    /// Makes a pipeline of that name with that spec.
    pub(crate) async fn apply(&self, name: &str, spec: Value) -> StockPipeline {
        let pipeline = json!({
            "apiVersion": "stockpipe.dev/v1alpha1",
            "kind": "StockPipeline",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        let parameters = PatchParams::apply("a-person").force();
        self.pipelines()
            .patch(name, &parameters, &Patch::Apply(&pipeline))
            .await
            .unwrap()
    }

    pub(crate) async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let patch = Patch::Merge(&patch);
        self.pipelines()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Makes definitions of the Prometheus operator's kinds, which take anything.
    pub(crate) async fn define_monitoring(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for (kind, plural) in [
            ("PodMonitor", "podmonitors"),
            ("PrometheusRule", "prometheusrules"),
        ] {
            let name = format!("{plural}.monitoring.coreos.com");
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": name},
                "spec": {
                    "group": "monitoring.coreos.com", "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
                    }}],
                }
            });
            let parameters = PatchParams::apply("it").force();
            api.patch(&name, &parameters, &Patch::Apply(&definition))
                .await
                .unwrap();
        }
        until("the definitions are served", || async {
            let group = self
                .client
                .list_api_group_resources("monitoring.coreos.com/v1");
            (group.await.ok()?.resources.len() == 2).then_some(())
        })
        .await;
    }

    pub(crate) fn pipelines(&self) -> Api<StockPipeline> {
        self.api()
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Lets every pod of that role end well, as a worker would have.
    pub(crate) async fn finish_pods(&self, role: &str) {
        let selector = format!("app.kubernetes.io/component={role}");
        let api: Api<Pod> = self.api();
        let name = until("a pod is made", || async {
            let pods = api
                .list(&ListParams::default().labels(&selector))
                .await
                .ok()?;
            pods.items.into_iter().find_map(|pod| pod.metadata.name)
        })
        .await;
        let patch = json!({"status": {"phase": "Succeeded"}});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// Reason of a condition, once it is so.
    pub(crate) async fn until_reason(&self, name: &str, kind: &str, reason: &str) {
        let what = format!("{kind} has the reason {reason}");
        until(&what, || async {
            let pipeline = self.pipelines().get(name).await.ok()?;
            let conditions = pipeline.status?.conditions;
            let found = conditions.into_iter().find(|found| found.type_ == kind)?;
            (found.reason == reason).then_some(())
        })
        .await;
    }
}

/// The smallest spec that a cluster takes, of a place of its own.
pub(crate) fn smallest(place: &str) -> Value {
    json!({
        "kafka": {"bootstrapServers": format!("{place}:9092")},
        "lake": {"bucket": format!("bucket-{place}")},
    })
}

/// Waits until `probe` finds something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    probe: impl Fn() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Skips a test loudly where there is no control plane.
macro_rules! bed {
    ($test:literal) => {
        match crate::bed::make($test).await {
            Some(bed) => bed,
            None => return,
        }
    };
}
pub(crate) use bed;
