//! How far the lake is: the ledger's tips against Kafka's end offsets.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::ledger::{DaySummary, Genesis, Ledger, Owner, Tip};
use crate::store::{Store, StoreError};

use super::publication::instant;
use super::wire::LakeInfo;

/// Objects read at a time.
const CONCURRENCY: usize = 16;

/// Why the lake's progress cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store refused or was not reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefix is another pipeline's.
    #[error(
        "the lake prefix `{prefix}` belongs to the pipeline {identity}; give this one a prefix of its own"
    )]
    Foreign {
        /// The prefix.
        prefix: String,
        /// Its owner.
        identity: String,
    },
}

/// A partition's log as Kafka tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// First offset that is retained.
    pub low: i64,
    /// The offset that the next record will have.
    pub end: i64,
}

/// What the ledger says of one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionProgress {
    /// Where its chain begins.
    pub genesis: Option<Genesis>,
    /// Its newest published claim.
    pub tip: Option<Tip>,
    /// Sums of the days before the tip's.
    pub before: Landed,
}

/// Sums over claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Quarantined records.
    pub quarantined: u64,
}

impl Landed {
    fn and(self, day: &DaySummary) -> Self {
        Self {
            files: self.files + day.files,
            rows: self.rows + day.rows,
            bytes: self.bytes + day.bytes,
            quarantined: self.quarantined + day.quarantined,
        }
    }
}

/// The lake's figures from what the ledger and Kafka say; `market_ns` is market time. Pure.
#[must_use]
pub fn figures(
    partitions: &BTreeMap<i32, PartitionProgress>,
    logs: Option<&BTreeMap<i32, LogRange>>,
    market_ns: Option<i64>,
) -> LakeInfo {
    let lag = logs.map(|logs| {
        logs.iter()
            .map(|(partition, log)| {
                let landed = partitions
                    .get(partition)
                    .and_then(PartitionProgress::next_offset);
                let from = landed.unwrap_or(log.low);
                u64::try_from(log.end.saturating_sub(from)).unwrap_or(0)
            })
            .sum()
    });
    let watermarks: Vec<Option<i64>> = match logs {
        Some(logs) => logs
            .keys()
            .map(|partition| {
                partitions
                    .get(partition)
                    .and_then(PartitionProgress::watermark)
            })
            .collect(),
        None => partitions
            .values()
            .map(PartitionProgress::watermark)
            .collect(),
    };
    let watermark = watermarks
        .into_iter()
        .collect::<Option<Vec<i64>>>()
        .and_then(|all| all.into_iter().min());
    let landed = partitions.values().fold(Landed::default(), |sum, p| {
        let sum = Landed {
            files: sum.files + p.before.files,
            rows: sum.rows + p.before.rows,
            bytes: sum.bytes + p.before.bytes,
            quarantined: sum.quarantined + p.before.quarantined,
        };
        p.tip.as_ref().map_or(sum, |tip| sum.and(&tip.day))
    });
    let known = !partitions.is_empty();
    LakeInfo {
        lag,
        watermark: watermark.and_then(instant),
        watermark_delay_ms: watermark
            .zip(market_ns)
            .map(|(watermark, now)| (now.saturating_sub(watermark) / 1_000_000).max(0)),
        files: known.then_some(landed.files),
        rows: known.then_some(landed.rows),
        bytes: known.then_some(landed.bytes),
        quarantined: known.then_some(landed.quarantined),
        problem: None,
    }
}

impl PartitionProgress {
    /// First offset that no published claim covers.
    fn next_offset(&self) -> Option<i64> {
        match (&self.tip, &self.genesis) {
            (Some(tip), _) => Some(tip.end + 1),
            (None, genesis) => genesis.as_ref().map(|g| g.base),
        }
    }

    fn watermark(&self) -> Option<i64> {
        match (&self.tip, &self.genesis) {
            (Some(tip), _) => tip.visible_watermark,
            (None, genesis) => genesis.as_ref().and_then(|g| g.watermark),
        }
    }
}

/// Reads the ledger of one pipeline, again and again.
pub struct LakeReader {
    store: Store,
    prefix: String,
    identity: String,
    ledger: Option<Ledger>,
    /// Sums of whole days, by partition, up to the day before this one.
    days: HashMap<(Uuid, i32), (Date, Landed)>,
}

impl LakeReader {
    /// A reader of the lake at `prefix`, which must be owned by `identity`.
    #[must_use]
    pub fn new(store: Store, prefix: &str, identity: String) -> Self {
        Self {
            store,
            prefix: prefix.to_owned(),
            identity,
            ledger: None,
            days: HashMap::new(),
        }
    }

    /// The lake's ledger; `None` until `provision` has claimed the prefix.
    ///
    /// # Errors
    /// Where the store is not reached or refuses, or the prefix is another pipeline's.
    pub async fn ledger(&mut self) -> Result<Option<&Ledger>, LakeError> {
        if self.ledger.is_none() {
            let owner = match Owner::read(&self.store, &self.prefix).await {
                // The bucket is made by provision too.
                Err(error) if error.code() == Some("NoSuchBucket") => None,
                other => other?,
            };
            match owner {
                Some(owner) if owner.identity == self.identity => {
                    self.ledger = Some(Ledger::open(self.store.clone(), &owner.lake_id));
                }
                Some(owner) => {
                    return Err(LakeError::Foreign {
                        prefix: self.prefix.clone(),
                        identity: owner.identity,
                    });
                }
                None => {}
            }
        }
        Ok(self.ledger.as_ref())
    }

    /// Progress of partitions `0..partitions` of the topic; empty until the prefix is claimed.
    ///
    /// # Errors
    /// As [`ledger`](Self::ledger).
    pub async fn read(
        &mut self,
        topic_id: Uuid,
        partitions: i32,
    ) -> Result<BTreeMap<i32, PartitionProgress>, LakeError> {
        let Some(ledger) = self.ledger().await?.cloned() else {
            return Ok(BTreeMap::new());
        };
        let mut reads = stream::iter(0..partitions)
            .map(|partition| {
                let ledger = ledger.clone();
                let known = self.days.get(&(topic_id, partition)).copied();
                async move {
                    let progress = read_partition(&ledger, topic_id, partition, known).await?;
                    Ok::<_, StoreError>((partition, progress))
                }
            })
            .buffer_unordered(CONCURRENCY);
        let mut all = BTreeMap::new();
        let mut days = Vec::new();
        while let Some(read) = reads.next().await {
            let (partition, progress) = read?;
            if let Some(tip) = &progress.tip {
                days.push(((topic_id, partition), (tip.day.day, progress.before)));
            }
            all.insert(partition, progress);
        }
        drop(reads);
        self.days.extend(days);
        Ok(all)
    }
}

async fn read_partition(
    ledger: &Ledger,
    topic_id: Uuid,
    partition: i32,
    known: Option<(Date, Landed)>,
) -> Result<PartitionProgress, StoreError> {
    let Some(tip) = ledger.tip(topic_id, partition).await? else {
        return Ok(PartitionProgress {
            genesis: ledger.partition(topic_id, partition).genesis().await?,
            ..PartitionProgress::default()
        });
    };
    let before = match known {
        Some((day, landed)) if day == tip.day.day => landed,
        _ => earlier_days(ledger, topic_id, partition, tip.day.day).await?,
    };
    Ok(PartitionProgress {
        genesis: None,
        tip: Some(tip),
        before,
    })
}

/// Sums of the daily summaries before `today`.
async fn earlier_days(
    ledger: &Ledger,
    topic_id: Uuid,
    partition: i32,
    today: Date,
) -> Result<Landed, StoreError> {
    let root = format!(
        "{}/ledger/{topic_id}/{partition}/summary/",
        crate::ledger::lake_root(ledger.lake_id())
    );
    let mut pages = ledger.store().list(&root);
    let mut sum = Landed::default();
    while let Some(page) = pages.next().await? {
        let mut reads = stream::iter(page)
            .map(|object| async move { ledger.store().get_json::<DaySummary>(&object.key).await })
            .buffer_unordered(CONCURRENCY);
        while let Some(day) = reads.next().await {
            if let Some(day) = day?
                && day.day < today
            {
                sum = sum.and(&day);
            }
        }
    }
    Ok(sum)
}

/// `problem`, and since when the figures stand still.
#[must_use]
pub fn with_problem(
    mut info: LakeInfo,
    problem: &str,
    read_at: Option<Timestamp>,
    now: Timestamp,
) -> LakeInfo {
    info.lag = None;
    info.watermark_delay_ms = None;
    info.problem = Some(match read_at {
        None => problem.to_owned(),
        Some(at) => {
            let seconds = now.duration_since(at).as_secs().max(0);
            format!("{problem}; these figures are {seconds} s old")
        }
    });
    info
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn progress(end: i64, watermark: Option<i64>, rows: u64) -> PartitionProgress {
        let day = DaySummary {
            day: date(2026, 11, 20),
            start: 0,
            end,
            claims: 1,
            records: rows,
            rows,
            quarantined: 1,
            lost: 0,
            files: 2,
            bytes: 100,
        };
        PartitionProgress {
            genesis: None,
            tip: Some(Tip {
                claim_id: Uuid::nil(),
                start: 0,
                end,
                epoch: 1,
                at: Timestamp::UNIX_EPOCH,
                watermark,
                visible_watermark: watermark,
                unregistered: Default::default(),
                closed_through: None,
                day,
            }),
            before: Landed {
                files: 10,
                rows: 1000,
                bytes: 5000,
                quarantined: 0,
            },
        }
    }

    fn log(low: i64, end: i64) -> LogRange {
        LogRange { low, end }
    }

    const MS: i64 = 1_000_000;

    #[test]
    fn lag_is_what_no_published_claim_covers_over_all_partitions() {
        let partitions = [
            (0, progress(99, Some(5_000 * MS), 90)),
            (1, progress(49, Some(3_000 * MS), 50)),
        ]
        .into();
        let logs = [(0, log(0, 110)), (1, log(0, 50))].into();
        let info = figures(&partitions, Some(&logs), Some(9_000 * MS));
        assert_eq!(info.lag, Some(10));
        assert_eq!(info.watermark.unwrap().as_millisecond(), 3_000);
        assert_eq!(info.watermark_delay_ms, Some(6_000));
        assert_eq!((info.files, info.rows), (Some(24), Some(2140)));
        assert_eq!((info.bytes, info.quarantined), (Some(10_200), Some(2)));
    }

    #[test]
    fn a_partition_without_a_claim_lags_from_its_genesis_or_its_first_record_and_holds_the_watermark()
     {
        let mut partitions: BTreeMap<_, _> = [(0, progress(9, Some(MS), 10))].into();
        let logs = [(0, log(0, 10)), (1, log(40, 100))].into();
        let info = figures(&partitions, Some(&logs), None);
        assert_eq!((info.lag, info.watermark), (Some(60), None));
        let genesis = Genesis {
            base: 70,
            watermark: Some(2 * MS),
        };
        partitions.insert(
            1,
            PartitionProgress {
                genesis: Some(genesis),
                ..PartitionProgress::default()
            },
        );
        let info = figures(&partitions, Some(&logs), None);
        assert_eq!(info.lag, Some(30));
        assert_eq!(info.watermark.unwrap().as_millisecond(), 1);
    }

    #[test]
    fn a_claim_newer_than_the_end_that_kafka_told_is_no_lag() {
        let partitions = [(0, progress(99, None, 1))].into();
        let info = figures(&partitions, Some(&[(0, log(0, 90))].into()), None);
        assert_eq!(info.lag, Some(0));
    }

    #[test]
    fn without_kafka_the_lag_is_unknown_and_without_a_ledger_nothing_has_landed_yet() {
        let info = figures(&BTreeMap::new(), None, None);
        assert_eq!(info, LakeInfo::default());
        let info = figures(&BTreeMap::new(), Some(&[(0, log(5, 25))].into()), None);
        assert_eq!((info.lag, info.rows), (Some(20), None));
    }

    #[test]
    fn old_figures_say_how_old_they_are_and_claim_no_lag() {
        let partitions = [(0, progress(99, Some(0), 90))].into();
        let info = figures(&partitions, Some(&[(0, log(0, 200))].into()), Some(0));
        let at = Timestamp::UNIX_EPOCH;
        let old = with_problem(
            info,
            "S3 is away",
            Some(at),
            at + jiff::SignedDuration::from_secs(41),
        );
        assert_eq!(old.lag, None);
        assert_eq!(old.rows, Some(1090));
        assert_eq!(
            old.problem.unwrap(),
            "S3 is away; these figures are 41 s old"
        );
    }
}
