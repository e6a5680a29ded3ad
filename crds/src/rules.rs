//! CEL rules that several fields share.
//!
//! A message is a clause that follows the field's path (`spec.lake.roll.maxAge:
//! must lie between 1s and 1d`) and says what to write.

use kube::core::{Message, Rule};

/// Refuses `field` of `self`: it is in the API, but has no behaviour yet.
pub(crate) fn refused(field: &str) -> Rule {
    Rule::new(format!("!has(self.{field})"))
        .message(text("is not supported in this version; leave it out"))
        .field_path(format!(".{field}"))
}

/// Refuses a non-empty list `field` of `self`, as [`refused`] does.
pub(crate) fn refused_list(field: &str) -> Rule {
    Rule::new(format!("!has(self.{field}) || size(self.{field}) == 0"))
        .message(text("is not supported in this version; leave it out"))
        .field_path(format!(".{field}"))
}

/// Bounds a [`DurationText`](crate::amounts::DurationText), both ends
/// included. Holds for malformed text, whose own rule speaks.
pub(crate) fn duration_between(least: &str, most: &str) -> Rule {
    let seconds = |text: &str| {
        crate::amounts::DurationText::new(text)
            .expect("bounds are constants under test")
            .to_duration()
            .as_secs()
    };
    Rule::new(format!(
        "!{WELL_FORMED_DURATION} || ({SECONDS} >= {} && {SECONDS} <= {})",
        seconds(least),
        seconds(most)
    ))
    .message(text(format!("must lie between {least} and {most}")))
}

/// Asks for whole days: the store's lifecycle rules count in days.
pub(crate) fn whole_days() -> Rule {
    Rule::new(format!("!{WELL_FORMED_DURATION} || {SECONDS} % 86400 == 0"))
        .message(text("must be whole days, for instance 7d"))
}

/// Bounds a [`ByteText`](crate::amounts::ByteText), both ends included.
pub(crate) fn bytes_between(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "!isQuantity(self) || (quantity(self).compareTo(quantity('{least}')) >= 0 && quantity(self).compareTo(quantity('{most}')) <= 0)"
    ))
    .message(text(format!("must lie between {least} and {most}")))
}

/// `field` of `self` may be set only where `condition` holds; the message is
/// the caller's.
pub(crate) fn read_only_where(field: &str, condition: &str) -> Rule {
    Rule::new(format!("!has(self.{field}) || {condition}")).field_path(format!(".{field}"))
}

/// At most one of `fields` may be set.
pub(crate) fn at_most_one(fields: &[&str], message: &str) -> Rule {
    let count: Vec<_> = fields
        .iter()
        .map(|field| format!("(has(self.{field}) ? 1 : 0)"))
        .collect();
    Rule::new(format!("{} <= 1", count.join(" + "))).message(text(message))
}

/// Exactly one of `fields` must be set.
pub(crate) fn exactly_one(fields: &[&str], message: &str) -> Rule {
    let count: Vec<_> = fields
        .iter()
        .map(|field| format!("(has(self.{field}) ? 1 : 0)"))
        .collect();
    Rule::new(format!("{} == 1", count.join(" + "))).message(text(message))
}

/// `field` (a path below `spec`, with a default) never changes.
pub(crate) fn immutable(field: &str) -> Rule {
    immutable_value(field, &format!("{{}}.spec.{field}"))
}

/// `field`, or where unset what follows from the pipeline's name, never
/// changes: writing the default out is no change. `default` is CEL over `{}`,
/// which stands for the object.
pub(crate) fn immutable_or_default(field: &str, default: &str) -> Rule {
    immutable_value(
        field,
        &format!("(has({{}}.spec.{field}) ? {{}}.spec.{field} : {default})"),
    )
}

fn immutable_value(field: &str, value: &str) -> Rule {
    Rule::new(format!(
        "{} == {}",
        value.replace("{}", "self"),
        value.replace("{}", "oldSelf")
    ))
    .message(text(
        "is immutable: data already lies under the old value; make a pipeline of another name instead",
    ))
    .field_path(format!(".spec.{field}"))
}

/// A message from any text.
pub(crate) fn text(message: impl Into<String>) -> Message {
    Message::Message(message.into())
}

const WELL_FORMED_DURATION: &str = "self.matches('^[0-9]{1,7}[smhd]$')";

const SECONDS: &str = "int(self.find('^[0-9]+')) * (self.endsWith('s') ? 1 : self.endsWith('m') ? 60 : self.endsWith('h') ? 3600 : 86400)";
