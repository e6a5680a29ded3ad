//! One publication, many readers: each frame is made once, and a reader that falls behind gets a fresh snapshot.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use super::feed::lock;
use super::publication::{Publication, Surroundings};
use super::state::Market;
use super::wire::Snapshot;

/// Frames that wait for a reader before it counts as slow: four seconds.
const QUEUE: usize = 16;
/// Readers of the stream at a time.
pub const MAX_READERS: usize = 256;
/// Beats without a change after which an empty delta shows that the stream lives: one second.
const QUIET_BEATS: u32 = 4;

/// One server-sent event.
#[derive(Clone, Debug)]
struct Frame {
    seq: u64,
    bytes: Bytes,
}

/// What the page's readers share. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    market: Arc<Mutex<Market>>,
    publication: Mutex<Publication>,
    surroundings: Mutex<Surroundings>,
    quiet: Mutex<u32>,
    /// The newest snapshot that a reader asked for.
    snapshot: Mutex<Option<Frame>>,
    deltas: broadcast::Sender<Frame>,
    readers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Hub {
    /// A hub over `market`; its streams end at `shutdown`.
    #[must_use]
    pub fn new(
        market: Arc<Mutex<Market>>,
        publication: Publication,
        surroundings: Surroundings,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                market,
                publication: Mutex::new(publication),
                surroundings: Mutex::new(surroundings),
                quiet: Mutex::new(0),
                snapshot: Mutex::new(None),
                deltas: broadcast::Sender::new(QUEUE),
                readers: Arc::new(Semaphore::new(MAX_READERS)),
                shutdown,
            }),
        }
    }

    /// Changes what the page says beside the market.
    pub fn surround(&self, change: impl FnOnce(&mut Surroundings)) {
        change(&mut lock(&self.inner.surroundings));
    }

    /// What the page says beside the market.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        lock(&self.inner.surroundings).clone()
    }

    /// The market.
    #[must_use]
    pub fn market(&self) -> &Mutex<Market> {
        &self.inner.market
    }

    /// Tells the readers what changed until `now_ms`; call it at a steady beat.
    pub fn beat(&self, now_ms: i64) {
        let surroundings = self.surroundings();
        // Under the publication's lock, so that a reader's snapshot and its first delta fit together.
        let mut publication = lock(&self.inner.publication);
        let delta = {
            let market = lock(&self.inner.market);
            publication.advance(&market, &surroundings, now_ms)
        };
        let mut quiet = lock(&self.inner.quiet);
        *quiet = if delta.is_empty() { *quiet + 1 } else { 0 };
        if !quiet.is_multiple_of(QUIET_BEATS) {
            return;
        }
        // Without readers nobody takes it, which is no error.
        let _ = self.inner.deltas.send(Frame {
            seq: delta.seq,
            bytes: event("delta", &delta),
        });
    }

    /// Rows outside the stream.
    #[must_use]
    pub fn page(&self, search: &str, offset: usize, limit: usize, now_ms: i64) -> Snapshot {
        let publication = lock(&self.inner.publication);
        let market = lock(&self.inner.market);
        publication.page(&market, search, offset, limit, now_ms)
    }

    /// A stream of events: a snapshot, then deltas; `None` while too many readers are there.
    #[must_use]
    pub fn follow(&self) -> Option<Reader> {
        let permit = Arc::clone(&self.inner.readers).try_acquire_owned().ok()?;
        Some(Reader {
            hub: self.clone(),
            deltas: self.inner.deltas.subscribe(),
            seq: None,
            _permit: permit,
        })
    }

    /// Readers of the stream at present.
    #[must_use]
    pub fn readers(&self) -> usize {
        MAX_READERS - self.inner.readers.available_permits()
    }

    fn snapshot(&self) -> Frame {
        let publication = lock(&self.inner.publication);
        let mut kept = lock(&self.inner.snapshot);
        if let Some(frame) = &*kept
            && frame.seq == publication.seq()
        {
            return frame.clone();
        }
        let frame = Frame {
            seq: publication.seq(),
            bytes: event("snapshot", &publication.snapshot()),
        };
        *kept = Some(frame.clone());
        frame
    }
}

/// One reader's place in the stream. It holds no queue of its own.
pub struct Reader {
    hub: Hub,
    deltas: broadcast::Receiver<Frame>,
    /// Number of the newest frame given; `None` before the first and after having fallen behind.
    seq: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; `None` at shutdown.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let Some(seq) = self.seq else {
                let frame = self.hub.snapshot();
                self.seq = Some(frame.seq);
                return Some(frame.bytes);
            };
            let received = tokio::select! {
                received = self.deltas.recv() => received,
                () = self.hub.inner.shutdown.cancelled() => return None,
            };
            match received {
                Ok(frame) if frame.seq <= seq => {}
                Ok(frame) => {
                    self.seq = Some(frame.seq);
                    return Some(frame.bytes);
                }
                Err(RecvError::Lagged(_)) => self.seq = None,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn event<T: Serialize>(name: &str, data: &T) -> Bytes {
    let mut text = format!("event: {name}\ndata: ").into_bytes();
    serde_json::to_writer(&mut text, data)
        .expect("wire types serialise, and a Vec takes all bytes");
    text.extend_from_slice(b"\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::Value;
    use stockpipe_market::tick::{Kind, Symbol, Tick};
    use stockpipe_market::view::TickView;

    use super::super::wire::{Badge, LakeInfo, PipelineInfo, SessionInfo};
    use super::*;

    fn hub() -> Hub {
        let pipeline = PipelineInfo {
            name: "demo".into(),
            namespace: "default".into(),
            badge: Badge::Replay,
            calendar: "24x7".into(),
            topic: "demo.ticks".into(),
            lake: "s3://lake/demo".into(),
            table: "stockpipe.demo".into(),
        };
        let surroundings = Surroundings {
            connected: true,
            session: SessionInfo {
                open: true,
                next_open: None,
            },
            lake: LakeInfo::default(),
            reports: Vec::new(),
        };
        Hub::new(
            Arc::default(),
            Publication::new(pipeline, &surroundings),
            surroundings,
            CancellationToken::new(),
        )
    }

    fn trade(hub: &Hub, price: &str) {
        let mut tick = Tick::new(
            Symbol::new("AAPL").unwrap(),
            "replay".into(),
            Kind::Trade,
            "r".into(),
            0,
            0,
            date(2026, 11, 20),
        );
        tick.price = Some(price.parse().unwrap());
        lock(hub.market()).tick(&TickView::from(&tick), 0, 0);
    }

    async fn next(reader: &mut Reader) -> (String, Value) {
        let bytes = reader.next().await.unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let (name, data) = text
            .strip_prefix("event: ")
            .unwrap()
            .split_once("\ndata: ")
            .unwrap();
        let data = data.strip_suffix("\n\n").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    }

    #[tokio::test]
    async fn a_reader_gets_a_snapshot_and_then_only_what_is_newer() {
        let hub = hub();
        trade(&hub, "10");
        let mut reader = hub.follow().unwrap();
        hub.beat(0);
        let (name, data) = next(&mut reader).await;
        assert_eq!(
            (name.as_str(), &data["rows"][0]["last"]),
            ("snapshot", &"10".into())
        );
        trade(&hub, "11");
        hub.beat(250);
        let (name, data) = next(&mut reader).await;
        assert_eq!(
            (name.as_str(), &data["rows"][0]["last"]),
            ("delta", &"11".into())
        );
        assert_eq!(data["seq"], 2);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_a_fresh_snapshot_instead_of_a_growing_queue() {
        let hub = hub();
        let mut reader = hub.follow().unwrap();
        assert_eq!(next(&mut reader).await.0, "snapshot");
        for n in 0..1000 {
            trade(&hub, &format!("{n}"));
            hub.beat(n * 250);
        }
        assert!(hub.inner.deltas.len() <= QUEUE);
        let (name, data) = next(&mut reader).await;
        assert_eq!(
            (name.as_str(), &data["rows"][0]["last"]),
            ("snapshot", &"999".into())
        );
        trade(&hub, "7");
        hub.beat(0);
        assert_eq!(next(&mut reader).await.1["rows"][0]["last"], "7");
    }

    #[tokio::test]
    async fn a_quiet_stream_still_beats_once_a_second() {
        let hub = hub();
        let mut reader = hub.follow().unwrap();
        next(&mut reader).await;
        for quarter in 0..8 {
            hub.beat(quarter * 250);
        }
        let (first, second) = (next(&mut reader).await.1, next(&mut reader).await.1);
        assert_eq!((&first["seq"], &second["seq"]), (&4.into(), &8.into()));
    }

    #[tokio::test]
    async fn streams_end_at_shutdown_and_readers_are_bounded() {
        let hub = hub();
        let mut readers: Vec<Reader> = (0..MAX_READERS).map(|_| hub.follow().unwrap()).collect();
        assert!(hub.follow().is_none());
        assert_eq!(hub.readers(), MAX_READERS);
        drop(readers.pop());
        let mut reader = hub.follow().unwrap();
        next(&mut reader).await;
        hub.inner.shutdown.cancel();
        assert!(reader.next().await.is_none());
    }
}
