//! `source.live`, resolved: where the feed is, how it is spoken to, what its messages mean.

use std::time::Duration;

use crate::amounts::DurationText;
pub use crate::spec::live::{
    ConditionSpec, FeedSpec, FeedTime, GapDetection, LiveChannel, LivePreset, MessageMeaning,
    MessageSpec,
};

/// A feed over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// What ticks name as their source: the preset's name, or the host.
    pub name: String,
    /// Where it is; may hold `{{secret:KEY}}`.
    pub url: String,
    /// Secret with the feed's credentials.
    pub credentials_secret: Option<String>,
    /// What is subscribed to.
    pub channels: Vec<LiveChannel>,
    /// A connection that says nothing for so long is given up.
    pub stale_after: Duration,
    /// A connection that is so old is replaced.
    pub reconnect_after: Option<Duration>,
    /// How it is spoken to.
    pub feed: FeedSpec,
}

/// Begins a placeholder for a key of the secret.
const SECRET: &str = "{{secret:";

impl Live {
    /// The keys of the secret that its texts name.
    #[must_use]
    pub fn secret_keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let login = self.feed.login.iter();
        let texts = login
            .chain(self.feed.subscribe.iter().map(|s| &s.text))
            .chain(self.feed.ping.iter().map(|ping| &ping.text))
            .map(|text| text.as_str());
        for text in texts.chain([self.url.as_str()]) {
            for rest in text.split(SECRET).skip(1) {
                if let Some((key, _)) = rest.split_once("}}")
                    && !keys.iter().any(|known| known == key)
                {
                    keys.push(key.to_owned());
                }
            }
        }
        keys
    }
}

/// What is known of a feed.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Known {
    pub url: String,
    pub channels: Vec<LiveChannel>,
    pub stale_after: DurationText,
    #[serde(default)]
    pub reconnect_after: Option<DurationText>,
    pub feed: FeedSpec,
}

/// What is known of `preset`, and its name.
pub(crate) fn known(preset: LivePreset) -> (&'static str, Known) {
    let (name, text) = match preset {
        LivePreset::Coinbase => ("coinbase", include_str!("presets/coinbase.yaml")),
        LivePreset::Binance => ("binance", include_str!("presets/binance.yaml")),
        LivePreset::Alpaca => ("alpaca", include_str!("presets/alpaca.yaml")),
        LivePreset::Kraken => ("kraken", include_str!("presets/kraken.yaml")),
        LivePreset::Finnhub => ("finnhub", include_str!("presets/finnhub.yaml")),
        LivePreset::Massive => ("massive", include_str!("presets/massive.yaml")),
    };
    let known = serde_norway::from_str(text).expect("presets are texts under test");
    (name, known)
}
