//! `spec.source.live`: a feed over a WebSocket, known by name or described.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretName;
use crate::address::WebsocketUrl;
use crate::amounts::DurationText;
use crate::names::{JsonPointer, MatchText, WireText};
use crate::rules;

/// A live feed: one that is known by name, or one that is described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::exactly_one(&["preset", "feed"], "must say which feed it is, once; write either preset or feed"),
    validation = Rule::new("!has(self.feed) || has(self.url)")
        .message("is missing: a feed that is described has no address of its own; write for instance wss://feed.example.com/v1")
        .field_path(".url"),
    validation = Rule::new("!has(self.preset) || !(self.preset in ['alpaca', 'finnhub', 'massive']) || has(self.credentialsSecretRef)")
        .message("is missing: alpaca, finnhub and massive ask for a key; write {name: SECRET}")
        .field_path(".credentialsSecretRef"),
    validation = Rule::new("!has(self.preset) || self.preset in ['alpaca', 'finnhub', 'massive'] || !has(self.credentialsSecretRef)")
        .message("is of no use to a feed that is open to all; leave it out")
        .field_path(".credentialsSecretRef"),
    validation = Rule::new("!has(self.preset) || self.preset != 'finnhub' || !has(self.channels) || !('Quotes' in self.channels)")
        .message("may not hold Quotes: finnhub streams trades alone; write [Trades], or leave it out")
        .field_path(".channels")
)]
pub struct LiveSpec {
    /// A feed that is known by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<LivePreset>,
    /// Any other feed that speaks JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedSpec>,
    /// Where the feed is; without it, where the preset has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<WebsocketUrl>,
    /// Secret with what the feed asks for: alpaca reads its keys `key` and
    /// `secret`, finnhub and massive `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretName>,
    /// What is subscribed to; without it, all that the feed has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub channels: Option<Vec<LiveChannel>>,
    /// A connection that says nothing for so long is given up; without it, what
    /// the preset knows of the feed, or 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_between("2s", "1h"))]
    pub stale_after: Option<DurationText>,
    /// A connection that is so old is replaced before the feed ends it; without
    /// it, what the preset knows of the feed, or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_between("1m", "30d"))]
    pub reconnect_after: Option<DurationText>,
}

/// A feed that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LivePreset {
    /// Coinbase Exchange.
    Coinbase,
    /// Binance spot.
    Binance,
    /// Alpaca stocks.
    Alpaca,
    /// Kraken spot, version 2; experimental.
    Kraken,
    /// Finnhub; experimental.
    Finnhub,
    /// Massive (Polygon) stocks; experimental.
    Massive,
}

/// What a feed is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LiveChannel {
    /// Every trade.
    Trades,
    /// The top of the book, as often as the feed tells it.
    Quotes,
}

/// How a feed is spoken to, and what it says.
///
/// In texts `{{symbols}}` is replaced by the market's symbols as JSON texts with
/// commas between, `{{symbols:PATTERN}}` by PATTERN for each with the symbol for
/// its `*`, `{{list:PATTERN}}` by the same without quotes, and `{{secret:KEY}}`
/// by a key of the secret. A text with `{{symbol}}` is sent once for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedSpec {
    /// Sent first; subscriptions wait for a message that is LoggedIn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<WireText>,
    /// Sent to subscribe, in this order.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub subscribe: Vec<SubscribeSpec>,
    /// Sent again and again, for feeds that end a silent connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingSpec>,
    /// Whether symbols are written in lower case when they are sent.
    #[serde(default)]
    pub lower_case: bool,
    /// Whether the feed says something even while nothing trades: then only
    /// messages are a sign of life, and a bare pong is none.
    #[serde(default)]
    pub heartbeats: bool,
    /// How times are written.
    #[serde(default)]
    pub time_format: FeedTime,
    /// What tells that something did not come.
    #[serde(default)]
    pub gaps: GapDetection,
    /// Whether conditions are those of the US consolidated tape, which say what
    /// of a bar a trade counts for.
    #[serde(default)]
    pub tape_conditions: bool,
    /// How many symbols a text to subscribe may name: with more, it is sent again
    /// for those that are left, a quarter of a second later. Without it, one text
    /// names them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub symbols_per_text: Option<u16>,
    /// What messages mean; of several that fit, the first. What none fits is
    /// passed over.
    #[schemars(length(min = 1, max = 32))]
    pub messages: Vec<MessageSpec>,
}

/// A text that subscribes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeSpec {
    /// Sent only where this is subscribed to; without it, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<LiveChannel>,
    /// The text.
    pub text: WireText,
}

/// A text that keeps a connection alive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingSpec {
    /// The text.
    pub text: WireText,
    /// How often.
    #[x_kube(validation = rules::duration_between("1s", "1h"))]
    pub every: DurationText,
}

/// How a feed writes times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FeedTime {
    /// As 2026-11-20T14:30:00.123456789Z.
    #[default]
    Rfc3339,
    /// Since 1970, in milliseconds.
    Milliseconds,
    /// Since 1970, in microseconds.
    Microseconds,
    /// Since 1970, in nanoseconds.
    Nanoseconds,
    /// Since 1970, in seconds, with or without decimals.
    Seconds,
}

/// What tells that something did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GapDetection {
    /// Trades are numbered one by one, for each symbol: sourceSeq.
    Exact,
    /// A connection that was lost: whatever came meanwhile is missing.
    #[default]
    Heuristic,
    /// Nothing: the feed sends again what was missed, or it does not matter.
    None,
}

/// What a message means, and where its values are.
///
/// A message that is a JSON array is as many messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSpec {
    /// What it must have; all must hold.
    #[schemars(length(min = 1, max = 4))]
    pub when: Vec<ConditionSpec>,
    /// What it means.
    pub is: MessageMeaning,
    /// Where its array is, of which each element is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<JsonPointer>,
    /// Whether it may tell of what was before the subscription: of a symbol of
    /// which nothing is known yet it then tells only the number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub past: bool,
    /// The symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<JsonPointer>,
    /// The exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue: Option<JsonPointer>,
    /// When it happened; without it, or where it is absent, when it was
    /// received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<JsonPointer>,
    /// Price of a trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<JsonPointer>,
    /// Size of a trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<JsonPointer>,
    /// Who started a trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<SideSpec>,
    /// The venue's name for a trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trade_id: Option<JsonPointer>,
    /// The feed's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_seq: Option<JsonPointer>,
    /// Best bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid_price: Option<JsonPointer>,
    /// Size at the best bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid_size: Option<JsonPointer>,
    /// Best ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_price: Option<JsonPointer>,
    /// Size at the best ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask_size: Option<JsonPointer>,
    /// The venue's condition codes: a text, or an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<JsonPointer>,
    /// What the feed says of an error, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub text: Vec<JsonPointer>,
}

/// What a message must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionSpec {
    /// What must be there.
    pub path: JsonPointer,
    /// It must be one of these; texts without quotes, all else as the feed
    /// writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub equals: Vec<MatchText>,
    /// It must hold one of these, in whatever case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub contains: Vec<MatchText>,
}

/// How a feed writes who started a trade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SideSpec {
    /// Where.
    pub path: JsonPointer,
    /// What says that the buyer did.
    pub buy: MatchText,
    /// What says that the seller did.
    pub sell: MatchText,
}

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MessageMeaning {
    /// A trade.
    Trade,
    /// A quote.
    Quote,
    /// A trade that is taken back: tradeId.
    Cancel,
    /// A trade that is told anew: tradeId, and the price and size that hold.
    Correction,
    /// The number of a symbol's last trade: sourceSeq.
    LastTrade,
    /// A sign of life.
    Heartbeat,
    /// The login is taken.
    LoggedIn,
    /// A subscription is taken.
    Subscribed,
    /// The feed will end this connection: it is replaced.
    Closing,
    /// Too much, too often or too many: connecting again waits longer.
    Throttled,
    /// An error that passes: connecting again may help.
    Failed,
    /// An error that stays, such as a key or symbol that the feed does not know:
    /// the producer ends.
    Refused,
}
