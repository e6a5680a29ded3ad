//! From `source.live` as written to a feed that can be spoken to.

use std::time::Duration;

use crate::amounts::DurationText;
use crate::live::{FeedSpec, GapDetection, Live, LiveChannel, MessageMeaning, known};
use crate::pipeline::Source;
use crate::spec::live::LiveSpec;
use crate::violation::Violation;

/// A connection of which nothing is known is given up after this silence.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// `None` where what is missing has been told by a rule.
pub(super) fn resolve(spec: &LiveSpec, found: &mut Vec<Violation>) -> Option<Source> {
    let duration = |text: &Option<DurationText>| text.as_ref().map(DurationText::to_duration);
    let (name, url, channels, stale_after, reconnect_after, feed) = match (spec.preset, &spec.feed)
    {
        (Some(preset), _) => {
            let (name, known) = known(preset);
            (
                name.to_owned(),
                spec.url.as_ref().map_or(known.url, ToString::to_string),
                known.channels,
                known.stale_after.to_duration(),
                duration(&known.reconnect_after),
                known.feed,
            )
        }
        (None, Some(feed)) => {
            check(feed, found);
            let url = spec.url.as_ref()?.to_string();
            let all = vec![LiveChannel::Trades, LiveChannel::Quotes];
            (host(&url), url, all, STALE_AFTER, None, feed.clone())
        }
        (None, None) => return None,
    };
    let live = Live {
        name,
        url,
        credentials_secret: spec
            .credentials_secret_ref
            .as_ref()
            .map(|secret| secret.name.to_string()),
        channels: spec.channels.clone().unwrap_or(channels),
        stale_after: duration(&spec.stale_after).unwrap_or(stale_after),
        reconnect_after: duration(&spec.reconnect_after).or(reconnect_after),
        feed,
    };
    if spec.feed.is_some() && live.credentials_secret.is_none() {
        for key in live.secret_keys() {
            found.push(Violation::new(
                "spec.source.live.credentialsSecretRef",
                format!("is missing: the feed's texts name its key {key}; write {{name: SECRET}}"),
            ));
        }
    }
    Some(Source::Live(Box::new(live)))
}

/// The host of a URL, without its port.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let host = &rest[..end];
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(host, _)| host)
        .to_owned()
}

/// What a described feed lacks, so that its ticks could not be made.
fn check(feed: &FeedSpec, found: &mut Vec<Violation>) {
    use MessageMeaning::{Cancel, Correction, LastTrade, LoggedIn, Quote, Trade};
    let mut refuse = |path: String, message: &str| {
        found.push(Violation::new(
            format!("spec.source.live.feed.{path}"),
            message,
        ));
    };
    for (index, message) in feed.messages.iter().enumerate() {
        let lacks = [
            (
                "symbol",
                matches!(message.is, Trade | Quote | Cancel | Correction | LastTrade)
                    && message.symbol.is_none(),
            ),
            ("price", message.is == Trade && message.price.is_none()),
            (
                "bidPrice",
                message.is == Quote && message.bid_price.is_none() && message.ask_price.is_none(),
            ),
            (
                "tradeId",
                matches!(message.is, Cancel | Correction) && message.trade_id.is_none(),
            ),
            (
                "sourceSeq",
                message.source_seq.is_none()
                    && (message.is == LastTrade
                        || message.is == Trade && feed.gaps == GapDetection::Exact),
            ),
        ];
        for (field, _) in lacks.into_iter().filter(|(_, lacks)| *lacks) {
            refuse(
                format!("messages[{index}].{field}"),
                "is missing; say where the message has it, as a JSON pointer such as /data/0/price",
            );
        }
    }
    if feed.login.is_some() && !feed.messages.iter().any(|m| m.is == LoggedIn) {
        refuse(
            "messages".to_owned(),
            "say nothing of the login: subscriptions would wait for ever; write one that is LoggedIn",
        );
    }
    if !feed.messages.iter().any(|m| matches!(m.is, Trade | Quote)) {
        refuse(
            "messages".to_owned(),
            "hold no tick; write one that is Trade or Quote",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::LivePreset;

    #[test]
    fn every_preset_is_a_feed_that_lacks_nothing() {
        use LivePreset::{Alpaca, Binance, Coinbase, Finnhub, Kraken, Massive};
        for (preset, keys) in [
            (Coinbase, &[][..]),
            (Binance, &[]),
            (Alpaca, &["key", "secret"]),
            (Kraken, &[]),
            (Finnhub, &["token"]),
            (Massive, &["token"]),
        ] {
            let mut found = Vec::new();
            check(&known(preset).1.feed, &mut found);
            let spec = serde_json::from_value(serde_json::json!({ "preset": preset })).unwrap();
            let Some(Source::Live(live)) = resolve(&spec, &mut found) else {
                panic!("{preset:?}")
            };
            assert_eq!(found, vec![], "{preset:?}");
            assert_eq!(live.secret_keys(), keys, "{preset:?}");
            assert!(crate::address::WebsocketUrl::new(live.url).is_ok());
        }
    }

    #[test]
    fn a_described_feed_is_named_after_its_host() {
        for (url, name) in [
            ("wss://feed.example.com/v1?a=b", "feed.example.com"),
            ("ws://127.0.0.1:9999", "127.0.0.1"),
            ("wss://[::1]:8/x", "[::1]"),
        ] {
            assert_eq!(host(url), name);
        }
    }
}
