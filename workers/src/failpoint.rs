//! Named points at which a test can kill this process, as `kill -9` would.
//!
//! `STOCKPIPE_FAILPOINT=land.after-claim:3` kills the process the third time it
//! passes `land.after-claim`. Without the variable a point costs one load.
//! `stockpipe-worker failpoints` lists the names.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every point, in the order of the write path.
pub const POINTS: &[&str] = &[
    "produce.before-send",
    "produce.after-send",
    "produce.before-checkpoint",
    "produce.between-checkpoints",
    "produce.after-checkpoint",
    "land.before-stage",
    "land.between-parts",
    "land.after-stage",
    "land.before-claim",
    "land.after-claim",
    "land.before-publish",
    "land.between-publishes",
    "land.after-publish",
    "land.before-commit",
    "land.after-commit",
    "land.before-tip",
    "land.after-tip",
];

struct Armed {
    name: String,
    left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Why `STOCKPIPE_FAILPOINT` was not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "STOCKPIPE_FAILPOINT={0}: write NAME or NAME:COUNT with one of the names that `stockpipe-worker failpoints` lists"
)]
pub struct FailpointError(String);

/// Reads `STOCKPIPE_FAILPOINT`; call once at start.
///
/// # Errors
/// Where the variable names no point.
pub fn arm_from_environment() -> Result<(), FailpointError> {
    let armed = match std::env::var("STOCKPIPE_FAILPOINT") {
        Err(_) => None,
        Ok(text) => Some(parse(&text).ok_or(FailpointError(text))?),
    };
    if let Some(a) = &armed {
        tracing::warn!(
            point = a.name,
            count = a.left.load(Ordering::Relaxed),
            "this process will kill itself"
        );
    }
    let _ = ARMED.set(armed);
    Ok(())
}

fn parse(text: &str) -> Option<Armed> {
    let (name, count) = text.split_once(':').unwrap_or((text, "1"));
    let count: u64 = count.parse().ok().filter(|c| *c > 0)?;
    POINTS.contains(&name).then(|| Armed {
        name: name.to_owned(),
        left: AtomicU64::new(count),
    })
}

/// Passes the point `name`, or ends the process there.
pub fn hit(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "`{name}` is not in POINTS");
    let Some(Some(armed)) = ARMED.get() else {
        return;
    };
    if armed.name == name && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        tracing::warn!(point = name, "killed at the failpoint");
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The first process of a container ignores what its own kind sends it, SIGKILL as well; a fault it does not.
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_an_optional_count() {
        assert_eq!(
            parse("land.after-claim:3")
                .unwrap()
                .left
                .load(Ordering::Relaxed),
            3
        );
        assert_eq!(
            parse("land.after-claim")
                .unwrap()
                .left
                .load(Ordering::Relaxed),
            1
        );
        for bad in [
            "land.nowhere",
            "land.after-claim:0",
            "land.after-claim:x",
            "",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
