//! What a feed is sent: its texts with symbols and secrets filled in.

use stockpipe_crds::live::{FeedSpec, LiveChannel};
use stockpipe_crds::pipeline::Live;
use stockpipe_market::tick::Symbol;

use crate::produce::FeedError;
use crate::secrets::Secrets;

/// Texts for one connection. They hold secrets: none of them is logged.
pub struct Texts {
    /// Where to connect.
    pub url: String,
    /// Sent first.
    pub login: Option<String>,
    /// Sent to subscribe.
    pub subscribe: Vec<String>,
    /// Sent again and again.
    pub ping: Option<String>,
    /// What must not be shown.
    secrets: Vec<String>,
}

impl Texts {
    /// The texts of `live` for `symbols`; secrets are read anew, so that a new key is used with the next connection.
    ///
    /// # Errors
    /// Where a secret is missing, or a text has a placeholder that is none.
    pub fn new(live: &Live, symbols: &[Symbol], secrets: &Secrets) -> Result<Self, FeedError> {
        let mut filler = Filler {
            feed: &live.feed,
            symbols,
            secrets: Vec::new(),
        };
        if let Some(secret) = &live.credentials_secret {
            for key in live.secret_keys() {
                let value = secrets
                    .read(secret, &key)
                    .map_err(|e| FeedError(format!("source.live.credentialsSecretRef: {e}")))?;
                filler.secrets.push((key, value.expose().to_owned()));
            }
        }
        // One secret may be a part of another: the longer one is taken out first.
        let mut hidden: Vec<_> = filler
            .secrets
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let url = filler.one("url", &live.url, percent_encoded)?;
        let login = match &live.feed.login {
            Some(text) => Some(filler.one("feed.login", text.as_str(), json_escaped)?),
            None => None,
        };
        let at_most = live.feed.symbols_per_text.map_or(usize::MAX, usize::from);
        let mut subscribe = Vec::new();
        for text in &live.feed.subscribe {
            let wanted: Option<LiveChannel> = text.channel;
            if wanted.is_none_or(|channel| live.channels.contains(&channel)) {
                subscribe.extend(filler.for_parts(text.text.as_str(), at_most)?);
            }
        }
        let ping = match &live.feed.ping {
            Some(ping) => Some(filler.one("feed.ping", ping.text.as_str(), json_escaped)?),
            None => None,
        };
        Ok(Self {
            url,
            login,
            subscribe,
            ping,
            secrets: hidden,
        })
    }

    /// Whether the feed was told anything secret.
    pub fn have_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// `text` without what is secret, and not longer than people read.
    pub fn shown(&self, text: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        let mut text = secrets.fold(text.to_owned(), |text, secret| {
            text.replace(&json_escaped(secret), "…")
                .replace(secret.as_str(), "…")
                .replace(&percent_encoded(secret), "…")
        });
        text.truncate(text.floor_char_boundary(SHOWN));
        text
    }
}

/// At most so many bytes of a feed's text are shown.
const SHOWN: usize = 400;
/// Sent once for each symbol.
const EACH: &str = "{{symbol}}";

#[derive(Clone)]
struct Filler<'a> {
    feed: &'a FeedSpec,
    symbols: &'a [Symbol],
    secrets: Vec<(String, String)>,
}

impl Filler<'_> {
    /// `text`, which is sent once, whatever the symbols.
    fn one(
        &self,
        field: &str,
        text: &str,
        escape: fn(&str) -> String,
    ) -> Result<String, FeedError> {
        if text.contains(EACH) {
            return Err(FeedError(format!(
                "source.live.{field}: {EACH} stands for one symbol after the other, which only a text of \
                 feed.subscribe can be sent for; write {{{{symbols}}}} or {{{{list:*}}}}"
            )));
        }
        Ok(self.fill(text, escape)?.concat())
    }

    /// A text that subscribes, for at most so many symbols at a time.
    fn for_parts(&self, text: &str, at_most: usize) -> Result<Vec<String>, FeedError> {
        let names_symbols = text.contains("{{symbols") || text.contains("{{list:");
        if !names_symbols || self.symbols.is_empty() {
            return self.fill(text, json_escaped);
        }
        let parts = self.symbols.chunks(at_most).map(|symbols| {
            let filler = Self {
                symbols,
                ..self.clone()
            };
            filler.fill(text, json_escaped)
        });
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// `text` with its placeholders filled in; as many texts as symbols where it has `{{symbol}}`.
    fn fill(&self, text: &str, escape: fn(&str) -> String) -> Result<Vec<String>, FeedError> {
        if text.contains(EACH) {
            let symbols = self.symbols.iter();
            return symbols
                .map(|symbol| {
                    let text = text.replace(EACH, &escape(&self.written(symbol)));
                    self.fill(&text, escape).map(|texts| texts.concat())
                })
                .collect();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((placeholder, after)) = after.split_once("}}") else {
                break;
            };
            out.push_str(before);
            out.push_str(&self.value(placeholder, escape)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(vec![out])
    }

    fn value(&self, placeholder: &str, escape: fn(&str) -> String) -> Result<String, FeedError> {
        let each = |pattern: &str, quote: &str| {
            let symbols = self.symbols.iter().map(|symbol| {
                let text = pattern.replace('*', &self.written(symbol));
                format!("{quote}{}{quote}", escape(&text))
            });
            symbols.collect::<Vec<_>>().join(",")
        };
        match placeholder.split_once(':') {
            None if placeholder == "symbols" => Ok(each("*", "\"")),
            Some(("symbols", pattern)) => Ok(each(pattern, "\"")),
            Some(("list", pattern)) => Ok(each(pattern, "")),
            Some(("secret", key)) => self
                .secrets
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| escape(value))
                .ok_or_else(|| {
                    FeedError(format!(
                        "source.live: {{{{secret:{key}}}}} stands in a text, but no secret is named; write \
                         credentialsSecretRef: {{name: SECRET}}"
                    ))
                }),
            _ => Err(FeedError(format!(
                "source.live.feed: {{{{{placeholder}}}}} is no placeholder; write {{{{symbols}}}}, \
                 {{{{symbols:PATTERN}}}}, {{{{list:PATTERN}}}}, {{{{symbol}}}} or {{{{secret:KEY}}}}"
            ))),
        }
    }

    fn written(&self, symbol: &Symbol) -> String {
        if self.feed.lower_case {
            symbol.to_ascii_lowercase()
        } else {
            symbol.as_str().to_owned()
        }
    }
}

/// As it stands within a JSON text.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As it stands within a URL's query.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{live, symbols};
    use super::*;

    fn texts(preset: &str, symbols: &[Symbol]) -> Texts {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("mine")).unwrap();
        for (key, value) in [("key", "K\"1"), ("secret", "S"), ("token", "t&k")] {
            std::fs::write(home.path().join("mine").join(key), value).unwrap();
        }
        let live = live(preset, None);
        Texts::new(&live, symbols, &Secrets::new([home.path().to_owned()])).unwrap()
    }

    #[test]
    fn each_preset_asks_as_its_vendor_documents() {
        let crypto = symbols(&["BTC-USD", "ETH-USD"]);
        let stocks = symbols(&["AAPL", "MSFT"]);
        let coinbase = texts("coinbase", &crypto);
        assert_eq!(
            coinbase.subscribe[1],
            r#"{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["matches"]}"#
        );
        let binance = texts("binance", &symbols(&["BTCUSDT", "ETHUSDT"]));
        assert_eq!(
            binance.subscribe[0],
            r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":1}"#
        );
        let alpaca = texts("alpaca", &stocks);
        assert_eq!(
            alpaca.login.as_deref(),
            Some(r#"{"action":"auth","key":"K\"1","secret":"S"}"#)
        );
        let massive = texts("massive", &stocks);
        assert_eq!(
            massive.subscribe[1],
            r#"{"action":"subscribe","params":"Q.AAPL,Q.MSFT"}"#
        );
        let finnhub = texts("finnhub", &stocks);
        assert_eq!(finnhub.url, "wss://ws.finnhub.io/?token=t%26k");
        assert_eq!(
            finnhub.subscribe,
            [
                r#"{"type":"subscribe","symbol":"AAPL"}"#,
                r#"{"type":"subscribe","symbol":"MSFT"}"#
            ]
        );
        assert_eq!(
            finnhub.shown("token t&k at ?token=t%26k is bad"),
            "token … at ?token=… is bad"
        );
        let many: Vec<_> = (0..320).map(|n| format!("S{n}USDT")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let sent = texts("binance", &symbols(&many)).subscribe;
        assert_eq!(sent.len(), 6);
        assert!(sent.iter().all(|text| text.len() < 4000), "goes unanswered");
        let named: usize = sent.iter().map(|text| text.matches('@').count()).sum();
        assert_eq!(named, 640, "each once for trades, and once for quotes");
        for text in texts("kraken", &crypto).subscribe {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn a_missing_secret_and_an_unknown_placeholder_are_told() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([home.path().to_owned()]);
        let error = |live: &Live| match Texts::new(live, &symbols(&["A"]), &secrets) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let missing = error(&live("alpaca", None));
        assert!(
            missing.contains("secret `mine` has no key `key`"),
            "{missing}"
        );
        let mut other = live("coinbase", None);
        other.feed.subscribe[0].text = "{{symbol_s}}".parse().unwrap();
        let unknown = error(&other);
        assert!(
            unknown.contains("{{symbol_s}} is no placeholder"),
            "{unknown}"
        );
        other.url = "wss://feed.example.com/{{symbol}}".to_owned();
        let each = error(&other);
        assert!(
            each.starts_with("source.live.url: {{symbol}} stands for one symbol after the other"),
            "{each}"
        );
    }
}
