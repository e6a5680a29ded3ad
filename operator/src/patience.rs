//! How long a watch that broke off waits before it goes on.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The longest wait. The default of 30 s would leave a pipeline unseen for as long after an API server is back; an
/// operator has some fifteen watches, too few to crowd it.
const LONGEST: Duration = Duration::from_secs(5);

/// The default waits, cut off at [`LONGEST`].
#[derive(Default)]
pub struct WatchBackoff(DefaultBackoff);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(LONGEST))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_never_end() {
        let waits: Vec<Duration> = WatchBackoff::default().take(20).collect();
        assert_eq!(waits.len(), 20);
        assert!(waits[0] < LONGEST, "{waits:?}");
        assert_eq!(waits[19], LONGEST);
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
    }
}
