//! The connection to a feed: it is made, kept, given up and made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{SinkExt, StreamExt};
use stockpipe_crds::live::MessageMeaning;
use stockpipe_crds::pipeline::Live;
use stockpipe_market::tick::Symbol;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::reader::{Answer, Item, Reader};
use super::wire::Texts;
use crate::produce::wall_ns;
use crate::secrets::Secrets;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest message of a feed, in bytes.
const LONGEST: usize = 16 << 20;
/// A connection must be made, and its subscription answered, within this.
const ANSWER: Duration = Duration::from_secs(15);
/// A connection that held for so long has proven itself: the next wait is short again.
const PROVEN: Duration = Duration::from_secs(30);
/// Longest that a silent connection goes without our ping.
const PING: Duration = Duration::from_secs(20);
/// Between two texts that subscribe to a part of the symbols each.
const BETWEEN: Duration = Duration::from_millis(250);

/// What the connection hands to the stream.
#[derive(Debug)]
pub enum Arrival {
    /// A subscription stands.
    Subscribed,
    /// What a message said.
    Items(Vec<Item>),
    /// Messages were given up: there was no room for them.
    Overflow,
    /// The feed will not have us.
    Refused(String),
}

/// How long it waits before it connects again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After a first loss.
    pub least: Duration,
    /// At most.
    pub most: Duration,
    /// At least, where the feed says that it is too much.
    pub throttled: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(1),
            most: Duration::from_secs(60),
            throttled: Duration::from_secs(15),
        }
    }
}

impl Patience {
    fn waits(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.least)
            .with_max_delay(self.most)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

/// How a connection ended.
enum End {
    /// It is replaced at once.
    Replaced(&'static str),
    /// It was lost.
    Lost(String),
    /// The feed says that it is too much.
    Throttled(String),
    /// The feed will not have us.
    Refused(String),
}

/// One feed, connected again and again.
pub struct Connection {
    /// The feed.
    pub live: Live,
    /// What is asked for.
    pub symbols: Vec<Symbol>,
    /// Reads its messages.
    pub reader: Reader,
    /// Where its credentials are.
    pub secrets: Secrets,
    /// Where arrivals go; never waited for.
    pub out: SyncSender<Arrival>,
    /// How many items lie there, which the stream counts down.
    pub waiting: Arc<AtomicUsize>,
    /// How many may.
    pub queue: usize,
    /// What is told of it.
    pub health: Arc<Health>,
    /// How long it waits.
    pub patience: Patience,
    /// Whether messages were given up that the stream has not been told of.
    pub overflow: bool,
    /// Since when the subscription stands.
    pub stood_at: Option<Instant>,
}

impl Connection {
    /// Keeps a connection until `stop`, or until the feed refuses it.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut waits = self.patience.waits();
        loop {
            self.stood_at = None;
            let end = self.session().await;
            let proven = self.stood_at.is_some_and(|at| at.elapsed() >= PROVEN);
            let (why, least) = match end {
                End::Replaced(why) => {
                    tracing::info!(feed = self.live.name, why, "the connection is replaced");
                    self.health.ended();
                    if proven {
                        waits = self.patience.waits();
                    } else {
                        // One that is to end as soon as it is made is no reason to hurry.
                        sleep(waits.next().unwrap_or(self.patience.most)).await;
                    }
                    continue;
                }
                End::Refused(why) => {
                    self.refuse(why).await;
                    return;
                }
                End::Lost(why) => (why, Duration::ZERO),
                End::Throttled(why) => (why, self.patience.throttled),
            };
            if proven {
                waits = self.patience.waits();
            }
            let wait = waits.next().unwrap_or(self.patience.most).max(least);
            tracing::warn!(
                feed = self.live.name,
                why,
                wait_ms = wait.as_millis(),
                "the live feed is lost; connecting again"
            );
            let message = format!(
                "the live feed {} is lost: {why}; it is connected again",
                self.live.name
            );
            self.health.lost(message);
            sleep(wait).await;
        }
    }

    /// The last word must arrive, however full the queue is.
    async fn refuse(&mut self, why: String) {
        let sentence = format!("source.live: the feed {} refuses us: {why}", self.live.name);
        let mut word = Arrival::Refused(sentence);
        while let Err(TrySendError::Full(back)) = self.out.try_send(word) {
            word = back;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// One connection, from its making to its end.
    async fn session(&mut self) -> End {
        let texts = match Texts::new(&self.live, &self.symbols, &self.secrets) {
            Ok(texts) => texts,
            Err(error) => return End::Refused(error.to_string()),
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        let socket = connect_async_with_config(texts.url.as_str(), Some(config), true);
        let mut socket = match timeout(ANSWER, socket).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return unconnected(&error, &texts),
            Err(_) => return End::Lost(format!("no connection within {} s", ANSWER.as_secs())),
        };
        match self.talk(&mut socket, &texts).await {
            Ok(end) => {
                // A last courtesy: some feeds count a connection until it is closed.
                let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
                end
            }
            Err(error) => End::Lost(texts.shown(&error)),
        }
    }

    async fn talk(&mut self, socket: &mut Socket, texts: &Texts) -> Result<End, String> {
        let stale_after = self.live.stale_after;
        let ping_every = PING.min(stale_after / 2);
        let own_ping = self.live.feed.ping.as_ref().map(|p| p.every.to_duration());
        let answers = |is| self.live.feed.messages.iter().any(|m| m.is == is);
        let is_answered = answers(MessageMeaning::Subscribed);
        let began = Instant::now();
        let replaced_at = self.live.reconnect_after.map(|after| began + after);
        let (mut seen_at, mut pinged_at, mut texted_at) = (began, began, began);
        let mut subscribed = false;
        match &texts.login {
            Some(login) => send(socket, Message::text(login.clone())).await?,
            None => {
                self.subscribe(socket, texts).await?;
                subscribed = !is_answered;
            }
        }
        if subscribed {
            self.stands();
        }
        loop {
            let stale_at = seen_at + stale_after;
            let mut wake = stale_at.min(pinged_at + ping_every);
            if !subscribed {
                wake = wake.min(began + ANSWER);
            }
            if let Some(every) = own_ping {
                wake = wake.min(texted_at + every);
            }
            if let Some(at) = replaced_at {
                wake = wake.min(at);
            }
            let next = tokio::select! {
                next = socket.next() => Some(next),
                () = sleep_until(wake) => None,
            };
            let now = Instant::now();
            let Some(next) = next else {
                if replaced_at.is_some_and(|at| now >= at) {
                    return Ok(End::Replaced("it has reached its age"));
                }
                if now >= stale_at {
                    let silence = stale_after.as_secs();
                    return Ok(End::Lost(format!("it said nothing for {silence} s")));
                }
                if !subscribed && now >= began + ANSWER {
                    let wait = ANSWER.as_secs();
                    return Ok(End::Lost(format!(
                        "it did not answer the subscription in {wait} s"
                    )));
                }
                if let (Some(every), Some(text)) = (own_ping, &texts.ping)
                    && now >= texted_at + every
                {
                    texted_at = now;
                    send(socket, Message::text(text.clone())).await?;
                }
                if now >= pinged_at + ping_every {
                    pinged_at = now;
                    send(socket, Message::Ping(Vec::new().into())).await?;
                }
                continue;
            };
            let message = match next {
                None => return Ok(End::Lost("it ended the connection".to_owned())),
                Some(message) => message.map_err(|e| e.to_string())?,
            };
            if !self.live.feed.heartbeats || message.is_text() || message.is_binary() {
                seen_at = now;
            }
            let text = match &message {
                Message::Text(text) => text.as_str(),
                Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or("\u{fffd}"),
                Message::Close(frame) => {
                    let reason = frame.as_ref().map(ToString::to_string);
                    let reason = texts.shown(&reason.unwrap_or_default());
                    return Ok(End::Lost(
                        format!("it closed the connection {reason}")
                            .trim()
                            .to_owned(),
                    ));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            self.health.message();
            let mut items = self.reader.read(text, wall_ns());
            let mut end = None;
            let mut stands = false;
            items.retain_mut(|item| match item {
                Item::Answer(answer) => {
                    match answer {
                        Answer::Heartbeat => {}
                        Answer::LoggedIn => stands |= texts.login.is_some() && !is_answered,
                        Answer::Subscribed => stands = true,
                        Answer::Closing => {
                            end = Some(End::Replaced("the feed is about to end it"));
                        }
                        Answer::Throttled(why) => {
                            end = Some(End::Throttled(texts.shown(why)));
                        }
                        Answer::Failed(why) => end = Some(End::Lost(texts.shown(why))),
                        Answer::Refused(why) => {
                            end = Some(End::Refused(texts.shown(why)));
                        }
                    }
                    // The login is kept for what follows.
                    matches!(answer, Answer::LoggedIn)
                }
                Item::Unknown => {
                    self.health.unknown();
                    false
                }
                // Whatever a feed says back may hold the key that it was given.
                Item::Bad(why, text) => {
                    (*why, *text) = (texts.shown(why), texts.shown(text));
                    true
                }
                _ => true,
            });
            let logged_in = items.iter().any(|item| matches!(item, Item::Answer(_)));
            items.retain(|item| !matches!(item, Item::Answer(_)));
            if logged_in && texts.login.is_some() && end.is_none() {
                self.subscribe(socket, texts).await?;
            }
            // A tick is an answer as well.
            stands |= items.iter().any(|item| matches!(item, Item::Tick { .. }));
            if stands && !subscribed && end.is_none() {
                subscribed = true;
                self.stands();
            }
            if !items.is_empty() {
                self.hand_over(Arrival::Items(items));
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    async fn subscribe(&self, socket: &mut Socket, texts: &Texts) -> Result<(), String> {
        for (number, text) in texts.subscribe.iter().enumerate() {
            // A feed that takes few symbols at a time takes few texts a second as well.
            if number > 0 && self.live.feed.symbols_per_text.is_some() {
                sleep(BETWEEN).await;
            }
            send(socket, Message::text(text.clone())).await?;
        }
        Ok(())
    }

    fn stands(&mut self) {
        tracing::info!(
            feed = self.live.name,
            symbols = self.symbols.len(),
            "the live feed is connected"
        );
        self.health.connected();
        self.stood_at = Some(Instant::now());
        self.hand_over(Arrival::Subscribed);
    }

    /// Gives `arrival` to the stream, or gives it up where there is no room: a feed that is not read would end the
    /// connection, and its pings would go unanswered. Once there was none, half of what waits must go first: a word
    /// of what was given up for each message that fits would fill the room that there is.
    fn hand_over(&mut self, arrival: Arrival) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if self.overflow {
            if waiting > self.queue / 2 || self.out.try_send(Arrival::Overflow).is_err() {
                self.health.overflow();
                return;
            }
            self.overflow = false;
        }
        let count = match &arrival {
            Arrival::Items(items) => items.len(),
            _ => 0,
        };
        // One message alone fits, however long it is.
        let fits = waiting == 0 || waiting + count <= self.queue;
        if fits {
            // Counted before it can be taken.
            self.waiting.fetch_add(count, Ordering::Relaxed);
        }
        if !fits || matches!(self.out.try_send(arrival), Err(TrySendError::Full(_))) {
            if fits {
                self.waiting.fetch_sub(count, Ordering::Relaxed);
            }
            self.overflow = true;
            self.health.overflow();
        }
    }
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), String> {
    socket.send(message).await.map_err(|e| e.to_string())
}

/// Why there is no connection: some answers stay, whoever asks again.
fn unconnected(error: &tungstenite::Error, texts: &Texts) -> End {
    let tungstenite::Error::Http(response) = error else {
        return End::Lost(texts.shown(&error.to_string()));
    };
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    let said = texts.shown(format!("HTTP {status} {body}").trim());
    match status.as_u16() {
        // To a feed that is open to all it says "not so often", or "not now".
        403 if !texts.have_secrets() => End::Throttled(said),
        401 | 403 => End::Refused(format!(
            "{said}; check the secret that source.live.credentialsSecretRef names"
        )),
        404 | 410 => End::Refused(format!("{said}; check source.live.url")),
        451 => End::Refused(format!("{said}; it may not be used from here")),
        418 | 429 => End::Throttled(said),
        _ => End::Lost(said),
    }
}
