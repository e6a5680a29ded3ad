//! Values within a message, as the feed wrote them: a number stays text.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// One JSON object of a feed.
pub struct Message<'a> {
    fields: HashMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Message<'a> {
    /// `raw`, if it is an object.
    pub fn new(raw: &'a RawValue) -> Option<Self> {
        Some(Self {
            fields: object(raw)?,
        })
    }

    /// The value at a JSON pointer (RFC 6901), `null` included.
    pub fn at(&self, pointer: &str) -> Option<&'a RawValue> {
        let mut steps = pointer.strip_prefix('/')?.split('/').map(unescaped);
        let mut value = *self.fields.get(&steps.next()?)?;
        for step in steps {
            value = match value.get().as_bytes().first()? {
                b'{' => object(value)?.get(&step).copied()?,
                b'[' => elements(value)?.get(step.parse::<usize>().ok()?).copied()?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The text at a pointer; of all but a JSON text what the feed wrote. `null` is no text.
    pub fn text(&self, pointer: &str) -> Option<Cow<'a, str>> {
        self.at(pointer).and_then(text)
    }
}

/// The elements of an array.
pub fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

fn object(raw: &RawValue) -> Option<HashMap<Cow<'_, str>, &RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// A JSON text without its quotes; of all else what was written, but `null`.
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => {
            // Without an escape the text is what stands between the quotes.
            let inner = &quoted[1..quoted.len() - 1];
            if inner.contains('\\') {
                serde_json::from_str(quoted).ok().map(Cow::Owned)
            } else {
                Some(Cow::Borrowed(inner))
            }
        }
        written => Some(Cow::Borrowed(written)),
    }
}

fn unescaped(step: &str) -> Cow<'_, str> {
    if step.contains('~') {
        Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_text_that_the_feed_wrote() {
        let text = r#"{"p":0.10000000000000000555,"q":1e-7,"n":null,"a":[{"b":["x","y\"z"]}],"c/d":true,"s":"1.50"}"#;
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let message = Message::new(raw).unwrap();
        for (pointer, expected) in [
            ("/p", Some("0.10000000000000000555")),
            ("/q", Some("1e-7")),
            ("/n", None),
            ("/a/0/b/1", Some("y\"z")),
            ("/a/1", None),
            ("/a/x", None),
            ("/c~1d", Some("true")),
            ("/s", Some("1.50")),
            ("/s/0", None),
        ] {
            assert_eq!(message.text(pointer).as_deref(), expected, "{pointer}");
        }
        assert!(message.at("/n").is_some(), "null is there");
    }
}
