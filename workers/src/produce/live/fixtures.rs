//! A local server that speaks as a vendor does, from a script.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use stockpipe_crds::pipeline::{Live, Pipeline, Source as Spec};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Kind, Symbol, Tick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::connection::Patience;
use super::{LiveSource, QUEUE};
use crate::produce::feed::{Feed, FeedError, Rejected};
use crate::secrets::Secrets;

/// A step of a server's script.
#[derive(Clone, Debug)]
pub enum Step {
    /// The client must send this next.
    Hear(&'static str),
    /// The server sends this; `NOW` stands for the present in milliseconds.
    Say(String),
    /// The server answers the handshake with this instead, and ends.
    Http(&'static str),
    /// The server waits.
    Wait(Duration),
    /// The connection breaks, without a word.
    Drop,
}

/// The server sends `text`.
pub fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

/// A server with one script for each connection; the last serves all that follow.
pub struct Server {
    /// Its URL.
    pub url: String,
    connections: Arc<Mutex<usize>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it on a free port.
    pub async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let connections = Arc::new(Mutex::new(0));
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            url,
            connections: Arc::clone(&connections),
            wrong: Arc::clone(&wrong),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut connections = connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let script = scripts[(number - 1).min(scripts.len() - 1)].clone();
                let wrong = Arc::clone(&wrong);
                tokio::spawn(async move {
                    if let Err(why) = play(stream, script).await {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("connection {number}: {why}"));
                    }
                });
            }
        });
        server
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Fails where a client did not say what it should.
    pub fn assert_heard(&self) {
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

async fn play(mut stream: TcpStream, script: Vec<Step>) -> Result<(), String> {
    if let Some(Step::Http(answer)) = script.first() {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        return Ok(());
    }
    let mut socket = tokio_tungstenite::accept_async(stream)
        .await
        .map_err(|e| e.to_string())?;
    for step in script {
        match step {
            Step::Hear(expected) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str() == expected => break,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => return Err(format!("heard {other:?} instead of {expected}")),
                }
            },
            Step::Say(text) => {
                let now = jiff::Timestamp::now().as_millisecond().to_string();
                let text = text.replace("NOW", &now);
                let _ = socket.send(Message::text(text)).await;
            }
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::Drop => return Ok(()),
            Step::Http(_) => return Err("comes first".to_owned()),
        }
    }
    // It stays open, answers pings, and says nothing.
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

/// `source.live` of a preset, resolved.
pub fn live(preset: &str, url: Option<&str>) -> Live {
    let url = url.map_or(String::new(), |url| format!("url: \"{url}\""));
    let secret = match preset {
        "alpaca" | "finnhub" | "massive" => "credentialsSecretRef: {name: mine}",
        _ => "",
    };
    described(&format!(
        "{{{}}}",
        [format!("preset: {preset}"), url, secret.to_owned()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    ))
}

/// `source.live` as written, resolved.
pub fn described(live: &str) -> Live {
    let yaml = format!(
        "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: p}}\nspec: {{lake: {{bucket: lake}}, \
         source: {{live: {live}}}}}\n"
    );
    match Pipeline::from_yaml(&yaml, "p.yaml").unwrap().source {
        Spec::Live(live) => *live,
        other => panic!("{other:?}"),
    }
}

/// Symbols of these names.
pub fn symbols(names: &[&str]) -> Vec<Symbol> {
    names
        .iter()
        .map(|name| Symbol::new(name).unwrap())
        .collect()
}

/// A source, and the secrets that it reads.
pub struct Rig {
    source: LiveSource,
    _secrets: tempfile::TempDir,
}

impl std::ops::Deref for Rig {
    type Target = LiveSource;

    fn deref(&self) -> &LiveSource {
        &self.source
    }
}

impl std::ops::DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut LiveSource {
        &mut self.source
    }
}

/// A source that connects to `live` without much patience; its secrets are all `K`.
pub fn source(live: Live, names: &[&str]) -> Rig {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("mine")).unwrap();
    for key in ["key", "secret", "token"] {
        std::fs::write(home.path().join("mine").join(key), "K").unwrap();
    }
    let source = LiveSource {
        live,
        symbols: symbols(names),
        calendar: Calendar::AlwaysOpen,
        secrets: Secrets::new([home.path().to_owned()]),
        patience: Patience {
            least: Duration::from_millis(10),
            most: Duration::from_millis(50),
            throttled: Duration::from_millis(100),
        },
        queue: QUEUE,
        runtime: tokio::runtime::Handle::current(),
    };
    Rig {
        source,
        _secrets: home,
    }
}

/// What a feed has given.
#[derive(Default)]
pub struct Given {
    /// Ticks.
    pub ticks: Vec<Tick>,
    /// What went to quarantine.
    pub rejected: Vec<Rejected>,
    /// Why it ended.
    pub error: Option<FeedError>,
}

impl Given {
    /// Each tick in short.
    pub fn told(&self) -> Vec<String> {
        self.ticks.iter().map(told).collect()
    }
}

/// Takes what `feed` gives until `enough`, or for five seconds.
pub fn take(feed: &mut dyn Feed, mut enough: impl FnMut(&Given) -> bool) -> Given {
    let mut given = Given::default();
    let deadline = Instant::now() + Duration::from_secs(5);
    while given.error.is_none() && !enough(&given) && Instant::now() < deadline {
        let until = feed.position() + 1;
        let result = feed.emit(until, 1000, &mut |tick| {
            given.ticks.push(tick.clone());
            true
        });
        given.rejected.extend(feed.take_rejected());
        given.error = result.err();
    }
    given
}

/// A tick in short: our number, kind, symbol, the feed's number, and what it says.
pub fn told(tick: &Tick) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let number = text(tick.source_seq.map(|n| n.to_string()));
    let values = match tick.kind {
        Kind::Quote => format!(
            "{} x {} / {} x {}",
            text(tick.bid_price.map(|p| p.to_string())),
            text(tick.bid_size.map(|s| s.to_string())),
            text(tick.ask_price.map(|p| p.to_string())),
            text(tick.ask_size.map(|s| s.to_string())),
        ),
        Kind::Gap => text(tick.size.map(|s| s.to_string())),
        _ => format!(
            "{} x {} {} {}",
            text(tick.price.map(|p| p.to_string())),
            text(tick.size.map(|s| s.to_string())),
            text(tick.side.map(|s| s.to_string())),
            text(tick.trade_id.as_deref().map(str::to_owned)),
        ),
    };
    format!(
        "{} {} {} {number}: {values}",
        tick.seq, tick.kind, tick.symbol
    )
}
