//! What is told of a live feed, by the connection and by the stream.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use stockpipe_crds::worker_status::LiveStatus;

/// What a live feed says of itself.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    /// Its numbers.
    pub status: LiveStatus,
    /// Why it is not connected, and since when.
    pub lost: Option<(String, Timestamp)>,
}

/// Counts over the life of one stream.
pub struct Health(Mutex<Liveness>);

impl Health {
    /// Of the feed `name`.
    pub fn new(name: &str) -> Self {
        Self(Mutex::new(Liveness {
            status: LiveStatus {
                feed: name.to_owned(),
                ..LiveStatus::default()
            },
            lost: None,
        }))
    }

    fn now(&self) -> MutexGuard<'_, Liveness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it stands.
    pub fn get(&self) -> Liveness {
        self.now().clone()
    }

    /// It is connected and subscribed.
    pub fn connected(&self) {
        let mut now = self.now();
        now.status.connected = true;
        now.lost = None;
    }

    /// The connection has ended, as was meant.
    pub fn ended(&self) {
        let mut now = self.now();
        now.status.connected = false;
        now.status.reconnects += 1;
    }

    /// The connection was lost, or not made.
    pub fn lost(&self, why: String) {
        let mut now = self.now();
        now.status.connected = false;
        now.status.reconnects += 1;
        let since = now.lost.as_ref().map(|(_, since)| *since);
        now.lost = Some((why, since.unwrap_or_else(Timestamp::now)));
    }

    /// A message came.
    pub fn message(&self) {
        let mut now = self.now();
        now.status.messages += 1;
        now.status.last_message = Some(Timestamp::now());
    }

    /// A message had no known meaning.
    pub fn unknown(&self) {
        self.now().status.unknown += 1;
    }

    /// A message was given up.
    pub fn overflow(&self) {
        self.now().status.overflow += 1;
    }

    /// A gap was told, of so many trades where that is known.
    pub fn gap(&self, missing: u64) {
        let mut now = self.now();
        now.status.gaps += 1;
        now.status.missing += missing;
    }
}
