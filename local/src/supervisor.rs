//! The roles of one pipeline as tasks of this process.

use std::future::Future;
use std::time::Duration;

use stockpipe_workers::context::Context;
use stockpipe_workers::status::StatusBoard;
use stockpipe_workers::worker::RoleError;
use stockpipe_workers::{analyze, land, produce};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a role may take to drain once it was told to stop.
const DRAIN: Duration = Duration::from_secs(60);

struct Role {
    name: &'static str,
    context: Context,
    task: JoinHandle<()>,
}

/// The running roles, in the order in which they are stopped.
pub struct Supervisor {
    roles: Vec<Role>,
    failures: mpsc::UnboundedReceiver<RoleError>,
    report_failure: mpsc::UnboundedSender<RoleError>,
}

impl Supervisor {
    /// Starts the producer, the landers and, where there is a listener for it, the page.
    #[must_use]
    pub fn start(context: &Context, page: Option<TcpListener>) -> Self {
        let (report_failure, failures) = mpsc::unbounded_channel();
        let mut supervisor = Self {
            roles: Vec::new(),
            failures,
            report_failure,
        };
        if !context.pipeline.suspend {
            supervisor.spawn("produce", context, |c| async move {
                produce::run(&c).await.map_err(RoleError::from)
            });
            for _ in 0..context.pipeline.consumer.replicas {
                supervisor.spawn("land", context, |c| async move {
                    land::run(&c).await.map_err(RoleError::from)
                });
            }
        }
        if let Some(listener) = page {
            supervisor.spawn("analyze", context, move |c| async move {
                analyze::serve(&c, listener).await.map_err(RoleError::from)
            });
        }
        supervisor
    }

    fn spawn<F, R>(&mut self, name: &'static str, context: &Context, run: F)
    where
        F: FnOnce(Context) -> R,
        R: Future<Output = Result<(), RoleError>> + Send + 'static,
    {
        let context = context.for_role(name);
        let role = tokio::spawn(run(context.clone()));
        let report = self.report_failure.clone();
        let task = tokio::spawn(async move {
            let error = match role.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(error) => format!("`{name}` ended abnormally: {error}").into(),
            };
            let _ = report.send(error);
        });
        self.roles.push(Role {
            name,
            context,
            task,
        });
    }

    /// Status boards of the roles.
    pub fn boards(&self) -> impl Iterator<Item = &StatusBoard> {
        self.roles.iter().map(|r| &r.context.status)
    }

    /// Returns when a role fails; never while all is well.
    pub async fn failure(&mut self) -> RoleError {
        self.failures
            .recv()
            .await
            .expect("the sender lives as long as the receiver")
    }

    /// Stops the producer, then the landers once they have landed what they hold, then the page.
    ///
    /// # Errors
    /// The first failure on the way, or what could not be landed in time.
    pub async fn drain(mut self) -> Result<(), RoleError> {
        let mut late = None;
        for stage in ["produce", "land", "analyze"] {
            let stage: Vec<_> = self.roles.iter_mut().filter(|r| r.name == stage).collect();
            stage.iter().for_each(|r| r.context.shutdown.cancel());
            for role in stage {
                if tokio::time::timeout(DRAIN, &mut role.task).await.is_err() {
                    late.get_or_insert_with(|| {
                        format!(
                            "`{}` did not stop within {} s: what it held stays in Kafka and lands at the next start",
                            role.name,
                            DRAIN.as_secs()
                        )
                    });
                }
            }
        }
        match (self.failures.try_recv(), late) {
            (Ok(error), _) => Err(error),
            (Err(_), Some(sentence)) => Err(sentence.into()),
            (Err(_), None) => Ok(()),
        }
    }
}
