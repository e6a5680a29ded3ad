//! Background work on the files: flushing and retention.

use std::io;
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::node::Node;

/// Flushes and retains at the configured intervals until the broker stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut flushes = interval(node.config.flush_interval);
    let mut retentions = interval(node.config.retention_interval);
    for timer in [&mut flushes, &mut retentions] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut failing = false;
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            _ = flushes.tick() => match flush(&node).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(
                        "cannot flush the files in {}: {error}; what is written now may not survive a loss of power",
                        node.config.data_dir.display(),
                    );
                }
                Err(_) => {}
            },
            _ = retentions.tick() => {
                let node = Arc::clone(&node);
                if let Err(error) = tokio::task::spawn_blocking(move || node.retain()).await {
                    tracing::error!("the retention of old segments failed: {error}");
                }
            }
        }
    }
}

/// Flushes everything now.
pub(crate) async fn flush(node: &Arc<Node>) -> io::Result<()> {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || node.flush())
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
