//! `tip.json` and the daily summaries: hints for readers, never trusted by the protocol.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::claim::{Claim, ClaimKind};
use super::period::Period;

/// The newest published claim that a lander has told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tip {
    /// The claim.
    pub claim_id: Uuid,
    /// Its first offset, which is its key.
    pub start: i64,
    /// Its last offset.
    pub end: i64,
    /// Its epoch.
    pub epoch: u64,
    /// When this was written.
    pub at: Timestamp,
    /// The claim's watermark (event time, ns).
    pub watermark: Option<i64>,
    /// The watermark up to which the rows are also registered in Glue: what a report may rely on.
    pub visible_watermark: Option<i64>,
    /// The claim's `closedThrough`.
    pub closed_through: Option<Period>,
    /// Periods of landed files that are not yet known to be registered in Glue.
    #[serde(default)]
    pub unregistered: BTreeSet<Period>,
    /// Claims of this UTC day so far.
    pub day: DaySummary,
}

impl Tip {
    /// The tip after `claim`, and the summary of the day that ended with its predecessor, if one did.
    #[must_use]
    pub fn after(
        previous: Option<&Self>,
        claim: &Claim,
        at: Timestamp,
    ) -> (Self, Option<DaySummary>) {
        let date = TimeZone::UTC.to_datetime(claim.claimed_at).date();
        let (mut day, ended) = match previous.map(|p| &p.day) {
            Some(day) if day.day == date => (day.clone(), None),
            Some(day) => (DaySummary::new(date, claim.start), Some(day.clone())),
            None => (DaySummary::new(date, claim.start), None),
        };
        day.add(claim);
        let mut unregistered = previous.map(|p| p.unregistered.clone()).unwrap_or_default();
        let by = claim.layout.partition_by;
        unregistered.extend(
            claim
                .files
                .iter()
                .filter_map(|f| Period::of_key(by, &f.key)),
        );
        let tip = Self {
            claim_id: claim.claim_id,
            start: claim.start,
            end: claim.end,
            epoch: claim.epoch,
            at,
            watermark: claim.watermark,
            visible_watermark: previous.and_then(|p| p.visible_watermark),
            unregistered,
            closed_through: claim.closed_through,
            day,
        };
        (tip, ended)
    }

    /// Takes out the periods that are `registered`; with none left the claim's watermark becomes visible.
    pub fn register(&mut self, registered: impl Fn(&Period) -> bool) {
        self.unregistered.retain(|period| !registered(period));
        if self.unregistered.is_empty() {
            self.visible_watermark = self.watermark;
        }
    }
}

/// `summary/<day>.json`: what one partition landed on one UTC day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaySummary {
    /// The day, by the claims' `claimedAt`.
    pub day: Date,
    /// First offset of its first claim.
    pub start: i64,
    /// Last offset of its last claim.
    pub end: i64,
    /// Claims.
    pub claims: u64,
    /// Kafka records.
    pub records: u64,
    /// Rows.
    pub rows: u64,
    /// Quarantined records.
    pub quarantined: u64,
    /// Offsets lost to retention.
    pub lost: u64,
    /// Files of the table.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

impl DaySummary {
    fn new(day: Date, start: i64) -> Self {
        Self {
            day,
            start,
            end: start - 1,
            claims: 0,
            records: 0,
            rows: 0,
            quarantined: 0,
            lost: 0,
            files: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, claim: &Claim) {
        self.end = claim.end;
        self.claims += 1;
        self.records += claim.records;
        self.rows += claim.rows;
        self.quarantined += claim.quarantined;
        if claim.kind == ClaimKind::Lost {
            self.lost += claim.offsets();
        }
        self.files += claim.files.len() as u64;
        self.bytes += claim.files.iter().map(|f| f.bytes).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::tests::claim;
    use super::*;

    #[test]
    fn a_new_day_ends_the_summary_of_the_day_before() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut first = claim(1, 1, 0, 9);
        first.claimed_at = at("2026-11-20T23:59:00Z");
        first.records = 10;
        let (tip, ended) = Tip::after(None, &first, at("2026-11-20T23:59:01Z"));
        assert_eq!((ended, tip.day.claims, tip.day.end), (None, 1, 9));

        let mut second = claim(2, 1, 10, 14);
        second.claimed_at = at("2026-11-21T00:00:02Z");
        second.records = 5;
        let (tip, ended) = Tip::after(Some(&tip), &second, at("2026-11-21T00:00:03Z"));
        let ended = ended.unwrap();
        assert_eq!(
            (ended.day.to_string().as_str(), ended.records),
            ("2026-11-20", 10)
        );
        assert_eq!((tip.day.start, tip.day.end, tip.day.records), (10, 14, 5));
    }

    #[test]
    fn a_watermark_is_visible_once_every_period_is_registered() {
        let mut landed = claim(1, 1, 0, 9);
        landed.watermark = Some(100);
        for hour in ["01", "02"] {
            let mut file = super::super::claim::tests::file();
            file.key = format!("t/dt=2026-11-20/hour={hour}/f");
            landed.files.push(file);
        }
        let (mut tip, _) = Tip::after(None, &landed, Timestamp::UNIX_EPOCH);
        assert_eq!((tip.unregistered.len(), tip.visible_watermark), (2, None));
        tip.register(|p| p.to_string().ends_with("01"));
        assert_eq!((tip.unregistered.len(), tip.visible_watermark), (1, None));
        tip.register(|_| true);
        assert_eq!(tip.visible_watermark, Some(100));
    }
}
